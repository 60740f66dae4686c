"""The last observed value of each unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.room import noise_blocks, one_free_run, room_for_runs
from connfit.evaluation.forecasts import Ahead, Frames, Noise, Runs, Starts
from connfit.evaluation.scratch import Stored
from connfit.recordings import Recording, hold_last
from connfit.recordings.frame_blocks import frame_blocks


@dataclass(frozen=True, eq=False)
class Persistence:
    """Predicts that nothing changes: the last observed value of each unit."""

    name: str = "persistence"

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> Persistence:
        """Return the baseline: there is nothing to fit."""
        return cls()

    @classmethod
    def pooled(cls, recordings: Sequence[Recording], units: Sequence[str], config: EvaluateConfig) -> Persistence:
        """Return the baseline: there is nothing to fit."""
        return cls()

    @property
    def parameters(self) -> int:
        """None."""
        return 0

    def one_step(self, recording: Recording) -> Frames:
        """Predict the last observed value before each frame; NaN before there is one."""
        return np.asarray(self.one_step_and_horizon(recording, np.zeros(0, int), 0)[0])

    def horizon(self, recording: Recording, starts: Starts, steps: int) -> Ahead:
        """Predict the last observed value at each start, at every horizon."""
        starts = np.asarray(starts)
        if recording.mask[starts].all():
            at_start = recording.values[starts].astype(np.float64)
        else:
            at_start = _held(recording, starts, int(starts.max()) + 1, None)
        return np.repeat(at_start[:, None, :], steps, axis=1)

    def one_step_and_horizon(
        self, recording: Recording, starts: Starts, steps: int, out: Stored | None = None
    ) -> tuple[Stored, Ahead]:
        """Return both from one pass through the recording."""
        out = np.empty(recording.values.shape) if out is None else out
        at_start = _held(recording, np.asarray(starts), recording.frames, out)
        return out, np.repeat(at_start[:, None, :], steps, axis=1)

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None = None) -> Runs:
        """Hold the last observed value of the warm-up; NaN without a warm-up. With noise, a random walk."""
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
        last, out = np.full(noise.shape[2], np.nan), room_for_runs(noise) if out is None else out
        if warmup >= 1:
            given = slice(start - warmup, start)
            last = hold_last(recording.values[given], recording.mask[given])[-1]
        gone = 0.0
        for at, walk in noise_blocks(noise):
            walk[:, 0] += gone
            walk = np.cumsum(walk, axis=1)
            out[0][:, at], gone = last + walk, walk[:, -1]
            out[1][at] = np.tile(last, (walk.shape[1], 1))
        return out


def _held(recording: Recording, starts: Starts, stop: int, out: Stored | None) -> Float[np.ndarray, "S P"]:
    """The last observed values at some frames before `stop`; into `out` goes what was held before every frame."""
    units = len(recording.units)
    at_start, held = np.empty((len(starts), units)), np.full((1, units), np.nan)
    for at in frame_blocks(0, stop, units):
        # What was held before the block stands in front of it, as if it had been observed there.
        values = np.concatenate([held[-1:], recording.values[at]])
        held = hold_last(values, np.concatenate([np.isfinite(held[-1:]), recording.mask[at]]))
        if out is not None:
            out[at] = held[:-1]
        here = (starts >= at.start) & (starts < at.stop)
        at_start[here] = held[starts[here] - at.start + 1]
    return at_start


BASELINES.register(
    Baseline(
        name="persistence",
        label="persistence",
        place=2,
        fit=Persistence.fit,
        pooled=Persistence.pooled,
        does="predicts that nothing changes",
        parameters="none",
        linear=True,
        colour="#0072B2",
    )
)
