"""Integrate-and-fire cells and operators that follow spikes: closed forms, other implementations, portable code."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import random_connectome

from connfit.errors import ConfigError
from connfit.models import Readout, ops
from connfit.models.cells import CELLS
from connfit.models.cells.adaptive_integrate_fire import AdaptiveLIF
from connfit.models.cells.integrate_fire import LIF, passed_on
from connfit.models.cells.rate import Rate
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.input_map import input_map
from connfit.models.neuron import Neuron
from connfit.models.ops import compiled_cells, native
from connfit.models.spiking import GivenTrains, SpikingNetwork, spikes_of
from connfit.models.surrogate_spikes import SURROGATES, spike
from connfit.models.windows import run_window
from connfit.training.learners import WindowArrays, WindowedLearner
from connfit.training.learners.firing_rates import FiringPenalty

NATIVE = pytest.mark.skipif(not native.available(), reason=f"no compiled kernels: {native.why_not()}")
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
"""Of float32 sums of up to some hundred numbers near 1, in another order."""

SLOW = (("membrane", 0.9), ("synapse", 0.5), ("threshold", 0.4), ("refractory", 1.0), ("response", 0.4), ("base", 0.1))
"""Starts for steps of 0.6 s."""

FIRING = FiringPenalty(weight=0.5, low=0.3, high=0.4, mean_s=5.0)


@pytest.mark.usefixtures("float64")
def test_what_a_current_passes_on_is_its_integral_also_where_time_constants_are_equal() -> None:
    a = np.array([0.05, 0.05, 0.05, 0.3, 0.3 + 1e-5, 2.0])  # Δt / τ of the membrane
    b = np.array([0.2, 0.05, 0.05 + 1e-9, 0.3, 0.3, 0.01])  # and of the synapse
    nodes, weights = np.polynomial.legendre.leggauss(40)
    s = (nodes + 1) / 2
    expected = (weights / 2 * a[:, None] * np.exp(-a[:, None] * (1 - s) - b[:, None] * s)).sum(1)
    found, slope = jax.jit(jax.vmap(jax.value_and_grad(passed_on)))(np.exp(-a), np.exp(-b))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.isfinite(slope).all(), "also where the closed form divides by 0"


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_spikes_have_the_derivative_of_their_surrogate(surrogate: str) -> None:
    above = jnp.asarray([-9.0, -1.0, 0.0, 0.5, 3.0])
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(lambda x: spike(x, surrogate, 2.0))))(above)
    assert value.tolist() == [0, 0, 0, 1, 1], "strictly above the threshold"
    x = np.abs(np.asarray(above)) / 2
    shape = {"triangular": np.maximum(1 - x, 0), "fast-sigmoid": 1 / (1 + x) ** 2, "relu": 0.3 * np.maximum(1 - x, 0)}
    np.testing.assert_allclose(slope, shape[surrogate] / 2, rtol=1e-6)


CURRENT = 7.5  # mV into the membrane, which alone would make neurons spike every 56 ms


class WithCurrent(LIF):
    """The cell with a constant current into the membrane."""

    jacobian = Neuron.jacobian

    def step(self, theta: Any, h: Any, x: Any) -> Any:
        v, *others = super().step(theta, h, x)
        return jnp.where(others[1] < 1.5, v + (1 - theta["membrane"]) * CURRENT, v), *others


@pytest.mark.usefixtures("float64")
def test_the_cell_spikes_as_the_simulated_network_of_shiu_does() -> None:
    """Steps of 0.1 ms, 60 neurons, driven by a current."""
    rng, steps, n = np.random.default_rng(1), 3000, 60
    brain = random_connectome(rng, n, 12)
    brain = replace(brain, counts=brain.counts * 20)
    currents = np.full(n, CURRENT)
    network = SpikingNetwork.of(brain, dtype=np.float64)
    events = np.zeros((steps, 0, 1), bool)
    chunks = spikes_of(
        network, np.zeros(0, int), GivenTrains(events), steps, 0.1, watched=np.arange(n), current=currents
    )
    expected = np.concatenate([chunk.spikes for chunk in chunks])[..., 0]
    readout = Readout(sp.csr_array(np.eye(1, n)), ("u",))
    conditions = ModelConditions(
        connectome=brain, readout=readout, step_s=1e-4, drive="none", delay=17, bounds_s=(1e-4, 1.0)
    )
    model = ConnectomeModel.wire(conditions, WithCurrent())
    params = {
        "weights": jnp.asarray(0.275 * brain.counts), "log_time_constants": np.zeros(n), "bias": np.zeros(n),
        **model.own_start(),
    }  # fmt: skip
    nothing = np.zeros((steps, 1, 1))

    @jax.jit
    def output(params: dict) -> jax.Array:
        _, seen = run_window(model, params, model.rest(), nothing, nothing > 0)
        return model.neuron.output(model.constants(params), seen.states)

    spikes = np.asarray(output(params))[1:, :, 0]
    assert expected.sum() > 200 and (expected.sum(0) > 0).sum() > n / 2
    # What is after a step in the cell is sent in it by the simulator.
    np.testing.assert_array_equal(spikes, expected[: len(spikes)])


@NATIVE
@pytest.mark.parametrize(
    ("kind", "batch", "delay", "clears", "surrogate", "stored", "drive", "n", "firing"),
    [
        (LIF, 1, 1, True, "fast-sigmoid", "float32", "none", 1203, None),
        (LIF, 3, 0, False, "triangular", "float32", "dense", 203, FIRING),
        pytest.param(LIF, 2, 2, True, "relu", "bfloat16", "anatomical", 203, None, marks=pytest.mark.slow),
        pytest.param(AdaptiveLIF, 2, 1, True, "triangular", "float32", "none", 203, FIRING, marks=pytest.mark.slow),
        pytest.param(AdaptiveLIF, 3, 0, False, "fast-sigmoid", "float32", "dense", 203, None, marks=pytest.mark.slow),
        (AdaptiveLIF, 2, 2, True, "relu", "bfloat16", "anatomical", 203, FIRING),
    ],
)
def test_a_compiled_window_is_the_learners_own(
    kind: type[LIF],
    batch: int,
    delay: int,
    clears: bool,
    surrogate: Any,
    stored: str,
    drive: str,
    n: int,
    firing: FiringPenalty | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over three windows, so that traces count, with inputs and a drive that is closed now and then, and with events.

    203 neurons are no whole number of vectors or blocks; 1,203 with 60 inputs each are shared by threads.
    """
    rng, units, steps = np.random.default_rng(0), 4, 12
    brain = random_connectome(rng, n, 60 if n > 1000 else 8)
    readout = Readout(sp.csr_array(np.abs(rng.normal(size=(units, n)))), tuple(f"u{k}" for k in range(units)))
    inputs = None if drive == "none" else input_map(brain, readout, ("light", "touch"), 1, "all")
    given = ModelConditions(connectome=brain, readout=readout, step_s=0.6, drive=drive, delay=delay, inputs=inputs)
    starts = (*SLOW, *((("adaptation", 2.0), ("jump", 0.2)) if kind is AdaptiveLIF else ()))
    events: dict[str, Any] = {"poisson_hz": 0.8, "poisson_weight": 0.2} if batch == 3 else {}
    neuron = kind(starts=starts, surrogate=surrogate, surrogate_width=0.6, clears=clears, **events)
    model = ConnectomeModel.wire(given, neuron)
    params = {
        "weights": jnp.asarray(rng.random(brain.m) * 0.4, jnp.float32), "log_time_constants": jnp.zeros(n),
        "bias": jnp.asarray(rng.normal(0.3, 0.3, n), jnp.float32), **model.own_start(),
    }  # fmt: skip
    for group, synapses in (("drive", model.drive), ("inputs", model.inputs)):
        if synapses is not None:
            params[group] = jnp.asarray(rng.normal(0.1, 0.3, synapses.strengths_shape), jnp.float32)
    external = None if inputs is None else rng.normal(size=(steps, inputs.sources, batch)).astype(np.float32)
    learner = WindowedLearner(steps, "neuron", "trace", trace_dtype=stored, firing=firing)
    counted = (rng.random((3, steps, batch)) < 0.8).astype(np.float32)
    values = rng.random((3, steps, units, batch)).astype(np.float32)
    scored = (rng.random((3, steps, 1, 1)) < 0.4).astype(np.float32) * np.ones_like(values)

    def compiled_or_not(which: str) -> list:
        with ops.use(which):
            # A function of its own: JAX would take the program that it has compiled of the same one.
            step = jax.jit(lambda memory, window: learner.step(model, params, memory, window, model.groups))
            memory, found = jax.jit(lambda: learner.start(model, batch, model.groups))(), []
            memory = memory._replace(neurons=memory.neurons.on_stream(np.arange(batch)))
            for value, weight, counts in zip(values, scored, counted, strict=True):
                window = WindowArrays(value, value > 0.3, value, weight, external=external, counted=counts)
                result, memory = step(memory, window)
                # A compiled window reads nothing where nothing is scored.
                assert which == "portable" or not np.asarray(result.predictions)[weight == 0].any()
                found.append(result._replace(predictions=jnp.where(weight != 0, result.predictions, 0)))
            return [found, memory.traces, memory.firing]

    calls: list[str] = []
    call = compiled_cells.handler
    monkeypatch.setattr(compiled_cells, "handler", lambda name, *a, **k: calls.append(name) or call(name, *a, **k))
    mine, made = compiled_or_not("native"), len(calls)
    others = compiled_or_not("portable")
    assert len(calls) == made, "portable operators call no native code"
    code = "connfit_adaptive_lif_window" if kind is AdaptiveLIF else "connfit_lif_window"
    assert any(name.startswith(code) for name in calls)
    assert firing is None or mine[0][-1].firing.penalty > 0
    gradient = mine[0][-1].gradient
    assert all(np.abs(gradient[one.key]).max() > 0 for one in neuron.parameters if not one.fixed), "somebody spiked"
    near = {"rtol": 2e-2, "atol": 2e-2} if stored == "bfloat16" else {"rtol": 1e-4, "atol": 2e-6}
    assert jax.tree.structure(mine) == jax.tree.structure(others)
    for found, expected in zip(jax.tree.leaves(mine), jax.tree.leaves(others), strict=True):
        one, other = np.asarray(found, np.float32), np.asarray(expected, np.float32)
        scale = max(1e-6, float(np.abs(other).max()))
        np.testing.assert_allclose(one / scale, other / scale, **near)


@NATIVE
@pytest.mark.slow
@pytest.mark.parametrize("instructions", ["portable", "avx2"])
def test_compiled_windows_are_the_learners_own_on_every_processor(instructions: str) -> None:
    """Which a process chooses when it starts; the best that is here is in `make test`."""
    tests = f"{__file__}::{test_a_compiled_window_is_the_learners_own.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", tests]
    ran = subprocess.run(command, env={**os.environ, "CONNFIT_ISA": instructions}, capture_output=True, text=True)
    assert ran.returncode == 0 and "3 passed" in ran.stdout, ran.stdout


def test_a_cell_that_changes_the_step_has_no_compiled_window() -> None:
    class Shifted(LIF):
        def step(self, theta: Any, h: Any, x: Any) -> Any:
            return super().step(theta, h, (x[0] + 1,))

    class Stronger(AdaptiveLIF):
        def output(self, theta: Any, h: Any) -> Any:
            return 2 * super().output(theta, h)

    assert LIF().has_compiled and not Shifted().has_compiled and not Rate().has_compiled
    assert AdaptiveLIF().has_compiled and not Stronger().has_compiled


@pytest.mark.parametrize(("neuron", "arrays"), [(LIF(), 1.25), (AdaptiveLIF(), 2.25)])
def test_slopes_follow_from_potential_and_whether_a_neuron_is_free(neuron: LIF, arrays: float) -> None:
    """And from adaptation."""
    rng = np.random.default_rng(0)
    names = ("time_constants", *(one.name for one in neuron.parameters))
    theta = {name: jnp.asarray(rng.uniform(0.1, 0.9, (50, 1)), jnp.float32) for name in names}
    h = tuple(jnp.asarray(rng.normal(size=(4, 50, 2)), jnp.float32) for _ in neuron.states)
    at = jax.jit(neuron.for_slopes)(theta, h, (h[0],))
    assert sum(one.nbytes for one in at) == arrays * h[0].nbytes and neuron.has_slopes

    @jax.jit
    def slopes(theta: dict, h: tuple, at: tuple) -> tuple:
        right = neuron.jacobian(theta, h, (h[0],))
        return neuron.slopes(theta, at), (right.states, right.inputs)

    jax.tree.map(np.testing.assert_array_equal, *slopes(theta, h, at))


def test_times_that_are_counted_are_rounded_to_steps() -> None:
    """From a spike to the step in which a neuron moves again, as in Brian2: one step less is without moving."""
    neuron = LIF()
    step = jax.jit(neuron.step)
    for step_s, frozen in ((1e-4, 21), (1e-3, 1), (5e-3, 0)):
        parameter = next(one for one in neuron.parameters if one.name == "refractory")
        theta = {"refractory": parameter.used(jnp.full((1, 1), 0.0022), step_s)}
        kept = {"membrane": 0.9, "synapse": 0.5, "threshold": 7.0, "response": 1.0, "base": 0.0, "time_constants": 0.5}
        theta |= {name: np.full((1, 1), value, np.float32) for name, value in kept.items()}
        h, still = tuple(np.full((1, 1), value, np.float32) for value in (8.0, 0.0, 0.0, 0.0)), 0
        for _ in range(40):
            h = step(theta, h, (np.full((1, 1), 0.1, np.float32),))
            still += float(np.asarray(h[1])[0, 0]) == 0
        assert still == frozen, step_s


def test_steps_that_are_too_long_for_spikes_are_refused() -> None:
    brain = random_connectome(np.random.default_rng(0), 8, 2)
    readout = Readout(sp.csr_array(np.eye(1, 8)), ("u",))
    for step_s, right in ((0.5, False), (0.011, False), (0.01, True), (1e-4, True)):
        given = ModelConditions(connectome=brain, readout=readout, step_s=step_s, bounds_s=(1e-3, 1.0))
        if right:
            ConnectomeModel.wire(given, LIF())
        else:
            with pytest.raises(ConfigError, match="substeps"):
                ConnectomeModel.wire(given, LIF())


def test_gap_junctions_do_not_pass_spikes_on() -> None:
    brain = random_connectome(np.random.default_rng(0), 8, 2, electrical=2)
    readout = Readout(sp.csr_array(np.eye(1, 8)), ("u",))
    with pytest.raises(ConfigError, match="gap junctions"):
        ConnectomeModel.wire(
            ModelConditions(connectome=brain, readout=readout, step_s=1e-3, bounds_s=(1e-3, 1.0)), CELLS["lif"].neuron()
        )
