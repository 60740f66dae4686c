"""Types of options, and what is checked of every value."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NewType, get_args, get_origin

import msgspec

from connfit._system.paths import user_path

MOST = 2**31 - 1
"""Of what is counted: numbers of JAX have 32 bits."""
LARGEST = 3.4e38
"""Of other numbers, for the same reason."""
DEEPEST, MOST_VALUES = 32, 1_000_000
"""How deep lists and tables of options may lie in each other, and how many values they may hold."""
LONGEST_SHOWN = 300
"""Letters of a value in a message."""
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
CountOrZero = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Runs = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
"""Runs side by side, all of which memory holds at once."""
Positive = Annotated[float, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e5)]
"""A time constant, or a day."""
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Spread = Annotated[float, msgspec.Meta(ge=0, le=10)]
"""Of a logarithm, whose exponential must stay a number."""
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
StateForcing = Annotated[float, msgspec.Meta(ge=0, lt=2)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Auto = Literal["auto"]
AllDevices = Literal["all"]
TimeConstantStart = Literal["unit", "auto"]
FilePath = NewType("FilePath", str)
"""A path as a user writes it; `~` and environment variables are put in."""

RuleOrFile = NewType("RuleOrFile", str)
"""The name of a rule, or the path of a CSV file as a user writes it."""


def plain(value: Any) -> Any:
    """A NumPy number or array as Python's; NumPy is not imported for it, so that the command line starts at once."""
    numpy = sys.modules.get("numpy")
    return value.tolist() if numpy is not None and isinstance(value, numpy.generic | numpy.ndarray) else value


def with_paths(value: Any, hint: Any) -> Any:
    """A value in which paths are those that the user means."""
    kinds = {hint, *get_args(hint)}
    if FilePath not in kinds and not (RuleOrFile in kinds and str(value).lower().endswith(".csv")):
        return value
    return tuple(map(_expanded, value)) if isinstance(value, tuple | list) else _expanded(value)


def _expanded(name: Any) -> Any:
    return str(user_path(name)) if isinstance(name, str) and name else name


def tangled(value: Any) -> str:
    """What makes a value of lists and tables too much to look through; empty where nothing does.

    Lists that hold each other, or one many times, hold more than what memory they take.
    """
    waiting, seen = [(value, 0)], 0
    while waiting:
        inside, depth = waiting.pop()
        seen += 1
        if depth > DEEPEST:
            return f"its lists and tables lie more than {DEEPEST} deep in each other"
        if seen > MOST_VALUES:
            return f"it holds more than {MOST_VALUES:,} values"
        if isinstance(inside, dict):
            waiting += [(one, depth + 1) for one in inside.values()]
        elif isinstance(inside, tuple | list):
            waiting += [(one, depth + 1) for one in inside]
    return ""


def shown(value: Any) -> str:
    """A value in a message: its beginning, if it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}... ({len(text):,} letters)"


def text_in(value: Any) -> str:
    """All text of a value, keys of tables included."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return value if isinstance(value, str) else "".join(map(text_in, value)) if isinstance(value, tuple | list) else ""


def bad_numbers(value: Any) -> Iterator[str]:
    """What is wrong with each number in a value, or in what it holds, that no computation can take."""
    if isinstance(value, float) and not math.isfinite(value):
        yield "must be finite"
    elif isinstance(value, float) and abs(value) > LARGEST:
        yield f"must lie between -{LARGEST:g} and {LARGEST:g}"
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield "must fit into 64 bits"
    for inside in value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ():
        yield from bad_numbers(inside)


def literals(hint: Any) -> tuple[Any, ...]:
    """Choices of a Literal, wherever it stands in a type."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(choice for inner in get_args(hint) for choice in literals(inner))
