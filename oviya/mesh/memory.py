"""Returns freed memory to the system."""

from __future__ import annotations

import ctypes
import gc


def release_freed_memory() -> None:
    """Collects garbage and returns free heap memory to the system (glibc only)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
