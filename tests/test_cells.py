"""Cells: all of them keep their contract, their options are their own, and every table of pieces is listed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from contracts import check_cell
from networks import random_connectome
from small import teacher
from typer.testing import CliRunner

import connfit
from connfit._registry import REGISTRIES, registries
from connfit.cli import app
from connfit.config import ModelConfig
from connfit.models import Readout, ops
from connfit.models.cells import CELLS
from connfit.models.cells.rate import Rate
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.neuron import Jacobian, Neuron
from connfit.models.observation import observe
from connfit.models.ops import native
from connfit.training.learners import WindowArrays, WindowedLearner

SLOW = {"membrane": 0.9, "synapse": 0.5, "threshold": 0.4, "refractory": 1.0, "surrogate_width": 0.6}
OPTIONS = {"lif": SLOW, "adaptive-lif": {**SLOW, "adaptation": 2.0, "jump": 0.2}}
"""Of cells whose own starts are not for steps of half a second."""

SOURCE = Path(connfit.__file__).parent


@pytest.mark.parametrize("name", list(CELLS))
def test_every_cell_keeps_its_contract(name: str) -> None:
    check_cell(name, *teacher(), options=OPTIONS.get(name))


def test_a_wrong_slope_breaks_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Rate.jacobian

    def wrong(self: Rate, *at: Any) -> Jacobian:
        found = right(self, *at)
        return found._replace(inputs=((0.9 * found.inputs[0][0],),))

    monkeypatch.setattr(Rate, "jacobian", wrong)
    with pytest.raises(AssertionError):
        check_cell("rate", *teacher())


def test_the_default_is_registered_and_a_cell_does_not_change_its_options_unseen() -> None:
    assert ModelConfig().cell in CELLS
    rate = CELLS["rate"]
    for option, value in rate.options.defaults().items():
        assert getattr(ModelConfig(), option) == value, "the section and the cell have one default"
    assert replace(rate, name="other").row == "other"


def test_every_registry_is_listed() -> None:
    table = re.compile(r"^([A-Z_]+): Registry\[.*\] = Registry\(", re.MULTILINE)
    made = {name for path in SOURCE.rglob("*.py") for name in table.findall(path.read_text(encoding="utf-8"))}
    assert "CELLS" in made and made <= {place.partition(":")[2] for place in REGISTRIES.values()}
    assert made == {REGISTRIES[kind].partition(":")[2] for kind in registries()}


def test_a_kind_may_be_named_as_its_entry_points_are() -> None:
    names = {registry.short_name: kind for kind, registry in registries().items()}
    assert {"rules": "learning rules", "nulls": "null connectomes", "cells": "cells"}.items() <= names.items()
    listed = [CliRunner().invoke(app, ["list", kind, "--json"]).output for kind in ("rules", "learning rules")]
    assert listed[0] == listed[1] and "d-rtrl" in listed[0]


def observed(cell: str, **options: Any) -> Neuron:
    return observe(CELLS[cell].neuron(**options), "order-2", step_s=0.6, decay_s=2.0, rise_s=0.5)


@pytest.mark.parametrize("nonlinearity", ["relu", "softplus"])
@pytest.mark.parametrize("make", [lambda cell, **options: CELLS[cell].neuron(**options), observed])
@pytest.mark.parametrize("cell", [cell for cell in CELLS if not CELLS[cell].neuron.spikes])
def test_slopes_follow_from_the_little_that_a_window_keeps_of_them(cell: str, make: Any, nonlinearity: str) -> None:
    neuron = make(cell, nonlinearity=nonlinearity)
    rng = np.random.default_rng(0)
    names = ("time_constants", *(one.name for one in neuron.parameters))
    theta = {name: jnp.asarray(rng.random((50, 1)), jnp.float32) for name in names}
    h, x = (tuple(jnp.asarray(rng.normal(size=(4, 50, 2)), jnp.float32) for _ in part) for part in
            (neuron.states, neuron.channels))  # fmt: skip
    assert neuron.has_slopes
    at = jax.jit(neuron.for_slopes)(theta, h, x)
    assert sum(one.nbytes for one in jax.tree.leaves(at)) <= x[0].nbytes / (4 if nonlinearity == "relu" else 1)

    @jax.jit
    def both(theta: dict, h: tuple, x: tuple, at: Any) -> tuple:
        right = neuron.jacobian(theta, h, x)
        return neuron.slopes(theta, at), (right.states, right.inputs)

    jax.tree.map(np.testing.assert_array_equal, *both(theta, h, x, at))


def test_a_cell_that_replaces_a_step_does_not_keep_the_slopes_of_the_old_one() -> None:
    class Louder(Rate):
        def step(self, theta: Any, h: Any, x: Any) -> Any:
            return (2 * super().step(theta, h, x)[0],)

    class Bent(Rate):
        def activation(self, x: Any) -> Any:
            return x**2, 2 * x

    class Named(Rate):
        def slopes(self, theta: Any, at: Any) -> Any:
            """Something else, of one's own."""

    assert Rate().has_slopes and not Louder().has_slopes and not Named().has_slopes
    x = jnp.asarray([[0.5], [3.0]])
    alpha = {"time_constants": jnp.asarray([[0.5], [0.5]])}
    ((gain,),) = Bent().slopes(alpha, Bent().for_slopes(alpha, (x,), (x,)))[1]
    np.testing.assert_allclose(gain, x)


@pytest.mark.skipif(not native.available(), reason=f"no compiled kernels: {native.why_not()}")
@pytest.mark.parametrize(
    "cell", [*(pytest.param(cell, marks=pytest.mark.slow) for cell in ("rate-calcium", "adaptive-rate")), "two-channel"]
)  # the others are slow here: they have fewer states and channels, and compiling them takes seconds
def test_a_window_in_blocks_of_neurons_has_the_same_gradient(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With state forcing and a dense drive, over two windows, so that traces count."""
    rng, n, units, steps = np.random.default_rng(3), 50, 4, 8
    monkeypatch.setattr(native, "_NUMBERS_AT_ONCE", 300)
    brain = random_connectome(rng, n, 6)
    readout = Readout(sp.csr_array(np.eye(units, n)), tuple(f"u{k}" for k in range(units)))
    given = ModelConditions(connectome=brain, readout=readout, step_s=0.6, state_forcing=0.5)
    model = ConnectomeModel.wire(given, CELLS[cell].neuron())
    params = {
        "weights": jnp.asarray(rng.random(brain.m, np.float32)), "log_time_constants": jnp.zeros(n),
        "bias": jnp.full(n, 0.1), "drive": jnp.asarray(rng.normal(0.2, 0.5, (n, units)), jnp.float32),
        **model.own_start(),
    }  # fmt: skip
    values = jnp.asarray(rng.random((steps, units, 1), np.float32))
    window = WindowArrays(values, values > 0.2, values[::-1], jnp.ones_like(values))
    learner = WindowedLearner(steps, "neuron")

    found = []
    for implementation in ("native", "portable"):
        with ops.use(implementation):
            # A function of its own: JAX would take the program that it has compiled of the same one.
            step = jax.jit(lambda params, memory: learner.step(model, params, memory, window, model.groups))
            _, memory = step(params, learner.start(model, 1, model.groups))
            result, memory = step(params, memory)
            found.append((result.gradient, memory.traces))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), *found)
