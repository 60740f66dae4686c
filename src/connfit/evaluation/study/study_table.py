"""From finished tasks to the table: what each row is, means over seeds, and differences to the connectome model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from connfit.errors import DataError
from connfit.evaluation.intervals import Interval, SeedErrors, paired_difference
from connfit.evaluation.squared_errors import ONE_STEP
from connfit.evaluation.study.measures import LEVEL, UNIT_REPEATS, errors_by_seed, mean, measures, over_seeds
from connfit.evaluation.study.row_status import SAME, Failure, Status, row_status, why_diverged
from connfit.evaluation.study.rows import CONNECTOME, StudyRow
from connfit.evaluation.study.tasks import PART, Done
from connfit.evaluation.unit_intervals import PairedUnits, paired_units

REPEATS = 4000


def study_table(
    rows: Sequence[StudyRow], done: Mapping[str, Mapping[int, Done]], failed: Mapping[str, Mapping[int, Failure]]
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
    every = done.get(CONNECTOME, {})
    is_what = {row.name: _status(row, done.get(row.name, {}), failed.get(row.name, {}), every) for row in rows}
    us = is_what.get(CONNECTOME, Status(counts=False))
    ours, contest = _counting(every, us), us.counts
    horizons = sorted({h for one in ours.values() for errors in one.errors for h in errors.horizons})
    others = [row for row in rows if row.name != CONNECTOME and done.get(row.name)]
    family = sum(contest and is_what[row.name].counts for row in others)
    columns = measures(_horizons(every))
    entries = []
    for row in rows:
        theirs, status = done.get(row.name, {}), is_what[row.name]
        counting = _counting(theirs, status)
        entry = {
            "name": row.name,
            "group": row.group,
            "keeps": row.keeps,
            "changes": row.changes,
            "seeds": sorted(theirs),
            "failed": {str(seed): one.reason for seed, one in sorted(failed.get(row.name, {}).items())},
            "reason": _why_none(theirs, failed.get(row.name, {}), status),
            "counts": status.counts and bool(theirs),
            "mark": status.mark,
            "note": status.note,
            "trained": list(status.trained),
            "vacuous": status.vacuous,
            "diverged": {str(seed): what for seed, what in (status.diverged or {}).items()},
            "left_out": list(status.left_out),
            "parameters": _parameters(theirs, "parameters"),
            "parameters_available": _parameters(theirs, "parameters_available"),
            "recipe": _recipe(theirs),
            "fit_seconds": mean([one.facts["fit_seconds"] for one in theirs.values()]),
            "epochs": [one.facts.get("epochs") for _, one in sorted(theirs.items())],
            "best_epoch": [one.facts.get("best_epoch") for _, one in sorted(theirs.items())],
            "validation_selection": [one.facts.get("validation_selection") for _, one in sorted(theirs.items())],
            "runs": [one.facts["run"] for _, one in sorted(theirs.items()) if one.facts["run"]],
            "scores": {column.key: over_seeds(theirs, counting, column) for column in columns},
            "difference": None,
        }
        if row in others and ours:
            entry["difference"] = {
                str(h): compare(
                    ours, counting, h, family,
                    contest=contest and status.counts and h not in (*us.exploded, *status.exploded),
                    diverged=h in status.exploded,
                )
                for h in horizons
            }  # fmt: skip
        entries.append(entry)
    return {
        "measures": [
            {"key": one.key, "label": one.label, "better": one.better, "unit": one.unit, "horizon": one.horizon}
            for one in columns
        ],
        "rows": entries,
        "comparisons": _said(family, horizons),
        "strongest": {str(h): strongest_baseline(entries, h) for h in horizons},
    }


def _status(
    row: StudyRow, theirs: Mapping[int, Done], failed: Mapping[int, Failure], ours: Mapping[int, Done]
) -> Status:
    same = (
        () if row.name == CONNECTOME else tuple(seed for seed in theirs if seed in ours and _same(theirs, ours, seed))
    )
    return row_status(row.group, {seed: one.facts for seed, one in theirs.items()}, failed, same=same, part=PART)


def _same(theirs: Mapping[int, Done], ours: Mapping[int, Done], seed: int) -> bool:
    """Whether a row predicts what the connectome model does from the same seed."""
    pairs = list(zip(theirs[seed].errors, ours[seed].errors, strict=True))
    return bool(pairs) and all(
        a.horizons == b.horizons
        and all(np.allclose(a.squared_error[h], b.squared_error[h], rtol=SAME, atol=0) for h in a.horizons)
        for a, b in pairs
    )


def _counting(done: Mapping[int, Done], status: Status) -> dict[int, Done]:
    """Without seeds that diverged, where others are left."""
    return {seed: one for seed, one in done.items() if seed not in status.left_out}


def strongest_baseline(rows: Sequence[Mapping[str, Any]], horizon: int) -> dict[str, Any] | None:
    """The baseline of highest pooled skill at a horizon, and how the connectome model stands to it.

    Parameters
    ----------
    rows
        Of the table.

    Returns
    -------
    dict
        `name`, `skill` and `median_unit` of the baseline, `difference` as in its row; None without a baseline that has
        a skill there.
    """
    at = "one_step" if horizon == ONE_STEP else f"horizon_{horizon}"
    known = [
        row
        for row in rows
        if row["group"] == "baseline"
        and row["counts"]
        and (row["difference"] or {}).get(str(horizon), {}).get("value") is not None
        and not row["difference"][str(horizon)]["diverged"]
        and row["scores"][f"{at}_skill"]["mean"] is not None
    ]
    if not known:
        return None
    best = max(known, key=lambda row: row["scores"][f"{at}_skill"]["mean"])
    return {
        "name": best["name"],
        "skill": best["scores"][f"{at}_skill"]["mean"],
        "median_unit": best["scores"][f"{at}_median_unit"]["mean"],
        "difference": best["difference"][str(horizon)],
    }


def compare(
    ours: Mapping[int, Done],
    theirs: Mapping[int, Done],
    horizon: int,
    family: int,
    *,
    contest: bool = True,
    diverged: bool = False,
    repeats: int = REPEATS,
    unit_repeats: int = UNIT_REPEATS,
) -> dict[str, Any]:
    """Skill of the connectome model minus that of a row: pooled, with intervals, and unit by unit.

    Parameters
    ----------
    family
        Rows that are compared at this horizon: the second interval has the level 1 - 0.05 / family (Bonferroni).
    contest
        False: numbers only, nothing is won or lost.
    diverged
        Whether the row diverged at this horizon.

    Returns
    -------
    dict
        Fields of `Interval`, `excludes_zero`, `excludes_zero_corrected`; `median_unit`: fields of `PairedUnits`;
        `pooled_outcome`: `"better"`, `"worse"` or `"tie"` of the connectome model by the plain interval; `outcome`: the
        same, but `"mixed"` where the median unit's difference has the other sign than a pooled one that excludes zero.
        None where there is no interval or nothing is won or lost.
    """
    first, second = errors_by_seed(ours), errors_by_seed(theirs)
    units = _by_unit(first, second, horizon, unit_repeats)
    try:
        plain = paired_difference(first, second, horizon, level=LEVEL, repeats=repeats)
        # Tails of a resampled distribution need more resamples the further out they are.
        corrected = paired_difference(
            first, second, horizon, level=1 - (1 - LEVEL) / max(family, 1), repeats=repeats * max(family, 1) // 2
        )
    except DataError as error:
        plain = corrected = Interval(None, None, None, LEVEL, 0, 0, (len(first), len(second)), str(error))
    pooled = _outcome(plain.value, plain.excludes_zero)
    median = units["value"]
    contradicted = pooled in ("better", "worse") and median is not None and (plain.value or 0.0) * median < 0
    return {
        **asdict(plain),
        "seeds": list(plain.seeds),
        "excludes_zero": plain.excludes_zero,
        "excludes_zero_corrected": corrected.excludes_zero,
        "low_corrected": corrected.low,
        "high_corrected": corrected.high,
        "median_unit": units,
        "diverged": diverged,
        "pooled_outcome": pooled,
        "outcome": ("mixed" if contradicted else pooled) if contest else None,
    }


def _outcome(value: float | None, excludes_zero: bool | None) -> str | None:
    if value is None or excludes_zero is None:
        return None
    return ("better" if value > 0 else "worse") if excludes_zero else "tie"


def _by_unit(ours: Sequence[SeedErrors], theirs: Sequence[SeedErrors], horizon: int, repeats: int) -> dict[str, Any]:
    """`PairedUnits` as plain values, the median's interval in the first place."""
    try:
        found = paired_units(ours, theirs, horizon, level=LEVEL, repeats=repeats)
    except DataError as error:
        nothing = Interval(None, None, None, LEVEL, 0, 0, (len(ours), len(theirs)), str(error))
        found = PairedUnits(nothing, 0, 0, 0, None, None, None, 0, 0, None)
    median = asdict(found.median)
    return {
        **{key: median[key] for key in ("value", "low", "high", "reason")},
        "excludes_zero": found.median.excludes_zero,
        "outcome": _outcome(found.median.value, found.median.excludes_zero),
        **{key: getattr(found, key) for key in ("units", "ahead", "behind", "sign_p", "wilcoxon_p")},
        **{key: getattr(found, key) for key in ("lead_units", "lead_of")},
        "strongest_share": found.strongest_share,
    }


def _horizons(done: Mapping[int, Done]) -> list[int]:
    """All horizons that were asked for, those that do not fit included."""
    return sorted({int(h) for one in done.values() for h in one.facts["scores"]["horizon_skill"]})


def _parameters(done: Mapping[int, Done], key: str) -> dict[str, int] | None:
    """Numbers of each group, those that the row learned (none where no seed was trained) or could, and their sum."""
    counted = [counts for one in done.values() if (counts := one.facts.get(key))]
    if not counted:
        return None
    most = max(counted, key=lambda counts: sum(value for group, value in counts.items() if group != "all"))
    counts = {group: value for group, value in most.items() if group != "all"}
    return {**counts, "all": most.get("all", sum(counts.values()))}


def _recipe(done: Mapping[int, Done]) -> str | None:
    """What was chosen for the row, in short: once if all seeds chose alike; None where nothing was to choose."""
    texts = {seed: _short(one.facts["recipe"]) for seed, one in sorted(done.items()) if one.facts.get("recipe")}
    if len(set(texts.values())) < 2:
        return next(iter(texts.values()), None)
    return "; ".join(f"seed {seed}: {text}" for seed, text in texts.items())


def _short(chosen: Any, under: str = "") -> str:
    """An object of options as `option = value`, with commas between."""
    if isinstance(chosen, Mapping):
        parts = [_short(value, f"{under}.{key}".lstrip(".")) for key, value in chosen.items()]
        return ", ".join(part for part in parts if part)
    value = f"{chosen:.3g}" if isinstance(chosen, float) else str(chosen)
    return f"{under} = {value}" if under else value


def _why_none(done: Mapping[int, Done], failed: Mapping[int, Failure], status: Status) -> str | None:
    if done:
        return None
    if failed and all(one.diverged for one in failed.values()):
        return why_diverged(status.diverged or {}, len(failed))
    return next((one.reason for one in failed.values()), "no seed has been done")


def _said(family: int, horizons: Sequence[int]) -> dict[str, Any]:
    """How many comparisons there are and how they are allowed for."""
    count = family * len(horizons)
    allowed = "No row counts here, so that there is no number of comparisons to allow for."
    if family:
        allowed = (
            f"{count} intervals ({family} {'row' if family == 1 else 'rows'} at {len(horizons)} "
            f"{'horizon' if len(horizons) == 1 else 'horizons'}) at {LEVEL:.0%} each: about {(1 - LEVEL) * count:.1f} "
            "of them would exclude zero by chance if nothing differed. 'Corrected' intervals have the level "
            f"{1 - (1 - LEVEL) / family:.2%}, so that those of all rows at one horizon hold together (Bonferroni)."
        )
    return {
        "rows": family,
        "horizons": list(horizons),
        "count": count,
        "level": LEVEL,
        "text": (
            f"{allowed} Intervals are over blocks of time of the test part and over seeds, those of the median unit "
            "over units too: they say nothing about other animals. Tests over units take the units of an animal for "
            "independent, which they are not: their p-values are too small to that degree."
        ),
    }
