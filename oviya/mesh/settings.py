"""Settings that every service has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

AutoCount = Annotated[int | None, BeforeValidator(lambda value: None if value == "auto" else value)]
"""Type of a setting that takes a number or "auto", which becomes None: the service chooses what suits its device."""

LogLevel = Literal["debug", "info", "warning", "error"]


class ServiceSettings(BaseSettings):
    """Where a service listens and how it starts and stops.

    A service subclasses this with a prefix of its own, so that `CSM_PORT` or `STT_PORT` set one service alone.
    """

    model_config = SettingsConfigDict(use_attribute_docstrings=True, extra="ignore", validate_default=True)

    host: str = "127.0.0.1"
    """Address to listen on; containers set 0.0.0.0.  There is no authentication yet: keep it private."""
    port: int = Field(default=0, ge=0, le=65535)
    """gRPC port; 0 takes a free one and logs it."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of Prometheus `/metrics` (on `host`); 0 takes a free one; unset serves none."""
    log_level: LogLevel = "info"
    """What people say is logged at debug only."""
    log_format: Literal["console", "json"] = "console"
    """Console lines for people, JSON lines for collectors."""
    drain_wait_s: float = Field(default=0.5, ge=0, le=60)
    """Pause in seconds between NOT_SERVING and refusing calls, so that callers notice; Kubernetes wants about 5."""
    drain_grace_s: float = Field(default=30.0, ge=0, le=3600)
    """Longest time in seconds that running calls may take to finish while the service stops."""
    max_connection_age_s: float = Field(default=120.0, ge=1)
    """Age in seconds at which a connection is renewed, so that callers find new replicas."""
    max_connection_age_grace_s: float = Field(default=3900.0, ge=1)
    """Time in seconds that calls on an aged connection may go on: more than the longest session."""
    max_message_bytes: int = Field(default=4 << 20, ge=1 << 16, le=64 << 20)
    """Largest request message in bytes."""
