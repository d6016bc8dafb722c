"""`python -m services.emotion`"""

from oviya.mesh.service import run
from services.emotion.server import EmotionService
from services.emotion.settings import EmotionSettings

if __name__ == "__main__":
    run(EmotionService, EmotionSettings)
