"""Long-range temporal correlations by detrended fluctuation analysis (Peng et al. 1994)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from connfit.analysis.criticality.surrogates import fractional_noise
from connfit.analysis.percentiles import interval_of
from connfit.analysis.result import Result
from connfit.errors import ConfigError, DataError

BLOCK_ENTRIES = 2**22
"""Entries that are worked on at a time, in double precision."""

SHORTEST, COUNT = 10, 16
"""Shortest window in frames, and number of windows."""


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


def _windows(frames: int) -> Int[np.ndarray, "W"]:
    """Window lengths at equal steps of their logarithm, up to a quarter of the frames."""
    low, high = SHORTEST, frames // 4
    if high < 2 * low:
        raise DataError(
            f"{frames} frames are too few for fluctuations over windows from {low} frames to a quarter of them",
            fix=f"{8 * low} frames or more are needed",
        )
    return np.unique(np.round(np.geomspace(low, high, COUNT)).astype(np.int64))


def fluctuations(
    values: Shaped[np.ndarray, "T"] | Sequence[Shaped[np.ndarray, "t"]],
    *,
    repeats: int = 200,
    seed: int = 0,
) -> Fluctuations:
    """Analyse the detrended fluctuations of one signal, or of several that share one exponent.

    Parameters
    ----------
    values
        Signal over time, without missing values; or several (of several animals, say): their mean squares are
        averaged by their lengths, and no window holds two of them.
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
    signals = [np.asarray(x, np.float64) for x in ([values] if isinstance(values, np.ndarray) else values)]
    if not signals or any(x.ndim != 1 for x in signals):
        raise DataError("values are not signals over time", fix="Pass one signal, or a list of them")
    if repeats < 0:
        raise ConfigError(f"repeats is {repeats}, but must be 0 or more")
    windows = _windows(min(len(x) for x in signals))
    for x in signals:
        if not np.isfinite(x).all():
            raise DataError(f"{int((~np.isfinite(x)).sum())} frames are missing", fix="Interpolate or cut them")
        if np.ptp(x) <= 1e-12 * np.abs(x).max():
            raise DataError("the signal does not vary")
    lengths = np.array([len(x) for x in signals], np.float64)
    squares = np.stack([_fluctuation(x[None], windows)[:, 0] ** 2 for x in signals])
    f = np.sqrt(lengths @ squares / lengths.sum())
    u, v = np.log(windows), np.log(f)
    exponent = float(_slope(u, v[:, None])[0])
    half = (len(windows) + 1) // 2
    known = min(max(exponent, 0.02), 1.98)
    draws, rng = [], np.random.default_rng(seed)
    step = max(1, int(BLOCK_ENTRIES // (4 * lengths.max())))
    for start in range(0, repeats, step):
        size = min(step, repeats - start)
        total = sum(len(x) * _fluctuation(fractional_noise(len(x), known, rng, size).T, windows) ** 2 for x in signals)
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


def _slope(x: np.ndarray, y: Float[np.ndarray, "W N"]) -> Float[np.ndarray, "N"]:
    dx = x - x.mean()
    return dx @ y / (dx @ dx)


def _fluctuation(x: Float[np.ndarray, "N T"], windows: np.ndarray) -> Float[np.ndarray, "W N"]:
    """Root mean square distance of summed signals from straight lines, over windows counted from both ends."""
    summed = np.cumsum(x - x.mean(axis=1, keepdims=True), axis=1)
    units, frames = summed.shape
    squares = np.zeros((units, frames + 1))
    np.cumsum(summed * summed, axis=1, out=squares[:, 1:])
    out = np.empty((len(windows), units))
    for k, window in enumerate(windows):
        # An orthonormal basis of lines: what it takes off is known without subtracting it.
        basis = np.linalg.qr(np.vander(np.linspace(-1, 1, window), 2))[0]
        number = frames // window
        starts = {0, frames - number * window}
        total = np.zeros(units)
        for start in starts:
            stop = start + number * window
            trend = summed[:, start:stop].reshape(units, number, window) @ basis
            total += squares[:, stop] - squares[:, start] - (trend**2).sum(axis=(1, 2))
        out[k] = np.sqrt(np.maximum(total, 1e-300) / (len(starts) * number * window))
    return out
