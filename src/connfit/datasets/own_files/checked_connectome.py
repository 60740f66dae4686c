"""What a connectome holds, in numbers: neurons, synapses, transmitters and the signs that rules give them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from connfit.connectome import Connectome
from connfit.connectome.connectome_summary import ConnectomeSummary
from connfit.connectome.signs import EDGE_SIGNS, RULES, canonical_transmitter
from connfit.recordings.plausibility import CAUTIONS


@dataclass(frozen=True, eq=False)
class CheckedConnectome:
    """A connectome as it was read, and what is in it.

    Parameters
    ----------
    source
        The dataset, or the files.
    connectome
        Its signs are meant only where a rule is known.
    summary
        What it counts.
    columns
        Which column of the tables plays which role, as `"pre": "source"`; empty for a dataset.
    types, regions
        How many different ones there are.
    transmitters
        Neurons by transmitter, `""` where none is known.
    unknown
        By sign rule, how many neurons have a transmitter that it does not cover.
    synapses
        Percentiles 1, 50 and 99 of the counts, or weights, of connections; None where there is none.
    """

    source: str
    connectome: Connectome
    summary: ConnectomeSummary
    columns: Mapping[str, str]
    types: int
    regions: int
    transmitters: Mapping[str, int]
    unknown: Mapping[str, int]
    synapses: tuple[float, float, float] | None

    @property
    def has_signs(self) -> bool:
        """Whether the source gives signs to connections, so that transmitters are not asked."""
        return self.connectome.notes.get("sign_rule") == EDGE_SIGNS

    @property
    def cautions(self) -> tuple[str, ...]:
        """What is implausible."""
        return tuple(map(str, self.connectome.notes.get(CAUTIONS, ())))


def check_connectome(source: str, connectome: Connectome, columns: Mapping[str, str]) -> CheckedConnectome:
    """Count what is in a connectome."""
    words = Counter(map(canonical_transmitter, connectome.neurons["transmitter"].to_list()))
    counts = np.asarray(connectome.counts)
    low, middle, high = np.percentile(counts, [1, 50, 99]) if len(counts) else (0, 0, 0)
    regions = connectome.regions.names if connectome.regions is not None else connectome.neurons["region"]
    return CheckedConnectome(
        source=source,
        connectome=connectome,
        summary=ConnectomeSummary.of(connectome),
        columns=dict(columns),
        types=len(set(connectome.neurons["type"]) - {""}),
        regions=len(set(regions) - {""}),
        transmitters=dict(words.most_common()),
        unknown={
            rule: sum(neurons for word, neurons in words.items() if word not in signs) for rule, signs in RULES.items()
        },
        synapses=(float(low), float(middle), float(high)) if len(counts) else None,
    )
