"""From finished tasks to the table: what each row is, means over seeds, and differences to the connectome model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from connfit.errors import DataError
from connfit.evaluation.intervals import Interval, SeedErrors, paired_difference
from connfit.evaluation.squared_errors import ONE_STEP
from connfit.evaluation.study.measures import (
    LEVEL,
    UNIT_REPEATS,
    Measure,
    errors_by_seed,
    mean,
    measures,
    over_seeds,
)
from connfit.evaluation.study.messages import Failure
from connfit.evaluation.study.row_status import SAME, Status, row_status, why_diverged
from connfit.evaluation.study.rows import CONNECTOME, PlannedRow
from connfit.evaluation.study.seed_result import Done
from connfit.evaluation.study.study import Comparisons, Difference, StrongestBaseline, Study, StudyRow, UnitDifference
from connfit.evaluation.study.tasks import PART
from connfit.evaluation.unit_intervals import paired_units

REPEATS = 4000


def study_table(
    rows: Sequence[PlannedRow], done: Mapping[str, Mapping[int, Done]], failed: Mapping[str, Mapping[int, Failure]]
) -> Study:
    """Compute the table: a study with its measures, rows, comparisons and strongest baselines, and nothing else.

    Parameters
    ----------
    rows
        In the order of the table; `connectome` among them.
    done, failed
        By row and seed: what a task left, or why it could not be done.
    """
    every = done.get(CONNECTOME, {})
    is_what = {row.name: _status(row, done.get(row.name, {}), failed.get(row.name, {}), every) for row in rows}
    us = is_what.get(CONNECTOME, Status(counts=False))
    ours, contest = _counting(every, us), us.counts
    horizons = sorted({h for of_seed in ours.values() for errors in of_seed.errors for h in errors.horizons})
    others = [row for row in rows if row.name != CONNECTOME and done.get(row.name)]
    family = sum(contest and is_what[row.name].counts for row in others)
    columns = measures(_horizons(every))
    entries = []
    for row in rows:
        theirs, status = done.get(row.name, {}), is_what[row.name]
        entry = _row(row, theirs, failed.get(row.name, {}), status, columns)
        if row in others and ours:
            counting = _counting(theirs, status)
            difference = {
                h: compare(
                    ours, counting, h, family,
                    contest=contest and status.counts and h not in (*us.exploded, *status.exploded),
                    diverged=h in status.exploded,
                )
                for h in horizons
            }  # fmt: skip
            entry = replace(entry, difference=difference)
        entries.append(entry)
    return Study(
        measures=tuple(measure.column for measure in columns),
        rows=tuple(entries),
        comparisons=_comparisons(family, horizons),
        strongest={h: strongest_baseline(entries, h) for h in horizons},
    )


def _row(
    row: PlannedRow,
    done: Mapping[int, Done],
    failed: Mapping[int, Failure],
    status: Status,
    columns: Sequence[Measure],
) -> StudyRow:
    """A row without differences."""
    results = [of_seed.result for _, of_seed in sorted(done.items())]
    return StudyRow(
        name=row.name,
        group=row.group,
        keeps=row.keeps,
        changes=row.changes,
        seeds=tuple(sorted(done)),
        failed={seed: why.reason for seed, why in sorted(failed.items())},
        reason=_why_none(done, failed, status),
        counts=status.counts and bool(done),
        mark=status.mark,
        note=status.note,
        trained=status.trained,
        vacuous=status.vacuous,
        diverged=status.diverged,
        left_out=status.left_out,
        parameters=_most([result.parameters for result in results]),
        parameters_available=_most([result.parameters_available for result in results]),
        recipe=_recipe(done),
        fit_seconds=mean([result.fit_seconds for result in results]),
        epochs=tuple(result.epochs for result in results),
        best_epoch=tuple(result.best_epoch for result in results),
        validation_selection=tuple(result.validation_selection for result in results),
        runs=tuple(result.run for result in results if result.run),
        scores={measure.column.key: over_seeds(done, _counting(done, status), measure) for measure in columns},
    )


def _status(
    row: PlannedRow, theirs: Mapping[int, Done], failed: Mapping[int, Failure], ours: Mapping[int, Done]
) -> Status:
    same = (
        () if row.name == CONNECTOME else tuple(seed for seed in theirs if seed in ours and _same(theirs, ours, seed))
    )
    results = {seed: of_seed.result for seed, of_seed in theirs.items()}
    return row_status(row.group, results, failed, same=same, part=PART)


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
    return {seed: of_seed for seed, of_seed in done.items() if seed not in status.left_out}


def strongest_baseline(rows: Sequence[StudyRow], horizon: int) -> StrongestBaseline | None:
    """Find the baseline of highest pooled skill at a horizon; None without one that has a skill there.

    Parameters
    ----------
    rows
        Of the table.
    """
    at = "one_step" if horizon == ONE_STEP else f"horizon_{horizon}"
    known = [
        (skill, row)
        for row in rows
        if row.group == "baseline"
        and row.counts
        and row.difference_at(horizon).value is not None
        and not row.difference_at(horizon).diverged
        and (skill := row.mean(f"{at}_skill")) is not None
    ]
    if not known:
        return None
    skill, best = max(known, key=lambda pair: pair[0])
    return StrongestBaseline(best.name, skill, best.mean(f"{at}_median_unit"), best.difference_at(horizon))


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
) -> Difference:
    """Compare the connectome model with a row: pooled skill, with intervals, and unit by unit.

    Parameters
    ----------
    family
        Rows that are compared at this horizon: the second interval has the level 1 - 0.05 / family (Bonferroni).
    contest
        False: numbers only, nothing is won or lost.
    diverged
        Whether the row diverged at this horizon.
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
        plain = corrected = _nothing(first, second, error)
    pooled = _outcome(plain.value, plain.excludes_zero)
    contradicted = pooled in ("better", "worse") and (plain.value or 0.0) * (units.value or 0.0) < 0
    return Difference(
        **vars(plain),
        excludes_zero=plain.excludes_zero,
        excludes_zero_corrected=corrected.excludes_zero,
        low_corrected=corrected.low,
        high_corrected=corrected.high,
        median_unit=units,
        diverged=diverged,
        pooled_outcome=pooled,
        outcome=("mixed" if contradicted else pooled) if contest else None,
    )


def _nothing(first: Sequence[SeedErrors], second: Sequence[SeedErrors], why: DataError) -> Interval:
    return Interval(None, None, None, LEVEL, 0, 0, (len(first), len(second)), str(why))


def _outcome(value: float | None, excludes_zero: bool | None) -> str | None:
    if value is None or excludes_zero is None:
        return None
    return ("better" if value > 0 else "worse") if excludes_zero else "tie"


def _by_unit(ours: Sequence[SeedErrors], theirs: Sequence[SeedErrors], horizon: int, repeats: int) -> UnitDifference:
    try:
        found = paired_units(ours, theirs, horizon, level=LEVEL, repeats=repeats)
    except DataError as error:
        return UnitDifference(reason=str(error))
    median = found.median
    shared = ("units", "ahead", "behind", "sign_p", "wilcoxon_p", "lead_units", "lead_of", "strongest_share")
    return UnitDifference(
        value=median.value,
        low=median.low,
        high=median.high,
        reason=median.reason,
        excludes_zero=median.excludes_zero,
        outcome=_outcome(median.value, median.excludes_zero),
        **{key: getattr(found, key) for key in shared},
    )


def _horizons(done: Mapping[int, Done]) -> list[int]:
    """All horizons that were asked for, those that do not fit included."""
    return sorted({int(h) for of_seed in done.values() for h in of_seed.result.scores["horizon_skill"]})


def _most(counts: Sequence[Mapping[str, int] | None]) -> Mapping[str, int] | None:
    """Numbers of parameters by group and their sum, of the seed that has most (none are learned where none moved)."""
    known = [of_seed for of_seed in counts if of_seed]
    if not known:
        return None
    groups = [{group: count for group, count in of_seed.items() if group != "all"} for of_seed in known]
    most = max(range(len(known)), key=lambda at: sum(groups[at].values()))
    return {**groups[most], "all": known[most].get("all", sum(groups[most].values()))}


def _recipe(done: Mapping[int, Done]) -> str | None:
    """What was chosen for the row, in short: once if all seeds chose alike; None where nothing was to choose."""
    texts = {seed: _short(of.result.recipe) for seed, of in sorted(done.items()) if of.result.recipe}
    if len(set(texts.values())) < 2:
        return next(iter(texts.values()), None)
    return "; ".join(f"seed {seed}: {text}" for seed, text in texts.items())


def _short(chosen: object, under: str = "") -> str:
    """An object of options as `option = value`, with commas between."""
    if isinstance(chosen, Mapping):
        parts = [_short(value, f"{under}.{key}".lstrip(".")) for key, value in chosen.items()]
        return ", ".join(part for part in parts if part)
    value = f"{chosen:.3g}" if isinstance(chosen, float) else str(chosen)
    return f"{under} = {value}" if under else value


def _why_none(done: Mapping[int, Done], failed: Mapping[int, Failure], status: Status) -> str | None:
    if done:
        return None
    if failed and all(why.diverged for why in failed.values()):
        return why_diverged(status.diverged, len(failed))
    return next((why.reason for why in failed.values()), "no seed has been done")


def _comparisons(family: int, horizons: Sequence[int]) -> Comparisons:
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
    about = (
        "Intervals are over blocks of time of the test part and over seeds, those of the median unit over units too: "
        "they say nothing about other animals. Tests over units treat the units of an animal as "
        "independent, which they are not, so their p-values are too small."
    )
    return Comparisons(family, tuple(horizons), count, LEVEL, f"{allowed} {about}")
