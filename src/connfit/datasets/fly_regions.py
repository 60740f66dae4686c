"""Names of the regions (neuropils) of the fly brain in different sources, and what corresponds to what.

The table `fly_regions.csv` beside this file has one row per neuropil of FlyWire: its name there (Dorkenwald et al.
2024, doi:10.1038/s41586-024-07558-y), in the atlas of Ito et al. 2014 (doi:10.1016/j.neuron.2013.12.017) as its label
file writes it, and in the male CNS (male-cns.janelia.org, names as in neuPrint). Where the male CNS divides a region,
its parts are listed and separated by semicolons. An empty cell: there is no counterpart, or none that is certain.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from connfit.errors import DataError, first_ten, one_of

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


@dataclass(frozen=True)
class RegionMapping:
    """Which names of one naming are which in another.

    Parameters
    ----------
    source, target
        The namings.
    mapped
        Name in `source` -> names in `target`, in the order asked for: one name, or several where the target divides
        the region.
    unmapped
        Names that are known but have no counterpart.
    unknown
        Names that `source` does not have, with the nearest that it has (or an empty text).
    notes
        Name in `source` -> what to know about its correspondence.
    """

    source: str
    target: str
    mapped: Mapping[str, tuple[str, ...]]
    unmapped: tuple[str, ...]
    unknown: Mapping[str, str]
    notes: Mapping[str, str]

    @property
    def merged(self) -> dict[str, tuple[str, ...]]:
        """Names in `target` that several of the names in `source` map to: their values have to be added up."""
        members: dict[str, list[str]] = {}
        for name, others in self.mapped.items():
            for other in others:
                members.setdefault(other, []).append(name)
        return {other: tuple(names) for other, names in members.items() if len(names) > 1}

    @property
    def divided(self) -> dict[str, tuple[str, ...]]:
        """Names in `source` that are several regions in `target`."""
        return {name: others for name, others in self.mapped.items() if len(others) > 1}

    def one_to_one(self) -> dict[str, str]:
        """Name in `source` -> its only name in `target`.

        Raises
        ------
        DataError
            If a region is divided, or several are merged.
        """
        for what, names in (("divided", self.divided), ("merged", self.merged)):
            if names:
                listed = first_ten(f"{name} = {' + '.join(others)}" for name, others in names.items())
                raise DataError(
                    f"{len(names)} regions are {what} between {self.source!r} and {self.target!r}: {listed}",
                    fix="Leave them out, or add up their parts",
                )
        return {name: others[0] for name, others in self.mapped.items()}

    def report(self) -> str:
        """A few lines of text: how many regions were mapped, and which were not or not one to one."""
        total = len(self.mapped) + len(self.unmapped) + len(self.unknown)
        lines = [f"{len(self.mapped)} of {total} regions of {self.source!r} have a counterpart in {self.target!r}"]
        if self.unmapped:
            lines.append(f"without a counterpart: {', '.join(self.unmapped)}")
        if self.unknown:
            lines.append(f"not names of {self.source!r}: {', '.join(self.unknown)}")
            lines += [f"  {name!r}: did you mean {near!r}?" for name, near in self.unknown.items() if near]
        lines += [f"{name} is divided into {', '.join(others)}" for name, others in self.divided.items()]
        lines += [f"{', '.join(names)} are merged into {other}" for other, names in self.merged.items()]
        lines += [f"{name}: {note}" for name, note in self.notes.items()]
        return "\n".join(lines)


@lru_cache(maxsize=1)
def region_table() -> tuple[Region, ...]:
    """All regions, in the order of `FLYWIRE_NEUROPILS`."""
    path = Path(__file__).with_suffix(".csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        Region(
            MappingProxyType({naming: tuple(one for one in row[naming].split(";") if one) for naming in NAMINGS}),
            row["full_name"],
            row["note"],
        )
        for row in rows
    )


def map_regions(names: Sequence[str], source: str = "ito", target: str = "flywire") -> RegionMapping:
    """What regions are called in another source.

    Parameters
    ----------
    names
        Names of regions, for example the units of a recording.
    source, target
        Namings: `"flywire"`, `"ito"` or `"malecns"`.

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
    rows: dict[str, list[Region]] = {}
    for region in region_table():
        for name in region.names[source]:
            rows.setdefault(name, []).append(region)
    mapped: dict[str, tuple[str, ...]] = {}
    unmapped: list[str] = []
    unknown: dict[str, str] = {}
    notes: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if name not in rows:
            unknown[name] = next(iter(get_close_matches(name, rows, n=1)), "")
            continue
        if source == target:
            mapped[name] = (name,)
            continue
        others = tuple(dict.fromkeys(other for region in rows[name] for other in region.names[target]))
        if not others:
            unmapped.append(name)
            continue
        mapped[name] = others
        if "malecns" in (source, target) and (note := rows[name][0].note):
            notes[name] = note
    return RegionMapping(
        source, target, MappingProxyType(mapped), tuple(unmapped), MappingProxyType(unknown), MappingProxyType(notes)
    )
