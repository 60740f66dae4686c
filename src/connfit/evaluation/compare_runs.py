"""Two runs side by side: scores, the interval of their difference where their data are the same, options, sizes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from connfit import config as configuration
from connfit.errors import ConfigError, DataError, one_of
from connfit.evaluation.compare_fits import compare
from connfit.evaluation.evaluate_run import compare_with_nulls, evaluated_run
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.squared_errors import ONE_STEP
from connfit.recordings import PART_NAMES
from connfit.training.runs import load_fit


@dataclass(frozen=True)
class HorizonComparison:
    """Skill over persistence at one horizon, mean over recordings.

    Parameters
    ----------
    frames_ahead
        The horizon.
    first, second
        Skill of each run; None where it is not defined.
    difference, low, high
        First minus second with its 95 % interval over blocks of time; None where data differ or it is not defined.
    """

    frames_ahead: int
    first: float | None
    second: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def winner(self) -> int:
        """1 if the interval lies above zero, so that the first is better, -1 if below, else 0."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side.

    Parameters
    ----------
    names
        Their folders.
    part
        What the scores are of.
    apart
        Why their scores must not be subtracted; empty where both are of the same frames.
    horizons
        Skills by horizon: where data are the same of the units that both have, else as each was evaluated.
    measures
        Other measures of each as it was evaluated, by what they are called.
    parameters
        Numbers that training changed, by group.
    options
        Options in which the configurations differ, with the values of each.
    """

    names: tuple[str, str]
    part: str
    apart: str
    horizons: tuple[HorizonComparison, ...]
    measures: Mapping[str, tuple[float | None, float | None]]
    parameters: Mapping[str, tuple[int, int]]
    options: Mapping[str, tuple[object, object]]

    def verdict(self) -> str:
        """Say in one line which run predicts better, or that it cannot be told."""
        if self.apart:
            return f"Which is better cannot be told: {self.apart}"
        won = {side: [row.frames_ahead for row in self.horizons if row.winner == side] for side in (1, -1)}
        first, second = self.names
        if won[1] and won[-1]:
            return f"{first} is better {_ahead(won[1])}, {second} {_ahead(won[-1])}"
        for side, name in ((1, first), (-1, second)):
            if won[side]:
                others = [row.frames_ahead for row in self.horizons if row.winner == 0]
                open_ = f"; {_ahead(others)} it cannot be told" if others else ""
                return f"{name} is better {_ahead(won[side])}{open_}"
        return "Which is better cannot be told: every interval of the difference includes 0, or is not defined"


def compare_runs(first: str | Path, second: str | Path, *, part: str = "test") -> RunComparison:
    """Compare two evaluated runs.

    Parameters
    ----------
    first, second
        Their folders.
    part
        `"train"`, `"validation"` or `"test"`.

    Raises
    ------
    DataError
        If a folder holds no evaluated run, or its data have changed.
    """
    one_of("part", part, PART_NAMES)
    folders = Path(first), Path(second)
    (scores, config), (others, other) = evaluated_run(folders[0]), evaluated_run(folders[1])
    skills = [_skills(each, part) for each in (scores, others)]
    ahead = [h for h in sorted({*skills[0], *skills[1]}) if h in skills[0] and h in skills[1]]
    horizons = tuple(HorizonComparison(h, skills[0][h], skills[1][h]) for h in ahead)
    fits, apart = (load_fit(folders[0]), load_fit(folders[1])), ""
    try:
        table = compare(*fits, names=[str(each) for each in folders], part=part, horizons=ahead or (ONE_STEP,))
    except DataError as error:
        apart = str(error).partition(". ")[0]
    else:
        horizons = tuple(
            _row(index[1], values) for index, values in zip(table.index, table.to_dict("records"), strict=True)
        )
    changed = [each.parameters or {} for each in (scores, others)]
    return RunComparison(
        names=_short(folders),
        part=part,
        apart=apart,
        horizons=horizons,
        measures=_measures(scores, others, part),
        parameters={
            group: (changed[0].get(group, 0), changed[1].get(group, 0))
            for group in dict.fromkeys([*changed[0], *changed[1]])
        },
        options={key: (one, two) for key, one, two in configuration.differences(config, other)},
    )


def compare_with(folder: str | Path, others: Sequence[str | Path]) -> RunComparison | Evaluation:
    """Compare a run with another one, or add runs on null connectomes to the scores of the real one.

    Returns
    -------
    RunComparison or Evaluation
        The second where all others are runs on null connectomes, and the first is none (`compare_with_nulls`).

    Raises
    ------
    ConfigError
        If there are several others that are not all on null connectomes.
    DataError
        As of `compare_runs`.
    """
    is_null = [evaluated_run(Path(each))[1]["data"]["null"] is not None for each in (folder, *others)]
    if not is_null[0] and all(is_null[1:]):
        return compare_with_nulls(folder, others)
    if len(others) > 1:
        other = next(each for each, null in zip(others, is_null[1:], strict=True) if not null or is_null[0])
        raise ConfigError(f"give one run to compare {folder} with, or runs on null connectomes of it: {other} is none")
    return compare_runs(folder, others[0])


def _skills(evaluation: Evaluation, part: str) -> dict[int, float | None]:
    scores = evaluation.part(part)
    return {h: scores.skill(h) for h in sorted({ONE_STEP, *scores.horizon_skill})}


def _row(horizon: int, found: Mapping[Hashable, Any]) -> HorizonComparison:
    """A row of the table of `connfit.compare`, whose columns are named from the other's view."""
    names = ("skill_of_first", "skill", "difference", "low", "high")
    values = [None if np.isnan(found[name]) else float(found[name]) for name in names]
    return HorizonComparison(horizon, *values)


def _measures(scores: Evaluation, others: Evaluation, part: str) -> dict[str, tuple[float | None, float | None]]:
    one, other = scores.part(part), others.part(part)
    return {
        "MSE, one step": (one.one_step.mse, other.one_step.mse),
        "FC correlation, one step": (one.one_step.fc_corr, other.one_step.fc_corr),
        "FC correlation, free run": (one.free_run.fc_corr, other.free_run.fc_corr),
        "median unit's skill, one step": (one.median_unit(ONE_STEP).value, other.median_unit(ONE_STEP).value),
    }


def _short(folders: tuple[Path, Path]) -> tuple[str, str]:
    """The last part of each path that tells them apart."""
    one, other = (str(folder) for folder in folders)
    names = folders[0].resolve().name, folders[1].resolve().name
    return (one, other) if names[0] == names[1] else names


def _ahead(horizons: Sequence[int]) -> str:
    *some, last = map(str, horizons)
    listed = f"{', '.join(some)} and {last}" if some else last
    return f"{listed} frame{'' if horizons == [1] else 's'} ahead"
