"""From finished tasks to the table: means and spread over seeds, and paired differences to the connectome model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from connfit.errors import DataError
from connfit.evaluate.intervals import Interval, SeedErrors, paired_difference
from connfit.study.rows import CONNECTOME, StudyRow
from connfit.study.tasks import Done

LEVEL = 0.95
REPEATS = 4000


@dataclass(frozen=True)
class Measure:
    """A column of the table.

    Parameters
    ----------
    key
        Name in `study.json`.
    label
        In words.
    path
        Where it stands in the scores of a part.
    better
        `"high"`, `"low"`, `"one"` (near 1), or `"none"`: it only describes.
    """

    key: str
    label: str
    path: tuple[str, ...]
    better: str = "high"


def measures(horizons: Sequence[int]) -> tuple[Measure, ...]:
    """Columns of a study with these horizons in frames."""
    return (
        Measure("one_step_skill", "skill, one step", ("one_step", "skill_vs_persistence")),
        *(
            Measure(f"horizon_{h}_skill", f"skill, {h} frames ahead", ("horizon_skill", str(h)))
            for h in horizons
            if h > 1
        ),
        Measure("one_step_fc", "FC of one-step predictions", ("one_step", "fc_corr")),
        Measure("free_run_fc", "FC of free runs with residuals", ("free_run", "fc_corr")),
        Measure("free_run_std_ratio", "std of free runs over data's", ("free_run", "std_ratio"), "one"),
        Measure(
            "free_run_spectrum_db",
            "spectrum of free runs, distance in dB",
            ("free_run", "spectrum", "log_spectral_distance_db"),
            "low",
        ),
        Measure(
            "free_run_autocorrelation",
            "autocorrelation of free runs, difference",
            ("free_run", "autocorrelation", "rms_difference"),
            "low",
        ),
        Measure("coverage_90", "coverage of 90 % intervals, one step", ("calibration", "coverage", "90"), "none"),
        Measure("crps", "CRPS, one step", ("calibration", "crps"), "low"),
    )


def study_table(
    rows: Sequence[StudyRow], done: Mapping[str, Mapping[int, Done]], failed: Mapping[str, Mapping[int, str]]
) -> dict[str, Any]:
    """The rows of the table with all their numbers, as plain values.

    Parameters
    ----------
    rows
        In the order of the table; `connectome` among them.
    done, failed
        By row and seed: what a task left, or why it could not be done.

    Returns
    -------
    dict
        `measures`, `rows`, `comparisons`: see docs/runs.md.
    """
    ours = done.get(CONNECTOME, {})
    horizons = sorted({h for one in ours.values() for errors in one.errors for h in errors.horizons})
    compared = [row for row in rows if row.name != CONNECTOME and done.get(row.name)]
    columns = measures(_horizons(ours))
    entries = []
    for row in rows:
        theirs = done.get(row.name, {})
        entry = {
            "name": row.name,
            "group": row.group,
            "keeps": row.keeps,
            "changes": row.changes,
            "seeds": sorted(theirs),
            "failed": {str(seed): why for seed, why in sorted(failed.get(row.name, {}).items())},
            "reason": _why_none(theirs, failed.get(row.name, {})),
            "parameters": _parameters(theirs),
            "fit_seconds": _mean([one.facts["fit_seconds"] for one in theirs.values()]),
            "epochs": [one.facts.get("epochs") for _, one in sorted(theirs.items())],
            "validation_selection": [one.facts.get("validation_selection") for _, one in sorted(theirs.items())],
            "runs": [one.facts["run"] for _, one in sorted(theirs.items()) if one.facts["run"]],
            "scores": {column.key: _over_seeds(theirs, column) for column in columns},
            "difference": None,
        }
        if row in compared and ours:
            entry["difference"] = {str(h): compare(ours, theirs, h, len(compared)) for h in horizons}
        entries.append(entry)
    return {
        "measures": [{"key": one.key, "label": one.label, "better": one.better} for one in columns],
        "rows": entries,
        "comparisons": _said(len(compared), horizons),
    }


def compare(
    ours: Mapping[int, Done], theirs: Mapping[int, Done], horizon: int, family: int, *, repeats: int = REPEATS
) -> dict[str, Any]:
    """Skill of the connectome model minus that of a row, with its interval, and one that allows for all rows.

    Parameters
    ----------
    family
        Rows that are compared at this horizon: the second interval has the level 1 - 0.05 / family (Bonferroni).

    Returns
    -------
    dict
        Fields of `Interval`, `excludes_zero`, `excludes_zero_corrected` and `outcome`: `"better"`, `"worse"` or
        `"tie"` of the connectome model by the plain interval; None where there is none.
    """
    first, second = _errors(ours), _errors(theirs)
    try:
        plain = paired_difference(first, second, horizon, level=LEVEL, repeats=repeats)
        # Tails of a resampled distribution need more resamples the further out they are.
        corrected = paired_difference(
            first, second, horizon, level=1 - (1 - LEVEL) / max(family, 1), repeats=repeats * max(family, 1) // 2
        )
    except DataError as error:
        plain = corrected = Interval(None, None, None, LEVEL, 0, 0, (len(first), len(second)), str(error))
    outcome = None
    if plain.excludes_zero is not None and plain.value is not None:
        outcome = ("better" if plain.value > 0 else "worse") if plain.excludes_zero else "tie"
    return {
        **asdict(plain),
        "seeds": list(plain.seeds),
        "excludes_zero": plain.excludes_zero,
        "excludes_zero_corrected": corrected.excludes_zero,
        "low_corrected": corrected.low,
        "high_corrected": corrected.high,
        "outcome": outcome,
    }


def _errors(done: Mapping[int, Done]) -> list[SeedErrors]:
    return [one.errors for _, one in sorted(done.items())]


def _horizons(done: Mapping[int, Done]) -> list[int]:
    """All horizons that were asked for, those that do not fit included."""
    return sorted({int(h) for one in done.values() for h in one.facts["scores"]["horizon_skill"]})


def _over_seeds(done: Mapping[int, Done], measure: Measure) -> dict[str, Any]:
    """Mean, standard deviation and each seed's value; null with the reason where there is none."""
    values, reasons = [], []
    for _, one in sorted(done.items()):
        place, why = one.facts["scores"], {}
        for key in measure.path[:-1]:
            place = place.get(key) or {}
            why |= place.get("reasons", {})
        values.append(place.get(measure.path[-1]))
        why |= one.facts["scores"].get("horizon", {}).get("reasons", {}) if measure.path[0] == "horizon_skill" else {}
        reasons.append(next((why[key] for key in reversed(measure.path) if key in why), "not computed"))
    known = [value for value in values if value is not None]
    result: dict[str, Any] = {"mean": _mean(known), "std": None, "seeds": values}
    if len(known) > 1:
        result["std"] = float(np.std(known, ddof=1))
    lacking = [why for value, why in zip(values, reasons, strict=True) if value is None]
    if lacking:
        result["reason"] = lacking[0] if not known else f"mean over {len(known)} of {len(values)} seeds: {lacking[0]}"
    return result


def _parameters(done: Mapping[int, Done]) -> dict[str, int] | None:
    """Trained numbers of each group, those that the row has, and their sum."""
    if not done:
        return None
    counts = {key: value for key, value in next(iter(done.values())).facts["parameters"].items() if key != "all"}
    total = next(iter(done.values())).facts["parameters"].get("all", sum(counts.values()))
    return {**counts, "all": total}


def _why_none(done: Mapping[int, Done], failed: Mapping[int, str]) -> str | None:
    if done:
        return None
    return next(iter(failed.values()), "no seed has been done")


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _said(family: int, horizons: Sequence[int]) -> dict[str, Any]:
    count = family * len(horizons)
    return {
        "rows": family,
        "horizons": list(horizons),
        "count": count,
        "level": LEVEL,
        "text": (
            f"{count} intervals ({family} rows at {len(horizons)} horizons) at {LEVEL:.0%} each: of so many, about "
            f"{(1 - LEVEL) * count:.1f} would leave zero out by chance if nothing differed. 'Corrected' intervals have "
            f"the level {1 - (1 - LEVEL) / max(family, 1):.2%}, so that all {family} rows at one horizon hold together "
            "(Bonferroni). Intervals are over blocks of time of the test part and over seeds: they say nothing about "
            "other animals."
        ),
    }
