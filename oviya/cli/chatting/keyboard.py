"""The keyboard of a terminal, or the lines of a pipe."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from threading import Thread

from oviya.cli.chatting.line_editor import END, Input, LineEditor

READ_BYTES = 4096


@contextmanager
def keyboard(
    take: Callable[[Input], None], show: Callable[[str], None], *, terminal: bool, space_is_key: bool
) -> Generator[None]:
    """Reads standard input until the end of the context, which must be entered in a running event loop.

    Args:
        take: called with what was typed.
        show: called with the line that is being typed.
        terminal: whether to read key by key, which needs a terminal on both ends.
        space_is_key: as for `LineEditor`.
    """
    descriptor, loop, editor = sys.stdin.fileno(), asyncio.get_running_loop(), LineEditor(space_is_key=space_is_key)

    def feed(data: bytes) -> None:
        for each in editor.feed(data or b"\n" * bool(editor.text) + END.encode()):
            take(each)
        show(editor.text)

    if not terminal:
        # A thread that does not keep the process alive, since a read cannot be cancelled.  Python's own `sys.stdin` has
        # a lock that such a thread would hold at exit.
        Thread(target=_read_pipe, args=(descriptor, loop, feed), daemon=True).start()
        yield
        return
    # Only Unix has terminals that are read like this.
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)  # key by key, without echo; Ctrl-C remains a signal
    loop.add_reader(descriptor, lambda: feed(os.read(descriptor, READ_BYTES)))
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _read_pipe(descriptor: int, loop: asyncio.AbstractEventLoop, feed: Callable[[bytes], None]) -> None:
    with suppress(RuntimeError, OSError):  # the loop is closed; there is no standard input
        while data := os.read(descriptor, READ_BYTES):
            loop.call_soon_threadsafe(feed, data)
        loop.call_soon_threadsafe(feed, b"")
