"""Health probe: `python -m oviya.mesh.probe HOST:PORT [SERVICE]` exits with 0 if the service is SERVING.

Containers run it as their health check, so it imports little.
"""

from __future__ import annotations

import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def is_serving(address: str, service: str = "", timeout_s: float = 2.0) -> bool:
    """Whether the server at `address` reports SERVING within `timeout_s` seconds (grpc.health.v1)."""
    # The option of oviya.mesh.channel, which takes long to import.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(0 if is_serving(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "") else 1)
