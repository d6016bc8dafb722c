from oviya.mesh.service import run
from services.gateway.service import GatewayService
from services.gateway.settings import GatewaySettings

run(GatewayService, GatewaySettings)
