"""The study of a fit in the report: its table, differences with intervals, what they say, and whether seeds agree."""

from __future__ import annotations

from collections.abc import Sequence

from connfit.evaluation.study.agreements import Agreement
from connfit.evaluation.study.row_names import short_name
from connfit.evaluation.study.study import FILE as STUDY
from connfit.evaluation.study.study import Column, Difference, Score, Study, StudyRow, UnitDifference
from connfit.evaluation.study.words import frames
from connfit.report import page
from connfit.report.console_study import GROUPS, learned_in_words
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.study_figures import agreement_bars, forest
from connfit.report.prose import write_prose
from connfit.report.sections.comparison import number


def study_blocks(study: Study) -> list[str]:
    """Return the HTML blocks of a study."""
    texts = _texts(study)
    return [
        page.paragraph(texts["intro"]),
        page.bullets(list(study.verdict)),
        _scores(study),
        page.paragraph(texts["about_scores"], "soft small"),
        *_asides(study),
        _differences(study),
        page.paragraph(study.comparisons.text, "soft small"),
        page.folded("Unit by unit: in how many units the connectome model is ahead", _units(study)),
        page.folded("What each row keeps and changes", _rows_in_words(study)),
        *_reproducibility(study, texts["about_agreement"]),
    ]


def study_drawings(study: Study) -> list[Drawing]:
    """Return the figures of a study: differences with intervals, and agreement of seeds."""
    texts, found = _texts(study), []
    if study.compared() and study.comparisons.horizons:
        found.append(Drawing("study_differences", texts["differences"], None, lambda: forest(study)))
    if any(group.change_pearson is not None for group in study.reproducibility.groups):
        found.append(
            Drawing("study_reproducibility", texts["agreement"], None, lambda: agreement_bars(study.reproducibility))
        )
    return found


def _texts(study: Study) -> dict[str, str]:
    """Paragraphs and captions by name."""
    settings = write_prose("sections/study.j2", {STUDY: study}).settings
    return {name: " ".join(text.split()) for name, text in settings.items() if isinstance(text, str)}


def _scores(study: Study) -> str:
    columns = [column for column in study.measures if any(row.mean(column.key) is not None for row in study.rows)]
    best_rows = [_best(study.rows, column) for column in columns]
    body, best = [], []
    for row in study.rows:
        scores = (_spread(row.scores[column.key], interval=column.unit == "median") for column in columns)
        seconds = "–" if row.fit_seconds is None else f"{row.fit_seconds:,.0f}"
        body.append([_marked(row), GROUPS.get(row.group, row.group), *scores, learned_in_words(row), seconds])
        best.append([at for at, of in enumerate(best_rows, start=2) if of is row])
    header = ["", "kind", *(column.label for column in columns), "parameters", "seconds"]
    return page.table(header, body, caption="All rows, test part (best mean of each column *)", best=best)


def _best(rows: Sequence[StudyRow], column: Column) -> StudyRow | None:
    known = [row for row in rows if row.counts and row.mean(column.key) is not None]
    if column.better == "none" or not known:
        return None

    def goodness(row: StudyRow) -> float:
        value = row.mean(column.key) or 0.0
        return {"high": value, "low": -value, "one": -abs(value - 1)}[column.better]

    return max(known, key=goodness)


def _marked(row: StudyRow) -> str:
    """Name of a row with what it is, where that is something else than a row that counts."""
    return short_name(row.name) + (f" ({row.mark})" if row.mark else "")


def _asides(study: Study) -> list[str]:
    """What marked rows are, and what was chosen for each row."""
    notes = [f"{short_name(row.name)} {row.note}." for row in study.rows if row.note]
    recipes = [[short_name(row.name), row.recipe] for row in study.rows if row.recipe]
    chosen = page.table(["row", "chosen on validation for this row"], recipes, text=True)
    return [page.bullets(notes), page.folded("What was chosen for each row", chosen)]


def _spread(score: Score, *, interval: bool = False) -> str:
    text = number(score.mean) + ("" if score.std is None else f" ± {score.std:.2g}")
    if not interval or score.low is None:
        return text
    return f"{text} ({number(score.low)} to {number(score.high)})"


def _differences(study: Study) -> str:
    horizons = study.comparisons.horizons
    body = []
    for row in study.compared():
        cells = [_marked(row)]
        for difference in map(row.difference_at, horizons):
            cells.append(_interval(difference, corrected=difference.excludes_zero_corrected))
            cells.append(_interval(difference.median_unit, corrected=False))
        body.append(cells)
    header = [
        "connectome model minus",
        *(f"{frames(h)}, {unit}" for h in horizons for unit in ("pooled", "median unit")),
    ]
    caption = "Difference in skill with interval (° the interval leaves out 0; °° also after correction for all rows)"
    return page.table(header, body, caption=caption)


def _interval(of: Difference | UnitDifference, *, corrected: bool | None) -> str:
    if of.value is None:
        return "–"
    if of.low is None:
        return f"{of.value:+.3f}"
    mark = "°°" if corrected else "°" if of.excludes_zero else ""
    return f"{of.value:+.3f} ({of.low:+.3f} to {of.high:+.3f}){mark}"


def _units(study: Study) -> str:
    """Counts of units, p-values over units, and who carries the pooled difference."""
    body = []
    for row in study.compared():
        for h in study.comparisons.horizons:
            units = row.difference_at(h).median_unit
            share = "–" if units.strongest_share is None else f"{units.strongest_share:.0%}"
            body.append(
                [
                    short_name(row.name), frames(h), f"{units.ahead} of {units.units}", number(units.sign_p),
                    number(units.wilcoxon_p), f"{units.lead_units} of {units.lead_of}", share,
                ]
            )  # fmt: skip
    header = [
        "row", "ahead of it by", "units ahead", "p, sign test", "p, Wilcoxon", "units that carry the pooled difference",
        "share of the five strongest",
    ]  # fmt: skip
    return page.table(header, body)


def _rows_in_words(study: Study) -> str:
    body = [[short_name(row.name), row.keeps, row.changes, row.reason or ""] for row in study.rows]
    return page.table(["row", "keeps", "changes", "why it has no numbers"], body, text=True)


def _reproducibility(study: Study, about: str) -> list[str]:
    found = study.reproducibility
    if not found.groups:
        return [page.paragraph(f"Whether parameters agree between seeds is not known: {found.reason}.")]
    header = [
        "group", "parameters", "start", "after", "after, rank", "log", "change", "change, rank", "moved",
        "spread ratio",
    ]  # fmt: skip
    by_group, by_region = (
        [_agreement_row(group) for group in groups] for groups in (found.groups, found.weights_by_region)
    )
    return [
        page.bullets(list(found.text)),
        page.table(header, by_group, caption="Do seeds agree on parameters?"),
        page.paragraph(about, "soft small"),
        page.folded("Weights by region of the postsynaptic neuron", page.table(header, by_region)),
    ]


def _agreement_row(of: Agreement) -> list[str]:
    values = (
        of.start_pearson, of.pearson, of.spearman, of.log_pearson, of.change_pearson, of.change_spearman, of.moved,
        of.spread_ratio,
    )  # fmt: skip
    return [of.group.replace("_", " "), f"{of.count:,}", *map(number, values)]
