"""Free runs of a forecaster on a part of a recording: driven by resampled training residuals, and without noise.

A stable forecaster that runs without noise settles at a fixed point, whatever it has learned. What it
says about ongoing activity shows when it is driven by the part of the activity that it does not
predict: its own one-step errors on the training part, drawn anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from connfit.config import EvaluateConfig
from connfit.evaluation.activity_dynamics import Dynamics, dynamics, no_dynamics
from connfit.evaluation.baselines.residual_gaps import MIN_OF_UNIT, fill_draws
from connfit.evaluation.forecasts import Forecaster, SharingForecaster, check_shape
from connfit.evaluation.metrics import (
    diverged,
    fc_corr,
    functional_connectivity,
    median_of,
    std_ratios,
    unit_correlations,
    with_measures,
)
from connfit.evaluation.pooling import largest, mean, same, total
from connfit.recordings import PART_NAMES, Recording

MIN_RESIDUALS = 30
"""Training frames with a residual, below which there is no noise to draw."""

RESIDUALS = "training residuals"
OTHERS_RESIDUALS = "training residuals of other animals"
NO_NOISE = "none"
_SEED = 2005


@dataclass(frozen=True)
class FreeRunScores(Dynamics):
    """Scores of the free runs of one part.

    Parameters
    ----------
    fc_corr
        Correlation of functional connectivity, mean over runs, with the data's.
    fc_corr_error
        Its standard error over the runs that were drawn, see `fc_corr_error`.
    median_unit_r
        Median over units of the correlation over time with the data.
    std_ratio, std_ratio_second_half
        Standard deviation over that of the data, median over units. In the second half of the frames alone, of a run
        without noise, it is near 0 where the run has come to rest.
    warmup_frames
        Recorded frames before the run.
    frames
        Frames that run freely.
    noise
        What drives them: `RESIDUALS`, `OTHERS_RESIDUALS` or `NO_NOISE`.
    runs
        Runs with noise.
    noise_frames
        Training frames that noise is drawn from.
    units_without_noise
        Units of which too few errors are known; no free run of theirs is scored.
    """

    fc_corr: float | None = mean()
    median_unit_r: float | None = mean()
    std_ratio: float | None = mean()
    warmup_frames: int | None = largest()
    frames: int = total()
    noise: str | None = same()
    runs: int | None = largest(optional=True)
    noise_frames: int | None = total(optional=True)
    fc_corr_error: float | None = mean(optional=True)
    std_ratio_second_half: float | None = mean(optional=True)
    units_without_noise: int | float | None = mean(optional=True)

    @property
    def is_driven(self) -> bool:
        """Whether noise drives it."""
        return self.noise not in (None, NO_NOISE)


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

    scores: FreeRunScores
    run: Float[np.ndarray, "t P"]
    connectivity: Float[np.ndarray, "P P"]


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


def free_run_block(recording: Recording, part: str, warmup: int) -> tuple[int, int, int]:
    """Return first frame, number of frames and warm-up frames of the free run of a part.

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
    """Return one-step errors, data - prediction, of the frames of the training part, centred; NaN where there is none.

    Frames in which no unit has one are left out.

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
    known = mask & np.isfinite(one_step[block])
    used = known.any(axis=1)
    residuals, known = values[used].astype(np.float64) - one_step[block][used], known[used]
    if known.all():
        return residuals - residuals.mean(axis=0) if len(residuals) else residuals
    residuals = np.where(known, residuals, 0.0)
    means = residuals.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, residuals - means, np.nan)


def residuals_of(one_step: Float[np.ndarray, "T P"], recording: Recording, warmup: int) -> Residuals:
    """Return those of the recording's own training part."""
    train = recording.require_parts().train
    return Residuals(training_residuals(one_step, recording, warmup), RESIDUALS, train[1] - train[0])


def residuals_of_others(
    one_step: Mapping[str, Float[np.ndarray, "T P"]],
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
        columns, shared = [position[unit] for unit in names], recording.select_units(names)
        frames = training_residuals(one_step[recording.name][:, columns], shared, warmup)
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
    residuals: Float[np.ndarray, "R P"], runs: int, frames: int, part: str
) -> Float[np.ndarray, "runs frames P"]:
    """Draw whole frames of residuals with replacement; which ones depends on their number and the part alone.

    What a frame lacks is drawn from the normal distribution that is conditional on what it has, anew for each draw: see
    `connfit.evaluation.baselines.residual_gaps`. Keeping frames whole keeps the correlations between units at the same
    time, and drops those over time. Source: residual bootstrap of vector autoregressions, Lütkepohl (2005) New
    Introduction to Multiple Time Series Analysis, appendix D.3; Efron & Tibshirani (1993) An
    Introduction to the Bootstrap, chapter 9.
    """
    generator = np.random.default_rng((_SEED, PART_NAMES.index(part)))
    drawn = generator.integers(len(residuals), size=(runs, frames))
    return fill_draws(residuals, drawn, np.random.default_rng((_SEED, PART_NAMES.index(part), 1)))


def free_runs(
    forecaster: Forecaster, recording: Recording, part: str, residuals: Residuals | None, config: EvaluateConfig
) -> tuple[FreeRun, FreeRun]:
    """Run a part freely, driven by noise and with each prediction fed back as it is.

    Without residuals both are the latter. The noise is drawn from them and added to each prediction. Each
    run is as long as the part and scored where the part was observed, so that its functional connectivity
    is estimated like that of the data.
    """
    start, frames, warmup = free_run_block(recording, part, config.free_run_warmup)
    if frames == 0:
        return no_free_runs(recording, part, residuals, config, "the part has no frames")
    values, mask, offset = _scored_frames(recording, part, start)
    nothing = FreeRunScores(warmup_frames=warmup, frames=frames, noise=NO_NOISE)
    noise = None
    if residuals is not None and len(residuals.frames) >= MIN_RESIDUALS:
        noise = draw_noise(residuals.frames, config.free_run_runs, frames, part)
    if noise is not None and isinstance(forecaster, SharingForecaster):
        runs, run = map(np.asarray, forecaster.free_runs(recording, start, frames, warmup, noise))
    else:
        run = np.asarray(forecaster.free_run(recording, start, frames, warmup))
        runs = None if noise is None else np.asarray(forecaster.free_run(recording, start, frames, warmup, noise))
    check_shape(forecaster, "free_run", run.shape, values.shape)
    quiet = _quiet(values, mask, run, offset, nothing)
    if residuals is None:
        return quiet, quiet
    facts = _driven_by(residuals, config, nothing)
    if noise is None or runs is None:
        reason = (
            f"{len(residuals.frames)} of {residuals.training_frames} training frames have a unit that is observed and "
            f"predicted, {MIN_RESIDUALS} are needed to draw noise from"
        )
        return _none(reason, facts, offset, values.shape[1]), quiet
    check_shape(forecaster, "free_run", runs.shape, noise.shape)
    silent = np.isfinite(residuals.frames).sum(axis=0) < MIN_OF_UNIT
    if silent.any():
        # Without noise of their own they would settle.
        facts = replace(facts, units_without_noise=int(silent.sum()))
        runs = np.where(silent, np.nan, runs)
    return _driven(values, mask, runs, offset, facts), quiet


def no_free_runs(
    recording: Recording, part: str, residuals: Residuals | None, config: EvaluateConfig, reason: str
) -> tuple[FreeRun, FreeRun]:
    """Return what stands in the place of free runs that are not made, with the reason."""
    start, frames, warmup = free_run_block(recording, part, config.free_run_warmup)
    values, _, offset = _scored_frames(recording, part, start)
    nothing = FreeRunScores(warmup_frames=warmup, frames=frames, noise=NO_NOISE)
    quiet = _none(reason, nothing, offset, values.shape[1])
    if residuals is None:
        return quiet, quiet
    return _none(reason, _driven_by(residuals, config, nothing), offset, values.shape[1]), quiet


def _driven_by(residuals: Residuals, config: EvaluateConfig, nothing: FreeRunScores) -> FreeRunScores:
    return replace(
        nothing, noise=residuals.source, runs=config.free_run_runs, noise_frames=len(residuals.frames)
    )  # fmt: skip


def _driven(
    values: np.ndarray, mask: np.ndarray, runs: Float[np.ndarray, "runs t P"], offset: int, facts: FreeRunScores
) -> FreeRun:
    shown = _in_part(runs[0], offset)
    fault = diverged(np.swapaxes(runs, 0, 1))
    if fault:
        return replace(_none(fault, facts, offset, values.shape[1]), run=shown)
    scored = mask & np.isfinite(runs).all(axis=0)
    by_run = np.stack([functional_connectivity(run, scored) for run in runs])
    connectivity = by_run.mean(axis=0)
    correlations = np.stack([unit_correlations(values, run, scored) for run in runs])
    ratios = np.mean([std_ratios(values, run, scored) for run in runs], axis=0)
    error = fc_corr_error(functional_connectivity(values, scored), by_run)
    facts = replace(facts, fc_corr_error=error)
    return FreeRun(_scores(values, scored, connectivity, correlations, ratios, facts, runs), shown, connectivity)


def fc_corr_error(data: Float[np.ndarray, "P P"], by_run: Float[np.ndarray, "runs P P"]) -> float | None:
    """Return the standard error, over the drawn runs, of `fc_corr` between the data and the mean over runs.

    By the jackknife over runs (Efron & Tibshirani 1993, chapter 11). It says how far other noise would have moved the
    score, not how well the data's own connectivity is known. None for a single run, or where FC is not defined.
    """
    runs = len(by_run)
    if runs < 2:
        return None
    left_out = [fc_corr(data, (by_run.sum(axis=0) - run) / (runs - 1)).value for run in by_run]
    if any(value is None for value in left_out):
        return None
    return float(np.sqrt((runs - 1) * np.var(np.array(left_out, float))))


def _quiet(
    values: np.ndarray, mask: np.ndarray, run: Float[np.ndarray, "t P"], offset: int, facts: FreeRunScores
) -> FreeRun:
    fault = diverged(run)
    if fault:
        return replace(_none(fault, facts, offset, values.shape[1]), run=_in_part(run, offset))
    scored = mask & np.isfinite(run)
    connectivity = functional_connectivity(run, scored)
    correlations, ratios = unit_correlations(values, run, scored), std_ratios(values, run, scored)
    late = slice(len(values) // 2, None)
    rest = median_of(std_ratios(values[late], run[late], scored[late]), "the data do not vary").value
    facts = replace(facts, std_ratio_second_half=rest)
    scores = _scores(values, scored, connectivity, correlations, ratios, facts, run[None])
    return FreeRun(scores, _in_part(run, offset), connectivity)


def _scored_frames(recording: Recording, part: str, start: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Data and mask of the frames that run freely, and how many frames of the part come before them."""
    values, mask = recording.part(part)
    offset = start - recording.require_parts()[part].start
    return values[offset:], mask[offset:], offset


def _in_part(run: np.ndarray, offset: int) -> np.ndarray:
    """The run in the frames of its part: nothing during a warm-up inside the part."""
    return np.concatenate([np.full((offset, run.shape[1]), np.nan), run])


def _none(reason: str, facts: FreeRunScores, offset: int, units: int) -> FreeRun:
    none = no_dynamics(reason)
    reasons = dict.fromkeys(("fc_corr", "median_unit_r", "std_ratio"), reason)
    scores = replace(facts, spectrum=none.spectrum, autocorrelation=none.autocorrelation, reasons=reasons)
    return FreeRun(scores, np.full((offset + facts.frames, units), np.nan), np.full((units, units), np.nan))


def _scores(
    values: Float[np.ndarray, "t P"],
    scored: Bool[np.ndarray, "t P"],
    connectivity: Float[np.ndarray, "P P"],
    correlations: Float[np.ndarray, "*runs P"],
    ratios: Float[np.ndarray, "P"],
    facts: FreeRunScores,
    runs: Float[np.ndarray, "runs t P"],
) -> FreeRunScores:
    several = "pairs of unit and run" if correlations.ndim > 1 else "units"
    moves = dynamics(values, scored, runs)
    return with_measures(
        replace(facts, spectrum=moves.spectrum, autocorrelation=moves.autocorrelation),
        fc_corr=fc_corr(functional_connectivity(values, scored), connectivity),
        median_unit_r=median_of(correlations, "the data or the free run do not vary", of=several),
        std_ratio=median_of(ratios, "the data do not vary"),
    )
