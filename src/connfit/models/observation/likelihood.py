"""What errors of predictions are scored by: a likelihood with a scale of noise for each unit.

An error z counts in units of the change from frame to frame that a unit has in training, as its square does. σ is
learned with everything else, by the same gradient, from 1 on, where a model is as good as persistence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.errors import ConfigError, one_of

LIKELIHOODS = ("gaussian", "student-t")


class Scored(NamedTuple):
    """A window's loss, and its derivatives by predictions and by the logarithm of each unit's scale."""

    loss: Float[Array, ""]
    error: Float[Array, "K P B"]
    log_scale: Float[Array, "P"]


@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihood of errors, up to a constant.

    ``z²/(2σ²) + log σ`` of `"gaussian"` noise; ``(ν+1)/2 log(1 + z²/(νσ²)) + log σ`` of `"student-t"`, which lets go of
    outliers.

    Parameters
    ----------
    name
        Kind of noise.
    degrees
        ν of `"student-t"`.

    Raises
    ------
    ConfigError
        If there is no such noise, or ν is not positive.
    """

    name: str = "gaussian"
    degrees: float = 4.0

    def __post_init__(self) -> None:
        one_of("noise", self.name, LIKELIHOODS)
        if not self.degrees > 0:
            raise ConfigError(f"degrees of freedom of the noise are {self.degrees:g}, but must be above 0")

    def score(
        self,
        difference: Float[Array, "K P B"],
        weights: Float[Array, "K P B"],
        log_scale: Float[Array, "P"],
        share: Float[Array, ""] | float,
    ) -> Scored:
        """Score predictions.

        Parameters
        ----------
        difference
            Prediction minus what was recorded.
        weights
            Of squared errors: ``share · z² = weights · difference²``; 0 where nothing counts.
        log_scale
            log σ.
        share
            What a value adds to the loss per unit of its own loss.
        """
        scale = log_scale[:, None]
        precision = jnp.exp(-2 * scale)
        squares = weights * difference**2 * precision  # share · z²/σ²
        counted = jnp.where(weights > 0, jnp.asarray(share, weights.dtype), 0)
        if self.name == "gaussian":
            loss, pull = squares / 2, jnp.ones_like(squares)
        else:
            z = squares / share
            loss = share * (self.degrees + 1) / 2 * jnp.log1p(z / self.degrees)
            pull = (self.degrees + 1) / (self.degrees + z)
        each = counted - pull * squares
        return Scored((loss + counted * scale).sum(), pull * weights * difference * precision, each.sum(axis=(0, 2)))
