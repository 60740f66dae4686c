"""A model with given parameters as a forecaster: predictions one step and many steps ahead, and free runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from connfit.errors import ConfigError
from connfit.models.base import Model, Params
from connfit.models.frame_loop import CHUNK
from connfit.models.frame_steps import Within, spike_bits
from connfit.models.poisson_input import RECORDING, Clock, stream_of
from connfit.models.rollout import Each, Keep, Kept, Limits, Noise, Run, Shown, State, readings, rollout
from connfit.models.track_runs import TrackRuns, settled
from connfit.models.tracks import Track, follow_tracks, runs_at_once
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.frame_blocks import Stored
from connfit.recordings.inputs import Inputs, require_inputs


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
    runs
        By which recordings are followed, of a model in blocks; None: it is whole.
    """

    model: Model
    params: Params
    cohort: Cohort
    name: str = "connfit"
    runs: TrackRuns | None = None

    @property
    def substeps(self) -> int:
        """Steps of the model for each frame."""
        return self.cohort.substeps

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """Predict each frame from those of its block before it; NaN for the first of a block, which has none."""
        return np.asarray(self.one_step_and_horizon(recording, np.zeros(0, np.int64), 0)[0])

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """Predict `steps` frames after each start, given all frames up to and including it."""
        starts = np.asarray(starts)
        if len(starts) == 0:
            return np.zeros((0, steps, len(self.columns(recording))), np.float32)
        unique, place = np.unique(starts, return_inverse=True)
        tracks, _, ahead = self._tracks(recording, unique, steps, int(unique[-1]), None)
        follow_tracks(self, tracks)
        return ahead[place]

    def one_step_and_horizon(
        self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int, out: Stored | None = None
    ) -> tuple[Stored, Float[np.ndarray, "S steps P"]]:
        """Return `one_step` and `horizon` from one pass through the recording; `starts` ascend without repeats.

        Parameters
        ----------
        out
            [T, P] where `one_step` is written to, in memory or on disk; default: a new array.
        """
        return self.one_step_and_horizon_of([recording], [starts], steps, None if out is None else [out])[0]

    def one_step_and_horizon_of(
        self,
        recordings: Sequence[Recording],
        starts: Sequence[Int[np.ndarray, "S"]],
        steps: int,
        outs: Sequence[Stored] | None = None,
    ) -> list[tuple[Stored, Float[np.ndarray, "S steps P"]]]:
        """Return `one_step_and_horizon` of several recordings, of which the model is run side by side."""
        tracks: list[Track] = []
        found: list[tuple[Stored, Float[np.ndarray, "S steps P"]]] = []
        for number, recording in enumerate(recordings):
            at, out = np.asarray(starts[number]), None if outs is None else outs[number]
            own, one_step, ahead = self._tracks(recording, at, steps, recording.frames - 1, out)
            tracks += own
            found.append((one_step, ahead))
        follow_tracks(self, tracks)
        return found

    def _tracks(
        self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int, last: int, out: Stored | None
    ) -> tuple[list[Track], Stored, Float[np.ndarray, "S steps P"]]:
        """Stretches of a recording up to a frame, each with a start of its own, and where what comes of them goes.

        NaN where nothing of a block comes before.
        """
        if len(starts) and (starts.min() < 0 or starts.max() >= recording.frames):
            raise ConfigError(f"horizon starts must lie in 0..{recording.frames - 1}")
        one_step = np.full(recording.values.shape, np.nan, np.float32) if out is None else out
        ahead = np.full((len(starts), steps, len(recording.units)), np.nan, np.float32)
        tracks = []
        for first, stop in recording.stretches(0, last + 1) if recording.blocks else [(0, last + 1)]:
            some = replace(recording.frames_only(slice(first, stop)), blocks=()) if recording.blocks else recording
            low, high = np.searchsorted(starts, [first, stop])
            tracks.append(Track(some, starts[low:high] - first, stop - first - 1, one_step, first, ahead[low:high]))
        return tracks, one_step, ahead

    def follow(self, recording: Recording, frames: int, keep: Keep[Kept, Any], kept: Kept, also: Any) -> Kept:
        """Predict each of the `frames` frames after the first from the frames before it, and return what was kept.

        Parameters
        ----------
        keep, kept, also
            As of `connfit.models.rollout.rollout`; `also` has an entry for each frame, and is read in blocks.
        """
        limits, first = self.limits(recording), self.shown(recording, slice(0, 1))
        state = settled(self.model, self.params, first, limits, self.clock(recording, 0))
        for block in self._chunks(frames):
            entries = jax.tree.map(lambda one, block=block: one[block], also)
            run = self._run(state, self.shown(recording, block), limits, keep, kept, entries)
            state, kept = run.state, run.kept
        return kept

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """Run the model alone for frames `start` to `start + frames - 1`, after `warmup` recorded frames before them.

        The first of them still sees the recorded frame before it. With `noise`, in the recording's own units, z(t) =
        y(t) + noise(t) is what is returned, and what the model sees in the next frame in place of a recorded one; units
        that the recording lacks run on the model's own prediction. All runs share the warm-up; each but the first has
        external events of its own from there on.
        """
        state = self._warmed_up(recording, start, warmup)
        if noise is None:
            return np.asarray(self._run_alone(recording, state, start, frames))
        return np.asarray(self._run_driven(recording, state, start, frames, noise))

    def free_runs(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Stored,
        out: tuple[Stored, Stored] | None = None,
    ) -> tuple[Stored, Stored]:
        """Return `free_run` with the noise and without, after one warm-up.

        Parameters
        ----------
        noise
            [runs, frames, P], in memory or on disk.
        out
            Where both are written to, in memory or on disk; default: new arrays.
        """
        state = self._warmed_up(recording, start, warmup)
        driven, quiet = (None, None) if out is None else out
        return (
            self._run_driven(recording, state, start, frames, noise, driven),
            self._run_alone(recording, state, start, frames, quiet),
        )

    def spiking_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "frames P"] | None = None,
    ) -> Iterator[tuple[Float[np.ndarray, "k P"], UInt8[np.ndarray, "steps bytes"]]]:
        """Run the model as `free_run` does, and yield what units show and which neurons spike, some frames at a time.

        Parameters
        ----------
        noise
            Of one run.

        Yields
        ------
        readings
            [k, P] of the next k frames, as `free_run` returns them.
        spikes
            [k substeps, N / 8] bits of their model steps, as of `numpy.packbits`: a neuron takes one in each.

        Raises
        ------
        ConfigError
            If the neurons of the model do not spike.
        """
        if not self.model.neuron.spikes:
            raise ConfigError(f"neurons of the cell {type(self.model.neuron).__name__} do not spike")
        state = self._warmed_up(recording, start, warmup)
        columns, limits = self.columns(recording), self.limits(recording)
        for block in self._chunks(frames):
            added = None if noise is None else self.noise(recording, noise[block][:, :, None])
            shown = self.alone(recording, start + block.start, block.stop - block.start)
            run = self._run(state, shown, limits, readings, None, noise=added, within=spike_bits)
            assert run.within is not None
            state, bits = run.state, np.asarray(run.within)
            yield np.asarray(run.each)[:, columns, 0], bits.reshape(-1, bits.shape[-1])

    def left_out(
        self, recording: Recording, units: Int[np.ndarray, "K"], start: int, stop: int, warmup: int
    ) -> Float[np.ndarray, "frames K"]:
        """Predict frames `start` to `stop - 1` of units that the model is never given, each from all others.

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
        columns, limits = self.columns(recording), self.limits(recording)
        begin = max(start - warmup, 1)
        out = np.empty((stop - start, len(units)), np.float32)
        width = min(len(units), runs_at_once(self.model.neurons))
        for first in range(0, len(units), max(width, 1)):
            left = columns[units[first : first + width]]
            # The last group is filled up, so that there is one program to compile.
            each = np.concatenate([left, np.repeat(left[-1:], width - len(left))])
            own = np.zeros((self.model.units, width), bool)
            own[each, np.arange(width)] = True
            # The state comes to rest on the frame before the first, again without the unit.
            before = _without(own, self.shown(recording, slice(begin - 1, begin)))
            state = settled(self.model, self.params, before, limits, self.clock(recording, begin - 1))
            for block in self._chunks(stop - begin):
                shown = self.shown(recording, slice(begin - 1 + block.start, begin - 1 + block.stop))
                run = self._run(state, _without(own, shown), limits, readings, None)
                state = run.state
                # The warm-up is not kept.
                at = begin + block.start - start
                predicted = np.asarray(run.each)[max(0, -at) :, each[: len(left)], np.arange(len(left))]
                out[max(at, 0) : max(at, 0) + len(predicted), first : first + len(left)] = predicted
        return out

    def columns(self, recording: Recording) -> Int[np.ndarray, "p"]:
        """Return the positions of a recording's units among those of the model.

        Raises
        ------
        ConfigError
            If the model was not fitted to one of them.
        """
        position = {unit: k for k, unit in enumerate(self.cohort.units)}
        absent = [unit for unit in recording.units if unit not in position]
        if absent:
            raise ConfigError(
                f"recording {recording.name!r} has the unit {absent[0]!r}, which the model was not fitted to"
            )
        return np.array([position[unit] for unit in recording.units])

    def limits(self, recording: Recording) -> Limits:
        """Return the range of values of each of the model's units that rates explain, in one recording."""
        within, columns = self.cohort.training_range(recording), self.columns(recording)
        low, high = np.zeros((self.model.units, 1), np.float32), np.full((self.model.units, 1), np.inf, np.float32)
        low[columns, 0], high[columns, 0] = within.low, within.high
        return Limits(low, high)

    def _warmed_up(self, recording: Recording, start: int, warmup: int) -> State:
        """Before frame `start`, about to show the recorded frame before it."""
        if not 1 <= start <= recording.frames:
            raise ConfigError(f"a free run must start at frame 1 to {recording.frames}, not {start}")
        begin, limits = max(start - warmup, 1), self.limits(recording)
        # What was last recorded of a unit before the warm-up may lie beyond the range, too.
        beyond = np.zeros((self.model.units, 1), np.float32)
        within = self.cohort.training_range(recording)
        beyond[self.columns(recording), 0] = within.last_beyond(recording.values[:begin], recording.mask[:begin])
        state = State.at_rest(self.model, clock=self.clock(recording, begin - 1))._replace(beyond=jnp.asarray(beyond))
        for block in self._chunks(start - begin):
            shown = self.shown(recording, slice(begin - 1 + block.start, begin - 1 + block.stop))
            state = self._run(state, shown, limits, readings, None).state
        return self._about_to_show(state, recording, np.array([start - 1]))

    def _run_alone(
        self, recording: Recording, state: State, start: int, frames: int, out: Stored | None = None
    ) -> Stored:
        columns, limits = self.columns(recording), self.limits(recording)
        out = np.zeros((frames, len(columns)), np.float32) if out is None else out
        for block in self._chunks(frames):
            shown = self.alone(recording, start + block.start, block.stop - block.start)
            run = self._run(state, shown, limits, readings, None)
            state, out[block] = run.state, np.asarray(run.each)[:, columns, 0]
        return out

    def _run_driven(
        self, recording: Recording, state: State, start: int, frames: int, noise: Stored, out: Stored | None = None
    ) -> Stored:
        columns, limits, runs = self.columns(recording), self.limits(recording), noise.shape[0]
        expected = (runs, frames, len(columns))
        if noise.shape != expected:
            raise ConfigError(f"the noise of a free run has shape {noise.shape}, but must have {expected}")
        out = np.zeros(noise.shape, np.float32) if out is None else out
        for first in range(0, runs, width := runs_at_once(self.model.neurons)):
            some = slice(first, min(first + width, runs))
            now = state.beside_itself([stream_of(RECORDING, recording.name, run) for run in range(runs)[some]])
            for block in self._chunks(frames):
                added = self.noise(recording, np.asarray(noise[some, block]).transpose(1, 2, 0))
                shown = self.alone(recording, start + block.start, *added.values.shape[::2])
                run = self._run(now, shown, limits, readings, None, noise=added)
                now, out[some, block] = run.state, np.asarray(run.each)[:, columns].transpose(2, 0, 1)
        return out

    def noise(self, recording: Recording, values: Float[np.ndarray, "K p B"]) -> Noise:
        """Draw noise on the units of a recording; the model's other units run on its own prediction."""
        columns, frames = self.columns(recording), len(values)
        spread = np.zeros((frames, self.model.units, values.shape[2]), np.float32)
        reached = np.zeros((frames, self.model.units, 1), bool)
        spread[:, columns], reached[:, columns] = values, True
        return Noise(spread, reached)

    def _run(
        self,
        state: State,
        shown: Shown,
        limits: Limits,
        keep: Keep[Kept, Each],
        kept: Kept,
        also: Any = None,
        *,
        noise: Noise | None = None,
        within: Within | None = None,
    ) -> Run[Kept, Each]:
        return rollout(
            self.model, self.params, state, shown, keep, kept, also,
            noise=noise, limits=limits, substeps=self.cohort.substeps, within=within,
        )  # fmt: skip

    def _about_to_show(self, state: State, recording: Recording, frames: Int[np.ndarray, "B"]) -> State:
        """Runs that are to show a recorded frame each."""
        shown = self.shown(recording, frames)
        values, given = (jnp.asarray(one[:, :, 0].T) for one in (shown.values, shown.given))
        return state._replace(reading=values, shown=given)

    def shown(self, recording: Recording, frames: slice | Int[np.ndarray, "K"]) -> Shown:
        """Return what units are given to show in some frames of a recording, as columns of the model's units."""
        values, columns = recording.values[frames], self.columns(recording)
        there = recording.mask[frames] & np.isfinite(values)
        shown = np.zeros((len(values), self.model.units, 1), np.float32)
        given = np.zeros(shown.shape, bool)
        shown[:, columns, 0], given[:, columns, 0] = np.where(there, values, 0), there
        inputs = self.inputs(recording)
        if inputs is None:
            return Shown(shown, given)
        after = 1 + (np.arange(recording.frames)[frames] if isinstance(frames, slice) else frames)
        return Shown(shown, given, inputs.explaining(after)[:, :, None])

    def clock(self, recording: Recording, frame: int) -> Clock:
        """Return the clock of a recording's external events as it stands after a frame, however that is reached."""
        return Clock.at(stream_of(RECORDING, recording.name, 0), frame * self.substeps)

    def alone(self, recording: Recording, start: int, frames: int, runs: int = 1) -> Shown:
        """Show nothing before frames of a free run, but for the external inputs that it is given.

        Before the recording begins they are at their mean.
        """
        shown, inputs = Shown.nothing(self.model, frames, runs), self.inputs(recording)
        return shown if inputs is None else shown._replace(external=inputs.in_free_runs(start, frames)[:, :, None])

    def inputs(self, recording: Recording) -> Inputs | None:
        """Return the external inputs that the model was fitted with, on its scale; None if it has none.

        Raises
        ------
        DataError
            If the recording lacks one.
        """
        use = self.cohort.inputs
        if self.model.inputs is None or use is None:
            return None
        return replace(require_inputs(recording.name, recording.inputs, use.channels), use=use)

    def _chunks(self, frames: int) -> Iterator[slice]:
        for begin in range(0, frames, length := max(1, CHUNK // self.cohort.substeps)):
            yield slice(begin, min(begin + length, frames))


def _without(own: np.ndarray, shown: Shown) -> Shown:
    """What is shown to runs that each are not given some units [P, B]."""
    return Shown(np.where(own, 0, shown.values), np.asarray(shown.given) & ~own, shown.external)
