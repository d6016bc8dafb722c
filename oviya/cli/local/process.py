"""One service as a process of this machine: its state, health, memory and log."""

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
"""Pause between looks at a service's health while it starts, and afterwards."""
MEMORY_CHECK_S = 2.0
"""Pause between looks at its memory: the kernel walks all of its pages for each."""
CHECK_TIMEOUT_S = 2.0
LOG_LINES = 15
"""Lines of a dead service's log that are shown."""
LOG_TAIL_BYTES = 64 << 10
"""End of a log that is searched for its last error."""
ERROR_CHARS = 240
"""Of an error, what is shown on the screen; the log has all of it."""
ERROR_LINE = re.compile(
    r"\[(error|critical)\b|\"level\": ?\"(error|critical)\"|^[\w.]*(Error|Exception|Interrupt|Exit)\b|^Fatal "
)
"""A line of structlog, of a traceback's end, or of the interpreter's own last message."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The mesh is on this machine: what http_proxy says is for the world outside."""


class State(StrEnum):
    """What a service is doing."""

    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DIED = "died"


class ServiceDied(OviyaError):
    """A service ended by itself; the message holds the last lines of its log."""


class ServiceProcess:
    """One service, `python -m services.<name>`, in a process group of its own.

    Args:
        name: the service.
        plan: its port and environment.
        log: file that gets its output.
    """

    def __init__(self, name: str, plan: Plan, log: Path) -> None:
        self.name = name
        self.address = plan.address(name)
        self.log = log
        self.state = State.STOPPED
        self.detail = ""
        """Why it is not ready, where that is known."""
        self.memory_bytes = 0
        """Proportional set size of the process and its children."""
        self.ready_after_s: float | None = None
        self._plan = plan
        self._popen: subprocess.Popen[bytes] | None = None
        self._channel: grpc.Channel | None = None
        self._check: Any = None
        self._started_at = self._next_check = self._next_memory = 0.0
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._popen.pid if self._popen is not None else None

    @property
    def exit_code(self) -> int | None:
        """What it ended with; negative: the signal that ended it."""
        return self._popen.returncode if self._popen is not None else None

    @property
    def exit_reason(self) -> str:
        """How it ended, in words."""
        code = self.exit_code or 0
        return f"was ended by {signal_name(-code)}" if code < 0 else f"ended with code {code}"

    def start(self) -> None:
        """Starts the process.  The first start begins its log anew, later ones go on with it."""
        with self.log.open("wb" if self._popen is None else "ab") as log:
            self._log_start = log.seek(0, os.SEEK_END)
            # A group of its own: the terminal's Ctrl-C goes to whoever owns the mesh, which then stops it in order.
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
        """Brings state and memory up to date without waiting."""
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
        """Returns its memory as it is now, in bytes."""
        self.memory_bytes = proportional_bytes(self._popen.pid) if self._popen is not None else 0
        return self.memory_bytes

    def terminate(self) -> None:
        """Asks it to drain and end."""
        self.poll()
        if self._popen is not None and self.state not in (State.STOPPED, State.DIED):
            self.state = State.STOPPING
            self._popen.terminate()

    def kill(self) -> None:
        """Ends it and its children at once."""
        if self._popen is not None and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        self.poll()

    def log_tail(self) -> str:
        """Returns the last lines of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:])
        return ""

    def last_error(self) -> str:
        """Returns the last error in its log since it started; without one, the last line."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - LOG_TAIL_BYTES))
            lines = [line for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
            found = next(filter(ERROR_LINE.search, reversed(lines)), lines[-1] if lines else "")
            return " ".join(found.split())[:ERROR_CHARS]
        return ""

    def exit_error(self) -> ServiceDied:
        """Describes its death."""
        return ServiceDied(f"{self.name} {self.exit_reason}; the end of its log:\n{self.log_tail()}", hint=f"see {self.log}")

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
            here = [name for name in missing if name in self._plan.ports]  # what was left out may come later
            complete = not here and (ready or bool(missing))
            # It starts complete; later it is as ready as it says, since it can do without some.
            serving = complete or (ready and self.state is not State.STARTING)
            self.detail = f"waiting for {', '.join(missing)}" if missing else ""
        if serving:
            self.state = State.READY
            if self.ready_after_s is None:
                self.ready_after_s = time.monotonic() - self._started_at
                self._next_memory = 0.0  # what was measured while it loaded says nothing
        elif self.state is State.READY:
            self.state = State.NOT_READY

    def _release(self) -> None:
        """Ends what a dead process left: its children, and the channel to it."""
        self.memory_bytes = 0
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        if self._channel is not None:
            self._channel.close()
        self._channel = self._check = None


def signal_name(number: int) -> str:
    """Returns a signal's name, e.g. SIGKILL; real-time signals have none but their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def proportional_bytes(pid: int) -> int:
    """Returns the proportional set size of a process and its children in bytes; 0 where it has ended.

    A page that several processes share counts for each by its share, so the sizes of the services add up.  The resident
    set size would count the libraries that six Pythons share six times.
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
            total += getattr(memory, "pss", memory.uss)  # only Linux knows shares; uss leaves shared pages out
    return total


def gateway_readiness(http_port: int, token: str = "") -> tuple[bool, list[str]]:
    """Asks the gateway's /readyz; returns whether it is ready, and the services that it misses."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}  # without it the gateway names no services
    request = urllib.request.Request(f"http://{LOOPBACK}:{http_port}/readyz", headers=headers)
    try:
        try:
            with _DIRECT.open(request, timeout=CHECK_TIMEOUT_S) as answer:
                return True, _missing(answer.read())
        except urllib.error.HTTPError as refusal:  # it tells the same with 503
            return False, _missing(refusal.read())
    except (OSError, ValueError) as error:  # nobody answers, or somebody else does
        return False, [f"/readyz ({error})"]


def _missing(readiness: bytes) -> list[str]:
    services: dict[str, dict[str, str]] = json.loads(readiness).get("services", {})
    return [name for name, service in services.items() if service["state"] != "serving"]
