"""`python -m services.csm`"""

from oviya.mesh.service import run
from services.csm.server import CsmService
from services.csm.settings import CsmSettings

if __name__ == "__main__":
    run(CsmService, CsmSettings)
