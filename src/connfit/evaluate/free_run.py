"""Free runs of a forecaster on a part of a recording: driven by resampled training residuals, and without noise.

A stable forecaster that runs without noise settles at a fixed point, whatever it has learned. What it
says about ongoing activity shows when it is driven by the part of the activity that it does not
predict: its own one-step errors on the training part, drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from connfit.config import EvaluateConfig
from connfit.evaluate.forecast import Forecaster, check_shape
from connfit.evaluate.metrics import (
    Measured,
    collect,
    diverged,
    fc_corr,
    functional_connectivity,
    median_of,
    std_ratios,
    unit_correlations,
)
from connfit.recording import PART_NAMES, Recording

MIN_RESIDUALS = 30
"""Training frames with every unit observed and predicted, below which there is no noise to draw."""

RESIDUALS = "training residuals"
NO_NOISE = "none"
_SEED = 2005


@dataclass(frozen=True, eq=False)
class FreeRun:
    """A free run of one part and what it scored.

    Parameters
    ----------
    scores
        As in `metrics.json`.
    run
        [t, unit] the first run; NaN during a warm-up inside the part, and everywhere if none was made.
    connectivity
        [unit, unit] functional connectivity, mean over the runs; NaN where it is not defined.
    """

    scores: dict[str, Any]
    run: Float[np.ndarray, "t P"]
    connectivity: Float[np.ndarray, "P P"]


def free_run_block(recording: Recording, part: str, warmup: int) -> tuple[int, int, int]:
    """First frame, number of frames and warm-up frames of the free run of a part.

    The warm-up lies before the part. The training part has nothing before it: there its own first
    frames are the warm-up, at most half of the part.
    """
    block = recording.require_parts()[part]
    length = block.stop - block.start
    if length == 0:
        return block.start, 0, 0
    if part == "train":
        used = min(warmup, length // 2)
        return block.start + used, length - used, used
    return block.start, length, min(warmup, block.start)


def training_residuals(
    one_step: Float[np.ndarray, "T P"], recording: Recording, warmup: int = 0
) -> Float[np.ndarray, "R P"]:
    """One-step errors, data - prediction, of the frames of the training part in which no unit lacks one, centred.

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
    block = recording.require_parts()["train"]
    block = slice(block.start + min(warmup, (block.stop - block.start) // 10), block.stop)
    values, mask = recording.values[block], recording.mask[block]
    complete = np.all(mask & np.isfinite(one_step[block]), axis=1)
    residuals = values[complete].astype(np.float64) - one_step[block][complete]
    return residuals - residuals.mean(axis=0) if len(residuals) else residuals


def draw_noise(
    residuals: Float[np.ndarray, "R P"], runs: int, frames: int, part: str
) -> Float[np.ndarray, "runs frames P"]:
    """Whole frames of residuals, drawn with replacement; which ones depends on their number and the part alone.

    Keeping frames whole keeps the correlations between units at the same time, and drops those
    over time. Source: residual bootstrap of vector autoregressions, Lütkepohl (2005) New
    Introduction to Multiple Time Series Analysis, appendix D.3; Efron & Tibshirani (1993) An
    Introduction to the Bootstrap, chapter 9.
    """
    generator = np.random.default_rng((_SEED, PART_NAMES.index(part)))
    return residuals[generator.integers(len(residuals), size=(runs, frames))]


def driven(
    forecaster: Forecaster,
    recording: Recording,
    part: str,
    residuals: Float[np.ndarray, "R P"],
    config: EvaluateConfig,
) -> FreeRun:
    """Free runs in which noise drawn from training residuals is added to each prediction and fed back.

    Each run is as long as the part and scored where the part was observed, so that its functional
    connectivity is estimated like that of the data.
    """
    start, frames, warmup = free_run_block(recording, part, config.free_run_warmup)
    values, mask, offset = _scored_frames(recording, part, start)
    count, units = len(residuals), values.shape[1]
    facts = {
        "warmup_frames": warmup,
        "frames": frames,
        "noise": RESIDUALS,
        "runs": config.free_run_runs,
        "noise_frames": count,
    }
    if frames == 0:
        return _none("the part has no frames", facts, offset, frames, units)
    if count < MIN_RESIDUALS:
        train = recording.require_parts().train
        reason = (
            f"{count} of {train[1] - train[0]} training frames have every unit observed and predicted, "
            f"{MIN_RESIDUALS} are needed to draw noise from"
        )
        return _none(reason, facts, offset, frames, units)
    noise = draw_noise(residuals, config.free_run_runs, frames, part)
    runs = np.asarray(forecaster.free_run(recording, start, frames, warmup, noise))
    check_shape(forecaster, "free_run", runs.shape, noise.shape)
    shown = _in_part(runs[0], offset)
    fault = diverged(np.swapaxes(runs, 0, 1))
    if fault:
        return FreeRun(_none(fault, facts, offset, frames, units).scores, shown, np.full((units, units), np.nan))
    scored = mask & np.isfinite(runs).all(axis=0)
    connectivity = np.mean([functional_connectivity(run, scored) for run in runs], axis=0)
    correlations = np.stack([unit_correlations(values, run, scored) for run in runs])
    ratios = np.mean([std_ratios(values, run, scored) for run in runs], axis=0)
    return FreeRun(_scores(values, scored, connectivity, correlations, ratios, facts), shown, connectivity)


def deterministic(forecaster: Forecaster, recording: Recording, part: str, config: EvaluateConfig) -> FreeRun:
    """The free run in which each prediction is fed back as it is.

    `std_ratio_second_half` is of the second half of its frames alone: near 0 where the run has come
    to rest, however far it had to go.
    """
    start, frames, warmup = free_run_block(recording, part, config.free_run_warmup)
    values, mask, offset = _scored_frames(recording, part, start)
    facts = {"warmup_frames": warmup, "frames": frames, "noise": NO_NOISE}
    if frames == 0:
        return _none("the part has no frames", facts, offset, frames, values.shape[1])
    run = np.asarray(forecaster.free_run(recording, start, frames, warmup))
    check_shape(forecaster, "free_run", run.shape, values.shape)
    fault = diverged(run)
    if fault:
        nothing = _none(fault, facts, offset, frames, values.shape[1])
        return FreeRun(nothing.scores, _in_part(run, offset), nothing.connectivity)
    scored = mask & np.isfinite(run)
    connectivity = functional_connectivity(run, scored)
    correlations, ratios = unit_correlations(values, run, scored), std_ratios(values, run, scored)
    scores = _scores(values, scored, connectivity, correlations, ratios, facts)
    late = slice(frames // 2, None)
    rest = median_of(std_ratios(values[late], run[late], scored[late]), "the data do not vary").value
    return FreeRun({**scores, "std_ratio_second_half": rest}, _in_part(run, offset), connectivity)


def _scored_frames(recording: Recording, part: str, start: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Data and mask of the frames that run freely, and how many frames of the part come before them."""
    values, mask = recording.part(part)
    offset = start - recording.require_parts()[part].start
    return values[offset:], mask[offset:], offset


def _in_part(run: np.ndarray, offset: int) -> np.ndarray:
    """The run in the frames of its part: nothing during a warm-up inside the part."""
    return np.concatenate([np.full((offset, run.shape[1]), np.nan), run])


def _none(reason: str, facts: dict[str, Any], offset: int, frames: int, units: int) -> FreeRun:
    missing = Measured(None, 0, reason=reason)
    scores = collect(fc_corr=missing, median_unit_r=missing, std_ratio=missing)
    return FreeRun({**scores, **facts}, np.full((offset + frames, units), np.nan), np.full((units, units), np.nan))


def _scores(
    values: Float[np.ndarray, "t P"],
    scored: Bool[np.ndarray, "t P"],
    connectivity: Float[np.ndarray, "P P"],
    correlations: Float[np.ndarray, "*runs P"],
    ratios: Float[np.ndarray, "P"],
    facts: dict[str, Any],
) -> dict[str, Any]:
    several = "pairs of unit and run" if correlations.ndim > 1 else "units"
    return {
        **collect(
            fc_corr=fc_corr(functional_connectivity(values, scored), connectivity),
            median_unit_r=median_of(correlations, "the data or the free run do not vary", of=several),
            std_ratio=median_of(ratios, "the data do not vary"),
        ),
        **facts,
    }
