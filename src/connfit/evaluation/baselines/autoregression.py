"""Autoregressions as forecasters, gaps included: of every unit by itself, and of all units together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Float

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.choosing import Facts
from connfit.evaluation.baselines.gap_filter import PastFilter, filtered_pasts
from connfit.evaluation.baselines.gap_moments import Moments
from connfit.evaluation.baselines.linear_problem import Problem, stationary
from connfit.evaluation.baselines.processes import LowRank, OwnProcess, Process, WideProcess
from connfit.evaluation.baselines.room import noise_blocks, one_free_run, room_for_runs
from connfit.evaluation.baselines.unit_scaling import Block, Scaling, Stretch, pooled_means
from connfit.evaluation.baselines.wide_moments import WideMoments
from connfit.evaluation.forecasts import Ahead, Frames, Noise, Runs, Starts
from connfit.evaluation.scratch import Stored
from connfit.recordings import Recording


@dataclass(frozen=True, eq=False)
class Autoregression:
    """A forecast is the process iterated from the last frames; what is simulated is taken for what was recorded.

    Entries that were not observed are marginalised: predictions are means given what was observed before, by the
    filter of `connfit.evaluation.baselines.gap_filter`. What is missing before the first frame is filtered too.

    Parameters
    ----------
    process
        On standardised values.
    correlations
        [L, P] autocovariance of each unit at lags 0 ... L - 1, for frames before a recording; standardised.
    scaling
        Of the training part.
    parameters
        Numbers that were fitted.
    chosen
        What the tuning chose.
    name
        What tables call it.
    """

    process: Process | OwnProcess | WideProcess
    correlations: Float[np.ndarray, "L P"]
    scaling: Scaling
    parameters: int
    chosen: Facts
    name: str = "autoregression"

    @property
    def lags(self) -> int:
        """Number of past frames."""
        return self.process.lags

    @property
    def coefficients(self) -> Float[np.ndarray, "_ P"] | LowRank:
        """Those of the process."""
        return self.process.coefficients

    def one_step(self, recording: Recording) -> Frames:
        """Predict each frame from all frames before it; NaN for the first `lags` frames."""
        return np.asarray(self.one_step_and_horizon(recording, np.zeros(0, int), 0)[0])

    def horizon(self, recording: Recording, starts: Starts, steps: int) -> Ahead:
        """Iterate the one-step prediction; frames before the recording count as not observed."""
        return self.one_step_and_horizon(recording, starts, steps)[1]

    def one_step_and_horizon(
        self,
        recording: Recording,
        starts: Starts,
        steps: int,
        out: Stored | None = None,
        *,
        given: Float[np.ndarray, "S steps Q"] | None = None,
    ) -> tuple[Stored, Ahead]:
        """Return both from one pass of the filter; the last columns are `given`, standardised, if they are."""
        starts = np.asarray(starts)
        early = bool(len(starts)) and int(starts.min()) < self.lags - 1
        out = np.empty(recording.values.shape) if out is None else out
        past = np.empty((len(starts), self.lags, len(recording.units)))
        for first, rows, _ in self._pasts(recording, 0, recording.frames, from_start=early):
            prediction = self.process.predict(rows[:-1])
            prediction[: max(self.lags - first, 0)] = np.nan
            out[first : first + len(prediction)] = self.scaling.restore(prediction)
            here = (starts >= first) & (starts < first + len(prediction))
            past[here] = rows[starts[here] - first + 1]
        ahead = np.empty((len(starts), steps, len(recording.units)))
        self._iterate(past, ahead, given=given)
        return out, self.scaling.restore(ahead)

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None = None) -> Runs:
        """Iterate the one-step prediction plus the noise from what is known after the warm-up."""
        return one_free_run(self, recording, start, frames, warmup, noise)

    def free_runs(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Stored,
        out: tuple[Stored, Stored] | None = None,
        *,
        given: Float[np.ndarray, "1 frames Q"] | None = None,
    ) -> tuple[Stored, Stored]:
        """Return `free_run` with the noise and without; the last columns are `given`, standardised, if they are."""
        out = room_for_runs(noise) if out is None else out
        *_, (_, rows, known) = self._pasts(recording, start - warmup, start, from_start=warmup < self.lags)
        past = rows[-1:]
        driven, quiet = np.repeat(past, noise.shape[0], axis=0), past
        for at, added in noise_blocks(noise):
            run = np.empty((1, *added.shape[1:]))
            here = None if given is None else given[:, at]
            quiet = self._iterate(quiet, run, given=here)
            out[1][at] = self.scaling.restore(run[0])
            if len(added):
                added /= self.scaling.stds
                driven = self._iterate(driven, added, known, given=here)
                out[0][:, at] = self.scaling.restore(added)
        return out

    def _pasts(
        self, recording: Recording, start: int, stop: int, *, from_start: bool
    ) -> Iterator[tuple[int, Float[np.ndarray, "n1 L P"], PastFilter]]:
        def read(first: int, last: int) -> Block:
            at = slice(start + first, start + last)
            return self.scaling.standardise(recording.values[at], recording.mask[at])

        stretch = Stretch(stop - start, len(recording.units), read)
        return filtered_pasts(self.process, self.correlations, stretch, from_start=from_start)

    def _iterate(
        self,
        past: Float[np.ndarray, "S L P"],
        out: Float[np.ndarray, "S steps P"],
        known: PastFilter | None = None,
        *,
        given: Float[np.ndarray, "#S steps Q"] | None = None,
    ) -> Float[np.ndarray, "S L P"]:
        """Write what follows the past, standardised, and return the past of the frames after that.

        With `known`, `out` comes as noise, which is added; it says something about entries that are still missing.
        """
        everything = np.ones(past.shape[2], bool)
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(out.shape[1]):
                predicted = self.process.predict(past)
                noise = None if known is None else out[:, step].copy()
                out[:, step] = predicted if noise is None else predicted + noise
                if given is not None:
                    out[:, step, -given.shape[2] :] = given[:, step]
                past = np.concatenate([out[:, step : step + 1], past[:, :-1]], axis=1)
                if noise is not None and known is not None and not known.certain:
                    past = known.learn(past, everything, noise)
        return past


@dataclass(frozen=True, eq=False)
class JointAutoregression(Autoregression, ABC):
    """An autoregression of all units on all units: what its kinds share is how they are fitted to several animals."""

    process: Process | WideProcess

    @classmethod
    @abstractmethod
    def _tuned(cls, recordings: Sequence[Recording], config: EvaluateConfig) -> Self:
        """Fit to recordings of the same units."""

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> Self:
        """Fit on the training part; every choice is the one of least one-step MSE on validation.

        Raises
        ------
        DataError
            If the training part is too short, or nothing was observed to tune on.
        """
        return cls._tuned([recording], config or EvaluateConfig())

    @classmethod
    def pooled(
        cls, recordings: Sequence[Recording], units: Sequence[str], config: EvaluateConfig | None = None
    ) -> Self:
        """Fit one of several animals, for the units of another one.

        It is fitted to the training parts and tuned on the validation parts of all recordings together,
        on those of `units` that every recording has. The other units are predicted not to change.

        Parameters
        ----------
        recordings
            Of the animals to learn from, each on its own scale.
        units
            [P] of the recording that is to be predicted, in its order.

        Raises
        ------
        DataError
            If the recordings share none of these units, or too few frames were recorded.
        """
        shared = [unit for unit in units if all(unit in recording.units for recording in recordings)]
        if not shared:
            raise DataError("no unit is recorded in all of the animals that the autoregression is to be fitted to")
        own = cls._tuned([recording.select_units(shared) for recording in recordings], config or EvaluateConfig())
        at = np.array([list(units).index(unit) for unit in shared])
        means, stds = np.nan_to_num(pooled_means(recordings, units)), np.ones(len(units))
        means[at], stds[at] = own.scaling.means, own.scaling.stds
        process, correlations = _among(own.process, own.correlations, at, len(units))
        chosen = {**own.chosen, "units_fitted": own.chosen.get("units_fitted", len(shared))}
        return replace(
            own, process=process, correlations=correlations, scaling=Scaling(means, stds), chosen=chosen
        )  # fmt: skip

    @classmethod
    def _of(
        cls,
        problem: Problem,
        process: Process | WideProcess,
        moments: Moments | WideMoments,
        parameters: int,
        chosen: Facts,
    ) -> Self:
        """Take a solution; units that were not fitted are predicted not to change."""
        whole = problem.on_whole_train(process.lags)
        at, units = np.flatnonzero(whole.fitted), process.units
        facts = {**chosen, "rows": moments.rows}
        correlations = stationary(moments, process.lags)
        if len(at) < units:
            facts["units_fitted"] = len(at)
            if isinstance(process, WideProcess):
                own = WideProcess(process.coefficients.of_units(at), process.intercept[at])
            else:
                b = process.coefficients.reshape(process.lags, units, units)[:, at][:, :, at]
                own = Process(b.reshape(-1, len(at)), process.intercept[at], process.covariance[np.ix_(at, at)])
            process, correlations = _among(own, correlations[:, at], at, units)
        return cls(process, correlations, whole.scaling, parameters, facts)


def _among(
    process: Process | WideProcess, correlations: Float[np.ndarray, "L p"], at: np.ndarray, units: int
) -> tuple[Process | WideProcess, Float[np.ndarray, "L P"]]:
    """Place a process at some of more units; the others are predicted not to change."""
    lags, here = process.lags, np.ix_(at, at)
    all_correlations = np.tile(1.0 - 1e-3 * np.arange(lags)[:, None], units)
    all_correlations[:, at] = correlations
    intercept = np.zeros(units)
    intercept[at] = process.intercept
    if isinstance(process, WideProcess):
        return WideProcess(process.coefficients.among(at, units), intercept), all_correlations
    blocks = np.zeros((lags, units, units))
    blocks[0] = np.eye(units)
    blocks[0][here] = 0
    blocks[(slice(None), *here)] = process.coefficients.reshape(lags, len(at), len(at))
    covariance = np.eye(units)
    covariance[here] = process.covariance
    return Process(blocks.reshape(lags * units, units), intercept, covariance), all_correlations
