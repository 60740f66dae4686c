"""Random wiring of any size, written to a file some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from connfit._system.paths import user_path
from connfit.connectome.connectome_file import write_by_rows
from connfit.connectome.row_blocks import row_blocks
from connfit.connectome.streaming import progress
from connfit.errors import ConfigError

_AT_ONCE = 1 << 20
"""Connections of a block of rows, which takes about 50 MB while it is drawn."""

_SPREAD = 1.0
"""Standard deviation of the natural logarithm of inputs per neuron."""

_INHIBITORY = 1 / 3


def write_random_connectome(
    path: str | Path, neurons: int, connections: int, *, regions: int = 73, seed: int = 0, name: str = "random"
) -> Path:
    """Draw random wiring and write it to a connectome file; `Connectome.load` opens it.

    Numbers of inputs per neuron are log-normal, presynaptic neurons are drawn from all without repeats, synapse counts
    are geometric with a mean of 3.3, and a third of the neurons is inhibitory. Memory does not grow with the number of
    connections: 100 million take seconds, about 0.3 GB, and 0.9 GB on the disk.

    Parameters
    ----------
    path
        File to write.
    neurons, connections
        N and M.
    regions
        Regions R1, R2, ... that neurons lie in, in the order of their ids; their wiring does not depend on it.
    seed
        Of everything that is drawn.
    name
        Name of the connectome.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ConfigError
        If there are more connections than half of all pairs, or than a connectome can have.
    """
    if neurons < 1 or not 0 <= connections <= neurons * (neurons // 2):
        raise ConfigError(
            f"{connections} random connections of {neurons} neurons: give 0 to {neurons * (neurons // 2)}, half of "
            "all pairs"
        )
    if connections > np.iinfo(np.int32).max:
        raise ConfigError(f"{connections} connections: a connectome has {np.iinfo(np.int32).max} at most")
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(_inputs(rng, neurons, connections))])
    signs = np.where(rng.random(neurons) < _INHIBITORY, -1, 1)
    places = np.array([f"R{k + 1}" for k in range(regions)] if regions else [""], object)
    region = places[np.arange(neurons) * len(places) // neurons]
    table = pd.DataFrame({"id": np.arange(neurons), "type": "", "region": region, "transmitter": "", "side": ""})
    rows, path = _rows(rng, indptr), user_path(path)
    write_by_rows(path, name, indptr, rows, signs, table, notes={"random": True, "seed": seed})
    return path


def _inputs(rng: np.random.Generator, neurons: int, connections: int) -> Int[np.ndarray, "N"]:
    """Draw the number of inputs of each neuron, at most half of all neurons."""
    share = rng.lognormal(0, _SPREAD, neurons)
    degree = np.minimum((share / share.sum() * connections).astype(np.int64), neurons // 2)
    while missing := connections - int(degree.sum()):
        free = np.flatnonzero(degree < neurons // 2)
        each = missing // len(free)
        degree[free] = np.minimum(degree[free] + each, neurons // 2)
        degree[free[: missing % len(free)]] += 0 if each else 1
    return degree


def _rows(
    rng: np.random.Generator, indptr: Int[np.ndarray, "N+1"]
) -> Iterator[tuple[Int[np.ndarray, "m"], Int[np.ndarray, "m"]]]:
    with progress("drawing connections", int(indptr[-1])) as report:
        for rows, connections in row_blocks(indptr, _AT_ONCE):
            pre = _distinct(rng, np.diff(indptr[rows.start : rows.stop + 1]), len(indptr) - 1)
            yield pre, rng.geometric(0.3, len(pre)).astype(np.int32)
            report(connections.stop)


def _distinct(rng: np.random.Generator, degree: Int[np.ndarray, "R"], neurons: int) -> Int[np.ndarray, "m"]:
    """Draw so many distinct neurons for each row, in ascending order, without a permutation of all.

    Exponential gaps, one more than there are neurons to draw, divide a range as uniform draws in order do; rounded down
    in a range that is shorter by the number of draws, and moved apart by 1 each, no two are the same.
    """
    # Each row has a gap more than it has connections.
    ends = np.cumsum(degree + 1)
    starts = ends - degree - 1
    along = np.cumsum(rng.standard_exponential(ends[-1]))
    before = np.concatenate([[0.0], along])[starts]
    inside = np.ones(ends[-1], bool)
    inside[ends - 1] = False
    row = np.repeat(np.arange(len(degree)), degree)
    share = (along[inside] - before[row]) / (along[ends - 1] - before)[row]
    place = np.arange(len(row)) - (np.cumsum(degree) - degree)[row]
    left = (neurons - degree)[row]
    return (np.minimum(share * (left + 1), left).astype(np.int64) + place).astype(np.int32)
