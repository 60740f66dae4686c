"""Distributions of whole numbers with p(x) ∝ exp(-a ln x - c ln² x - λ x) from xmin on.

The power law is c = λ = 0; c > 0 is the log-normal, λ > 0 the truncated power law, λ alone the exponential: one
family of sufficient statistics, so that likelihoods share their support, their normalisation and their concavity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Float

EXACT = 2000
"""Terms that are summed one by one; the rest is an integral, wrong by less than 1e-7 of itself."""

FAR = 20.0
"""From here on the zeta function is its asymptotic series, wrong by less than 1e-9 of itself for exponents below 10."""

LOWEST, HIGHEST = 1.0005, 20.0
"""Bounds of exponents of power laws."""


def hurwitz(exponent: np.ndarray | float, start: np.ndarray | float) -> np.ndarray:
    """Return Σ x^-exponent over whole numbers from `start` on (Hurwitz zeta), for arrays that broadcast."""
    a, q = np.broadcast_arrays(np.asarray(exponent, np.float64), np.asarray(start, np.float64))
    out = np.empty(a.shape)
    far = q >= FAR
    out[~far] = scipy.special.zeta(a[~far], q[~far])
    a, q = a[far], q[far]
    rest = a / 12 - a * (a + 1) * (a + 2) / (720 * q**2)
    rest += a * (a + 1) * (a + 2) * (a + 3) * (a + 4) / (30240 * q**4)
    out[far] = q ** (1 - a) / (a - 1) + q**-a * (0.5 + rest / q)
    return out


def power_law_norm(exponent: np.ndarray | float, xmin: np.ndarray | float, xmax: float | None) -> np.ndarray:
    """Return Σ x^-exponent from xmin to xmax (None: without end)."""
    norm = hurwitz(exponent, xmin)
    return norm if xmax is None else norm - hurwitz(exponent, xmax + 1.0)


def power_law_exponent(
    mean_log: np.ndarray | float, xmin: np.ndarray | float, xmax: float | None
) -> Float[np.ndarray, "*B"]:
    """Fit discrete power laws by maximum likelihood, for arrays of samples at once.

    Parameters
    ----------
    mean_log
        Mean of ln x of each sample, all x from xmin to xmax.
    xmin, xmax
        Range of the law.

    Returns
    -------
    Float[np.ndarray, "*B"]
        Newton's method on a + ln norm; stays within `LOWEST` and `HIGHEST`.
    """
    target, low = np.broadcast_arrays(np.asarray(mean_log, np.float64), np.asarray(xmin, np.float64))
    with np.errstate(divide="ignore"):
        a = np.clip(1 + 1 / (target - np.log(low - 0.5)), LOWEST + 1e-3, HIGHEST - 1.0)
    step = 3e-4
    for _ in range(100):
        here, up, down = (np.log(power_law_norm(a + d, low, xmax)) for d in (0.0, step, -step))
        slope = (up - down) / (2 * step) + target
        curvature = (up - 2 * here + down) / step**2
        change = -slope / np.maximum(curvature, 1e-9)
        new = np.clip(np.maximum(a + change, 1 + (a - 1) / 2), LOWEST, HIGHEST)
        moved = float(np.abs(new - a).max(initial=0.0))
        a = new
        # The differences need a - step above 1.
        a = np.maximum(a, 1 + 1.5 * step)
        if moved < 1e-8:
            break
    return a


def log_variance(exponent: float, xmin: int, xmax: float | None) -> float:
    """Return the variance of ln x under a discrete power law: the information on the exponent in one observation."""
    step = 3e-4
    up, here, down = (float(np.log(power_law_norm(exponent + d, xmin, xmax))) for d in (step, 0.0, -step))
    return max((up - 2 * here + down) / step**2, 1e-12)


@dataclass(frozen=True)
class Tail:
    """Whole numbers from xmin to xmax (None: without end), as nodes and weights for sums over them."""

    xmin: int
    xmax: int | None

    @cached_property
    def nodes(self) -> tuple[Float[np.ndarray, "J"], Float[np.ndarray, "J"]]:
        """ln x and log weights: Σ f(x) = Σ weight · f(node)."""
        last = self.xmin + EXACT - 1 if self.xmax is None else min(self.xmax, self.xmin + EXACT - 1)
        single = np.log(np.arange(self.xmin, last + 1, dtype=np.float64))
        if self.xmax is not None and last == self.xmax:
            return single, np.zeros(len(single))
        # Midpoint rule backwards: a sum from A on is the integral from A - 1/2 on. In u = ln x it is smooth.
        begin = np.log(last + 0.5)
        end = 690.0 if self.xmax is None else np.log(self.xmax + 0.5)
        fine = min(end, begin + 30.0)
        edges = np.linspace(begin, fine, max(2, int((fine - begin) / 0.25) + 2))
        if end > fine:
            edges = np.concatenate([edges, np.linspace(fine, end, 68)[1:]])
        points, weights = np.polynomial.legendre.leggauss(8)
        half = np.diff(edges)[:, None] / 2
        u = (edges[:-1, None] + half * (1 + points)).ravel()
        log_weights = np.log((half * weights).ravel()) + u
        return np.concatenate([single, u]), np.concatenate([np.zeros(len(single)), log_weights])


@dataclass(frozen=True)
class Alternative:
    """A fitted distribution of the family.

    Parameters
    ----------
    name
        Its name.
    a, c, rate
        Parameters of p(x) ∝ exp(-a ln x - c ln² x - rate x).
    log_norm
        ln of the sum over the support.
    """

    name: str
    a: float
    c: float
    rate: float
    log_norm: float

    def log_pmf(self, x: Float[np.ndarray, "U"]) -> Float[np.ndarray, "U"]:
        """Return ln p(x)."""
        u = np.log(x)
        return -self.a * u - self.c * u**2 - self.rate * x - self.log_norm

    def parameters(self) -> dict[str, float | None]:
        """Return the parameters in the names of the literature; None in a limit in which they lose their meaning."""
        if self.name == "exponential":
            return {"rate": self.rate}
        if self.name == "truncated_power_law":
            return {"exponent": self.a, "rate": self.rate, "cutoff": 1 / self.rate}
        if self.c <= 0:
            return {"mu": None, "sigma": None}
        variance = 1 / (2 * self.c)
        return {"mu": (1 - self.a) * variance, "sigma": variance**0.5}


def fit_alternative(name: str, tail: Tail, x: np.ndarray, weights: np.ndarray, start: float) -> Alternative:
    """Fit an alternative to a power law by maximum likelihood.

    Parameters
    ----------
    name
        `"lognormal"`, `"exponential"` or `"truncated_power_law"`.
    tail
        Support.
    x, weights
        Values, and how often each occurs.
    start
        Exponent of the power law, from which the search starts.
    """
    u_nodes, log_w = tail.nodes
    u, share = np.log(x), weights / weights.sum()
    center, largest = float(share @ u), float(x.max())
    mean, spread = float(share @ x), max(float(np.sqrt(share @ (u - share @ u) ** 2)), 0.05)
    with np.errstate(over="ignore"):
        x_nodes = np.exp(u_nodes)

    def sums(a: float, c: float, rate: float) -> tuple[float, np.ndarray]:
        """ln norm and probability of each node."""
        # Far nodes may overflow in rate * x; they have no weight.
        with np.errstate(over="ignore"):
            exponent = log_w - a * u_nodes - c * u_nodes**2 - rate * x_nodes
        top = float(exponent.max())
        p = np.exp(exponent - top)
        total = float(p.sum())
        return top + float(np.log(total)), p / total

    if name == "lognormal":
        # Statistics around the mean and in units of the spread keep the search well conditioned.
        z, z_nodes = (u - center) / spread, (u_nodes - center) / spread
        z1, z2 = float(share @ z), float(share @ z**2)

        def unscaled(theta: np.ndarray) -> tuple[float, float]:
            return theta[0] / spread - 2 * theta[1] * center / spread**2, theta[1] / spread**2

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            a, c = unscaled(theta)
            log_norm, p = sums(a, c, 0.0)
            value = log_norm + a * float(share @ u) + c * float(share @ u**2)
            return value, np.array([z1 - p @ z_nodes, z2 - p @ z_nodes**2])

        bounds = [(None, None), (0.0, None)]
        first = np.array([start * spread, 0.0])
        second = np.array([1.0 * spread, 0.5])
        best = min((_search(loss, at, bounds) for at in (first, second)), key=lambda found: found[1])
        (a, c), rate = (float(value) for value in unscaled(best[0])), 0.0
    elif name == "truncated_power_law":

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            a, rate = float(theta[0]), float(np.exp(theta[1]))
            log_norm, p = sums(a, 0.0, rate)
            value = log_norm + a * float(share @ u) + rate * mean
            return value, np.array([float(share @ u) - p @ u_nodes, rate * (mean - p @ x_nodes)])

        # A cut-off a thousand times beyond the largest value is not distinguishable from none.
        bounds = [(0.0, HIGHEST), (np.log(1e-3 / largest), np.log(50.0))]
        starts = (np.array([start, np.log(k / largest)]) for k in (0.1, 3.0))
        best = min((_search(loss, at, bounds) for at in starts), key=lambda found: found[1])
        a, c, rate = float(best[0][0]), 0.0, float(np.exp(best[0][1]))
    else:

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            rate = float(np.exp(theta[0]))
            log_norm, p = sums(0.0, 0.0, rate)
            return log_norm + rate * mean, np.array([rate * (mean - p @ x_nodes)])

        guess = np.log1p(1 / max(mean - tail.xmin, 1e-9))
        best = _search(loss, np.array([np.log(guess)]), [(np.log(1e-3 / largest), np.log(50.0))])
        a, c, rate = 0.0, 0.0, float(np.exp(best[0][0]))
    return Alternative(name, a, c, rate, sums(a, c, rate)[0])


def _search(loss, start: np.ndarray, bounds: list) -> tuple[np.ndarray, float]:
    limits = np.array([[-np.inf if low is None else low, np.inf if high is None else high] for low, high in bounds])
    found = scipy.optimize.minimize(
        loss,
        np.clip(start, limits[:, 0], limits[:, 1]),
        jac=True,
        bounds=bounds,
        method="L-BFGS-B",
        options={"maxiter": 500, "ftol": 1e-14, "gtol": 1e-9},
    )
    return found.x, float(found.fun)
