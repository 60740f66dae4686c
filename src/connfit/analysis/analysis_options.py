"""What `connfit analyze` may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connfit._io import optional
from connfit.analysis.criticality.threshold import Threshold
from connfit.errors import ConfigError

THRESHOLDS = (
    *(Threshold("mad", level) for level in (2.0, 3.0, 4.0)),
    *(Threshold("zscore", level) for level in (1.0, 2.0, 3.0)),
    *(Threshold("percentile", level) for level in (85.0, 90.0, 95.0)),
    *(Threshold("zscore", level, over="population") for level in (0.0, 0.5, 1.0)),
)
"""Rules by which values become events: per unit, and on the mean over units."""

REFERENCE = Threshold("zscore", 2.0)
"""The threshold at which goodness of fit is tested and shapes are drawn; chosen in advance, not by its result."""

BINS = (1, 2, 4)
"""Bin widths in frames."""

ENTRIES = 300_000_000
"""Values of neurons (frames times neurons) that a simulated run keeps, on disk: all of the fly's in 2,000 frames."""


@dataclass(frozen=True)
class AnalysisOptions:
    """Options of an analysis.

    Parameters
    ----------
    eigenvalues
        Leading eigenvalues of each matrix; None for 64, or 12 of brains above 5,000 neurons. ARPACK needs memory for
        about 5 vectors each.
    neurons
        Neurons whose simulated activity is kept; None for as many as `ENTRIES` allows, drawn at random if not all.
    repeats
        Bootstrap samples of the reference analyses; intervals of the tables use half as many.
    lyapunov_steps
        Model steps along which a tangent is followed.
    power_draws
        Simulated recordings of critical, and as many of subcritical, branching, to say how likely criticality would
        have been seen; 0 for none.
    seed
        Of noise, surrogates, bootstraps and samples.
    analyses
        Own options of analyses, by the name of the analysis and of the option.
    """

    eigenvalues: int | None = None
    neurons: int | None = None
    repeats: int = 100
    lyapunov_steps: int = 400
    power_draws: int = 10
    seed: int = 0
    analyses: Mapping[str, Mapping[str, Any]] = optional(dict)

    def __post_init__(self) -> None:
        for name, least in (("repeats", 20), ("lyapunov_steps", 50), ("power_draws", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be {least} or more")
        for name in ("eigenvalues", "neurons"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be 1 or more")

    def eigenvalues_of(self, neurons: int) -> int:
        """Return how many eigenvalues of a matrix with this many rows are computed."""
        return min(self.eigenvalues or (64 if neurons <= 5000 else 12), neurons)
