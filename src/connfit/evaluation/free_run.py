"""Free runs of a forecaster on a part of a recording: driven by resampled training residuals, and without noise.

For the noise see `connfit.evaluation.residual_noise`. Runs are written and read in blocks of frames, and one after the
other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from connfit.config import EvaluateConfig
from connfit.evaluation.activity_dynamics import Dynamics, dynamics, no_dynamics
from connfit.evaluation.baselines.residual_gaps import MIN_OF_UNIT
from connfit.evaluation.connectivity import compared_connectivity, compared_units
from connfit.evaluation.divergence import any_diverged, diverged
from connfit.evaluation.forecasts import Forecaster, SharingForecaster, check_shape
from connfit.evaluation.metrics import (
    Measured,
    fc_corr,
    median_of,
    std_ratios,
    unit_correlations,
    with_measures,
)
from connfit.evaluation.pooling import largest, mean, same, total
from connfit.evaluation.residual_noise import MIN_RESIDUALS, Residuals, draw_noise
from connfit.evaluation.scratch import Scratch
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import Stored, frame_blocks

LONGEST_RUN = 10_000
"""Frames of a part that run freely at most, the first ones: more say nothing new and take as long as all other scores.
"""

NO_NOISE = "none"


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
        What drives them: `connfit.evaluation.residual_noise.RESIDUALS`, `OTHERS_RESIDUALS` or `NO_NOISE`.
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
        [t, unit] the first run; NaN during a warm-up inside the part, after `LONGEST_RUN` frames, and everywhere if
        none was made.
    connectivity
        [unit, unit] functional connectivity, mean over the runs; NaN where it is not defined. Of many units of those
        that are compared (`connfit.evaluation.connectivity`).
    """

    scores: FreeRunScores
    run: Stored
    connectivity: Float[np.ndarray, "P P"]


def free_run_block(recording: Recording, part: str, warmup: int) -> tuple[int, int, int]:
    """Return first frame, number of frames and warm-up frames of the free run of a part.

    The warm-up lies before the part. The training part has nothing before it: there its own first
    frames are the warm-up, at most half of the part. Of a longer part the first `LONGEST_RUN` frames run freely.
    """
    block = recording.require_parts()[part]
    length = block.stop - block.start
    if length == 0:
        return block.start, 0, 0
    if part == "train":
        used = min(warmup, length // 2)
        return block.start + used, min(length - used, LONGEST_RUN), used
    return block.start, min(length, LONGEST_RUN), min(warmup, block.start)


def free_runs(
    forecaster: Forecaster,
    recording: Recording,
    part: str,
    residuals: Residuals | None,
    config: EvaluateConfig,
    store: Scratch | None = None,
) -> tuple[FreeRun, FreeRun]:
    """Run a part freely, driven by noise and with each prediction fed back as it is.

    Without residuals both are the latter. The noise is drawn from them and added to each prediction. Each
    run is as long as the part, or `LONGEST_RUN` frames, and scored where the part was observed, so that its functional
    connectivity is estimated like that of the data.

    Parameters
    ----------
    store
        Makes the arrays of runs; default: in memory.
    """
    store = store or Scratch()
    start, frames, warmup = free_run_block(recording, part, config.free_run_warmup)
    if frames == 0:
        return no_free_runs(recording, part, residuals, config, "the part has no frames", store)
    shown = _Shown.of(recording, part, start, frames, store)
    units = len(recording.units)
    nothing = FreeRunScores(warmup_frames=warmup, frames=frames, noise=NO_NOISE)
    run, runs, noise = store.array(frames, units), None, None
    if residuals is not None and len(residuals.frames) >= MIN_RESIDUALS:
        size = config.free_run_runs, frames, units
        noise, runs = draw_noise(residuals.frames, size[0], frames, part, store.array(*size)), store.array(*size)
    if noise is not None and runs is not None and isinstance(forecaster, SharingForecaster):
        runs, run = forecaster.free_runs(recording, start, frames, warmup, noise, (runs, run))
    else:
        run = np.asarray(forecaster.free_run(recording, start, frames, warmup))
        if noise is not None:
            runs = np.asarray(forecaster.free_run(recording, start, frames, warmup, np.asarray(noise[:])))
    check_shape(forecaster, "free_run", run.shape, (frames, units))
    quiet = _quiet(shown, run, nothing)
    if residuals is None:
        return quiet, quiet
    facts = _driven_by(residuals, config, nothing)
    if noise is None or runs is None:
        reason = (
            f"{len(residuals.frames)} of {residuals.training_frames} training frames have a unit that is observed and "
            f"predicted, {MIN_RESIDUALS} are needed to draw noise from"
        )
        return _none(reason, facts, shown), quiet
    check_shape(forecaster, "free_run", runs.shape, noise.shape)
    silent = np.isfinite(residuals.frames).sum(axis=0) < MIN_OF_UNIT
    if silent.any():
        facts = replace(facts, units_without_noise=int(silent.sum()))
    return _driven(shown, _Runs(runs, silent), facts), quiet


@dataclass(frozen=True, eq=False)
class _Runs:
    """Free runs, read one after the other.

    Parameters
    ----------
    stored
        [runs, t, P].
    silent
        [P] units without noise of their own, which would settle: they are not scored.
    """

    stored: Stored
    silent: Bool[np.ndarray, "P"]

    def __len__(self) -> int:
        return self.stored.shape[0]

    def __iter__(self) -> Iterator[Float[np.ndarray, "t P"]]:
        for run in range(len(self)):
            values = np.asarray(self.stored[run])
            yield np.where(self.silent, np.nan, values) if self.silent.any() else values


@dataclass(frozen=True, eq=False)
class _Shown:
    """Data of the frames that run freely.

    Parameters
    ----------
    values, mask
        [t, P].
    offset, length
        Frames of the part before them, and in all.
    store
        Makes what is as long as the part.
    """

    values: Float[np.ndarray, "t P"]
    mask: Bool[np.ndarray, "t P"]
    offset: int
    length: int
    store: Scratch

    @classmethod
    def of(cls, recording: Recording, part: str, start: int, frames: int, store: Scratch) -> _Shown:
        block = recording.require_parts()[part]
        here = slice(start, start + frames)
        return cls(recording.values[here], recording.mask[here], start - block.start, block.stop - block.start, store)

    def in_part(self, run: Stored | None) -> Stored:
        """The run in the frames of its part: nothing before and after it."""
        units = self.values.shape[1]
        out = self.store.array(self.length, units)
        if run is not None:
            for block in frame_blocks(0, len(self.values), units):
                out[self.offset + block.start : self.offset + block.stop] = np.asarray(run[block])
        return out


def no_free_runs(
    recording: Recording,
    part: str,
    residuals: Residuals | None,
    config: EvaluateConfig,
    reason: str,
    store: Scratch | None = None,
) -> tuple[FreeRun, FreeRun]:
    """Return what stands in the place of free runs that are not made, with the reason."""
    start, frames, warmup = free_run_block(recording, part, config.free_run_warmup)
    shown = _Shown.of(recording, part, start, frames, store or Scratch())
    nothing = FreeRunScores(warmup_frames=warmup, frames=frames, noise=NO_NOISE)
    quiet = _none(reason, nothing, shown)
    if residuals is None:
        return quiet, quiet
    return _none(reason, _driven_by(residuals, config, nothing), shown), quiet


def _driven_by(residuals: Residuals, config: EvaluateConfig, nothing: FreeRunScores) -> FreeRunScores:
    return replace(
        nothing, noise=residuals.source, runs=config.free_run_runs, noise_frames=len(residuals.frames)
    )  # fmt: skip


def _driven(shown: _Shown, runs: _Runs, facts: FreeRunScores) -> FreeRun:
    values, units = shown.values, shown.values.shape[1]
    first = shown.in_part(next(iter(runs)))
    fault = any_diverged(runs)
    if fault:
        return replace(_none(fault, facts, shown), run=first)
    scored = shown.mask.copy()
    for run in runs:
        scored &= np.isfinite(run)
    pairs = (len(compared_units(units)),) * 2
    by_run, connectivity = shown.store.array(len(runs), *pairs), np.zeros(pairs)
    correlations, ratios = [], []
    for number, run in enumerate(runs):
        by_run[number] = own = compared_connectivity(run, scored)
        connectivity += own
        correlations.append(unit_correlations(values, run, scored))
        ratios.append(std_ratios(values, run, scored))
    connectivity /= len(runs)
    data = compared_connectivity(values, scored)
    facts = replace(facts, fc_corr_error=fc_corr_error(data, by_run))
    scores = _scores(
        values, scored, fc_corr(data, connectivity), np.stack(correlations), np.mean(ratios, axis=0), facts, runs
    )
    return FreeRun(scores, first, connectivity)


def fc_corr_error(data: Float[np.ndarray, "P P"], by_run: Stored) -> float | None:
    """Return the standard error, over the drawn runs, of `fc_corr` between the data and the mean over runs.

    By the jackknife over runs (Efron & Tibshirani 1993, chapter 11). It says how far other noise would have moved the
    score, not how well the data's own connectivity is known. None for a single run, or where FC is not defined.

    Parameters
    ----------
    by_run
        [runs, P, P] FC of each run.
    """
    runs = by_run.shape[0]
    if runs < 2:
        return None
    total = sum(np.asarray(by_run[run]) for run in range(runs))
    left_out = [fc_corr(data, (total - np.asarray(by_run[run])) / (runs - 1)).value for run in range(runs)]
    if any(value is None for value in left_out):
        return None
    return float(np.sqrt((runs - 1) * np.var(np.array(left_out, float))))


def _quiet(shown: _Shown, stored: Stored, facts: FreeRunScores) -> FreeRun:
    values, run = shown.values, np.asarray(stored[:])
    fault = diverged(run)
    if fault:
        return replace(_none(fault, facts, shown), run=shown.in_part(run))
    scored = shown.mask & np.isfinite(run)
    connectivity = compared_connectivity(run, scored)
    correlations, ratios = unit_correlations(values, run, scored), std_ratios(values, run, scored)
    late = slice(len(values) // 2, None)
    rest = median_of(std_ratios(values[late], run[late], scored[late]), "the data do not vary").value
    agreement = fc_corr(compared_connectivity(values, scored), connectivity)
    facts = replace(facts, std_ratio_second_half=rest)
    scores = _scores(values, scored, agreement, correlations, ratios, facts, [run])
    return FreeRun(scores, shown.in_part(run), connectivity)


def _none(reason: str, facts: FreeRunScores, shown: _Shown) -> FreeRun:
    none, units = no_dynamics(reason), len(compared_units(shown.values.shape[1]))
    reasons = dict.fromkeys(("fc_corr", "median_unit_r", "std_ratio"), reason)
    scores = replace(facts, spectrum=none.spectrum, autocorrelation=none.autocorrelation, reasons=reasons)
    return FreeRun(scores, shown.in_part(None), np.full((units, units), np.nan))


def _scores(
    values: Float[np.ndarray, "t P"],
    scored: Bool[np.ndarray, "t P"],
    agreement: Measured,
    correlations: Float[np.ndarray, "*runs P"],
    ratios: Float[np.ndarray, "P"],
    facts: FreeRunScores,
    runs: Iterable[Float[np.ndarray, "t P"]],
) -> FreeRunScores:
    several = "pairs of unit and run" if correlations.ndim > 1 else "units"
    moves = dynamics(values, scored, runs)
    return with_measures(
        replace(facts, spectrum=moves.spectrum, autocorrelation=moves.autocorrelation),
        fc_corr=agreement,
        median_unit_r=median_of(correlations, "the data or the free run do not vary", of=several),
        std_ratio=median_of(ratios, "the data do not vary"),
    )
