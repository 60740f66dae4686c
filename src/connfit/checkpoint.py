"""Files of arrays that are either complete or not there."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from connfit.errors import DataError


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
        text = np.frombuffer(json.dumps(dict(meta or {})).encode(), np.uint8)
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
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        meta = json.loads(arrays.pop("__meta__").tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"damaged, or not written by connfit ({error})", path=path) from error
    return arrays, meta


def _settle(descriptor: int) -> None:
    """Have the file on disk before its name points to it."""
    os.fsync(descriptor)
