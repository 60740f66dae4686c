"""Numbers of results as values that JSON can hold."""

from __future__ import annotations

from typing import Any

import numpy as np


def finite(value: Any) -> Any:
    """A number, or an array of numbers as lists, with None wherever a number is not finite."""
    if isinstance(value, np.ndarray):
        return [finite(one) for one in value.tolist()]
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
