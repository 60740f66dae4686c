"""The short form of a study, which `metrics.json` holds under its key `study`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connfit._io import as_result, optional, plain
from connfit.evaluation.study.agreements import Agreement, PredictionAgreement
from connfit.evaluation.study.study import Budget, Study


@dataclass(frozen=True)
class ShortScore:
    """A `Score` without its seeds."""

    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ShortUnitDifference:
    """A `UnitDifference` without who carries the lead."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    excludes_zero: bool | None = None
    outcome: str | None = None
    units: int = 0
    ahead: int = 0
    behind: int = 0
    sign_p: float | None = None
    wilcoxon_p: float | None = None


@dataclass(frozen=True)
class ShortDifference:
    """A `Difference` without its details."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    excludes_zero: bool | None = None
    pooled_outcome: str | None = None
    outcome: str | None = None
    median_unit: ShortUnitDifference = ShortUnitDifference()


@dataclass(frozen=True)
class ShortRow:
    """A `StudyRow` with the number of its seeds, and with its parameters as one number."""

    name: str = ""
    group: str = ""
    seeds: int = 0
    parameters: int | None = None
    parameters_available: int | None = None
    counts: bool = True
    mark: str = ""
    note: str | None = None
    trained: tuple[bool | None, ...] = ()
    vacuous: str | None = None
    diverged: Mapping[int, str] = field(default_factory=dict)
    recipe: str | None = None
    fit_seconds: float | None = None
    scores: Mapping[str, ShortScore] = field(default_factory=dict)
    difference: Mapping[int, ShortDifference] | None = None
    reason: str | None = optional()


@dataclass(frozen=True)
class ShortBaseline:
    """A `StrongestBaseline` in short."""

    name: str = ""
    skill: float | None = None
    median_unit: float | None = None
    difference: ShortDifference = ShortDifference()


@dataclass(frozen=True)
class ShortReproducibility:
    """A `Reproducibility` without regions and sentences."""

    groups: tuple[Agreement, ...] = ()
    predictions: tuple[PredictionAgreement, ...] = ()
    flat: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShortStudy:
    """The part of a study that `metrics.json` holds: means, spread, differences, verdict."""

    part: str = "test"
    seeds: tuple[int, ...] = ()
    recordings: tuple[str, ...] = ()
    recordings_available: int | None = None
    weight_spread: float = 0.0
    budget: Budget = field(default_factory=Budget)
    verdict: tuple[str, ...] = ()
    rows: tuple[ShortRow, ...] = ()
    strongest: Mapping[int, ShortBaseline | None] = field(default_factory=dict)
    comparisons: str = ""
    reproducibility: ShortReproducibility = ShortReproducibility()


def compact(study: Study) -> ShortStudy:
    """Return the short form of a study."""
    rows = [
        {
            **vars(row),
            "seeds": len(row.seeds),
            "parameters": (row.parameters or {}).get("all"),
            "parameters_available": (row.parameters_available or {}).get("all"),
        }
        for row in study.rows
    ]
    # What the short form has no field for is skipped.
    return as_result(plain({**vars(study), "rows": rows, "comparisons": study.comparisons.text}), ShortStudy)
