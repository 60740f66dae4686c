"""Simulations of activity with a given branching ratio, for intervals of the ratio that was estimated.

What a simulation takes from the recording, once the ratio is given, is said in `residual_noise`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.signal
from jaxtyping import Bool, Float

WEAKEST = 1e-3
"""Growth of the variance per deviation of activity that stands for none: over 3 deviations it is 0.3 %."""

NOISES = 25
"""Strengths of observation noise that are tried."""


@dataclass(frozen=True)
class ResidualNoise:
    """Noise of a first-order autoregression seen through noise, in deviations of the activity.

    Parameters
    ----------
    process, observation
        Variances at the mean activity of what is carried on to later frames and of what is not.
    growth
        Both variances are these times 1 + growth · (activity - mean).
    start
        Activity before noise in the first frame, above the mean.
    """

    process: float
    observation: float
    growth: float
    start: float


def residual_noise(x: Float[np.ndarray, "T"], seen: Bool[np.ndarray, "T"], ratio: float) -> ResidualNoise:
    """Estimate the noise of a series under a branching ratio.

    The share of observation noise is the one under which one-step predictions are best: slopes over lags, from which
    it could be had as well, are too low near a ratio of 1, and what is missing would count as noise. The growth of
    the variance with activity is a weighted regression of squared residuals on predictions. It is not negative, and
    no larger than leaves the lowest activity a variance: where there is a true zero, as in events, noise vanishes
    with activity; where there is none, as in z-scores, the growth is what the data show.

    Parameters
    ----------
    x
        Activity of mean 0 and variance 1 over the frames that were observed; 0 elsewhere.
    seen
        Frames that were observed.
    ratio
        Branching ratio per frame.
    """
    pairs = seen[1:] & seen[:-1]
    # x(t) = ratio x(t-1) + e(t) - theta e(t-1); theta = ratio would be noise alone.
    thetas = ratio * (1 - np.geomspace(1e-3, 1, NOISES))
    errors = [np.asarray(scipy.signal.lfilter([1, -ratio], [1, -theta], x))[1:][pairs] for theta in thetas]
    variance = np.maximum([error.var() for error in errors], 1e-12)
    best = int(np.argmin(variance))
    residuals, theta, spread = errors[best], float(thetas[best]), float(variance[best])
    observation = theta * spread / ratio
    process = spread * (1 + theta**2) - observation * (1 + ratio**2)
    # The series backwards has the same autoregression.
    backwards = np.asarray(scipy.signal.lfilter([1, -ratio], [1, -theta], x[::-1]))
    before = x[0] - backwards[-1]
    squares = (residuals - residuals.mean()) ** 2 / spread
    return ResidualNoise(
        process=max(process, 1e-9),
        observation=max(observation, 0.0),
        growth=_growth(x[1:][pairs] - residuals, squares, float(x[seen].min())),
        start=float(before + (1 - theta / ratio) * backwards[-1]),
    )


def _growth(predicted: np.ndarray, squares: np.ndarray, lowest: float) -> float:
    """Slope of squared residuals on predictions over their value at a prediction of 0, the mean."""
    largest = 1 / max(-lowest, 1e-6)
    growth = 0.0
    for _ in range(6):
        # Squares vary as the square of what they are expected to be.
        weights = 1 / np.maximum(1 + growth * predicted, 0.05) ** 2
        weights = weights / weights.sum()
        centred = predicted - weights @ predicted
        spread = float(weights @ centred**2)
        slope = float(weights @ (centred * squares)) / spread if spread > 1e-12 else 0.0
        at_mean = float(weights @ squares) - slope * float(weights @ predicted)
        growth = min(max(slope / at_mean, 0.0), largest) if at_mean > 1e-9 else largest
    return max(growth, WEAKEST)


def simulate(
    noises: list[ResidualNoise], ratios: Float[np.ndarray, "G"], frames: int, draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "G*draws T"]:
    """Draw series of a branching process with drive, of the same mean, noise and first frame as the recording.

    Activity above the level at which noise vanishes is a whole number of quanta, each with offspring and drive from
    Poisson distributions, and what is observed of it is Poisson distributed too. Where noise hardly grows with
    activity there are very many quanta, and the process is an autoregression with Gaussian noise.

    Parameters
    ----------
    noises, ratios
        Noise and branching ratio of each group of draws.
    frames, draws
        Length and number of series of each group.
    rng
        Random numbers.
    """

    def each(values: list[float]) -> np.ndarray:
        return np.repeat(np.array(values, np.float64), draws)

    mean = each([1 / noise.growth for noise in noises])
    quantum = each([noise.process * noise.growth for noise in noises])
    speck = each([noise.observation * noise.growth for noise in noises])
    ratio = np.repeat(ratios, draws)
    # A process without any drive would end for good.
    drive = np.maximum(mean * (1 - ratio), 1e-3 * quantum) / quantum
    now = np.maximum(each([noise.start for noise in noises]) + mean, 0.0) / quantum
    out = np.empty((frames, len(ratio)))
    for t in range(frames):
        out[t] = now
        now = rng.poisson(ratio * now + drive)
    out = (out * quantum).T
    seen_through = speck > 1e-9
    if seen_through.any():
        noisy = speck[seen_through, None]
        out[seen_through] = noisy * rng.poisson(out[seen_through] / noisy)
    return out - mean[:, None]
