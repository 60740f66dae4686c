"""Large arrays in pages of 2 MB, which saves a whole-brain fit a fifth of its processor time.

A training step of a whole brain takes and returns over 100 MB of temporary arrays. In pages of 4 KB that is 31,000 page
faults per window of the adult fly; where Linux leaves the choice to programs, as it does by default, the GNU C library
can ask for pages of 2 MB instead, but it reads this setting (`GLIBC_TUNABLES`) only when a program starts. The command
line therefore starts itself anew. From Python the variable is set before Python starts: nothing that a running program
can do is as good. XLA takes its arrays from that library, which has no function for it; keeping freed arrays instead
(`mallopt`, no memory maps) avoids the faults too, at twice the memory (docs/performance.md).
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
SETTING = "glibc.malloc.hugetlb=1"
_CHOICE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_FIRST_RELEASE = (2, 35)


def with_huge_pages(environment: Mapping[str, str], choice: Path = _CHOICE) -> dict[str, str] | None:
    """Return the environment in which a new process uses huge pages; None where it would change nothing.

    A setting of the user's own, for or against, is left as it is.
    """
    tunables = environment.get(VARIABLE, "")
    if "glibc.malloc.hugetlb" in tunables or not sys.platform.startswith("linux"):
        return None
    library, release = platform.libc_ver()
    try:
        known = tuple(int(part) for part in release.split(".")[:2])
        asked = "[madvise]" in choice.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    if library != "glibc" or known < _FIRST_RELEASE or not asked:
        return None
    return {**environment, VARIABLE: f"{tunables}:{SETTING}" if tunables else SETTING}


def restart_with_huge_pages() -> None:
    """Start this program anew, in the same process, if that is what it takes; else do nothing."""
    environment = with_huge_pages(os.environ)
    if environment is not None and sys.executable:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
