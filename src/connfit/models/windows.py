"""Windows of training: K steps that keep what an adjoint needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from connfit.models.base import Model, Neurons, Params
from connfit.models.compiled_step import for_run
from connfit.models.forward import Trajectory, fed_back_part, known_drive
from connfit.models.neuron import as_states
from connfit.models.rollout import advance

Each = TypeVar("Each")


def run_window(
    model: Model,
    params: Params,
    start: Neurons,
    inputs: Float[Array, "K P B"],
    forced: Bool[Array, "K P B"],
    fed_back: Int[Array, "W"] | None = None,
    external: Float[Array, "K F B"] | None = None,
) -> tuple[Neurons, Trajectory]:
    """Run K steps and keep what an adjoint needs: K numbers per neuron of each kind, nothing per connection.

    Where only some units are fed back (`connfit.training.learners.learner.WindowArrays`), that of all others is one
    product.
    """
    return run_steps(model, params, start, (inputs, forced, fed_back, external), lambda after, seen, also: seen)


def run_steps(
    model: Model,
    params: Params,
    start: Neurons,
    window: tuple[Array, Array, Array | None, Array | None],
    keep: Callable[[Neurons, Trajectory, Any], Each],
    also: Any = None,
) -> tuple[Neurons, Each]:
    """Run K steps as `run_window`, and stack what `keep` makes of each: of the neurons after it, what it left, `also`.

    Parameters
    ----------
    also
        K entries, one for each step.
    """
    inputs, forced, fed_back, external = window
    model = for_run(model, params, start, len(inputs))
    drives, part = None, None
    if model.drive is not None and fed_back is not None:
        part = fed_back_part(model, params, fed_back) if len(fed_back) else None
        if part is not None or not len(fed_back):
            drives = known_drive(model, params, inputs.at[:, fed_back].set(0))

    def forward(before: Neurons, now: tuple[Array, Array, Array | None, Array | None, Any]) -> tuple[Neurons, Each]:
        given, observed, drive, outside, beside = now
        after, seen = advance(model, params, before, given, observed, drive=drive, fed_back=part, external=outside)
        return after, keep(after, seen, beside)

    return jax.lax.scan(forward, start, (inputs, forced, drives, external, also))


def arrived_of(start: Neurons, sent: Float[Array, "K N B"]) -> Float[Array, "K N B"]:
    """Return what arrived at synapses at each step: what neurons sent one step before, or earlier with a delay."""
    return sent if start.sent is None else jnp.concatenate([start.sent, sent])[: len(sent)]


def states_after(model: Model, params: Params, seen: Trajectory, end: Neurons) -> tuple[Float[Array, "K N B"], ...]:
    """Return h(t) after each step of a window, before the correction by what was recorded then.

    Parameters
    ----------
    seen, end
        Of `run_window`.
    """
    if model.forces:
        return as_states(model.neuron.step(model.constants(params), seen.states, seen.received))
    return tuple(jnp.concatenate([one[1:], last[None]]) for one, last in zip(seen.states, end.states, strict=True))


def read_out(model: Model, params: Params, states: tuple[Float[Array, "K N B"], ...]) -> Float[Array, "K P B"]:
    """Read out the predictions y = C a of K steps from the states after them."""
    observed = model.neuron.observed(model.constants(params), states)
    k, n, b = observed.shape
    flat = model.readout.apply(model.readout_strengths(params), observed.transpose(1, 0, 2).reshape(n, k * b))
    return flat.reshape(-1, k, b).transpose(1, 0, 2)
