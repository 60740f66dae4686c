"""What a model with given parameters does: predictions one step and many steps ahead, and free runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from connfit.errors import ConfigError
from connfit.models.base import Params
from connfit.models.cells.rate import RateModel
from connfit.models.forward import correct, predict, step
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.preprocess import to_substeps

CHUNK = 64
"""Model steps per call: what is held in memory does not depend on the recording's length."""

WIDTH = 16
"""Runs side by side are a multiple of this."""

MOST_RATES = 2**21
"""Rates of all runs without a unit that stand side by side: the more, the fewer passes through the recording."""


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
        # What a recorded frame lies beyond the range that training showed stays until the next one.
        beyond = self._beyond(recording)
        one_step[1:] += beyond[:-1]
        return one_step, ahead + beyond[starts][:, None].astype(np.float32)

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
        rates, given, forced, beyond = self._warmed_up(recording, start, warmup)
        if noise is None:
            return self._run_alone(recording, rates, given, forced, frames) + beyond
        return self._run_driven(recording, rates, given, forced, beyond, frames, noise)

    def free_runs(
        self, recording: Recording, start: int, frames: int, warmup: int, noise: Float[np.ndarray, "runs frames P"]
    ) -> tuple[Float[np.ndarray, "runs frames P"], Float[np.ndarray, "frames P"]]:
        """`free_run` with the noise and without, after one warm-up."""
        rates, given, forced, beyond = self._warmed_up(recording, start, warmup)
        driven = self._run_driven(recording, rates, given, forced, beyond, frames, noise)
        return driven, self._run_alone(recording, rates, given, forced, frames) + beyond

    def left_out(
        self, recording: Recording, units: Int[np.ndarray, "K"], start: int, stop: int, warmup: int
    ) -> Float[np.ndarray, "frames K"]:
        """Prediction of frames `start` to `stop - 1` of units that the model is never given, each from all others.

        Column k is of the unit in column `units[k]` of the recording: in a run of its own that unit counts as not
        observed, so that the model's own prediction stands in for it, as for a unit that a recording lacks. Frame t is
        predicted from the other units' frames before t, after `warmup` such frames.

        Raises
        ------
        ConfigError
            If the frames do not lie in the recording, or have no frame before them.
        """
        if not 1 <= start <= stop <= recording.frames:
            raise ConfigError(f"frames {start} to {stop} must lie in 1 to {recording.frames}")
        s, columns = self.cohort.substeps, self._columns(recording)
        begin = max(start - warmup, 1)
        inputs, forced = self._inputs(recording, begin * s, stop * s)
        # The state comes to rest on the frame before the first, again without the unit.
        rest, is_forced = (np.repeat(a[:1], CHUNK, axis=0) for a in (inputs, forced))
        out = np.empty((stop - start, len(units)), np.float32)
        width = min(len(units), max(1, MOST_RATES // self.model.neurons))
        for first in range(0, len(units), max(width, 1)):
            left = columns[units[first : first + width]]
            # The last group is filled up, so that there is one program to compile.
            each = np.concatenate([left, np.repeat(left[-1:], width - len(left))])

            def without(given: np.ndarray, seen: np.ndarray, each: np.ndarray = each) -> tuple[np.ndarray, np.ndarray]:
                own = np.zeros((given.shape[1], len(each)), bool)
                own[each, np.arange(len(each))] = True
                return np.where(own, 0, given), seen & ~own

            rates, _ = predict(
                self.model, self.params, jnp.zeros((self.model.neurons, width)), *without(rest, is_forced)
            )  # fmt: skip
            predicted = []
            for block in _chunks(len(inputs)):
                rates, y = predict(self.model, self.params, rates, *without(inputs[block], forced[block]))
                predicted.append(np.asarray(y)[:, each[: len(left)], np.arange(len(left))])
            frames = np.concatenate(predicted)[s - 1 :: s]
            out[:, first : first + len(left)] = frames[start - begin :]
        return out

    def _warmed_up(
        self, recording: Recording, start: int, warmup: int
    ) -> tuple[Float[Array, "N 1"], Float[np.ndarray, "P 1"], Bool[np.ndarray, "P 1"], Float[np.ndarray, "p"]]:
        """Rates before frame `start`, the recorded frame before it, which the first step sees, and what lies beyond."""
        if not 1 <= start <= recording.frames:
            raise ConfigError(f"a free run must start at frame 1 to {recording.frames}, not {start}")
        s, begin = self.cohort.substeps, max(start - warmup, 1)
        inputs, forced = self._inputs(recording, begin * s, start * s)
        rates = jnp.zeros((self.model.neurons, 1))
        for block in _chunks(len(inputs)):
            rates, _ = predict(self.model, self.params, rates, inputs[block], forced[block])
        beyond = self._beyond(recording)[start - 1].astype(np.float32)
        return rates, *self._held(recording, np.array([start - 1])), beyond

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
        self,
        recording: Recording,
        rates: Array,
        given: np.ndarray,
        forced: np.ndarray,
        beyond: np.ndarray,
        frames: int,
        noise: np.ndarray,
    ) -> Float[np.ndarray, "runs frames P"]:
        s, columns = self.cohort.substeps, self._columns(recording)
        expected = (len(noise), frames, len(columns))
        if noise.shape != expected:
            raise ConfigError(f"the noise of a free run has shape {noise.shape}, but must have {expected}")
        has = np.zeros((self.model.units, 1), bool)
        has[columns] = True
        out = np.zeros(noise.shape, np.float32)
        within, limits = self.cohort.training_range(recording), np.zeros((2, self.model.units, 1), np.float32)
        offset = np.zeros((self.model.units, 1), np.float32)
        limits[1] = np.inf
        limits[:, columns, 0], offset[columns, 0] = (within.low, within.high), beyond
        start = (rates, *(jnp.asarray(a) for a in (given, forced, offset)))
        state = tuple(jnp.repeat(a, len(noise), axis=1) for a in start)
        length = max(1, CHUNK // s)
        for first in range(0, frames, length):
            block = slice(first, first + length)
            spread = np.zeros((out[:, block].shape[1], self.model.units, len(noise)), np.float32)
            spread[:, columns] = noise[:, block].transpose(1, 2, 0)
            state, z = _run_with_noise(self.model, self.params, state, spread, has, limits, held=s)
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
        within = self.cohort.training_range(recording)
        return self._spread(within.inside(values[first - 1 : last - 1]), self._columns(recording))

    def _held(
        self, recording: Recording, frames: Int[np.ndarray, "S"]
    ) -> tuple[Float[np.ndarray, "P S"], Bool[np.ndarray, "P S"]]:
        """Recorded activity at the given frames, one column each."""
        within = self.cohort.training_range(recording)
        given, forced = self._spread(within.inside(_observed(recording)[frames]), self._columns(recording))
        return given[:, :, 0].T, forced[:, :, 0].T

    def _beyond(self, recording: Recording) -> Float[np.ndarray, "T p"]:
        """What the last observed value at or before each frame lies beyond the range that training showed."""
        return self.cohort.training_range(recording).beyond(recording.values, recording.mask)

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
    state: DrivenState,
    noise: Float[Array, "F P B"],
    has: Bool[Array, "P 1"],
    limits: Float[Array, "2 P 1"],
    *,
    held: int,
) -> tuple[DrivenState, Float[Array, "F P B"]]:
    """Run F frames of `held` steps each; prediction plus noise is the next frame's input to the units in `has`."""

    def one_frame(carry: DrivenState, disturbance: Array) -> tuple[DrivenState, Array]:
        carry, _, z = driven_frame(model, params, carry, disturbance, has, limits, held)
        return carry, z

    return jax.lax.scan(one_frame, state, noise)


DrivenState = tuple[Float[Array, "N B"], Float[Array, "P B"], Bool[Array, "P B"], Float[Array, "P B"]]
"""Rates, what each unit showed inside the range of training, where it did, and what lay beyond that range."""


def driven_frame(
    model: RateModel,
    params: Params,
    state: DrivenState,
    noise: Float[Array, "P B"],
    has: Bool[Array, "P 1"],
    limits: Float[Array, "2 P 1"],
    held: int,
) -> tuple[DrivenState, Float[Array, "N B"], Float[Array, "P B"]]:
    """Run one frame that feeds on the last one: the state after it, its rates, and prediction plus noise.

    Parameters
    ----------
    has
        Units that noise reaches, and whose simulated value the next frame sees; others run on the prediction.
    limits
        Least and greatest value of each unit that rates explain (`connfit.recordings.training_range`).
    held
        Model steps per frame.
    """
    r, u, is_forced, beyond = state
    r = correct(model, r, u, is_forced)  # of a model with state forcing, whose frames are one step long
    r = jax.lax.fori_loop(0, held, lambda _, now: step(model, params, now, u, is_forced)[0], r)
    z = model.readout.apply(model.readout_strengths(params), r) + beyond + noise
    inside = jnp.clip(z, limits[0], limits[1])
    return (r, inside, jnp.broadcast_to(has, z.shape), jnp.where(has, z - inside, beyond)), r, z
