"""A service as users start it: `python -m services.<name>` on a free port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from grpc import aio

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.05
LOG_LINES = 30
"""Lines of a failed process's log that an error shows."""


class ServiceProcess:
    """One service process.

    Args:
        name: the service, e.g. "csm".
        log: file that gets its output.
        settings: its environment variables, without the service's prefix, e.g. CHECKPOINT.
    """

    def __init__(self, name: str, log: Path, **settings: str) -> None:
        self.name, self.log = name, log
        self.address = ""
        """host:port of its gRPC server, once it serves."""
        self._metrics_url = ""
        settings = {"PORT": "0", "METRICS_PORT": "0", "LOG_FORMAT": "json"} | settings
        variables = {f"{name.upper()}_{key}": value for key, value in settings.items()}
        self._env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **variables}
        self._popen: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ServiceProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._popen is not None and self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()

    def start(self, within_s: float) -> float:
        """Starts the process; returns the seconds until it was SERVING.

        Raises:
            AssertionError: it ended, or was not SERVING within `within_s` seconds; shows the end of its log.
        """
        started = time.monotonic()
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", f"services.{self.name}"],
                cwd=ROOT, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.address = self._metrics_url = ""
        skipped = len(self._events())
        while time.monotonic() - started < within_s:
            assert self._popen.poll() is None, f"{self.name} ended with {self._popen.returncode}\n{self.log_tail()}"
            for event in self._events()[skipped:]:
                self._metrics_url = event["url"] if event["event"] == "metrics" else self._metrics_url
                if event["event"] == "serving":
                    self.address = event["address"]
                    return time.monotonic() - started
            time.sleep(POLL_S)
        raise AssertionError(f"{self.name} was not serving after {within_s:g} s\n{self.log_tail()}")

    @property
    def pid(self) -> int:
        """Its process id, once it was started."""
        assert self._popen is not None, "not started"
        return self._popen.pid

    def terminate(self) -> None:
        """Sends SIGTERM."""
        assert self._popen is not None, "not started"
        self._popen.send_signal(signal.SIGTERM)

    def wait(self, within_s: float) -> int:
        """Returns the exit code once it has ended."""
        assert self._popen is not None, "not started"
        return self._popen.wait(within_s)

    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def channel(self) -> aio.Channel:
        """Opens a channel that does not retry: a refusal is seen as it is."""
        return aio.insecure_channel(self.address, options=[("grpc.enable_retries", 0)])

    def metric(self, name: str) -> float:
        """Reads a metric without labels, or of the labels that `name` holds."""
        with urllib.request.urlopen(self._metrics_url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Returns the lines of its log with that event."""
        return [event for event in self._events() if event["event"] == name]

    def _events(self) -> list[dict[str, Any]]:
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def log_tail(self) -> str:
        """Returns the last lines of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:])
