"""What connfit reads from the environment, checked where it is used and before a command begins."""

from __future__ import annotations

import os
import re
from pathlib import Path

from connfit._system.paths import user_path
from connfit.errors import ConfigError, did_you_mean, one_of

DATA, CACHE, OPS, THREADS, ISA, MAX_BYTES, HDF5_TRIAL = (
    "CONNFIT_DATA", "CONNFIT_CACHE", "CONNFIT_OPS", "CONNFIT_THREADS", "CONNFIT_ISA", "CONNFIT_MAX_BYTES",
    "CONNFIT_HDF5_TRIAL",
)  # fmt: skip
IMPLEMENTATIONS = ("auto", "native", "portable", "pallas")
_WHOLE = re.compile(r"[1-9][0-9]{0,17}")


def whole_number(variable: str) -> int | None:
    """Return the number in a variable; None where it is empty or not set.

    Raises
    ------
    ConfigError
        If it is not a whole number of at least 1.
    """
    text = os.environ.get(variable, "").strip()
    if text and not _WHOLE.fullmatch(text):
        raise ConfigError(f"{variable}={text!r} must be a whole number of at least 1, or not be set")
    return int(text) if text else None


def implementation() -> str:
    """Return which operators `CONNFIT_OPS` asks for: `auto` where it is empty or not set."""
    return one_of(OPS, os.environ.get(OPS) or "auto", IMPLEMENTATIONS)


def folder(variable: str) -> Path | None:
    """Return the folder that a variable names; None where it is empty or not set.

    Raises
    ------
    ConfigError
        If it is a file.
    """
    text = os.environ.get(variable)
    if not text:
        return None
    path = user_path(text)
    if path.exists() != path.is_dir():
        raise ConfigError(f"{variable}={text} is no folder: name one, or unset it")
    return path


def check_environment() -> None:
    """Raise a ConfigError for the first variable of connfit that holds nonsense, or whose name is nearly right."""
    implementation()
    whole_number(THREADS)
    whole_number(MAX_BYTES)
    one_of(HDF5_TRIAL, os.environ.get(HDF5_TRIAL) or "on", ["on", "off"])
    one_of(ISA, os.environ.get(ISA) or "portable", ["portable", "avx2"])
    folder(DATA)
    folder(CACHE)
    known = (DATA, CACHE, OPS, THREADS, ISA, MAX_BYTES, HDF5_TRIAL)
    for name in os.environ:
        if name.startswith("CONNFIT_") and name not in known and (hint := did_you_mean(name, known)):
            raise ConfigError(f"{name} is no variable of connfit{hint}")
