"""Preprocessing of recordings: pure functions that append what they did, with every constant, to `Recording.steps`.

Three rules hold for all of them. Constants come from the training part alone, so a recording is cut
into parts first. A step that looks ahead of a frame is applied to each part by itself, so that no
frame of one part changes another part; such a step says `looks_ahead` in its record. Values that
were not observed influence nothing and are NaN afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from connfit.errors import ConfigError, one_of
from connfit.recordings import Recording
from connfit.recordings.preprocess.deconvolution import deconvolve
from connfit.recordings.preprocess.filters import high_pass, smooth
from connfit.recordings.preprocess.fluorescence import delta_f_over_f, remove_bleaching, running_baseline
from connfit.recordings.preprocess.sampling import select, to_substeps
from connfit.recordings.preprocess.scaling import scale, unscale, unscale_values

STEPS: Mapping[str, Callable[..., Recording]] = MappingProxyType(
    {
        "delta_f_over_f": delta_f_over_f,
        "running_baseline": running_baseline,
        "high_pass": high_pass,
        "remove_bleaching": remove_bleaching,
        "scale": scale,
        "deconvolve": deconvolve,
        "smooth": smooth,
        "select": select,
        "to_substeps": to_substeps,
    }
)


def preprocess(recording: Recording, steps: Sequence[Mapping[str, Any]]) -> Recording:
    """Apply preprocessing steps in order.

    Parameters
    ----------
    recording
        Already cut into parts.
    steps
        Each a mapping with `step`, one of the names in `STEPS`, and the options of that step:
        `{"step": "high_pass", "cutoff_hz": 0.01}`.

    Raises
    ------
    ConfigError
        If a step or an option of it is unknown or has a wrong value.
    DataError
        If a step cannot be applied to these values; units are named.
    """
    for position, step in enumerate(steps):
        where = f"preprocess[{position}]"
        if not isinstance(step, Mapping) or "step" not in step:
            raise ConfigError(f"{where} = {step!r} must be a table with the key 'step', one of {', '.join(STEPS)}")
        function = STEPS[one_of(f"{where}.step", str(step["step"]), STEPS)]
        options = {key: value for key, value in step.items() if key != "step"}
        parameters = dict(list(inspect.signature(function).parameters.items())[1:])
        for option in options:
            if option not in parameters:
                near = get_close_matches(option, parameters, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(
                    f"{where}: step {step['step']!r} has no option {option!r}; its options are "
                    f"{', '.join(parameters)}{hint}"
                )
        absent = [
            name for name, one in parameters.items() if one.default is inspect.Parameter.empty and name not in options
        ]
        if absent:
            raise ConfigError(f"{where}: step {step['step']!r} needs {', '.join(absent)}")
        recording = function(recording, **options)
    return recording


__all__ = [
    "STEPS",
    "deconvolve",
    "delta_f_over_f",
    "high_pass",
    "preprocess",
    "remove_bleaching",
    "running_baseline",
    "scale",
    "select",
    "smooth",
    "to_substeps",
    "unscale",
    "unscale_values",
]
