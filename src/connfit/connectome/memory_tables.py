"""Tables in memory, as those on disk."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from connfit.connectome.cell_words import fault
from connfit.errors import DataError


def table_of_frame(frame: pd.DataFrame, what: str) -> pa.Table:
    """Return the columns of a frame.

    Raises
    ------
    DataError
        If a column mixes types, or holds text that cannot be stored; names `what` and the column.
    """
    arrays, names = [], []
    for position, name in enumerate(frame.columns):
        column = frame.iloc[:, position]
        try:
            arrays.append(pa.array(column, from_pandas=True))
        except UnicodeEncodeError as error:
            row, word = next((row, word) for row, word in enumerate(map(str, column), 1) if fault(word))
            problem = f"row {row}: {name} = {word!r} {fault(word)}"
            raise DataError(problem, path=f"the {what} table", fix="Correct the row") from error
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise DataError(
                f"column {name!r} mixes types ({error})", path=f"the {what} table", fix="Give the column one type"
            ) from error
        names.append(str(name))
    return pa.Table.from_arrays(
        [array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array]) for array in arrays], names=names
    )
