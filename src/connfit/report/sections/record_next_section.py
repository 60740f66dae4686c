"""The section of the report on what to record and to stimulate next, where fits of several seeds disagree."""

from __future__ import annotations

from collections.abc import Sequence

from connfit.analysis.record_next.record_next_results import NeuronToRecord, NeuronToStimulate, RecordNext
from connfit.report import page
from connfit.report.console_record_next import (
    RECORD_COLUMNS,
    STIMULATE_COLUMNS,
    TEXT,
    legend,
    record_cells,
    record_title,
    stimulate_cells,
)
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.record_next_figure import record_next_figure
from connfit.report.prose import write_prose
from connfit.report.run_files import RECORD_NEXT

ROWS = 20
"""Rows of each table; those after them are in the CSV files beside the result."""


def chosen(found: RecordNext) -> list[NeuronToRecord]:
    """Return the neurons that were chosen, in the order in which to record them."""
    return [each for each in found.to_record if each.rank is not None]


def record_next_blocks(found: RecordNext) -> list[str]:
    """Write what was compared, what comes first, what stands against it, and both tables."""
    said = write_prose("sections/record_next.j2", {RECORD_NEXT: found}).paragraphs
    return [*map(page.paragraph, said), page.bullets(f"Caution: {text}" for text in found.cautions)]


def record_next_tables(found: RecordNext) -> list[str]:
    """Tabulate the first neurons to record and to stimulate, and say what the columns are."""
    record, stimulate = chosen(found)[:ROWS], found.to_stimulate[:ROWS]
    if not record and not stimulate:
        return []
    return [
        _table(record_title(found), RECORD_COLUMNS, [record_cells(each) for each in record]),
        page.folded(
            f"The first {len(stimulate)} neurons to stimulate",
            _table(f"neurons to stimulate next, of {found.stimulated:,}", STIMULATE_COLUMNS, _cells(stimulate)),
        )
        if stimulate
        else "",
        page.paragraph(f"{legend(found)}. All candidates: record_next/neurons.csv and record_next/stimulations.csv."),
    ]


def record_next_drawings(found: RecordNext) -> list[Drawing]:
    """Draw what is left uncertain after each record, and what each stimulation would tell."""
    record = chosen(found)
    if not record and not found.to_stimulate:
        return []
    return [
        Drawing(
            "record_next",
            "What to record and to stimulate next. Left: the share of the uncertainty that is left after each neuron, "
            "recorded in this order. Right: what stimulating a neuron would say about which fit is right.",
            None,
            lambda: record_next_figure(record, found.to_stimulate),
            sources=(RECORD_NEXT,),
        )
    ]


def _cells(rows: Sequence[NeuronToStimulate]) -> list[list[str]]:
    return [stimulate_cells(each) for each in rows]


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without columns of words that are empty throughout, as regions of the worm are."""
    kept = [k for k, name in enumerate(columns) if name not in TEXT or any(row[k] for row in rows)]
    header = [columns[k] or "order" for k in kept]
    return page.table(header, [[row[k] for k in kept] for row in rows], caption=caption)
