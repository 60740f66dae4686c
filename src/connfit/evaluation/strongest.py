"""Which baseline is the bar that a model has to clear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OUT_OF_COMPETITION = frozenset({"var_ridge_own"})
"""Baselines that have seen a held-out animal."""


def strongest_baseline(
    baselines: Mapping[str, Mapping[str, Any]], part: str = "test", horizon: int = 1
) -> tuple[str, float] | None:
    """Name of the baseline with the highest pooled skill on a part at a horizon, and that skill.

    Parameters
    ----------
    baselines
        The key `baselines` of `metrics.json`. Entries with a `reason` instead of scores, those whose skill is null,
        and those `OUT_OF_COMPETITION` take no part.
    part
        Name of the part.
    horizon
        Frames ahead; 1 is one step ahead at every frame of the part.

    Returns
    -------
    tuple or None
        None if no baseline has a skill there.
    """
    scored: dict[str, float] = {}
    for name, scores in baselines.items():
        skill = pooled_skill(scores.get(part) or {}, horizon)
        if skill is not None and not scores.get("reason") and name not in OUT_OF_COMPETITION:
            scored[name] = skill
    best = max(scored, key=lambda name: scored[name], default=None)
    return None if best is None else (best, scored[best])


def pooled_skill(part: Mapping[str, Any], horizon: int) -> float | None:
    """Skill over persistence of all units together in the scores of one part; None where it is not defined."""
    skill = (part.get("one_step") or {}).get("skill_vs_persistence") if horizon == 1 else None
    return skill if skill is not None else (part.get("horizon_skill") or {}).get(str(horizon))
