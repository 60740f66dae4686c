"""Compiled programs that outlast a command: XLA takes seconds for what it then runs in milliseconds."""

from __future__ import annotations

import hashlib
import os
import platform
import warnings
from collections.abc import MutableMapping
from pathlib import Path

FOLDER, ENABLED = "JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"

SMALL_TOO = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0"}
"""JAX keeps only what takes a second to compile, but a command has a hundred programs that take less."""

MOST_BYTES = 2**28
"""Above it the oldest programs are deleted, before a command begins."""

_CPUINFO = Path("/proc/cpuinfo")


def keep_programs(root: Path, environment: MutableMapping[str, str] = os.environ) -> Path | None:
    """Have JAX, which is not imported yet, keep compiled programs and use those of earlier commands.

    A program is what XLA makes of the same computation, by the same version and flags, on the same kind of processor:
    results do not depend on where it comes from. A folder or file that cannot be used costs the time of compiling.

    Parameters
    ----------
    root
        The folder of what can be made again.
    environment
        In which processes that are started find the folder as well. A cache of the user's own stays as it is.

    Returns
    -------
    Path or None
        The folder of programs; None without one.
    """
    if FOLDER in environment or ENABLED in environment:
        return None
    folder = root / "programs" / _processor()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (_of_this_user(folder) and os.access(folder, os.W_OK | os.X_OK)):
            return None
        _delete_oldest(folder)
    except OSError:
        return None
    environment[FOLDER] = str(folder)
    for name, value in SMALL_TOO.items():
        environment.setdefault(name, value)
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache", UserWarning)
    return folder


def _processor() -> str:
    """A name for what this processor can do: machine code for more than that ends a process on another."""
    if _CPUINFO.exists():
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
        told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))})
    else:
        told = [platform.processor()]
    told.append(platform.machine())
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def _of_this_user(folder: Path) -> bool:
    """Whether nobody else can put programs there, which would be run."""
    if os.name != "posix":
        return True
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o022


def _delete_oldest(folder: Path) -> None:
    files = [(file.stat().st_mtime, file.stat().st_size, file.path) for file in os.scandir(folder) if file.is_file()]
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= MOST_BYTES:
            break
        Path(path).unlink(missing_ok=True)
        total -= size
