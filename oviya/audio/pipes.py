"""Open files and pipes as FFmpeg reads them."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from typing import IO, Protocol, cast

HEAD_BYTES = 24
"""First bytes of a file that tell its form."""
SPOOL_BYTES = 2 << 30
"""Largest file with its index at the end that is read from a pipe."""


class Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def peek(file: IO[bytes], resources: ExitStack) -> tuple[bytes, Readable]:
    """Returns the first bytes of a file, and the file from its beginning.

    A pipe with an MP4 file, whose index is at the end, is copied to a temporary file, which `resources` closes.

    Raises:
        OSError: the file cannot be read.
        ValueError: the pipe holds more than `SPOOL_BYTES`.
    """
    if file.seekable():
        at = file.tell()
        head = file.read(HEAD_BYTES)
        file.seek(at)
        return head, file
    head = file.read(HEAD_BYTES)
    return head, _spool(head, file, resources) if head[4:8] == b"ftyp" else _Pipe(head, file)


def _spool(head: bytes, file: IO[bytes], resources: ExitStack) -> Readable:
    spool = cast("IO[bytes]", resources.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115
    spool.write(head)
    while chunk := file.read(1 << 20):
        if spool.tell() + len(chunk) > SPOOL_BYTES:
            raise ValueError(f"at most {SPOOL_BYTES >> 20} MiB from a pipe")
        spool.write(chunk)
    spool.seek(0)
    return spool


class _Pipe:
    """A pipe whose first bytes were already read.  It has no `seek`, so that FFmpeg does not try to."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._rest.read(size)
