"""A service as a local process: its state, health, memory and log."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from enum import StrEnum
from pathlib import Path
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oviya.cli.local.plan import GATEWAY, Plan
from oviya.cli.local.ports import LOOPBACK
from oviya.errors import OviyaError

STARTING_CHECK_S, READY_CHECK_S = 0.2, 2.0
"""Interval between health checks while a service starts, and afterwards."""
MEMORY_CHECK_S = 2.0
"""Interval between memory measurements.  Each makes the kernel walk all pages of the process."""
CHECK_TIMEOUT_S = 2.0
LOG_LINES = 15
"""Lines of the log that are shown when a service exits."""
LOG_TAIL_BYTES = 64 << 10
"""Size of the end of the log that is searched for the last error."""
ERROR_CHARS = 240
"""Characters of an error that are shown on the screen.  The log has the full text."""
ERROR_LINE = re.compile(
    r"\[(error|critical)\b|\"level\": ?\"(error|critical)\"|^[\w.]*(Error|Exception|Interrupt|Exit)\b|^Fatal "
)
"""A line of structlog, the last line of a traceback, or a fatal message of the interpreter."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Ignores http_proxy: the mesh is on this machine."""


class State(StrEnum):
    """State of a service."""

    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DIED = "died"


class ServiceDied(OviyaError):
    """A service exited unexpectedly.  The message holds the last lines of its log."""


class ServiceProcess:
    """A service, `python -m services.<name>`, in its own process group."""

    def __init__(self, name: str, plan: Plan, log: Path) -> None:
        self.name = name
        self.address = plan.address(name)
        self.log = log
        self.state = State.STOPPED
        self.detail = ""
        """Why it is not ready, if known."""
        self.memory_bytes = 0
        """Proportional set size of the process and its children, in bytes."""
        self.ready_after_s: float | None = None
        self._plan = plan
        self._popen: subprocess.Popen[bytes] | None = None
        self._channel: grpc.Channel | None = None
        self._check: Any = None
        self._started_at = self._next_check = self._next_memory = 0.0
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The process id; None before the first start."""
        return self._popen.pid if self._popen is not None else None

    @property
    def exit_code(self) -> int | None:
        """The exit code; negative: the signal that ended the process; None: it runs."""
        return self._popen.returncode if self._popen is not None else None

    @property
    def exit_reason(self) -> str:
        """The exit code or signal, in words."""
        code = self.exit_code or 0
        return f"was ended by {signal_name(-code)}" if code < 0 else f"ended with code {code}"

    def start(self) -> None:
        """Starts the process.  The first start truncates the log; restarts append to it."""
        with self.log.open("wb" if self._popen is None else "ab") as log:
            self._log_start = log.seek(0, os.SEEK_END)
            # In its own group it does not receive the terminal's Ctrl-C: the owner of the mesh stops services in order.
            self._popen = subprocess.Popen(
                [sys.executable, "-m", f"services.{self.name}"],
                env=dict(self._plan.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self.state, self.detail, self.ready_after_s, self.memory_bytes = State.STARTING, "", None, 0
        self._started_at = time.monotonic()
        self._next_check = self._next_memory = 0.0
        self._channel = grpc.insecure_channel(
            self.address,
            options=[
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 200),
                ("grpc.enable_http_proxy", 0),
            ],
        )

    def poll(self) -> None:
        """Updates state and memory without blocking."""
        if self._popen is None or self.state in (State.STOPPED, State.DIED):
            return
        if self._popen.poll() is not None:
            self.state = State.STOPPED if self.state is State.STOPPING else State.DIED
            self.detail = ""
            self._release()
            return
        now = time.monotonic()
        if self.state is not State.STOPPING:
            self._poll_health(now)
        if now >= self._next_memory:
            self._next_memory = now + MEMORY_CHECK_S
            self.measure_memory()

    def measure_memory(self) -> int:
        """Measures and returns its memory, in bytes."""
        self.memory_bytes = proportional_bytes(self._popen.pid) if self._popen is not None else 0
        return self.memory_bytes

    def terminate(self) -> None:
        """Sends SIGTERM, so that it drains and exits."""
        self.poll()
        if self._popen is not None and self.state not in (State.STOPPED, State.DIED):
            self.state = State.STOPPING
            self._popen.terminate()

    def kill(self) -> None:
        """Kills it and its children."""
        if self._popen is not None and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        self.poll()

    def log_tail(self) -> str:
        """Returns the last lines of the log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:])
        return ""

    def last_error(self) -> str:
        """Returns the last error in the log since the start; if there is none, the last line."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - LOG_TAIL_BYTES))
            lines = [line for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
            found = next(filter(ERROR_LINE.search, reversed(lines)), lines[-1] if lines else "")
            return " ".join(found.split())[:ERROR_CHARS]
        return ""

    def exit_error(self) -> ServiceDied:
        """Returns the error for its unexpected exit."""
        message = f"{self.name} {self.exit_reason}; the end of its log:\n{self.log_tail()}"
        return ServiceDied(message, hint=f"see {self.log}")

    def _poll_health(self, now: float) -> None:
        if self._check is not None and self._check.done():
            self._update_from_health(self._check)
            self._check = None
        elif self._check is None and now >= self._next_check and self._channel is not None:
            pause_s = STARTING_CHECK_S if self.state is State.STARTING else READY_CHECK_S
            self._next_check = now + pause_s
            stub: Any = health_pb2_grpc.HealthStub(self._channel)
            self._check = stub.Check.future(health_pb2.HealthCheckRequest(), timeout=CHECK_TIMEOUT_S)

    def _update_from_health(self, check: Any) -> None:
        serving = check.code() is grpc.StatusCode.OK and check.result().status == health_pb2.HealthCheckResponse.SERVING
        if serving and self.name == GATEWAY:
            ready, missing = gateway_readiness(self._plan.http_port, self._plan.env.get("GATEWAY_HTTP_TOKEN", ""))
            here = [name for name in missing if name in self._plan.ports]  # services that run elsewhere may start later
            complete = not here and (ready or bool(missing))
            # At start it must be complete; later its own answer counts, since it can work without some services.
            serving = complete or (ready and self.state is not State.STARTING)
            self.detail = f"waiting for {', '.join(missing)}" if missing else ""
        if serving:
            self.state = State.READY
            if self.ready_after_s is None:
                self.ready_after_s = time.monotonic() - self._started_at
                self._next_memory = 0.0  # the peak while loading is not representative
        elif self.state is State.READY:
            self.state = State.NOT_READY

    def _release(self) -> None:
        """Kills the children of an exited process and closes its channel."""
        self.memory_bytes = 0
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        if self._channel is not None:
            self._channel.close()
        self._channel = self._check = None


def signal_name(number: int) -> str:
    """Returns the name of a signal, e.g. SIGKILL; real-time signals only have a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def proportional_bytes(pid: int) -> int:
    """Returns the proportional set size of a process and its children, in bytes; 0 if it has exited.

    A page shared by n processes counts 1/n for each, so the sizes of the services add up.  Resident set sizes would
    count the shared libraries of six Pythons six times.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        with contextlib.suppress(psutil.Error):
            memory: Any = member.memory_full_info()
            total += getattr(memory, "pss", memory.uss)  # pss exists only on Linux; uss leaves shared pages out
    return total


def gateway_readiness(http_port: int, token: str = "") -> tuple[bool, list[str]]:
    """Requests the gateway's /readyz; returns whether it is ready, and the names of missing services."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}  # services are named only to callers with the token
    request = urllib.request.Request(f"http://{LOOPBACK}:{http_port}/readyz", headers=headers)
    try:
        try:
            with _DIRECT.open(request, timeout=CHECK_TIMEOUT_S) as answer:
                return True, _missing(answer.read())
        except urllib.error.HTTPError as refusal:  # a 503 has the same body
            return False, _missing(refusal.read())
    except (OSError, ValueError) as error:  # no server, or not the gateway
        return False, [f"/readyz ({error})"]


def _missing(readiness: bytes) -> list[str]:
    services: dict[str, dict[str, str]] = json.loads(readiness).get("services", {})
    return [name for name, service in services.items() if service["state"] != "serving"]
