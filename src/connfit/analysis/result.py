"""Results of analyses: frozen dataclasses of plain values, each as it stands in `analysis.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np


@dataclass(frozen=True)
class Result:
    """Base of results: arrays become tuples, numbers of NumPy plain ones, and None stands for what is not finite."""

    def __post_init__(self) -> None:
        for declared in fields(self):
            object.__setattr__(self, declared.name, _settled(getattr(self, declared.name)))


def _settled(value: object) -> Any:
    """Return a value without arrays, numbers of NumPy, and numbers that are not finite."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(_settled(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _settled(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


ResultT = TypeVar("ResultT")


def narrowed(value: object, kind: type[ResultT]) -> ResultT:
    """Return what is written of a result that also holds arrays: the fields of its base class."""
    return kind(**{declared.name: getattr(value, declared.name) for declared in fields(kind)})  # pyright: ignore[reportArgumentType]
