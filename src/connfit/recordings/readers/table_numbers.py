"""Numbers in the columns of a CSV file, with messages that name row and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from connfit.connectome.cell_words import MISSING_WORDS, numbers_of
from connfit.connectome.columns import NamedTable
from connfit.connectome.text_files import lines
from connfit.errors import DataError


def refuse_blank_lines(path: Path) -> None:
    """Raise a DataError for a blank line between others.

    It may be a frame that was lost: without it, later frames would move up in time.
    """
    blank = None
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            blank = blank or number
        elif blank:
            raise DataError(
                f"line {blank} is blank: a frame may be lost there",
                path=path,
                fix="Delete the line, or write a row of empty cells and read with missing='mask'",
            )


def table_numbers(table: NamedTable, name: str, path: Path) -> np.ndarray:
    """Return one CSV column as float64, NaN where a cell is empty or says so."""
    text = table.data.column(name).to_pandas().fillna("").str.strip()
    numbers = numbers_of(text)
    odd = np.isnan(numbers) & ~text.str.lower().isin(MISSING_WORDS).to_numpy()
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise DataError(
            f"row {row + 1}, column {name!r}: {text.iloc[row]!r} is not a number ({int(odd.sum())} such cells)",
            path=path,
            fix=_how_to_correct(text),
        )
    return numbers


def _how_to_correct(text: pd.Series) -> str:
    if text.str.fullmatch(r"-?[0-9]+,[0-9]+").any():
        return "Write numbers with a decimal point, not a comma"
    if text.str.fullmatch(r"[^\W\d].*").all():
        return "Rows must be frames and columns units: if this column holds the unit names, transpose the table"
    return "Correct the cell; rows count from 1 below the header"
