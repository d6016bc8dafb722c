"""A program in a terminal: what it is typed, and what it shows."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.waiting import PATIENCE_S

CONTROL_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\].*?(\x07|\x1b\\))|\r")
POLL_S = 0.05
"""How often to look whether the program has ended: its terminal stays open, so that nothing shown is lost."""


class Terminal:
    """A program that runs in a terminal of its own; it is killed at the end of the `with` block.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        env: its environment variables.
    """

    def __init__(self, command: list[str], folder: Path, env: dict[str, str]) -> None:
        self._near, self._far = pty.openpty()
        # The first terminal that a new session opens becomes its own, so that Ctrl-C is a signal to the program.
        self._popen = subprocess.Popen(
            ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(self._far), *command],
            cwd=folder,
            env={**env, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
            start_new_session=True,
        )
        self._output = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        os.close(self._near)
        os.close(self._far)

    @property
    def shown(self) -> str:
        """Everything that was shown so far, without control sequences."""
        return CONTROL_SEQUENCE.sub("", self._output.decode(errors="replace"))

    def type(self, text: str) -> None:
        """Types a text; "\\r" is enter, "\\x03" Ctrl-C."""
        os.write(self._near, text.encode())

    def wait_for(self, pattern: str, within_s: float = PATIENCE_S) -> str:
        """Reads until `pattern` was shown; returns the match.

        Raises:
            AssertionError: it was not within `within_s`, or the program ended first.
        """
        deadline = time.monotonic() + within_s
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < deadline, f"{pattern!r} was not shown:\n{self.shown[-3000:]}"
            assert self._read(deadline - time.monotonic()), f"ended without {pattern!r}:\n{self.shown[-3000:]}"
        return found[0]

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Reads until the program ends; returns its exit status."""
        deadline = time.monotonic() + within_s
        while self._read(deadline - time.monotonic()):
            pass
        return self._popen.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, within_s: float) -> bool:
        """Reads what is there; returns False if there is nothing within `within_s`, or nothing more."""
        ready, _, _ = select.select([self._near], [], [], max(0.0, min(within_s, POLL_S)))
        if ready:
            self._output += os.read(self._near, 65_536)
            return True
        return within_s > 0 and self._popen.poll() is None
