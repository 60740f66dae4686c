"""The circular block bootstrap: blocks of consecutive frames are drawn with replacement.

Politis & Romano 1992, in Exploring the Limits of Bootstrap, p. 263. Errors of neighbouring frames are alike, the more
so the further ahead they are predicted: an interval must keep them together. Of B blocks and of K seeds, B - 1 and
K - 1 are drawn, which makes the bootstrap variance of a mean unbiased (Rao & Wu 1988, J. Am. Stat. Assoc. 83:231). The
ends are percentiles of the resampled values, whose distances from the estimate are multiplied by t / z, quantiles of
Student's and of the normal distribution, because the spread is itself estimated from few blocks and seeds (compare
Hesterberg 2015, Am. Stat. 69:371).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from connfit._system.backend import usable_backend
from connfit.errors import ConfigError
from connfit.recordings.frame_blocks import frame_blocks

MIN_BLOCKS = 4
"""Blocks are at most a fourth of a part: of fewer, no spread can be told."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks that were drawn for every resample.

    Parameters
    ----------
    starts
        [repeats, blocks] entry at which each block starts; blocks go around the end to the start.
    length
        Entries in a block.
    entries
        Entries of the series.
    """

    starts: Int[np.ndarray, "R n"]
    length: int
    entries: int

    def weights(self, some: slice = slice(None)) -> Float[np.ndarray, "R S"]:
        """Return how often each entry is in the blocks of each resample, or of some resamples."""
        starts = self.starts[some]
        width = 2 * self.entries + 1
        rows = np.arange(len(starts))[:, None] * width
        begun, ended = (
            np.bincount((rows + at).ravel(), minlength=len(starts) * width) for at in (starts, starts + self.length)
        )
        covered = np.cumsum((begun - ended).reshape(len(starts), width), axis=1).astype(np.float64)
        return covered[:, : self.entries] + covered[:, self.entries : 2 * self.entries]

    def sums(self, series: Float[np.ndarray, "K S"]) -> Float[np.ndarray, "K R"]:
        """Return the sum of each series over the blocks of each resample."""
        repeats, count = self.starts.shape
        some = list(frame_blocks(0, repeats, count))
        return np.stack(
            [
                np.concatenate([sums[self.starts[block]].sum(axis=1) for block in some])
                for sums in block_sums(series, self.length)
            ]
        )


def draw_blocks(generator: np.random.Generator, entries: int, length: int, repeats: int) -> Blocks | None:
    """Draw blocks for every resample; None where there are not two."""
    count = entries / length
    if count < 2:
        return None
    return Blocks(generator.integers(entries, size=(repeats, max(1, round(count - 1)))), length, entries)


def block_sums(series: Float[np.ndarray, "K S"], length: int) -> Float[np.ndarray, "K S"]:
    """Return the sum over the block of `length` entries that starts at each entry, around the end to the start."""
    total = np.cumsum(np.concatenate([np.zeros((len(series), 1)), series, series[:, :length]], axis=1), axis=1)
    return total[:, length : length + series.shape[1]] - total[:, : series.shape[1]]


def draw_seeds(generator: np.random.Generator, count: int, repeats: int) -> Float[np.ndarray, "repeats K"]:
    """Draw seeds, as weights of each in each resample; all 1 for a single one."""
    if count == 1:
        return np.ones((repeats, 1))
    drawn = generator.integers(count, size=(repeats, count - 1))
    return (drawn[:, :, None] == np.arange(count)).mean(axis=1)


def stretched(
    value: float, resampled: Float[np.ndarray, "R"], level: float, freedom: float, *, most: float = np.inf
) -> tuple[float, float]:
    """Return the ends of an interval: percentiles, their distances from the value stretched by t / z.

    Parameters
    ----------
    freedom
        Degrees of freedom of the spread.
    most
        What no value is above; the stretch for few blocks does not know it.
    """
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    stretch = stats.t.ppf(1 - tail, freedom) / stats.norm.ppf(1 - tail)
    return float(value + stretch * (low - value)), min(float(value + stretch * (high - value)), most)


def block_length(series: Float[np.ndarray, "S"]) -> int:
    """Return entries per block that suit a series of length S, at least 1 and at most S / 4.

    Twice the length that minimises the mean squared error of the circular block bootstrap's variance, estimated
    from the series' autocorrelation (Politis & White 2004, Econometric Reviews 23:53; Patton, Politis & White
    2009, 28:372; as implemented in the library arch). Twice, because that optimum accepts a variance that is too
    small for one that is steadier, and an interval with Student's quantiles does better with longer blocks
    (compare Shao & Politis 2013, J. R. Stat. Soc. B 75:161).
    """
    usable_backend()  # arch imports matplotlib
    from arch.bootstrap import optimal_block_length

    longest = max(1, len(series) // MIN_BLOCKS)
    with warnings.catch_warnings():
        # A constant series, or one too short for its autocorrelation, has no optimum.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = float(optimal_block_length(np.asarray(series, np.float64))["circular"].iloc[0]) if longest > 1 else 1.0
    return int(np.clip(np.ceil(2 * found), 1, longest)) if np.isfinite(found) else 1


def suitable_length(influence: Float[np.ndarray, "S"], spacing: float, horizon: int) -> int:
    """Return entries per block that suit an influence, at least as long as the horizon.

    Two predictions from starts less than the horizon apart have steps in common.
    """
    overlap = int(np.ceil(horizon / spacing))
    return min(max(block_length(influence), overlap), max(1, len(influence) // MIN_BLOCKS))


def degrees_of_freedom(terms: Sequence[tuple[float, float]]) -> float:
    """Return those of a sum of independent variance estimates (Satterthwaite 1946, Biometrics 2:110)."""
    total = sum(variance for variance, _ in terms)
    if total == 0:
        return np.inf
    return total**2 / sum(variance**2 / freedom for variance, freedom in terms)


def check_options(repeats: int, level: float, block_frames: int | None) -> None:
    """Raise an error for invalid options of a bootstrap."""
    if repeats < 100:
        raise ConfigError(f"repeats = {repeats} must be 100 or more resamples")
    if not 0 < level < 1:
        raise ConfigError(f"level = {level} must lie between 0 and 1")
    if block_frames is not None and block_frames < 1:
        raise ConfigError(f"block_frames = {block_frames} must be 1 or more")
