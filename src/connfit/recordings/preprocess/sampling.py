"""Which units and which time steps: selection of units, substeps of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from connfit.errors import ConfigError, one_of
from connfit.recordings import Parts, Recording
from connfit.recordings.preprocess.preprocessing_step import STEPS, Step
from connfit.recordings.preprocess.step_record import whole


def select(
    recording: Recording,
    *,
    units: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    absent: str = "error",
) -> Recording:
    """Keep the units `units`, in that order, or all but `drop`.

    Parameters
    ----------
    absent
        A unit to drop that the recording lacks is an `"error"`, or passed over (`"skip"`): other animals may have it.

    Raises
    ------
    ConfigError
        If both or neither are given, or nothing is left.
    DataError
        If the recording has no such unit.
    """
    if (units is None) == (drop is None):
        raise ConfigError("select needs either units or drop")
    for name, value in (("units", units), ("drop", drop)):
        if isinstance(value, str):
            raise ConfigError(f"select: {name} = {value!r} must be a list of unit names")
    one_of("absent", absent, ("error", "skip"))
    if drop is not None:
        if absent == "skip":
            drop = [unit for unit in drop if unit in recording.units]
        recording.select_units(list(drop))
        units = [unit for unit in recording.units if unit not in set(drop)]
    if not units:
        raise ConfigError(f"select leaves no unit of recording {recording.name!r}")
    chosen = recording.select_units(list(units))
    left_out = [unit for unit in recording.units if unit not in set(units)]
    held = any(step["step"] == "to_substeps" for step in recording.steps)
    values = chosen.values if held else np.where(chosen.mask, chosen.values, np.nan).astype(chosen.values.dtype)
    return chosen.with_step(values, {"step": "select", "units": list(units), "drop": left_out, "looks_ahead": False})


STEPS.register(Step(name="select", label="choice of units", apply=select))


def to_substeps(recording: Recording, substeps: int) -> Recording:
    """Take `substeps` time steps per frame: the value of a frame is held until the next frame is there.

    Nothing is interpolated, for that would show a step the frame that it is to predict.

    Parameters
    ----------
    recording
        [T, unit] at the frame rate.
    substeps
        Time steps per frame, at least 1; 1 changes nothing.

    Returns
    -------
    Recording
        [T * substeps, unit]. Frame f is observed at step (f + 1) * substeps - 1, and only there is the mask
        True; before it, the value of frame f - 1 is held (NaN before the first frame, and where the frame is
        missing). Parts and frame rate are multiplied by `substeps`.
    """
    substeps = whole("substeps", substeps, least=1)
    if substeps == 1:
        return recording
    frames, units = recording.values.shape
    seen = np.where(recording.mask, recording.values, np.nan)
    before = np.concatenate([np.full((1, units), np.nan, seen.dtype), seen[:-1]])
    values = np.repeat(before, substeps, axis=0)
    values[substeps - 1 :: substeps] = seen
    mask = np.zeros((frames * substeps, units), bool)
    mask[substeps - 1 :: substeps] = recording.mask
    parts = recording.parts
    if parts is not None:
        parts = Parts(
            *((start * substeps, stop * substeps) for start, stop in (parts.train, parts.validation, parts.test))
        )
    return replace(
        recording,
        values=values,
        mask=mask,
        parts=parts,
        times=None,
        epochs={},
        blocks=tuple((start * substeps, stop * substeps) for start, stop in recording.blocks),
        inputs=None if recording.inputs is None else recording.inputs.held(substeps),
        frame_rate=recording.frame_rate * substeps,
        steps=(*recording.steps, {"step": "to_substeps", "substeps": substeps, "looks_ahead": False}),
    )


STEPS.register(Step(name="to_substeps", label="several time steps per frame", apply=to_substeps, colours_noise=True))
