"""`python -m services.brain`"""

from oviya.mesh.service import run
from services.brain.server import BrainService
from services.brain.settings import BrainSettings

if __name__ == "__main__":
    run(BrainService, BrainSettings)
