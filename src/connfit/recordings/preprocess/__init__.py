"""Preprocessing of recordings: pure functions that append what they did, with every constant, to `Recording.steps`.

Three rules hold for all of them. Constants come from the training part alone, so a recording is cut
into parts first. A step that looks ahead of a frame is applied to each part by itself, so that no
frame of one part changes another part; such a step says `looks_ahead` in its record. Values that
were not observed influence nothing and are NaN afterwards.

To add a step, put a function of a recording and its options into a module of this folder, with the help of
`step_record`, and register it there; other packages name theirs under the entry points `connfit.preprocess`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connfit.errors import ConfigError
from connfit.recordings import Recording
from connfit.recordings.preprocess.deconvolution import deconvolve
from connfit.recordings.preprocess.filters import high_pass, smooth
from connfit.recordings.preprocess.fluorescence import delta_f_over_f, remove_bleaching, running_baseline
from connfit.recordings.preprocess.preprocessing_step import STEPS, Step
from connfit.recordings.preprocess.resampling import resample
from connfit.recordings.preprocess.sampling import select, to_substeps
from connfit.recordings.preprocess.scaling import scale, unscale, unscale_values


def preprocess(recording: Recording, steps: Sequence[Mapping[str, Any]], *, first: int = 0) -> Recording:
    """Apply preprocessing steps in order.

    Parameters
    ----------
    recording
        Already cut into parts.
    steps
        Each a mapping with `step`, one of the names in `STEPS`, and the options of that step:
        `{"step": "high_pass", "cutoff_hz": 0.01}`.
    first
        Number of steps that were applied before, for messages.

    Raises
    ------
    ConfigError
        If a step or an option of it is unknown or has a wrong value.
    DataError
        If a step cannot be applied to these values; units are named.
    """
    for position, step in enumerate(steps, first):
        where = f"preprocess[{position}]"
        if not isinstance(step, Mapping) or "step" not in step:
            raise ConfigError(f"{where} = {step!r} must be a table with the key 'step', one of {', '.join(STEPS)}")
        options = {key: value for key, value in step.items() if key != "step"}
        recording = STEPS.find(str(step["step"]), f"{where}.step")(recording, options, where=where)
    return recording


__all__ = [
    "STEPS",
    "Step",
    "deconvolve",
    "delta_f_over_f",
    "high_pass",
    "preprocess",
    "remove_bleaching",
    "resample",
    "running_baseline",
    "scale",
    "select",
    "smooth",
    "to_substeps",
    "unscale",
    "unscale_values",
]
