"""The connectome of an experiment without a fit: of a named dataset, or of a user's configuration."""

from __future__ import annotations

from pathlib import Path

from connfit import config as configuration
from connfit.connectome import Connectome
from connfit.datasets import fly_facts as fly
from connfit.datasets.loading import connectome_from_config, load_connectome
from connfit.datasets.registry import DATASETS
from connfit.errors import ConfigError
from connfit.recordings.keyword_options import option_defaults


def connectome_to_simulate(data: str) -> Connectome:
    """Load what is to be simulated.

    Datasets of the adult fly get the signs of Shiu et al.: only GABA and glutamate inhibit, and who has no known
    transmitter excites. Others, and a user's own tables, keep theirs.

    Parameters
    ----------
    data
        Name of a dataset, as `"fly-783-halves"`, or a configuration file whose section `data` names a connectome.

    Raises
    ------
    ConnfitError
        If there is none of this name, or it cannot be read.
    """
    if Path(data).suffix in (".toml", ".json"):
        return connectome_from_config(configuration.read(data).data)
    facts = DATASETS[data.partition("/")[0]]
    if facts.connectome is None:
        raise ConfigError(f"dataset {facts.name!r} has recordings only: name one with a connectome")
    defaults = option_defaults(facts.connectome, skip=0)
    options: dict[str, object] = {}
    if facts.organism == fly.ORGANISM and defaults.get("sign_rule") not in (None, "published"):
        options["sign_rule"] = "shiu"
        if "unknown_transmitter" in defaults:
            options["unknown_transmitter"] = "excitatory"
    return load_connectome(data, **options)
