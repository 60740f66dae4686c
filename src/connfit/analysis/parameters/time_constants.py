"""Fitted time constants: their distribution, how far they moved from their start, and what goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from connfit.analysis.parameters.distribution import Distribution, distribution
from connfit.analysis.parameters.groups import default_columns, named_groups
from connfit.analysis.parameters.rank_correlation import ROWS, RankCorrelation
from connfit.analysis.plain import finite
from connfit.analysis.record import Result
from connfit.errors import ConfigError

AT_BOUND = 1e-4
"""A time constant within this fraction of a bound is at the bound: it is stored as a logarithm in single precision."""


@dataclass(frozen=True, eq=False)
class GroupTimeConstants(Result):
    """Time constants of groups of neurons.

    Parameters
    ----------
    grouped_by
        Column of the neuron table.
    names
        [G] groups, largest first.
    counts
        [G] neurons in each.
    quartiles_s
        [G, 3] lower quartile, median and upper quartile in seconds.
    at_bounds
        [G] neurons at a bound.
    moved
        [G] median of |ln(τ after / τ before)|; NaN without a start.
    explained
        Part of the variance of ln τ that lies between the listed groups, as ω²: about 0, above or below, for groups
        that mean nothing. NaN for fewer than two groups or a constant.
    small_groups, small_neurons
        Groups too small to be listed, and the neurons in them.
    unnamed_neurons
        Neurons without a name in this column.
    """

    grouped_by: str
    names: tuple[str, ...]
    counts: Int[np.ndarray, "G"]
    quartiles_s: Float[np.ndarray, "G 3"]
    at_bounds: Int[np.ndarray, "G"]
    moved: Float[np.ndarray, "G"]
    explained: float
    small_groups: int
    small_neurons: int
    unnamed_neurons: int

    def record(self, rows: int = ROWS) -> dict[str, Any]:
        """Everything as plain values, the `rows` largest groups one by one; undefined numbers are None."""
        return {
            "grouped_by": self.grouped_by,
            "groups": len(self.names),
            "explained_variance_of_log": finite(self.explained),
            "small_groups": self.small_groups,
            "small_neurons": self.small_neurons,
            "unnamed_neurons": self.unnamed_neurons,
            "largest": [
                {
                    "name": self.names[k],
                    "count": int(self.counts[k]),
                    "quartiles_s": finite(self.quartiles_s[k]),
                    "at_bounds": int(self.at_bounds[k]),
                    "median_log_change": finite(self.moved[k]),
                }
                for k in range(min(rows, len(self.names)))
            ],
            "not_listed": max(0, len(self.names) - rows),
        }


@dataclass(frozen=True, eq=False)
class TimeConstantStatistics(Result):
    """What a fit did to the time constants.

    Parameters
    ----------
    before, after
        Distributions in seconds; `before` is None without a start.
    step_s
        Seconds per model step.
    below_step
        Neurons whose time constant is shorter than a step: how much shorter, recordings of this rate hardly tell.
    at_low, at_high
        Neurons at the lower and at the upper bound.
    bounds_s
        The bounds in seconds.
    log_change
        ln(τ after / τ before) at the quantiles 0.1, 0.25, 0.5, 0.75, 0.9; None without a start.
    moved
        Part of the neurons whose time constant changed by more than 10 %; None without a start.
    rank_correlation
        Spearman's correlation of after with before; NaN where all started alike, None without a start.
    groups
        By columns of the neuron table.
    """

    before: Distribution | None
    after: Distribution
    step_s: float
    below_step: int
    at_low: int
    at_high: int
    bounds_s: tuple[float, float]
    log_change: Float[np.ndarray, "5"] | None
    moved: float | None
    rank_correlation: float | None
    groups: tuple[GroupTimeConstants, ...]

    @property
    def at_bounds_fraction(self) -> float:
        """Part of the neurons at either bound."""
        return (self.at_low + self.at_high) / max(1, self.after.count)

    def record(self, rows: int = ROWS) -> dict[str, Any]:
        """Everything as plain values, at most `rows` groups of each kind one by one; undefined numbers are None."""
        return {
            "before_s": self.before.record() if self.before else None,
            "after_s": self.after.record(),
            "step_s": self.step_s,
            "below_step": self.below_step,
            "at_low": self.at_low,
            "at_high": self.at_high,
            "at_bounds_fraction": self.at_bounds_fraction,
            "bounds_s": list(self.bounds_s),
            "log_change_quantiles": None if self.log_change is None else finite(self.log_change),
            "moved_by_over_10_percent": finite(self.moved),
            "rank_correlation_with_start": finite(self.rank_correlation),
            "groups": [one.record(rows) for one in self.groups],
        }


def time_constant_statistics(
    after_s: Float[np.ndarray, "N"],
    *,
    step_s: float,
    bounds_s: tuple[float, float],
    before_s: Float[np.ndarray, "N"] | None = None,
    neurons: pd.DataFrame | None = None,
    columns: Sequence[str] | None = None,
    minimum: int = 10,
) -> TimeConstantStatistics:
    """Statistics of fitted time constants.

    Parameters
    ----------
    after_s, before_s
        [N] time constants after and before the fit in seconds (the model's parameters are their logarithms).
    step_s
        Seconds per model step.
    bounds_s
        The model's bounds (`bounds_s`).
    neurons
        Neuron table of the connectome, for groups.
    columns
        Its columns by which neurons are grouped; default the classes that it has, and the region.
    minimum
        Groups with fewer neurons are counted but not listed.

    Raises
    ------
    ConfigError
        If shapes differ, a time constant is not a positive number, or a column does not exist.
    """
    after = _positive("after_s", after_s)
    before = None if before_s is None else _positive("before_s", before_s)
    if before is not None and before.shape != after.shape:
        raise ConfigError(f"{len(before)} time constants before the fit, {len(after)} after it")
    low, high = bounds_s
    at_low, at_high = after <= low * (1 + AT_BOUND), after >= high * (1 - AT_BOUND)
    change = None if before is None else np.log(after / before)
    groups = []
    if neurons is not None:
        if len(neurons) != len(after):
            raise ConfigError(f"the neuron table has {len(neurons)} rows for {len(after)} time constants")
        if columns is None:
            columns = [*default_columns(neurons), *(["region"] if "region" in neurons.columns else [])]
        groups = [_grouped(neurons, column, after, change, at_low | at_high, minimum) for column in columns]
    return TimeConstantStatistics(
        before=None if before is None else distribution(before),
        after=distribution(after),
        step_s=step_s,
        below_step=int((after < step_s).sum()),
        at_low=int(at_low.sum()),
        at_high=int(at_high.sum()),
        bounds_s=(float(low), float(high)),
        log_change=None if change is None or not len(change) else np.percentile(change, [10, 25, 50, 75, 90]),
        moved=None if change is None or not len(change) else float((np.abs(change) > np.log(1.1)).mean()),
        rank_correlation=None if before is None else RankCorrelation(before, after).overall(),
        groups=tuple(groups),
    )


def _grouped(
    neurons: pd.DataFrame, column: str, after: np.ndarray, change: np.ndarray | None, at_bound: np.ndarray, minimum: int
) -> GroupTimeConstants:
    codes, names = named_groups(neurons, column)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    listed = np.flatnonzero(counts >= minimum)
    listed = listed[np.argsort(-counts[listed], kind="stable")]
    order = np.argsort(codes, kind="stable")
    first = int((codes < 0).sum()) + np.cumsum(counts) - counts
    members = [order[first[k] : first[k] + counts[k]] for k in listed]
    quartiles = [np.percentile(after[one], [25, 50, 75]) for one in members]
    moved = [np.nan if change is None else float(np.median(np.abs(change[one]))) for one in members]
    return GroupTimeConstants(
        column,
        tuple(names[int(k)] for k in listed),
        counts[listed],
        np.array(quartiles).reshape(-1, 3),
        np.array([int(at_bound[one].sum()) for one in members], np.int64),
        np.array(moved, np.float64),
        _explained([np.log(after[one]) for one in members]),
        small_groups=int((counts < minimum).sum()),
        small_neurons=int(counts[counts < minimum].sum()),
        unnamed_neurons=int((codes < 0).sum()),
    )


def _explained(groups: list[np.ndarray]) -> float:
    """ω² of a one-way analysis of variance (Hays 1963, Statistics for Psychologists)."""
    if len(groups) < 2:
        return float("nan")
    everything = np.concatenate(groups)
    total = float(((everything - everything.mean()) ** 2).sum())
    within = float(sum(((one - one.mean()) ** 2).sum() for one in groups))
    freedom = len(everything) - len(groups)
    if freedom < 1 or total <= 1e-12 * len(everything):
        return float("nan")
    error = within / freedom
    return (total - within - (len(groups) - 1) * error) / (total + error)


def _positive(name: str, values: np.ndarray) -> Float[np.ndarray, "N"]:
    values = np.asarray(values, np.float64)
    if values.ndim != 1:
        raise ConfigError(f"{name} has shape {values.shape}, but must be one number per neuron")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        raise ConfigError(
            f"{name} is {values[wrong[0]]} at neuron {wrong[0]}, but must be positive; the model's parameters are "
            "logarithms: give exp(log_time_constants)"
        )
    return values
