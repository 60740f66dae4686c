"""What a run's arrays say that limits how it can be read: parameters at bounds, values outside what training showed."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from connfit.evaluation.forecasts import PartForecast
from connfit.evaluation.held_out import HELD_OUT
from connfit.report.run_files import RunFiles

AT_BOUND = 1e-3
"""A time constant within this fraction of a bound is at it (float32 keeps seven digits of its logarithm)."""


def time_constants_at_bounds(run: RunFiles) -> dict[str, Any]:
    """Share of the neurons whose fitted time constant is at a bound; nothing where bounds are not known."""
    taus, bounds = run.parameters.get("time_constants"), _bounds_s(run)
    if taus is None or bounds is None or not len(taus):
        return {}
    low, high = bounds
    below, above = taus <= low * (1 + AT_BOUND), taus >= high * (1 - AT_BOUND)
    return {
        "time_constants_at_bounds": {
            "value": float((below | above).mean()),
            "what": "share of the neurons whose time constant is at a bound",
            "from": ["parameters.npz", "config.json", "metrics.json"],
            "neurons": len(taus),
            "at_low": int(below.sum()),
            "at_high": int(above.sum()),
            "low_s": low,
            "high_s": high,
        }
    }


def _bounds_s(run: RunFiles) -> tuple[float, float] | None:
    """Bounds of time constants in seconds."""
    frames = (run.config.get("model") or {}).get("time_constant_bounds_frames")
    rates = [one.get("frame_rate") for one in (run.metrics.get("recordings") or {}).values()]
    if frames is None or not rates or rates[0] is None:
        return None
    return frames[0] / rates[0], frames[1] / rates[0]


def values_outside_training(run: RunFiles) -> dict[str, Any]:
    """By recording and part: share of observed values outside the range of their unit's training values."""
    if run.forecasts is None:
        return {}
    shares: dict[str, dict[str, float]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for name, one in run.forecasts.recordings.items():
        low, high = _range(one.parts["train"])
        for unit, a, b in zip(one.units, low, high, strict=True):
            before = ranges.get(unit, (np.inf, -np.inf))
            ranges[unit] = min(before[0], a), max(before[1], b)
        shares[name] = {
            part: share
            for part in ("validation", "test")
            if part in one.parts and (share := _outside(one.parts[part], low, high)) is not None
        }
    for name, one in run.forecasts.held_out.items():
        ends = np.array([ranges.get(unit, (np.inf, -np.inf)) for unit in one.units])
        share = _outside(one.parts[HELD_OUT], ends[:, 0], ends[:, 1])
        if share is not None:
            shares[name] = {HELD_OUT: share}
    every = [share for parts in shares.values() for share in parts.values()]
    if not every:
        return {}
    return {
        "values_outside_training": {
            "value": max(every),
            "what": "largest share, over recordings and parts, of values outside the range of their unit's training "
            "values",
            "from": ["forecasts.npz"],
            "recordings": shares,
        }
    }


def values_below_reach(run: RunFiles) -> dict[str, Any]:
    """Share of values below 0 in a model none of whose predictions is; nothing where predictions go there too."""
    if run.forecasts is None:
        return {}
    parts = [
        (name, part, one.parts[part])
        for name, one in (*run.forecasts.recordings.items(), *run.forecasts.held_out.items())
        for part in one.parts
    ]
    if any((one.one_step[np.isfinite(one.one_step)] < 0).any() for _, _, one in parts):
        return {}
    shares: dict[str, dict[str, float]] = {}
    for name, part, one in parts:
        if one.mask.any() and (share := float((one.values[one.mask] < 0).mean())) > 0:
            shares.setdefault(name, {})[part] = share
    if not shares:
        return {}
    return {
        "values_below_reach": {
            "value": max(share for of in shares.values() for share in of.values()),
            "what": "largest share, over recordings and parts, of values below 0, where no prediction goes",
            "from": ["forecasts.npz"],
            "recordings": shares,
        }
    }


def _range(part: PartForecast) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"]]:
    """Lowest and highest observed value of each unit; an empty range for a unit that was never seen."""
    low = np.where(part.mask, part.values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(part.mask, part.values, -np.inf).max(axis=0, initial=-np.inf)
    return low, high


def _outside(part: PartForecast, low: np.ndarray, high: np.ndarray) -> float | None:
    """Share of the observed values of units with a range that lie outside it; None if there are none."""
    known = part.mask & (low <= high)
    if not known.any():
        return None
    return float(((part.values < low) | (part.values > high))[known].mean())
