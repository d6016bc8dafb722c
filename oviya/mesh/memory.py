"""Memory that loading took and serving does not need."""

from __future__ import annotations

import ctypes
import gc


def release_freed_memory() -> None:
    """Returns what loading allocated and freed to the system; without glibc only Python's garbage is collected."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
