"""The model beside the strongest baselines: by pooled skill and by the median unit, with intervals and over units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from connfit._io import optional
from connfit.evaluation.intervals import paired_difference
from connfit.evaluation.part_scores import BaselineScores
from connfit.evaluation.scores import Scored
from connfit.evaluation.squared_errors import PredictionErrors, UnitErrors
from connfit.evaluation.strongest import strongest_baseline, strongest_median
from connfit.evaluation.unit_scores import UnitComparison, compare_units


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
        """Collect the errors of a part that was run ahead."""
        return cls(scored.errors[part], scored.units[part])


@dataclass(frozen=True)
class AgainstStrongest:
    """The model beside the strongest baselines at one horizon; an absent comparison is None.

    Parameters
    ----------
    pooled
        With the baseline of highest pooled skill, in pooled skill.
    median_unit
        With the baseline whose median unit has the highest skill, in that of the median unit.
    """

    pooled: UnitComparison | None = optional()
    median_unit: UnitComparison | None = optional()


def against_strongest(
    scores: Mapping[str, BaselineScores],
    model: Mapping[str, PartErrors],
    baselines: Mapping[str, Mapping[str, PartErrors]],
    part: str = "test",
) -> dict[int, AgainstStrongest]:
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
        By horizon. With several recordings differences are means over those that both were scored on, counts and p are
        of all their units. Horizons at which no baseline has a skill are left out.
    """
    found: dict[int, AgainstStrongest] = {}
    for h in sorted({h for of in model.values() for h in of.units}):
        pooled, median = strongest_baseline(scores, part, h), strongest_median(scores, part, h)
        at = AgainstStrongest(
            pooled=None if pooled is None else _compared(pooled[0], model, baselines, h, pooled=True),
            median_unit=None if median is None else _compared(median[0], model, baselines, h, pooled=False),
        )
        if at.pooled or at.median_unit:
            found[h] = at
    return found


def _compared(
    name: str,
    model: Mapping[str, PartErrors],
    baselines: Mapping[str, Mapping[str, PartErrors]],
    h: int,
    *,
    pooled: bool,
) -> UnitComparison | None:
    """Model and one baseline on the recordings that both were scored on; None if there are none."""
    theirs = baselines.get(name, {})
    both = [recording for recording in model if recording in theirs]
    both = [recording for recording in both if all(h in of[recording].units for of in (model, theirs))]
    if not both:
        return None
    found = replace(
        compare_units([model[at].units[h] for at in both], [theirs[at].units[h] for at in both]), baseline=name
    )
    if not pooled:
        return found
    between = paired_difference([[model[at].pooled for at in both]], [[theirs[at].pooled for at in both]], h)
    reasons = {key: why for key, why in found.reasons.items() if key == "p"}
    if between.reason:
        lacking = ("difference",) if between.value is None else ("low", "high")
        reasons |= dict.fromkeys(lacking, between.reason)
    return replace(found, difference=between.value, low=between.low, high=between.high, reasons=reasons)
