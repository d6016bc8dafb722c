"""Prometheus metrics of every service, and their HTTP server."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

RPC_SECONDS = Histogram(
    "oviya_rpc_seconds",
    "Length of a call in seconds, streams from first to last message",
    ["method", "code"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 120, 600),
)
RPCS_IN_FLIGHT = Gauge("oviya_rpcs_in_flight", "Calls that are running", ["method"])
ERRORS = Counter("oviya_errors_total", "Calls that failed, by the type of error", ["method", "type"])
LOOP_FAILURES = Counter("oviya_loop_failures_total", "Background loops and threads that ended by themselves", ["loop"])
UNHANDLED = Counter("oviya_unhandled_errors_total", "Exceptions that no code caught, by where they arose", ["where"])
SERVING = Gauge("oviya_serving", "1 while the service is warm and takes calls, else 0")


def serve_metrics(host: str, port: int) -> int:
    """Serves `/metrics` from a thread; returns the port.

    Raises:
        OSError: the port is taken.
    """
    server, _ = start_http_server(port, host)
    return int(server.server_port)
