"""What drives free runs: a forecaster's own one-step errors on training frames, drawn anew.

A stable forecaster that runs without noise settles at a fixed point, whatever it has learned. What it says about
ongoing activity shows when it is driven by the part of the activity that it does not predict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from connfit.evaluation.baselines.residual_gaps import fill_draws
from connfit.recordings import PART_NAMES, Recording
from connfit.recordings.frame_blocks import Stored, frame_blocks

MOST_RESIDUALS = 2**18
"""Values of training errors that noise is drawn from at most, those of evenly spaced frames."""

MIN_RESIDUALS = 30
"""Training frames with a residual, below which there is no noise to draw."""

RESIDUALS = "training residuals"
OTHERS_RESIDUALS = "training residuals of other animals"
_SEED = 2005


@dataclass(frozen=True, eq=False)
class Residuals:
    """Frames of one-step errors that noise is drawn from.

    Parameters
    ----------
    frames
        [R, unit] centred; NaN where a unit was not observed or not predicted.
    source
        Whose errors they are: `RESIDUALS` or `OTHERS_RESIDUALS`.
    training_frames
        Number of training frames that they were taken from.
    """

    frames: Float[np.ndarray, "R P"]
    source: str
    training_frames: int


def training_residuals(one_step: Stored, recording: Recording, warmup: int = 0) -> Float[np.ndarray, "R P"]:
    """Return one-step errors, data - prediction, of the frames of the training part, centred; NaN where there is none.

    Frames in which no unit has one are left out. Of a long part they are those of evenly spaced frames, with
    `MOST_RESIDUALS` values.

    Parameters
    ----------
    one_step
        Prediction of each frame of the recording from the frames before it.
    warmup
        Frames that are left out at the start, where a model's state still comes from rest; at most
        a tenth of the part.

    Notes
    -----
    They are errors of the fit on the frames that it was fitted to, and so smaller than errors on
    new frames wherever parameters are many: the run that they drive then varies too little.
    """
    block, units = recording.require_parts()["train"], len(recording.units)
    first = block.start + min(warmup, (block.stop - block.start) // 10)
    every = -(-(block.stop - first) * units // max(MOST_RESIDUALS, 1000 * units))
    kept = [np.zeros((0, units))]
    for part in frame_blocks(first, block.stop, units):
        some = slice(part.start + (first - part.start) % every, part.stop, every)
        here, predicted = recording.values[some], np.asarray(one_step[some])
        known = recording.mask[some] & np.isfinite(predicted)
        used = known.any(axis=1)
        kept.append(np.where(known[used], here[used].astype(np.float64) - predicted[used], np.nan))
    residuals = np.concatenate(kept)
    known = np.isfinite(residuals)
    if known.all():
        return residuals - residuals.mean(axis=0) if len(residuals) else residuals
    means = np.where(known, residuals, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return residuals - means


def residuals_of(one_step: Stored, recording: Recording, warmup: int) -> Residuals:
    """Return those of the recording's own training part."""
    train = recording.require_parts().train
    return Residuals(training_residuals(one_step, recording, warmup), RESIDUALS, train[1] - train[0])


def residuals_of_others(
    one_step: Mapping[str, Stored],
    recordings: Sequence[Recording],
    units: Sequence[str],
    warmup: int,
) -> Residuals:
    """Return training residuals of other animals, pooled, for an animal from which nothing is learned.

    A frame is one animal's. For units that this animal lacks, the errors of a whole frame of another
    animal, drawn at random, stand beside it: correlations within an animal are kept, none is made up
    between animals. Frames with a unit that no animal has are left out. What was not observed in an
    animal that has the unit stays NaN, and is drawn by `draw_noise`.

    Parameters
    ----------
    one_step
        By name of the recording: predictions of all its frames from the frames before them.
    recordings
        Of the other animals, each on its own scale.
    units
        [P] of the animal that is to be simulated.
    """
    donors: list[tuple[np.ndarray, np.ndarray]] = []
    total = 0
    for recording in recordings:
        position = {unit: k for k, unit in enumerate(recording.units)}
        train = recording.require_parts().train
        total += train[1] - train[0]
        own = [k for k, unit in enumerate(units) if unit in position]
        if not own:
            continue
        names = [unit for unit in units if unit in position]
        columns = [position[unit] for unit in names]
        frames = training_residuals(one_step[recording.name], recording, warmup)[:, columns]
        frames = frames[np.isfinite(frames).any(axis=1)]
        if len(frames):
            donors.append((np.array(own), frames))
    generator = np.random.default_rng((_SEED, len(PART_NAMES)))
    pooled = [np.zeros((0, len(units)))]
    for number, (own, frames) in enumerate(donors):
        whole, has = np.full((len(frames), len(units)), np.nan), np.zeros(len(units), bool)
        whole[:, own], has[own] = frames, True
        for other, others_frames in donors[number + 1 :] + donors[:number]:
            lacking = ~has[other]
            if lacking.any():
                drawn = others_frames[generator.integers(len(others_frames), size=len(frames))]
                whole[:, other[lacking]], has[other] = drawn[:, lacking], True
        if has.all():
            pooled.append(whole)
    return Residuals(np.concatenate(pooled), OTHERS_RESIDUALS, total)


def draw_noise(
    residuals: Float[np.ndarray, "R P"], runs: int, frames: int, part: str, out: Stored | None = None
) -> Stored:
    """Draw whole frames of residuals with replacement; which ones depends on their number and the part alone.

    What a frame lacks is drawn from the normal distribution that is conditional on what it has, anew for each draw: see
    `connfit.evaluation.baselines.residual_gaps`. Keeping frames whole keeps the correlations between units at the same
    time, and drops those over time. Source: residual bootstrap of vector autoregressions, Lütkepohl (2005) New
    Introduction to Multiple Time Series Analysis, appendix D.3; Efron & Tibshirani (1993) An
    Introduction to the Bootstrap, chapter 9.

    Parameters
    ----------
    out
        Where to put them; default: a new array.

    Returns
    -------
    Stored
        [runs, frames, unit].
    """
    generator = np.random.default_rng((_SEED, PART_NAMES.index(part)))
    drawn = generator.integers(len(residuals), size=(runs, frames))
    if out is None:
        return fill_draws(residuals, drawn, np.random.default_rng((_SEED, PART_NAMES.index(part), 1)))
    if np.isfinite(residuals).all():
        for block in frame_blocks(0, frames, runs * residuals.shape[1]):
            out[:, block] = residuals[drawn[:, block]]
    else:
        out[:] = fill_draws(residuals, drawn, np.random.default_rng((_SEED, PART_NAMES.index(part), 1)))
    return out
