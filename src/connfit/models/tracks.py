"""Stretches of recordings that a model follows side by side, and forecasts from some of their frames.

A step of several runs costs little more than that of one: connections are read once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from connfit.models.base import Model, Params
from connfit.models.frame_loop import CHUNK
from connfit.models.poisson_input import Clock
from connfit.models.rollout import Limits, Shown
from connfit.models.shelf import Shelf
from connfit.models.track_runs import TrackRuns, WholeRuns
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import Stored
from connfit.recordings.inputs import Inputs

WIDTHS = (16, 32, CHUNK)
"""Numbers of forecasts side by side, so that there are few programs to compile."""

MOST_RATES = 2**22
"""Rates of all runs that stand side by side: the more, the fewer passes through the recordings."""

LINE = 16
"""Runs whose rates of one neuron fill a line of the processor's cache, which is what a connection fetches."""


class Follower(Protocol):
    """What a model with parameters says of recordings, as `connfit.models.forecaster.ModelForecaster` does."""

    @property
    def model(self) -> Model: ...
    @property
    def params(self) -> Params: ...
    @property
    def substeps(self) -> int: ...
    @property
    def runs(self) -> TrackRuns | None: ...
    def columns(self, recording: Recording) -> Int[np.ndarray, "p"]: ...
    def limits(self, recording: Recording) -> Limits: ...
    def inputs(self, recording: Recording) -> Inputs | None: ...
    def shown(self, recording: Recording, frames: slice | Int[np.ndarray, "K"]) -> Shown: ...
    def clock(self, recording: Recording, frame: int) -> Clock: ...


@dataclass(frozen=True, eq=False)
class Track:
    """A stretch of a recording that a model follows from a settled start, and what comes of it.

    Parameters
    ----------
    recording
        Its frames and no others; where it has blocks they are one.
    starts
        [S] frames that forecasts start from, ascending without repeats.
    last
        The last frame that is predicted; frame 0 is not, for nothing comes before it.
    one_step
        [T, P] where predictions are written to, in memory or on disk; ...
    at
        ... frame 0 of the track is frame `at` of it.
    ahead
        [S, steps, P] where forecasts are written to.
    """

    recording: Recording
    starts: Int[np.ndarray, "S"]
    last: int
    one_step: Stored
    at: int
    ahead: Float[np.ndarray, "S steps P"]


def follow_tracks(follower: Follower, tracks: Sequence[Track]) -> None:
    """Write what a model predicts of each frame from those before it, and forecasts from each start.

    The states at the starts are kept until there are about CHUNK of them, which then run ahead side by
    side: however many starts there are, no more than that many states are held.
    """
    width = min(CHUNK, runs_at_once(follower.model.neurons))
    longest_first = sorted(tracks, key=lambda track: -track.last)
    for first in range(0, len(tracks), width):
        _follow(follower, longest_first[first : first + width])


def runs_at_once(neurons: int) -> int:
    """Return how many runs of a brain stand side by side at most: a multiple of `LINE`, or fewer than that."""
    most = MOST_RATES // neurons
    return most // LINE * LINE if most >= LINE else max(most, 1)


def _runs_of(follower: Follower) -> TrackRuns:
    return follower.runs or WholeRuns(follower.model, follower.params, follower.substeps)


def _follow(follower: Follower, tracks: Sequence[Track]) -> None:
    """Follow tracks side by side; those that are over are shown nothing."""
    runs = _runs_of(follower)
    limits = [follower.limits(track.recording) for track in tracks]
    together = _limits_beside(limits)
    clocks = [follower.clock(track.recording, track.at) for track in tracks]
    clock = Clock(*(np.concatenate(some) for some in zip(*clocks, strict=True)))  # pyright: ignore[reportArgumentType]
    state = runs.settled(_beside([_shown_in(follower, track, slice(0, 1)) for track in tracks]), together, clock)
    columns = [follower.columns(track.recording) for track in tracks]
    held: list[tuple[int, int]] = []
    shelf = None
    if any(len(track.starts) for track in tracks):
        places = np.full(len(tracks), CHUNK)
        for number, track in enumerate(tracks):
            if len(track.starts) and track.starts[0] == 0:
                places[number] = len(held)
                held.append((number, 0))
        shelf = runs.shelf(state, places)
    for block in _blocks(tracks, follower.substeps):
        count = block.stop - block.start
        shown = _beside([_shown_in(follower, track, block) for track in tracks])
        if shelf is None:
            state, read = runs.follow(state, shown, together)
        else:
            # Entry k is what follows the k-th frame that is shown.
            now = [(number, k) for number, track in enumerate(tracks) for k in _within(track, block)]
            if len(held) + len(now) > CHUNK:
                _run_ahead(follower, tracks, limits, shelf, held)
                held = []
            places = np.full((count, len(tracks)), CHUNK)
            for place, (number, k) in enumerate(now, len(held)):
                places[tracks[number].starts[k] - 1 - block.start, number] = place
            held += now
            state, shelf, read = runs.follow_and_shelve(state, shown, together, shelf, places)
        each = np.asarray(read)
        for number, track in enumerate(tracks):
            stop = min(block.stop, track.last)
            if stop > block.start:
                written = slice(track.at + block.start + 1, track.at + stop + 1)
                track.one_step[written] = each[: stop - block.start, columns[number], number]
    if shelf is not None and held:
        _run_ahead(follower, tracks, limits, shelf, held)


def _shown_in(follower: Follower, track: Track, block: slice) -> Shown:
    """What a track is shown in some frames; nothing once it is over, and its first frame however short it is."""
    stop = max(block.start, min(block.stop, max(track.last, 1)))
    found, more = follower.shown(track.recording, slice(block.start, stop)), block.stop - stop
    if not more:
        return found
    pad = ((0, more), (0, 0), (0, 0))
    return Shown(*(None if part is None else np.pad(np.asarray(part), pad) for part in found))  # type: ignore[arg-type]


def _beside(each: Sequence[Shown]) -> Shown:
    """What runs side by side are shown in the same steps."""
    if len(each) == 1:
        return each[0]
    parts = (None if some[0] is None else np.concatenate(some, axis=2) for some in zip(*each, strict=True))
    return Shown(*parts)  # type: ignore[arg-type]


def _limits_beside(each: Sequence[Limits]) -> Limits:
    return Limits(*(np.concatenate(some, axis=1) for some in zip(*each, strict=True)))


def _blocks(tracks: Sequence[Track], substeps: int) -> Iterator[slice]:
    """Frames of about CHUNK model steps, of which no more than CHUNK are starts."""
    frames, length = max(track.last for track in tracks), max(1, CHUNK // substeps)
    at = np.concatenate([track.starts[track.starts > 0] - 1 for track in tracks])
    while length > 1 and len(at) and np.bincount(at // length).max() > CHUNK:
        length //= 2
    for begin in range(0, frames, length):
        yield slice(begin, min(begin + length, frames))


def _within(track: Track, block: slice) -> list[int]:
    """Starts of a track whose state follows a frame of a block."""
    after = track.starts - 1
    return np.flatnonzero((after >= block.start) & (after < block.stop)).tolist()


def _run_ahead(
    follower: Follower, tracks: Sequence[Track], limits: Sequence[Limits], shelf: Shelf, held: list[tuple[int, int]]
) -> None:
    """Predict the frames after each start that is held; place k of the shelf holds the state at the k-th of them."""
    # Few batch sizes, so that there are few programs to compile.
    width = next(some for some in WIDTHS if len(held) <= some)
    filled = held + held[-1:] * (width - len(held))
    model, steps = follower.model, tracks[0].ahead.shape[1]
    last, shown = Shown.nothing(model, 1, width), Shown.nothing(model, steps, width)
    for number in dict.fromkeys(of for of, _ in filled):
        track, mine = tracks[number], [place for place, (of, _) in enumerate(filled) if of == number]
        frames = track.starts[[filled[place][1] for place in mine]]
        some, inputs = follower.shown(track.recording, frames), follower.inputs(track.recording)
        for all_runs, values in ((last.values, some.values), (last.given, some.given)):
            np.asarray(all_runs)[0][:, mine] = np.asarray(values)[:, :, 0].T
        if inputs is not None:
            expected = inputs.expected(frames, steps).transpose(1, 2, 0)
            if shown.external is None:
                shown = shown._replace(external=np.zeros((*expected.shape[:2], width), np.float32))
            np.asarray(shown.external)[:, :, mine] = expected
    within = _limits_beside([limits[number] for number, _ in filled])
    each = np.asarray(_runs_of(follower).ahead(shelf, last, shown, within))
    for place, (number, k) in enumerate(held):
        tracks[number].ahead[k] = each[:, follower.columns(tracks[number].recording), place]
