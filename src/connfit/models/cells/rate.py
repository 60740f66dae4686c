"""The rate cell: one leaky state per neuron, whose steady state is a rectified or soft function of the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from connfit.connectome import Connectome
from connfit.errors import one_of
from connfit.models.cells import CELLS, Cell
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.neuron import Jacobian, Neuron, Slopes, States, Theta
from connfit.models.readout import Readout

NONLINEARITIES = ("relu", "softplus")


@dataclass(frozen=True)
class Rate(Neuron):
    """One leaky state per neuron, its rate.

    ``r(t) = α r(t-1) + (1-α) f(x(t))``, ``α = exp(-Δt/τ)``.

    Parameters
    ----------
    nonlinearity
        f: `"relu"` or `"softplus"`.

    Raises
    ------
    ConfigError
        If there is no such nonlinearity.
    """

    nonlinearity: Literal["relu", "softplus"] = "relu"

    def __post_init__(self) -> None:
        one_of("nonlinearity", self.nonlinearity, NONLINEARITIES)

    def activation(self, x: Array) -> tuple[Array, Array]:
        """Return the steady rate and its slope (1 at the corner of relu, so that a silent neuron can learn to fire)."""
        if self.nonlinearity == "relu":
            return jnp.maximum(x, 0), (x >= 0).astype(x.dtype)
        return jax.nn.softplus(x), jax.nn.sigmoid(x)

    def step(self, theta: Theta, h: States, x: States) -> States:
        """Move the rate towards its steady state."""
        alpha = theta["time_constants"]
        return (alpha * h[0] + (1 - alpha) * self.activation(x[0])[0],)

    def jacobian(self, theta: Theta, h: States, x: States) -> Jacobian:
        """Return the derivatives of a step."""
        alpha = theta["time_constants"]
        steady, slope = self.activation(x[0])
        return Jacobian(((alpha,),), (((1 - alpha) * slope,),), {"time_constants": (h[0] - steady,)})

    @property
    def rectifies(self) -> bool:
        """Whether f is relu, and no subclass has changed what a step is."""
        methods = "activation", "step", "output", "observed", "jacobian", "slopes"
        own = (getattr(type(self), name) is getattr(Rate, name) for name in methods)
        return self.nonlinearity == "relu" and not self.parameters and all(own)

    def for_slopes(self, theta: Theta, h: States, x: States) -> Array:
        """Return where relu is open, or the slope of softplus."""
        slope = self.activation(x[0])[1]
        only_0_and_1 = self.nonlinearity == "relu" and type(self).activation is Rate.activation
        return slope != 0 if only_0_and_1 else slope

    def slopes(self, theta: Theta, at: Array) -> Slopes:
        """Return the derivatives of a step by state and input."""
        alpha = theta["time_constants"]
        return ((alpha,),), (((1 - alpha) * at.astype(alpha.dtype),),)


class RateModel(ConnectomeModel):
    """Leaky rate neurons on a connectome; see `Rate` and `connfit.models.connectome_model.ConnectomeModel`."""

    @classmethod
    def from_connectome(
        cls,
        connectome: Connectome,
        readout: Readout,
        *,
        step_s: float,
        drive: str = "dense",
        nonlinearity: Literal["relu", "softplus"] = "relu",
        bounds_s: tuple[float, float] | None = None,
        state_forcing: float = 0.0,
        delay: int = 0,
    ) -> ConnectomeModel:
        """Build the model.

        Parameters
        ----------
        nonlinearity
            `"relu"` or `"softplus"`.
        connectome, readout, step_s, drive, bounds_s, state_forcing, delay
            See `connfit.models.connectome_model.ModelConditions`.

        Raises
        ------
        ConfigError
            If a name or a bound is not valid.
        """
        given = ModelConditions(
            connectome=connectome, readout=readout, step_s=step_s, drive=drive, bounds_s=bounds_s,
            state_forcing=state_forcing, delay=delay,
        )  # fmt: skip
        return ConnectomeModel.wire(given, Rate(nonlinearity=nonlinearity))


CELLS.register(Cell(name="rate", label="rate", phrase="the leaky rate neuron", place=1, neuron=Rate))
