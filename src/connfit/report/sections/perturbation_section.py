"""The section of the report on simulated experiments: what changes where neurons are stimulated or silenced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.perturbation_figure import neurons_figure, responses_figure, what_was_done
from connfit.report.run_files import Simulation
from connfit.report.sections.comparison import number

SHOWN = 3
"""Experiments with figures; others have tables only, and all but the first are folded."""
ROWS = 10

CAUTION = (
    "These are answers of the fitted model: the same model, from the same state, with and without the perturbation, "
    "without noise. No recording here shows such an experiment, so nothing says how near they are to the animal's, and "
    "another fit of the same recording may answer differently."
)


def drawings(simulations: Mapping[str, Simulation]) -> Iterator[Drawing]:
    """Responses over time and the most changed neurons of the first experiments."""
    for at, (name, one) in enumerate(list(simulations.items())[:SHOWN]):
        suffix, done = f"_{at}" if len(simulations) > 1 else "", what_was_done(one.record)
        if one.traces:
            yield Drawing(
                f"perturbation_responses{suffix}",
                f"{name}: the most changed read-outs over time, with the perturbation and without it. {done}. Grey: "
                "the time over which changes are averaged.",
                None,
                lambda one=one: responses_figure(
                    one.record, one.traces, {"unit": one.names["units"], "set": one.names["sets"]}
                ),
                f"Responses over time, {name}" if at else "",
            )
        yield Drawing(
            f"perturbation_neurons{suffix}",
            f"{name}: the most changed neurons, from their mean rate without the perturbation to that with it. Neurons "
            "that were held are left out.",
            None,
            lambda one=one: neurons_figure(one.record),
            f"The most changed neurons, {name}",
        )


def blocks(simulations: Mapping[str, Simulation]) -> list[str]:
    """What was done and what changed most, experiment by experiment."""
    made = [page.paragraph(CAUTION)]
    for at, (name, one) in enumerate(simulations.items()):
        tables = _tables(one.record)
        made += [page.heading(name), *tables] if at == 0 else [page.folded(name, *tables)]
    return made


def _tables(record: Mapping[str, Any]) -> list[str]:
    start, stop = record["averaged_s"]
    unit = record["value_units"] or "dimensionless"
    caption = f"mean from {start:.3g} to {stop:.3g} s after the onset ({unit}), most changed first"
    made = [page.paragraph(f"{what_was_done(record)}.")]
    for title, rows in (
        ("read-out", [*record["readouts"], *record["units"]]),
        ("neuron", record["changed_neurons"]),
    ):
        changed = [row for row in rows if row["change"]][:ROWS]
        if not changed:
            made.append(page.paragraph(f"No {title} changed."))
            continue
        cells = [
            [
                str(row.get("name") or " ".join(one for one in (row["type"], row["region"], row["id"]) if one)),
                *(number(row[key]) for key in ("baseline", "perturbed", "change")),
            ]
            for row in changed
        ]
        table = page.table([title, "unperturbed", "perturbed", "change"], cells, caption=f"{title}: {caption}")
        made.append(table if title == "read-out" else page.folded(f"The {len(cells)} most changed neurons", table))
    return made
