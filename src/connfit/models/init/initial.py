"""Parameters before training, by the name of their start."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.models.base import Model, Params
from connfit.models.init.regression_start import RegressionStart
from connfit.models.init.start import STARTS, StartConditions
from connfit.models.init.starting_weights import WEIGHTS
from connfit.models.readout import Readout


def init_params(
    model: Model,
    connectome: Connectome,
    readout: Readout,
    *,
    weights: str = "counts",
    spectral_radius: float | None = 0.1,
    weight_spread: float = 0.0,
    time_constant_s: float | None = None,
    hidden_time_constants_s: tuple[float, float] | None = None,
    drive_start: str = "persistence",
    mean_activity: Float[np.ndarray, "P"] | None = None,
    regression: RegressionStart | None = None,
    seed: int = 0,
) -> Params:
    """Return parameters before training.

    Parameters
    ----------
    weights
        `"counts"`: magnitudes proportional to synapse counts. `"input_fraction"`: to a connection's
        share of the synapses onto its postsynaptic neuron. `"truncated_normal"`: |x| of a normal
        truncated at two standard deviations of sqrt(2 / mean inputs per neuron) / 0.8796. Not used if the model has
        gains (`connfit.models.tie_weights`): these start at 1.
    spectral_radius
        Scale the signed matrix to this largest absolute eigenvalue; None leaves it unscaled.
    weight_spread
        Standard deviation of the natural logarithm of a factor that is drawn for each connection, or for each gain,
        before scaling: so that several seeds start from different weights. A gap junction has one factor for both
        directions.
    time_constant_s
        Time constant of every neuron in seconds; default half a step.
    hidden_time_constants_s
        Range from which neurons that the drive does not reach at the start draw theirs, uniformly in
        the logarithm: a network whose neurons all have one time constant has nothing to remember with.
        None: they have `time_constant_s` too.
    drive_start
        `"persistence"`: unit k drives the neurons that it reads so that reading them gives u_k;
        `"regression"`: drive, weights and time constants are those of `regression`; `"zero"`.
    mean_activity
        Mean of each unit over the training part. If given, and the drive starts as persistence, each
        bias makes this mean a fixed point: it cancels the recurrent input that its neuron has there, so
        that recurrence starts as a perturbation about the recorded activity. A model without a drive, which
        nothing recorded enters, then starts by predicting this mean. Otherwise biases are 0.
    regression
        What `connfit.models.regression_start` found in the training frames; `weights`, `spectral_radius` and the time
        constants are not used then. Gains start at 1: let them multiply its magnitudes.
    seed
        Seed of the random start.

    Returns
    -------
    Params
        In the default float type of JAX.
    """
    given = StartConditions(
        connectome=connectome,
        readout=readout,
        weights=weights,
        spectral_radius=spectral_radius,
        weight_spread=weight_spread,
        time_constant_s=0.5 * model.step_s if time_constant_s is None else time_constant_s,
        hidden_time_constants_s=hidden_time_constants_s,
        mean_activity=mean_activity,
        seed=seed,
        fitted=regression,
    )
    return begin(model, drive_start, given)


def begin(model: Model, drive_start: str, given: StartConditions) -> Params:
    """Return parameters before training under conditions that are checked here; see `init_params`.

    Raises
    ------
    ConfigError
        If there is no such start, a time constant lies outside the bounds of the model, or the start looks at training
        frames and has not.
    """
    WEIGHTS.find(given.weights, "weights")
    start = STARTS.find(drive_start, "drive_start")
    low, high = model.bounds_s
    for time_constant in (given.time_constant_s, *(given.hidden_time_constants_s or ())):
        if not low <= time_constant <= high:
            raise ConfigError(
                f"an initial time constant of {time_constant:.4g} s lies outside the bounds {low:.4g} to {high:.4g} s"
            )
    if start.fit is not None and given.fitted is None:
        found_by = f"{start.fit.__module__}.{start.fit.__qualname__}"
        raise ConfigError(f'drive_start = "{drive_start}" needs what {found_by} finds in the training frames')
    inputs = {} if model.inputs is None else {"inputs": jnp.zeros(model.inputs.strengths_shape)}
    return model.with_gains({**model.own_start(), **start.parameters(model, given), **inputs})
