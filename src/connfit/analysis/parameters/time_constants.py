"""Fitted time constants: their distribution, how far they moved from their start, and what goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float

from connfit.analysis.parameters.distribution import Distribution, distribution
from connfit.analysis.parameters.groups import default_columns, named_groups
from connfit.analysis.parameters.rank_correlation import ROWS, RankCorrelation
from connfit.analysis.result import Result
from connfit.errors import ConfigError

AT_BOUND = 1e-4
"""A time constant within this fraction of a bound is at the bound: it is stored as a logarithm in single precision."""


@dataclass(frozen=True)
class GroupOfNeurons(Result):
    """Time constants of one group of neurons.

    Parameters
    ----------
    name, count
        The group, and how many neurons it has.
    quartiles_s
        Lower quartile, median and upper quartile in seconds.
    at_bounds
        Neurons at a bound.
    median_log_change
        Median of |ln(τ after / τ before)|; None without a start.
    """

    name: str = ""
    count: int = 0
    quartiles_s: tuple[float, ...] = ()
    at_bounds: int = 0
    median_log_change: float | None = None


@dataclass(frozen=True)
class GroupTimeConstants(Result):
    """Time constants of groups of neurons.

    Parameters
    ----------
    grouped_by
        Column of the neuron table.
    groups
        Groups that are large enough.
    explained_variance_of_log
        Part of the variance of ln τ that lies between these groups, as ω²: about 0, above or below, for groups that
        mean nothing. None for fewer than two groups or a constant.
    small_groups, small_neurons
        Groups too small to count, and the neurons in them.
    unnamed_neurons
        Neurons without a name in this column.
    largest
        Groups one by one, largest first.
    not_listed
        Further groups.
    """

    grouped_by: str = ""
    groups: int = 0
    explained_variance_of_log: float | None = None
    small_groups: int = 0
    small_neurons: int = 0
    unnamed_neurons: int = 0
    largest: tuple[GroupOfNeurons, ...] = ()
    not_listed: int = 0


@dataclass(frozen=True)
class TimeConstantStatistics(Result):
    """What a fit did to the time constants.

    Parameters
    ----------
    before_s, after_s
        Distributions in seconds; `before_s` is None without a start.
    step_s
        Seconds per model step.
    below_step
        Neurons whose time constant is shorter than a step: how much shorter, recordings of this rate hardly tell.
    at_low, at_high, at_bounds_fraction
        Neurons at the lower and at the upper bound, and the share of both.
    bounds_s
        The bounds in seconds.
    log_change_quantiles
        ln(τ after / τ before) at the quantiles 0.1, 0.25, 0.5, 0.75, 0.9; None without a start.
    moved_by_over_10_percent
        Part of the neurons whose time constant changed by more than 10 %; None without a start.
    rank_correlation_with_start
        Spearman's correlation of after with before; None where all started alike, and without a start.
    groups
        By columns of the neuron table.
    """

    before_s: Distribution | None = None
    after_s: Distribution = field(default_factory=Distribution)
    step_s: float = 0.0
    below_step: int = 0
    at_low: int = 0
    at_high: int = 0
    at_bounds_fraction: float = 0.0
    bounds_s: tuple[float, ...] = ()
    log_change_quantiles: tuple[float, ...] | None = None
    moved_by_over_10_percent: float | None = None
    rank_correlation_with_start: float | None = None
    groups: tuple[GroupTimeConstants, ...] = ()


def time_constant_statistics(
    after_s: Float[np.ndarray, "N"],
    *,
    step_s: float,
    bounds_s: tuple[float, float],
    before_s: Float[np.ndarray, "N"] | None = None,
    neurons: pd.DataFrame | None = None,
    columns: Sequence[str] | None = None,
    minimum: int = 10,
    rows: int = ROWS,
) -> TimeConstantStatistics:
    """Describe fitted time constants.

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
    rows
        Groups of each kind that are listed, the largest.

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
        at_bound = at_low | at_high
        groups = [_grouped(neurons, column, after, change, at_bound, minimum, rows) for column in columns]
    moved = None if change is None or not len(change) else float((np.abs(change) > np.log(1.1)).mean())
    quantiles = None if change is None or not len(change) else tuple(np.percentile(change, [10, 25, 50, 75, 90]))
    return TimeConstantStatistics(
        before_s=None if before is None else distribution(before),
        after_s=distribution(after),
        step_s=step_s,
        below_step=int((after < step_s).sum()),
        at_low=int(at_low.sum()),
        at_high=int(at_high.sum()),
        at_bounds_fraction=(int(at_low.sum()) + int(at_high.sum())) / max(1, len(after)),
        bounds_s=(float(low), float(high)),
        log_change_quantiles=quantiles,
        moved_by_over_10_percent=moved,
        rank_correlation_with_start=None if before is None else RankCorrelation(before, after).overall(),
        groups=tuple(groups),
    )


def _grouped(
    neurons: pd.DataFrame,
    column: str,
    after: np.ndarray,
    change: np.ndarray | None,
    at_bound: np.ndarray,
    minimum: int,
    rows: int,
) -> GroupTimeConstants:
    codes, names = named_groups(neurons, column)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    listed = np.flatnonzero(counts >= minimum)
    listed = listed[np.argsort(-counts[listed], kind="stable")]
    order = np.argsort(codes, kind="stable")
    first = int((codes < 0).sum()) + np.cumsum(counts) - counts
    members = [order[first[k] : first[k] + counts[k]] for k in listed]
    return GroupTimeConstants(
        grouped_by=column,
        groups=len(listed),
        explained_variance_of_log=_explained([np.log(after[group]) for group in members]),
        small_groups=int((counts < minimum).sum()),
        small_neurons=int(counts[counts < minimum].sum()),
        unnamed_neurons=int((codes < 0).sum()),
        largest=tuple(
            GroupOfNeurons(
                name=names[k],
                count=int(counts[k]),
                quartiles_s=tuple(np.percentile(after[group], [25, 50, 75])),
                at_bounds=int(at_bound[group].sum()),
                median_log_change=None if change is None else float(np.median(np.abs(change[group]))),
            )
            for k, group in zip(listed[:rows].tolist(), members, strict=False)
        ),
        not_listed=max(0, len(listed) - rows),
    )


def _explained(groups: list[np.ndarray]) -> float:
    """ω² of a one-way analysis of variance (Hays 1963, Statistics for Psychologists)."""
    if len(groups) < 2:
        return float("nan")
    everything = np.concatenate(groups)
    total = float(((everything - everything.mean()) ** 2).sum())
    within = float(sum(((group - group.mean()) ** 2).sum() for group in groups))
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
