"""Values of a run's files that remember where they stand, so that every number of a text can name its key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

from connfit.report.wording import number

HOW: dict[str, Callable[[Sequence[Any]], float]] = {
    "value": lambda given: given[0],
    "cosine": lambda given: given[0],
    "percent": lambda given: 100 * given[0],
    "likelier": lambda given: 100 * max(given[0], 1 - given[0]),
    "size": lambda given: abs(given[0]),
    "sum": sum,
    "difference": lambda given: given[0] - given[1],
    "ratio": lambda given: given[0] / given[1],
    "lowest": min,
    "highest": max,
    "count": lambda given: len(given[0]),
    "mebibytes": lambda given: sum(given) / 2**20,
}
"""How a quoted number follows from the values under its keys."""

NAME = "name"
"""How of a quoted text that is a name or a label and has digits."""


@dataclass(frozen=True)
class Quote:
    """One number in a text.

    Parameters
    ----------
    text
        As it is written.
    keys
        Where its values are: file and JSON pointer (RFC 6901), as in `metrics.json#/parts/test/one_step/mse`.
    how
        What of `HOW` makes the number of the values; `NAME`: the text is a name or a label that has digits.
    """

    text: str
    keys: tuple[str, ...]
    how: str = "value"


class Traced:
    """A value of a file with its key; what is below it is reached by attribute or item, and is traced as well.

    Parts that are absent are traced as None, as are fields of None; a name that a typed result does not have is an
    error. Comparisons and truth are those of the value. Ratios (`a / b`) and differences (`a - b`) are traced to both
    keys. `write` gives the text and records where it comes from.

    Parameters
    ----------
    value
        What is there.
    keys
        See `Quote`.
    quotes
        To which `write` adds.
    how
        See `Quote`.
    """

    __slots__ = ("_how", "_keys", "_quotes", "_value")

    def __init__(self, value: object, keys: tuple[str, ...], quotes: list[Quote], how: str = "value") -> None:
        self._value, self._keys, self._quotes, self._how = value, keys, quotes, how

    def __getattr__(self, name: str) -> Traced:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str | int) -> Traced:
        value = _below(self._value, name)
        return Traced(value, (f"{self._keys[0]}/{_escaped(str(name))}",), self._quotes)

    def __iter__(self) -> Iterator[Traced]:
        value = self._value
        if isinstance(value, Mapping):
            return (Traced(name, (self[name]._keys[0],), self._quotes, NAME) for name in value)
        return (self[at] for at in range(len(self)))

    def items(self) -> Iterator[tuple[Traced, Traced]]:
        """List the names below, each traced as a name, with what they name."""
        return ((name, self[str(name)]) for name in self)

    def __len__(self) -> int:
        return 0 if self._value is None else len(self._value)  # pyright: ignore[reportArgumentType]

    def __bool__(self) -> bool:
        return bool(self._value)

    def __str__(self) -> str:
        return str(self._value)

    def __repr__(self) -> str:
        return f"Traced({self._value!r}, {', '.join(self._keys)})"

    def __hash__(self) -> int:
        return hash(self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == untraced(other)

    def __lt__(self, other: Any) -> bool:
        return self._value < untraced(other)  # pyright: ignore[reportOperatorIssue]

    def __le__(self, other: Any) -> bool:
        return self._value <= untraced(other)  # pyright: ignore[reportOperatorIssue]

    def __gt__(self, other: Any) -> bool:
        return self._value > untraced(other)  # pyright: ignore[reportOperatorIssue]

    def __ge__(self, other: Any) -> bool:
        return self._value >= untraced(other)  # pyright: ignore[reportOperatorIssue]

    def __truediv__(self, other: Traced) -> Traced:
        return derived("ratio", self, other)

    def __sub__(self, other: Traced) -> Traced:
        return derived("difference", self, other)

    def write(self) -> str:
        """Return the value as text, and record its keys.

        Raises
        ------
        KeyError
            If there is no value: a text asks first.
        """
        value = self._value
        if value is None or isinstance(value, bool | Mapping | list | tuple) or is_dataclass(value):
            raise KeyError(f"{', '.join(self._keys)} is {value!r}, no number and no name")
        if isinstance(value, str):
            text, how = " ".join(value.split()), NAME
        else:
            text, how = written(value, self._how), self._how
        self._quotes.append(Quote(text, self._keys, how))
        return text


def derived(how: str, *values: Traced) -> Traced:
    """Return the number that some values make, traced to all of them.

    Parameters
    ----------
    how
        One of `HOW`.
    """
    if any(value._how != "value" for value in values):
        raise ValueError(f"a {how} of numbers that are derived themselves has no keys: {values}")
    keys = tuple(key for value in values for key in value._keys)
    return Traced(HOW[how]([value._value for value in values]), keys, values[0]._quotes, how)


def labelled(text: str, of: Traced) -> str:
    """Return a label that stands for a value, recorded so that its digits are not taken for a number."""
    of._quotes.append(Quote(text, of._keys, NAME))
    return text


def untraced(value: object) -> Any:
    """Return the value itself."""
    return value._value if isinstance(value, Traced) else value


def known(value: object) -> bool:
    """Return whether there is a value."""
    return untraced(value) is not None


def written(made: Any, how: str = "value") -> str:
    """Return a number as it is written: three digits, cosines four decimals, counts whole."""
    if how == "cosine":
        return f"{made:.4f}".replace("-", "−")
    if how in ("percent", "likelier"):
        return f"{made:.3g} %".replace("-", "−")
    return f"{made:,}".replace("-", "−") if isinstance(made, int) else number(made)


def _below(value: object, name: str | int) -> object:
    if value is None:
        return None
    if isinstance(value, Mapping):
        # Keys of horizons and levels are integers in typed results, as text in JSON.
        is_number = name not in value and isinstance(name, str) and name.isdigit()
        return value.get(int(name) if is_number else name)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value[int(name)] if int(name) < len(value) else None
    return getattr(value, str(name))


def _escaped(step: str) -> str:
    """A name as a step of a JSON pointer."""
    return step.replace("~", "~0").replace("/", "~1")
