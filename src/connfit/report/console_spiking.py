"""The tables of `connfit simulate --model` for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from connfit._console import literal
from connfit.analysis.spiking.spiking_results import OverTrials, SpikingSimulation
from connfit.report.figures.spiking_figures import what_was_done
from connfit.report.wording import number, with_interval

ROWS = 10


def print_spiking(done: SpikingSimulation, console: Console) -> None:
    """Print rates by dose, the most active neurons, and the largest changes of a screen."""
    console.print(literal(what_was_done(done)), highlight=False, soft_wrap=True)
    groups = len(done.screen.rows) // max(1, len(done.readouts)) if done.screen else 0
    biological = done.seconds * done.trials * (len(done.doses) + groups)
    console.print(
        f"steps of {done.step_ms:g} ms; {done.seconds_taken:.3g} s for {biological:g} s of activity", highlight=False
    )
    doses = _table(*(each.set for each in done.stimulated), *(each.set for each in done.readouts), "active", "all (Hz)")
    for dose in done.doses:
        means = (*dose.readouts, dose.active_neurons, dose.rate_hz)
        doses.add_row(*(f"{rate:g} Hz" for rate in dose.rates_hz), *(_mean(each) for each in means))
    console.print(doses)
    if done.active:
        active = _table("active neuron", "sign", *(f"dose {k + 1} (Hz)" for k in range(len(done.doses))))
        for row in done.active[:ROWS]:
            name = " ".join(filter(None, (row.type, row.region, row.side, row.id)))
            active.add_row(literal(name), f"{row.sign:+d}", *(number(rate) for rate in row.rates_hz))
        console.print(active)
    else:
        console.print("no neuron spiked that was not stimulated", highlight=False)
    if done.screen is not None:
        changed = sum(row.changes for row in done.screen.rows)
        screen = _table("silenced", "neurons", "own (Hz)", "read-out", "change (Hz)", "of all")
        for row in done.screen.rows[:ROWS]:
            together = with_interval(row.change_hz.mean, (row.low_of_all, row.high_of_all))
            cells = (str(row.neurons), number(row.own_rate_hz), row.readout, _mean(row.change_hz), together)
            screen.add_row(literal(row.name), *map(literal, cells))
        console.print(screen)
        console.print(
            f"{changed} of {len(done.screen.rows)} change a read-out beyond an interval that holds for all of them",
            highlight=False,
        )


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for column in columns:
        table.add_column(literal(column), overflow="fold")
    return table


def _mean(value: OverTrials) -> str:
    return with_interval(value.mean, (value.low, value.high))
