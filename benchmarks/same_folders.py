"""What two folders hold, compared to the last digit: all but what depends on the clock. Used by `kills.py`."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from connfit._io import read_arrays

TIMES = {
    "seconds", "performance", "wall_seconds", "fit_seconds", "ms_per_step", "command", "peak_memory_bytes",
    "first_step_s", "peak_rss_bytes", "seconds_taken",
}  # fmt: skip
"""Keys whose values depend on the clock, the machine's load, or how the command was written."""

PLACE = re.compile(r"/[^\s\"']*connfit-kills-[^/\s\"']*/[^/\s\"']*/")
"""The folder that the files of a configuration are in."""


def snapshot(folder: Path) -> dict[str, object]:
    """What a folder holds, without what depends on the clock."""
    return {
        str(path.relative_to(folder)): content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "compiled" not in path.parts
    }


def content(path: Path) -> object:
    if path.suffix == ".json":
        return timeless(json.loads(PLACE.sub("", path.read_text(encoding="utf-8"))))
    if path.suffix == ".csv" and path.name == "history.csv":
        with path.open(encoding="utf-8", newline="") as file:
            return [timeless(row) for row in csv.DictReader(file)]
    if path.suffix == ".npz":
        try:
            arrays, meta = read_arrays(path)
        except Exception:
            with np.load(path) as file:
                arrays, meta = dict(file), {}
        hashed = {key: (str(value.dtype), value.shape, digest(value.tobytes())) for key, value in arrays.items()}
        return {"arrays": hashed, "meta": timeless(meta)}
    if path.suffix in (".html", ".log"):  # durations in sentences; what it is made of is compared
        return b"</html>" in path.read_bytes()[-200:] if path.suffix == ".html" else None
    return digest(path.read_bytes())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("name") == "time_and_memory":  # the question of a report
            return {}
        return {key: timeless(item) for key, item in value.items() if key not in TIMES}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def differences(found: object, right: object, at: str = "") -> Iterator[str]:
    """Name the files and keys in which two snapshots differ."""
    if isinstance(found, dict) and isinstance(right, dict):
        for key in sorted({*found, *right}, key=str):
            if key not in right:
                yield f"{at}{key} is left behind"
            elif key not in found:
                yield f"{at}{key} is missing"
            else:
                yield from differences(found[key], right[key], f"{at}{key}: ")
    elif found != right:
        yield f"{at}{str(found)[:60]} instead of {str(right)[:60]}"
