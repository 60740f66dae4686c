"""The model beside the strongest baselines: by pooled skill and by the median unit, with intervals and over units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connfit.evaluation.intervals import paired_difference
from connfit.evaluation.scores import Scored
from connfit.evaluation.squared_errors import PredictionErrors
from connfit.evaluation.strongest import strongest_baseline
from connfit.evaluation.unit_scores import UnitErrors, compare_units


@dataclass(frozen=True, eq=False)
class PartErrors:
    """Errors of one forecaster on one part of one recording: what comparisons need of all its scores.

    Parameters
    ----------
    pooled
        Of all units together.
    units
        By horizon, of each unit.
    """

    pooled: PredictionErrors
    units: Mapping[int, UnitErrors]

    @classmethod
    def of(cls, scored: Scored, part: str = "test") -> PartErrors:
        """Those of a part that was run ahead."""
        return cls(scored.errors[part], scored.units[part])


def against_strongest(
    scores: Mapping[str, Mapping[str, Any]],
    model: Mapping[str, PartErrors],
    baselines: Mapping[str, Mapping[str, PartErrors]],
    part: str = "test",
) -> dict[str, dict[str, Any]]:
    """Compare the model at every horizon with the baseline of highest pooled skill and with that of the best median.

    Parameters
    ----------
    scores
        The key `baselines` of `metrics.json`: who is strongest.
    model
        By recording.
    baselines
        By name and recording; those that could not be fitted to a recording are absent.
    part
        Name of the part that the errors are of.

    Returns
    -------
    dict
        By horizon as text: `pooled` and `median_unit`, each with `baseline`, the name of the strongest by that
        measure; `difference`, `low` and `high`, the measure of the model minus that of the baseline with its 95 %
        interval (`connfit.evaluation.intervals.paired_difference`, `connfit.evaluation.unit_scores.compare_units`); and
        `units`, `better` and `p`, the units that both have a skill for, those that the model predicts better, and p of
        Wilcoxon's signed-rank test. With several recordings differences are means over those that both were scored
        on, counts and p are of all their units. Horizons at which no baseline has a skill are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    for h in sorted({h for one in model.values() for h in one.units}):
        strongest = {"pooled": strongest_baseline(scores, part, h), "median_unit": strongest_median(scores, part, h)}
        compared = {
            measure: _compared(measure, one[0], model, baselines.get(one[0], {}), h)
            for measure, one in strongest.items()
            if one is not None
        }
        if any(compared.values()):
            found[str(h)] = {measure: one for measure, one in compared.items() if one}
    return found


def strongest_median(
    baselines: Mapping[str, Mapping[str, Any]], part: str = "test", horizon: int = 1
) -> tuple[str, float] | None:
    """Name of the baseline whose median unit has the highest skill, and that skill; None if none has one.

    Parameters and units as in `connfit.evaluation.strongest.strongest_baseline`.
    """
    scored: dict[str, float] = {}
    for name, scores in baselines.items():
        median = ((scores.get(part) or {}).get("horizon_median_unit") or {}).get(str(horizon)) or {}
        if median.get("value") is not None and not scores.get("reason"):
            scored[name] = median["value"]
    best = max(scored, key=lambda name: scored[name], default=None)
    return None if best is None else (best, scored[best])


def _compared(
    measure: str, name: str, model: Mapping[str, PartErrors], theirs: Mapping[str, PartErrors], h: int
) -> dict[str, Any]:
    """Model and one baseline on the recordings that both were scored on; empty if there are none."""
    both = [one for one in model if one in theirs and all(h in of[one].units for of in (model, theirs))]
    if not both:
        return {}
    units = compare_units([model[one].units[h] for one in both], [theirs[one].units[h] for one in both])
    if measure == "pooled":
        found = paired_difference([[model[one].pooled for one in both]], [[theirs[one].pooled for one in both]], h)
        reasons = {key: why for key, why in units.pop("reasons", {}).items() if key == "p"}
        if found.reason:
            reasons |= dict.fromkeys(("low", "high") if found.value is not None else ("difference",), found.reason)
        units |= {"difference": found.value, "low": found.low, "high": found.high}
        units |= {"reasons": reasons} if reasons else {}
    return {"baseline": name, **units}
