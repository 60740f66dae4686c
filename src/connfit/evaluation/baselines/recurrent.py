"""Recurrent networks that know nothing of a connectome, as forecasters of one recording.

`connfit.evaluation.baselines.recurrent_training` trains them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from connfit.evaluation.baselines.choosing import Facts
from connfit.evaluation.baselines.unit_scaling import Scaling
from connfit.evaluation.forecasts import Ahead, Frames, Noise, Runs, Starts
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
        return self.one_step_and_horizon(recording, np.zeros(0, int), 0)[0]

    def horizon(self, recording: Recording, starts: Starts, steps: int) -> Ahead:
        """Feed the network with its own predictions, after all frames up to each start."""
        return self.one_step_and_horizon(recording, starts, steps)[1]

    def one_step_and_horizon(self, recording: Recording, starts: Starts, steps: int) -> tuple[Frames, Ahead]:
        """Return both from one pass through the recording."""
        states, predicted = self._forced(recording.values, recording.mask)
        starts = np.asarray(starts)
        units = predicted.shape[1]
        one_step = np.concatenate([np.full((1, units), np.nan), self._restore(predicted)[:-1]])
        still = np.zeros((len(starts), steps, units), np.float32)
        if not still.size:
            return one_step, still
        return one_step, self._restore(_free_in_chunks(self.cell, states[starts], predicted[starts], still))

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None = None) -> Runs:
        """Predict frames from `start` on, after `warmup` recorded ones; prediction plus noise is the next input."""
        given = slice(start - warmup, start)
        if warmup:
            states, predicted = self._forced(recording.values[given], recording.mask[given])
            state, last = states[-1], predicted[-1]
        else:
            state, last = np.asarray(self.cell.start()), np.zeros(len(self.scaling.means), np.float32)
        runs = 1 if noise is None else len(noise)
        added = np.zeros((1, frames, len(last))) if noise is None else noise / self.scaling.stds
        run = _free_in_chunks(
            self.cell, np.tile(state, (runs, 1)), np.tile(last, (runs, 1)), added.astype(np.float32)
        )  # fmt: skip
        return self._restore(run[0] if noise is None else run)

    def free_runs(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise) -> tuple[Runs, Runs]:
        """Return `free_run` with the noise and without."""
        still = np.zeros((1, frames, noise.shape[2]))
        runs = np.asarray(self.free_run(recording, start, frames, warmup, np.concatenate([still, noise])))
        return runs[1:], runs[0]

    def _forced(
        self, values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"]
    ) -> tuple[Float[np.ndarray, "t H"], Float[np.ndarray, "t P"]]:
        """State after each frame and prediction of the next one, from the start state; predictions start at 0."""
        z, seen = self.scaling.standardise(values, mask)
        z, state, last = z.astype(np.float32), self.cell.start(), jnp.zeros(z.shape[1])
        states, predicted = [], []
        for first in range(0, len(z), CHUNK):
            block = slice(first, first + CHUNK)
            lacking = max(0, first + CHUNK - len(z))
            inputs = np.pad(z[block], ((0, lacking), (0, 0)))
            observed = np.pad(seen[block], ((0, lacking), (0, 0)))
            state, last, s, y = _forced_chunk(self.cell, state, last, jnp.asarray(inputs), jnp.asarray(observed))
            states.append(np.asarray(s)[: CHUNK - lacking])
            predicted.append(np.asarray(y)[: CHUNK - lacking])
        return np.concatenate(states), np.concatenate(predicted)

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
    cell: Cell, state: Float[np.ndarray, "R H"], last: Float[np.ndarray, "R P"], noise: Float[np.ndarray, "R F P"]
) -> Float[np.ndarray, "R F P"]:
    """Chunks and numbers of runs of few sizes, so that there are few programs to compile."""
    runs, frames, _ = noise.shape
    width = 1 if runs == 1 else -(-runs // 16) * 16
    more = ((0, width - runs), (0, 0))
    now, predicted = jnp.asarray(np.pad(state, more)), jnp.asarray(np.pad(last, more))
    out = []
    for first in range(0, frames, CHUNK):
        block = noise[:, first : first + CHUNK]
        length = block.shape[1]
        size = CHUNK if frames > CHUNK // 2 else CHUNK // 2
        padded = np.pad(block, ((0, width - runs), (0, size - length), (0, 0)))
        now, predicted, shown = _free_chunk(cell, now, predicted, jnp.asarray(padded))
        out.append(np.asarray(shown)[:runs, :length])
    return np.concatenate(out, axis=1) if out else np.zeros(noise.shape)
