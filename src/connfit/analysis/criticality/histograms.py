"""Sizes, durations and shapes of avalanches as figures draw them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Shaped

from connfit.analysis.criticality.avalanches import Avalanches
from connfit.analysis.criticality.crackling import CollapsedShapes


@dataclass(frozen=True)
class Histogram:
    """Distinct values, and how often each occurs."""

    value: tuple[int, ...] = ()
    number: tuple[int, ...] = ()


@dataclass(frozen=True)
class MeanSizes:
    """Mean size of the avalanches of each duration, in bins."""

    duration: tuple[int, ...] = ()
    size: tuple[float, ...] = ()


@dataclass(frozen=True)
class Histograms:
    """Sizes, durations, mean sizes, and mean courses by duration, rescaled to fall together (None: no collapse)."""

    size: Histogram = field(default_factory=Histogram)
    duration: Histogram = field(default_factory=Histogram)
    mean_size: MeanSizes = field(default_factory=MeanSizes)
    shapes: tuple[tuple[float, ...], ...] | None = None


def histograms_of(found: Avalanches, shapes: CollapsedShapes | None) -> Histograms:
    """Count the sizes and durations of avalanches."""
    duration, index = np.unique(found.durations, return_inverse=True)
    mean = np.bincount(index, weights=found.sizes, minlength=len(duration)) / np.maximum(np.bincount(index), 1)
    return Histograms(
        _histogram(found.sizes),
        _histogram(found.durations),
        MeanSizes(tuple(duration.tolist()), tuple(mean.tolist())),
        None if shapes is None else tuple(map(tuple, shapes.shapes.tolist())),
    )


def _histogram(values: Shaped[np.ndarray, "K"]) -> Histogram:
    value, number = np.unique(values, return_counts=True)
    return Histogram(tuple(value.tolist()), tuple(number.tolist()))
