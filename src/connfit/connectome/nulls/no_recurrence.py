"""A null connectome without connections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from connfit.connectome import Connectome
from connfit.connectome.nulls import NULLS, Null
from connfit.connectome.nulls.redraw import as_null


def no_recurrence(connectome: Connectome, *, seed: int = 0) -> Connectome:
    """Remove all connections.

    Preserves neurons, signs and synapses by region: read-out and drive are as before. Destroys all connections, gap
    junctions included: what a fit still explains, it explains without the wiring.

    Parameters
    ----------
    seed
        Taken for the sake of the other nulls; nothing is drawn.

    Returns
    -------
    Connectome
        Without connections (M = 0).
    """
    none = np.zeros(0, np.int32)
    empty = replace(
        connectome,
        indptr=np.zeros(connectome.n + 1, np.int32),
        indices=none,
        counts=none,
        electrical=none.astype(bool),
        mixed_signs=None,
    )
    said = {
        "seed": seed,
        "preserves": "neurons, signs, synapses by region",
        "destroys": "all connections",
        "connections_removed": connectome.m,
    }
    return as_null(connectome, empty, "no_recurrence", said)


NULLS.register(
    Null(
        name="no_recurrence",
        label="no recurrence",
        place=8,
        make=no_recurrence,
        keeps="drive, biases, time constants",
        changes="all connections",
        seeded=False,
    )
)
