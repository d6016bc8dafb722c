"""What this process has counted for Prometheus."""

from __future__ import annotations

from prometheus_client import REGISTRY


def metric(name: str, **labels: str) -> float:
    """Returns a metric's value; 0 where nothing was counted yet."""
    return REGISTRY.get_sample_value(f"oviya_{name}", labels) or 0.0


def mimi_streams() -> tuple[float, float]:
    """Returns the open streams of the engine in this process: decoding, encoding."""
    return metric("mimi_streams_used", direction="decode"), metric("mimi_streams_used", direction="encode")
