"""What the answers on prediction compare: the best other column of a measure, and the far horizon."""

from __future__ import annotations

from connfit.report.traced import Traced, known
from connfit.report.wording import pretty


def best_other(metrics: Traced, *measure: str | int) -> tuple[str, Traced] | None:
    """Return the highest of the baselines and the untrained model by a measure of the test part, with its name.

    Parameters
    ----------
    measure
        Its path in the scores of a part.
    """
    columns = {pretty(str(name)): scores.test for name, scores in metrics.baselines.items()}
    columns["the untrained model"] = metrics.at_initialisation.test
    for step in measure:
        columns = {name: column[step] for name, column in columns.items()}
    scored = {name: value for name, value in columns.items() if known(value)}
    best = max(scored, key=lambda name: scored[name], default=None)
    return None if best is None else (best, scored[best])


def far_horizon(test: Traced) -> int | None:
    """Return the longest horizon up to 10 frames that was scored, if there is one beyond the next frame."""
    horizons = [int(str(name)) for name, skill in test.horizon_skill.items() if known(skill)]
    return max((h for h in horizons if 1 < h <= 10), default=None)
