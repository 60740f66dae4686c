"""A network of gated recurrent units."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES, Baseline, one_animal
from connfit.evaluation.baselines.recurrent import Network
from connfit.evaluation.baselines.recurrent_training import Setting, Task, fit_network
from connfit.recordings import Recording

HIDDEN = 256
"""Units."""

STARTS = (Setting(5e-4, 10.0, 0.5, 1.0), Setting(5e-4, 10.0, 0.5, 1.0, carried=0.0))
"""Settings that are tried first."""

GRID = {
    "noise": (0.0, 0.25, 0.5, 1.0, 2.0),
    "decay": (0.0, 2.0, 5.0, 10.0, 20.0),
    "dropout": (0.0, 0.25, 0.5, 0.75),
    "learning_rate": (2e-4, 5e-4, 1e-3),
}
"""Values among which the tuning moves."""


class Gru(eqx.Module):
    """A gated recurrent unit with a linear read-out, y(t+1) = carried u(t) + C h(t) + c.

    Source: Cho et al. (2014) EMNLP, arXiv:1406.1078, as implemented in the library Equinox.

    Parameters
    ----------
    cell, readout
        Of Equinox. The read-out starts at 0: untrained, the network predicts `carried` times the last frame.
    carried
        1: the network predicts the change from the last frame; 0: the value itself.
    """

    cell: eqx.nn.GRUCell
    readout: eqx.nn.Linear
    carried: float

    @classmethod
    def of(cls, units: int, hidden: int, carried: float, key: PRNGKeyArray) -> Gru:
        """Draw a cell at random from `key`."""
        first, second = jax.random.split(key)
        readout = eqx.nn.Linear(hidden, units, key=second)
        readout = eqx.tree_at(lambda linear: (linear.weight, linear.bias), readout, replace_fn=jnp.zeros_like)
        return cls(eqx.nn.GRUCell(units, hidden, key=first), readout, carried)

    def anchor(self) -> Gru:
        """Return the cell with all parameters 0."""
        return jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_array(leaf) else leaf, self)

    def start(self) -> Float[Array, "H"]:
        """Start from zeros."""
        return jnp.zeros(self.cell.hidden_size)

    def __call__(
        self, state: Float[Array, "H"], now: Float[Array, "P"], keep: Float[Array, "H"]
    ) -> tuple[Float[Array, "H"], Float[Array, "P"]]:
        """See `Cell`."""
        state = self.cell(now, state)
        return state, self.carried * now + self.readout(keep * state)


def fit_gru(recording: Recording, config: EvaluateConfig | None = None) -> Network:
    """Train a GRU of 256 units on the training part; see `fit_network`."""

    def make(task: Task, setting: Setting, key: PRNGKeyArray) -> Gru:
        return Gru.of(task.units, HIDDEN, setting.carried, key)

    return fit_network("gru", recording, config or EvaluateConfig(), make=make, starts=STARTS, grid=GRID)


BASELINES.register(
    Baseline(
        name="gru",
        label="GRU",
        phrase="the GRU",
        place=8,
        fit=fit_gru,
        not_pooled=one_animal("the GRU"),
        does="recurrent network of gated units, without a connectome",
        parameters="numbers that were trained",
        uses=("baseline_seed",),
        seeded=True,
    )
)
