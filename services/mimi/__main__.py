"""`python -m services.mimi`"""

from oviya.mesh.service import run
from services.mimi.server import MimiService
from services.mimi.settings import MimiSettings

if __name__ == "__main__":
    run(MimiService, MimiSettings)
