"""What loading freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, re
from oviya.mesh.memory import release_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def anonymous_kib():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1])

blocks = [libc.malloc(4096) for _ in range(20_000)]
for block in blocks:
    libc.memset(block, 1, 4096)
for block in blocks[:-1]:  # the last one keeps the heap from shrinking by itself
    libc.free(block)
before = anonymous_kib()
release_freed_memory()
print(before - anonymous_kib())
"""


def test_freed_memory_that_the_heap_kept_is_released():
    released_kib = int(subprocess.check_output([sys.executable, "-c", PROGRAM], text=True))
    assert released_kib > 20_000 * 4 * 0.8
