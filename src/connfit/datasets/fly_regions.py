"""Names of the regions (neuropils) of the fly brain in different sources, and what corresponds to what.

The table `fly_regions.csv` beside this file has one row per neuropil of FlyWire: its name there (Dorkenwald et al.
2024, doi:10.1038/s41586-024-07558-y), in the atlas of Ito et al. 2014 (doi:10.1016/j.neuron.2013.12.017) as its label
file writes it, and in the male CNS (male-cns.janelia.org, names as in neuPrint). Where the male CNS divides a region,
its parts are listed and separated by semicolons. An empty cell: there is no counterpart, or none that is certain.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from connfit.errors import one_of

_PAIRED = (
    "AL", "AME", "AMMC", "AOTU", "ATL", "AVLP", "BU", "CAN", "CRE", "EPA", "FLA", "GA", "GOR", "IB", "ICL", "IPS",
    "LA", "LAL", "LH", "LO", "LOP", "MB_CA", "MB_ML", "MB_PED", "MB_VL", "ME", "PLP", "PVLP", "SCL", "SIP", "SLP",
    "SMP", "SPS", "VES", "WED",
)  # fmt: skip
_UNPAIRED = ("EB", "FB", "GNG", "NO", "OCG", "PB", "PRW", "SAD")

FLYWIRE_NEUROPILS: tuple[str, ...] = tuple(
    sorted([*_UNPAIRED, *(f"{name}_{side}" for name in _PAIRED for side in "LR")])
)
"""The 78 neuropils of the FlyWire brain, written as in its tables: 35 on both sides (`_L`, `_R`) and 8 unpaired."""

RECORDED_73: tuple[str, ...] = tuple(
    name for name in FLYWIRE_NEUROPILS if name not in ("AME_L", "AME_R", "LA_L", "LA_R", "OCG")
)
"""The 73 neuropils that the fly surrogate records.

This package's choice, not a published list: the 78 without the lamina (LA), the accessory medulla (AME) and the
ocellar ganglion (OCG), which imaging of the central brain does not see, or not in every fly.
"""

NAMINGS: tuple[str, ...] = ("flywire", "ito", "malecns")
"""The namings between which regions can be mapped."""


@dataclass(frozen=True)
class Region:
    """One row of the table.

    Parameters
    ----------
    names
        Naming -> names of the region, or of its parts, there; empty where there is no counterpart.
    full_name
        In words.
    note
        What to know before using the correspondence; empty if nothing.
    """

    names: Mapping[str, tuple[str, ...]]
    full_name: str
    note: str


@lru_cache(maxsize=1)
def region_table() -> tuple[Region, ...]:
    """Read all regions, in the order of `FLYWIRE_NEUROPILS`."""
    path = Path(__file__).with_suffix(".csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        Region(
            MappingProxyType({naming: tuple(name for name in row[naming].split(";") if name) for naming in NAMINGS}),
            row["full_name"],
            row["note"],
        )
        for row in rows
    )


def map_regions(source: str = "ito", target: str = "flywire") -> dict[str, tuple[str, ...]]:
    """Find what the regions of one source are called in another.

    Parameters
    ----------
    source, target
        Namings: `"flywire"`, `"ito"` or `"malecns"`.

    Returns
    -------
    dict[str, tuple[str, ...]]
        Name in `source` -> names in `target`: none without a counterpart, several where the target divides the region.

    Notes
    -----
    Regions correspond by name: all three namings are that of Ito et al. 2014. Their boundaries were drawn in
    different brains and are not identical, and sides are those that each source states.

    Raises
    ------
    ConfigError
        If there is no such naming.
    """
    one_of("source", source, NAMINGS)
    one_of("target", target, NAMINGS)
    found: dict[str, dict[str, None]] = {}
    for region in region_table():
        for name in region.names[source]:
            others = (name,) if source == target else region.names[target]
            found.setdefault(name, {}).update(dict.fromkeys(others))
    return {name: tuple(others) for name, others in found.items()}
