"""The section of the report on gradients: how far each learning rule is from backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connfit.analysis.gradients.gradient_results import AXES, GradientFidelity, RuleFidelity
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.gradient_figure import STATES, cost_figure, fidelity_figure
from connfit.report.figures.learning_figure import amount, learning_figure, learning_table, learning_verdict
from connfit.report.prose import write_prose
from connfit.report.run_files import GRADIENT
from connfit.report.traced import written
from connfit.report.wording import number


def drawings(record: GradientFidelity) -> Iterator[Drawing]:
    """Draw cosines, cost, and learning curves."""
    count = len(record.segments)
    yield Drawing(
        "gradient_fidelity",
        f"Cosine of each rule's gradient with that of backpropagation through time (BPTT), by window K and group of "
        f"parameters. The axis is logarithmic in the distance from 1: up is nearer. Means over {count} "
        f"segment{'' if count == 1 else 's'}.",
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
    curves = record.learning_curves
    if curves is not None and curves.curves:
        yield Drawing(
            "learning_curves",
            "Training loss of the fits with each rule and optimiser (dashed: the other optimiser), each at the "
            "learning rate that is best on validation. Below: skill on test minus that of the reference rule, after "
            "equal steps and equal time, with 95 % intervals over blocks of time; filled where they leave out 0.",
            None,
            lambda: learning_figure(curves),
        )


def blocks(record: GradientFidelity) -> list[str]:
    """Write what was compared, a row per telling rule in the last state, and all rows folded away."""
    rows = record.parameters[record.state]
    compared, *fitted = write_prose("sections/gradients.j2", {GRADIENT: record}, states=STATES).paragraphs
    return [
        page.paragraph(compared),
        _table([rows[at] for at in record.telling], record.main_group),
        page.folded("All rules", _table(rows, record.main_group)),
        *(
            page.folded(f"All groups of parameters, {STATES.get(name, name)}", _all_groups(every))
            for name, every in record.parameters.items()
        ),
        *_curves(record, fitted),
    ]


def _table(rows: Sequence[RuleFidelity], group: str) -> str:
    named = group.replace("_", " ")
    header = ["rule", f"cosine, {named}", "lowest cosine", "error", "spread", "ms per step", "memory (MB)"]
    cells = [
        [
            row.label, _cosine(row.groups[group].cosine), _cosine(row.groups[group].cosine_min),
            number(row.groups[group].bias), number(row.groups[group].spread), number(row.ms_per_step),
            number((row.carried_bytes + row.working_bytes) / 1e6),
        ]
        for row in rows
    ]  # fmt: skip
    return page.table(header, cells, caption=f"Gradient of the {named} against BPTT's")


def _all_groups(rows: Sequence[RuleFidelity]) -> str:
    groups = list(rows[0].groups)
    cells = [[row.label, *(_cosine(row.groups[group].cosine) for group in groups)] for row in rows]
    return page.table(["cosine to BPTT", *(group.replace("_", " ") for group in groups)], cells)


def _curves(record: GradientFidelity, fitted: Sequence[str]) -> list[str]:
    """What the learning curves say, then a table after equal steps and one after equal time."""
    curves = record.learning_curves
    if curves is None:
        return []
    found, said = [], learning_verdict(curves)
    if said:
        found = [page.heading("Does temporal credit matter?"), *map(page.paragraph, fitted), page.bullets(said)]
    for axis, at in curves.compared.items():
        title = f"Fits with each rule after {AXES[axis]}"
        found.append(page.folded(title, page.table(*learning_table(at), caption=f"{title} ({amount(at)})")))
    return found


def _cosine(value: float | None) -> str:
    """Four decimals: 0.998 and 0.9999 are far apart."""
    return "–" if value is None else written(value, "cosine")
