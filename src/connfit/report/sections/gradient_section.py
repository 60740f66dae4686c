"""The section of the report on gradients: how far each learning rule is from backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connfit.analysis.gradients.learning_verdict import AXES
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.gradient_figure import STATES, cost_figure, fidelity_figure
from connfit.report.figures.learning_figure import learning_figure, learning_table
from connfit.report.sections.comparison import number


def drawings(record: Mapping[str, Any]) -> Iterator[Drawing]:
    """Cosines, cost, and learning curves, of a `gradient_fidelity.json`."""
    yield Drawing(
        "gradient_fidelity",
        f"Cosine of each rule's gradient with that of backpropagation through time (BPTT), by window K and group of "
        f"parameters. The axis is logarithmic in the distance from 1: up is nearer. Means over {_segments(record)}.",
        None,
        lambda: fidelity_figure(record),
    )
    yield Drawing(
        "gradient_cost",
        "Time per model step, memory carried from window to window, and memory within one window, of each rule.",
        None,
        lambda: cost_figure(record),
        "Time and memory of each rule",
    )
    curves = record.get("learning_curves") or {}
    if curves.get("curves"):
        yield Drawing(
            "learning_curves",
            "Training loss of the fits with each rule and optimiser (dashed: the other one), each at the learning rate "
            "that is best on validation. Below: skill on test minus that of the rule that all are compared with, after "
            "equal steps and equal time, with 95 % intervals over blocks of time; filled where they leave out 0.",
            None,
            lambda: learning_figure(curves),
        )


def blocks(record: Mapping[str, Any]) -> list[str]:
    """What was compared, one row per rule at the most relevant state, and all rows folded away."""
    tables = record["parameters"]
    state, rows = list(tables.items())[-1]
    text = (
        f"Gradients of every rule at the same parameters, {STATES.get(state, state)}, {record['phase']}, beside those "
        f"of BPTT over the same {record['steps']} steps: means over {_segments(record)} of the training parts. Cosine "
        "1 is the same direction; error is the norm of the mean error over that of BPTT's mean gradient (bias), spread "
        "its standard deviation around that over segments (0 where a rule errs alike everywhere)."
    )
    return [
        page.paragraph(text),
        _table(telling(rows), main_group(record)),
        page.folded("All rules", _table(rows, main_group(record))),
        *(
            page.folded(f"All groups of parameters, {STATES.get(name, name)}", _all_groups(every))
            for name, every in tables.items()
        ),
        *_curves(record),
    ]


def telling(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """BPTT, D-RTRL, pp-prop, and hybrid and truncated BPTT with 16 steps, or with most if there are none with 16."""
    labels = [row["label"] for row in rows]
    wanted = ["bptt", "d-rtrl", "pp-prop"]
    for rule in ("hybrid", "tbptt"):
        of = [one for one in labels if one.startswith(f"{rule}, ")]
        wanted += [f"{rule}, K = 16" if f"{rule}, K = 16" in of else one for one in of[-1:]]
    return [row for row in rows if row["label"] in wanted]


def main_group(record: Mapping[str, Any]) -> str:
    """The group of parameters that a summary is about: weights, where they are trained."""
    groups = list(next(iter(record["parameters"].values()))[0]["groups"])
    return "weights" if "weights" in groups else groups[0]


def _segments(record: Mapping[str, Any]) -> str:
    count = len(record["segments"])
    return f"{count} segment{'' if count == 1 else 's'}"


def _table(rows: Sequence[Mapping[str, Any]], group: str) -> str:
    named = group.replace("_", " ")
    header = ["rule", f"cosine, {named}", "lowest cosine", "error", "spread", "ms per step", "memory (MB)"]
    cells = [
        [
            row["label"],
            *(_digits(row["groups"][group][key]) for key in ("cosine", "cosine_min")),
            *(number(row["groups"][group][key]) for key in ("bias", "spread")),
            number(row["ms_per_step"]),
            number((row["carried_bytes"] + row["working_bytes"]) / 1e6),
        ]
        for row in rows
    ]
    return page.table(header, cells, caption=f"Gradient of the {named} against BPTT's")


def _all_groups(rows: list[Mapping[str, Any]]) -> str:
    groups = list(rows[0]["groups"])
    cells = [[row["label"], *(_digits(row["groups"][group]["cosine"]) for group in groups)] for row in rows]
    return page.table(["cosine to BPTT", *(group.replace("_", " ") for group in groups)], cells)


def _curves(record: Mapping[str, Any]) -> list[str]:
    """What the learning curves say, then a table after equal steps and one after equal time."""
    curves = record.get("learning_curves") or {}
    found = []
    if curves.get("text"):
        found.append(page.heading("Does temporal credit matter?"))
        found.append(page.paragraph(curves_in_words(curves)))
        found.append(page.bullets(curves["text"]))
    for axis, words in AXES.items():
        if at := curves.get(axis):
            amount = f"{at['seconds']:.3g} s of training" if axis == "equal_seconds" else f"{at['steps']:,} steps"
            table = page.table(*learning_table(at), caption=f"Fits with each rule after {words} ({amount})")
            found.append(page.folded(f"Fits with each rule after {words}", table))
    return found


def curves_in_words(curves: Mapping[str, Any]) -> str:
    """How the learning curves were made."""
    left_out = "".join(f" Left out: {one['rule']} ({one['reason']})." for one in curves.get("left_out") or [])
    horizon = "mean skill 1 to 10 frames ahead" if curves["select_on"] == "horizon" else "one-step skill"
    return (
        "Teacher-forced fits from one start with the same order of data. Each rule and optimiser has three learning "
        "rates and more where the best is the smallest or the largest; rate and epoch are those that are best on "
        f"validation ({horizon}). Equal time is what the fastest rule needs for {curves['epochs']} epochs; the others "
        "were fitted again with as many as they have time for. Immediate gives no credit to earlier steps and moves "
        "the parameters after every step; with a K of its own beside its name it moves them as often as the others do. "
        f"Intervals are over blocks of time of the test part: they know nothing of other starts or animals.{left_out}"
    )


def _digits(value: float | None) -> str:
    """Four decimals: 0.998 and 0.9999 are far apart."""
    return "–" if value is None else f"{value:.4f}".replace("-", "−")
