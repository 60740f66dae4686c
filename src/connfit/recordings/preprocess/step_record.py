"""What the preprocessing steps share: the training values, the segments, and the record of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from connfit.errors import ConfigError, UnitsError, first_ten
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks

EVERY = slice(None)


def observed_values(recording: Recording, frames: slice = EVERY, units: slice = EVERY) -> Float[np.ndarray, "T P"]:
    """Return [time, unit] float64, NaN where nothing was observed.

    Parameters
    ----------
    frames, units
        Of which; default: all.

    Raises
    ------
    ConfigError
        If the recording was already resampled to substeps, where values are held and not observed.
    """
    if any(step.get("step") == "to_substeps" for step in recording.steps):
        raise ConfigError(f"recording {recording.name!r} is already resampled: to_substeps must be the last step")
    return np.where(recording.mask[frames, units], recording.values[frames, units].astype(np.float64), np.nan)


def training_values(recording: Recording, values: Float[np.ndarray, "T P"]) -> Float[np.ndarray, "t P"]:
    """Return the training part of `values`.

    Raises
    ------
    ConfigError
        If the recording is not cut into parts.
    DataError
        If a unit has no observed value there.
    """
    train = values[recording.require_parts()["train"]]
    _refuse_silent(recording, ~np.isfinite(train).any(axis=0))
    return train


def training_columns(recording: Recording) -> Iterator[Float[np.ndarray, "t P"]]:
    """Yield the observed values of the training part of a few units after the other; of short ones of all at once.

    Raises
    ------
    ConfigError, DataError
        As `observed_values` and `training_values`.
    """
    frames = recording.require_parts()["train"]
    _refuse_silent(recording, ~recording.mask[frames].any(axis=0))
    # Pairs at least: a single column would be added up in another order than several.
    for some in frame_blocks(0, -(-len(recording.units) // 2), 2 * (frames.stop - frames.start)):
        yield observed_values(recording, frames, slice(2 * some.start, 2 * some.stop))


def _refuse_silent(recording: Recording, silent: ArrayLike) -> None:
    refuse_units(
        recording,
        silent,
        "have no observed value in the training part",
        "Leave them out with the step 'select', or train on more frames",
    )


def segments(recording: Recording, *, longest_gap: int | None = None) -> list[slice]:
    """List consecutive blocks that cover all frames and are cut at every edge of a part.

    With `longest_gap`, they are also cut around every stretch of more than that many frames in which no unit was
    observed, for instance where the source leaves out an artefact.
    """
    edges = {0, recording.frames}
    if recording.parts is not None:
        for part in (recording.parts.train, recording.parts.validation, recording.parts.test):
            edges.update(part)
    if longest_gap is not None:
        changes = np.diff(long_gaps(recording, longest_gap).astype(np.int8))
        edges.update((np.flatnonzero(changes) + 1).tolist())
    ordered = sorted(edges)
    return [slice(a, b) for a, b in pairwise(ordered)]


def long_gaps(recording: Recording, longest: int) -> Bool[np.ndarray, "T"]:
    """Find gaps: [T] True in stretches of more than `longest` frames in which no unit was observed.

    A stretch ends at the edge of a part: what is missing in the test part must not lengthen one before it.
    """
    gaps = np.zeros(recording.frames, bool)
    for block in segments(recording):
        silent = np.concatenate([[False], ~recording.mask[block].any(axis=1), [False]])
        edges = np.flatnonzero(np.diff(silent.astype(np.int8))) + block.start
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            gaps[start:stop] = stop - start > longest
    return gaps


def hold_last(values: Float[np.ndarray, "T P"]) -> Float[np.ndarray, "T P"]:
    """Fill NaN with the last observed value before it; before the first one, with the first; without any, with 0."""
    there = np.isfinite(values)
    at = np.maximum.accumulate(np.where(there, np.arange(len(values))[:, None], -1), axis=0)
    first = np.argmax(there, axis=0)
    held = np.take_along_axis(values, np.where(at < 0, first[None, :], at), axis=0)
    return np.where(there.any(axis=0), held, 0.0)


def refuse_units(recording: Recording, bad: ArrayLike, problem: str, fix: str) -> None:
    """Raise a UnitsError that names the units where `bad` [unit] is True."""
    bad = np.asarray(bad, bool)
    if bad.any():
        names = [recording.units[k] for k in np.flatnonzero(bad)]
        raise UnitsError(
            f"recording {recording.name!r}: units that {problem}: {first_ten(names)} ({len(names)} of {len(bad)})",
            units=names,
            fix=fix,
        )


def unusable_units(recording: Recording) -> list[str]:
    """List units that are not observed in the training part, or do not vary there."""
    values, mask = recording.part("train")
    most = np.where(mask, values, -np.inf).max(axis=0, initial=-np.inf)
    least = np.where(mask, values, np.inf).min(axis=0, initial=np.inf)
    # As in `scale`, a spread at the level of rounding errors is none.
    varies = most - least > 1e-7 * np.maximum(np.abs(most), np.abs(least))
    return [recording.units[k] for k in np.flatnonzero(~(np.isfinite(most) & varies))]


def number(
    name: str, value: object, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> float:
    """Return an option as a float within its bounds, or raise a ConfigError."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.integer | np.floating)
        or not np.isfinite(value)
    ):
        raise ConfigError(f"{name} = {value!r} must be a finite number")
    result = float(value)
    if (
        (above is not None and result <= above)
        or (least is not None and result < least)
        or (most is not None and result > most)
    ):
        limits = [
            f"above {above:g}" if above is not None else "",
            f"at least {least:g}" if least is not None else "",
            f"at most {most:g}" if most is not None else "",
        ]
        raise ConfigError(f"{name} = {result:g} must be {' and '.join(limit for limit in limits if limit)}")
    return result


def whole(name: str, value: object, *, least: int) -> int:
    """Return an option as an integer of at least `least`, or raise a ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ConfigError(f"{name} = {value!r} must be a whole number, {least} or more")
    return int(value)


def flag(name: str, value: object) -> bool:
    """Return an option that is true or false, or raise a ConfigError."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} = {value!r} must be true or false")
    return value


def finish(
    recording: Recording,
    values: Float[np.ndarray, "T P"] | Callable[[slice], Float[np.ndarray, "t P"]],
    step: str,
    options: Mapping[str, Any],
    *,
    constants: Mapping[str, np.ndarray] | None = None,
    looks_ahead: bool = False,
    **changes: Any,
) -> Recording:
    """Return the recording after a step, with the step's options and constants (one per unit) in its record.

    Parameters
    ----------
    values
        What the step made, or a function that makes it of some frames.
    """
    record = {"step": step, **options, "looks_ahead": looks_ahead}
    if constants is not None:
        record["units"] = list(recording.units)
        record.update({key: np.asarray(value, np.float64).tolist() for key, value in constants.items()})
    mask, kept = recording.mask, np.empty(recording.values.shape, recording.values.dtype)
    broken = np.zeros(len(recording.units), bool)
    for block in frame_blocks(0, *recording.values.shape):
        made = values(block) if callable(values) else values[block]
        broken |= (mask[block] & ~np.isfinite(made)).any(axis=0)
        kept[block] = np.where(mask[block], made, np.nan)
    refuse_units(
        recording,
        broken,
        f"are no longer finite after the step {step!r}",
        "Check the values and the options of the step",
    )
    return recording.with_step(kept, record, **changes)
