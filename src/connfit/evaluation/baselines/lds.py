"""A low-rank linear dynamical system as a forecaster, with a standard deviation for every prediction one step ahead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines import BASELINES, Baseline, one_animal
from connfit.evaluation.baselines.blocks import tuning_blocks
from connfit.evaluation.baselines.carried_filter import carried_filter
from connfit.evaluation.baselines.carried_moments import carried_expectation_maximisation
from connfit.evaluation.baselines.kalman import (
    LinearSystem,
    expectation_maximisation,
    kalman_filter,
    smoother,
    subspace_start,
)
from connfit.evaluation.baselines.lag_one import lag_one
from connfit.evaluation.baselines.var_ridge import moments
from connfit.recordings import Recording

ITERATIONS = 15
"""Steps of expectation maximisation; the error on new frames hardly changes after ten."""

MIN_FRAMES_PER_DIMENSION = 4
"""Training frames that a latent dimension needs."""

NOTHING, OWN_DECAY, JOINT_DECAY = "nothing", "own decay", "own decay, estimated with the system"
"""What a unit carries over from its last frame besides the latent state; the last is tried where there are gaps."""


@dataclass(frozen=True, eq=False)
class Lds:
    """y(t) = D y(t-1) + C x(t) + c + v(t) with a latent state x(t) = A x(t-1) + w(t) of few dimensions.

    With D = 0 this is the classical linear dynamical system. It has no memory of a unit by itself, however, and
    calcium has; so the alternative is a diagonal D of each unit's lag-1 autocorrelation on the training part,
    as in a dynamic factor model (Stock & Watson 2011, Oxford Handbook of Economic Forecasting, chapter 2). Which
    of the two, and the number of dimensions, are those of least one-step error on validation. Fitted by
    expectation maximisation from a subspace start: see `connfit.evaluation.baselines.kalman`. Values that were not
    observed are left out of every sum; with D, missing values are part of the state, in the fit
    (`connfit.evaluation.baselines.carried_moments`; there D may be estimated with the rest, if validation prefers it)
    and in the filter (`connfit.evaluation.baselines.carried_filter`), so that predictions are exact means.

    Parameters
    ----------
    system
        Of the standardised series from which D times the last frame is taken, divided by `spread`.
    carried
        [P] D.
    spread
        [P] standard deviation of what is left after that.
    means, stds
        [P] of the training part; NaN mean for a unit that it never shows.
    chosen
        What the tuning chose, for the record.
    """

    system: LinearSystem
    carried: Float[np.ndarray, "P"]
    spread: Float[np.ndarray, "P"]
    means: Float[np.ndarray, "P"]
    stds: Float[np.ndarray, "P"]
    chosen: dict[str, Any]
    name: str = "lds"

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> Lds:
        """Fit on the training part, with the best kind and the best of `config.latent_dimensions`.

        They are tried in ascending order, until two in a row are no better.

        Raises
        ------
        DataError
            If the training part is too short for every number of dimensions, or nothing was observed to tune on.
        """
        config = config or EvaluateConfig()
        (train,), (tune,), tuned_on = tuning_blocks([recording])
        frames, units = train[1] - train[0], len(recording.units)
        limit = min(frames // MIN_FRAMES_PER_DIMENSION, units)
        dimensions = sorted(d for d in set(config.latent_dimensions) if d <= limit)
        if not dimensions:
            raise DataError(
                f"recording {recording.name!r}: {frames} training frames of {units} units are too few for a linear "
                f"dynamical system of {min(config.latent_dimensions)} dimensions"
            )
        best: tuple[float, int, str] | None = None
        gaps = not recording.mask[slice(*train)].all()
        for kind in (NOTHING, OWN_DECAY, JOINT_DECAY) if gaps else (NOTHING, OWN_DECAY):
            last, worse = np.inf, 0
            scaled = cls._scaled(recording, train, kind)
            for dimension in dimensions:
                error = scaled._estimated(recording, train, dimension, kind)._mse(recording, tune)
                if error is None:
                    continue
                if best is None or error < best[0]:
                    best = (error, dimension, kind)
                worse = 0 if error < last else worse + 1
                last = min(last, error)
                if worse == 2:
                    break
        if best is None:
            raise DataError(f"recording {recording.name!r}: nothing was observed on which the system could be tuned")
        error, dimension, kind = best
        whole = recording.require_parts().train
        model = cls._scaled(recording, whole, kind)._estimated(recording, whole, dimension, kind)
        facts = {
            "dimensions": dimension,
            "dimensions_at_edge": len(dimensions) > 1 and dimension in (dimensions[0], dimensions[-1]),
            "carried": kind,
            "tuned_on": tuned_on,
            "tuning_mse": error,
            "iterations": ITERATIONS,
        }
        return replace(model, chosen=facts)

    @classmethod
    def _scaled(cls, recording: Recording, train: tuple[int, int], kind: str) -> Lds:
        """With scales and D, and no system yet."""
        values, mask = recording.values[slice(*train)], recording.mask[slice(*train)]
        means, stds, _ = moments(values, mask)
        none = np.zeros(0)
        empty = LinearSystem(none, none, none, none, none, none, none)
        model = cls(empty, np.zeros(len(means)), np.ones(len(means)), means, stds, {})
        z, seen = model._standardise(values, mask)
        if kind != NOTHING:
            decay, spread = lag_one(z, seen)
            return replace(model, carried=decay, spread=spread)
        return replace(model, spread=moments(z, seen)[1])

    def _estimated(self, recording: Recording, train: tuple[int, int], dimension: int, kind: str) -> Lds:
        z, seen = self._standardise(recording.values[slice(*train)], recording.mask[slice(*train)])
        left, usable = self._left(z, seen)
        left = left / self.spread
        system = subspace_start(left, usable, dimension)
        carried = self.carried
        if carried.any() and not (seen | ~np.isfinite(self.means)).all():
            system, carried, smoothed = carried_expectation_maximisation(
                system, carried, z / self.spread, seen, ITERATIONS, with_decay=kind == JOINT_DECAY
            )
        else:
            system, _ = expectation_maximisation(system, left, usable, ITERATIONS)
            smoothed = smoother(system, kalman_filter(system, left, usable))
        # Runs start anywhere in the recording: the first state is any state of the training part.
        anywhere = smoothed.mean.T @ smoothed.mean / len(left) + smoothed.covariance.mean(axis=0)
        return replace(self, carried=carried, system=replace(system, m0=np.zeros(dimension), v0=anywhere))

    @property
    def parameters(self) -> int:
        """Numbers in A, Q, C, c, R and D; a change of the latent coordinates leaves d² of them without effect."""
        units, d = self.system.c.shape
        carried = units if self.carried.any() else 0
        return d * d + d * (d + 1) // 2 + units * d + 2 * units + carried

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """Mean of each frame given the frames before it; NaN for frame 0."""
        return self._forward(recording.values, recording.mask).mean

    def predictive_std(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """Standard deviation of each unit in each frame given the frames before it; NaN for frame 0."""
        return self._forward(recording.values, recording.mask).std

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """Mean of the frames after each start, given all frames up to it."""
        done = self._forward(recording.values, recording.mask)
        starts = np.asarray(starts)
        state, z = done.state[starts], done.filled[starts]
        out = np.empty((len(starts), steps, len(self.means)))
        for step in range(steps):
            state = state @ self.system.a.T
            z = self._next(z, state)
            out[:, step] = z
        return self._restore(out)

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """Mean of each frame, plus the noise; that sum is what the filter then takes for the recorded frame."""
        known = np.isfinite(self.means)
        runs = 1 if noise is None else len(noise)
        state = np.zeros((runs, len(self.system.a)))
        z = np.zeros((runs, len(self.means)))
        covariance = self.system.v0
        if warmup:
            given = slice(start - warmup, start)
            done = self._forward(recording.values[given], recording.mask[given])
            state, z, covariance = np.tile(done.state[-1], (runs, 1)), np.tile(done.filled[-1], (runs, 1)), done.last
        weighted = np.where(known, 1.0 / self.system.r, 0.0)[:, None] * self.system.c
        precision = self.system.c.T @ weighted
        out = np.empty((runs, frames, len(self.means)))
        for t in range(frames):
            state = state @ self.system.a.T
            covariance = self.system.a @ covariance @ self.system.a.T + self.system.q
            z = self._next(z, state)
            covariance = np.linalg.solve(np.eye(len(precision)) + covariance @ precision, covariance)
            if noise is not None:
                error = np.where(known, noise[:, t] / self.stds, 0.0)
                z = z + error
                state = state + (error / self.spread) @ weighted @ covariance
            out[:, t] = z
        return self._restore(out[0] if noise is None else out)

    def _forward(self, values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"]) -> _Run:
        z, seen = self._standardise(values, mask)
        if self.carried.any() and not (seen | ~np.isfinite(self.means)).all():
            return self._forward_with_gaps(z, seen | ~np.isfinite(self.means))
        left, usable = self._left(z, seen)
        filtered = kalman_filter(self.system, left / self.spread, usable)
        drawn = (filtered.predicted_mean @ self.system.c.T + self.system.offset) * self.spread
        latent = np.einsum("pi,tij,pj->tp", self.system.c, filtered.predicted_covariance, self.system.c, optimize=True)
        variance = (latent + self.system.r) * self.spread**2
        before = np.concatenate([np.zeros((1, z.shape[1])), z[:-1]])
        mean, total = self.carried * before + drawn, variance
        after = filtered.mean @ self.system.c.T + self.system.offset
        filled = np.where(seen, z, after * self.spread + self.carried * before)
        return self._run(mean, total, filtered.mean, filled, filtered.covariance[-1])

    def _forward_with_gaps(self, z: Float[np.ndarray, "t P"], seen: Bool[np.ndarray, "t P"]) -> _Run:
        """A missing value is part of the state: what a unit carries over from it is not known either."""
        s = self.system
        scaled = replace(s, c=s.c * self.spread[:, None], offset=s.offset * self.spread, r=s.r * self.spread**2)
        done = carried_filter(scaled, self.carried, z, seen)
        return self._run(done.mean, done.variance, done.state, done.filled, done.last)

    def _run(
        self, mean: np.ndarray, total: np.ndarray, state: np.ndarray, filled: np.ndarray, last: np.ndarray
    ) -> _Run:
        mean, std = self._restore(mean), np.sqrt(total) * self.stds
        std[:, ~np.isfinite(self.means)] = np.nan
        # Of frame 0 nothing is known but that it is one of the training part: no prediction.
        mean[0], std[0] = np.nan, np.nan
        return _Run(mean, std, state, filled, last)

    def _next(self, z: np.ndarray, state: np.ndarray) -> np.ndarray:
        return self.carried * z + (state @ self.system.c.T + self.system.offset) * self.spread

    def _left(self, z: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is left of each frame without D times the last one, and where both are known."""
        if not self.carried.any():
            return z, seen
        before = np.concatenate([np.zeros((1, z.shape[1])), z[:-1]])
        known = np.concatenate([np.zeros((1, z.shape[1]), bool), seen[:-1]]) & seen
        return np.where(known, z - self.carried * before, 0.0), known

    def _standardise(self, values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known = mask & np.isfinite(self.means)
        return np.where(known, (np.where(known, values, 0.0) - np.nan_to_num(self.means)) / self.stds, 0.0), known

    def _restore(self, z: np.ndarray) -> np.ndarray:
        return z * self.stds + self.means

    def _mse(self, recording: Recording, block: tuple[int, int]) -> float | None:
        """One-step MSE on a block, after all frames before it."""
        predicted = self._forward(recording.values[: block[1]], recording.mask[: block[1]]).mean[block[0] :]
        values, mask = recording.values[slice(*block)], recording.mask[slice(*block)]
        scored = mask & np.isfinite(predicted)
        return float(np.mean((values[scored] - predicted[scored]) ** 2)) if scored.any() else None


@dataclass(frozen=True, eq=False)
class _Run:
    """Filtered frames: prediction with standard deviation, state, values with gaps filled, and the last covariance."""

    mean: Float[np.ndarray, "t P"]
    std: Float[np.ndarray, "t P"]
    state: Float[np.ndarray, "t d"]
    filled: Float[np.ndarray, "t P"]
    last: Float[np.ndarray, "d d"]


BASELINES.register(
    Baseline(
        name="lds",
        label="LDS",
        phrase="the linear dynamical system",
        place=7,
        fit=Lds.fit,
        not_pooled=one_animal("a linear dynamical system"),
        does="low-rank linear dynamical system",
        parameters="A, Q, C, c, R and D",
        uses=("latent_dimensions",),
        linear=True,
    )
)
