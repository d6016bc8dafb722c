"""A service as a process of its own, with all that it prints."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Self

START_S = 60.0


class LoggedProcess:
    """`python -m MODULE`; its port is 0 unless `env` says otherwise.

    Args:
        module: what to run.
        prefix: of its settings, e.g. "CSM_".
        env: further environment.
    """

    def __init__(self, module: str, prefix: str, **env: str) -> None:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  (closed by __exit__)
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**os.environ, f"{prefix}PORT": "0", **env},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def printed(self) -> str:
        """All that it has printed so far."""
        self._output.seek(0)
        return self._output.read()

    def wait_for(self, pattern: str, timeout_s: float = START_S) -> re.Match[str]:
        """Waits until it has printed what matches `pattern`."""
        deadline = time.monotonic() + timeout_s
        while not (found := re.search(pattern, self.printed())):
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.printed()}"
            assert time.monotonic() < deadline, f"{pattern!r} was not printed:\n{self.printed()}"
            time.sleep(0.02)
        return found

    @property
    def address(self) -> str:
        """host:port of its gRPC, once it serves."""
        line = self.wait_for(r'.*(\] serving|"event": "serving").*\n')[0]
        found = re.search(r"address\W+(127\.0\.0\.1:\d+)", line)
        assert found, line
        return found[1]

    def stop(self) -> int:
        """Ends it with SIGTERM; returns what it ended with."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._output.close()
