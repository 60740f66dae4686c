"""Autoregressions on standardised values: of all units together, and of every unit by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Process:
    """y(t) = c + Σ_l A_l y(t - l) + e(t), e ~ N(0, S).

    Parameters
    ----------
    coefficients
        [L * P, P], lag 1 first.
    intercept, covariance
        [P] c, and [P, P] S.
    """

    coefficients: Float[np.ndarray, "LP P"]
    intercept: Float[np.ndarray, "P"]
    covariance: Float[np.ndarray, "P P"]

    @property
    def units(self) -> int:
        """P."""
        return len(self.intercept)

    @property
    def lags(self) -> int:
        """L."""
        return len(self.coefficients) // self.units

    def with_lags(self, lags: int) -> Process:
        """Return the same with more lags, whose coefficients are 0."""
        more = np.zeros(((lags - self.lags) * self.units, self.units))
        return Process(np.concatenate([self.coefficients, more]), self.intercept, self.covariance)

    def predict(self, past: Float[np.ndarray, "S L P"]) -> Float[np.ndarray, "S P"]:
        """Return the mean of the frame after L frames, newest first."""
        return past.reshape(len(past), len(self.coefficients)) @ self.coefficients + self.intercept


@dataclass(frozen=True, eq=False)
class OwnProcess:
    """y(t) = c + Σ_l a_l y(t - l) + e(t) of every unit.

    Parameters
    ----------
    coefficients
        [L, P], lag 1 first.
    intercept, variance
        [P] c, and variance of e.
    """

    coefficients: Float[np.ndarray, "L P"]
    intercept: Float[np.ndarray, "P"]
    variance: Float[np.ndarray, "P"]

    @property
    def units(self) -> int:
        """P."""
        return len(self.intercept)

    @property
    def lags(self) -> int:
        """L."""
        return len(self.coefficients)

    def with_lags(self, lags: int) -> OwnProcess:
        """Return the same with more lags, whose coefficients are 0."""
        more = np.zeros((lags - self.lags, self.units))
        return OwnProcess(np.concatenate([self.coefficients, more]), self.intercept, self.variance)

    def predict(self, past: Float[np.ndarray, "S L P"]) -> Float[np.ndarray, "S P"]:
        """Return the mean of the frame after L frames, newest first."""
        return np.einsum("lp,slp->sp", self.coefficients, past) + self.intercept

    def of_units(self, at: slice) -> OwnProcess:
        """Return the same of some units."""
        return OwnProcess(self.coefficients[:, at], self.intercept[at], self.variance[at])


@dataclass(frozen=True, eq=False)
class LowRank:
    """Coefficients U M of all units' past and those of each unit's own, which together are never made: [L P, P].

    Parameters
    ----------
    u, m
        [L, P, k] and [k, P].
    own
        [L, P] added to a unit's own past.
    """

    u: Float[np.ndarray, "L P k"]
    m: Float[np.ndarray, "k P"]
    own: Float[np.ndarray, "L P"]

    __array_ufunc__ = None
    """An array leaves `array @ this` to this."""

    def __len__(self) -> int:
        return self.own.size

    def __rmatmul__(self, x: Float[np.ndarray, "*n LP"]) -> Float[np.ndarray, "*n P"]:
        along = (x @ self.u.reshape(len(self), -1)) @ self.m
        return along + np.einsum("lp,...lp->...p", self.own, x.reshape(*x.shape[:-1], *self.own.shape))

    def with_own(self, own: Float[np.ndarray, "L P"]) -> LowRank:
        """Return the same with more of each unit's own past."""
        return LowRank(self.u, self.m, self.own + own)

    def among(self, at: Int[np.ndarray, "p"], units: int) -> LowRank:
        """Place the units `at` of these at the same places among more; the others are predicted not to change."""
        lags, _, rank = self.u.shape
        u, m, own = np.zeros((lags, units, rank)), np.zeros((rank, units)), np.zeros((lags, units))
        own[0] = 1.0
        u[:, at], m[:, at], own[:, at] = self.u, self.m, self.own
        return LowRank(u, m, own)

    def of_units(self, at: Int[np.ndarray, "p"]) -> LowRank:
        """Return those of some units."""
        return LowRank(self.u[:, at], self.m[:, at], self.own[:, at])


@dataclass(frozen=True, eq=False)
class WideProcess:
    """A process of so many units that neither its coefficients nor the covariance of what is left are held.

    Parameters
    ----------
    coefficients
        Lag 1 first.
    intercept
        [P] c.
    """

    coefficients: LowRank
    intercept: Float[np.ndarray, "P"]

    @property
    def units(self) -> int:
        """P."""
        return len(self.intercept)

    @property
    def lags(self) -> int:
        """L."""
        return len(self.coefficients.own)

    def predict(self, past: Float[np.ndarray, "S L P"]) -> Float[np.ndarray, "S P"]:
        """Return the mean of the frame after L frames, newest first."""
        return past.reshape(len(past), len(self.coefficients)) @ self.coefficients + self.intercept
