"""What every analysis returns can be written to a file: numbers, texts, lists and tables of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Result:
    """Base of the results of analyses: frozen, and plain on request."""

    def record(self) -> dict[str, Any]:
        """Fields as what JSON can hold; a number that is not finite becomes None.

        Fields whose metadata say `record=False` (long arrays that others are computed from) are left out.
        """
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self) if _kept(field.metadata)}


def _kept(metadata: Any) -> bool:
    return metadata.get("record", True)


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.record()
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value.tolist()]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
