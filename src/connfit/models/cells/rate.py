"""The rate cell: one leaky state per neuron, whose steady state is a rectified or soft function of the input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit._registry import Options
from connfit.connectome import Connectome
from connfit.errors import one_of
from connfit.models.cells import CELLS, Cell
from connfit.models.connectome_model import STATIC, ConnectomeModel, ModelConditions
from connfit.models.readout import Readout

NONLINEARITIES = ("relu", "softplus")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False, kw_only=True)
class RateModel(ConnectomeModel):
    """Leaky rate neurons on a connectome.

    ``r_i(t) = α_i r_i(t-1) + (1-α_i) f(x_i(t))``, ``α_i = exp(-Δt/τ_i)``,
    ``x_i(t) = Σ_j s_ij |w_ij| r_j(t-1) + b_i + relu(Σ_k E_ik u_k(t-1))``, ``y_k(t) = Σ_j C_kj r_j(t)``.

    Build it with `RateModel.from_connectome`. Parameters are separate (`connfit.models.init.initial`): a dictionary of
    `weights` [M] (magnitudes, ≥ 0) or, after `connfit.models.tie_weights`, `gains` [G] (≥ 0),
    `log_time_constants` [N] (natural log of seconds), `bias` [N],
    `drive` ([N, P] dense or one per anatomical pair) and, if learned, `readout` [P, N].

    Attributes
    ----------
    nonlinearity
        f: `"relu"` or `"softplus"`. The others are those of `connfit.models.connectome_model.ConnectomeModel`.
    """

    nonlinearity: str = field(metadata=STATIC)

    @classmethod
    def from_connectome(
        cls,
        connectome: Connectome,
        readout: Readout,
        *,
        step_s: float,
        drive: str = "dense",
        nonlinearity: str = "relu",
        bounds_s: tuple[float, float] | None = None,
        state_forcing: float = 0.0,
    ) -> Self:
        """Build the model.

        Parameters
        ----------
        nonlinearity
            `"relu"` or `"softplus"`.
        connectome, readout, step_s, drive, bounds_s, state_forcing
            See `connfit.models.connectome_model.ModelConditions`.

        Raises
        ------
        ConfigError
            If a name or a bound is not valid.
        """
        given = ModelConditions(
            connectome=connectome, readout=readout, step_s=step_s, drive=drive, bounds_s=bounds_s,
            state_forcing=state_forcing,
        )  # fmt: skip
        return cls.wire(given, nonlinearity=one_of("nonlinearity", nonlinearity, NONLINEARITIES))

    def activation(self, x: Float[Array, "N B"]) -> tuple[Float[Array, "N B"], Float[Array, "N B"]]:
        """Return the steady rate and its slope (1 at the corner of relu, so that a silent neuron can learn to fire)."""
        if self.nonlinearity == "relu":
            return jnp.maximum(x, 0), (x >= 0).astype(x.dtype)
        return jax.nn.softplus(x), jax.nn.sigmoid(x)


class RateOptions(Options, frozen=True):
    """Options of the rate cell."""

    nonlinearity: Literal["relu", "softplus"] = "relu"


CELLS.register(
    Cell(
        name="rate",
        label="rate",
        phrase="the leaky rate neuron",
        place=1,
        does="one leaky state per neuron, its rate",
        build=RateModel.wire,
        options=RateOptions,
    )
)
