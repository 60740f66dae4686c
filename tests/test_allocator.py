"""Freed memory goes back to the system, which the library by itself does not do."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of the GNU C library")

ARRAYS = """
import sys
import numpy as np, psutil
from connfit._system.heap import return_freed_arrays

if sys.argv[1] == "with":
    return_freed_arrays()
del (one := [np.ones(3_500_000)])[:]  # 28 MB: the library now keeps whatever is smaller
held, pins = [], []
for _ in range(20):
    held.append(np.ones(1_000_000))
    pins.append(np.ones(1_000))  # between them, so that what is freed is not at the end of the heap
full = psutil.Process().memory_info().rss
held.clear()
print(full - psutil.Process().memory_info().rss)
"""

PIECES = """
import sys
import numpy as np, psutil
from connfit._system.heap import return_freed_pieces

held = [np.ones(10_000) for _ in range(2_000)]
# The last one is kept too: what lies above it is given back without being asked. Smaller ones could lie in a gap below.
pins = held[99::100]
full = psutil.Process().memory_info().rss
held.clear()
if sys.argv[1] == "with":
    return_freed_pieces()
print(full - psutil.Process().memory_info().rss)
"""


@pytest.mark.parametrize("program", [ARRAYS, PIECES], ids=["arrays", "pieces"])
def test_freed_memory_goes_back_to_the_system(program: str) -> None:
    back = {
        how: int(
            subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True).stdout
        )
        for how in ("with", "without")
    }
    assert back["with"] > 150e6 > back["without"]  # of 160 MB
