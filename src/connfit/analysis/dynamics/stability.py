"""Stability of a fitted network: eigenvalues of its signed weights, and of its dynamics linearised at a state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from connfit._io import finite
from connfit.analysis.dynamics.spectrum import Spectrum, leading_eigenvalues
from connfit.errors import ConfigError, DataError, one_of
from connfit.models.base import INNOVATION_GAINS, Model, Neurons, Params, as_columns, as_neurons, state_size
from connfit.models.forward import Trajectory, tangent_step
from connfit.models.neuron import filled
from connfit.models.rest import sent_by, started, vector_of
from connfit.models.rollout import Shown, State, Stepped, rollout
from connfit.models.windows import read_out

LOOPS = ("closed", "open")


def weight_spectrum(model: Model, params: Params, *, k: int = 64, **options: Any) -> Spectrum:
    """Find the leading eigenvalues of the signed matrix of recurrent weights (gap junctions included, without a sign).

    It is not the matrix of a step in time: what a neuron adds to its own past, the activation and the loop through
    read-out and drive are in `jacobian_spectrum` alone. A random matrix with independent entries of standard
    deviation g/√N fills a disc of radius g (Girko 1985, doi 10.1137/1129095), for signed columns as in Rajan &
    Abbott (2006, doi 10.1103/PhysRevLett.97.188104).

    Parameters
    ----------
    model, params
        The model and its parameters.
    k, **options
        As in `leading_eigenvalues`.
    """
    weights = model.recurrent_strengths(params)

    def apply(columns: np.ndarray) -> np.ndarray:
        return np.asarray(_weights_times(model, weights, jnp.asarray(columns, weights.dtype)))

    return leading_eigenvalues(apply, model.neurons, k=k, matrix="weights", **options)


@jax.jit
def _weights_times(model: Model, weights: Array, columns: Float[Array, "N B"]) -> Float[Array, "N B"]:
    return model.recurrent.apply(weights, model.outputs(columns))


def jacobian_spectrum(
    model: Model,
    params: Params,
    start: Neurons | Float[np.ndarray, "N"],
    *,
    inputs: Float[np.ndarray, "P"] | None = None,
    observed: Bool[np.ndarray, "P"] | None = None,
    loop: str = "closed",
    k: int = 64,
    **options: Any,
) -> Spectrum:
    """Find the leading eigenvalues of the derivative of one step, ∂h(t)/∂h(t-1), at a state.

    Of cells with S states, and signals on their way with a delay of d steps, it is the matrix of all (S + d) N numbers.

    At a fixed point they say whether it is stable (radius below 1) and how slowly the model returns to it
    (`Spectrum.time_scales_s`). Elsewhere they are of the moment only, and `connfit.analysis.dynamics.lyapunov` is the
    measure of stability; `state["change"]` tells which of the two it is.

    A neuron that is silent (slope 0) keeps nothing but its own decay α. These decays are eigenvalues without any
    computation and would crowd out the others, hence they are reported as `silent` and `silent_radius`; `values`
    are the eigenvalues of the rest, exactly. With state forcing a recorded silent neuron keeps (1-φ)α; where units read
    several neurons, state forcing couples silent ones too, and all eigenvalues are computed; so they are of cells with
    several states, and with a delay.

    Parameters
    ----------
    start
        State before the step, as a run left it; of cells with one state, rates [N] in the recording's units.
    inputs
        [P] activity that the units show; default: the model's own read-out.
    observed
        [P] which units show it; default: all. The others follow the model's own read-out.
    loop
        `"closed"`: what units show follows the read-out, as in a free run. `"open"`: it is given from outside, as in
        teacher forcing: the drive does not follow, and state forcing moves the state to it before the step.
    k, **options
        As in `leading_eigenvalues`.

    Raises
    ------
    ConfigError
        If `loop` is unknown or a shape is wrong.
    """
    one_of("loop", loop, LOOPS)
    before = started(model, params, start)
    r = before.rates
    if inputs is None:
        show = read_out(model, params, tuple(one[None] for one in before.states))[0]
    else:
        show = jnp.asarray(vector_of("inputs", inputs, model.units), r.dtype)[:, None]
    has = np.ones(model.units, bool) if observed is None else np.asarray(observed, bool)
    if has.shape != (model.units,):
        raise ConfigError(f"observed has shape {has.shape}, but must have ({model.units},)")
    rows, none = jnp.asarray(has)[:, None], jnp.zeros((model.units, 1), bool)
    given, noisy = (rows, none) if loop == "open" else (none, none if inputs is None else rows)
    state = State.of(model, before)._replace(reading=show, shown=noisy)
    run = rollout(model, params, state, Shown(show[None], given[None]), _trajectory)
    new, seen = run.state.neurons, jax.tree.map(lambda step: step[0], run.each)
    open_now, corner = (np.asarray(each[:, 0]) for each in _open(model, params, seen))
    alone = len(before.states) == 1 and before.sent is None
    forced = loop == "open" and model.forces
    own = model.neuron.jacobian(model.constants(params), seen.states, seen.received).states[0][0] if alone else None
    decay = np.array(filled(own, r)[:, 0], np.float64)
    if forced and model.read_neurons is not None:
        gain = np.asarray(params[INNOVATION_GAINS][0]) if model.own_gains else model.state_forcing
        decay[np.asarray(model.read_neurons)] *= 1 - gain * has
    size = state_size(before)
    active = np.flatnonzero(open_now) if alone and not (forced and model.correction is not None) else np.arange(size)

    def apply(columns: np.ndarray) -> np.ndarray:
        whole = np.zeros((size, columns.shape[1]), r.dtype)
        whole[active] = columns
        return np.asarray(_tangent_columns(model, params, seen, given, noisy, before, jnp.asarray(whole)))[active]

    found = leading_eigenvalues(apply, len(active), k=k, matrix="jacobian", step_s=model.step_s, **options)
    silent = np.delete(decay, active) if alone else np.zeros(0)
    silent_radius = float(np.abs(silent).max(initial=0.0))
    return replace(
        found,
        size=size,
        radius=max(found.radius, silent_radius),
        silent=len(silent),
        silent_radius=silent_radius,
        state={
            "loop": loop if model.drive is not None or forced else "none: the model has no drive",
            "state_forcing": model.state_forcing if loop == "open" else 0.0,
            "inputs": "own read-out" if inputs is None else "given",
            "change": finite(_change(before, new)),
            "mean_rate": finite(float(sent_by(model, params, before).mean())),
            "silent_neurons": int((~open_now).sum()),
            "neurons_at_the_corner": int(corner.sum()),
            "neurons_with_closed_drive": int((np.asarray(seen.gate) == 0).sum()) if model.drive is not None else 0,
        },
    )


@jax.jit
def _tangent_columns(
    model: Model,
    params: Params,
    seen: Trajectory,
    given: Bool[Array, "P 1"],
    noisy: Bool[Array, "P 1"],
    like: Neurons,
    columns: Float[Array, "V B"],
) -> Float[Array, "V B"]:
    return as_columns(tangent_step(model, params, seen, given, noisy, as_neurons(columns, like)))


@jax.jit
def _open(model: Model, params: Params, seen: Trajectory) -> tuple[Bool[Array, "N 1"], Bool[Array, "N 1"]]:
    """Which neurons their input acts on, and on which of these no smaller input would act."""

    def acts(*received: Array) -> Bool[Array, "N 1"]:
        slopes = model.neuron.jacobian(model.constants(params), seen.states, received).inputs
        return jnp.stack([filled(one, seen.gate) != 0 for row in slopes for one in row]).any(axis=0)

    now = acts(*seen.received)
    return now, now & ~acts(*(one - 1e-30 for one in seen.received))


def _change(before: Neurons, after: Neurons) -> float:
    first, second = (jnp.concatenate(neurons.states) for neurons in (before, after))
    return float(jnp.linalg.norm(second - first) / jnp.maximum(jnp.linalg.norm(second), 1e-30))


def _trajectory(model: Model, params: Params, kept: None, now: Stepped, also: None) -> tuple[None, Trajectory]:
    return None, now.seen


def linear_model_spectrum(
    values: Float[np.ndarray, "T P"], *, step_s: float, ridge: float = 0.0, k: int | None = None
) -> Spectrum:
    """Find the eigenvalues of the linear model y(t) = A y(t-1) + c fitted to a recording by (ridge) regression.

    A control for spectral radii near 1: a signal that is slow against the frame, whatever made it, is fitted by a
    linear model whose eigenvalues approach exp(-Δt/τ). A radius near 1 is evidence for criticality only in so far
    as it exceeds this one.

    Parameters
    ----------
    values
        [T, P] activity; pairs of frames with a missing value are left out and counted in `state`.
    step_s
        Seconds between frames.
    ridge
        Penalty relative to the mean variance of the units, at least 0.
    k
        How many eigenvalues to keep; default all P.

    Raises
    ------
    DataError
        If fewer pairs of frames remain than there are units.
    """
    values = np.asarray(values, np.float64)
    whole: Bool[np.ndarray, "T"] = np.asarray(np.isfinite(values).all(axis=1))
    pairs = np.flatnonzero(whole[:-1] & whole[1:])
    units = values.shape[1]
    if len(pairs) <= units:
        raise DataError(
            f"a linear model of {units} units needs more than {units} pairs of complete frames, there are {len(pairs)}"
        )
    before, after = values[pairs], values[pairs + 1]
    before, after = before - before.mean(axis=0), after - after.mean(axis=0)
    covariance = before.T @ before
    covariance += ridge * np.trace(covariance) / units * np.eye(units)
    a = np.linalg.lstsq(covariance, before.T @ after)[0].T
    found = leading_eigenvalues(
        lambda columns: a @ columns,
        units,
        k=units if k is None else k,
        matrix="linear model of the recording",
        step_s=step_s,
        dense_up_to=units,
    )
    state = {"pairs_of_frames": len(pairs), "left_out": len(values) - 1 - len(pairs), "ridge": ridge}
    return replace(found, state=state)
