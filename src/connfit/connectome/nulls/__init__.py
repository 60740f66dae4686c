"""Null connectomes: like the real one in some respects and random in all others.

What a fit on the real wiring does better than a fit on a null is due to what the null destroys. Every
null keeps neurons, signs per neuron and synapses by region, so that read-out and drive stay the same and only the
recurrent connections differ; `notes["null"]` says what it preserves, what it destroys, and what was measured.
Gap junctions, which a swap of directed connections would tear apart, stay in all but `no_recurrence`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from connfit.connectome import Connectome
from connfit.connectome.nulls.rewire import erdos_renyi, no_recurrence, rewire_degrees, rewire_within_regions
from connfit.connectome.nulls.shuffle import shuffle_counts, shuffle_signs
from connfit.errors import one_of

__all__ = [
    "NULLS",
    "erdos_renyi",
    "make_null",
    "no_recurrence",
    "rewire_degrees",
    "rewire_within_regions",
    "shuffle_counts",
    "shuffle_signs",
]

NULLS: Mapping[str, Callable[..., Connectome]] = MappingProxyType(
    {
        "shuffle_signs": shuffle_signs,
        "shuffle_counts": shuffle_counts,
        "shuffle_input_counts": partial(shuffle_counts, within="inputs"),
        "shuffle_output_counts": partial(shuffle_counts, within="outputs"),
        "rewire_degrees": rewire_degrees,
        "rewire_within_regions": rewire_within_regions,
        "erdos_renyi": erdos_renyi,
        "no_recurrence": no_recurrence,
    }
)
"""Null connectomes by name: functions of a connectome and `seed=`."""


def make_null(connectome: Connectome, name: str, seed: int = 0) -> Connectome:
    """The null connectome `name` of a connectome.

    Parameters
    ----------
    name
        One of `NULLS`.
    seed
        Equal seeds give equal nulls.

    Raises
    ------
    ConfigError
        If there is no such null.
    DataError
        If the connectome lacks what the null needs (regions).

    Examples
    --------
    >>> import pandas as pd
    >>> from connfit.connectome import from_pairs
    >>> table = pd.DataFrame({"id": [7, 8, 9], "type": "", "region": "", "transmitter": "", "side": ""})
    >>> brain = from_pairs("tiny", [0, 0, 1], [1, 2, 0], [3, 4, 5], [1, 1, -1], table)
    >>> null = make_null(brain, "no_recurrence")
    >>> null.name, null.m, null.notes["null"]["destroys"]
    ('tiny-no_recurrence', 0, 'all connections')
    """
    return NULLS[one_of("null", name, NULLS)](connectome, seed=seed)
