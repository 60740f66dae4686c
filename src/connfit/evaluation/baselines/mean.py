"""The mean of each unit over the training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.unit_scaling import Scaling, pooled_means
from connfit.evaluation.forecasts import Ahead, Frames, Noise, Runs, Starts
from connfit.recordings import Recording


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
        return np.tile(self.means, (recording.frames, 1))

    def horizon(self, recording: Recording, starts: Starts, steps: int) -> Ahead:
        """Predict the mean at every horizon."""
        return np.tile(self.means, (len(starts), steps, 1))

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None = None) -> Runs:
        """Predict the mean at every frame, plus the noise: whole frames of the training part in random order."""
        return np.tile(self.means, (frames, 1)) if noise is None else self.means + noise


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
