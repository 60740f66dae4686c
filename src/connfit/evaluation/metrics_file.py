"""`metrics.json` on disk: strict JSON, written atomically."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from connfit.errors import DataError


def write_metrics(path: str | Path, metrics: Mapping[str, Any]) -> None:
    """Write `metrics.json`, atomically and as strict JSON.

    Raises
    ------
    ValueError
        If a number is NaN or infinite; the message names its key. Such a number has no place in a
        report: the code that made it must say None and why.
    """
    path = Path(path)
    text = json.dumps(_plain(metrics, "metrics"), indent=2, allow_nan=False)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Read `metrics.json`.

    Raises
    ------
    DataError
        If it is absent or not JSON.
    """
    path = Path(path)
    if not path.exists():
        raise DataError("no such file", path=path, fix="Run `connfit evaluate` on the run directory first")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not valid JSON ({error})", path=path, fix="Run `connfit evaluate` again") from error


def _plain(value: Any, where: str) -> Any:
    """Nested plain Python values; NaN and infinities are refused with the key that holds them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one, f"{where}.{key}") for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, f"{where}[{k}]") for k, one in enumerate(value)]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist(), where)
    if isinstance(value, np.generic):
        return _plain(value.item(), where)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}: say None and give the reason")
    return value
