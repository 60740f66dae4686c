"""The section of the report on gradients: how far each learning rule is from backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connfit.report import page
from connfit.report.comparison import number
from connfit.report.drawings import Drawing
from connfit.report.gradient_figure import STATES, cost_figure, fidelity_figure


def drawings(record: Mapping[str, Any]) -> Iterator[Drawing]:
    """Cosines, then cost and learning curves, of a `gradient_fidelity.json`."""
    yield Drawing(
        "gradient_fidelity",
        f"Cosine of each rule's gradient with that of backpropagation through time (BPTT), by window K and group of "
        f"parameters. The axis is logarithmic in the distance from 1: up is nearer. Means over {_segments(record)}.",
        None,
        lambda: fidelity_figure(record),
    )
    curves = (record.get("learning_curves") or {}).get("curves")
    also = " Below: training loss of a fit with each rule, against steps and against seconds." if curves else ""
    yield Drawing(
        "gradient_cost",
        "Time per model step, memory carried from window to window, and memory within one window, of each rule." + also,
        None,
        lambda: cost_figure(record),
        "Time, memory and learning curves of each rule" if curves else "Time and memory of each rule",
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
    at = (record.get("learning_curves") or {}).get("equal_seconds")
    if not at:
        return []
    cells = [
        [rule, str(row["epochs"]), number(row["train_loss"]), number(row["validation_skill"])]
        for rule, row in at["rules"].items()
    ]
    caption = f"Fits with each rule after equal time ({at['seconds']:.3g} s of training)"
    return [page.table(["rule", "epochs", "training loss", "skill, validation"], cells, caption=caption)]


def _digits(value: float | None) -> str:
    """Four decimals: 0.998 and 0.9999 are far apart."""
    return "–" if value is None else f"{value:.4f}".replace("-", "−")
