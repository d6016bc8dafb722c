"""What this process has counted for Prometheus."""

from __future__ import annotations

from prometheus_client import REGISTRY


def metric(name: str, **labels: str) -> float:
    """Returns a metric's value; 0 where nothing was counted yet."""
    return REGISTRY.get_sample_value(f"oviya_{name}", labels) or 0.0
