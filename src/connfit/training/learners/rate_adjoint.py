"""Rate neurons whose window is compiled: adjoint and postsynaptic factors in one pass over the neurons.

In D-RTRL errors travel along each neuron's own rate alone, so that nothing of a step is needed of other neurons than
what they sent; in the hybrid rule they go back through all connections first, one step after the other. What XLA makes
of the same equations takes a pass over arrays of a window for nearly each of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from connfit.models.base import Model, Neurons, Params
from connfit.models.forward import Trajectory, correct_adjoint, forcing_of
from connfit.models.maps import GainMap, SparseMap
from connfit.models.ops.rate_kernels import has_rates, rate_window
from connfit.models.windows import arrived_of, run_steps
from connfit.training.learners.compiled_window import COMPILED, as_stored
from connfit.training.learners.learner import WindowArrays, WindowResult, score_window
from connfit.training.learners.window_sums import side_by_side

OWN = ("time_constants", "bias")
"""What each neuron learns, in the code's order."""


NETWORK = "network", "trace"
"""Credit and carry of the hybrid rule."""


def has_rate_window(dials: tuple[str, str], model: Model, trained: tuple[str, ...], *, all_forced: bool = True) -> bool:
    """Return whether the compiled window does all that is asked of it, and native code runs here.

    Parameters
    ----------
    dials
        Credit and carry.
    all_forced
        Whether no unit is fed its own prediction.
    """
    return (
        (dials == COMPILED or (dials == NETWORK and all_forced and not model.delay))
        and model.neuron.rectifies
        and type(model.recurrent) in (SparseMap, GainMap)  # not of one block of neurons
        and type(model.readout) is SparseMap
        and not model.own_gains
        and "readout" not in trained
        and has_rates(jnp.result_type(float))
    )


def window_of_rates(
    credit: str,
    model: Model,
    params: Params,
    start: Neurons,
    traces: dict[str, Any],
    window: WindowArrays,
    trained: tuple[str, ...],
) -> tuple[WindowResult, Neurons, dict[str, Any]]:
    """Return loss, gradient and predictions of a window, and neurons and traces after it."""
    end, predictions, ran = forward_rates(model, params, start, window)
    loss, error, own = score_window(model, params, predictions, window, trained)
    gradient, traces = rate_adjoint(model, params, traces, ran, window, error, trained, network=credit == "network")
    return WindowResult(loss, gradient | own, predictions), end, traces


class RateForward(NamedTuple):
    """A window that was run, for its adjoint.

    Attributes
    ----------
    states, received
        As of `Trajectory`.
    arrived
        What arrived at synapses.
    gate, inputs
        As of `Trajectory`; None without a drive.
    """

    states: Float[Array, "K N B"]
    received: Float[Array, "K N B"]
    arrived: Float[Array, "K N B"]
    gate: UInt8[Array, "K N B"] | None
    inputs: Float[Array, "K P B"] | None


def forward_rates(
    model: Model, params: Params, start: Neurons, window: WindowArrays
) -> tuple[Neurons, Float[Array, "K P B"], RateForward]:
    """Return the neurons after a window, what is read of them after each step, and what the adjoint needs."""
    strengths = model.readout_strengths(params)

    def keep(after: Neurons, seen: Trajectory, _: None) -> tuple[Array, Array, Array, Array | None, Array | None]:
        read = model.readout.apply(strengths, after.rates)
        gate, inputs = (None, None) if model.drive is None else (seen.gate.astype(jnp.uint8), seen.inputs)
        return read, seen.states[0], seen.received[0], gate, inputs

    given = window.inputs, window.forced, window.fed_back, window.external
    end, (read, states, received, gate, inputs) = run_steps(model, params, start, given, keep)
    return end, read, RateForward(states, received, arrived_of(start, states), gate, inputs)


def rate_adjoint(
    model: Model,
    params: Params,
    traces: dict[str, Any],
    forward: RateForward,
    window: WindowArrays,
    error: Float[Array, "K P B"],
    trained: tuple[str, ...],
    *,
    network: bool,
) -> tuple[Params, dict[str, Any]]:
    """Return gradients and traces.

    Parameters
    ----------
    traces
        At the window's start, by group.
    error
        ∂loss/∂y of each step.
    network
        Whether errors go back through all connections.
    """
    steps, units, batch = error.shape
    forcing = forcing_of(model, params, window.forced)
    kept = None if forcing is None else forcing.kept
    errors: Array | tuple[Array, Array]
    if network:
        errors = _through_connections(model, params, forward, window.forced, error, kept)
    else:
        by_unit = error.transpose(1, 0, 2).reshape(units, -1)
        errors = model.readout.adjoint(model.readout_strengths(params), by_unit).reshape(-1, steps, batch)
    nothing = jnp.zeros((model.neurons, batch), error.dtype)
    back = rate_window(
        model.constants(params)["time_constants"][:, 0], forward.states, forward.received, errors, kept, forward.gate,
        jnp.stack([traces[name][0] if name in traces else nothing for name in OWN]),
    )  # fmt: skip
    found: Params = {}
    after: dict[str, Any] = {}
    for name, value, trace in zip(OWN, back.own_gradient, back.own_trace, strict=True):
        if name in trained:
            after[name] = (trace,)
            key, slope = as_stored(model, params, name, value)
            found[key] = slope
    straight, gated = (back.left, back.trace_left), (back.gated, back.trace_gated)
    maps: dict[str, tuple[Any, tuple[Array, Array], Array | None]] = {
        model.recurrent_group: (model.recurrent, straight, jax.vmap(model.outputs)(forward.arrived)),
        "drive": (model.drive, gated, forward.inputs),
        "inputs": (model.inputs, straight, window.external),
    }
    for group, (synapses, (left, trace_left), right) in maps.items():
        if group not in trained or synapses is None:
            continue
        if right is None:
            right = jnp.zeros((steps, synapses.sources, batch), error.dtype)
        found[group], after[group] = synapses.outer_with_trace(
            traces[group], back.carry, back.decay, left, trace_left, side_by_side(right)
        )
    return found, after


def _through_connections(
    model: Model,
    params: Params,
    forward: RateForward,
    forced: Bool[Array, "K P B"],
    error: Float[Array, "K P B"],
    kept: Float[Array, "K N B"] | None,
) -> tuple[Float[Array, "K N B"], Float[Array, "N B"]]:
    """λ of the rates after each step, and λ⁰ of those before the window."""
    strengths, decay = model.readout_strengths(params), model.constants(params)["time_constants"]

    def back(to_rates: Array, step: tuple[Array, Array, Array, Array | None]) -> tuple[Array, Array]:
        error_t, received, forced_t, kept_t = step
        adjoint = to_rates + model.readout.adjoint(strengths, error_t)
        driven = jnp.where(received >= 0, (1 - decay) * adjoint, 0)
        before = decay * adjoint + model.received_adjoint(params, (driven,))
        # Where units read several neurons, what was recorded moved them all together.
        corrected = correct_adjoint(model, before, forced_t)
        return corrected if kept_t is None else kept_t * corrected, adjoint

    if model.correction is not None:
        kept = None
    nothing = jnp.zeros((model.neurons, error.shape[2]), error.dtype)
    start, adjoints = jax.lax.scan(back, nothing, (error, forward.received, forced, kept), reverse=True)
    return adjoints, start
