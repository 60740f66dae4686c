"""What can be explained where the same stimulus was repeated: the variance that trials share.

A unit's response in trial n is r_n(t) = s(t) + noise, with noise that differs between trials. The power of s, unbiased,
is (N P(mean over trials) - mean over trials of P(r_n)) / (N - 1), where P is the variance over time (Sahani & Linden
2003, NIPS 15). A prediction that is the same in all trials correlates with the mean response at most at CC_max;
correlation over CC_max is CC_norm (Schoppe, Harper, Willmore, King & Schnupp 2016, Front. Comput. Neurosci. 10:10).
This limits what a stimulus explains: a model that also sees the trial's own past may explain more of a single trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from connfit.errors import DataError
from connfit.evaluation.metrics import CONSTANT

MIN_TRIAL_FRAMES = 3


@dataclass(frozen=True, eq=False)
class TrialPower:
    """Power of what trials share.

    Parameters
    ----------
    signal_power, total_power
        [P] in squared units of the values; the estimate of the first can come out below 0. NaN for units that were not
        observed in all trials.
    mean_response
        [t, P] mean over trials.
    trials
        Number of trials.
    """

    signal_power: Float[np.ndarray, "P"]
    total_power: Float[np.ndarray, "P"]
    mean_response: Float[np.ndarray, "t P"]
    trials: int

    @property
    def explainable(self) -> Float[np.ndarray, "P"]:
        """Share of a single trial's variance that the stimulus explains; NaN for units that do not vary."""
        return _ratio(self.signal_power, self.total_power)

    @property
    def cc_max(self) -> Float[np.ndarray, "P"]:
        """Largest correlation of a prediction with the mean response; NaN where signal power is not above 0."""
        share = _ratio(self.signal_power, self.mean_response.var(axis=0))
        return np.sqrt(np.where(share > 0, np.minimum(share, 1.0), np.nan))

    def cc_norm(self, prediction: Float[np.ndarray, "t P"]) -> Float[np.ndarray, "P"]:
        """Return the correlation with the mean response over the largest possible one; NaN where undefined."""
        y, p = (values - values.mean(axis=0) for values in (self.mean_response, prediction.astype(np.float64)))
        norm = (p**2).mean(axis=0) * np.where(self.signal_power > 0, self.signal_power, np.nan)
        return _ratio((y * p).mean(axis=0), np.sqrt(norm))


def trial_power(
    values: Float[np.ndarray, "T P"], mask: Bool[np.ndarray, "T P"], trials: Sequence[tuple[int, int]]
) -> TrialPower:
    """Estimate signal and total power of every unit over repeated trials.

    Parameters
    ----------
    trials
        Half-open blocks of frames (start, stop), all of one length, two or more.

    Raises
    ------
    DataError
        If blocks differ in length, are too short or too few, overlap, or leave the recording.
    """
    blocks = [(int(start), int(stop)) for start, stop in trials]
    if len(blocks) < 2:
        raise DataError(f"{len(blocks)} trial: what trials share needs 2 or more")
    lengths = {stop - start for start, stop in blocks}
    if len(lengths) > 1:
        raise DataError(f"trials last from {min(lengths)} to {max(lengths)} frames, but must be of one length")
    if min(lengths) < MIN_TRIAL_FRAMES:
        raise DataError(f"trials of {min(lengths)} frames are too short, {MIN_TRIAL_FRAMES} are needed")
    ordered = sorted(blocks)
    if ordered[0][0] < 0 or ordered[-1][1] > len(values):
        raise DataError(f"trials cover frames {ordered[0][0]} to {ordered[-1][1]}, the recording has {len(values)}")
    for (_, stop), (start, _) in pairwise(ordered):
        if start < stop:
            raise DataError(f"trials overlap at frame {start}")
    r = np.stack([np.where(mask[a:b], values[a:b], np.nan) for a, b in blocks]).astype(np.float64)
    n, mean = len(blocks), r.mean(axis=0)
    total = r.var(axis=1).mean(axis=0)
    return TrialPower((n * mean.var(axis=0) - total) / (n - 1), total, mean, n)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    size = np.nanmax(np.abs(below), initial=0.0)
    return np.where(below > CONSTANT * size, above / np.where(below > CONSTANT * size, below, 1.0), np.nan)
