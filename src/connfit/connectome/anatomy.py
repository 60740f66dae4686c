"""What the wiring alone says about regions: where each neuron makes its output synapses."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from connfit.connectome import Connectome
from connfit.connectome.row_blocks import row_blocks
from connfit.errors import DataError


def presynapses_by_region(connectome: Connectome) -> tuple[tuple[str, ...], sp.csr_array]:
    """Count the output synapses of each neuron in each region.

    Counted by the source where it has synapses by region (`Connectome.regions`). Otherwise a synapse is
    placed in the region of its postsynaptic neuron; gap junctions are then not counted, nor are
    synapses onto neurons without a region.

    Parameters
    ----------
    connectome
        Wiring whose neuron table names regions.

    Returns
    -------
    regions
        The P region names: the source's, else in alphabetical order.
    presynapses
        [P, N] numbers of synapses, int64; sums of weights, float64, where the source has those.

    Raises
    ------
    DataError
        If no neuron has a region.

    Examples
    --------
    >>> import pandas as pd
    >>> from connfit.connectome import from_pairs
    >>> table = pd.DataFrame({"id": [7, 8, 9], "type": "", "region": ["a", "b", "b"], "transmitter": "", "side": ""})
    >>> brain = from_pairs("tiny", [0, 0, 1], [1, 2, 0], [3, 4, 5], [1, 1, 1], table)
    >>> regions, presynapses = presynapses_by_region(brain)
    >>> regions, presynapses.toarray().tolist()
    (('a', 'b'), [[0, 5, 0], [7, 0, 0]])
    """
    if connectome.regions is not None:
        return connectome.regions.names, connectome.regions.outputs
    region = connectome.neurons["region"].fillna("").astype(str).to_numpy()
    regions = tuple(sorted(set(region) - {""}))
    if not regions:
        raise DataError(
            f"connectome {connectome.name!r} has no regions: the column 'region' of its neuron table is empty",
            fix="Name the column of the neuron table that holds regions when you read it",
        )
    row_of = {name: k for k, name in enumerate(regions)}
    neuron_row = np.array([row_of.get(name, -1) for name in region], dtype=np.int32)
    kind = np.float64 if connectome.weighted else np.int64
    presynapses = sp.csr_array((len(regions), connectome.n), dtype=kind)
    for neurons, block in row_blocks(connectome.indptr):
        rows = np.repeat(neuron_row[neurons], np.diff(connectome.indptr[neurons.start : neurons.stop + 1]))
        kept = (rows >= 0) & ~connectome.electrical[block]
        at = rows[kept], connectome.indices[block][kept]
        counts = connectome.counts[block][kept].astype(kind)
        presynapses = sp.csr_array(presynapses + sp.coo_array((counts, at), shape=presynapses.shape).tocsr())
    presynapses.sort_indices()
    return regions, presynapses


def postsynapses_by_region(connectome: Connectome) -> tuple[tuple[str, ...], sp.csr_array] | None:
    """Return the input synapses of each neuron in each region, as counted by the source; None where it does not say.

    Returns
    -------
    regions
        The P region names.
    postsynapses
        [P, N] numbers of synapses, int64. Where a neuron has some, it has dendrites.
    """
    if connectome.regions is None:
        return None
    return connectome.regions.names, connectome.regions.inputs
