"""The tables of `connfit record-next` for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from connfit._console import literal
from connfit.analysis.record_next.record_next_results import NeuronToRecord, NeuronToStimulate, RecordNext
from connfit.report.wording import number

RECORD_COLUMNS = ("", "neuron", "type", "region", "disagreement", "alone", "added", "left")
STIMULATE_COLUMNS = ("", "neuron", "type", "region", "information", "disagreement", "response", "most about")
TEXT = {"neuron", "type", "region", "most about"}


def record_cells(each: NeuronToRecord) -> list[str]:
    """Write one neuron to record as a row of `RECORD_COLUMNS`."""
    numbers = (each.disagreement, each.alone, each.added, each.left)
    return [str(each.rank or ""), each.id, each.type, each.region, *map(number, numbers)]


def stimulate_cells(each: NeuronToStimulate) -> list[str]:
    """Write one neuron to stimulate as a row of `STIMULATE_COLUMNS`."""
    numbers = (each.information, each.disagreement, each.response)
    return [str(each.rank), each.id, each.type, each.region, *map(number, numbers), each.unit]


def record_title(found: RecordNext) -> str:
    """Head the table of neurons to record."""
    return (
        f"{'SURROGATE ' if found.surrogate else ''}{found.dataset}: neurons to record next, of {found.candidates:,} "
        f"candidates, by {len(found.members)} fits"
    )


def legend(found: RecordNext) -> str:
    """Say what the columns of both tables are."""
    share = "share of the uncertainty about all "
    unit = {"variance": f"{share}candidates", "information": "nats", "inputs": f"{share}hidden neurons"}
    return (
        f"disagreement: variance between fits as a share of the variance over time; alone, added: what a record "
        f"tells by itself and given those above ({unit.get(found.criterion, 'the same variance')}); left: share of the "
        f"uncertainty that remains; information: nats about which fit is right; response: in a unit's standard "
        f"deviations, mean over {found.how.window_s:g} s from the onset of a pulse of {found.how.pulse_s:g} s"
    )


def print_record_next(found: RecordNext, console: Console, count: int) -> None:
    """Print the first neurons to record and to stimulate."""
    chosen = [each for each in found.to_record if each.rank is not None][:count]
    if chosen:
        console.print(_table(record_title(found), RECORD_COLUMNS, [record_cells(each) for each in chosen]))
    if found.to_stimulate:
        title = f"neurons to stimulate next, of {found.stimulated:,}"
        cells = [stimulate_cells(each) for each in found.to_stimulate[:count]]
        console.print(_table(title, STIMULATE_COLUMNS, cells))
    console.print(legend(found), highlight=False, soft_wrap=True)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    # A column that is empty throughout, as regions of the worm are, is left out.
    kept = [k for k, name in enumerate(columns) if name not in TEXT or any(row[k] for row in rows)]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for k in kept:
        text = columns[k] in TEXT
        table.add_column(columns[k], justify="left" if text else "right", no_wrap=not text, overflow="fold")
    for row in rows:
        table.add_row(*(literal(row[k]) for k in kept))
    return table
