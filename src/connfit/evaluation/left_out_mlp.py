"""A small network on the past of all other units: what a left-out unit is predicted by without wiring or linearity.

One network with one hidden layer for each unit that is left out, on the same frames as the ridge regression beside it
(`connfit.evaluation.left_out_ridge`): the others' past, up to the frame before, scaled to training standard deviations.
All networks are trained at once by Adam with decoupled weight decay on small batches of training frames; of each the
parameters of least error on the tuning frames are kept, starting with the mean, which an untrained network predicts.

Where values are missing, inputs are 0 and a second set of inputs says which were observed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.choosing import tuning_blocks
from connfit.evaluation.baselines.unit_scaling import Scaling
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks

HIDDEN = 16
STEPS, BATCH = 300, 64
CHECK = 20
"""Steps between two looks at the tuning frames."""

LEARNING_RATE, DECAY, NOISE = 1e-2, 0.1, 0.3
"""Of Adam at the start, falling along a cosine; pull of weights to 0 per unit of it; standard deviation of noise on
the inputs, in those of the units."""

WORK = 64_000
"""Units times inputs up to which every unit has its network: some 5 s of one core. Above it a sample has."""

MIN_SAMPLE = 16
MOST_INPUTS = WORK // MIN_SAMPLE
"""Inputs above which there is no network: even `MIN_SAMPLE` units would take too long."""

MOST_FRAMES = 8_192
"""Training frames that batches are drawn from, evenly spaced among more."""

MOST_TUNED = 2_048
"""Tuning frames, the last ones."""

COMPILING = 190_000_000
"""Bytes that compiling the networks takes beside what they see (`make bench-memory`)."""

Weights = dict[str, Array]


def sampled(units: Int[np.ndarray, "K"], inputs: int) -> Int[np.ndarray, "k"]:
    """Return those of the units that have a network: all, or evenly spaced ones where that would take too long."""
    count = min(len(units), max(MIN_SAMPLE, WORK // max(inputs, 1)))
    return units[np.unique(np.round(np.linspace(0, len(units) - 1, count)).astype(int))]


def fitting_bytes(among: int, lags: Sequence[int], train: int, tune: int) -> int:
    """Return bytes that `OthersMlp.fit` takes: to compile, inputs and a copy of them, a hidden layer on tuning frames.

    Parameters
    ----------
    among
        Units of the recording.
    lags
        Of which the regression beside it chooses; counted is the most that networks can have, 0 if they can have none.
    train, tune
        Frames of the parts, of which at most `MOST_FRAMES` and `MOST_TUNED` are used.
    """
    inputs = max((lag * among for lag in lags if lag * among <= MOST_INPUTS), default=0)
    if inputs == 0:
        return 0
    tuned = min(tune, MOST_TUNED)
    rows = min(train, MOST_FRAMES) + tuned
    return COMPILING + np.dtype(np.float32).itemsize * (2 * rows * inputs + 2 * HIDDEN * tuned)


@dataclass(frozen=True, eq=False)
class OthersMlp:
    """Fitted networks, one for each of some units.

    Parameters
    ----------
    units
        [k] their columns in the recording.
    weights
        [k, ...] of each network.
    scaling
        Of the training part.
    lags
        Frames before each frame that it sees.
    gaps
        Whether inputs say which values were observed.
    """

    units: Int[np.ndarray, "k"]
    weights: Weights
    scaling: Scaling
    lags: int
    gaps: bool

    @classmethod
    def fit(
        cls, recording: Recording, units: Int[np.ndarray, "K"], lags: int, config: EvaluateConfig | None = None
    ) -> OthersMlp:
        """Fit to the training part and stop by the validation part.

        Parameters
        ----------
        units
            Columns of the units that are left out; a sample of them where there are many inputs, see `sampled`.
        lags
            Frames before each frame that it sees: as many as the ridge regression beside it.

        Raises
        ------
        DataError
            If there are too few units or frames, or too many inputs.
        """
        config = config or EvaluateConfig()
        (train,), (tune,), _ = tuning_blocks([recording])
        if len(recording.units) < 2:
            raise DataError(f"recording {recording.name!r} has one unit: there are no others to predict it from")
        if train[1] - train[0] - lags < 2 or not recording.mask[slice(*tune)].any():
            raise DataError(
                f"recording {recording.name!r}: {train[1] - train[0]} training frames are too few for a network, or "
                "there was nothing to stop its training by"
            )
        gaps = not all(
            recording.mask[at].all()
            for block in (train, tune)
            for at in frame_blocks(max(block[0] - lags, 0), block[1], len(recording.units))
        )
        inputs = lags * len(recording.units) * (1 + gaps)
        if inputs > MOST_INPUTS:
            raise DataError(
                f"recording {recording.name!r}: a network on {inputs:,} inputs takes too long beside an evaluation, "
                f"the limit is {MOST_INPUTS:,}"
            )
        some = sampled(units, inputs)
        scaling = Scaling.of(recording.values[slice(*train)], recording.mask[slice(*train)])
        most = np.linspace(train[0] + lags, train[1] - 1, min(MOST_FRAMES, train[1] - train[0] - lags)).astype(int)
        last = np.arange(max(tune[0], tune[1] - MOST_TUNED, lags), tune[1])
        fitted, tuned = (_rows(recording, scaling, at, some, lags, gaps) for at in (np.unique(most), last))
        keep = _not_own(some, len(recording.units), lags, gaps)
        weights = _train(jax.random.key(config.baseline_seed), fitted, tuned, keep)
        return cls(some, weights, scaling, lags, gaps)

    def predict(self, recording: Recording, start: int, stop: int) -> Float[np.ndarray, "frames k"]:
        """Predict frames `start` to `stop - 1` of `units` from the frames before."""
        keep = _not_own(self.units, len(recording.units), self.lags, self.gaps)
        out = np.empty((stop - start, len(self.units)))
        for at in frame_blocks(start, stop, self.lags * len(recording.units) * HIDDEN):
            frames = np.arange(at.start, at.stop)
            x = _inputs(recording, self.scaling, frames, self.lags, self.gaps)
            out[at.start - start : at.stop - start] = _output(self.weights, keep, jnp.asarray(x))
        return self.scaling.means[self.units] + self.scaling.stds[self.units] * out


def _inputs(
    recording: Recording, scaling: Scaling, frames: Int[np.ndarray, "t"], lags: int, gaps: bool
) -> Float[np.ndarray, "t D"]:
    """The frames 1 ... lags before each frame, newest first; 0, and not observed, before the recording."""
    parts = list(_lagged(recording, scaling, frames, lags))
    return np.concatenate([z for z, _ in parts] + ([seen for _, seen in parts] if gaps else []), axis=1)


def _lagged(
    recording: Recording, scaling: Scaling, frames: Int[np.ndarray, "t"], lags: int
) -> Iterator[tuple[Float[np.ndarray, "t P"], Float[np.ndarray, "t P"]]]:
    for back in range(1, lags + 1):
        at = np.maximum(frames - back, 0)
        z, seen = scaling.standardise(recording.values[at], recording.mask[at])
        there = (frames >= back)[:, None]
        yield np.where(there, z, 0.0).astype(np.float32), (seen & there).astype(np.float32)


Rows = tuple[Float[Array, "t D"], Float[Array, "t k"], Bool[Array, "t k"]]


def _rows(
    recording: Recording, scaling: Scaling, frames: Int[np.ndarray, "t"], units: Int[np.ndarray, "k"], lags: int,
    gaps: bool,
) -> Rows:  # fmt: skip
    """Inputs, targets and where these were observed."""
    z, seen = scaling.standardise(recording.values[frames], recording.mask[frames])
    x = _inputs(recording, scaling, frames, lags, gaps)
    return jnp.asarray(x), jnp.asarray(z[:, units], jnp.float32), jnp.asarray(seen[:, units])


def _not_own(units: Int[np.ndarray, "k"], among: int, lags: int, gaps: bool) -> Float[Array, "k D 1"]:
    """1 for inputs that a unit's network may see: those of all other units."""
    own = np.arange(among)[None, :] == units[:, None]
    return jnp.asarray(np.tile(~own, (1, lags * (1 + gaps)))[:, :, None], jnp.float32)


def _output(weights: Weights, keep: Float[Array, "k D 1"], x: Float[Array, "t D"]) -> Float[Array, "t k"]:
    hidden = jnp.tanh(jnp.einsum("td,kdh->tkh", x, keep * weights["in"]) + weights["in_bias"])
    return jnp.einsum("tkh,kh->tk", hidden, weights["out"]) + weights["out_bias"]


def _errors(weights: Weights, keep: Float[Array, "k D 1"], rows: Rows) -> Float[Array, "k"]:
    x, y, seen = rows
    error = jnp.where(seen, (y - _output(weights, keep, x)) ** 2, 0)
    return error.sum(axis=0) / jnp.maximum(seen.sum(axis=0), 1)


def _errors_in_turn(weights: Weights, keep: Float[Array, "k D 1"], rows: Rows) -> Float[Array, "k"]:
    """Return the same one network after the other: hidden layers of all are larger than what they see."""
    x, y, seen = rows

    def of_one(each: tuple[Weights, Array, Array, Array]) -> Float[Array, "1"]:
        one, others, target, there = jax.tree.map(lambda value: value[None], each)
        return _errors(one, others, (x, target.T, there.T))

    return jax.lax.map(of_one, (weights, keep, y.T, seen.T))[:, 0]


@jax.jit
def _train(key: PRNGKeyArray, fitted: Rows, tuned: Rows, keep: Float[Array, "k D 1"]) -> Weights:
    """Train all networks; of each keep the parameters of least error on the tuning frames."""
    units, inputs, _ = keep.shape
    first, later = jax.random.split(key)
    weights = {
        "in": jax.random.normal(first, (units, inputs, HIDDEN)) / np.sqrt(inputs),
        "in_bias": jnp.zeros((units, HIDDEN)),
        # An untrained network predicts the mean.
        "out": jnp.zeros((units, HIDDEN)),
        "out_bias": jnp.zeros(units),
    }
    rate = optax.cosine_decay_schedule(LEARNING_RATE, STEPS)
    optimiser = optax.adamw(rate, weight_decay=DECAY)
    x, y, seen = fitted

    def one_step(carry: tuple[Weights, Any], key: PRNGKeyArray) -> tuple[tuple[Weights, Any], None]:
        weights, state = carry
        drawn, noise = jax.random.split(key)
        at = jax.random.randint(drawn, (min(BATCH, len(x)),), 0, len(x))
        shaken = x[at] + NOISE * jax.random.normal(noise, (len(at), inputs))
        gradient = jax.grad(lambda some: _errors(some, keep, (shaken, y[at], seen[at])).sum())(weights)
        change, state = optimiser.update(gradient, state, weights)
        moved = jax.tree.map(jnp.add, weights, change)
        return (moved, state), None

    def some_steps(carry: tuple[Any, Weights, Array], keys: PRNGKeyArray) -> tuple[tuple[Any, Weights, Array], None]:
        running, best, least = carry
        running, _ = jax.lax.scan(one_step, running, keys)
        now = _errors_in_turn(running[0], keep, tuned)
        better = now < least

        def chosen(new: Array, old: Array) -> Array:
            return jnp.where(better.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)

        return (running, jax.tree.map(chosen, running[0], best), jnp.where(better, now, least)), None

    keys = jax.random.split(later, STEPS).reshape(STEPS // CHECK, CHECK)
    start = (weights, optimiser.init(weights)), weights, _errors_in_turn(weights, keep, tuned)
    (_, best, _), _ = jax.lax.scan(some_steps, start, keys)
    return best
