"""A low-rank linear dynamical system as a forecaster, with a standard deviation for every prediction one step ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines import BASELINES, Baseline, one_animal
from connfit.evaluation.baselines.choosing import Facts, at_edge, least, training_blocks, tuning_blocks
from connfit.evaluation.baselines.lag_one import lag_one
from connfit.evaluation.baselines.linear_system import LinearSystem, subspace_start
from connfit.evaluation.baselines.room import noise_blocks, one_free_run, room_for_runs
from connfit.evaluation.baselines.system_filter import Filtered, system_filter
from connfit.evaluation.baselines.system_moments import expectation_maximisation
from connfit.evaluation.baselines.unit_scaling import Block, Scaling, Stretch
from connfit.evaluation.forecasts import Ahead, Frames, Noise, Runs, Starts
from connfit.evaluation.scratch import Stored
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
    expectation maximisation from a subspace start: see `connfit.evaluation.baselines.linear_system`. Values that were
    not observed are left out of every sum; with D, missing values are part of the state, in the fit
    (`connfit.evaluation.baselines.system_moments`; there D may be estimated with the rest, if validation prefers it)
    and in the filter (`connfit.evaluation.baselines.system_filter`), so that predictions are exact means.

    Parameters
    ----------
    system
        Of standardised values.
    carried
        [P] D.
    scaling
        Of the training part.
    chosen
        What the tuning chose.
    """

    system: LinearSystem
    carried: Float[np.ndarray, "P"]
    scaling: Scaling
    chosen: Facts = field(default_factory=dict)
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
        best = least(_candidates(recording, train, tune, dimensions))
        if best is None:
            raise DataError(f"recording {recording.name!r}: nothing was observed on which the system could be tuned")
        error, (dimension, kind) = best
        (whole,) = training_blocks([recording])
        facts = {
            "dimensions": dimension,
            "dimensions_at_edge": at_edge(dimension, dimensions),
            "carried": kind,
            "tuned_on": tuned_on,
            "tuning_mse": error,
            "iterations": ITERATIONS,
        }
        return replace(cls._estimated(recording, whole, dimension, kind), chosen=facts)

    @classmethod
    def _estimated(cls, recording: Recording, train: tuple[int, int], dimension: int, kind: str) -> Lds:
        values, mask = recording.values[slice(*train)], recording.mask[slice(*train)]
        scaling = Scaling.of(values, mask)

        def read(first: int, last: int) -> Block:
            z, seen = scaling.standardise(values[first:last], mask[first:last])
            return z, seen & scaling.known

        whole = Stretch(len(values), len(recording.units), read)
        if kind == NOTHING:
            carried, spread = np.zeros(len(scaling.means)), Scaling.of_blocks(whole.blocks).stds
        else:
            carried, spread = lag_one(whole)

        def left(first: int, last: int) -> Block:
            """What the state is fitted to: values, or what D times the last ones leaves of them, of variance 1."""
            if kind == NOTHING:
                z, seen = read(first, last)
                return z / spread, seen
            z, seen = read(max(first - 1, 0), last)
            before, usable = np.zeros_like(z), np.zeros_like(seen)
            before[1:], usable[1:] = z[:-1], seen[:-1] & seen[1:]
            found = np.where(usable, z - carried * before, 0.0)
            return (found / spread)[first > 0 :], usable[first > 0 :]

        def scaled(first: int, last: int) -> Block:
            z, seen = read(first, last)
            return z / spread, seen

        system, carried, anywhere = expectation_maximisation(
            subspace_start(replace(whole, read=left), dimension), carried, replace(whole, read=scaled), ITERATIONS,
            with_decay=kind == JOINT_DECAY,
        )  # fmt: skip
        # Runs start anywhere in the recording: the first state is any state of the training part.
        system = replace(
            system, c=system.c * spread[:, None], offset=system.offset * spread, r=system.r * spread**2,
            m0=np.zeros(dimension), v0=anywhere,
        )  # fmt: skip
        return cls(system, carried, scaling)

    @property
    def parameters(self) -> int:
        """Numbers in A, Q, C, c, R and D; a change of the latent coordinates leaves d² of them without effect."""
        units, d = self.system.c.shape
        carried = units if self.carried.any() else 0
        return d * d + d * (d + 1) // 2 + units * d + 2 * units + carried

    def one_step(self, recording: Recording) -> Frames:
        """Predict the mean of each frame given the frames before it; NaN for frame 0."""
        return np.asarray(self.one_step_and_horizon(recording, np.zeros(0, int), 0)[0])

    def horizon(self, recording: Recording, starts: Starts, steps: int) -> Ahead:
        """Predict the mean of the frames after each start, given all frames up to it."""
        return self.one_step_and_horizon(recording, starts, steps)[1]

    def one_step_and_horizon(
        self, recording: Recording, starts: Starts, steps: int, out: Stored | None = None
    ) -> tuple[Stored, Ahead]:
        """Return both from one pass of the filter."""
        starts, units = np.asarray(starts), len(self.carried)
        out = np.empty(recording.values.shape) if out is None else out
        state, z = np.empty((len(starts), len(self.system.a))), np.empty((len(starts), units))
        for done in self._filtered(recording, 0, recording.frames):
            stop = done.first + len(done.mean)
            out[done.first : stop] = self.scaling.restore(done.mean)
            here = (starts >= done.first) & (starts < stop)
            state[here], z[here] = done.state[starts[here] - done.first], done.filled[starts[here] - done.first]
        # Of frame 0 nothing is known but that it is one of the training part: no prediction.
        out[:1] = np.full((1, units), np.nan)
        ahead = np.empty((len(starts), steps, units))
        for step in range(steps):
            state = state @ self.system.a.T
            z = self._next(z, state)
            ahead[:, step] = z
        return out, self.scaling.restore(ahead)

    def predictive_std(self, recording: Recording, out: Stored | None = None) -> Stored:
        """Return the standard deviation of each unit in each frame given the frames before it; NaN for frame 0."""
        out = np.empty(recording.values.shape) if out is None else out
        stds = np.where(self.scaling.known, self.scaling.stds, np.nan)
        for done in self._filtered(recording, 0, recording.frames):
            out[done.first : done.first + len(done.variance)] = np.sqrt(done.variance) * stds
        out[:1] = np.full((1, len(stds)), np.nan)
        return out

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None = None) -> Runs:
        """Predict the mean of each frame, plus the noise; the filter then takes that sum for the recorded frame."""
        return one_free_run(self, recording, start, frames, warmup, noise)

    def free_runs(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Stored,
        out: tuple[Stored, Stored] | None = None,
    ) -> tuple[Stored, Stored]:
        """Return `free_run` with the noise and without."""
        out = room_for_runs(noise) if out is None else out
        known, s, runs = self.scaling.known, self.system, noise.shape[0]
        x, y, covariance = np.zeros((1, len(s.a))), np.zeros((1, len(known))), s.v0
        for done in self._filtered(recording, start - warmup, start):
            x, y, covariance = done.state[-1:], done.filled[-1:], done.last
        state, z = np.repeat(x, runs, axis=0), np.repeat(y, runs, axis=0)
        weighted = np.where(known, 1.0 / s.r, 0.0)[:, None] * s.c
        precision = s.c.T @ weighted
        for at, added in noise_blocks(noise):
            quiet = np.empty(added.shape[1:])
            for t in range(len(quiet)):
                x = x @ s.a.T
                y = self._next(y, x)
                quiet[t] = y[0]
                if not runs:
                    continue
                state = state @ s.a.T
                covariance = s.a @ covariance @ s.a.T + s.q
                z = self._next(z, state)
                covariance = np.linalg.solve(np.eye(len(precision)) + covariance @ precision, covariance)
                error = np.where(known, added[:, t] / self.scaling.stds, 0.0)
                z = z + error
                state = state + error @ weighted @ covariance
                added[:, t] = z
            out[0][:, at], out[1][at] = self.scaling.restore(added), self.scaling.restore(quiet)
        return out

    def _filtered(self, recording: Recording, start: int, stop: int) -> Iterator[Filtered]:
        def read(first: int, last: int) -> Block:
            at = slice(start + first, start + last)
            return self.scaling.standardise(recording.values[at], recording.mask[at])

        return system_filter(self.system, self.carried, Stretch(stop - start, len(self.carried), read))

    def _next(self, z: Float[np.ndarray, "S P"], state: Float[np.ndarray, "S d"]) -> Float[np.ndarray, "S P"]:
        return self.carried * z + state @ self.system.c.T + self.system.offset


def _candidates(
    recording: Recording, train: tuple[int, int], tune: tuple[int, int], dimensions: Sequence[int]
) -> Iterator[tuple[float, tuple[int, str]]]:
    """Numbers of dimensions and kinds, with their one-step MSE on the tuning block after all frames before it."""
    gaps = not recording.mask[slice(*train)].all()
    until = recording.frames_only(slice(tune[1]))
    for kind in (NOTHING, OWN_DECAY, JOINT_DECAY) if gaps else (NOTHING, OWN_DECAY):
        last, worse = np.inf, 0
        for dimension in dimensions:
            predicted = np.full(until.values[tune[0] :].shape, np.nan)
            for done in (model := Lds._estimated(recording, train, dimension, kind))._filtered(until, 0, tune[1]):
                skip = max(0, tune[0] - done.first)
                at = slice(done.first + skip - tune[0], done.first + len(done.mean) - tune[0])
                if at.stop > 0:
                    predicted[at] = model.scaling.restore(done.mean[skip:])
            scored = until.mask[tune[0] :] & np.isfinite(predicted)
            if not scored.any():
                continue
            error = float(np.mean((until.values[tune[0] :][scored] - predicted[scored]) ** 2))
            yield error, (dimension, kind)
            worse = 0 if error < last else worse + 1
            last = min(last, error)
            if worse == 2:
                break


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
        knows="other_units",
        uses=("latent_dimensions",),
        linear=True,
    )
)
