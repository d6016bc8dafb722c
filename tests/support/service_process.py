"""A service as users start it: `python -m services.<name>`, on a free port, with all that it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from grpc import aio

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
POLL_S = 0.02
LOG_LINES = 30
"""Lines of a failed process's log that an error shows."""


class ServiceProcess:
    """One service process; it is killed at the end of the `with` block.

    Args:
        module: what to run, e.g. "services.csm".
        log: file that its output is appended to; None: a temporary one.
        settings: its environment variables without the service's prefix, e.g. CHECKPOINT; its ports are free ones, and
            it logs JSON, unless they say otherwise.
    """

    def __init__(self, module: str, log: Path | None = None, **settings: str) -> None:
        self._module = module
        self.name = module.rpartition(".")[2].removesuffix("_service")
        self._folder = tempfile.TemporaryDirectory() if log is None else None  # removed by __exit__
        self.log = Path(self._folder.name, "log") if self._folder else log or Path()
        settings = {"PORT": "0", "METRICS_PORT": "0", "LOG_FORMAT": "json"} | settings
        variables = {f"{self.name.upper()}_{key}": value for key, value in settings.items()}
        self._env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **variables}
        self._popen: subprocess.Popen[bytes] | None = None
        self._begin = 0  # where the log of this start begins

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._popen is not None and self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()
        if self._folder:
            self._folder.cleanup()

    def start(self, within_s: float = START_S) -> float:
        """Starts the process; returns the seconds until it was SERVING.

        Raises:
            AssertionError: it ended, or was not SERVING within `within_s` seconds; shows the end of its log.
        """
        started = time.monotonic()
        self.launch()
        self.wait_for(r'\] serving |"event": "serving"', within_s)
        return time.monotonic() - started

    def launch(self) -> None:
        """Starts the process and does not wait for anything."""
        with self.log.open("ab") as log:
            self._begin = log.tell()
            self._popen = subprocess.Popen(
                [sys.executable, "-m", self._module],
                cwd=ROOT, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self._popen is not None, "not started"
        return self._popen

    @property
    def pid(self) -> int:
        """Its process id, once it was started."""
        return self._process.pid

    @property
    def address(self) -> str:
        """host:port of its gRPC server, once it serves."""
        return self.logged("serving", "address")

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, within_s: float = START_S) -> int:
        """Returns the exit code once it has ended."""
        return self._process.wait(within_s)

    def stop(self) -> int:
        """Ends it with SIGTERM, unless it has ended; returns its exit code."""
        if self.is_running():
            self.terminate()
        return self.wait()

    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def channel(self) -> aio.Channel:
        """Opens a channel that does not retry: a refusal is seen as it is."""
        return aio.insecure_channel(self.address, options=[("grpc.enable_retries", 0)])

    def metric(self, name: str) -> float:
        """Reads a metric without labels, or of the labels that `name` holds."""
        url = self.logged("metrics", "url")
        with urllib.request.urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))

    def printed(self) -> str:
        """Returns all that it has printed since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._begin)
            return log.read().decode("utf-8", "replace")

    def wait_for(self, pattern: str, within_s: float = START_S) -> re.Match[str]:
        """Waits until it has printed what matches `pattern`.

        Raises:
            AssertionError: it ended, or did not print it within `within_s` seconds; shows the end of its log.
        """
        deadline = time.monotonic() + within_s
        while not (found := re.search(pattern, self.printed())):
            assert self.is_running(), f"{self.name} ended with {self._process.returncode}\n{self.log_tail()}"
            assert time.monotonic() < deadline, f"{self.name} did not print {pattern!r}\n{self.log_tail()}"
            time.sleep(POLL_S)
        return found

    def logged(self, event: str, field: str) -> str:
        """Returns a field of an event that it logs, in either form, once it has."""
        line = self.wait_for(rf'.*(\] {event} |"event": "{event}").*\n')[0]
        found = re.search(rf'\b{field}\W+([^"\s]+)', line)
        assert found, line
        return found[1]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Returns the lines of its log with that event."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [event for event in events if event["event"] == name]

    def log_tail(self) -> str:
        """Returns the last lines of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:])
