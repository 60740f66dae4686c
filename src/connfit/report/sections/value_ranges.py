"""What a run's arrays say that limits how it can be read: parameters at bounds, values outside what training showed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from connfit._io import optional
from connfit.evaluation.forecasts import PartForecast
from connfit.evaluation.held_out import HELD_OUT
from connfit.recordings.frame_blocks import Stored, frame_blocks
from connfit.report.run_files import RunFiles

AT_BOUND = 1e-3
"""A time constant within this fraction of a bound is at it (float32 keeps seven digits of its logarithm)."""


@dataclass(frozen=True)
class ReportNumber:
    """A number that the report itself computes.

    Parameters
    ----------
    value
        None where it is not defined; `reason` says why.
    what
        What it is.
    files
        What it is computed from.
    """

    value: float | int | None = None
    what: str = ""
    files: tuple[str, ...] = ()
    reason: str | None = optional()


@dataclass(frozen=True)
class OverRecordings(ReportNumber):
    """A mean over so many recordings."""

    recordings: int | None = optional()


@dataclass(frozen=True)
class AtBounds(ReportNumber):
    """Share of the neurons whose time constant is at a bound: their numbers, and the bounds in seconds."""

    neurons: int = 0
    at_low: int = 0
    at_high: int = 0
    low_s: float = 0.0
    high_s: float = 0.0


@dataclass(frozen=True)
class PartShares(ReportNumber):
    """The largest of shares of values; `recordings`: by recording and part."""

    recordings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportNumbers:
    """Numbers that the report itself computes from a run's arrays; those that it cannot compute are None.

    Parameters
    ----------
    model_fc_corr_train_vs_test
        How alike the model's own FCs of the training and of the test part are.
    drive_entries, drive_entries_elsewhere, drive_entries_at_zero
        Of a dense drive: entries, those to a neuron that the unit does not belong to, and those that are 0.
    time_constants_at_bounds
        Fitted time constants at their bounds.
    values_outside_training, values_below_reach
        Values outside the range of training, and below what any prediction reaches.
    """

    model_fc_corr_train_vs_test: OverRecordings = field(default_factory=OverRecordings)
    drive_entries: ReportNumber | None = optional()
    drive_entries_elsewhere: ReportNumber | None = optional()
    drive_entries_at_zero: ReportNumber | None = optional()
    time_constants_at_bounds: AtBounds | None = optional()
    values_outside_training: PartShares | None = optional()
    values_below_reach: PartShares | None = optional()


def time_constants_at_bounds(run: RunFiles) -> AtBounds | None:
    """Return the share of the neurons whose fitted time constant is at a bound; None where bounds are not known."""
    taus, bounds = run.parameters.get("time_constants"), _bounds_s(run)
    if taus is None or bounds is None or not len(taus):
        return None
    low, high = bounds
    below, above = taus <= low * (1 + AT_BOUND), taus >= high * (1 - AT_BOUND)
    return AtBounds(
        value=float((below | above).mean()),
        what="share of the neurons whose time constant is at a bound",
        files=("parameters.npz", "config.json", "metrics.json"),
        neurons=len(taus),
        at_low=int(below.sum()),
        at_high=int(above.sum()),
        low_s=low,
        high_s=high,
    )


def _bounds_s(run: RunFiles) -> tuple[float, float] | None:
    """Bounds of time constants in seconds."""
    frames = (run.config.get("model") or {}).get("time_constant_bounds_frames")
    rate = next((scores.frame_rate for scores in run.evaluation.recordings.values()), None)
    return None if frames is None or rate is None else (frames[0] / rate, frames[1] / rate)


def values_outside_training(run: RunFiles) -> PartShares | None:
    """Return, by recording and part, the share of observed values outside the range of their unit's training values."""
    if run.forecasts is None:
        return None
    shares: dict[str, dict[str, float]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for name, recording in run.forecasts.recordings.items():
        low, high = _range(recording.parts["train"])
        for unit, a, b in zip(recording.units, low, high, strict=True):
            before = ranges.get(unit, (np.inf, -np.inf))
            ranges[unit] = min(before[0], a), max(before[1], b)
        shares[name] = {
            part: share
            for part in ("validation", "test")
            if part in recording.parts and (share := _share(recording.parts[part], low, high)) is not None
        }
    for name, recording in run.forecasts.held_out.items():
        ends = np.array([ranges.get(unit, (np.inf, -np.inf)) for unit in recording.units])
        share = _share(recording.parts[HELD_OUT], ends[:, 0], ends[:, 1])
        if share is not None:
            shares[name] = {HELD_OUT: share}
    what = "largest share, over recordings and parts, of values outside the range of their unit's training values"
    return _largest_of(shares, what)


def values_below_reach(run: RunFiles) -> PartShares | None:
    """Return the share of values below 0 if no prediction of the model is; None where predictions go there too."""
    if run.forecasts is None:
        return None
    parts = [
        (name, part, recording.parts[part])
        for name, recording in (*run.forecasts.recordings.items(), *run.forecasts.held_out.items())
        for part in recording.parts
    ]
    if any(_goes_below(of.one_step, 0.0) for _, _, of in parts):
        return None
    shares: dict[str, dict[str, float]] = {}
    for name, part, of in parts:
        if share := _share(of, 0.0, np.inf):
            shares.setdefault(name, {})[part] = share
    return _largest_of(shares, "largest share, over recordings and parts, of values below 0, where no prediction goes")


def _largest_of(shares: Mapping[str, Mapping[str, float]], what: str) -> PartShares | None:
    every = [share for parts in shares.values() for share in parts.values()]
    return PartShares(max(every), what, ("forecasts.npz",), recordings=shares) if every else None


def _blocks(part: PartForecast) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Values and mask in blocks of frames."""
    for block in frame_blocks(0, part.values.shape[0], part.values.shape[1]):
        yield np.asarray(part.values[block]), np.asarray(part.mask[block])


def _range(part: PartForecast) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"]]:
    """Lowest and highest observed value of each unit; an empty range for a unit that was never seen."""
    low, high = np.full(part.values.shape[1], np.inf), np.full(part.values.shape[1], -np.inf)
    for values, mask in _blocks(part):
        low = np.minimum(low, np.where(mask, values, np.inf).min(axis=0, initial=np.inf))
        high = np.maximum(high, np.where(mask, values, -np.inf).max(axis=0, initial=-np.inf))
    return low, high


def _goes_below(prediction: Stored, value: float) -> bool:
    return any((prediction[block] < value).any() for block in frame_blocks(0, prediction.shape[0], prediction.shape[1]))


def _share(part: PartForecast, low: np.ndarray | float, high: np.ndarray | float) -> float | None:
    """Share of the observed values of units with a range that lie outside it; None if there are none."""
    outside = known = 0
    for values, mask in _blocks(part):
        counted = mask & (np.asarray(low) <= high)
        known += int(counted.sum())
        outside += int((((values < low) | (values > high)) & counted).sum())
    return outside / known if known else None
