"""Rank correlations of millions of pairs of numbers, overall and within groups, in a few sorts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from connfit.analysis.result import Result
from connfit.errors import ConfigError

ROWS = 50
"""Groups that are listed one by one."""

_BLOCK = 2**20
"""Runs of ties, or pairs, that are worked on at a time, so that few arrays are as long as all pairs."""


@dataclass(frozen=True)
class GroupCorrelation(Result):
    """Rank correlation within one group of pairs; None where one of the two is constant."""

    name: str = ""
    count: int = 0
    correlation: float | None = None


@dataclass(frozen=True)
class GroupCorrelations(Result):
    """Spearman's rank correlation within groups.

    Parameters
    ----------
    grouped_by
        What the groups are.
    groups, defined
        Groups that are large enough, and those of them that have a correlation.
    median, quartiles
        Of the correlations.
    above_zero
        Groups with a positive correlation.
    small_groups, small_pairs
        Groups too small to count, and the pairs in them.
    unnamed_pairs
        Pairs that belong to no group.
    largest
        Groups one by one, largest first.
    not_listed
        Further groups.
    """

    grouped_by: str = ""
    groups: int = 0
    defined: int = 0
    median: float | None = None
    quartiles: tuple[float | None, float | None] = (None, None)
    above_zero: int = 0
    small_groups: int = 0
    small_pairs: int = 0
    unnamed_pairs: int = 0
    largest: tuple[GroupCorrelation, ...] = ()
    not_listed: int = 0


class RankCorrelation:
    """Spearman's correlation of two arrays, which are sorted once for any number of groupings.

    Ties share their mean rank (Kendall & Gibbons 1990, Rank Correlation Methods, chapter 3).

    Parameters
    ----------
    x, y
        [M] numbers without NaN.

    Raises
    ------
    ConfigError
        If lengths differ or numbers are not finite.

    Examples
    --------
    >>> both = RankCorrelation(np.array([1.0, 2.0, 3.0, 9.0]), np.array([1, 2, 3, 0]))
    >>> round(both.overall(), 6)
    -0.2
    """

    def __init__(self, x: Float[np.ndarray, "M"], y: np.ndarray) -> None:
        x, y = np.asarray(x), np.asarray(y)
        if x.shape != y.shape or x.ndim != 1:
            raise ConfigError(f"two arrays to be correlated have shapes {x.shape} and {y.shape}")
        for values in (x, y):
            if not np.isfinite(values).all():
                raise ConfigError(f"entry {int(np.flatnonzero(~np.isfinite(values))[0])} is not finite")
        self._values = x, y
        self._orders = tuple(_order(values) for values in (x, y))

    def overall(self) -> float:
        """Correlate all pairs; NaN if one of the arrays is constant or there are fewer than two pairs."""
        if len(self._values[0]) < 2:
            return float("nan")
        everything = np.zeros(len(self._values[0]), np.uint16)
        return float(self._within(everything, np.array([len(everything)]))[0])

    def by_group(
        self, codes: Int[np.ndarray, "M"], names: Sequence[str], *, grouped_by: str, minimum: int = 30, rows: int = ROWS
    ) -> GroupCorrelations:
        """Correlate within each group.

        Parameters
        ----------
        codes
            [M] position in `names` of each pair's group; -1 for pairs of no group.
        names
            Names of the groups.
        grouped_by
            What the groups are.
        minimum
            Smaller groups are counted but not listed.
        rows
            Groups that are listed, the largest.
        """
        codes = np.asarray(codes)
        if codes.shape != self._values[0].shape:
            raise ConfigError(f"groups of shape {codes.shape} for {len(self._values[0])} pairs")
        # One more group for what has no name: nothing then needs to be cut out of the sorted arrays.
        kind = np.uint16 if len(names) < np.iinfo(np.uint16).max else np.uint32
        unnamed = len(names)
        labelled = np.where(codes < 0, unnamed, codes).astype(kind)
        sizes = np.bincount(labelled, minlength=unnamed + 1)
        correlations = self._within(labelled, sizes)[:unnamed]
        counts = sizes[:unnamed]
        listed = np.flatnonzero(counts >= max(minimum, 2))
        listed = listed[np.argsort(-counts[listed], kind="stable")]
        small = (counts > 0) & (counts < max(minimum, 2))
        found = correlations[listed]
        defined = found[np.isfinite(found)]
        low, middle, high = np.percentile(defined, [25, 50, 75]) if len(defined) else (np.nan,) * 3
        return GroupCorrelations(
            grouped_by=grouped_by,
            groups=len(listed),
            defined=len(defined),
            median=middle,
            quartiles=(low, high),
            above_zero=int((defined > 0).sum()),
            small_groups=int(small.sum()),
            small_pairs=int(counts[small].sum()),
            unnamed_pairs=int(sizes[unnamed]),
            largest=tuple(
                GroupCorrelation(names[int(k)], int(counts[k]), float(correlations[k])) for k in listed[:rows]
            ),
            not_listed=max(0, len(listed) - rows),
        )

    def _within(self, codes: np.ndarray, sizes: np.ndarray) -> Float[np.ndarray, "G"]:
        (x, y), (order_x, order_y) = self._values, self._orders
        a = _centred_ranks(x, order_x, codes, sizes)
        b = _centred_ranks(y, order_y, codes, sizes)
        sums = [_sum_of_products(codes, left, right, len(sizes)) for left, right in ((a, b), (a, a), (b, b))]
        with np.errstate(divide="ignore", invalid="ignore"):
            return sums[0] / np.sqrt(sums[1] * sums[2])


def _order(values: np.ndarray) -> np.ndarray:
    """Positions in ascending order of the values, by radix sorts of 16 bits where the values allow it."""
    kind = np.int32 if len(values) < np.iinfo(np.int32).max else np.int64
    if values.dtype.kind in "iu" and values.size and values.min() >= 0 and values.max() < 2**16:
        return np.argsort(values.astype(np.uint16), kind="stable").astype(kind)
    if values.dtype == np.float32:
        # As unsigned integers, floats ascend once the sign bit is flipped, and all other bits of negative ones.
        bits = np.ascontiguousarray(values).view(np.uint32)
        bits = np.where(bits >> 31, ~bits, bits | np.uint32(2**31))
        order = np.argsort((bits & np.uint32(0xFFFF)).astype(np.uint16), kind="stable").astype(kind)
        return order[np.argsort((bits >> 16).astype(np.uint16)[order], kind="stable")]
    return np.argsort(values, kind="stable").astype(kind)


def _centred_ranks(
    values: np.ndarray, order: np.ndarray, codes: np.ndarray, sizes: np.ndarray
) -> Float[np.ndarray, "M"]:
    """Mean rank of each entry within its group, less the mean of the group."""
    if len(sizes) > 1:
        order = order[np.argsort(codes[order], kind="stable")]
    ordered, group = values[order], codes[order]
    fresh = np.ones(len(values), bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]) | (group[1:] != group[:-1])
    del ordered
    first = np.append(np.flatnonzero(fresh), len(values))
    del fresh
    centre = np.cumsum(sizes) - sizes + (sizes - 1) / 2
    ranks = np.empty(len(values))
    for begin in range(0, len(first) - 1, _BLOCK):
        starts = first[begin : begin + _BLOCK + 1]
        lengths = np.diff(starts)
        middle = starts[:-1] + (lengths - 1) / 2 - centre[group[starts[:-1]]]
        ranks[order[starts[0] : starts[-1]]] = np.repeat(middle, lengths)
    return ranks


def _sum_of_products(codes: np.ndarray, a: np.ndarray, b: np.ndarray, groups: int) -> Float[np.ndarray, "G"]:
    """Σ a b of each group."""
    if groups == 1:
        return np.array([a @ b])
    total = np.zeros(groups)
    for begin in range(0, len(a), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        total += np.bincount(codes[block], a[block] * b[block], groups)
    return total
