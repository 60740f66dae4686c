"""What one forecaster scores on one part of a recording, or on average over recordings.

Everything that is not defined is None, with the reason beside it; nothing is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from connfit.errors import one_of
from connfit.evaluation.activity_dynamics import Dynamics
from connfit.evaluation.calibration import Calibration
from connfit.evaluation.free_run import FreeRunScores
from connfit.evaluation.metrics import Quartiles
from connfit.evaluation.pooling import Result, apart, by_key, mean, nested, same, total
from connfit.evaluation.squared_errors import ONE_STEP
from connfit.evaluation.unit_scores import Estimate
from connfit.recordings import PART_NAMES

Chosen: TypeAlias = Mapping[str, bool | int | float | str | Sequence[float | int | None] | Mapping[str, float] | None]
"""Facts about a baseline by name, as it says them."""


@dataclass(frozen=True)
class UnitSkill(Quartiles):
    """Quartiles over units of the skill over persistence, one step ahead.

    Parameters
    ----------
    above_persistence
        Units of skill above 0.
    above_both
        Units that are also predicted better than by their own mean, see `skill_over_simple`.
    """

    above_persistence: int = total()
    above_both: int | None = total(None)


@dataclass(frozen=True)
class OneStep(Result):
    """Scores of predictions one step ahead, of every frame of a part.

    Parameters
    ----------
    mse
        Mean squared error in squared units of the values.
    skill_vs_persistence
        1 - MSE / MSE of persistence on the same entries.
    fc_corr
        Correlation of functional connectivity with the data's.
    per_unit_skill
        Over units.
    scored
        Entries.
    """

    mse: float | None = mean()
    skill_vs_persistence: float | None = mean()
    fc_corr: float | None = mean()
    per_unit_skill: UnitSkill = nested(UnitSkill)
    scored: int = total()


@dataclass(frozen=True)
class Horizons(Result):
    """About horizons: the start frames that all have in common, and by horizon, as text, what `reasons` has to say."""

    starts: int = total()


@dataclass(frozen=True)
class PartScores(Result):
    """Scores of one forecaster on one part.

    Parameters
    ----------
    frames, observed
        Frames, and entries that were observed.
    horizon_skill
        By horizon in frames: skill over persistence at the same horizon.
    horizon_median_unit
        By horizon: the median unit's skill, see `connfit.evaluation.unit_scores`.
    free_run
        Driven by noise, if the options say so.
    free_run_deterministic
        Without noise; None if `free_run` has none.
    """

    frames: int = total()
    observed: int = total()
    one_step: OneStep = nested(OneStep)
    calibration: Calibration = nested(Calibration)
    horizon_skill: Mapping[int, float | None] = by_key(of="mean", reasons_in="horizon")
    horizon: Horizons = nested(Horizons)
    horizon_median_unit: Mapping[int, Estimate] = by_key()
    free_run: FreeRunScores = nested(FreeRunScores)
    free_run_deterministic: FreeRunScores | None = nested()

    @property
    def quiet_run(self) -> FreeRunScores:
        """The free run without noise."""
        return self.free_run_deterministic or FreeRunScores() if self.free_run.is_driven else self.free_run

    def skill(self, horizon: int) -> float | None:
        """Return the skill over persistence of all units together; one frame ahead, of every frame of the part."""
        skill = self.one_step.skill_vs_persistence if horizon == ONE_STEP else None
        return self.horizon_skill.get(horizon) if skill is None else skill

    def median_unit(self, horizon: int) -> Estimate:
        """Return the median unit's skill; empty where it was not computed."""
        return self.horizon_median_unit.get(horizon, Estimate())


@dataclass(frozen=True)
class BaselineScores(Result):
    """Scores of a baseline by part, or why there are none.

    Parameters
    ----------
    train, validation, test
        Parts of a recording that it was fitted to.
    held_out
        The test part of an animal that was held out of the fit.
    parameters
        Numbers that it learned.
    chosen
        What its tuning chose.
    reason
        Why it could not be fitted.
    """

    train: PartScores | None = nested()
    validation: PartScores | None = nested()
    test: PartScores | None = nested()
    held_out: PartScores | None = nested()
    parameters: int | None = total(optional=True)
    chosen: Chosen | None = apart()
    reason: str | None = same(optional=True)

    def part(self, name: str) -> PartScores:
        """Return the scores of a part; empty where there are none."""
        return getattr(self, name) or PartScores()


@dataclass(frozen=True)
class ModelScores:
    """Scores of the model, the untrained one and baselines.

    Parameters
    ----------
    observations
        By part: observed values that are scored.
    parts, at_initialisation
        By part, of the model and of the untrained one.
    baselines
        By name.
    """

    observations: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, PartScores] = field(default_factory=dict)
    at_initialisation: Mapping[str, PartScores] | None = None
    baselines: Mapping[str, BaselineScores] = field(default_factory=dict)

    def part(self, name: str) -> PartScores:
        """Return the scores of the model on a part; empty where there are none.

        Raises
        ------
        ConfigError
            If there is no such part.
        """
        if name not in self.parts:
            one_of("part", name, PART_NAMES)
        return self.parts.get(name, PartScores())

    def untrained(self, part: str) -> PartScores:
        """Return the scores of the untrained model on a part; empty where there are none."""
        return (self.at_initialisation or {}).get(part, PartScores())


@dataclass(frozen=True)
class DataScores(Result):
    """The data against themselves: what a copy of the training part reaches on the test part.

    Parameters
    ----------
    fc_corr_train_vs_test
        Correlation of the functional connectivities of the two parts.
    dynamics_train_vs_test
        Scores of the last frames of the training part, as many as the test part has, as if they were a free run of it.
    """

    fc_corr_train_vs_test: float | None = mean()
    dynamics_train_vs_test: Dynamics = nested(Dynamics)
