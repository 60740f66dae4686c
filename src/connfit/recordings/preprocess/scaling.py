"""Scaling of each unit with constants from the training part, and its inverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from connfit.errors import ConfigError, one_of
from connfit.recordings import Recording
from connfit.recordings.preprocess.preprocessing_step import STEPS, Step
from connfit.recordings.preprocess.step_record import (
    finish,
    flag,
    number,
    observed_values,
    refuse_units,
    training_columns,
)


def scale(
    recording: Recording,
    *,
    method: str = "std",
    nonnegative: bool = True,
    margin: float = 0.0,
    low: float = 1.0,
    high: float = 99.0,
    constant: str = "error",
) -> Recording:
    """Scale each unit, (value - offset) / scale, with constants from the training part.

    Parameters
    ----------
    recording
        [time, unit].
    method
        What becomes 1: `"std"`, the standard deviation; `"percentile"`, the distance between the
        percentiles `low` and `high`; `"range"`, that between least and greatest value.
    nonnegative
        Whether the offset is the percentile `low` (for `"range"`: the least value), so that 0 is the floor
        of the training part, as rates are never negative. The few values below it stay negative: nothing
        is clipped, so that the step can be undone. Otherwise the offset is the mean.
    margin
        Room below that floor, in scaled units: 0 lies this much lower. Later parts of a recording that drifts
        go below the floor of the training part, where a model of rates cannot follow.
    low, high
        Percentiles, 0 to 100.
    constant
        A unit that does not vary in the training part is an `"error"`, or is left out (`"drop"`) and named
        in the record.

    Raises
    ------
    DataError
        If a unit does not vary in the training part.
    """
    one_of("method", method, ("std", "percentile", "range"))
    one_of("constant", constant, ("error", "drop"))
    low, high = number("low", low, least=0, most=100), number("high", high, least=0, most=100)
    if low >= high:
        raise ConfigError(f"low = {low:g} must be below high = {high:g}")
    margin = number("margin", margin, least=0)
    flag("nonnegative", nonnegative)
    measured = [_Measured.of(train, low, high) for train in training_columns(recording)]
    floor, ceiling, least, greatest, mean, std = (np.concatenate(each) for each in zip(*measured, strict=True))
    size = {"std": std, "percentile": ceiling - floor, "range": greatest - least}[method]
    # A spread at the level of rounding errors is none: dividing by it would blow them up to signals.
    flat = ~(size > 1e-7 * np.maximum(np.abs(least), np.abs(greatest)))
    if constant == "error":
        refuse_units(
            recording,
            flat,
            f"do not vary in the training part ({method} is 0)",
            "Leave them out: constant='drop', or the step 'select'",
        )
    elif flat.all():
        refuse_units(recording, flat, "do not vary in the training part, no unit is left", "Use another recording")
    dropped = [recording.units[k] for k in np.flatnonzero(flat)]
    if dropped:
        recording = recording.select_units([unit for unit in recording.units if unit not in set(dropped)])
        size, floor, least, mean = size[~flat], floor[~flat], least[~flat], mean[~flat]
    offset = (least if method == "range" else floor) if nonnegative else mean
    offset = offset - margin * size
    options = {
        "method": method,
        "nonnegative": nonnegative,
        "margin": margin,
        "low": low,
        "high": high,
        "constant": constant,
        "dropped": dropped,
    }
    return finish(
        recording,
        lambda frames: (observed_values(recording, frames) - offset) / size,
        "scale",
        options,
        constants={"offset": offset, "scale": size},
        value_units=f"{recording.value_units}, scaled",
    )


class _Measured(NamedTuple):
    """Constants of some units in the training part."""

    floor: Float[np.ndarray, "P"]
    ceiling: Float[np.ndarray, "P"]
    least: Float[np.ndarray, "P"]
    greatest: Float[np.ndarray, "P"]
    mean: Float[np.ndarray, "P"]
    std: Float[np.ndarray, "P"]

    @classmethod
    def of(cls, train: Float[np.ndarray, "t P"], low: float, high: float) -> _Measured:
        floor, ceiling = np.nanpercentile(train, [low, high], axis=0)
        return cls(
            floor, ceiling, np.nanmin(train, axis=0), np.nanmax(train, axis=0), np.nanmean(train, axis=0),
            np.nanstd(train, axis=0),
        )  # fmt: skip


STEPS.register(Step(name="scale", label="scaling of each unit", apply=scale))


def unscale(recording: Recording) -> Recording:
    """Undo the scaling: values in the units before `scale`.

    Raises
    ------
    ConfigError
        If the recording was not scaled, or another step that changed values followed.
    """
    for step in reversed(recording.steps):
        if step["step"] == "scale":
            values = unscale_values(recording.values, step, recording.units)
            return recording.with_step(
                values.astype(recording.values.dtype),
                {"step": "unscale"},
                value_units=recording.value_units.removesuffix(", scaled"),
            )
        if step["step"] not in ("select", "to_substeps"):
            raise ConfigError(
                f"recording {recording.name!r}: the step {step['step']!r} followed the scaling, which can "
                "no longer be undone"
            )
    raise ConfigError(f"recording {recording.name!r} was not scaled")


def unscale_values(
    values: Float[np.ndarray, "... P"], step: Mapping[str, Any], units: Sequence[str]
) -> Float[np.ndarray, "... P"]:
    """Return values in the units before the scaling that `step` records.

    Parameters
    ----------
    values
        [..., unit] scaled values, for example predictions.
    step
        The record of `scale` in `Recording.steps`.
    units
        Names of the columns.

    Raises
    ------
    ConfigError
        If the record has no constants for a unit.
    """
    if step.get("step") != "scale":
        raise ConfigError(f"the step {step.get('step')!r} is not a scaling")
    position = {unit: k for k, unit in enumerate(step["units"])}
    absent = [unit for unit in units if unit not in position]
    if absent:
        raise ConfigError(f"the scaling has no constants for the units {', '.join(absent[:10])}")
    at = [position[unit] for unit in units]
    return np.asarray(values) * np.asarray(step["scale"])[at] + np.asarray(step["offset"])[at]
