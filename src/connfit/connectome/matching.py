"""Which recorded unit is which neuron, type or region of a connectome, and what matches nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.errors import DataError, first_ten, one_of

READOUTS: Mapping[str, str] = MappingProxyType({"names": "id", "types": "type", "anatomical": "region"})
"""Column of the neuron table that units are compared with, by `model.readout`."""
COLUMNS = tuple(READOUTS.values())
UNLABELLED = "unlabelled-"
"""Start of the placeholder names that readers give to traces without a name."""


@dataclass(frozen=True, eq=False)
class UnitMatch:
    """Recorded units and the neurons they stand for.

    Parameters
    ----------
    column
        Column of the neuron table that was compared: `"id"`, `"type"` or `"region"`.
    case
        `"exact"` or `"ignore"`.
    matched
        Names of the matched units, in the order of the recording.
    columns
        Position of each matched unit among the recording's units.
    neurons
        For each matched unit the positions of its neurons, ascending: one for an id, one or more otherwise.
    unmatched
        Units without a neuron, in the order of the recording.
    suggestions
        For unmatched units: names in the connectome that differ only in case, zeros or punctuation.
    neurons_without_unit
        Positions of neurons that no unit stands for.
    total_neurons
        Neurons of the connectome.
    """

    column: str
    case: str
    matched: tuple[str, ...]
    columns: tuple[int, ...]
    neurons: tuple[Int[np.ndarray, "k"], ...]
    unmatched: tuple[str, ...]
    suggestions: Mapping[str, tuple[str, ...]]
    neurons_without_unit: Int[np.ndarray, "r"]
    total_neurons: int

    def report(self) -> str:
        """Write a few lines: how many units matched, which did not, how many neurons are not recorded."""
        covered = self.total_neurons - len(self.neurons_without_unit)
        lines = [
            f"{len(self.matched)} of {len(self.matched) + len(self.unmatched)} units match the neuron "
            f"table's {self.column} ({covered} of {self.total_neurons} neurons recorded)"
        ]
        unnamed = [unit for unit in self.unmatched if unit.startswith(UNLABELLED)]
        named = [unit for unit in self.unmatched if not unit.startswith(UNLABELLED)]
        if unnamed:
            lines.append(f"{len(unnamed)} traces have no name and are not fitted")
        if named:
            lines.append(f"no neuron for {len(named)} units, which are not fitted: {first_ten(named)}")
        lines += [
            f"  {unit!r}: did you mean {' or '.join(map(repr, names))}?" for unit, names in self.suggestions.items()
        ]
        return "\n".join(lines)


def match_units(
    units: Sequence[str], connectome: Connectome, *, column: str = "id", case: str = "exact", unmatched: str = "report"
) -> UnitMatch:
    """Match the units of a recording to neurons by name.

    A region stands for the neurons with output synapses in it, where the source counts them
    (`Connectome.regions`), otherwise for those whose `region` it is.

    Parameters
    ----------
    units
        Unit names of a recording; unique.
    connectome
        The brain.
    column
        Column of the neuron table: `"id"`, `"type"` or `"region"`. Numbers are compared as text.
    case
        `"exact"` or `"ignore"` upper and lower case.
    unmatched
        `"report"`: units without a neuron are listed in the result. `"error"`: they are an error.

    Returns
    -------
    UnitMatch

    Raises
    ------
    DataError
        If no unit matches, if one does not and the policy is `"error"`, or if with `case="ignore"` a name
        could mean several.
    """
    one_of("column", column, COLUMNS)
    one_of("case", case, ("exact", "ignore"))
    one_of("unmatched", unmatched, ("report", "error"))
    names = [str(name) for name in connectome.neurons[column].to_list()]

    def key(name: str) -> str:
        return name.casefold() if case == "ignore" else name

    wanted = {key(unit) for unit in units}
    positions: dict[str, list[int]] = {}
    spellings: dict[str, set[str]] = {}
    if column == "region" and connectome.regions is not None:
        counts = connectome.regions.outputs
        for row, name in enumerate(connectome.regions.names):
            neurons_there = counts.indices[counts.indptr[row] : counts.indptr[row + 1]]
            if len(neurons_there):
                positions.setdefault(key(name), []).extend(sorted(neurons_there.tolist()))
                spellings.setdefault(key(name), set()).add(name)
        names = list(connectome.regions.names)
    else:
        for at, name in enumerate(names):
            if name and key(name) in wanted:
                positions.setdefault(key(name), []).append(at)
                spellings.setdefault(key(name), set()).add(name)
    claimed: dict[str, str] = {}
    for unit in units:
        if key(unit) in positions and claimed.setdefault(key(unit), unit) != unit:
            raise DataError(
                f"units {claimed[key(unit)]!r} and {unit!r} differ only in case and would be the same neuron",
                fix="Match with case='exact', or rename one",
            )
        if len(spellings.get(key(unit), ())) > 1 and column == "id":
            raise DataError(
                f"unit {unit!r} could be any of {', '.join(sorted(spellings[key(unit)]))}",
                fix="Match with case='exact'",
            )
    columns = tuple(k for k, unit in enumerate(units) if key(unit) in positions)
    absent = tuple(unit for unit in units if key(unit) not in positions)
    suggestions = _suggest(absent, names)
    neurons = tuple(np.unique(positions[key(units[k])]) for k in columns)
    recorded = np.zeros(connectome.n, bool)
    for members in neurons:
        recorded[members] = True
    result = UnitMatch(
        column=column,
        case=case,
        matched=tuple(units[k] for k in columns),
        columns=columns,
        neurons=neurons,
        unmatched=absent,
        suggestions=MappingProxyType(suggestions),
        neurons_without_unit=np.flatnonzero(~recorded),
        total_neurons=connectome.n,
    )
    if not columns:
        examples = first_ten(dict.fromkeys(name for name in names if name)) or "(all empty)"
        raise DataError(
            f"none of the {len(units)} units ({first_ten(units)}) is in the column {column!r} of "
            f"connectome {connectome.name!r} ({examples})",
            fix=f"{_in_words(suggestions)}Choose another column of {', '.join(COLUMNS)}, or rename the units",
        )
    if absent and unmatched == "error":
        raise DataError(result.report(), fix="Rename or leave out these units, or set unmatched_units = 'report'")
    return result


def find_column(units: Sequence[str], connectome: Connectome, *, name: str) -> str:
    """Find the column of the neuron table that most of the units are in: `"id"`, `"region"` or `"type"`, in this order.

    Parameters
    ----------
    name
        Of the recording, for messages.

    Raises
    ------
    DataError
        If no unit is in any of them.
    """
    ids = set(connectome.neurons["id"].astype(str))
    regions = set(connectome.neurons["region"]) - {""}
    if connectome.regions is not None:
        regions = set(connectome.regions.names)
    types = set(connectome.neurons["type"].astype(str)) - {""}
    known = {"id": ids, "region": regions, "type": types}
    found = {column: sum(unit in names for unit in units) for column, names in known.items()}
    if not any(found.values()):
        suggested = _in_words(_suggest(units, sorted({*ids, *regions, *types})))
        raise DataError(
            f"no unit of recording {name!r} is a neuron id, a region or a type of connectome {connectome.name!r}: "
            f"{', '.join(units[:5])} ...",
            fix=f"{suggested}Rename the units, or choose other columns of the neuron table",
        )
    return max(found, key=lambda column: found[column])


def _in_words(suggestions: Mapping[str, Sequence[str]]) -> str:
    """The first suggestions as a sentence; empty without one."""
    asked = [f"{unit!r}: did you mean {' or '.join(map(repr, names))}?" for unit, names in suggestions.items()]
    return "".join(f"{question} " for question in asked[:3])


def _suggest(absent: Sequence[str], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Names that become equal without case, punctuation and leading zeros of numbers (VB02, vb-2 -> VB2)."""

    def loose(name: str) -> str:
        return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\W_]+", "", name.casefold())) or name

    if not absent:
        return {}
    wanted = {loose(unit) for unit in absent}
    near: dict[str, set[str]] = {}
    for name in names:
        if name and loose(name) in wanted:
            near.setdefault(loose(name), set()).add(name)
    return {unit: tuple(sorted(near[loose(unit)])[:3]) for unit in absent if loose(unit) in near}
