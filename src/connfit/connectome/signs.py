"""Signs of neurons from their transmitters: rules with names, and a policy for what the rule does not cover."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Bool, Int

from connfit._system.paths import user_path
from connfit.errors import ConfigError, DataError, first_ten, one_of, unreadable

if TYPE_CHECKING:
    from connfit._typing import JSON

SignRule: TypeAlias = str | Path | Mapping[str, int]
EDGE_SIGNS = "signs of the edges"
"""What notes have as the rule where the edges say signs themselves."""
UNKNOWN_POLICIES = ("error", "excitatory", "inhibitory", "drop")

_SPELLINGS = {
    "acetylcholine": ("ach", "acetylcholine", "cholinergic"),
    "gaba": ("gaba", "gabaergic"),
    "glutamate": ("glut", "glu", "glutamate", "glutamatergic"),
    "dopamine": ("da", "dop", "dopamine", "dopaminergic"),
    "octopamine": ("oct", "oa", "octopamine", "octopaminergic"),
    "serotonin": ("ser", "5ht", "5-ht", "serotonin", "serotonergic"),
    "tyramine": ("tyr", "ta", "tyramine", "tyraminergic"),
    "histamine": ("his", "hist", "histamine", "histaminergic"),
}
ALIASES: Mapping[str, str] = MappingProxyType({alias: name for name, spelt in _SPELLINGS.items() for alias in spelt})

RULES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        # The fly paper: acetylcholine and dopamine excite, the other four inhibit.
        "fly-paper": MappingProxyType(
            {"acetylcholine": 1, "dopamine": 1, "gaba": -1, "glutamate": -1, "octopamine": -1, "serotonin": -1}
        ),
        # Shiu et al. 2024 (doi:10.1038/s41586-024-07763-9): only GABA and glutamate inhibit.
        "shiu": MappingProxyType({name: -1 if name in ("gaba", "glutamate") else 1 for name in _SPELLINGS}),
        # A modelling convention for C. elegans; the true sign depends on the postsynaptic receptor.
        "worm": MappingProxyType({"acetylcholine": 1, "glutamate": 1, "gaba": -1}),
    }
)


@dataclass(frozen=True)
class Signs:
    """The sign of each neuron and how it came about.

    Parameters
    ----------
    values
        [N] +1 or -1. Neurons under the policy `"drop"` hold +1, which nothing uses.
    dropped
        [N] True where the neuron's chemical output connections are to be left out.
    rule
        Name of the rule, or the file of the user's table.
    table
        Sign of every transmitter that the rule covers.
    policy
        What was done with neurons that the rule does not cover.
    unknown
        Number of such neurons by what the source says of their transmitter (`""`: nothing).
    """

    values: Int[np.ndarray, "N"]
    dropped: Bool[np.ndarray, "N"]
    rule: str
    table: Mapping[str, int]
    policy: str
    unknown: Mapping[str, int]

    def notes(self) -> dict[str, JSON]:
        """Return what a connectome's notes say about its signs."""
        return {
            "sign_rule": self.rule,
            "sign_table": dict(self.table),
            "unknown_transmitter_policy": self.policy,
            "unknown_transmitter_neurons": int(sum(self.unknown.values())),
            "unknown_transmitters": dict(self.unknown),
        }


def canonical_transmitter(name: object) -> str:
    """Return the common name of a transmitter (`"ACH"` -> `"acetylcholine"`); other words in lower case."""
    word = str(name).strip().lower()
    return ALIASES.get(word, word)


def sign_table(rule: SignRule) -> tuple[str, Mapping[str, int]]:
    """Return the name and the transmitter-to-sign table of a rule.

    Parameters
    ----------
    rule
        One of `"fly-paper"`, `"shiu"`, `"worm"`; or a CSV file with the columns `transmitter,sign`;
        or a mapping from transmitter to +1 or -1.

    Raises
    ------
    ConfigError
        If the name is unknown or a mapping holds other values than +1 and -1.
    DataError
        If the file cannot be used.
    """
    if isinstance(rule, Mapping):
        return "user's table", _checked(rule.items(), None)
    if isinstance(rule, Path) or str(rule).lower().endswith(".csv"):
        return str(rule), _read_sign_csv(user_path(rule))
    return str(rule), RULES[one_of("sign_rule", str(rule), RULES)]


def assign_signs(transmitters: Sequence[object], rule: SignRule, *, unknown: str = "error") -> Signs:
    """Assign every neuron the sign of its transmitter.

    Parameters
    ----------
    transmitters
        [N] transmitter of each neuron, in any of the usual spellings and any case; empty where not known.
    rule
        As in `sign_table`.
    unknown
        What happens to a neuron whose transmitter the rule does not cover: `"error"`, `"excitatory"`,
        `"inhibitory"`, or `"drop"` (the neuron stays, its chemical outputs are left out).

    Raises
    ------
    DataError
        If transmitters are not covered and the policy is `"error"`.
    ConfigError
        If the rule or the policy is not a known one.
    """
    one_of("unknown_transmitter", unknown, UNKNOWN_POLICIES)
    name, table = sign_table(rule)
    canonical = [canonical_transmitter(name) for name in transmitters]
    known = np.array([transmitter in table for transmitter in canonical], bool)
    uncovered = Counter(transmitter for transmitter in canonical if transmitter not in table)
    if uncovered and unknown == "error":
        listed = first_ten(f"{transmitter or '(empty)'} ({count})" for transmitter, count in uncovered.most_common())
        raise DataError(
            f"sign rule {name!r} says nothing about the transmitter of {sum(uncovered.values())} of "
            f"{len(canonical)} neurons: {listed}",
            fix=(
                "Choose unknown_transmitter = 'excitatory', 'inhibitory' or 'drop', another sign_rule, or a "
                "table of your own"
            ),
        )
    filled = -1 if unknown == "inhibitory" else 1
    return Signs(
        values=np.array([table.get(transmitter, filled) for transmitter in canonical], np.int8),
        dropped=~known if unknown == "drop" else np.zeros(len(canonical), bool),
        rule=name,
        table=table,
        policy=unknown,
        unknown=MappingProxyType(dict(uncovered)),
    )


def _read_sign_csv(path: Path) -> Mapping[str, int]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, header = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fix = "Write a CSV file with the columns transmitter,sign, in UTF-8"
        raise unreadable(error, "cannot read the sign table", path=path, fix=fix) from error
    if not rows or any(header.count(column) != 1 for column in ("transmitter", "sign")):
        raise DataError("not a sign table", path=path, fix="It must have rows, and the columns transmitter,sign once")
    return _checked(((row["transmitter"], row["sign"]) for row in rows), path)


def _checked(items: Iterable[tuple[object, object]], path: Path | None) -> Mapping[str, int]:
    """Canonical names and signs +1 or -1, each transmitter with one sign only."""
    table: dict[str, int] = {}
    for transmitter, sign in items:
        word = canonical_transmitter(transmitter or "")
        value = {"1": 1, "+1": 1, "-1": -1}.get(str(sign).strip(), 0)
        problem = None
        if value not in (1, -1):
            problem = f"the sign of {transmitter!r} is {sign!r}, but must be +1 or -1 (leave out what is unknown)"
        elif table.get(word, value) != value:
            problem = f"{transmitter!r} has both signs"
        if problem and path is not None:
            raise DataError(problem, path=path, fix="Correct the row")
        if problem:
            raise ConfigError(f"sign rule: {problem}")
        table[word] = value
    return MappingProxyType(table)
