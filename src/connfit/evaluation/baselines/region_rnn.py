"""A network of rate units that are the recorded units, without a connectome."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES, Baseline, one_animal
from connfit.evaluation.baselines.recurrent import Network
from connfit.evaluation.baselines.recurrent_training import Setting, Task, fit_network
from connfit.recordings import Recording

STARTS = (Setting(2e-3, 1.0, 0.2, 0.2),)
"""The setting that is tried first."""

GRID = {
    "noise": (0.0, 0.1, 0.2, 0.5, 1.0),
    "decay": (0.0, 0.5, 1.0, 3.0, 10.0),
    "dropout": (0.0, 0.2, 0.5),
    "learning_rate": (5e-4, 1e-3, 2e-3, 4e-3),
}
"""Values among which the tuning moves."""


class RateUnits(eqx.Module):
    """Rate units that are the recorded units, wired all to all: connfit's model without a connectome.

    r(t+1) = α r(t) + (1 - α) relu(W r(t) + b + relu(E u(t))), prediction y = r. Dense W and E without a
    constraint on signs; α = exp(-Δt / τ) in (0, 1) for each unit. The values are shifted so that they are positive.

    Parameters
    ----------
    weights, drive
        [P, P] W and E. They start at 0 and at the identity.
    bias
        [P] b, 0 at the start.
    decay
        [P] logarithm of α / (1 - α). At the start τ is half a frame, as in connfit's model.
    """

    weights: Float[Array, "P P"]
    drive: Float[Array, "P P"]
    bias: Float[Array, "P"]
    decay: Float[Array, "P"]

    @classmethod
    def of(cls, units: int, key: PRNGKeyArray, mean: Float[np.ndarray, "P"], radius: float = 0.1) -> RateUnits:
        """Draw a network that predicts about the last frame, from `key`.

        W is drawn at random with spectral radius `radius`, and b cancels the recurrent input at the activity `mean`.
        """
        weights = radius / np.sqrt(units) * jax.random.normal(key, (units, units))
        alpha = np.exp(-2.0)
        decay = jnp.full(units, np.log(alpha / (1 - alpha)), jnp.float32)
        return cls(weights, jnp.eye(units), -weights @ jnp.asarray(mean, jnp.float32), decay)

    def anchor(self) -> RateUnits:
        """Return persistence: no connections and no bias, each unit driven by itself alone."""
        none = jnp.zeros_like(self.weights)
        return RateUnits(none, jnp.eye(len(self.bias)), jnp.zeros_like(self.bias), self.decay)

    def start(self) -> Float[Array, "H"]:
        """Start at rest."""
        return jnp.zeros(len(self.bias))

    def __call__(
        self, state: Float[Array, "H"], now: Float[Array, "P"], keep: Float[Array, "H"]
    ) -> tuple[Float[Array, "H"], Float[Array, "P"]]:
        """See `Cell`; dropout is of the presynaptic units."""
        alpha = jax.nn.sigmoid(self.decay)
        driven = jax.nn.relu(self.weights @ (keep * state) + self.bias + jax.nn.relu(self.drive @ now))
        state = alpha * state + (1 - alpha) * driven
        return state, state


def fit_region_rnn(recording: Recording, config: EvaluateConfig | None = None) -> Network:
    """Train rate units that are the recorded units on the training part; see `fit_network`."""

    def make(task: Task, setting: Setting, key: PRNGKeyArray) -> RateUnits:
        return RateUnits.of(task.units, key, task.mean_activity())

    config = config or EvaluateConfig()
    return fit_network("region_rnn", recording, config, make=make, starts=STARTS, grid=GRID, positive=True)


BASELINES.register(
    Baseline(
        name="region_rnn",
        label="region RNN",
        phrase="the region-level RNN",
        place=9,
        fit=fit_region_rnn,
        not_pooled=one_animal("the network of rate units"),
        does="recurrent network with as many units as are recorded, without a connectome",
        parameters="numbers that were trained",
        uses=("baseline_seed",),
        seeded=True,
    )
)
