"""Connectomes: who connects to whom, with how many synapses and which sign.

Here live the wiring itself, the checks of it, how tables become one, how recorded units find their neurons, and the
null connectomes (`connfit.connectome.nulls`). Nothing here knows of recordings or models.
"""

from __future__ import annotations

from connfit.connectome.connectome import TABLE_COLUMNS, Connectome, from_pairs
from connfit.connectome.connectome_file import FORMAT_VERSION

__all__ = ["FORMAT_VERSION", "TABLE_COLUMNS", "Connectome", "from_pairs"]
