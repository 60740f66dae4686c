"""What a forecaster is asked to predict in a part of a recording: each next frame, and frames ahead of starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from connfit.config import EvaluateConfig
from connfit.evaluation.divergence import diverged
from connfit.evaluation.forecasts import Forecaster, SharingForecaster, check_shape
from connfit.evaluation.scratch import Scratch, part_of
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
        horizon that fits lie in the part, and in one block of it.
    too_long
        Horizons that do not fit, and why.
    """
    block = recording.require_parts()[part]
    inside = recording.stretches(block.start, block.stop)
    room = {h: sum(max(stop - first - h, 0) for first, stop in inside) for h in config.horizons}
    fitting = [h for h in config.horizons if room[h] >= MIN_STARTS]
    if recording.blocks:
        lengths = [stop - first for first, stop in inside]
        why = (
            f"in the part's {len(inside)} blocks of {min(lengths)} to {max(lengths)} frames {{room}} have one {{h}} "
            f"later, {MIN_STARTS} are needed"
        )
    else:
        why = f"the part has {block.stop - block.start} frames, horizon {{h}} needs {{needed}}"
    too_long = {h: why.format(h=h, room=room[h], needed=h + MIN_STARTS) for h in config.horizons if h not in fitting}
    if not fitting:
        return np.zeros(0, np.int64), too_long
    possible = np.concatenate([np.arange(first, max(stop - max(fitting), first)) for first, stop in inside])
    count = min(config.horizon_starts, len(possible))
    # Evenly spaced from the part's first frame on, as frames are counted in the recording: halves are rounded to even.
    at = np.round(np.linspace(block.start, block.start + len(possible) - 1, count)).astype(np.int64)
    return possible[np.unique(at) - block.start], too_long


def longest_horizon(recording: Recording, part: str, config: EvaluateConfig) -> int:
    """Return the longest horizon that fits into a part; 0 if none does."""
    too_long = horizon_starts(recording, part, config)[1]
    return max((h for h in config.horizons if h not in too_long), default=0)


def one_step_fault(one_step: Stored, recording: Recording, part: slice) -> str | None:
    """Report where one-step predictions of a part stop being finite, in one of its blocks."""
    blocks = [(first - part.start, stop - part.start) for first, stop in recording.stretches(part.start, part.stop)]
    return diverged(part_of(one_step, part), blocks)


def predictions(
    forecaster: Forecaster,
    recording: Recording,
    parts: Sequence[str],
    config: EvaluateConfig,
    store: Scratch | None = None,
) -> tuple[Stored, dict[str, Float[np.ndarray, "S steps P"]]]:
    """Compute one-step predictions of the whole recording, and predictions from the horizon starts of each part.

    The first frame of a block has no prediction: it is NaN.

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
    if recording.blocks:
        # Baselines have a value there, too, from frames of another block: nobody is scored by it.
        one_step = np.array(one_step) if isinstance(one_step, np.ndarray) and not one_step.flags.writeable else one_step
        for first, _ in recording.blocks:
            one_step[first : first + 1] = np.nan
    for part in parts:
        expected = (len(starts[part]), steps[part], len(recording.units))
        check_shape(forecaster, "horizon", predicted[part].shape, expected)
    return one_step, predicted
