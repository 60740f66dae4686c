"""Names that columns of connectome tables have in the field, by what they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

_SIDES = {
    "pre": "pre presynaptic source from upstream sender",
    "post": "post postsynaptic target to downstream receiver",
}
_ENDS = (
    "",
    "id",
    "rootid",
    "ptrootid",
    "bodyid",
    "body",
    "neuron",
    "neuronid",
    "cell",
    "cellid",
    "name",
    "segid",
    "node",
)


def _of_side(side: str) -> tuple[str, ...]:
    words = _SIDES[side].split()
    both = [f"{word}{end}" for end in _ENDS for word in words] + [f"{end}{word}" for end in _ENDS[1:] for word in words]
    return (*both, {"pre": "neuron1", "post": "neuron2"}[side])


EDGE_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pre": _of_side("pre"),
        "post": _of_side("post"),
        "count": tuple(
            "synapses syncount nsyn nsyns nsynapses numsyn numsynapses synapsecount synapsescount count counts weight "
            "weights number".split()
        ),
        "weight": tuple("weight weights strength fln fraction value connectionweight synweight".split()),
        "sign": tuple("sign signs polarity".split()),
        "connection_type": tuple("connectiontype synapsetype syntype conntype edgetype type".split()),
    }
)
"""FlyWire Codex, neuPrint (`bodyId_pre`), CAVE (`pre_pt_root_id`), cect and plain edge lists; the first that fits."""

NEURON_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "id": tuple(
            "id rootid ptrootid bodyid body neuronid cellid segid supervoxelid nodeid name neuron neuronname cell "
            "cellname node label".split()
        ),
        "type": tuple(
            "type celltype primarytype neurontype neuronclass flywiretype hemibraintype supertype cellclass "
            "class".split()
        ),
        "region": tuple(
            "region brainregion neuropil mainneuropil primaryneuropil roi primaryroi area brainarea group structure "
            "lobe".split()
        ),
        "transmitter": tuple(
            "transmitter nt nttype neurotransmitter topnt predictednt consensusnt ntpredicted ntprediction knownnt "
            "neurotransmittertype neurotransmitterprediction predictedneurotransmitter".split()
        ),
        "side": tuple("side hemisphere somaside hemi laterality".split()),
    }
)


def normal(title: str) -> str:
    """Return a title without case, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", title.casefold())


def columns_by_name(
    header: Iterable[str], usual: Mapping[str, tuple[str, ...]], given: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return the columns that could play each role by their names, the likeliest first; roles without any are left out.

    Parameters
    ----------
    usual
        Names of each role without case and punctuation, the likeliest first.
    given
        Roles of which the user said the column.
    """
    titles: dict[str, list[str]] = {}
    for title in header:
        titles.setdefault(normal(title), []).append(title)
    found = {}
    for role, names in usual.items():
        fits = tuple(title for name in names for title in titles.get(name, ()))
        if role in given:
            fits = (given[role],)
        if fits:
            found[role] = fits
    return found
