"""Neurons that Shiu et al. 2024 stimulate and read, by the ids in their notebook, of FlyWire snapshot 630.

Ids of neurons that were edited since are not those of later snapshots: sets say which of theirs a connectome lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.errors import ConfigError, one_of

SOURCE = "https://github.com/philshiu/Drosophila_brain_model (commit 91bdd1e), figures.ipynb; FlyWire snapshot 630"

_PREFIX = "7205759406"
"""Ids of FlyWire share their first digits; what follows has those after them."""

_DIGITS: Mapping[str, str] = {
    # Labellar gustatory receptor neurons of one side. What the authors call the right hemisphere is the left one of
    # later tables: the images of this brain are mirrored (Schlegel et al. 2024).
    "sugar": (
        "24963786 30233916 37568838 38202345 17000768 30797113 32889389 21754367 21502051 40649691 39332736 16885538 "
        "39198653 20900446 17937543 32425919 33143833 12670570 28853239 29176663 11875570"
    ),
    "sugar_other_side": ("20589838 31147148 08305161 29388135 30968335 06801282 17398502 16167218 20296641 27961104"),
    "bitter": (
        "21778381 02353632 17094208 19197093 26287336 18600651 27692048 30195909 46212996 10483162 45743412 27578156 "
        "22298631 21008895 29146711 10259370 10481370 19028208 14281266 13061118 04027168"
    ),
    "water": (
        "12950568 31898285 06002609 12579053 22902535 16177458 60292225 22486922 13786774 29852866 25861168 13996959 "
        "17857694 44965399 25203504 30553415 35172191 34796536"
    ),
    "ir94e": (
        "14211295 38218173 28832256 26016017 21375231 12920386 14273292 28198503 26241636 19387814 24604560 15274425 "
        "10683315 27265265 24079544 29211607 15089369 31082124"
    ),
    # The motor neuron of the proboscis that the authors read, called left by them; and its partner, whose id in
    # snapshot 783 is the second (the other neuron of cell type CB0701 in Codex).
    "MN9": "60219265",
    "MN9_other_side": "45521262 18238523",
}

SHIU_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: tuple(_PREFIX + digits for digits in listed.split()) for name, listed in _DIGITS.items()}
)
"""Ids by the name of the set."""

KIND = "shiu"
"""What stands before the colon: `shiu:sugar`."""


def shiu_set(name: str, connectome: Connectome, *, option: str = "set") -> tuple[Int[np.ndarray, "k"], tuple[str, ...]]:
    """Find a set of Shiu et al. in a connectome.

    Returns
    -------
    neurons
        [k] positions, ascending.
    missing
        Ids of the set that the connectome does not have.

    Raises
    ------
    ConfigError
        If there is no such set, or the connectome has none of its neurons.
    """
    ids = SHIU_SETS[one_of(f"{option} {KIND}:{name}: its name", name, SHIU_SETS)]
    known = connectome.neurons["id"].astype(str).to_numpy(str)
    found = np.flatnonzero(np.isin(known, ids))
    if not len(found):
        raise ConfigError(
            f"{option} {KIND}:{name}: connectome {connectome.name!r} has none of its {len(ids)} neurons, whose ids are "
            "of FlyWire snapshot 630"
        )
    return found, tuple(given for given in ids if given not in set(known[found].tolist()))
