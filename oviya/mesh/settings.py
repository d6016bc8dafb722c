"""Settings of every service."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from oviya.mesh.environment import decode_values

AutoCount = Annotated[
    int | None, BeforeValidator(lambda value: None if value == "auto" else value), Field(examples=["auto"])
]
"""Type of a setting that is a number or "auto".  Auto becomes None: the service chooses by its device."""

LogLevel = Literal["debug", "info", "warning", "error"]


class SecretUrl(SecretStr):
    """A URL or path that may contain a password.  It is never shown; logs hide the password."""


class ServiceSettings(BaseSettings):
    """Address, start and stop of a service.

    Each service subclasses this with its own prefix, e.g. `CSM_PORT` or `STT_PORT`.  Lists of strings are
    comma-separated or JSON; other lists and objects are JSON.  An empty variable means the empty list for lists, the
    empty string for strings that may be empty, and otherwise the default.
    """

    model_config = SettingsConfigDict(
        use_attribute_docstrings=True,
        extra="ignore",
        validate_default=True,
        enable_decoding=False,  # decode_values does it
        allow_inf_nan=False,
        hide_input_in_errors=True,  # it may be a secret
    )

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on; containers set 0.0.0.0.  gRPC asks for no token: see `allow_unauthenticated`."""
    port: int = Field(default=0, ge=0, le=65535)
    """gRPC port; 0 takes a free one and logs it."""
    allow_unauthenticated: bool = False
    """Whether to listen on an address that other machines reach although nothing asks for a token there.  Set it on a
    private network only, such as that of a compose project; otherwise the service refuses to start."""
    reflection: Literal["auto", "true", "false"] = "auto"
    """Whether gRPC reflection describes the service to every caller, as grpcurl wants it; auto: only where `host` is
    this machine's loopback address."""
    max_concurrent_rpcs: int = Field(default=1024, ge=1, le=100_000)
    """Calls that may run at once; one more is refused with RESOURCE_EXHAUSTED.  Health checks and reflection do not
    count.  It bounds memory and lies above what the service's own slots admit."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535, examples=[9050])
    """Port of Prometheus `/metrics` (on `host`); 0 takes a free one; unset serves none."""
    log_level: LogLevel = "info"
    """What people say is logged at debug only."""
    log_format: Literal["console", "json"] = "console"
    """Console lines for people, JSON lines for collectors."""
    drain_wait_s: float = Field(default=0.5, ge=0, le=60)
    """Pause in seconds between NOT_SERVING and refusing calls, so that callers notice; Kubernetes wants about 5."""
    drain_grace_s: float = Field(default=25.0, ge=0, le=3600)
    """Longest time in seconds after `drain_wait_s` until the process has ended: running calls finish in it, and what
    must not be lost is written.  With the default a stop takes 25.5 s at most; compose.yaml kills after 35 s."""
    max_connection_age_s: float = Field(default=120.0, ge=1, le=86_400)
    """Age in seconds at which a connection is renewed, so that callers find new replicas."""
    max_connection_age_grace_s: float = Field(default=3900.0, ge=1, le=86_400)
    """Time in seconds that calls on an aged connection may go on: more than the longest session."""
    max_message_bytes: int = Field(default=4 << 20, ge=1 << 16, le=64 << 20)
    """Largest request message in bytes."""

    @model_validator(mode="before")
    @classmethod
    def _decode(cls, values: Any) -> Any:
        return decode_values(cast("dict[str, Any]", values), cls.model_fields) if isinstance(values, dict) else values

    def open_hosts(self) -> list[str]:
        """Names the fields with an address that other machines reach and where nothing asks for a token."""
        return [] if is_loopback(self.host) else ["host"]

    @property
    def reflects(self) -> bool:
        """Whether gRPC reflection is served."""
        return self.reflection == "true" or (self.reflection == "auto" and is_loopback(self.host))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`.  A name other than localhost counts as reachable."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
