"""Scores of a fit beside those of the untrained model and the baselines, as objects and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from connfit._display import Displayed
from connfit.config import EvaluateConfig
from connfit.errors import one_of
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.forecasts import Forecasts
from connfit.recordings import PART_NAMES
from connfit.training.fitted import Fit

MODEL, UNTRAINED = "model", "untrained"


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Displayed):
    """What a fit scored.

    Parameters
    ----------
    metrics
        All scores, with the keys of `metrics.json` (docs/runs.md).
    forecasts
        Predictions and free runs of every part, for figures.
    """

    metrics: Mapping[str, Any]
    forecasts: Forecasts

    def _display(self) -> tuple[str, Mapping[str, str]]:
        facts = {who: f"{of[1]:.3f}" if 1 in of else "not defined" for who, of in self.skills().items()}
        return "Evaluation, skill over persistence one frame ahead (test part)", facts

    def skills(self, part: str = "test") -> dict[str, dict[int, float]]:
        """Skill over persistence on one part, mean over recordings, of each predictor by frames ahead.

        One frame ahead is of every frame of the part, the other horizons are after common starts. Skills that are not
        defined, or were not computed, are left out.
        """
        one_of("part", part, PART_NAMES)
        scores = {MODEL: self.metrics["parts"], UNTRAINED: self.metrics["at_initialisation"] or {}}
        scores |= self.metrics["baselines"]
        found = {}
        for who, of in scores.items():
            here = of.get(part) or {}
            ahead = {int(h): skill for h, skill in (here.get("horizon_skill") or {}).items()}
            ahead[1] = (here.get("one_step") or {}).get("skill_vs_persistence")
            found[who] = {h: skill for h, skill in sorted(ahead.items()) if skill is not None}
        return found

    def table(self, part: str = "test") -> pd.DataFrame:
        """Tabulate `skills`: one row for each predictor, one column for each horizon in frames, NaN where none is."""
        skills = self.skills(part)
        columns = pd.Index(sorted({h for of in skills.values() for h in of}), name="frames ahead")
        rows = [[of.get(h, float("nan")) for h in columns] for of in skills.values()]
        return pd.DataFrame(rows, index=pd.Index(list(skills), name="predictor"), columns=columns)


def evaluate(fit: Fit, config: EvaluateConfig | None = None) -> Evaluation:
    """Score a fitted model, the untrained one and the baselines on every part of every recording.

    Parameters
    ----------
    config
        Default: section `evaluate` of the options of the fit.
    """
    if config is None and fit.job is not None:
        config = fit.job.config.evaluate
    metrics, forecasts = evaluate_all(
        fit.forecaster(), fit.initial_forecaster(), None, fit.cohort.recordings, config, held_out=fit.cohort.held_out
    )
    return Evaluation(metrics, forecasts)
