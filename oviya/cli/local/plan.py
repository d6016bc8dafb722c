"""The services that run on this machine, their ports and their environment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from oviya.cli.local.ports import LOOPBACK, free_ports, is_free, owner_of
from oviya.errors import InvalidInput, OviyaError

GATEWAY = "gateway"
DEFAULT_PORTS = {"stt": 50051, "brain": 50052, "emotion": 50053, "csm": 50054, "mimi": 50055, GATEWAY: 50050}
"""gRPC port of each service, in the order of a turn.  The gateway comes last because it depends on the others."""
DEFAULT_HTTP_PORT = 8000
DRAIN_GRACE_S = 5.0
"""Grace period for running calls after Ctrl-C; shorter than a deployed service's."""


class PortTaken(OviyaError):
    """Another program listens on a port that a service needs."""


@dataclass(frozen=True)
class Plan:
    """The services of a local mesh.

    Args:
        ports: gRPC port of each service that runs here.
        http_port: the gateway's HTTP port.
        env: the environment of all services.
    """

    ports: Mapping[str, int]
    http_port: int
    env: Mapping[str, str] = field(repr=False)

    @property
    def http_url(self) -> str:
        """Address of the page.  It uses the name: browsers allow the microphone only on https and on localhost."""
        return f"http://localhost:{self.http_port}"

    def address(self, name: str) -> str:
        """Returns host:port of a service's gRPC server."""
        return f"{LOOPBACK}:{self.ports[name]}"

    def check_ports(self) -> None:
        """Checks that all ports are free.

        Raises:
            InvalidInput: two services share a port.
            PortTaken: another program listens on one.
        """
        wanted = [(f"{name.upper()}_PORT", port) for name, port in self.ports.items()]
        if GATEWAY in self.ports:
            wanted.append(("GATEWAY_HTTP_PORT", self.http_port))
        taken_by: dict[int, str] = {}
        for setting, port in wanted:
            if port in taken_by:
                raise InvalidInput(setting, port, f"{taken_by[port]} has the same port")
            taken_by[port] = setting
            if not is_free(port):
                owner = owner_of(port) or "another program"
                raise PortTaken(
                    f"port {port} is taken by {owner}", hint=f"end it, or choose another port: {setting}=... oviya up"
                )


def plan_mesh(
    env: Mapping[str, str], *, grpc_port: int | None = None, http_port: int | None = None, without: Iterable[str] = ()
) -> Plan:
    """Plans a mesh from the environment (STT_PORT, GATEWAY_HTTP_PORT ...) and the defaults.

    Args:
        env: the environment to inherit; GATEWAY_<NAME>_ADDRESS is kept for services that run elsewhere.
        grpc_port: the gateway's gRPC port, instead of GATEWAY_PORT.
        http_port: the gateway's HTTP port, instead of GATEWAY_HTTP_PORT.
        without: services that run elsewhere.

    Raises:
        InvalidInput: an invalid port, or an unknown service.
    """
    left_out = set(without)
    for name in left_out - DEFAULT_PORTS.keys():
        raise InvalidInput("without", name, f"must be one of {', '.join(DEFAULT_PORTS)}")
    ports = {name: _port(env, name, default) for name, default in DEFAULT_PORTS.items() if name not in left_out}
    if grpc_port is not None and GATEWAY in ports:
        ports[GATEWAY] = grpc_port
    if http_port is None:
        http_port = _port(env, "gateway_http", DEFAULT_HTTP_PORT)
    return Plan(ports, http_port, _environment(env, ports, http_port))


def plan_on_free_ports(env: Mapping[str, str] | None = None) -> Plan:
    """Plans a mesh on free ports, for tests and benchmarks."""
    *chosen, http_port = free_ports(len(DEFAULT_PORTS) + 1)
    ports = dict(zip(DEFAULT_PORTS, chosen, strict=True))
    return Plan(ports, http_port, _environment(os.environ if env is None else env, ports, http_port))


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    setting = f"{name.upper()}_PORT"
    text = env.get(setting, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 65535:
        raise InvalidInput(setting, text, "must be a port, 1 to 65535")
    return int(text)


HEAP_SETTINGS = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "16777216", "MALLOC_MMAP_THRESHOLD_": "16777216"}
"""Settings of glibc: one heap instead of up to eight per core, of which at most 16 MiB of freed memory is kept.  The
models' tensors, of up to 16 MiB, are taken from it: a heap that returns memory earlier makes a decode of Whisper 40 %
slower, because every tensor is mapped again."""


def _environment(env: Mapping[str, str], ports: Mapping[str, int], http_port: int) -> dict[str, str]:
    """Returns `env` with the services' ports, their addresses for the gateway, and `HEAP_SETTINGS`."""
    result = {**HEAP_SETTINGS, **env}
    for name, port in ports.items():
        result[f"{name.upper()}_PORT"] = str(port)
        result.setdefault(f"{name.upper()}_DRAIN_GRACE_S", f"{DRAIN_GRACE_S:g}")
        if name != GATEWAY:
            result[f"GATEWAY_{name.upper()}_ADDRESS"] = f"{LOOPBACK}:{port}"
    result["GATEWAY_HTTP_PORT"] = str(http_port)
    result["PYTHONUNBUFFERED"] = "1"  # so that the log is complete when a process dies
    return result
