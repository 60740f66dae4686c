"""The mean of each unit over the training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.room import noise_blocks, one_free_run, room_for_runs
from connfit.evaluation.baselines.unit_scaling import Scaling, pooled_means
from connfit.evaluation.forecasts import Ahead, Frames, Noise, Runs, Starts
from connfit.evaluation.scratch import Stored
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks


@dataclass(frozen=True, eq=False)
class Mean:
    """Predicts the mean of each unit over the observed frames of the training part.

    Parameters
    ----------
    means
        [P] in the recording's units; NaN for a unit that the training part never shows.
    """

    means: Float[np.ndarray, "P"]
    name: str = "mean"

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> Mean:
        """Average the training part; `config` has no option for it."""
        return cls(Scaling.of(*recording.part("train")).means)

    @classmethod
    def pooled(
        cls, recordings: Sequence[Recording], units: Sequence[str], config: EvaluateConfig | None = None
    ) -> Mean:
        """Average `units` over the training parts of all recordings that have them; NaN for a unit of none."""
        return cls(pooled_means(recordings, units))

    @property
    def parameters(self) -> int:
        """One per unit."""
        return len(self.means)

    def one_step(self, recording: Recording) -> Frames:
        """Predict the mean at every frame."""
        return np.asarray(self.one_step_and_horizon(recording, np.zeros(0, int), 0)[0])

    def horizon(self, recording: Recording, starts: Starts, steps: int) -> Ahead:
        """Predict the mean at every horizon."""
        return np.tile(self.means, (len(starts), steps, 1))

    def one_step_and_horizon(
        self, recording: Recording, starts: Starts, steps: int, out: Stored | None = None
    ) -> tuple[Stored, Ahead]:
        """Return both."""
        out = np.empty(recording.values.shape) if out is None else out
        for at in frame_blocks(0, *recording.values.shape):
            out[at] = np.tile(self.means, (at.stop - at.start, 1))
        return out, self.horizon(recording, starts, steps)

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None = None) -> Runs:
        """Predict the mean at every frame, plus the noise: whole frames of the training part in random order."""
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
        for at, each in noise_blocks(noise):
            out[0][:, at], out[1][at] = self.means + each, np.tile(self.means, (each.shape[1], 1))
        return out


BASELINES.register(
    Baseline(
        name="mean",
        label="mean",
        phrase="the mean",
        place=1,
        fit=Mean.fit,
        pooled=Mean.pooled,
        does="predicts each unit's mean over the training part",
        parameters="the mean of each unit",
        linear=True,
        colour="#E69F00",
    )
)
