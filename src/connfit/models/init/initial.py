"""How parameters start, by name.

A random or count-weighted brain explodes or is silent; what is offered here starts with recurrent
connections of a stated spectral radius and with a drive that predicts about the previous frame.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from jaxtyping import Array, Float

from connfit.connectome import Connectome
from connfit.errors import ConfigError, one_of
from connfit.models import ops
from connfit.models.base import Params
from connfit.models.cells.rate import RateModel
from connfit.models.init.loop import Loop, growth_by_sweep
from connfit.models.init.persistence_drive import persistence_drive
from connfit.models.init.regression_start import RegressionStart, open_rates
from connfit.models.init.response import drive_support
from connfit.models.maps import DenseMap, GainMap, SparseMap
from connfit.models.readout import Readout

WEIGHTS = ("counts", "input_fraction", "truncated_normal")
DRIVE_STARTS = ("persistence", "regression", "zero")

_SPREAD = 1
"""Second part of the seed from which `weight_spread` is drawn."""

TRUNCATED_NORMAL_STD = 0.87962566103423978
"""Standard deviation of a unit normal truncated at ±2, which the initial scale is divided by."""


def init_params(
    model: RateModel,
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
    """Parameters before training.

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
        before scaling: so that several seeds start from different strengths. A gap junction has one factor for both
        directions.
    time_constant_s
        Time constant of every neuron in seconds; default half a step.
    hidden_time_constants_s
        Range from which neurons that the drive does not reach at the start draw theirs, uniformly in
        the logarithm: a network whose neurons all have one time constant has nothing to remember with.
        None: they have `time_constant_s` too.
    drive_start
        `"persistence"`: unit k drives the neurons that it reads so that reading them gives u_k;
        `"regression"`: drive, strengths and time constants are those of `regression`; `"zero"`.
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
    one_of("weights", weights, WEIGHTS)
    one_of("drive_start", drive_start, DRIVE_STARTS)
    tau = 0.5 * model.step_s if time_constant_s is None else time_constant_s
    low, high = model.bounds_s
    for one in (tau, *(hidden_time_constants_s or ())):
        if not low <= one <= high:
            raise ConfigError(
                f"an initial time constant of {one:.4g} s lies outside the bounds {low:.4g} to {high:.4g} s"
            )
    if drive_start == "regression":
        if regression is None:
            raise ConfigError('drive_start = "regression" needs the result of connfit.models.regression_start')
        return _start_of_regression(model, readout, regression, mean_activity, weight_spread, seed)
    if isinstance(model.recurrent, GainMap):
        strengths = jnp.ones(model.recurrent.strengths_shape, jnp.result_type(float))
    else:
        strengths = jnp.asarray(initial_magnitudes(connectome, weights, seed=seed), jnp.result_type(float))
    if weight_spread:
        strengths *= _spread(model, weight_spread, seed)
    if spectral_radius is not None and connectome.m:
        strengths *= _scale_to_radius(model, connectome, strengths, spectral_radius)
    drive = sp.csr_array((connectome.n, readout.units))
    bias = np.zeros(connectome.n)
    if model.drive is None or drive_start == "persistence":
        exact = persistence_drive(readout, drive_support(model))
        if model.drive is not None:
            drive = sp.csr_array(exact / _loop_gain(model, strengths, exact, readout.matrix))
        if mean_activity is not None:
            mean = np.asarray(mean_activity, np.float64)
            # Rates that are read out as the mean; `exact` alone would add what units share (C E is not quite 1).
            shared = _dense(readout.matrix @ exact)
            rates = np.maximum(exact @ np.maximum(np.linalg.lstsq(shared, mean)[0], 0), 0)
            bias = rates - np.maximum(drive @ mean, 0) - np.asarray(_recurrent_input(model, strengths, rates))
    log_tau = np.full(connectome.n, np.log(tau))
    if hidden_time_constants_s is not None:
        hidden = np.asarray(abs(drive).sum(axis=1)).ravel() == 0
        shortest, longest = np.log(hidden_time_constants_s)
        log_tau[hidden] = np.random.default_rng(seed).uniform(shortest, longest, hidden.sum())
    real = jnp.result_type(float)
    params: Params = {
        model.recurrent_group: strengths,
        "log_time_constants": jnp.asarray(log_tau, real),
        "bias": jnp.asarray(bias, real),
    }
    if isinstance(model.drive, DenseMap):
        params["drive"] = jnp.asarray(drive.astype(real).toarray())
    elif model.drive is not None:
        strengths = drive.data if drive.nnz else np.zeros(model.drive.strengths_shape)
        params["drive"] = jnp.asarray(strengths, real)
    if readout.learned:
        params["readout"] = jnp.asarray(readout.matrix.toarray(), real)
    return model.project(params)


def _start_of_regression(
    model: RateModel,
    readout: Readout,
    start: RegressionStart,
    mean_activity: Float[np.ndarray, "P"] | None,
    weight_spread: float,
    seed: int,
) -> Params:
    real = jnp.result_type(float)
    gains = isinstance(model.recurrent, GainMap)
    strengths = jnp.ones(model.recurrent.strengths_shape, real) if gains else start.magnitudes
    if weight_spread:  # of mean 1, so that sums over many connections stay what they were
        strengths = strengths * _spread(model, weight_spread, seed) * np.exp(-(weight_spread**2) / 2)
    bias = np.zeros(model.neurons)
    if mean_activity is not None:
        mean = np.asarray(mean_activity, np.float64)
        rates = open_rates(readout, mean)
        bias = rates - np.asarray(_recurrent_input(model, strengths, rates))
        if model.drive is not None and start.drive is not None:
            driven = model.drive.apply(start.drive, jnp.asarray(mean, real)[:, None])[:, 0]
            bias -= np.maximum(np.asarray(driven), 0)
    params: Params = {
        model.recurrent_group: strengths,
        "log_time_constants": jnp.asarray(start.log_time_constants, real),
        "bias": jnp.asarray(bias, real),
    }
    if start.drive is not None:
        params["drive"] = start.drive
    if readout.learned:
        params["readout"] = jnp.asarray(readout.matrix.toarray(), real)
    return model.project(params)


def _loop_gain(
    model: RateModel, strengths: Array, drive: sp.csr_array, readout: sp.csr_array, *, rounds: int = 4
) -> float:
    """Factor by which the drive must shrink for activity fed back through the read-out neither to grow nor to fade.

    That is the s for which ``W + E C / s`` has the largest eigenvalue 1, by power iteration. Where the
    recurrent connections alone reach 1, no drive can undo it and s stays 1.
    """
    real, n, units = strengths.dtype, model.neurons, len(readout.indptr) - 1
    sparse = SparseMap(ops.Pattern.of(drive.indptr, drive.indices, units))
    read = SparseMap(ops.Pattern.of(readout.indptr, readout.indices, n))
    values, ones = jnp.asarray(drive.data, real), jnp.ones(n, real)
    loop = Loop(strengths, ones, jnp.zeros(n, real), read, jnp.asarray(readout.data, real), sparse)
    start = sparse.apply(values, jnp.ones((units, 1), real))
    gain = 1.0
    for _ in range(rounds):
        growth = float(growth_by_sweep(model, loop._replace(drive_strengths=values / gain), start)[0][-1])
        if not 1e-3 < growth < 1e3:
            return 1.0
        gain *= growth
    return gain


@jax.jit
def _recurrent_input(model: RateModel, strengths: Array, rates: Float[Array, "N"]) -> Float[Array, "N"]:
    """What neurons receive from each other at the given rates."""
    return model.recurrent.apply(strengths, model.outputs(jnp.asarray(rates, strengths.dtype)[:, None]))[:, 0]


def start_magnitudes(
    model: RateModel,
    connectome: Connectome,
    weights: str = "counts",
    *,
    spectral_radius: float | None = 0.1,
    seed: int = 0,
) -> Float[Array, "M"]:
    """Magnitudes at which free strengths start (without a spread), for gains to multiply.

    Parameters
    ----------
    model
        A model with free magnitudes, of this connectome.
    weights, spectral_radius, seed
        As in `init_params`.
    """
    one_of("weights", weights, WEIGHTS)
    magnitudes = jnp.asarray(initial_magnitudes(connectome, weights, seed=seed), jnp.result_type(float))
    magnitudes = model.project({"weights": magnitudes})["weights"]
    if spectral_radius is not None and connectome.m:
        magnitudes *= _scale_to_radius(model, connectome, magnitudes, spectral_radius)
    return magnitudes


def _spread(model: RateModel, deviation: float, seed: int) -> Array:
    """Log-normal factors of median 1, one per strength, from a stream of their own."""
    if deviation < 0:
        raise ConfigError(f"weight_spread = {deviation} must not be negative")
    draw = np.random.default_rng([seed, _SPREAD]).standard_normal(model.recurrent.strengths_shape, np.float32)
    if model.junctions is not None and model.recurrent_group == "weights":
        forward, backward = np.asarray(model.junctions)
        draw[backward] = draw[forward]
    return jnp.asarray(np.exp(deviation * draw), jnp.result_type(float))


def initial_magnitudes(connectome: Connectome, weights: str, *, seed: int = 0) -> Float[np.ndarray, "M"]:
    """Magnitudes [M] before scaling; see `init_params`."""
    counts = connectome.counts
    if weights == "counts":
        return counts.astype(jnp.result_type(float))
    if weights == "input_fraction":
        total = np.bincount(connectome.posts, counts, connectome.n)
        return (counts / total[connectome.posts]).astype(jnp.result_type(float))
    scale = np.sqrt(2 / max(1.0, connectome.m / max(1, connectome.n))) / TRUNCATED_NORMAL_STD
    draw = jax.random.truncated_normal(jax.random.key(seed), -2.0, 2.0, (connectome.m,))
    return scale * np.abs(np.asarray(draw))


def spectral_radius_of(model: RateModel, strengths: Array) -> float:
    """Largest absolute eigenvalue of the signed recurrent matrix: dense up to 500 neurons, else by ARPACK.

    The strengths are those of `model.recurrent`: magnitudes, or gains. ARPACK sees the matrix only through the
    operators, so that no copy of the connections is made.
    """
    n = model.neurons
    if n <= 500:
        columns = model.recurrent.apply(strengths, model.outputs(jnp.eye(n, dtype=strengths.dtype)))
        return float(np.abs(np.linalg.eigvals(np.asarray(columns, np.float64))).max(initial=0.0))

    def apply(rates: np.ndarray) -> np.ndarray:
        return np.asarray(_recurrent_input(model, strengths, np.ravel(rates)), np.float64)

    recurrent: Any = spla.LinearOperator((n, n), matvec=apply, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    start = np.random.default_rng(0).standard_normal(n)
    values = spla.eigs(recurrent, k=4, which="LM", v0=start, return_eigenvectors=False, tol=1e-4, maxiter=50 * n)  # pyright: ignore[reportArgumentType]
    return float(np.abs(values).max())


def _scale_to_radius(model: RateModel, connectome: Connectome, strengths: Array, target: float) -> float:
    if target < 0:
        raise ConfigError(f"spectral_radius = {target} must not be negative")
    radius = spectral_radius_of(model, strengths)
    if radius < 1e-12 * max(1.0, float(strengths.max())):
        raise ConfigError(
            f"connectome {connectome.name!r} has no recurrent loop (spectral radius 0), "
            f"so it cannot be scaled to {target}; set spectral_radius to null"
        )
    return target / radius


def _dense(matrix: sp.csr_array) -> Float[np.ndarray, "P P"]:
    return matrix.toarray()
