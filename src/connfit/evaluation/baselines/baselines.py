"""Baselines that a fit is compared with, by name; mean and persistence are defined here.

Each is fitted to one recording, on its training part only, and predicts that recording's units. For an
animal that was held out of a fit there is a version that is fitted to the training parts of other animals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from connfit.config import EvaluateConfig
from connfit.errors import one_of
from connfit.evaluation.baselines.ar import Ar
from connfit.evaluation.baselines.around_ar import ReducedRank, VarAroundAr
from connfit.evaluation.baselines.lds import Lds
from connfit.evaluation.baselines.recurrent_training import fit_gru, fit_region_rnn
from connfit.evaluation.baselines.var_ridge import VarRidge, moments, pooled_means
from connfit.evaluation.forecasts import Forecaster
from connfit.recordings import Recording, hold_last


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
        """Take the means of the training part; `config` has no option for it."""
        return cls(moments(*recording.part("train"))[0])

    @classmethod
    def pooled(
        cls, recordings: Sequence[Recording], units: Sequence[str], config: EvaluateConfig | None = None
    ) -> Mean:
        """Means of `units` over the training parts of all recordings that have them; NaN for a unit of none."""
        return cls(pooled_means(recordings, units))

    @property
    def parameters(self) -> int:
        """One per unit."""
        return len(self.means)

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """The mean, at every frame."""
        return np.tile(self.means, (recording.frames, 1))

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """The mean, at every horizon."""
        return np.tile(self.means, (len(starts), steps, 1))

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """The mean, at every frame, plus the noise: whole frames of the training part in random order."""
        return np.tile(self.means, (frames, 1)) if noise is None else self.means + noise


@dataclass(frozen=True, eq=False)
class Persistence:
    """Predicts that nothing changes: the last observed value of each unit."""

    name: str = "persistence"

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> Persistence:
        """There is nothing to fit."""
        return cls()

    @classmethod
    def pooled(
        cls, recordings: Sequence[Recording], units: Sequence[str], config: EvaluateConfig | None = None
    ) -> Persistence:
        """There is nothing to fit."""
        return cls()

    @property
    def parameters(self) -> int:
        """None."""
        return 0

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """The last observed value before each frame; NaN before there is one."""
        held = hold_last(recording.values, recording.mask)
        return np.concatenate([np.full((1, held.shape[1]), np.nan), held[:-1]])

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """The last observed value at each start, at every horizon."""
        held = hold_last(recording.values, recording.mask)
        return np.repeat(held[starts][:, None, :], steps, axis=1)

    def free_run(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> Float[np.ndarray, "*runs frames P"]:
        """The last observed value of the warm-up, at every frame; NaN without a warm-up. With noise, a random walk."""
        last = np.full(len(recording.units), np.nan)
        if warmup >= 1:
            given = slice(start - warmup, start)
            last = hold_last(recording.values[given], recording.mask[given])[-1]
        return np.tile(last, (frames, 1)) if noise is None else last + np.cumsum(noise, axis=1, dtype=np.float64)


BaselineFactory = Callable[[Recording, EvaluateConfig], Forecaster]

BASELINES: Mapping[str, BaselineFactory] = {
    "mean": Mean.fit,
    "persistence": Persistence.fit,
    "ar": Ar.fit,
    "var_ridge": VarRidge.fit,
    "var_around_ar": VarAroundAr.fit,
    "reduced_rank": ReducedRank.fit,
    "lds": Lds.fit,
    "gru": fit_gru,
    "region_rnn": fit_region_rnn,
}
"""The baselines by name. A new one is one class with `fit` and one row here."""

PooledFactory = Callable[[Sequence[Recording], Sequence[str], EvaluateConfig], Forecaster]

POOLED: Mapping[str, PooledFactory] = {
    "mean": Mean.pooled,
    "persistence": Persistence.pooled,
    "ar": Ar.pooled,
    "var_ridge": VarRidge.pooled,
    "var_around_ar": VarAroundAr.pooled,
    "reduced_rank": ReducedRank.pooled,
}
"""The same, fitted to other animals than the one that is predicted."""

NOT_POOLED: Mapping[str, str] = {
    name: f"{what} is trained on all units of one animal together; animals differ in which units were recorded"
    for name, what in {
        "lds": "a linear dynamical system",
        "gru": "the GRU",
        "region_rnn": "the network of rate units",
    }.items()
}
"""Why others have no such version."""


def baseline_factories(chosen: Sequence[str] | Mapping[str, BaselineFactory]) -> dict[str, BaselineFactory]:
    """The factories of the named baselines; a mapping of the user's own is passed through.

    Raises
    ------
    ConfigError
        If a name is unknown.
    """
    if isinstance(chosen, Mapping):
        return dict(chosen)
    return {name: BASELINES[one_of("baseline", name, BASELINES)] for name in chosen}
