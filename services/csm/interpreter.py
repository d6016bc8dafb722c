"""Settings of the Python interpreter for a process that serves."""

from __future__ import annotations

import gc
import sys

SWITCH_INTERVAL_S = 0.0005
"""With Python's default the engine's thread, back from the device, may wait 5 ms for each thread that computes, and the
device waits with it."""

GC_THRESHOLDS = 20_000, 20, 100
"""For `gc.set_threshold`.  With thousands of streams and Python's defaults, full collections stop every stream for
hundreds of milliseconds every few seconds.  Streams leave no reference cycles behind, so collections can be rare."""


def tune_interpreter() -> None:
    """Reduces pauses of the engine's thread.  Call this once the process is warm."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # objects that are alive by now stay alive, so collections skip them
    gc.set_threshold(*GC_THRESHOLDS)
