"""Channels to other services of the mesh."""

from __future__ import annotations

import json
from typing import Any

from grpc import aio

from oviya.mesh import turn_id
from oviya.mesh.server import FIXED_WINDOW, KEEPALIVE_S

WITHOUT_PROXY = (("grpc.enable_http_proxy", 0),)
"""Channel option: ignore http_proxy, https_proxy and grpc_proxy, which gRPC would use even for localhost."""
RETRY_ATTEMPTS = 3
RETRY_CODES = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")


def service_config(service_name: str) -> dict[str, Any]:
    """Returns the gRPC service config for calls to `service_name`, e.g. "oviya.v1.CsmService".

    round_robin with client health checking spreads calls over the healthy replicas behind the DNS name (gRFC A17).  A
    call is retried only before its first response (gRFC A6), after the delay of the server's pushback, and no longer
    once too many calls fail (throttling).
    """
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": service_name},
        "methodConfig": [
            {
                "name": [{"service": service_name}],
                "retryPolicy": {
                    "maxAttempts": RETRY_ATTEMPTS,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": list(RETRY_CODES),
                },
            }
        ],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.5},
    }


def open_channel(address: str, service_name: str, *, max_message_bytes: int = 4 << 20) -> aio.Channel:
    """Opens a channel to a service, without the environment's proxies.  Its calls carry the turn's id (`turn_id`).

    Args:
        address: "host:port"; all addresses of a DNS name are used.
        service_name: full name of the gRPC service, e.g. "oviya.v1.CsmService".
        max_message_bytes: largest response message.
    """
    target = (
        address if "://" in address or address.startswith(("unix:", "dns:", "ipv4:", "ipv6:")) else f"dns:///{address}"
    )
    channel = aio.insecure_channel(
        target,
        options=[
            ("grpc.service_config", json.dumps(service_config(service_name))),
            ("grpc.enable_retries", 1),
            ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            # Reconnects to a restarted service within seconds; gRPC's default is up to two minutes.
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.dns_min_time_between_resolutions_ms", 2_000),
            ("grpc.max_receive_message_length", max_message_bytes),
            *WITHOUT_PROXY,
            *FIXED_WINDOW,
        ],
    )
    turn_id.add_to_calls(channel)
    return channel
