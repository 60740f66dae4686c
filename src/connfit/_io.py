"""Files of arrays that are either complete or not there."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from connfit.errors import DataError

_DAMAGE = (
    OSError, ValueError, KeyError, EOFError, SyntaxError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error
)  # fmt: skip
"""What damaged archives make NumPy and zipfile raise (RuntimeError: by unknown flags or compression)."""


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step: a crash leaves the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(temporary, "wb") as file:
        file.write(content)
        _settle(file.fileno())
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused because they are not JSON."""
    write_bytes(path, json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any] | None = None) -> None:
    """Write named arrays, and facts about them, as one uncompressed NPZ file, atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(temporary, "wb") as file:
        facts = {"names": list(arrays), "meta": dict(meta or {})}
        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        named: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
        np.savez(file, __meta__=text, **named)
        file.flush()
        _settle(file.fileno())
    os.replace(temporary, path)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_arrays` wrote.

    Raises
    ------
    DataError
        If the file is absent, truncated or of another kind.
    """
    if not path.exists():
        raise DataError("no such file", path=path)
    try:
        # Opened here, for NumPy leaves a damaged archive open.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            arrays = {key: archive[key] for key in getattr(archive, "files", ())}
        facts = json.loads(arrays.pop("__meta__").tobytes())
        if set(arrays) != set(facts["names"]):
            raise ValueError("not all of its arrays are there")
    except _DAMAGE as error:
        raise DataError(f"damaged, or not written by connfit ({error})", path=path) from error
    return arrays, facts["meta"]


def _settle(descriptor: int) -> None:
    """Have the file on disk before its name points to it."""
    os.fsync(descriptor)
