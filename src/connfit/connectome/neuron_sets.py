"""Sets of neurons that have a name in every brain, as sensory neurons, by the words of neuron tables."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool

from connfit.connectome.connectome import Connectome

_WORM_SENSORY = tuple(
    "ADE ADF ADL AFD ALA ALM ALN AQR ASE ASE? ASG ASH ASI ASJ ASK AVM AWA AWB AWC AWC* BAG CEP CEP? FLP IL1 IL1? IL2 "
    "IL2? OLL OLQ OLQ? PDE PHA PHB PHC PLM PLN PQR PVD PVM SDQ URA* URB URX URY*".split()
)
"""Classes of sensory neurons of C. elegans (White et al. 1986, doi 10.1098/rstb.1986.0056; WormAtlas)."""

NEURON_SETS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sensory": {
            "super_class": ("sensory*", "ascending_sensory"),
            "flow": ("afferent",),
            "class": ("sensory*",),
            "type": _WORM_SENSORY,
        },
        "photoreceptors": {
            "type": ("R1-6", "R1", "R2", "R3", "R4", "R5", "R6", "R7*", "R8*", "ocellar_retinula*"),
            "cell_type": ("R1-6", "R7*", "R8*"),
            "sub_class": ("photoreceptor*", "ocellar"),
            "class": ("photoreceptor*",),
        },
    }
)
"""Words, by column of a neuron table, that say that a neuron is of a set; `*` stands for any letters, `?` for one."""


def neuron_set(connectome: Connectome, name: str) -> Bool[np.ndarray, "N"]:
    """Find the neurons of a set: those of which one column says so. The first column that knows any decides."""
    for column, patterns in NEURON_SETS[name].items():
        if column in connectome.neurons:
            words = connectome.neurons[column].fillna("").astype(str)
            known = [word for word in set(words) if any(fnmatchcase(word, pattern) for pattern in patterns)]
            found = words.isin(known).to_numpy(bool)
            if found.any():
                return found
    return np.zeros(connectome.n, bool)
