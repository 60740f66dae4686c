"""Files that are either complete or not there: JSON of typed results, and named arrays."""

from __future__ import annotations

import csv
import inspect
import json
import math
import os
import shutil
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, field, fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import msgspec
import numpy as np

from connfit._system.npz_members import array_header, check_packed, read_array
from connfit._system.paths import unfinished, user_path
from connfit._system.unpacked import check_size
from connfit._typing import JSON
from connfit.errors import ConnfitError, DataError, unreadable

DAMAGE = (
    OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, RuntimeError, MemoryError, OverflowError,
    struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What damaged archives make NumPy and zipfile raise (RuntimeError: by unknown flags or compression)."""


def require_file(path: str | Path, *, fix: str = "Check the path") -> Path:
    """Return the path of a file that can be read and is not empty.

    Raises
    ------
    DataError
        Says whether there is none, it is a folder or empty, or the system refuses to read it.
    """
    path = user_path(path)
    try:
        found = path.stat()
        if not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
            raise DataError("not a regular file", path=path, fix="Save what it gives in a file, and name that")
        path.open("rb").close()
    except FileNotFoundError as error:
        raise DataError("no such file", path=path, fix=fix) from error
    except (OSError, ValueError) as error:
        raise unreadable(error, "cannot be opened", path=path, fix="Check the path") from error
    if found.st_size == 0:
        raise DataError("the file is empty", path=path, fix="Copy or download it again")
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file under another name, which replaces it in one step: a crash leaves the old content or the new."""
    with replacing_together(path) as (temporary,):
        yield temporary


@contextmanager
def replacing_together(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Write files that belong together under other names, and put them in place once all are written.

    The last is the one by which the others are found. It is away while they are replaced, so that a crash leaves all
    of the old, all of the new, or (within the moment that takes) no last one; never some of both. An error leaves the
    old ones, and one of the system names the file.
    """
    for path in paths:
        if path.is_dir():
            raise DataError("a folder, where a file is to be written", path=path, fix="Move it away")
    temporary = tuple(map(unfinished, paths))
    try:
        with naming(paths[0], *temporary):
            yield temporary
            for each in temporary:
                _settle(each)
            if len(paths) > 1:
                paths[-1].unlink(missing_ok=True)
            for each, path in zip(temporary, paths, strict=True):
                os.replace(each, path)
    finally:
        for each in temporary:
            each.unlink(missing_ok=True)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Make a folder beside `path`, on the same file system, and remove what is left of it at the end."""
    folder = unfinished(path)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def naming(path: Path, *temporary: Path) -> Iterator[None]:
    """Have errors of the system name a file: of a write that is refused it does not say where."""
    try:
        yield
    except OSError as error:
        # Without a number, the name would take the place of what a library said.
        if error.errno is not None and error.filename in (None, *map(str, temporary)):
            error.filename = str(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of a file in one step."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def present(path: Path) -> bool:
    """Return whether there is a file of this name.

    Raises
    ------
    DataError
        If something else has the name: a folder, or a link to nothing; or the system does not say.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_symlink():
            fix = "Put the file back, or remove the link"
            raise DataError("a link to a file that is not there", path=path, fix=fix) from error
        return False
    except (OSError, ValueError) as error:
        raise unreadable(error, "cannot be opened", path=path) from error
    if stat.S_ISDIR(found.st_mode):
        raise DataError("a folder, where a file should be", path=path, fix="Move it away, and put the file back")
    return True


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV, lines ending in a line feed; what holds a line break of either kind is quoted."""
    lines: list[str] = []
    end = "\r\n"  # The writer quotes its letters alone.
    file: Any = SimpleNamespace(write=lambda line: lines.append(line.removesuffix(end) + "\n"))
    csv.writer(file, lineterminator=end).writerows(rows)
    return "".join(lines)


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
    _require(path, fix)
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.ValidationError, ConnfitError) as error:
        raise DataError(f"not as connfit writes it ({error})", path=path, fix=fix) from error
    except RecursionError as error:
        raise DataError("tables or lists lie too deep in each other", path=path, fix=fix) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"not valid JSON ({error})", path=path, fix=fix) from error
    except OSError as error:
        raise unreadable(error, "cannot be read", path=path, fix=fix) from error


def as_result(value: object, kind: type[ResultT]) -> ResultT:
    """Return plain values, as of a file, as a typed result.

    Raises
    ------
    msgspec.ValidationError
        If a value is of another type; the message names its key.
    """
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except (ConnfitError, UnicodeEncodeError) as error:  # the second: half a character, which JSON can escape
        raise msgspec.ValidationError(str(error)) from error


def json_schema(kind: type) -> Mapping[str, JSON]:
    """Return the JSON Schema of a typed result as it is written today: with all keys but those that are `optional`.

    Reading asks for less, see `read_json`.
    """
    schema = msgspec.json.schema(kind)
    for one in _dataclasses(msgspec.inspect.type_info(kind), {}):
        definition = schema["$defs"][one.__name__]
        written = [declared.name for declared in fields(one) if not declared.metadata.get("optional")]
        definition |= {"required": written} if written else {}
        for declared in fields(one):
            if declared.default_factory in _EMPTY:
                definition["properties"][declared.name].setdefault("default", _EMPTY[declared.default_factory])
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    return cast("Mapping[str, JSON]", schema)


_EMPTY: Mapping[object, JSON] = {dict: {}, list: [], tuple: []}
"""Defaults that msgspec says from version 0.23 on, in which descriptions have no indentation either."""


def _dataclasses(about: Any, seen: dict[int, Any]) -> Iterator[type]:
    """The dataclasses that a type consists of."""
    if id(about) in seen:
        return
    seen[id(about)] = about
    if isinstance(about, msgspec.inspect.DataclassType):
        yield about.cls
    parts: list[Any] = [field.type for field in getattr(about, "fields", ())]
    for name in ("item_type", "key_type", "value_type", "types", "item_types", "type"):
        part = getattr(about, name, ())
        parts += part if isinstance(part, tuple) else [part]
    for part in parts:
        if isinstance(part, msgspec.inspect.Type):
            yield from _dataclasses(part, seen)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any] | None = None) -> None:
    """Write named arrays, and facts about them, as one uncompressed NPZ file, atomically."""
    facts = {"names": list(arrays), "meta": dict(meta or {})}
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    named: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, __meta__=text, **named)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_arrays` wrote.

    Raises
    ------
    DataError
        If the file is absent, truncated or of another kind.
    """
    _require(path, None)
    try:
        arrays = _unpacked(path)
        facts = json.loads(arrays.pop("__meta__").tobytes())
        if set(arrays) != set(facts["names"]):
            raise ValueError("not all of its arrays are there")
        if not isinstance(facts["meta"], dict):
            raise ValueError("what is said beside its arrays is no table")
    except DAMAGE as error:
        raise unreadable(error, "damaged, or not written by connfit", path=path) from error
    return arrays, facts["meta"]


def read_npz(path: Path, *, fix: str | None = None) -> dict[str, np.ndarray]:
    """Read all arrays of an NPZ file, of which none takes more memory than what the file holds can unpack to.

    Parameters
    ----------
    fix
        What to do about a file that is absent or damaged.

    Raises
    ------
    DataError
        If the file is absent or damaged, holds Python objects, or an array claims a size that is not there.
    """
    _require(path, fix)
    try:
        return _unpacked(path)
    except DAMAGE as error:
        raise unreadable(error, "truncated, damaged or not an NPZ file", path=path, fix=fix) from error


def _require(path: Path, fix: str | None) -> None:
    if not present(path):
        raise DataError("no such file", path=path, fix=fix)


def _unpacked(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        arrays = {}
        for member in archive.infolist():
            check_packed(member)
        check_size(sum(member.file_size for member in archive.infolist()), path)
        for member in archive.infolist():
            with archive.open(member) as stream:
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"{name} is there twice")
                arrays[name] = read_array(stream, array_header(stream, member))
        return arrays


def _settle(path: Path) -> None:
    """Have a file on disk before another name points to it."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
