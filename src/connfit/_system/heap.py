"""Memory of this process: how much it has held, and what it no longer uses, given back to the system.

A fit of a whole brain is to need what it holds. The functions that give back speak to the GNU C library, and do nothing
where there is another.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from pathlib import Path

_M_MMAP_THRESHOLD = -3  # of malloc.h


def peak_rss_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a new program inherits that of the process that started it.
        high_water = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(high_water.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def return_freed_arrays() -> None:
    """Return arrays of 2 MB and more to the system as soon as they are freed.

    By default that library raises its limit for doing so to 32 MB, and a whole brain's rates lie below: a fit would
    keep what it no longer uses.
    """
    _call("mallopt", _M_MMAP_THRESHOLD, 2 << 20)


def return_freed_pieces() -> None:
    """Return freed small pieces of memory, which that library keeps, to the system.

    After a training step is compiled this is about 100 MB that LLVM worked with.
    """
    _call("malloc_trim", 0)


def forget_programs() -> None:
    """Free what JAX has compiled, all of it: what is run again, is compiled again.

    The search for a start compiles some hundred programs, 200 MB that no later stage of a fit runs.
    """
    import jax

    jax.clear_caches()
    gc.collect()
    return_freed_pieces()


def _call(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        try:
            getattr(ctypes.CDLL(None), function)(*arguments)
        except AttributeError:
            pass  # another C library
