"""Files that are either complete or not there: JSON of typed results, and named arrays."""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import Field, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import numpy as np

from connfit._typing import JSON
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


def optional(default: Any = None) -> Any:
    """Declare a field of a result that its JSON leaves out where it is None or empty."""
    how = {"optional": True}
    return field(default=None, metadata=how) if default is None else field(default_factory=default, metadata=how)


def plain(value: object, where: str = "$") -> JSON:
    """Turn results, arrays and collections into what JSON can hold.

    Parameters
    ----------
    value
        A dataclass becomes an object of its fields in their order, without those that are `optional` and empty.
    where
        What the value is called in messages.

    Raises
    ------
    ValueError
        If a number is NaN or infinite; the message names its key. Such a number has no place in a result: the code
        that made it must say None, and why.
    """
    if is_dataclass(value) and not isinstance(value, type):
        given = ((declared, getattr(value, declared.name)) for declared in fields(value))
        return {key.name: plain(item, f"{where}.{key.name}") for key, item in given if not _left_out(key, item)}
    if isinstance(value, msgspec.Struct):
        return plain(msgspec.structs.asdict(value), where)
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{at}]") for at, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}: say None and give the reason")
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{where} is a {type(value).__name__}, which JSON cannot hold")


def _left_out(declared: Field[Any], value: object) -> bool:
    return bool(declared.metadata.get("optional")) and (value is None or (isinstance(value, Mapping) and not value))


def finite(value: object) -> Any:
    """Return a number, or an array of numbers as lists, with None wherever a number is not finite."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: object) -> None:
    """Write a result, or anything that `plain` knows, as strict JSON, atomically."""
    write_bytes(path, json.dumps(plain(value, path.name), indent=2, allow_nan=False).encode() + b"\n")


ResultT = TypeVar("ResultT")


def read_json(path: Path, kind: type[ResultT], *, fix: str | None = None) -> ResultT:
    """Read a typed result from JSON; keys that its type does not have are skipped, absent ones take their defaults.

    Parameters
    ----------
    fix
        What to do about a file that is absent or damaged.

    Raises
    ------
    DataError
        If the file is absent, is not JSON, or a value is of another type; the message names its key.
    """
    if not path.exists():
        raise DataError("no such file", path=path, fix=fix)
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.ValidationError as error:
        raise DataError(f"not as connfit writes it ({error})", path=path, fix=fix) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"not valid JSON ({error})", path=path, fix=fix) from error


def as_result(value: object, kind: type[ResultT]) -> ResultT:
    """Return plain values, as of a file, as a typed result.

    Raises
    ------
    msgspec.ValidationError
        If a value is of another type; the message names its key.
    """
    return msgspec.convert(value, kind, str_keys=True)


def json_schema(kind: type) -> Mapping[str, JSON]:
    """Return the JSON Schema of a typed result."""
    return cast("Mapping[str, JSON]", msgspec.json.schema(kind))


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
