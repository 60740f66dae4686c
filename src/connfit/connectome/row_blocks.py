"""Blocks of rows: a pass over all connections that holds some of them at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

AT_ONCE = 1 << 24
"""Connections of a block of rows: the adult fly has fewer."""


def row_blocks(indptr: Int[np.ndarray, "N+1"], most: int = AT_ONCE) -> Iterator[tuple[slice, slice]]:
    """Cut rows into blocks of at most so many connections, or of one row that has more.

    Parameters
    ----------
    indptr
        As in `connfit.connectome.Connectome`.

    Yields
    ------
    slice, slice
        Rows of a block, and its connections.

    Examples
    --------
    >>> list(row_blocks(np.array([0, 2, 3, 9]), most=4))
    [(slice(0, 2, None), slice(0, 3, None)), (slice(2, 3, None), slice(3, 9, None))]
    """
    rows, first = len(indptr) - 1, 0
    while first < rows:
        last = max(first + 1, int(np.searchsorted(indptr, int(indptr[first]) + most, side="right")) - 1)
        yield slice(first, last), slice(int(indptr[first]), int(indptr[last]))
        first = last
