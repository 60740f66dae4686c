"""Starts that look at no frame: a drive that predicts about the previous frame, or none."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float
from scipy.sparse.linalg import lsqr

from connfit.models import ops
from connfit.models.base import Model, Params
from connfit.models.init.loop import Loop, growth_by_sweep
from connfit.models.init.persistence_drive import persistence_drive
from connfit.models.init.response import drive_support
from connfit.models.init.start import STARTS, Start, StartConditions
from connfit.models.init.starting_weights import initial_magnitudes, radius_factor, recurrent_input, spread_factors
from connfit.models.maps import DenseMap, GainMap, SparseMap
from connfit.models.readout import MANY_UNITS


def plain_start(model: Model, given: StartConditions, *, driven: bool) -> Params:
    """Return parameters with weights from the wiring and, if it is to be `driven`, a drive of persistence.

    A model without a drive, which nothing recorded enters, starts by predicting the mean activity in both cases.
    """
    connectome, readout, seed = given.connectome, given.readout, given.seed
    if isinstance(model.recurrent, GainMap):
        strengths = jnp.ones(model.recurrent.strengths_shape, jnp.result_type(float))
    else:
        strengths = jnp.asarray(initial_magnitudes(connectome, given.weights, seed=seed), jnp.result_type(float))
    if given.weight_spread:
        strengths *= spread_factors(model, given.weight_spread, seed)
    if given.spectral_radius is not None and connectome.m:
        strengths *= radius_factor(model, connectome, strengths, given.spectral_radius)
    drive = sp.csr_array((connectome.n, readout.units))
    bias = np.zeros(connectome.n)
    if model.drive is None or driven:
        exact = persistence_drive(readout, drive_support(model))
        if model.drive is not None:
            drive = sp.csr_array(exact / _loop_gain(model, strengths, exact, readout.matrix))
        if given.mean_activity is not None:
            mean = np.asarray(given.mean_activity, np.float64)
            # Rates that are read out as the mean; `exact` alone would add what units share (C E is not quite 1).
            shared = sp.csr_array(readout.matrix @ exact)
            rates = np.maximum(exact @ np.maximum(_least_squares(shared, mean), 0), 0)
            received = np.asarray(recurrent_input(model, strengths, rates))
            bias = model.balance(rates) - np.maximum(drive @ mean, 0) - received
    log_tau = np.full(connectome.n, np.log(given.time_constant_s))
    if given.unit_time_constants_s is not None:
        log_tau[np.asarray(model.read_neurons)] = np.log(given.unit_time_constants_s)
    if given.hidden_time_constants_s is not None:
        hidden = np.asarray(abs(drive).sum(axis=1)).ravel() == 0
        shortest, longest = np.log(given.hidden_time_constants_s)
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


def _loop_gain(model: Model, strengths: Array, drive: sp.csr_array, readout: sp.csr_array, *, rounds: int = 4) -> float:
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
        growths, _ = growth_by_sweep(model, loop._replace(drive_strengths=values / gain), start)
        growth = float(np.asarray(growths)[-1])
        if not 1e-3 < growth < 1e3:
            return 1.0
        gain *= growth
    return gain


def _least_squares(matrix: sp.csr_array, right: Float[np.ndarray, "P"]) -> Float[np.ndarray, "P"]:
    if len(right) > MANY_UNITS:
        return np.asarray(lsqr(matrix, right, atol=1e-12, btol=1e-12)[0])
    return np.linalg.lstsq(matrix.toarray(), right)[0]


STARTS.register(
    Start(
        name="persistence",
        label="each unit drives the neurons that it reads, which predicts about the previous frame",
        parameters=partial(plain_start, driven=True),
        automatic=True,
        place=10,
    )
)
STARTS.register(Start(name="zero", label="a drive of zero", parameters=partial(plain_start, driven=False), place=30))
