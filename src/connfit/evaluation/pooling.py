"""Scores of several recordings as one: means of measures, sums of counts, and a word wherever some are missing.

Intervals are of stretches of time that recordings do not share: half widths of the mean add as squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_SUMMED = {
    "observed",
    "frames",
    "scored",
    "starts",
    "units",
    "excluded",
    "above_persistence",
    "above_both",
    "parameters",
    "noise_frames",
}
_LARGEST = {"warmup_frames", "runs"}
_INTERVAL = {"value", "low", "high"}


def pool(items: Sequence[Any]) -> Any:
    """Means over recordings of nested scores; counts are summed; texts that differ are left to the details."""
    if len(items) == 1:
        return items[0]
    items = [item for item in items if item is not None]
    if not items:
        return None
    if all(isinstance(item, Mapping) for item in items):
        return _pool_intervals(items) if all(item.keys() >= _INTERVAL for item in items) else _pool_mappings(items)
    if all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in items):
        return float(np.mean(items))
    return items[0] if all(item == items[0] for item in items) else None


def _pool_mappings(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for key in dict.fromkeys(key for item in items for key in item):
        if key in ("reasons", "chosen"):
            continue
        found = [item[key] for item in items if item.get(key) is not None]
        if key in _SUMMED:
            result[key] = int(sum(found))
        elif key in _LARGEST:
            result[key] = max(found, default=None)
        else:
            result[key] = pool(found)
        lacking = len(items) - len(found)
        if lacking and key != "reason":
            result.setdefault(key, None)
            first = next(
                (item["reasons"][key] for item in items if key in item.get("reasons", {})), "not defined there"
            )
            reasons[key] = f"mean over {len(found)} of {len(items)} recordings" if found else first
    for item in items:
        for key, text in item.get("reasons", {}).items():
            reasons.setdefault(key, f"in at least one recording: {text}")
    if "horizon_skill" in result and "horizon" in result:
        _move_reasons(result)
    return {**result, "reasons": reasons} if reasons else result


def _pool_intervals(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean of independent estimates with its interval; none where one of them lacks its own."""
    result = _pool_mappings(items)
    found = [item for item in items if item["value"] is not None]
    for end in ("low", "high"):
        if found and all(item[end] is not None for item in found):
            half = np.sqrt(sum((item[end] - item["value"]) ** 2 for item in found)) / len(found)
            result[end] = float(result["value"] + (half if end == "high" else -half))
        else:
            result[end] = None
    return result


def _move_reasons(part: dict[str, Any]) -> None:
    """Keep `horizon_skill` to horizons alone, others parse it: what is to be said stands in `horizon`."""
    skills, horizon = dict(part["horizon_skill"] or {}), dict(part["horizon"] or {})
    about = skills.pop("reasons", {})
    why = {**about, **horizon.get("reasons", {})}
    for h, text in about.items():
        if skills[h] is not None and text != why[h]:
            why[h] = f"{text}; {why[h]}"
    part["horizon_skill"], part["horizon"] = skills, {**horizon, **({"reasons": why} if why else {})}
