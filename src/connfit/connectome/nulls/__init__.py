"""Null connectomes: like the real one in some respects and random in all others.

What a fit on the real wiring does better than a fit on a null is due to what the null destroys. Every
null keeps neurons, signs per neuron and synapses by region, so that read-out and drive stay the same and only the
recurrent connections differ; `notes["null"]` says what it preserves, what it destroys, and what was measured.
Gap junctions, which a swap of directed connections would tear apart, stay in all but `no_recurrence`.

A null is one module here, or in another package behind an entry point of the group `connfit.nulls`, that registers a
`Null` in `NULLS`; configurations, `--help`, studies and reports know it then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connfit._registry import Entry, Options, Registry, read_options
from connfit.connectome import Connectome
from connfit.errors import ConfigError

OPTION = "data.null"
"""Where a configuration names one."""


def _nothing(real: Connectome, ignoring_counts: str | None) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Null(Entry):
    """A null connectome.

    Parameters
    ----------
    make
        Draws it, as `make(connectome, seed=0)`, with the fields of `options` as further keywords.
    keeps, changes
        What it preserves and destroys, in a few words for tables.
    seeded
        Whether anything is drawn.
    why_same
        Why a null that came out like the real connectome must: from the real one, and the name of the starting weights
        where these ignore synapse counts; None where it is chance.
    in_studies
        Whether it is a row of every study.
    options
        Its own options, for `data.null_options`.
    """

    make: Callable[..., Connectome]
    keeps: str
    changes: str
    seeded: bool = True
    why_same: Callable[[Connectome, str | None], str | None] = _nothing
    in_studies: bool = True
    options: type[Options] = Options


NULLS: Registry[Null] = Registry("null", Null, room=__name__, group="connfit.nulls")
"""Null connectomes by name."""


def check_null(name: str, options: Mapping[str, Any] | None = None) -> tuple[Null, Options]:
    """Return a null and all of its options, before anything is computed.

    Raises
    ------
    ConfigError
        If there is no such null, or an option is not one of its own.
    """
    null = NULLS.find(name, OPTION)
    return null, read_options(null.options, options, where=f"{OPTION}_options")


def make_null(connectome: Connectome, name: str, seed: int = 0, options: Mapping[str, Any] | None = None) -> Connectome:
    """Draw the null connectome `name` of a connectome.

    Parameters
    ----------
    name
        One of `NULLS`.
    seed
        Equal seeds give equal nulls.
    options
        Of this null, see `Null`.

    Raises
    ------
    ConfigError
        If there is no such null, an option is not one of its own, or name and connectome are swapped.
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
    if not isinstance(connectome, Connectome):
        raise ConfigError(
            f"make_null takes the connectome first and the name of the null second, as in "
            f"make_null(brain, 'no_recurrence'); the first is a {type(connectome).__name__}"
        )
    null, own = check_null(name, options)
    return null.make(connectome, seed=seed, **own.as_dict())
