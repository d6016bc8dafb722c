"""Memory that a service took to start and does not need to run."""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Iterator
from pathlib import Path

SMAPS = Path("/proc/self/smaps")
MADV_DONTNEED = 4
"""linux/mman.h: forget these pages; of a file's, they are read again where they are touched again."""

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+)")


def give_back() -> None:
    """Gives the system back what loading took and freed, and the libraries' pages that only loading touched.

    Libraries count as a process's own memory (RSS) once they were touched: of torch, a start touches far more than
    serving does, and up to 2 MB around each place.  Does nothing where there is no glibc or no Linux.
    """
    gc.collect()
    libc = ctypes.CDLL(None, use_errno=True)
    if (trim := getattr(libc, "malloc_trim", None)) is not None:
        trim(0)
    if SMAPS.exists():
        for start, end in _unchanged_files(SMAPS.read_text()):
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)


def _unchanged_files(smaps: str) -> Iterator[tuple[int, int]]:
    """Yields start and end of the mappings of files that nobody can write to and of which no page was changed."""
    mapping: tuple[int, int] | None = None
    for line in smaps.splitlines():
        if found := _MAPPING.match(line):
            start, end, rights, inode = found.groups()
            mapping = (int(start, 16), int(end, 16)) if "w" not in rights and int(inode) else None
        elif mapping and line.split() == ["Anonymous:", "0", "kB"]:
            yield mapping
