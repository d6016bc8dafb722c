from oviya.mesh.service import run
from services.stt.server import SttService
from services.stt.settings import SttSettings

run(SttService, SttSettings)
