"""Steps of neurons that spike, many in one call of native code, where all inputs are known before the first."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from connfit.models.base import Model, Neurons, Params
from connfit.models.compiled_step import for_run, steps_spikes
from connfit.models.forward import known_drive, step
from connfit.models.maps import SparseMap
from connfit.models.ops.compiled_cells import Found, StepInputs, WhatIsRead, cell_steps, has_steps
from connfit.models.poisson_input import Clock

AT_ONCE = 2**20
"""Numbers of inputs that are computed before the steps that take them, of more than `STEPS` steps."""

STEPS = 16


def in_one_call(model: Model, dtype: jnp.dtype) -> bool:
    """Return whether `connected_steps` has the steps of this model while nothing is shown, held or injected."""
    return model.drive is None and not model.forces and _has_steps(model, dtype)


def window_in_one_call(model: Model, fed_back: Int[Array, "W"] | None, dtype: jnp.dtype) -> bool:
    """Return whether `spiking_window` has the windows of this model, in which these units are fed back."""
    known = model.drive is None or (fed_back is not None and not len(fed_back))
    return known and not model.forces and type(model.readout) is SparseMap and _has_steps(model, dtype)


def _has_steps(model: Model, dtype: jnp.dtype) -> bool:
    return steps_spikes(model, dtype) and has_steps(model.neuron)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def connected_steps(
    steps: int, model: Model, params: Params, before: Neurons, external: Float[Array, "F #B"] | None
) -> tuple[Neurons, Float[Array, "N B"]]:
    """Return the neurons after so many steps, and how many spikes each sent after these steps.

    Parameters
    ----------
    external
        Features of external inputs in all of them; None: they are at their mean.
    """
    others = None
    if model.inputs is not None and external is not None:
        others = model.inputs.apply(params["inputs"], external)
        others = jnp.broadcast_to(others, before.rates.shape)[None]
    after, found = _steps(model, params, before, steps, others, None)
    # A step begins with the spikes that the one before it sends.
    theta = model.constants(params)
    first, last = (model.neuron.output(theta, one.states) for one in (before, after))
    return after, found.counts - first + last


def _one_by_one(
    steps: int, model: Model, params: Params, before: Neurons, external: Array | None
) -> tuple[Neurons, Array]:
    nothing = jnp.zeros((model.units, before.rates.shape[1]), before.rates.dtype)

    def one(now: tuple[Neurons, Array], _: None) -> tuple[tuple[Neurons, Array], None]:
        after = step(model, params, now[0], nothing, None, external=external)[0]
        return (after, now[1] + model.neuron.output(model.constants(params), after.states)), None

    return jax.lax.scan(one, (before, jnp.zeros_like(before.rates)), None, steps)[0]


def _forward(steps: int, *operands: Any) -> tuple[tuple[Neurons, Array], tuple[Any, ...]]:
    return connected_steps(steps, *operands), operands


def _backward(steps: int, operands: tuple[Any, ...], slopes: tuple[Neurons, Array]) -> tuple[Any, ...]:
    model, *numbers = operands
    return None, *jax.vjp(partial(_one_by_one, steps, model), *numbers)[1](slopes)


connected_steps.defvjp(_forward, _backward)


class SpikingWindow(NamedTuple):
    """What a window of training leaves behind.

    Attributes
    ----------
    read
        What units show after each step that is scored, else 0.
    received
        The input of neurons.
    spiked
        Where the states before a step make a spike.
    gate
        As of `connfit.models.forward.Trajectory`; None without a drive.
    """

    read: Float[Array, "K P B"]
    received: Float[Array, "K N B"]
    spiked: UInt8[Array, "K N B"]
    gate: Float[Array, "K N B"] | None


def spiking_window(
    model: Model,
    params: Params,
    start: Neurons,
    inputs: Float[Array, "K P B"],
    external: Float[Array, "K F B"] | None,
    scored: Bool[Array, "K"],
) -> tuple[Neurons, SpikingWindow]:
    """Run the K steps of a window, as `connfit.models.windows.run_steps` does."""
    assert isinstance(model.readout, SparseMap)
    steps, readout, strengths = len(inputs), model.readout.pattern, model.readout_strengths(params)
    model = for_run(model, params, start, steps)

    def some(before: Neurons, now: tuple[Array | None, Array | None, Array]) -> tuple[Neurons, SpikingWindow]:
        shown, features, scored = now
        drive = None if shown is None else known_drive(model, params, shown)
        others = None if features is None else _outside(model, params, features)
        after, found = _steps(
            model, params, before, len(scored), others, drive,
            WhatIsRead(readout.indptr, readout.indices, strengths, scored.astype(jnp.uint8)),
        )  # fmt: skip
        assert found.read is not None and found.received is not None and found.spiked is not None
        gate = None if drive is None else (drive >= 0).astype(drive.dtype)
        return after, SpikingWindow(found.read, found.received, found.spiked, gate)

    given = inputs if model.drive is not None else None, external if model.inputs is not None else None, scored
    length = steps if given[:2] == (None, None) else _steps_at_once(steps, start.rates.size)
    if length == steps:
        return some(start, given)
    cut = jax.tree.map(lambda one: one.reshape(-1, length, *one.shape[1:]), given)
    end, pieces = jax.lax.scan(some, start, cut)
    return end, jax.tree.map(lambda one: one.reshape(-1, *one.shape[2:]), pieces)


def _steps_at_once(steps: int, numbers: int) -> int:
    """Return how many steps' inputs are held at once: all, or a divisor of their number."""
    if steps * numbers <= AT_ONCE:
        return steps
    return next(length for length in range(STEPS, 0, -1) if steps % length == 0)


def _outside(model: Model, params: Params, external: Float[Array, "K F B"]) -> Float[Array, "K N B"]:
    assert model.inputs is not None
    steps, features, batch = external.shape
    flat = model.inputs.apply(params["inputs"], external.transpose(1, 0, 2).reshape(features, -1))
    return flat.reshape(-1, steps, batch).transpose(1, 0, 2)


def _steps(
    model: Model,
    params: Params,
    before: Neurons,
    steps: int,
    others: Float[Array, "R N B"] | None,
    drive: Float[Array, "R N B"] | None,
    reads: WhatIsRead | None = None,
) -> tuple[Neurons, Found]:
    assert isinstance(model.recurrent, SparseMap)
    cell, clock, poisson = model.neuron.compiled(model.constants(params)), before.clock, model.neuron.poisson
    assert cell is not None
    signs = model.outputs(jnp.ones((model.neurons, 1), before.rates.dtype))[:, 0]
    inputs = StepInputs(signs, params["bias"], others, drive)
    if clock is not None:
        assert poisson is not None
        events = clock.stream, clock.step, poisson.thresholds(model.step_s), poisson.weight
        inputs = inputs._replace(events=events)
        clock = Clock(clock.stream, clock.step + jnp.uint32(np.uint32(steps % 2**32)))
    found = cell_steps(
        cell, model.recurrent.pattern, model.recurrent_strengths(params), (before.states, before.sent), inputs, steps,
        reads,
    )  # fmt: skip
    return Neurons(found.states, found.sent, clock), found
