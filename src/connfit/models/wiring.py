"""What a model reads off a connectome: the two halves of gap junctions, and which neurons a region drives."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.anatomy import postsynapses_by_region
from connfit.models.readout import Readout


def junctions_of(connectome: Connectome) -> Int[np.ndarray, "2 G"]:
    """Return the positions of the connections i → j and j → i of each gap junction (twice the same within a neuron)."""
    where = np.flatnonzero(connectome.electrical)
    post, pre = connectome.posts[where].astype(np.int64), connectome.indices[where].astype(np.int64)
    forward, backward = np.argsort(post * connectome.n + pre), np.argsort(pre * connectome.n + post)
    once = post[forward] <= pre[forward]
    return np.stack([where[forward], where[backward]])[:, once]


def driven_neurons(connectome: Connectome, readout: Readout) -> sp.csr_array:
    """Return the [N, P] pattern of an anatomical drive."""
    dendrites = postsynapses_by_region(connectome)
    if dendrites is None or not set(readout.unit_names) <= set(dendrites[0]):
        return sp.csr_array(readout.matrix.T)
    row = {region: k for k, region in enumerate(dendrites[0])}
    driven = sp.csr_array(dendrites[1][[row[unit] for unit in readout.unit_names]].T)
    driven.sort_indices()
    return driven
