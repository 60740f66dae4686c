"""Recurrent networks that know nothing of a connectome, as forecasters of one recording.

`connfit.evaluation.baselines.recurrent_training` trains them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from connfit.evaluation.baselines.choosing import Facts
from connfit.evaluation.baselines.room import one_free_run, room_for_runs
from connfit.evaluation.baselines.unit_scaling import Scaling
from connfit.evaluation.forecasts import Ahead, Frames, Noise, Runs, Starts
from connfit.evaluation.scratch import Stored
from connfit.recordings import Recording

CHUNK = 64
"""Frames per compiled call: recordings of any length share one program."""


@runtime_checkable
class Cell(Protocol):
    """A recurrent network that sees one frame and predicts the next, on standardised values."""

    def start(self) -> Float[Array, "H"]:
        """Return the state before the first frame."""
        ...

    def anchor(self) -> Self:
        """Return a cell of the same kind with the parameters that weight decay pulls towards."""
        ...

    def __call__(
        self, state: Float[Array, "H"], now: Float[Array, "P"], keep: Float[Array, "H"]
    ) -> tuple[Float[Array, "H"], Float[Array, "P"]]:
        """State and prediction of the next frame; `keep` multiplies the hidden units that are read out (dropout)."""
        ...


@dataclass(frozen=True, eq=False)
class Network:
    """A trained cell as a forecaster. A value that was not observed is replaced by the network's own prediction.

    Parameters
    ----------
    cell
        Trained on standardised values.
    scaling
        Of the training part; in the place of means, if the network's values are positive, what is subtracted.
    name
        What tables call it.
    seed
        Of the start and of the order of training.
    chosen
        What the tuning chose, for the record.
    """

    cell: Cell
    scaling: Scaling
    name: str = "network"
    seed: int = 0
    chosen: Facts = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Numbers that were trained."""
        leaves = jax.tree.leaves(eqx.filter(self.cell, eqx.is_array))
        return int(sum(leaf.size for leaf in leaves))

    def one_step(self, recording: Recording) -> Frames:
        """Predict each frame from the frames before it; NaN for frame 0."""
        return np.asarray(self.one_step_and_horizon(recording, np.zeros(0, int), 0)[0])

    def horizon(self, recording: Recording, starts: Starts, steps: int) -> Ahead:
        """Feed the network with its own predictions, after all frames up to each start."""
        return self.one_step_and_horizon(recording, starts, steps)[1]

    def one_step_and_horizon(
        self, recording: Recording, starts: Starts, steps: int, out: Stored | None = None
    ) -> tuple[Stored, Ahead]:
        """Return both from one pass through the recording."""
        starts, (frames, units) = np.asarray(starts), recording.values.shape
        out = np.empty((frames, units)) if out is None else out
        out[:1] = np.full((1, units), np.nan)
        rest = np.asarray(self.cell.start())
        state, last = np.empty((len(starts), len(rest)), rest.dtype), np.empty((len(starts), units), rest.dtype)
        for first, states, predicted in self._forced(recording, 0, frames):
            stop = min(first + len(predicted), frames - 1)
            out[first + 1 : stop + 1] = self._restore(predicted)[: stop - first]
            here = (starts >= first) & (starts < first + len(predicted))
            state[here], last[here] = states[starts[here] - first], predicted[starts[here] - first]
        ahead = np.zeros((len(starts), steps, units), np.float32)
        if ahead.size:
            for at, shown in _free_in_chunks(self.cell, state, last, ahead):
                ahead = ahead.astype(shown.dtype, copy=False)
                ahead[:, at] = shown
            ahead = self._restore(ahead)
        return out, ahead

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None = None) -> Runs:
        """Predict frames from `start` on, after `warmup` recorded ones; prediction plus noise is the next input."""
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
        state, last = np.asarray(self.cell.start()), np.zeros(len(self.scaling.means), np.float32)
        for _, states, predicted in self._forced(recording, start - warmup, start):
            state, last = states[-1], predicted[-1]
        runs = 1 + noise.shape[0]
        run = _free_in_chunks(self.cell, np.tile(state, (runs, 1)), np.tile(last, (runs, 1)), noise, self.scaling.stds)
        for at, shown in run:
            restored = self._restore(shown)
            out[1][at] = restored[0]
            if runs > 1:
                out[0][:, at] = restored[1:]
        return out

    def _forced(
        self, recording: Recording, start: int, stop: int
    ) -> Iterator[tuple[int, Float[np.ndarray, "t H"], Float[np.ndarray, "t P"]]]:
        """State after each recorded frame and prediction of the next one, from the start state, chunk by chunk."""
        state, last = self.cell.start(), jnp.zeros(len(self.scaling.means))
        for first in range(start, stop, CHUNK):
            at = slice(first, min(first + CHUNK, stop))
            z, seen = self.scaling.standardise(recording.values[at], recording.mask[at])
            more = ((0, CHUNK - len(z)), (0, 0))
            inputs, observed = np.pad(z.astype(np.float32), more), np.pad(seen, more)
            state, last, states, predicted = _forced_chunk(
                self.cell, state, last, jnp.asarray(inputs), jnp.asarray(observed)
            )
            yield first, np.asarray(states)[: len(z)], np.asarray(predicted)[: len(z)]

    def _restore(self, z: np.ndarray) -> np.ndarray:
        return self.scaling.restore(z.astype(np.float64))


def forced(
    cell: Cell,
    state: Float[Array, "H"],
    last: Float[Array, "P"],
    inputs: Float[Array, "t P"],
    seen: Bool[Array, "t P"],
    keep: Float[Array, "H"],
) -> tuple[Float[Array, "H"], Float[Array, "P"], Float[Array, "t H"], Float[Array, "t P"]]:
    """Run through recorded frames: last state and prediction, and those after each frame.

    Parameters
    ----------
    state, last
        State, and prediction of the first frame of `inputs`.
    inputs, seen
        Frames and what was observed of them; the rest is replaced by the prediction.
    """

    # What is recorded comes in single precision; the network may be in double.
    inputs, last = inputs.astype(state.dtype), last.astype(state.dtype)

    def step(carry: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        (state, last), (values, observed) = carry, now
        state, last = cell(state, jnp.where(observed, values, last), keep)
        return (state, last), (state, last)

    (state, last), (states, predicted) = jax.lax.scan(step, (state, last), (inputs, seen))
    return state, last, states, predicted


@eqx.filter_jit
def _forced_chunk(
    cell: Cell, state: Array, last: Array, inputs: Array, seen: Array
) -> tuple[Array, Array, Array, Array]:
    return forced(cell, state, last, inputs, seen, jnp.ones_like(state))


@eqx.filter_jit
def _free_chunk(cell: Cell, state: Array, last: Array, noise: Array) -> tuple[Array, Array, Array]:
    """Frames of several runs side by side, [runs, frames, P]: prediction plus noise, which is the next input."""

    noise, last = noise.astype(state.dtype), last.astype(state.dtype)

    def step(carry: tuple[Array, Array], added: Array) -> tuple[tuple[Array, Array], Array]:
        state, last = carry
        shown = last + added
        state, last = jax.vmap(lambda s, u: cell(s, u, jnp.ones_like(s)))(state, shown)
        return (state, last), shown

    (state, last), shown = jax.lax.scan(step, (state, last), jnp.swapaxes(noise, 0, 1))
    return state, last, jnp.swapaxes(shown, 0, 1)


def _free_in_chunks(
    cell: Cell,
    state: Float[np.ndarray, "R H"],
    last: Float[np.ndarray, "R P"],
    noise: Stored,
    stds: Float[np.ndarray, "P"] | float = 1.0,
) -> Iterator[tuple[slice, Float[np.ndarray, "R t P"]]]:
    """Run freely. Chunks and numbers of runs are of few sizes, so that there are few programs to compile.

    Parameters
    ----------
    noise
        [runs, frames, P], in units of which `stds` are standardised ones. Of more runs than it has the first have none.
    """
    runs, frames, units = len(state), *noise.shape[1:]
    without = runs - noise.shape[0]
    width = 1 if runs == 1 else -(-runs // 16) * 16
    more = ((0, width - runs), (0, 0))
    now, predicted = jnp.asarray(np.pad(state, more)), jnp.asarray(np.pad(last, more))
    size = CHUNK if frames > CHUNK // 2 else CHUNK // 2
    for first in range(0, frames, size):
        at = slice(first, min(first + size, frames))
        length = at.stop - first
        padded = np.zeros((width, size, units), np.float32)
        padded[without:runs, :length] = np.asarray(noise[:, at]) / stds
        now, predicted, shown = _free_chunk(cell, now, predicted, jnp.asarray(padded))
        yield at, np.asarray(shown)[:runs, :length]
