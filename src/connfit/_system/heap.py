"""What a process no longer uses, given back to the system: a fit of a whole brain is to need what it holds.

Both functions speak to the GNU C library, and do nothing where there is another.
"""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3  # of malloc.h


def return_freed_arrays() -> None:
    """Have arrays of 2 MB and more given back to the system as soon as they are freed.

    By default that library raises its limit for doing so to 32 MB, and a whole brain's rates lie below: a fit would
    keep what it no longer uses.
    """
    _call("mallopt", _M_MMAP_THRESHOLD, 2 << 20)


def return_freed_pieces() -> None:
    """Give back now what was freed in small pieces, which that library keeps.

    After a training step is compiled this is about 100 MB that LLVM worked with.
    """
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        try:
            getattr(ctypes.CDLL(None), function)(*arguments)
        except AttributeError:
            pass  # another C library
