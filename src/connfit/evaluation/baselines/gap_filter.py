"""Past frames of an autoregression as a forecaster knows them: what is missing, given what was observed so far.

The state of the companion form is the last L frames: Kalman (1960) J. Basic Eng. 82:35; Lütkepohl (2005), chapter 18.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float
from numpy.lib.stride_tricks import sliding_window_view

from connfit.evaluation.baselines.processes import OwnProcess, Process, WideProcess
from connfit.evaluation.baselines.unit_scaling import Stretch
from connfit.recordings.frame_blocks import frame_blocks


class PastFilter(ABC):
    """The last L frames given what was observed.

    Attributes
    ----------
    past
        Means, newest first; 0 before anything was observed.
    """

    def __init__(self, process: Process | OwnProcess | WideProcess, past: Float[np.ndarray, "L P"] | None) -> None:
        self._process = process
        self.past = np.zeros((process.lags, process.units)) if past is None else past

    @property
    @abstractmethod
    def certain(self) -> bool:
        """Whether all of the last L frames were observed."""

    @abstractmethod
    def learn(
        self, past: Float[np.ndarray, "S L P"], seen: Bool[np.ndarray, "P"], errors: Float[np.ndarray, "S P"]
    ) -> Float[np.ndarray, "S L P"]:
        """Advance by a frame of which `seen` was observed.

        Parameters
        ----------
        past
            Last L frames of several runs, of which the newest is as observed, else as predicted.
        errors
            Observed values less predictions.

        Returns
        -------
        past
            With what the errors say of entries that are still missing.
        """

    def advance(self, frame: Float[np.ndarray, "P"], seen: Bool[np.ndarray, "P"]) -> None:
        """Advance by a recorded frame."""
        if self.certain and seen.all():
            self.past = np.concatenate([frame[None], self.past[:-1]])
            return
        predicted = self._process.predict(self.past[None])[0]
        past = np.concatenate([np.where(seen, frame, predicted)[None], self.past[:-1]])
        self.past = self.learn(past[None], seen, (frame - predicted)[None])[0]


class GapFilter(PastFilter):
    """The filter of all units together.

    Observed entries are known without noise, so that only the missing ones of the last L frames have a covariance, and
    matrices are as large as these are many.

    Parameters
    ----------
    process
        Of L lags.
    correlations
        [L, P] autocovariance of each unit at lags 0 ... L - 1, for frames before the first one.
    past
        [L, P] frames that were observed whole, newest first, in the place of such frames.
    """

    def __init__(
        self,
        process: Process,
        correlations: Float[np.ndarray, "L P"],
        past: Float[np.ndarray, "L P"] | None = None,
    ) -> None:
        super().__init__(process, past)
        self._coefficients, self._innovations = process.coefficients, process.covariance
        self._missing = np.arange(correlations.size if past is None else 0)
        lag, unit = np.divmod(self._missing, process.units)
        same = unit[:, None] == unit
        self._covariance = np.where(same, correlations[np.abs(lag[:, None] - lag), unit[:, None]], 0.0)

    @property
    def certain(self) -> bool:
        """Whether all of the last L frames were observed."""
        return not len(self._missing)

    def learn(
        self, past: Float[np.ndarray, "S L P"], seen: Bool[np.ndarray, "P"], errors: Float[np.ndarray, "S P"]
    ) -> Float[np.ndarray, "S L P"]:
        """Advance by a frame."""
        units = len(seen)
        a = self._coefficients[self._missing]
        through = self._covariance @ a
        spread = self._innovations + a.T @ through
        # The oldest frame is not needed any more; what is kept moves one lag back.
        kept = self._missing < len(self._coefficients) - units
        old, through = self._missing[kept] + units, through[kept]
        covariance = self._covariance[np.ix_(kept, kept)]
        new = np.flatnonzero(~seen)
        prior = np.block([[spread[np.ix_(new, new)], through[:, new].T], [through[:, new], covariance]])
        cross = np.concatenate([spread[np.ix_(new, np.flatnonzero(seen))], through[:, seen]])
        self._missing, self._covariance = np.concatenate([new, old]), prior
        if not len(self._missing) or not seen.any():
            return past
        observed = scipy.linalg.cho_factor(spread[np.ix_(seen, seen)], lower=True, check_finite=False)
        gain = scipy.linalg.cho_solve(observed, cross.T, check_finite=False).T
        posterior = prior - gain @ cross.T
        self._covariance = (posterior + posterior.T) / 2
        flat = past.reshape(len(past), -1)
        flat[:, self._missing] += errors[:, seen] @ gain.T
        return flat.reshape(past.shape)


class OwnFilter(PastFilter):
    """The filters of single units that do not know of each other, side by side.

    Parameters
    ----------
    process
        Of L lags.
    correlations
        [L, P] autocovariance of each unit at lags 0 ... L - 1, for frames before the first one.
    past
        [L, P] frames that were observed whole, newest first, in the place of such frames.
    """

    def __init__(
        self,
        process: OwnProcess,
        correlations: Float[np.ndarray, "L P"],
        past: Float[np.ndarray, "L P"] | None = None,
    ) -> None:
        super().__init__(process, past)
        self._coefficients, self._innovations = process.coefficients.T, process.variance
        lags = np.arange(len(correlations))
        covariance = correlations[np.abs(lags[:, None] - lags)].transpose(2, 0, 1)
        self._covariance = covariance if past is None else np.zeros_like(covariance)
        self._certain = past is not None

    @property
    def certain(self) -> bool:
        """Whether all of the last L frames were observed."""
        return self._certain

    def learn(
        self, past: Float[np.ndarray, "S L P"], seen: Bool[np.ndarray, "P"], errors: Float[np.ndarray, "S P"]
    ) -> Float[np.ndarray, "S L P"]:
        """Advance by a frame."""
        a = self._coefficients
        through = (self._covariance @ a[:, :, None])[:, :, 0]
        spread = self._innovations + (a * through).sum(axis=1)
        covariance = np.empty_like(self._covariance)
        covariance[:, 1:, 1:] = self._covariance[:, :-1, :-1]
        covariance[:, 0, 1:] = covariance[:, 1:, 0] = through[:, :-1]
        covariance[:, 0, 0] = spread
        gain = covariance[:, 0] / spread[:, None] * seen[:, None]
        covariance -= gain[:, :, None] * covariance[:, None, 0]
        # Exactly known, and not only up to rounding.
        covariance[seen, 0], covariance[seen, :, 0] = 0.0, 0.0
        self._covariance, self._certain = covariance, not covariance.any()
        gain[:, 0] = 0.0
        return past + gain.T * np.where(seen, errors, 0.0)[:, None]


class PlainFilter(PastFilter):
    """That of wide recordings: what is missing is as predicted, and frames before the first are means.

    Nothing else is inferred of it: the covariances would be as large as the square of all units.
    """

    def __init__(
        self, process: WideProcess, correlations: Float[np.ndarray, "L P"], past: Float[np.ndarray, "L P"] | None = None
    ) -> None:
        super().__init__(process, past)

    @property
    def certain(self) -> bool:
        """Yes: there is nothing to learn."""
        return True

    def learn(
        self, past: Float[np.ndarray, "S L P"], seen: Bool[np.ndarray, "P"], errors: Float[np.ndarray, "S P"]
    ) -> Float[np.ndarray, "S L P"]:
        """Leave the past as it is."""
        return past


def filtered_pasts(
    process: Process | OwnProcess | WideProcess,
    correlations: Float[np.ndarray, "L P"],
    stretch: Stretch,
    *,
    from_start: bool = True,
) -> Iterator[tuple[int, Float[np.ndarray, "n1 L P"], PastFilter]]:
    """Yield blocks of the last L frames before each frame and after the last one, as they are known; and the filter.

    Row t holds what is known of frames t - 1 ... t - L from frames before t. Frames before the first are not observed;
    where the first L frames were observed whole, rows 0 ... L - 1 can be left out (not `from_start`): they are NaN.

    Yields
    ------
    first
        First frame of the block.
    rows
        Those of its frames, and of the frame after them.
    filter_
        After its last frame.
    """
    lags = process.lags
    z, seen = stretch.read(0, min(lags, len(stretch)))
    known = not from_start and len(z) == lags and bool(seen.all())
    past = z[::-1] if known else None
    if isinstance(process, WideProcess):
        filter_: PastFilter = PlainFilter(process, correlations, past)
    elif isinstance(process, OwnProcess):
        filter_ = OwnFilter(process, correlations, past)
    else:
        filter_ = GapFilter(process, correlations, past)
    for number, at in enumerate(frame_blocks(0, max(len(stretch), 1), stretch.units)):
        z, seen = stretch.read(at.start, min(at.stop, len(stretch)))
        skip = lags if known and number == 0 else 0
        rows = _rows(filter_, np.where(seen, z, 0.0)[skip:], seen[skip:])
        yield at.start, np.concatenate([np.full((skip, *rows.shape[1:]), np.nan), rows]) if skip else rows, filter_


def _rows(
    filter_: PastFilter, z: Float[np.ndarray, "n P"], seen: Bool[np.ndarray, "n P"]
) -> Float[np.ndarray, "n1 L P"]:
    """Advance by frames, and return the past before each and after the last one."""
    whole, lags = np.asarray(seen.all(axis=1)), len(filter_.past)
    ends = np.append(np.flatnonzero(~whole), len(z))
    rows, t = None, 0
    while t < len(z):
        if filter_.certain and whole[t]:
            # Nothing has to be inferred: pasts are the frames as they are.
            end = ends[np.searchsorted(ends, t)]
            frames = np.concatenate([filter_.past[::-1], z[t:end]])
            windows = sliding_window_view(frames, lags, axis=0).transpose(0, 2, 1)[:, ::-1]
            filter_.past = windows[-1].copy()
            if end - t == len(z):
                return windows
        else:
            end, windows = t + 1, filter_.past[None]
            filter_.advance(z[t], seen[t])
        rows = np.empty((len(z) + 1, *filter_.past.shape)) if rows is None else rows
        rows[t:end], t = windows[: end - t], end
    rows = np.empty((1, *filter_.past.shape)) if rows is None else rows
    rows[-1] = filter_.past
    return rows
