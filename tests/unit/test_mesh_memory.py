"""What a start took is given back, and nothing that is needed."""

from __future__ import annotations

import subprocess
import sys

from oviya.mesh.memory import _unchanged_files

SMAPS = """\
1000-3000 r-xp 00000000 08:01 77  /lib/code.so
Rss:                   8 kB
Anonymous:             0 kB
3000-4000 r--p 00002000 08:01 77  /lib/code.so
Anonymous:             4 kB
4000-5000 rw-p 00003000 08:01 77  /lib/code.so
Anonymous:             0 kB
5000-6000 r--p 00000000 00:00 0
Anonymous:             0 kB
"""


def test_only_unchanged_parts_of_files_are_forgotten():
    assert list(_unchanged_files(SMAPS)) == [(0x1000, 0x3000)]


def test_libraries_shrink_and_go_on_working():
    program = """
import re
import numpy as np
from oviya.mesh.memory import give_back

def of_files():
    return int(re.search(r"RssFile:\\s+(\\d+)", open("/proc/self/status").read())[1])

a = np.random.default_rng(0).standard_normal((200, 200))
product, before = a @ a, of_files()
give_back()
print(of_files() / before, np.array_equal(a @ a, product))
"""
    ratio, same = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert float(ratio) < 0.5
    assert same == "True"
