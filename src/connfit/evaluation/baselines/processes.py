"""Autoregressions on standardised values: of all units together, and of every unit by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


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
