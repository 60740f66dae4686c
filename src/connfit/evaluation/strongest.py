"""Which baseline is the bar that a model has to clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from connfit.evaluation.part_scores import BaselineScores, PartScores

OUT_OF_COMPETITION = frozenset({"var_ridge_own"})
"""Baselines that have seen a held-out animal."""


def strongest_baseline(
    baselines: Mapping[str, BaselineScores], part: str = "test", horizon: int = 1
) -> tuple[str, float] | None:
    """Return the name of the baseline with the highest pooled skill on a part at a horizon, and that skill.

    Parameters
    ----------
    baselines
        The key `baselines` of `metrics.json`. Those that could not be fitted, those whose skill is not defined, and
        those `OUT_OF_COMPETITION` take no part.
    horizon
        Frames ahead; 1 is one step ahead at every frame of the part.

    Returns
    -------
    tuple or None
        None if no baseline has a skill there.
    """
    return _strongest(baselines, part, lambda scores: scores.skill(horizon))


def strongest_median(
    baselines: Mapping[str, BaselineScores], part: str = "test", horizon: int = 1
) -> tuple[str, float] | None:
    """Return the name of the baseline whose median unit has the highest skill, and that skill; None if none has one."""
    return _strongest(baselines, part, lambda scores: scores.median_unit(horizon).value)


def _strongest(
    baselines: Mapping[str, BaselineScores], part: str, skill_of: Callable[[PartScores], float | None]
) -> tuple[str, float] | None:
    scored = {
        name: skill
        for name, scores in baselines.items()
        if (skill := skill_of(scores.part(part))) is not None and not scores.reason and name not in OUT_OF_COMPETITION
    }
    best = max(scored, key=lambda name: scored[name], default=None)
    return None if best is None else (best, scored[best])
