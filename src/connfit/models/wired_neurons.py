"""Which neurons units read and drive, and which connections make up gap junctions: arrays that a model is wired by."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.anatomy import postsynapses_by_region
from connfit.models.readout import Readout


def junctions_of(connectome: Connectome) -> Int[np.ndarray, "2 G"]:
    """Positions of the connections i → j and j → i of every gap junction (twice the same within one neuron)."""
    where = np.flatnonzero(connectome.electrical)
    post, pre = connectome.posts[where].astype(np.int64), connectome.indices[where].astype(np.int64)
    forward, backward = np.argsort(post * connectome.n + pre), np.argsort(pre * connectome.n + post)
    once = post[forward] <= pre[forward]
    return np.stack([where[forward], where[backward]])[:, once]


def reads_several(readout: Readout) -> bool:
    """Return whether units read several neurons, or share one, so that state forcing moves neurons together."""
    return read_neurons_of(readout) is None


def read_neurons_of(readout: Readout) -> Int[np.ndarray, "P"] | None:
    """The one neuron that each unit reads; None if a unit reads several or two units read the same."""
    neurons = readout.matrix.indices
    single = np.diff(readout.matrix.indptr) == 1
    return neurons if single.all() and len(np.unique(neurons)) == len(neurons) else None


def driven_neurons(connectome: Connectome, readout: Readout) -> sp.csr_array:
    """[N, P] pattern of an anatomical drive."""
    dendrites = postsynapses_by_region(connectome)
    if dendrites is None or not set(readout.unit_names) <= set(dendrites[0]):
        return sp.csr_array(readout.matrix.T)
    row = {region: k for k, region in enumerate(dendrites[0])}
    driven = sp.csr_array(dendrites[1][[row[unit] for unit in readout.unit_names]].T)
    driven.sort_indices()
    return driven
