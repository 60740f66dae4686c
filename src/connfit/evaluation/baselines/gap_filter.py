"""Past frames of a vector autoregression as a forecaster knows them: what is missing, given what was observed so far.

The state of the companion form is the last L frames. Observed entries are known without noise, so that only the missing
ones of the last L frames have a covariance, and the filter's matrices are as large as these are many: Kalman (1960) J.
Basic Eng. 82:35 on that part of the state; Lütkepohl (2005), chapter 18.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float, Int

from connfit.evaluation.baselines.gap_moments import Process


class GapFilter:
    """The filter; `past` and what follows from it hold before the first frame too.

    Parameters
    ----------
    process
        Of L lags.
    correlations
        [L, P] autocorrelation of each unit at lags 0 ... L - 1, for frames before the first one.
    """

    def __init__(self, process: Process, correlations: Float[np.ndarray, "L P"]) -> None:
        self._process = process
        self._lags, self._units = process.lags, process.units
        self._correlations = correlations
        self._missing: Int[np.ndarray, "m"] = np.arange(self._lags * self._units)
        self._covariance: np.ndarray | None = None
        self.past: Float[np.ndarray, "LP"] = np.zeros(self._lags * self._units)

    @property
    def certain(self) -> bool:
        """True where all of the last L frames were observed."""
        return not len(self._missing)

    def shift(self, frame: Float[np.ndarray, "P"]) -> None:
        """Go on by a frame that was observed whole, after frames without gaps."""
        self.past = np.concatenate([frame, self.past[: -self._units]])

    def known(self, past: Float[np.ndarray, "LP"]) -> None:
        """Start again after L frames that were observed whole."""
        self.past, self._missing, self._covariance = past, np.zeros(0, int), np.zeros((0, 0))

    def gains(self, seen: Bool[np.ndarray, "P"]) -> tuple[Int[np.ndarray, "m"], Float[np.ndarray, "m o"]]:
        """Go on by a frame of which `seen` was observed, leaving the means as they are predicted.

        Returns
        -------
        entries
            Missing entries of the new past, as indices into it.
        gain
            What the errors of the observed entries of the new frame add to them.
        """
        units, process = self._units, self._process
        if self._covariance is None:
            lag, unit = np.divmod(self._missing, units)
            apart = np.abs(lag[:, None] - lag[None, :])
            same = unit[:, None] == unit[None, :]
            self._covariance = np.where(same, self._correlations[apart, unit[:, None]], 0.0)
        a = process.coefficients[self._missing]
        through = self._covariance @ a
        spread = process.covariance + a.T @ through
        # The oldest frame is not needed any more; what is kept moves one lag back.
        kept = self._missing < (self._lags - 1) * units
        old, through = self._missing[kept] + units, through[kept]
        covariance = self._covariance[np.ix_(kept, kept)]
        new = np.flatnonzero(~seen)
        prior = np.block([[spread[np.ix_(new, new)], through[:, new].T], [through[:, new], covariance]])
        cross = np.concatenate([spread[np.ix_(new, np.flatnonzero(seen))], through[:, seen]])
        self._missing = np.concatenate([new, old])
        if not len(self._missing) or not seen.any():
            self._covariance = prior
            return self._missing, np.zeros((len(self._missing), int(seen.sum())))
        gain = scipy.linalg.cho_solve(
            scipy.linalg.cho_factor(spread[np.ix_(seen, seen)], lower=True, check_finite=False),
            cross.T,
            check_finite=False,
        ).T
        posterior = prior - gain @ cross.T
        self._covariance = (posterior + posterior.T) / 2
        return self._missing, gain

    def advance(self, frame: Float[np.ndarray, "P"], seen: Bool[np.ndarray, "P"]) -> None:
        """Go on by a recorded frame."""
        predicted = self.past @ self._process.coefficients + self._process.intercept
        self.past = np.concatenate([np.where(seen, frame, predicted), self.past[: -self._units]])
        entries, gain = self.gains(seen)
        self.past[entries] += gain @ (frame[seen] - predicted[seen])


def filtered_pasts(
    process: Process,
    correlations: Float[np.ndarray, "L P"],
    z: Float[np.ndarray, "t P"],
    seen: Bool[np.ndarray, "t P"],
    *,
    from_start: bool = True,
) -> tuple[Float[np.ndarray, "t1 LP"], GapFilter]:
    """The last L frames before each frame and after the last one, newest first, as they are known; and the filter.

    Row t holds what is known of frames t - 1 ... t - L from frames before t. Frames before the first are not observed;
    where the first L frames were observed whole, rows 0 ... L - 1 can be left out (not `from_start`): they are NaN.
    """
    lags, units = process.lags, process.units
    z = np.where(seen, z, 0.0)
    whole = np.asarray(seen.all(axis=1))
    padded = np.concatenate([np.zeros((lags, units)), z])
    rows = np.concatenate([padded[lags - 1 - back : len(padded) - back] for back in range(lags)], axis=1)
    filter_ = GapFilter(process, correlations)
    first = 0
    if len(z) >= lags and whole[:lags].all() and not from_start:
        filter_.known(rows[lags])
        rows[:lags], first = np.nan, lags
    rows[0] = filter_.past if not first else np.nan
    for t in range(first, len(z)):
        if filter_.certain and whole[t]:
            filter_.shift(z[t])
        else:
            filter_.advance(z[t], seen[t])
            rows[t + 1] = filter_.past
    return rows, filter_
