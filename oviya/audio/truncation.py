"""Detects sound files that were cut short, from the sizes and marks in the file itself."""

from __future__ import annotations

import os
from typing import IO

UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""Sizes in a RIFF header that mean "unknown": the file was written to a pipe."""
OGG_TAIL_BYTES = 1 << 17
"""End of an Ogg file that holds its last page: a page has less than 64 KiB."""


def truncation_of(file: IO[bytes], head: bytes) -> str:
    """Describes what is missing at the end of a file; empty: nothing, or the file does not say.

    Args:
        file: a seekable file; its position does not change.
        head: its first 24 bytes.
    """
    at = file.tell()
    size = file.seek(0, os.SEEK_END)
    try:
        if head[:4] == b"RIFF":
            declared = int.from_bytes(head[4:8], "little")
            if declared not in UNKNOWN_SIZES and declared + 8 > size + 1:
                return f"it was cut short: {size} of {declared + 8} bytes are there"
        elif head[:4] == b"riff" and int.from_bytes(head[16:24], "little") > size:  # Wave64: a GUID, then the size
            return f"it was cut short: {size} of {int.from_bytes(head[16:24], 'little')} bytes are there"
        elif head[:4] == b"OggS":
            file.seek(max(0, size - OGG_TAIL_BYTES))
            tail = file.read()
            last = tail.rfind(b"OggS")  # header of the last page; its flag 4 marks the end of the stream (RFC 3533)
            if 0 <= last < len(tail) - 5 and not tail[last + 5] & 4:
                return "it was cut short: the end of its stream is missing"
        return ""
    finally:
        file.seek(at)
