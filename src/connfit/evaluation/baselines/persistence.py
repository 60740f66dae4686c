"""The last observed value of each unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.forecasts import Ahead, Frames, Noise, Runs, Starts
from connfit.recordings import Recording, hold_last


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
        held = hold_last(recording.values, recording.mask)
        return np.concatenate([np.full((1, held.shape[1]), np.nan), held[:-1]])

    def horizon(self, recording: Recording, starts: Starts, steps: int) -> Ahead:
        """Predict the last observed value at each start, at every horizon."""
        held = hold_last(recording.values, recording.mask)
        return np.repeat(held[starts][:, None, :], steps, axis=1)

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None = None) -> Runs:
        """Hold the last observed value of the warm-up; NaN without a warm-up. With noise, a random walk."""
        last = np.full(len(recording.units), np.nan)
        if warmup >= 1:
            given = slice(start - warmup, start)
            last = hold_last(recording.values[given], recording.mask[given])[-1]
        return np.tile(last, (frames, 1)) if noise is None else last + np.cumsum(noise, axis=1, dtype=np.float64)


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
