"""Results of several recordings as one. Each field of a result declares beside its type how it is pooled.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Scores(Result):
...     mse: float | None = mean()
...     frames: int = total()
>>> pool([Scores(mse=1.0, frames=10), Scores(mse=2.0, frames=30)])
Scores(reasons={}, mse=1.5, frames=40)

Where a measure is not defined in some of the recordings, `reasons` says of how many the mean is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

Reduce = Callable[[Sequence[Any], Sequence[Any]], Any]
"""Makes one value of the values of a field that are not None, and of the results that they are from."""


def _mean(found: Sequence[float], _: object = None) -> float | None:
    if len(found) < 2:
        return found[0] if found else None
    return float(np.mean(found))


def _total(found: Sequence[int], _: object) -> int:
    return int(sum(found))


def _largest(found: Sequence[int], _: object) -> int | None:
    return max(found, default=None)


def _same(found: Sequence[Any], _: object) -> Any:
    return found[0] if found and all(value == found[0] for value in found) else None


def _nested(found: Sequence[Any], _: object) -> Any:
    return pool(found) if found else None


def _apart(*_: object) -> None:
    return None


def _end(name: str) -> Reduce:
    """One end of an interval: recordings share no stretch of time, so half widths of the mean add as squares."""

    def reduce(_: Sequence[float], results: Sequence[Any]) -> float | None:
        known = [result for result in results if result.value is not None]
        ends = [getattr(result, name) for result in known]
        value = _mean([result.value for result in known])
        if value is None or None in ends:
            return None
        half = np.sqrt(sum((end - result.value) ** 2 for end, result in zip(ends, known, strict=True))) / len(known)
        return float(value + (half if name == "high" else -half))

    return reduce


def _by_key(reduce: Reduce) -> Reduce:
    def each(found: Sequence[Mapping[Any, Any]], results: Sequence[Any]) -> dict[Any, Any] | None:
        keys = dict.fromkeys(key for values in found for key in values)
        pooled = {key: reduce([of[key] for of in found if of.get(key) is not None], results) for key in keys}
        return pooled if found else None

    return each


def _declared(reduce: Reduce, default: Any, optional: bool, **more: str | None) -> Any:
    how = {"pool": reduce, "optional": optional, **more}
    return field(default_factory=default, metadata=how) if callable(default) else field(default=default, metadata=how)


def mean(*, optional: bool = False) -> Any:
    """Declare a measure, of which the mean is taken; `optional`: JSON leaves it out where it is None."""
    return _declared(_mean, None, optional)


def total(default: int | None = 0, *, optional: bool = False) -> Any:
    """Declare a count, which is summed."""
    return _declared(_total, None if optional else default, optional)


def largest(*, optional: bool = False) -> Any:
    """Declare a number of which the largest is kept."""
    return _declared(_largest, None, optional)


def same(default: str | None = None, *, optional: bool = False) -> Any:
    """Declare what is kept where it is the same in all recordings, and None otherwise."""
    return _declared(_same, default, optional)


def end(name: str) -> Any:
    """Declare an end, `"low"` or `"high"`, of the interval of the field `value`."""
    return _declared(_end(name), None, False)


def nested(kind: Callable[[], Any] | None = None) -> Any:
    """Declare a result within a result: of this kind, empty by default, or one that may be absent."""
    return _declared(_nested, kind, kind is None)


def by_key(*, of: str = "nested", default: Callable[[], Any] | None = dict, reasons_in: str | None = None) -> Any:
    """Declare a mapping, pooled key by key.

    Parameters
    ----------
    of
        What its values are: `"nested"` results, `"mean"` measures.
    reasons_in
        Field whose `reasons` take what has to be said about single keys.
    """
    return _declared(_by_key({"nested": _nested, "mean": _mean}[of]), default, False, reasons_in=reasons_in)


def apart(default: Any = None) -> Any:
    """Declare what belongs to one recording, and is nowhere in the pooled result."""
    return _declared(_apart, default, True)


@dataclass(frozen=True)
class Result:
    """Base of results.

    Parameters
    ----------
    reasons
        By name of a field: why it is None, or of which recordings it is.
    """

    reasons: Mapping[str, str] = field(default_factory=dict, metadata={"optional": True}, kw_only=True)


ResultT = TypeVar("ResultT", bound=Result)

NOT_DEFINED = "not defined there"


def pool(results: Sequence[ResultT]) -> ResultT:
    """Pool results of several recordings, field by field; a single one stays as it is.

    Raises
    ------
    TypeError
        If a field does not declare how it is pooled.
    """
    if len(results) == 1:
        return results[0]
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    each_field = [declared for declared in fields(results[0]) if declared.name != "reasons"]
    for declared in each_field:
        reduce: Reduce | None = declared.metadata.get("pool")
        if reduce is None:
            raise TypeError(f"{type(results[0]).__name__}.{declared.name} does not declare how it is pooled")
        found = [value for result in results if (value := getattr(result, declared.name)) is not None]
        if reduce is _apart or (not found and declared.metadata["optional"]):
            continue
        values[declared.name] = reduce(found, results)
        if len(found) < len(results) and declared.name != "reason":
            why = next(
                (result.reasons[declared.name] for result in results if declared.name in result.reasons), NOT_DEFINED
            )
            reasons[declared.name] = f"mean over {len(found)} of {len(results)} recordings" if found else why
    for result in results:
        for name, text in result.reasons.items():
            reasons.setdefault(name, f"in at least one recording: {text}")
    for declared in each_field:
        if about := declared.metadata.get("reasons_in"):
            values[about] = _with_reasons(
                values[about], values[declared.name], [getattr(each, declared.name) for each in results]
            )
    return type(results[0])(**values, reasons=reasons)


def pool_each(results: Sequence[Mapping[str, ResultT]]) -> dict[str, ResultT]:
    """Pool results by name: those of each name by themselves."""
    return _by_key(_nested)(results, results)


def _with_reasons(about: Any, pooled: Mapping[Any, Any], each: Sequence[Mapping[Any, Any]]) -> Any:
    """The result `about` with what has to be said about keys that not every recording has a number for."""
    why = dict(about.reasons)
    for key, value in pooled.items():
        count, name = sum(of.get(key) is not None for of in each), str(key)
        if count < len(each):
            text = f"mean over {count} of {len(each)} recordings" if count else NOT_DEFINED
            known = why.get(name, text)
            why[name] = f"{text}; {known}" if value is not None and known != text else known
    return replace(about, reasons=why)
