"""What recording a neuron would tell: Gaussian conditioning on the covariance of what fits disagree about.

K fits that explain the recordings equally well say K different things of a neuron that was not recorded. Their
deviations d_k(t) from the mean over fits, each time course centred and divided by its standard deviation, are draws of
what is not known; S is their covariance between neurons. Recording neuron j with noise of variance η (in the same
units) then leaves

    S' = S - S_j S_jᵀ / (S_jj + η).

Two questions can be asked of it. By how much does the uncertainty about all neurons fall: Σ_i S_ij² / (S_jj + η),
A-optimality; it favours neurons on which others depend. How much is learned in all: ½ log(1 + S_jj / η) nats, the
mutual information of the record with the ensemble, D-optimality; it favours neurons on which fits disagree, wherever
those lead (MacKay 1992, Neural Comput. 4:590; Krause, Singh & Guestrin 2008, J. Mach. Learn. Res. 9:235). Choosing one
neuron after the other is within 1 - 1/e of the best set for the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from connfit.errors import ConfigError, one_of

INPUTS = "inputs"

CRITERIA: Mapping[str, str] = {
    INPUTS: "the inputs of other uncertain neurons that it makes known, by wiring and disagreement",
    "variance": "the uncertainty about all unrecorded neurons that it takes away (A-optimal)",
    "information": "the information that it gives about what fits disagree on (D-optimal)",
    "disagreement": "its own uncertainty alone, whatever was chosen before",
}
"""By what neurons are chosen."""

FLAT = 1e-4
"""Share of the typical neuron's standard deviation over time below which a neuron does not vary in the fits: what
they say of it then is rounding."""


STILL = 0.01
"""Standard deviation in one fit, over that of all, below which a neuron stands still in it."""


@dataclass(frozen=True, eq=False)
class Deviations:
    """What members of an ensemble disagree about.

    Attributes
    ----------
    values
        [K, T, N] from the mean over members, of time courses of standard deviation 1.
    spread
        [N] that standard deviation, root mean square over members, in the values' unit; 0 where a neuron is flat.
    """

    values: Float[np.ndarray, "K T N"]
    spread: Float[np.ndarray, "N"]

    @classmethod
    def of(cls, activity: Float[np.ndarray, "K T N"]) -> Deviations:
        """Centre and scale the activity of each member over time, and take away the mean over members.

        What members say of a neuron's level and scale is left out: no recording determines them for a neuron that it
        lacks. A neuron that is still in one member but not in others differs there by all that the others show.
        """
        centred = activity.astype(np.float64) - activity.mean(axis=1, keepdims=True, dtype=np.float64)
        spread = np.sqrt((centred**2).mean(axis=(0, 1)))
        spread = np.where(spread > FLAT * np.median(spread), spread, 0.0)
        own = np.maximum(centred.std(axis=1), STILL * spread)[:, None]
        scaled = np.where(spread > 0, centred / np.where(own > 0, own, 1.0), 0.0)
        return cls(scaled - scaled.mean(axis=0), spread)

    @property
    def disagreement(self) -> Float[np.ndarray, "N"]:
        """Variance between members as a share of the variance over time: 0 where all agree, 1 where they are unlike."""
        return (self.values**2).sum(axis=0).mean(axis=0) / (len(self.values) - 1)

    def covariance(self, neurons: Int[np.ndarray, "c"]) -> Float[np.ndarray, "c c"]:
        """Covariance between neurons of what is not known of them, over members and frames."""
        members, frames, _ = self.values.shape
        flat = self.values[:, :, neurons].reshape(members * frames, len(neurons))
        return flat.T @ flat / ((members - 1) * frames)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Neurons one after the other.

    Attributes
    ----------
    order
        [n] positions, the first to record first.
    gain
        [n] what each adds to those before it: share of the uncertainty of all, or nats; see `CRITERIA`.
    left
        [n] share of the uncertainty of all neurons that is left after each.
    """

    order: Int[np.ndarray, "n"]
    gain: Float[np.ndarray, "n"]
    left: Float[np.ndarray, "n"]


def gains(covariance: Float[np.ndarray, "c c"], noise: float, criterion: str) -> Float[np.ndarray, "c"]:
    """Return what recording each neuron by itself would tell, by one of `CRITERIA`."""
    one_of("criterion", criterion, [name for name in CRITERIA if name != INPUTS])
    variance = np.diag(covariance)
    if criterion == "variance":
        return (covariance**2).sum(axis=0) / (variance + noise**2)
    return 0.5 * np.log1p(variance / noise**2) if criterion == "information" else variance.copy()


def choose(covariance: Float[np.ndarray, "c c"], noise: float, count: int, criterion: str) -> Chosen:
    """Choose neurons greedily, each given those before it.

    Parameters
    ----------
    covariance
        Of the candidates, see `Deviations.covariance`.
    noise
        Standard deviation of the measurement noise of a record, in units of a neuron's own over time; above 0.
    count
        How many, at most all.
    criterion
        One of `CRITERIA`, `"inputs"` apart (`connfit.analysis.record_next.recorded_inputs`).

    Raises
    ------
    ConfigError
        If the noise is not above 0.
    """
    if not (np.isfinite(noise) and noise > 0):
        raise ConfigError(f"noise = {noise:g} must be finite and above 0: no record is without")
    left = np.array(covariance, np.float64)
    total = np.trace(left)
    free = np.ones(len(left), bool)
    alone = gains(left, noise, criterion)
    order, gain, remaining = [], [], []
    for _ in range(min(count, len(left))):
        now = alone if criterion == "disagreement" else gains(left, noise, criterion)
        best = int(np.argmax(np.where(free, now, -np.inf)))
        order.append(best)
        gain.append(now[best] / total if criterion == "variance" and total > 0 else now[best])
        left = left - np.outer(left[:, best], left[best]) / (left[best, best] + noise**2)
        remaining.append(np.trace(left) / total if total > 0 else 0.0)
        free[best] = False
    return Chosen(np.array(order, np.int64), np.array(gain), np.array(remaining))
