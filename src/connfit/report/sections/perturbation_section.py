"""The section of the report on simulated experiments: what changes where neurons are stimulated or silenced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connfit.analysis.perturbation_results import Perturbation
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.perturbation_figure import neurons_figure, responses_figure, what_was_done
from connfit.report.prose import write_prose
from connfit.report.run_files import Simulation
from connfit.report.wording import number

SHOWN = 3
"""Experiments with figures; others have tables only, and all but the first are folded."""
ROWS = 10


def drawings(simulations: Mapping[str, Simulation]) -> Iterator[Drawing]:
    """Draw responses over time and the most changed neurons of the first experiments."""
    for at, (name, simulation) in enumerate(list(simulations.items())[:SHOWN]):
        suffix, done = f"_{at}" if len(simulations) > 1 else "", simulation.perturbation
        if simulation.traces:
            names = {"unit": simulation.names["units"], "set": simulation.names["sets"]}
            yield Drawing(
                f"perturbation_responses{suffix}",
                f"{name}: the most changed read-outs over time, with the perturbation and without it. "
                f"{what_was_done(done)}. Grey: the time over which changes are averaged.",
                None,
                lambda done=done, traces=simulation.traces, names=names: responses_figure(done, traces, names),
                f"Responses over time, {name}" if at else "",
            )
        yield Drawing(
            f"perturbation_neurons{suffix}",
            f"{name}: the most changed neurons, from their mean rate without the perturbation to that with it. Neurons "
            "that were held are left out.",
            None,
            lambda done=done: neurons_figure(done),
            f"The most changed neurons, {name}",
        )


def blocks(simulations: Mapping[str, Simulation]) -> list[str]:
    """Write what was done and what changed most, experiment by experiment."""
    made = [*map(page.paragraph, write_prose("sections/perturbation.j2", {}).paragraphs)]
    for at, (name, simulation) in enumerate(simulations.items()):
        tables = _tables(simulation.perturbation)
        made += [page.heading(name), *tables] if at == 0 else [page.folded(name, *tables)]
    return made


def _tables(done: Perturbation) -> list[str]:
    start, stop = done.averaged_s
    made = [page.paragraph(f"{what_was_done(done)}.")]
    values, rates = done.value_units or "dimensionless", done.units_of_rates or "dimensionless"
    # Sets have the units of neurons, which those of the recording need not be.
    read = ((("read-out", values, (*done.readouts, *done.units)),) if values == rates else
            (("set of neurons", rates, done.readouts), ("read-out", values, done.units)))  # fmt: skip
    for title, units, responses in (*read, ("neuron", rates, done.changed_neurons)):
        if title == "set of neurons" and not responses:
            continue
        caption = f"mean from {start:.3g} to {stop:.3g} s after the onset ({units}), most changed first"
        changed = [response for response in responses if response.change][:ROWS]
        if not changed:
            made.append(page.paragraph(f"No {title} changed."))
            continue
        cells = [[row.name, number(row.baseline), number(row.perturbed), number(row.change)] for row in changed]
        table = page.table([title, "unperturbed", "perturbed", "change"], cells, caption=f"{title}: {caption}")
        made.append(table if title != "neuron" else page.folded(f"The {len(cells)} most changed neurons", table))
    return made
