"""Many steps of spikes in one call are the same steps one by one: in runs, in windows of training, in derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import random_connectome

from connfit.models import compiled_run, rollout
from connfit.models.base import Neurons, Params
from connfit.models.cells.adaptive_integrate_fire import AdaptiveLIF
from connfit.models.cells.integrate_fire import LIF
from connfit.models.compiled_run import connected_steps, in_one_call, spiking_window, window_in_one_call
from connfit.models.conditions import ModelConditions
from connfit.models.connectome_model import ConnectomeModel
from connfit.models.input_map import input_map
from connfit.models.ops import native
from connfit.models.readout import Readout
from connfit.models.rollout import Shown, State
from connfit.models.windows import run_steps

pytestmark = pytest.mark.skipif(not native.available(), reason=f"no compiled kernels: {native.why_not()}")

N, UNITS = 203, 4
FAST = (("membrane", 0.9), ("synapse", 0.5), ("threshold", 0.4), ("refractory", 1.0), ("response", 0.4), ("base", 0.1))
EVENTS = {"poisson_hz": 0.8, "poisson_weight": 0.25}
"""Of a weight by which products are exact: XLA adds them up before it rounds them, and spikes are chaotic."""


def brain_of(
    kind: type[LIF], delay: int, *, events: bool, inputs: bool, drive: str = "none"
) -> tuple[ConnectomeModel, Params]:
    """A brain in which every other neuron or so spikes within ten steps."""
    rng = np.random.default_rng(delay)
    brain = random_connectome(rng, N, 8)
    readout = Readout(sp.csr_array(np.abs(rng.normal(size=(UNITS, N)))), tuple(f"u{k}" for k in range(UNITS)))
    maps = input_map(brain, readout, ("light", "touch"), 1, "all") if inputs else None
    given = ModelConditions(connectome=brain, readout=readout, step_s=0.6, drive=drive, delay=delay, inputs=maps)
    starts = (*FAST, *((("adaptation", 2.0), ("jump", 0.2)) if kind is AdaptiveLIF else ()))
    model = ConnectomeModel.wire(given, kind(starts=starts, **(EVENTS if events else {})))
    params = {
        "weights": jnp.asarray(rng.random(brain.m) * 0.4, jnp.float32), "log_time_constants": jnp.zeros(N),
        "bias": jnp.asarray(rng.normal(0.1, 0.3, N), jnp.float32), **model.own_start(),
    }  # fmt: skip
    for group, synapses in (("drive", model.drive), ("inputs", model.inputs)):
        if synapses is not None:
            params[group] = jnp.asarray(rng.normal(0.1, 0.3, synapses.strengths_shape), jnp.float32)
    return model, params


def start_of(model: ConnectomeModel, batch: int) -> Neurons:
    """Neurons of which some are about to spike, and of which spikes are on their way."""
    rng, rest = np.random.default_rng(1), model.rest(batch)
    states = (jnp.asarray(rng.random((N, batch)), jnp.float32), *rest.states[1:])
    sent = None if rest.sent is None else jnp.asarray(rng.random(rest.sent.shape) < 0.2, jnp.float32)
    return rest._replace(states=states, sent=sent).on_stream(np.arange(batch), 7)


def assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "batch", "delay", "events", "inputs"),
    [
        (LIF, 1, 0, True, True), (LIF, 1, 1, False, False), (AdaptiveLIF, 3, 3, True, False), (LIF, 8, 2, False, True),
        (AdaptiveLIF, 19, 0, True, True),
    ],
)  # fmt: skip
def test_steps_in_one_call_are_single_steps(
    kind: type[LIF], batch: int, delay: int, events: bool, inputs: bool
) -> None:
    model, params = brain_of(kind, delay, events=events, inputs=inputs)
    before = start_of(model, batch)
    external = jnp.asarray(np.random.default_rng(2).normal(size=(2, batch)), jnp.float32) if inputs else None
    assert in_one_call(model, jnp.dtype("float32"))
    for steps in (1, 2, 7, 40):
        found = jax.jit(connected_steps, static_argnums=0)(steps, model, params, before, external)
        expected = jax.jit(compiled_run._one_by_one, static_argnums=0)(steps, model, params, before, external)
        assert_same(found, expected)
    assert 0 < float(found[1].mean()) < 40 and float(found[1].max()) > 1, "neurons spike, and not all the time"


def test_runs_are_those_of_single_steps_and_so_are_their_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    model, params = brain_of(LIF, 1, events=False, inputs=True)
    start, shown = State.of(model, start_of(model, 3)), Shown.nothing(model, 5, 3)
    shown = shown._replace(external=np.random.default_rng(3).normal(size=(5, 2, 3)).astype(np.float32))

    def run(weights: jax.Array) -> tuple[State, jax.Array]:
        ran = rollout.rollout(model, {**params, "weights": weights}, start, shown, rollout.readings, substeps=6)
        return ran.state, ran.each

    def total(weights: jax.Array) -> jax.Array:
        return (run(weights)[1] ** 2).sum()

    found = run(params["weights"]), jax.grad(total)(params["weights"])
    calls: list[str] = []
    monkeypatch.setattr(rollout, "in_one_call", lambda *_: bool(calls.append("asked")))
    rollout._rollout.clear_cache()
    expected = run(params["weights"]), jax.grad(total)(params["weights"])
    rollout._rollout.clear_cache()
    assert calls and float(jnp.abs(expected[1]).max()) > 0
    assert_same(found, expected)


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize(
    ("kind", "batch", "delay", "drive", "inputs"),
    [(LIF, 1, 1, "dense", False), (LIF, 3, 0, "none", True), (AdaptiveLIF, 8, 2, "anatomical", True)],
)
def test_a_window_in_one_call_is_the_window_of_single_steps(
    kind: type[LIF], batch: int, delay: int, drive: str, inputs: bool, in_pieces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces: as where there are too many inputs to hold them all."""
    if in_pieces:
        monkeypatch.setattr(compiled_run, "AT_ONCE", 0)
    rng, steps = np.random.default_rng(4), 34
    model, params = brain_of(kind, delay, events=batch == 3, inputs=inputs, drive=drive)
    start = start_of(model, batch)
    shown = jnp.asarray(rng.normal(0.2, 0.5, (steps, UNITS, batch)), jnp.float32)
    external = jnp.asarray(rng.normal(size=(steps, 2, batch)), jnp.float32) if inputs else None
    scored, all_shown = jnp.asarray(rng.random(steps) < 0.3), jnp.zeros(0, jnp.int32)
    assert window_in_one_call(model, all_shown, jnp.dtype("float32"))
    assert (drive == "none") == window_in_one_call(model, None, jnp.dtype("float32")), "what is fed back is not known"

    def keep(after: Neurons, seen: Any, scored: jax.Array) -> tuple:
        read = model.readout.apply(
            model.readout_strengths(params), model.neuron.observed(model.constants(params), after.states)
        )
        spiked = model.neuron.output(model.constants(params), seen.states)
        gate = None if drive == "none" else seen.gate
        return jnp.where(scored, read, 0), seen.received[0], spiked, gate

    found = jax.jit(lambda: spiking_window(model, params, start, shown, external, scored))()
    expected = jax.jit(
        lambda: run_steps(model, params, start, (shown, shown == shown, all_shown, external), keep, scored)
    )()
    assert_same((found[0], tuple(found[1])), (expected[0], expected[1]))
    spikes = np.asarray(found[1].spiked)
    assert 0.01 < spikes.mean() < 0.9
    assert drive == "none" or 0.1 < np.asarray(found[1].gate).mean() < 0.9


def test_what_is_not_known_before_is_taken_step_by_step() -> None:
    """A drive by what the model reads of itself, forced states, and cells without code for many steps."""

    class Shifted(LIF):
        def step(self, theta: Any, h: Any, x: Any) -> Any:
            return super().step(theta, h, (x[0] + 1,))

    kind = jnp.dtype("float32")
    driven, _ = brain_of(LIF, 0, events=False, inputs=False, drive="dense")
    free, _ = brain_of(LIF, 0, events=False, inputs=False)
    of_other_cell, _ = brain_of(Shifted, 0, events=False, inputs=False)
    refused: tuple[Callable[[ConnectomeModel], bool], ...] = (
        lambda model: in_one_call(model, kind), lambda model: window_in_one_call(model, None, kind),
    )  # fmt: skip
    for asked in refused:
        assert asked(free) and not asked(driven) and not asked(of_other_cell)
        assert not asked(replace(free, forces=True))
    assert not in_one_call(free, jnp.dtype("float64"))
