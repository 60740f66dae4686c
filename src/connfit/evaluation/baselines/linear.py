"""Linear autoregressions of all units on all units as forecasters, gaps included: what all kinds share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from connfit.errors import DataError
from connfit.evaluation.baselines.gap_filter import GapFilter, filtered_pasts
from connfit.evaluation.baselines.gap_moments import Moments, Process
from connfit.evaluation.baselines.linear_problem import Problem, pooled_means, standardise, stationary
from connfit.recordings import Recording


@dataclass(frozen=True, eq=False)
class LinearForecaster:
    """y(t) = c + Σ_l A_l y(t - l) + e(t) on standardised values; the base of all that have this form.

    Entries that were not observed are marginalised: predictions are means given what was observed before, by the
    filter of `connfit.evaluation.baselines.gap_filter`. What is missing before the first frame is filtered too.

    Parameters
    ----------
    coefficients
        [lags * P, P] on the standardised scale, lag 1 first.
    intercept
        [P] on the standardised scale.
    covariance
        [P, P] of e on the standardised scale.
    correlations
        [lags, P] autocovariance of each unit at lags 0 ... lags - 1, for frames before a recording.
    means, stds
        [P] of the training part; NaN mean for a unit that it never shows.
    parameters
        Numbers that were fitted.
    chosen
        What the tuning chose, for the record.
    name
        What tables call it.
    """

    coefficients: Float[np.ndarray, "LP P"]
    intercept: Float[np.ndarray, "P"]
    covariance: Float[np.ndarray, "P P"]
    correlations: Float[np.ndarray, "L P"]
    means: Float[np.ndarray, "P"]
    stds: Float[np.ndarray, "P"]
    parameters: int
    chosen: dict[str, Any]
    name: str = "linear"

    @property
    def lags(self) -> int:
        """Number of past frames."""
        return len(self.correlations)

    @classmethod
    def _of(cls, problem: Problem, process: Process, moments: Moments, parameters: int, chosen: dict[str, Any]):
        """Of a solution; units that were not fitted are predicted not to change."""
        whole = problem.on_whole_train(process.lags)
        left_out = np.flatnonzero(~whole.fitted)
        b = process.coefficients.reshape(process.lags, process.units, process.units).copy()
        intercept, covariance = process.intercept.copy(), process.covariance.copy()
        b[:, left_out, :], b[:, :, left_out], intercept[left_out] = 0.0, 0.0, 0.0
        b[0, left_out, left_out] = 1.0
        covariance[left_out, :], covariance[:, left_out] = 0.0, 0.0
        covariance[left_out, left_out] = 1.0
        correlations = stationary(moments, process.lags)
        correlations[:, left_out] = 1.0 - 1e-3 * np.arange(process.lags)[:, None]
        facts = {**chosen, "rows": moments.rows, "units_fitted": int(whole.fitted.sum())}
        if whole.fitted.all():
            del facts["units_fitted"]
        b = b.reshape(process.coefficients.shape)
        return cls(b, intercept, covariance, correlations, whole.means, whole.stds, parameters, facts)

    @property
    def rows(self) -> int:
        """Frames that the fit used."""
        return self.chosen["rows"]

    @classmethod
    def _pooled(cls, fit: Callable[[Sequence[Recording]], Any], recordings: Sequence[Recording], units: Sequence[str]):
        """Of several animals for the units of another one: `fit` on those that all have, the others do not change."""
        shared = [unit for unit in units if all(unit in one.units for one in recordings)]
        if not shared:
            raise DataError("no unit is recorded in all of the animals that the autoregression is to be fitted to")
        fitted = fit([one.select_units(shared) for one in recordings])
        return fitted._among(shared, units, pooled_means(recordings, units))

    def _among(self, shared: Sequence[str], units: Sequence[str], means: np.ndarray):
        """The same for more units; those that were not fitted are predicted not to change."""
        at = np.array([list(units).index(unit) for unit in shared])
        count, lags = len(units), self.lags
        blocks = np.zeros((lags, count, count))
        blocks[0] = np.eye(count)
        blocks[0][np.ix_(at, at)] = 0
        for lag, fitted in enumerate(self.coefficients.reshape(lags, len(shared), len(shared))):
            blocks[lag][np.ix_(at, at)] = fitted
        intercept, means, stds = np.zeros(count), np.nan_to_num(means), np.ones(count)
        covariance, correlations = np.eye(count), np.ones((lags, count)) - 1e-3 * np.arange(lags)[:, None]
        intercept[at], means[at], stds[at] = self.intercept, self.means, self.stds
        covariance[np.ix_(at, at)], correlations[:, at] = self.covariance, self.correlations
        return replace(
            self,
            coefficients=blocks.reshape(lags * count, count),
            intercept=intercept,
            covariance=covariance,
            correlations=correlations,
            means=means,
            stds=stds,
            chosen={**self.chosen, "units_fitted": self.chosen.get("units_fitted", len(shared))},
        )

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """Prediction of each frame from all frames before it; NaN for the first `lags` frames."""
        return self._one_step(self._pasts(recording.values, recording.mask, from_start=False)[0])

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """The one-step prediction iterated; frames before the recording count as not observed."""
        return self.one_step_and_horizon(recording, starts, steps)[1]

    def one_step_and_horizon(
        self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int
    ) -> tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "S steps P"]]:
        """Both in one pass of the filter."""
        starts = np.asarray(starts)
        early = bool(len(starts)) and int(starts.min()) < self.lags - 1
        rows = self._pasts(recording.values, recording.mask, from_start=early)[0]
        return self._one_step(rows), self._iterate(rows[starts + 1], steps)

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """The one-step prediction, plus the noise, iterated from what is known after the warm-up."""
        given = slice(start - warmup, start)
        rows, known = self._pasts(recording.values[given], recording.mask[given], from_start=warmup < self.lags)
        if noise is None:
            return self._iterate(rows[-1:], frames)[0]
        return self._iterate(np.repeat(rows[-1:], len(noise), axis=0), frames, noise / self.stds, known)

    def free_runs(
        self, recording: Recording, start: int, frames: int, warmup: int, noise: Float[np.ndarray, "runs frames P"]
    ) -> tuple[Float[np.ndarray, "runs frames P"], Float[np.ndarray, "frames P"]]:
        """`free_run` with the noise and without."""
        return (
            self.free_run(recording, start, frames, warmup, noise),
            self.free_run(recording, start, frames, warmup),
        )

    def _pasts(self, values: np.ndarray, mask: np.ndarray, *, from_start: bool) -> tuple[np.ndarray, GapFilter]:
        z, seen = standardise(values, mask, self.means, self.stds)
        process = Process(self.coefficients, self.intercept, self.covariance)
        return filtered_pasts(process, self.correlations, z, seen, from_start=from_start)

    def _one_step(self, rows: np.ndarray) -> np.ndarray:
        prediction = rows[:-1] @ self.coefficients + self.intercept
        prediction[: self.lags] = np.nan
        return self._restore(prediction)

    def _iterate(
        self, past: np.ndarray, steps: int, noise: np.ndarray | None = None, known: GapFilter | None = None
    ) -> np.ndarray:
        """[S, lags * P] newest first -> [S, steps, P]; noise [S, steps, P] on the standardised scale.

        A simulated frame is taken for a recorded one: its noise says something about entries that are still missing.
        """
        units = len(self.intercept)
        out = np.empty((len(past), steps, units))
        everything = np.ones(units, bool)
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(steps):
                out[:, step] = past @ self.coefficients + self.intercept
                if noise is not None:
                    out[:, step] += noise[:, step]
                past = np.concatenate([out[:, step], past[:, :-units]], axis=1)
                if noise is not None and known is not None and not known.certain:
                    entries, gain = known.gains(everything)
                    past[:, entries] += noise[:, step] @ gain.T
        return self._restore(out)

    def _restore(self, z: np.ndarray) -> np.ndarray:
        return z * self.stds + self.means
