"""The study of a fit in the report: its table, differences with intervals, what they say, and whether seeds agree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from connfit.errors import DataError
from connfit.report import page
from connfit.report.console_study import GROUPS, learned_in_words
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.study_figures import agreement_bars, forest
from connfit.report.sections.comparison import number

FILE = Path("study", "study.json")


def study_of(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The study of a run directory, or itself if it is one already; None where there is none.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    if isinstance(source, Mapping):
        return source
    path = Path(source) / FILE
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not valid JSON ({error})", path=path, fix="Run `connfit evaluate --full` again") from error


def study_blocks(source: str | Path | Mapping[str, Any]) -> list[str]:
    """HTML blocks of a study; none where there is none.

    Parameters
    ----------
    source
        A run directory, or the content of its `study/study.json`.
    """
    study = study_of(source)
    if study is None:
        return []
    return [
        page.paragraph(_intro(study)),
        page.bullets(study["verdict"]),
        _scores(study),
        page.paragraph(
            "Mean over seeds ± standard deviation between seeds; in brackets the 95 % interval of the median unit's "
            "skill, over blocks of time, units and seeds. Skill over persistence, of the test part: pooled, where "
            "units of large change decide, and of the median unit. Seconds are those of training. Rows without ± have "
            "one seed, or no chance in them.",
            "soft small",
        ),
        *_asides(study),
        _differences(study),
        page.paragraph(study["comparisons"]["text"], "soft small"),
        page.folded("Unit by unit: in how many units the connectome model is ahead", _units(study)),
        page.folded("What each row keeps and changes", _rows_in_words(study)),
        *_reproducibility(study),
    ]


def study_drawings(source: str | Path | Mapping[str, Any]) -> list[Drawing]:
    """Figures of a study: differences with intervals, and agreement of seeds; none where there is none."""
    study = study_of(source)
    if study is None:
        return []
    found = []
    compared = [row for row in study["rows"] if row["difference"]]
    horizons = study["comparisons"]["horizons"]
    if compared and horizons:
        found.append(
            Drawing(
                "study_differences",
                f"Skill of the connectome model minus that of each row, {_listed(horizons)} frames ahead, on the test "
                f"part: mean over seeds with {study['comparisons']['level']:.0%} intervals over blocks of time and "
                "seeds. Circles: pooled skill; diamonds below them: the median unit, whose interval is over units too. "
                "Right of 0 the connectome model is better. Filled: the interval leaves out 0; open: it does not. A "
                "difference beyond the axis is a triangle at its edge, with its number. Rows in brackets win and lose "
                "nothing.",
                None,
                lambda: forest(study),
            )
        )
    groups = [one for one in study["reproducibility"]["groups"] if one["change_pearson"] is not None]
    if groups:
        found.append(
            Drawing(
                "study_reproducibility",
                f"Agreement of {len(study['reproducibility']['seeds'])} seeds of the connectome model: Pearson "
                "correlation between seeds, mean over pairs, of each group of parameters at the start, after the fit "
                "and of the change from one to the other (with the range over pairs), and of their predictions "
                "(orange: of what they predict to change). Values after the fit agree wherever starts do; only the "
                "change says what the data fixed.",
                None,
                lambda: _bars(study),
            )
        )
    return found


def _bars(study: Mapping[str, Any]) -> Figure:
    return agreement_bars(study["reproducibility"])


def _intro(study: Mapping[str, Any]) -> str:
    seeds, budget = study["seeds"], study["budget"]
    epochs = f"{budget['epochs']} teacher-forced and {budget['free_run_epochs']} free-running epochs at most"
    spread = study["weight_spread"]
    starts = (
        f"Starting strengths of all fits are spread by a log-normal factor (σ = {spread:g}), so that seeds differ."
        if spread
        else "Starting strengths are the same for all seeds."
    )
    return (
        f"Every row was trained and tested on the same parts with the same budget ({epochs}, patience "
        f"{budget['patience']}), with {len(seeds)} seed{'s' if len(seeds) != 1 else ''}; baselines were tuned on the "
        f"validation part. {starts}"
    )


def _scores(study: Mapping[str, Any]) -> str:
    columns = [one for one in study["measures"] if any(_value(row, one["key"]) is not None for row in study["rows"])]
    body, best = [], []
    for row in study["rows"]:
        body.append(
            [
                _marked(row),
                GROUPS.get(row["group"], row["group"]),
                *(_spread(row["scores"][one["key"]], interval=one["unit"] == "median") for one in columns),
                learned_in_words(row),
                "–" if row["fit_seconds"] is None else f"{row['fit_seconds']:,.0f}",
            ]
        )
        best.append([at for at, one in enumerate(columns, start=2) if row is _best(study["rows"], one)])
    header = ["", "kind", *(one["label"] for one in columns), "parameters", "seconds"]
    return page.table(header, body, caption="All rows, test part (best mean of each column *)", best=best)


def _value(row: Mapping[str, Any], key: str) -> float | None:
    return row["scores"][key]["mean"]


def _best(rows: Sequence[Mapping[str, Any]], column: Mapping[str, Any]) -> Mapping[str, Any] | None:
    known = [row for row in rows if row["counts"] and _value(row, column["key"]) is not None]
    if column["better"] == "none" or not known:
        return None

    def goodness(row: Mapping[str, Any]) -> float:
        value = _value(row, column["key"]) or 0.0
        return {"high": value, "low": -value, "one": -abs(value - 1)}[column["better"]]

    return max(known, key=goodness)


def _marked(row: Mapping[str, Any]) -> str:
    """Name of a row with what it is, where that is something else than a row that counts."""
    return row["name"].replace("_", " ") + (f" ({row['mark']})" if row["mark"] else "")


def _asides(study: Mapping[str, Any]) -> list[str]:
    """What marked rows are, and what was chosen for each row."""
    notes = [f"{row['name'].replace('_', ' ')} {row['note']}." for row in study["rows"] if row["note"]]
    recipes = [[row["name"].replace("_", " "), row["recipe"]] for row in study["rows"] if row["recipe"]]
    chosen = page.table(["row", "chosen on validation for this row"], recipes, text=True)
    return [page.bullets(notes), page.folded("What was chosen for each row", chosen)]


def _spread(score: Mapping[str, Any], *, interval: bool = False) -> str:
    text = number(score["mean"]) + ("" if score["std"] is None else f" ± {score['std']:.2g}")
    if not interval or score["low"] is None:
        return text
    return f"{text} ({number(score['low'])} to {number(score['high'])})"


def _differences(study: Mapping[str, Any]) -> str:
    horizons = study["comparisons"]["horizons"]
    body = [
        [
            _marked(row),
            *(
                text
                for one in (row["difference"][str(h)] for h in horizons)
                for text in (
                    _interval(one, corrected=one["excludes_zero_corrected"]),
                    _interval(one["median_unit"], corrected=False),
                )
            ),
        ]
        for row in study["rows"]
        if row["difference"]
    ]
    header = [
        "connectome model minus",
        *(f"{_frames(h)}, {unit}" for h in horizons for unit in ("pooled", "median unit")),
    ]
    caption = "Difference in skill with interval (° the interval leaves out 0; °° also after correction for all rows)"
    return page.table(header, body, caption=caption)


def _interval(one: Mapping[str, Any], *, corrected: bool | None) -> str:
    if one["value"] is None:
        return "–"
    if one["low"] is None:
        return f"{one['value']:+.3f}"
    mark = "°°" if corrected else "°" if one["excludes_zero"] else ""
    return f"{one['value']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f}){mark}"


def _units(study: Mapping[str, Any]) -> str:
    """Counts of units, p-values over units, and who carries the pooled difference."""
    body = []
    for row in study["rows"]:
        for h in study["comparisons"]["horizons"] if row["difference"] else ():
            one = row["difference"][str(h)]["median_unit"]
            share = "–" if one["strongest_share"] is None else f"{one['strongest_share']:.0%}"
            body.append(
                [
                    row["name"].replace("_", " "), _frames(h), f"{one['ahead']} of {one['units']}",
                    number(one["sign_p"]), number(one["wilcoxon_p"]), f"{one['lead_units']} of {one['lead_of']}", share,
                ]
            )  # fmt: skip
    header = [
        "row", "ahead of it by", "units ahead", "p, sign test", "p, Wilcoxon", "units that carry the pooled difference",
        "share of the five strongest",
    ]  # fmt: skip
    return page.table(header, body)


def _frames(horizon: int) -> str:
    return "1 frame" if horizon == 1 else f"{horizon} frames"


def _rows_in_words(study: Mapping[str, Any]) -> str:
    body = [[row["name"].replace("_", " "), row["keeps"], row["changes"], row["reason"] or ""] for row in study["rows"]]
    return page.table(["row", "keeps", "changes", "why it has no numbers"], body, text=True)


def _reproducibility(study: Mapping[str, Any]) -> list[str]:
    found = study["reproducibility"]
    if not found["groups"]:
        return [page.paragraph(f"Whether parameters agree between seeds is not known: {found.get('reason')}.")]
    header = [
        "group", "parameters", "start", "after", "after, rank", "log", "change", "change, rank", "moved",
        "spread ratio",
    ]  # fmt: skip
    keys = (
        "start_pearson", "pearson", "spearman", "log_pearson", "change_pearson", "change_spearman", "moved",
        "spread_ratio",
    )  # fmt: skip
    by_group = [_agreement_row(one, keys) for one in found["groups"]]
    by_region = [_agreement_row(one, keys) for one in found["weights_by_region"]]
    note = (
        "Correlation between seeds, mean over pairs. Change: from each seed's own start. Moved: size of the change "
        "over that of the start. Spread ratio: spread between seeds after the fit over that before; below 1 they met."
    )
    return [
        page.bullets(found["text"]),
        page.table(header, by_group, caption="Do seeds agree on parameters?"),
        page.paragraph(note, "soft small"),
        page.folded("Weights by region of the postsynaptic neuron", page.table(header, by_region)),
    ]


def _agreement_row(one: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [one["group"].replace("_", " "), f"{one['count']:,}", *(number(one[key]) for key in keys)]


def _listed(horizons: Sequence[int]) -> str:
    texts = [str(h) for h in horizons]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
