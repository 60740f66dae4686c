"""What must hold between the arrays of a connectome."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from connfit._display import unstorable
from connfit.errors import DataError, first_ten

TABLE_COLUMNS = ("id", "type", "region", "transmitter", "side")


def check_connectome(
    name: str,
    indptr: Int[np.ndarray, "N+1"],
    indices: Int[np.ndarray, "M"],
    counts: Int[np.ndarray, "M"] | Float[np.ndarray, "M"],
    signs: Int[np.ndarray, "N"],
    neurons: pd.DataFrame,
    electrical: Bool[np.ndarray, "M"],
) -> None:
    """Raise an error if the arrays contradict each other; arguments as in `connfit.connectome.Connectome`.

    Raises
    ------
    DataError
        Says which array is wrong, where, and what it must be.
    """

    def fail(problem: str) -> None:
        raise DataError(f"connectome {name!r}: {problem}")

    n, m = len(signs), len(indices)
    if len(indptr) != n + 1 or len(neurons) != n:
        fail(f"indptr has {len(indptr)} entries and the neuron table {len(neurons)} rows for {n} signs")
    if indptr[0] != 0 or indptr[-1] != m or np.any(np.diff(indptr) < 0):
        fail(f"indptr must rise from 0 to the number of connections {m}")
    if len(counts) != m or len(electrical) != m:
        fail(f"{len(counts)} counts and {len(electrical)} electrical flags for {m} connections")
    if m and (indices.min() < 0 or indices.max() >= n):
        fail(f"a presynaptic index lies outside 0..{n - 1}")
    if m and counts.dtype.kind == "f":
        wrong = np.flatnonzero(~((counts > 0) & np.isfinite(counts)))
        if len(wrong):
            fail(f"weights must be finite and above 0, connection {wrong[0]} has {counts[wrong[0]]:g}")
    elif m and counts.min() < 1:
        fail(f"synapse counts must be at least 1, connection {int(np.argmin(counts))} has {int(counts.min())}")
    if not np.all(np.abs(signs) == 1):
        fail("signs must be +1 or -1")
    missing = [column for column in TABLE_COLUMNS if column not in neurons.columns]
    if missing:
        fail(f"the neuron table lacks the columns {', '.join(missing)}")
    for column in neurons.columns:
        values = neurons[column]
        if values.dtype.kind not in "iufb" and unstorable("".join(map(str, values))):
            row, word = next((row, word) for row, word in enumerate(map(str, values), 1) if unstorable(word))
            fail(f"row {row} of the neuron table: {column} = {word!r} {unstorable(word)}")
    ids = neurons["id"]
    if ids.dtype.kind == "f":
        fail("neuron ids are floating point numbers; ids above 2^53 would be changed. Read them as int64 or text")
    if ids.duplicated().any():
        fail(f"neuron ids repeat: {first_ten(dict.fromkeys(ids[ids.duplicated().to_numpy()].tolist()))}")
    any_electrical = bool(electrical.any())
    if m > 1:
        key = indices.astype(np.int64) + np.where(electrical, n, 0) if any_electrical else indices
        disordered = key[1:] <= key[:-1]
        disordered[indptr[1:-1][(indptr[1:-1] > 0) & (indptr[1:-1] < m)] - 1] = False
        if disordered.any():
            fail(
                "connections of a neuron must be sorted by presynaptic index without repeats, "
                "chemical before electrical"
            )
    if any_electrical:
        gaps = sp.csr_array((counts * electrical, indices, indptr), shape=(n, n))
        if (gaps != gaps.T).nnz:
            fail("electrical connections must be present in both directions with equal counts")


def check_mixed_signs(name: str, mixed_signs: Int[np.ndarray, "M"], electrical: Bool[np.ndarray, "M"]) -> None:
    """Raise an error for signs of connections that cannot be; arguments as in `connfit.connectome.Connectome`.

    Raises
    ------
    DataError
        If there are not as many as connections, one is neither +1 nor -1, or a gap junction has -1.
    """
    if len(mixed_signs) != len(electrical):
        raise DataError(f"connectome {name!r}: {len(mixed_signs)} signs for {len(electrical)} connections")
    if not np.all(np.abs(mixed_signs) == 1):
        raise DataError(f"connectome {name!r}: signs of connections must be +1 or -1")
    if np.any(mixed_signs[electrical] < 0):
        raise DataError(f"connectome {name!r}: electrical connections have no sign: theirs must be +1")
