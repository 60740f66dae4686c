"""What a forecaster is asked to predict in a part of a recording: each next frame, and frames ahead of starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from connfit.config import EvaluateConfig
from connfit.evaluation.forecasts import Forecaster, SharingForecaster, check_shape
from connfit.evaluation.scratch import Scratch
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import Stored

MIN_STARTS = 8
"""A horizon is scored only where this many start frames leave room for it."""


def horizon_starts(
    recording: Recording, part: str, config: EvaluateConfig
) -> tuple[Int[np.ndarray, "S"], dict[int, str]]:
    """Return start frames of the horizon scores in a part, the same for every forecaster.

    Returns
    -------
    starts
        [S] up to `config.horizon_starts` evenly spaced frames, so that the start and the longest
        horizon that fits lie in the part.
    too_long
        Horizons that do not fit, and why.
    """
    block = recording.require_parts()[part]
    length = block.stop - block.start
    fitting = [h for h in config.horizons if length - h >= MIN_STARTS]
    too_long = {
        h: f"the part has {length} frames, horizon {h} needs {h + MIN_STARTS}"
        for h in config.horizons
        if h not in fitting
    }
    if not fitting:
        return np.zeros(0, np.int64), too_long
    last = block.stop - 1 - max(fitting)
    count = min(config.horizon_starts, last - block.start + 1)
    return np.unique(np.round(np.linspace(block.start, last, count)).astype(np.int64)), too_long


def longest_horizon(recording: Recording, part: str, config: EvaluateConfig) -> int:
    """Return the longest horizon that fits into a part; 0 if none does."""
    too_long = horizon_starts(recording, part, config)[1]
    return max((h for h in config.horizons if h not in too_long), default=0)


def predictions(
    forecaster: Forecaster,
    recording: Recording,
    parts: Sequence[str],
    config: EvaluateConfig,
    store: Scratch | None = None,
) -> tuple[Stored, dict[str, Float[np.ndarray, "S steps P"]]]:
    """Compute one-step predictions of the whole recording, and predictions from the horizon starts of each part.

    Parameters
    ----------
    store
        Makes the array of one-step predictions; default: what the forecaster returns.

    Raises
    ------
    DataError
        If the forecaster returns an array of the wrong shape.
    """
    starts = {part: horizon_starts(recording, part, config)[0] for part in parts}
    steps = {part: longest_horizon(recording, part, config) for part in parts}
    if isinstance(forecaster, SharingForecaster):
        each = [starts[part] for part in parts]
        longest = max(steps.values(), default=0)
        at = np.concatenate([np.zeros(0, np.int64), *each])
        out = None if store is None else store.array(*recording.values.shape)
        one_step, ahead = forecaster.one_step_and_horizon(recording, at, longest, out)
        cut = np.split(np.asarray(ahead), np.cumsum([len(of) for of in each])[:-1])
        predicted = {part: of[:, : steps[part]] for part, of in zip(parts, cut[: len(parts)], strict=True)}
    else:
        one_step = np.asarray(forecaster.one_step(recording))
        predicted = {
            part: np.asarray(forecaster.horizon(recording, starts[part], steps[part]))
            if len(starts[part])
            else np.zeros((0, steps[part], len(recording.units)))
            for part in parts
        }
    check_shape(forecaster, "one_step", one_step.shape, recording.values.shape)
    for part in parts:
        expected = (len(starts[part]), steps[part], len(recording.units))
        check_shape(forecaster, "horizon", predicted[part].shape, expected)
    return one_step, predicted
