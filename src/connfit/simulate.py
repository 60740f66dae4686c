"""What a model with given parameters does: predictions one step and many steps ahead, and free runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from connfit.cohort import Cohort
from connfit.errors import ConfigError
from connfit.models.base import Params
from connfit.models.forward import correct, predict, step
from connfit.models.rate import RateModel
from connfit.preprocess import to_substeps
from connfit.recording import Recording

CHUNK = 64
"""Model steps per call: what is held in memory does not depend on the recording's length."""

WIDTH = 16
"""Runs side by side are a multiple of this."""


@dataclass(frozen=True, eq=False)
class ModelForecaster:
    """A model with parameters as a forecaster of recordings, of animals that it was fitted to or not.

    Parameters
    ----------
    model, params
        The model and all its parameters.
    cohort
        Says which units the model has; those of a recording are found by name. Units that a recording
        lacks run on the model's own prediction.
    name
        What tables call it.
    """

    model: RateModel
    params: Params
    cohort: Cohort
    name: str = "connfit"

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """Prediction of each frame from the frames before it; NaN for frame 0, which has none."""
        return self._forward(recording, np.zeros(0, np.int64), 0, recording.frames - 1)[0]

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """Predictions of `steps` frames after each start, given all frames up to and including it."""
        starts = np.asarray(starts)
        if len(starts) == 0:
            return np.zeros((0, steps, len(self._columns(recording))), np.float32)
        unique, place = np.unique(starts, return_inverse=True)
        return self._forward(recording, unique, steps, int(unique[-1]))[1][place]

    def one_step_and_horizon(
        self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int
    ) -> tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "S steps P"]]:
        """`one_step` and `horizon` in one pass through the recording; `starts` ascend without repeats."""
        return self._forward(recording, np.asarray(starts), steps, recording.frames - 1)

    def _forward(
        self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int, last: int
    ) -> tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "S steps P"]]:
        """Run through the recorded frames up to `last`, and from each start ahead.

        The rates at the starts are kept until there are about CHUNK of them, which then run ahead side by
        side: however many starts there are, no more than that many states are held.
        """
        if len(starts) and (starts.min() < 0 or starts.max() >= recording.frames):
            raise ConfigError(f"horizon starts must lie in 0..{recording.frames - 1}")
        s, columns = self.cohort.substeps, self._columns(recording)
        one_step = np.full(recording.values.shape, np.nan, np.float32)
        ahead = np.zeros((len(starts), steps, len(columns)), np.float32)
        rates = self._settled(recording)
        held: list[int] = []
        kept = jnp.zeros((CHUNK + 1, self.model.neurons)) if len(starts) else None
        if kept is not None and starts[0] == 0:
            kept, held = kept.at[0].set(rates[:, 0]), [0]
        inputs, forced = self._inputs(recording, s, (last + 1) * s)
        # Entry k is what follows the k-th model step; the last step of frame f is number f * s - 1.
        after = starts * s - 1
        predictions = []
        for block in _chunks(len(inputs)):
            now = np.flatnonzero((after >= block.start) & (after < block.stop))
            if kept is None:
                rates, y = predict(self.model, self.params, rates, inputs[block], forced[block])
            else:
                if len(held) + len(now) > CHUNK:
                    ahead[held] = self._ahead(recording, starts[held], steps, kept)
                    held = []
                slot = np.full(block.stop - block.start, CHUNK)
                slot[after[now] - block.start] = len(held) + np.arange(len(now))
                held += now.tolist()
                rates, kept, y = _run_and_keep(self.model, self.params, rates, kept, inputs[block], forced[block], slot)
            predictions.append(np.asarray(y[:, :, 0]))
        if kept is not None and held:
            ahead[held] = self._ahead(recording, starts[held], steps, kept)
        if predictions:
            one_step[1 : last + 1] = np.concatenate(predictions)[s - 1 :: s][:, columns]
        return one_step, ahead

    def _ahead(
        self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int, kept: Float[Array, "R N"]
    ) -> Float[np.ndarray, "S steps P"]:
        """Predictions of `steps` frames after each start; row k of `kept` holds the rates at start k."""
        s, count = self.cohort.substeps, len(starts)
        # Few batch sizes, so that there are few programs to compile.
        width = min(-(-count // WIDTH) * WIDTH, CHUNK)
        given, forced = self._held(recording, np.concatenate([starts, np.repeat(starts[-1:], width - count)]))
        _, y = predict(
            self.model, self.params, kept[:width].T, *_then_free(given, forced, steps * s, s)
        )  # fmt: skip
        return np.asarray(y)[s - 1 :: s][:, self._columns(recording), :count].transpose(2, 0, 1)

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """Frames `start` to `start + frames - 1` by the model alone, after `warmup` recorded frames before them.

        The first of them still sees the recorded frame before it. With `noise`, in the recording's
        own units, z(t) = y(t) + noise(t) is what is returned, and what the model sees in the next
        frame in place of a recorded one; units that the recording lacks run on the model's own
        prediction. All runs share the warm-up.
        """
        rates, given, forced = self._warmed_up(recording, start, warmup)
        if noise is None:
            return self._run_alone(recording, rates, given, forced, frames)
        return self._run_driven(recording, rates, given, forced, frames, noise)

    def free_runs(
        self, recording: Recording, start: int, frames: int, warmup: int, noise: Float[np.ndarray, "runs frames P"]
    ) -> tuple[Float[np.ndarray, "runs frames P"], Float[np.ndarray, "frames P"]]:
        """`free_run` with the noise and without, after one warm-up."""
        rates, given, forced = self._warmed_up(recording, start, warmup)
        driven = self._run_driven(recording, rates, given, forced, frames, noise)
        return driven, self._run_alone(recording, rates, given, forced, frames)

    def _warmed_up(
        self, recording: Recording, start: int, warmup: int
    ) -> tuple[Float[Array, "N 1"], Float[np.ndarray, "P 1"], Bool[np.ndarray, "P 1"]]:
        """Rates before frame `start`, and the recorded frame before it, which the first step sees."""
        if not 1 <= start <= recording.frames:
            raise ConfigError(f"a free run must start at frame 1 to {recording.frames}, not {start}")
        s, begin = self.cohort.substeps, max(start - warmup, 1)
        inputs, forced = self._inputs(recording, begin * s, start * s)
        rates = jnp.zeros((self.model.neurons, 1))
        for block in _chunks(len(inputs)):
            rates, _ = predict(self.model, self.params, rates, inputs[block], forced[block])
        return rates, *self._held(recording, np.array([start - 1]))

    def _run_alone(
        self, recording: Recording, rates: Array, given: np.ndarray, forced: np.ndarray, frames: int
    ) -> Float[np.ndarray, "frames P"]:
        s, out = self.cohort.substeps, []
        inputs, is_forced = _then_free(given, forced, frames * s, s)
        for block in _chunks(frames * s):
            rates, y = predict(self.model, self.params, rates, inputs[block], is_forced[block])
            out.append(np.asarray(y[:, :, 0]))
        return np.concatenate(out)[s - 1 :: s][:, self._columns(recording)]

    def _run_driven(
        self, recording: Recording, rates: Array, given: np.ndarray, forced: np.ndarray, frames: int, noise: np.ndarray
    ) -> Float[np.ndarray, "runs frames P"]:
        s, columns = self.cohort.substeps, self._columns(recording)
        expected = (len(noise), frames, len(columns))
        if noise.shape != expected:
            raise ConfigError(f"the noise of a free run has shape {noise.shape}, but must have {expected}")
        has = np.zeros((self.model.units, 1), bool)
        has[columns] = True
        out = np.zeros(noise.shape, np.float32)
        state = tuple(jnp.repeat(a, len(noise), axis=1) for a in (rates, jnp.asarray(given), jnp.asarray(forced)))
        length = max(1, CHUNK // s)
        for first in range(0, frames, length):
            block = slice(first, first + length)
            spread = np.zeros((out[:, block].shape[1], self.model.units, len(noise)), np.float32)
            spread[:, columns] = noise[:, block].transpose(1, 2, 0)
            state, z = _run_with_noise(self.model, self.params, *state, spread, has, held=s)
            out[:, block] = np.asarray(z)[:, columns].transpose(2, 0, 1)
        return out

    def _columns(self, recording: Recording) -> Int[np.ndarray, "p"]:
        position = {unit: k for k, unit in enumerate(self.cohort.units)}
        absent = [unit for unit in recording.units if unit not in position]
        if absent:
            raise ConfigError(
                f"recording {recording.name!r} has the unit {absent[0]!r}, which the model was not fitted to"
            )
        return np.array([position[unit] for unit in recording.units])

    def _inputs(
        self, recording: Recording, first: int, last: int
    ) -> tuple[Float[np.ndarray, "K P 1"], Bool[np.ndarray, "K P 1"]]:
        """Inputs of model steps `first` to `last - 1`: the recorded activity of the step before each."""
        s = self.cohort.substeps
        fine = recording if s == 1 else to_substeps(replace(recording, parts=None), s)
        values = fine.values if s > 1 else _observed(recording)
        return self._spread(values[first - 1 : last - 1], self._columns(recording))

    def _held(
        self, recording: Recording, frames: Int[np.ndarray, "S"]
    ) -> tuple[Float[np.ndarray, "P S"], Bool[np.ndarray, "P S"]]:
        """Recorded activity at the given frames, one column each."""
        given, forced = self._spread(_observed(recording)[frames], self._columns(recording))
        return given[:, :, 0].T, forced[:, :, 0].T

    def _spread(self, values: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        there = np.isfinite(values)
        given = np.zeros((len(values), self.model.units, 1), np.float32)
        forced = np.zeros(given.shape, bool)
        given[:, columns, 0] = np.where(there, values, 0)
        forced[:, columns, 0] = there
        return given, forced

    def _settled(self, recording: Recording) -> Float[Array, "N 1"]:
        """Rates as if the first frame had been there for long, so that no transient from silence is scored."""
        given, forced = self._held(recording, np.array([0]))
        steps = (CHUNK, 1, 1)
        rates = jnp.zeros((self.model.neurons, 1))
        return predict(self.model, self.params, rates, np.tile(given, steps), np.tile(forced, steps))[0]


def _chunks(steps: int) -> Iterator[slice]:
    for begin in range(0, steps, CHUNK):
        yield slice(begin, min(begin + CHUNK, steps))


def _observed(recording: Recording) -> Float[np.ndarray, "T P"]:
    """Values with NaN wherever nothing was observed."""
    return np.where(recording.mask, recording.values, np.nan)


def _then_free(given: np.ndarray, forced: np.ndarray, steps: int, held: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs that hold one recorded frame for `held` steps and are free afterwards."""
    inputs = np.zeros((steps, *given.shape), np.float32)
    is_forced = np.zeros(inputs.shape, bool)
    inputs[:held], is_forced[:held] = given, forced
    return inputs, is_forced


@partial(jax.jit, donate_argnames=("kept",))
def _run_and_keep(
    model: RateModel,
    params: Params,
    rates: Float[Array, "N 1"],
    kept: Float[Array, "S N"],
    inputs: Float[Array, "K P 1"],
    forced: Bool[Array, "K P 1"],
    slot: Int[Array, "K"],
) -> tuple[Float[Array, "N 1"], Float[Array, "S N"], Float[Array, "K P 1"]]:
    """Run a chunk and keep the rates after the steps that a start needs, each in its slot (the last slot is scrap)."""
    strengths = model.readout_strengths(params)

    def forward(carry: tuple[Array, Array], now: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        r, store = carry
        r, _ = step(model, params, correct(model, r, now[0], now[1]), now[0], now[1])
        return (r, store.at[now[2]].set(r[:, 0])), model.readout.apply(strengths, r)

    (rates, kept), predictions = jax.lax.scan(forward, (rates, kept), (inputs, forced, slot))
    return rates, kept, predictions


@partial(jax.jit, static_argnames=("held",))
def _run_with_noise(
    model: RateModel,
    params: Params,
    rates: Float[Array, "N B"],
    given: Float[Array, "P B"],
    forced: Bool[Array, "P B"],
    noise: Float[Array, "F P B"],
    has: Bool[Array, "P 1"],
    *,
    held: int,
) -> tuple[tuple[Float[Array, "N B"], Float[Array, "P B"], Bool[Array, "P B"]], Float[Array, "F P B"]]:
    """Run F frames of `held` steps each; prediction plus noise is the next frame's input to the units in `has`."""
    strengths = model.readout_strengths(params)

    def one_frame(carry: tuple[Array, Array, Array], disturbance: Array) -> tuple[tuple[Array, Array, Array], Array]:
        r, u, is_forced = carry
        r = correct(model, r, u, is_forced)  # of a model with state forcing, whose frames are one step long
        r = jax.lax.fori_loop(0, held, lambda _, now: step(model, params, now, u, is_forced)[0], r)
        z = model.readout.apply(strengths, r) + disturbance
        return (r, z, jnp.broadcast_to(has, z.shape)), z

    return jax.lax.scan(one_frame, (rates, given, forced), noise)
