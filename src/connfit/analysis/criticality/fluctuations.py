"""Long-range temporal correlations by detrended fluctuation analysis (Peng et al. 1994)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from connfit.analysis.criticality.surrogates import fractional_noise
from connfit.analysis.percentiles import interval_of
from connfit.analysis.result import Result
from connfit.errors import ConfigError, DataError, first_ten

BLOCK_ENTRIES = 2**22
"""Entries that are worked on at a time, in double precision."""


@dataclass(frozen=True)
class Fluctuations(Result):
    """Growth of fluctuations with the length of windows.

    Parameters
    ----------
    exponent
        Slope of ln F over ln window: 0.5 without memory, between 0.5 and 1 with lasting correlations, 1.5 for a
        random walk.
    interval
        Middle 95 %, shifted to this exponent, of the estimates for fractional noise that has it: same length, same
        windows. The interval of the regression would be far too narrow, for values of F depend on each other. None
        without repeats.
    windows
        Window lengths in frames.
    fluctuation
        F of each window: root mean square distance of the summed signal from its trend, in the signal's units.
    r_squared
        Share of the variance of ln F that the line explains.
    local
        Slopes over the lower and the upper half of the windows: where they differ, there is no single exponent.
    frames
        Length of the signal, or of all signals together.
    """

    exponent: float | None = None
    interval: tuple[float | None, float | None] | None = None
    windows: tuple[int, ...] = ()
    fluctuation: tuple[float | None, ...] = ()
    r_squared: float | None = None
    local: tuple[float | None, float | None] = (None, None)
    frames: int = 0


def default_windows(frames: int, order: int = 1, count: int = 16) -> Int[np.ndarray, "W"]:
    """Window lengths at equal steps of their logarithm, from 10 (and 4 per parameter of a trend) to a quarter."""
    low, high = max(10, 4 * (order + 1)), frames // 4
    if high < 2 * low:
        raise DataError(
            f"{frames} frames are too few for fluctuations over windows from {low} frames to a quarter of them",
            fix=f"{8 * low} frames or more are needed",
        )
    return np.unique(np.round(np.geomspace(low, high, count)).astype(np.int64))


def fluctuations(
    values: Shaped[np.ndarray, "T"] | Sequence[Shaped[np.ndarray, "t"]],
    *,
    windows: Int[np.ndarray, "W"] | None = None,
    order: int = 1,
    repeats: int = 200,
    seed: int = 0,
) -> Fluctuations:
    """Detrended fluctuation analysis of one signal, or of several that share one exponent.

    Parameters
    ----------
    values
        Signal over time, without missing values; or several (of several animals, say): their mean squares are
        averaged by their lengths, and no window holds two of them.
    windows
        Window lengths in frames; None for `default_windows`, of the shortest signal.
    order
        Order of the polynomial that is taken off in every window.
    repeats, seed
        Of the fractional noise that the interval is made of.

    Raises
    ------
    DataError
        If frames are too few or missing, or the signal does not vary.

    References
    ----------
    Peng, Buldyrev, Havlin, Simons, Stanley & Goldberger (1994) Phys. Rev. E 49:1685, doi 10.1103/PhysRevE.49.1685;
    Hardstone et al. (2012) Front. Physiol. 3:450, doi 10.3389/fphys.2012.00450.
    """
    signals = [np.asarray(one, np.float64) for one in ([values] if isinstance(values, np.ndarray) else values)]
    if not signals or any(one.ndim != 1 for one in signals):
        raise DataError("values are not signals over time", fix="Pass one signal, or use unit_fluctuations")
    if repeats < 0:
        raise ConfigError(f"repeats is {repeats}, but must be 0 or more")
    windows = _checked(min(len(one) for one in signals), windows, order)
    for x in signals:
        if not np.isfinite(x).all():
            raise DataError(f"{int((~np.isfinite(x)).sum())} frames are missing", fix="Interpolate or cut them")
        if np.ptp(x) <= 1e-12 * np.abs(x).max():
            raise DataError("the signal does not vary")
    lengths = np.array([len(one) for one in signals], np.float64)
    squares = np.stack([_fluctuation(one[None], windows, order)[:, 0] ** 2 for one in signals])
    f = np.sqrt(lengths @ squares / lengths.sum())
    u, v = np.log(windows), np.log(f)
    exponent = float(_slope(u, v[:, None])[0])
    half = (len(windows) + 1) // 2
    known = min(max(exponent, 0.02), 1.98)
    draws, rng = [], np.random.default_rng(seed)
    step = max(1, int(BLOCK_ENTRIES // (4 * lengths.max())))
    for start in range(0, repeats, step):
        size = min(step, repeats - start)
        total = sum(
            len(one) * _fluctuation(fractional_noise(len(one), known, rng, size).T, windows, order) ** 2
            for one in signals
        )
        draws.append(_slope(u, np.log(np.sqrt(total / lengths.sum()))))
    low, high = interval_of(np.concatenate(draws)) if draws else (0.0, 0.0)
    return Fluctuations(
        exponent=exponent,
        # Where noise of a known exponent is estimated too low, so was this signal's.
        interval=(exponent + known - high, exponent + known - low) if draws else None,
        windows=tuple(windows),
        fluctuation=tuple(f),
        r_squared=float(np.corrcoef(u, v)[0, 1] ** 2),
        local=(float(_slope(u[:half], v[:half, None])[0]), float(_slope(u[-half:], v[-half:, None])[0])),
        frames=int(lengths.sum()),
    )


def unit_fluctuations(
    values: Shaped[np.ndarray, "T N"], *, windows: Int[np.ndarray, "W"] | None = None, order: int = 1
) -> Float[np.ndarray, "N"]:
    """Exponents of every unit of a recording; NaN for units that do not vary.

    Parameters
    ----------
    values
        [time, unit], without missing values; may be memory-mapped.
    windows, order
        As in `fluctuations`, which also gives an interval and says whether there is an exponent at all.
    """
    if values.ndim != 2:
        raise DataError(f"the recording has {values.ndim} axes", fix="Pass an array [time, unit]")
    frames, units = values.shape
    windows = _checked(frames, windows, order)
    u, out = np.log(windows), np.full(units, np.nan)
    step = max(1, BLOCK_ENTRIES // frames)
    for start in range(0, units, step):
        x = np.ascontiguousarray(values[:, start : start + step].T, np.float64)
        bad = ~np.isfinite(x).all(axis=1)
        if bad.any():
            raise DataError(f"units {first_ten(start + np.flatnonzero(bad))} have missing values")
        varies = np.ptp(x, axis=1) > 1e-12 * np.abs(x).max(axis=1)
        if varies.any():
            out[start + np.flatnonzero(varies)] = _slope(u, np.log(_fluctuation(x[varies], windows, order)))
    return out


def _checked(frames: int, windows: np.ndarray | None, order: int) -> np.ndarray:
    if order < 0:
        raise ConfigError(f"order is {order}, but must be 0 or more")
    if windows is None:
        return default_windows(frames, order)
    windows = np.unique(np.asarray(windows, np.int64))
    if len(windows) < 3 or windows[0] < order + 3 or windows[-1] > frames:
        raise ConfigError(f"windows must be 3 or more lengths from {order + 3} to the {frames} frames")
    return windows


def _slope(x: np.ndarray, y: Float[np.ndarray, "W N"]) -> Float[np.ndarray, "N"]:
    dx = x - x.mean()
    return dx @ y / (dx @ dx)


def _fluctuation(x: Float[np.ndarray, "N T"], windows: np.ndarray, order: int) -> Float[np.ndarray, "W N"]:
    """Root mean square distance of summed signals from polynomials, over windows counted from both ends."""
    summed = np.cumsum(x - x.mean(axis=1, keepdims=True), axis=1)
    units, frames = summed.shape
    squares = np.zeros((units, frames + 1))
    np.cumsum(summed * summed, axis=1, out=squares[:, 1:])
    out = np.empty((len(windows), units))
    for k, window in enumerate(windows):
        # An orthonormal basis of polynomials: what it takes off is known without subtracting it.
        basis = np.linalg.qr(np.vander(np.linspace(-1, 1, window), order + 1))[0]
        number = frames // window
        starts = {0, frames - number * window}
        total = np.zeros(units)
        for start in starts:
            stop = start + number * window
            trend = summed[:, start:stop].reshape(units, number, window) @ basis
            total += squares[:, stop] - squares[:, start] - (trend**2).sum(axis=(1, 2))
        out[k] = np.sqrt(np.maximum(total, 1e-300) / (len(starts) * number * window))
    return out
