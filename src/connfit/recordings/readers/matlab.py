"""Recordings in MATLAB's MAT-files: a matrix of values, names of units, and a frame rate or times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from connfit._system.mat_variables import MatVariable
from connfit.connectome.mat_files import MatFile, is_numbers, opened_mat
from connfit.errors import ConfigError, DataError, UnclearError, did_you_mean, first_ten, one_of
from connfit.recordings import Recording
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import (
    RATE_KEYS,
    check_units,
    frame_times,
    require_file,
    require_rate,
    settle_missing,
    stated_rate,
    unread,
)
from connfit.recordings.readers.reader import READERS, Reader, stem
from connfit.recordings.time_units import in_seconds

ROWS = ("auto", "frames", "units")
_EXACT = 2**53
"""Whole numbers from which on double precision leaves some out."""


def read_matlab_recording(
    path: str | Path,
    *,
    name: str | None = None,
    values: str | None = None,
    units: str | None = None,
    time: str | None = None,
    rate: str | None = None,
    rows: str = "auto",
    frame_rate: float | None = None,
    kind: str = "dff",
    value_units: str = "dimensionless",
    missing: str = "error",
    time_unit: str | None = None,
) -> Recording:
    """Read a MAT-file of version 5 (v5 to v7.2) or v7.3.

    Parameters
    ----------
    path
        The file. Fields of a struct are named as `s.dff`.
    name
        Name of the recording. Default: the file's name without its ending.
    values
        Variable with the values, a matrix. Default: the only matrix of numbers with more than one row and column.
    units
        Variable with the names of the units: a cell array of text, rows of characters, or whole numbers. Default:
        `units` if it is there; else units are called `column-0`, `column-1`, ...
    time
        Variable with the time of each frame. Default: `time_s` if it is there.
    rate
        Variable with the frames per second (Hz). Default: `frame_rate` or `sampling_rate_hz` if it is there.
    rows
        What the rows of the matrix are, `"frames"` or `"units"`. Default: what the number of units or of times says.
    frame_rate
        Frames per second (Hz), checked against the file's.
    kind, value_units
        What the values are, see Recording.
    missing
        `"error"` or `"mask"`: what to do with values that are not finite.
    time_unit
        Unit of the times, `"s"`, `"ms"`, `"us"` or `"min"`. Default: seconds.

    Raises
    ------
    DataError
        If the file is damaged, or it is not clear what its variables are: the message lists them with their shapes.
    ConfigError
        If an option names no variable.
    """
    path = require_file(path)
    one_of("rows", rows, ROWS)
    with opened_mat(path) as file:
        known = file.variables
        chosen = {
            "values": _named("values", values, known, (), path),
            "units": _named("units", units, known, ("units",), path),
            "time": _named("time", time, known, ("time_s",), path),
            "rate": _named("rate", rate, known, (), path),
        }
        rates = {key: _scalar(file, key, path) for key in RATE_KEYS if key in known and rate is None}
        if chosen["rate"] is not None:
            rates = {RATE_KEYS[0]: _scalar(file, chosen["rate"], path)}
        chosen["values"] = chosen["values"] or _only_matrix(known, set(chosen.values()), path)
        matrix = _numbers(file, chosen["values"], path)
        seconds = None if chosen["time"] is None else _numbers(file, chosen["time"], path)
        listed = None if chosen["units"] is None else _unit_names(file, chosen["units"], path)
    if matrix.ndim != 2 or 0 in matrix.shape:
        problem = f"{chosen['values']} has shape {matrix.shape}; {_list(known)}"
        raise DataError(problem, path=path, fix="values must be a matrix of frames and units")
    if seconds is not None and seconds.size != max(seconds.shape):
        problem = f"{chosen['time']} has shape {seconds.shape}"
        raise DataError(problem, path=path, fix="One time in seconds per frame")
    moments = None if seconds is None else in_seconds(seconds.ravel(), path, time_unit=time_unit)
    by_frame = _by_frame(matrix, rows, listed, moments, str(chosen["values"]), known, path)
    names = check_units(
        [f"column-{k}" for k in range(by_frame.shape[1])] if listed is None else listed, by_frame.shape[1], path
    )
    found = stated_rate(rates, frame_rate, path)
    notes: dict[str, object] = {"file": path.name, "variables": {key: each for key, each in chosen.items() if each}}
    used = {each for each in chosen.values() if each} | set(RATE_KEYS)
    # Of a struct, fields beside the one that is read are no surprise.
    cautions = unread({each for each in known if "." not in each and known[each].kind != "struct"}, used, "variables")
    if moments is not None:
        times = frame_times(moments, path, stated_rate=found)
        notes |= times.notes()
        cautions += times.cautions
        found = found or times.frame_rate
    if found is None:
        raise UnclearError(
            f"the frame rate is not known; {_list(known)}",
            option="frame_rate",
            path=path,
            fix="Give frame_rate in Hz, or name the variable that holds it (rate) or the times in seconds (time)",
        )
    by_frame = by_frame.astype(np.result_type(by_frame.dtype, np.float32), order="C", copy=False)
    settled, mask, absent = settle_missing(by_frame, names, path, missing=missing)
    return Recording(
        name=name or stem(path),
        values=settled,
        units=names,
        frame_rate=require_rate(found, path),
        kind=kind,
        value_units=value_units,
        mask=mask,
        notes=with_cautions({**notes, "missing_values": absent}, cautions),
        times=moments,
    )


READERS.register(Reader(name="matlab", label="MATLAB", suffixes=(".mat",), read=read_matlab_recording))


def _list(known: dict[str, MatVariable]) -> str:
    return f"the variables are {first_ten(map(str, known.values())) or '(none)'}"


def _named(
    option: str, given: str | None, known: dict[str, MatVariable], usual: tuple[str, ...], path: Path
) -> str | None:
    if given is None:
        return next((name for name in usual if name in known), None)
    if given not in known:
        raise ConfigError(f"{path}: {option} = {given!r} is no variable{did_you_mean(given, known)}; {_list(known)}")
    return given


def _only_matrix(known: dict[str, MatVariable], taken: set[str | None], path: Path) -> str:
    fits = [
        name for name, found in known.items()
        if is_numbers(found) and len(found.shape) == 2 and min(found.shape) > 1 and name not in taken
    ]  # fmt: skip
    if len(fits) != 1:
        problem = f"{len(fits) or 'no'} matrices could be the values; {_list(known)}"
        fix = "Name the variable with the option values"
        raise UnclearError(problem, option="values", choices=fits, path=path, fix=fix)
    return fits[0]


def _numbers(file: MatFile, name: str, path: Path) -> np.ndarray:
    found = file.variables[name]
    read = file.numbers(name) if is_numbers(found) else None
    if read is None or read.dtype.kind not in "fiu":
        raise DataError(f"{found} holds no real numbers", path=path, fix="Write it as double, single or integers")
    return read


def _scalar(file: MatFile, name: str, path: Path) -> float:
    found = _numbers(file, name, path)
    if found.size != 1:
        raise DataError(f"{file.variables[name]} is no single number", path=path, fix="One frame rate in Hz")
    return found.item()


def _unit_names(file: MatFile, name: str, path: Path) -> list[str]:
    found = file.variables[name]
    if found.kind in ("cell", "char"):
        return file.words(name)
    fix = "Write a cell array of text, as cellstr(units) makes of strings and compose('%d', ids) of int64 ids"
    if not is_numbers(found):
        raise DataError(f"{found} holds no names", path=path, fix=fix)
    numbers = _numbers(file, name, path).ravel(order="F")
    if numbers.dtype.kind == "f":
        if not np.isfinite(numbers).all() or (numbers != np.round(numbers)).any():
            raise DataError(f"{found} holds numbers that are not whole", path=path, fix=fix)
        if (np.abs(numbers) >= _EXACT).any():
            problem = f"{found} holds floating point numbers, which cannot hold ids above 2^53 exactly"
            raise DataError(problem, path=path, fix=fix)
    return [str(int(number)) for number in numbers]


def _by_frame(
    matrix: np.ndarray,
    rows: str,
    units: list[str] | None,
    times: Float[np.ndarray, "T"] | None,
    name: str,
    known: dict[str, MatVariable],
    path: Path,
) -> np.ndarray:
    """The matrix as [frame, unit], if one way alone suits units and times."""

    def suits(frames: int, columns: int) -> bool:
        return (times is None or len(times) == frames) and (units is None or len(units) == columns)

    ways = {"frames": suits(*matrix.shape), "units": suits(*matrix.shape[::-1])}
    fitting = [way for way, fits in ways.items() if fits and rows in ("auto", way)]
    if len(fitting) == 1:
        return matrix if fitting[0] == "frames" else matrix.T
    said = [f"{len(units)} names of units"] if units is not None else []
    said += [f"{len(times)} times"] if times is not None else []
    shape = " x ".join(map(str, matrix.shape))
    if fitting:
        problem = f"it is not clear whether the rows of {name} ({shape}) are frames or units; {_list(known)}"
        fix = "Say rows = 'frames' or rows = 'units'"
        raise UnclearError(problem, option="rows", choices=fitting, path=path, fix=fix)
    problem = f"{name} is {shape}, which does not fit {' and '.join(said)}"
    fix = "Name the right variables with values, units and time" + ("" if rows == "auto" else ", or leave out rows")
    raise DataError(f"{problem}; {_list(known)}", path=path, fix=fix)
