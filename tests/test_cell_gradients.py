"""Gradients of every rule for every cell, against autodiff through a plain scan and against explicit traces.

In double precision, on one brain with two recordings, missing values and targets, withheld inputs, gap junctions.
The oracles are in `cell_oracles`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from cell_oracles import (
    BATCH,
    EXACT,
    NEURON_OF,
    NEURONS,
    QUICK,
    STEPS,
    UNITS,
    Case,
    Tired,
    by_autodiff,
    case,
    explicit,
    published,
)
from networks import pieces, random_connectome

from connfit.errors import ConfigError
from connfit.models import Readout, tie_weights
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.neuron import Neuron, filled
from connfit.models.parameter import Parameter
from connfit.training.learners import WindowArrays, WindowedLearner

pytestmark = pytest.mark.usefixtures("float64")

step = jax.jit(WindowedLearner.step, static_argnames=("self", "trained"), compiler_options=QUICK)


def run(learner: WindowedLearner, one: Case) -> dict[str, np.ndarray]:
    """Gradient of a learner summed over the windows, parameters fixed."""
    groups, total = one.model.groups, {}
    memory = learner.start(one.model, one.window.inputs.shape[2], groups)
    memory = memory._replace(neurons=memory.neurons.on_stream(one.streams))
    for piece in pieces(one.window, learner.window):
        result, memory = step(learner, one.model, one.params, memory, piece, trained=groups)
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in result.gradient.items()}
    return total


def assert_same(got: dict, expected: dict, still: bool = False) -> None:
    """Gradients are those expected, and none is 0 throughout, unless credit is so short that some must be (`still`)."""
    assert set(got) == set(expected)
    for key in got:
        scale = np.abs(expected[key]).max()
        # D-RTRL knows nothing of what acts on other neurons alone, and nothing is learned of a time that is counted.
        assert scale > 0 or still or key in ("threshold", "refractory"), key
        scale = scale or 1.0
        np.testing.assert_allclose(got[key] / scale, expected[key] / scale, err_msg=key, **EXACT)


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one recording": {"batch": 1},
    "delay": {"delay": 2},
    "both signs": {"mixed": True, "delay": 1},
    "forced": {"reads": "single", "forcing": 0.6},
    "forced, delay": {"reads": "single", "forcing": 1.5, "delay": 1},
    "inputs": {"inputs": "dense"},
    "some inputs": {"inputs": "some", "delay": 1, "batch": 1},
    "shared inputs, forced": {"inputs": "shared", "reads": "single", "forcing": 0.6},
    "forced regions": {"forcing": 1.5, "delay": 1},
}
ALONE = [kind for kind in KINDS if kind != "forced regions"]
"""Kinds in which a trace of single neurons is the whole of D-RTRL; regions forced together are not."""

PLAIN = ["plain", "delay", "both signs", "inputs", "some inputs"]
SLOW = pytest.mark.slow


def combinations(kinds: list[str], quick: str = "") -> list[Any]:
    """Every cell with each kind of run; some of them are quick."""
    found = []
    quick_ones = {
        ("odd", "delay"),
        ("adaptive-lif", "delay"),  # of "lif" with a penalty, in tests/test_firing_rates.py
        ("lif, events", "delay"),
        ("two-channel", quick),
        ("two-channel", "both signs"),
    }
    for cell in NEURON_OF:
        for kind in kinds:
            if cell == "odd" and "forced" in kind:
                continue  # what is read of it is no state
            first = quick and (cell, kind) in quick_ones
            found.append(pytest.param(cell, kind, marks=() if first else SLOW, id=f"{cell}, {kind}"))
    return found


@pytest.mark.parametrize(("cell", "kind"), combinations(ALONE, "forced, delay"))
def test_hybrid_is_autodiff_inside_and_explicit_traces_across_windows(cell: str, kind: str) -> None:
    one = case(cell, **KINDS[kind])
    assert_same(run(WindowedLearner(4, "network", "trace"), one), explicit(one, exact_inside=4))


@pytest.mark.parametrize(("cell", "kind"), combinations(ALONE))
def test_d_rtrl_is_explicit_traces_for_every_window_length(cell: str, kind: str) -> None:
    one = case(cell, **KINDS[kind])
    expected = explicit(one)
    for steps in (1, 4, 16):
        assert_same(run(WindowedLearner(steps, "neuron", "trace"), one), expected)


@pytest.mark.parametrize(("cell", "kind"), combinations(list(KINDS)))
def test_bptt_is_autodiff_of_a_plain_scan_cut_at_the_windows(cell: str, kind: str) -> None:
    one = case(cell, **KINDS[kind])
    for steps in (1, 8, STEPS):
        assert_same(run(WindowedLearner(steps, "network", "none"), one), by_autodiff(one, steps), still=steps == 1)


@pytest.mark.parametrize(("cell", "kind"), combinations(PLAIN))
def test_a_whole_history_is_the_trace(cell: str, kind: str) -> None:
    one = case(cell, **KINDS[kind])
    for credit in ("neuron", "network"):
        whole = run(WindowedLearner(4, credit, "history", history=STEPS), one)
        assert_same(whole, run(WindowedLearner(4, credit, "trace"), one))


@pytest.mark.parametrize(("cell", "kind"), combinations(PLAIN))
def test_pp_prop_has_a_factor_for_each_state_and_channel(cell: str, kind: str) -> None:
    one = case(cell, **KINDS[kind])
    expected = published(one, 0.7)
    for steps in (1, 4):
        got = run(WindowedLearner(steps, "neuron", "factorised", trace_decay=0.7), one)
        assert_same({key: got[key] for key in expected}, expected)


@pytest.mark.parametrize(("cell", "kind"), combinations(PLAIN))
def test_without_credit_through_time_a_window_says_how_often_parameters_move(cell: str, kind: str) -> None:
    one = case(cell, **KINDS[kind])
    got = run(WindowedLearner(4, "none", "none"), one)
    assert_same(got, run(WindowedLearner(1, "neuron", "none"), one), still=True)


@pytest.mark.slow
@pytest.mark.parametrize("cell", NEURON_OF)
@pytest.mark.parametrize("carry", ["trace", "factorised", "history", "none"])
def test_gains_have_the_gradients_of_their_connections(cell: str, carry: str) -> None:
    one = case(cell, delay=1)
    tied = tie_weights(one.model, one.brain, "gain_per_neuron", one.params["weights"])
    gains = jnp.ones(tied.recurrent.strengths_shape)
    params = {"gains": gains, **{key: value for key, value in one.params.items() if key != "weights"}}
    learner = WindowedLearner(4, "network", carry)
    got = run(learner, replace(one, model=tied, params=params))["gains"]
    free = run(learner, replace(one, params={**one.params, "weights": tied.magnitudes(params)}))["weights"]
    member = jax.jacrev(lambda gains: tied.magnitudes({**params, "gains": gains}))(gains)
    np.testing.assert_allclose(got, np.asarray(member).T @ free, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", [cell for cell in NEURON_OF if cell not in ("odd", "tired")])
def test_declared_derivatives_are_those_of_forward_mode(cell: str) -> None:
    neuron, rng = NEURON_OF[cell], np.random.default_rng(0)
    names = ("time_constants", *(one.name for one in neuron.parameters))
    theta = {name: jnp.asarray(rng.uniform(0.2, 0.8, (NEURONS, 1))) for name in names}
    h = tuple(jnp.asarray(rng.normal(size=(3, NEURONS, 2))) for _ in neuron.states)
    x = tuple(jnp.asarray(rng.normal(size=(3, NEURONS, 2))) for _ in neuron.channels)
    found, right = jax.jit(lambda *at: (neuron.jacobian(*at), Neuron.jacobian(neuron, *at)))(theta, h, x)
    assert set(found.parameters) == set(right.parameters) == set(theta)
    rows = [(*each.states, *each.inputs, *(each.parameters[name] for name in names)) for each in (found, right)]
    for mine, other in zip(*rows, strict=True):
        for one, two in zip(mine, other, strict=True):
            if two is None:
                assert one is None, "a state that counts has no derivatives"
            else:
                np.testing.assert_allclose(filled(one, two), two, rtol=1e-12, atol=1e-14)


def test_a_brain_without_connections_has_gradients_all_the_same() -> None:
    brain = random_connectome(np.random.default_rng(0), NEURONS, 0)
    readout = Readout(sp.csr_array(np.eye(UNITS, NEURONS)), tuple("abc"))
    model = ConnectomeModel.wire(ModelConditions(connectome=brain, readout=readout, step_s=0.6), Tired())
    one = case("tired")
    params = {**one.params, "weights": jnp.zeros(0)}
    for carry in ("trace", "factorised", "history", "none"):
        learner = WindowedLearner(4, "network", carry)
        piece = pieces(one.window, 4)[0]

        def first(learner: WindowedLearner = learner, piece: WindowArrays = piece) -> Any:
            memory = learner.start(model, BATCH, model.groups)
            return learner.step(model, params, memory, piece, model.groups)

        result, _ = jax.eval_shape(first)
        assert result.gradient["weights"].shape == (0,) and result.gradient["drive"].shape == (NEURONS, UNITS)


def test_cells_that_cannot_be_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="what is read of the cell Odd is no state"):
        case("odd", forcing=0.5)
    many = type("Many", (Tired,), {"channels": ("a", "b", "c")})
    again = type("Again", (Tired,), {"parameters": (Parameter("bias", start=0.0),)})
    outside = Tired(starts=(("weariness", -1.0),))
    one = case("tired")
    readout = Readout(sp.csr_array(np.eye(UNITS, NEURONS)), tuple("abc"))
    given = ModelConditions(connectome=one.brain, readout=readout, step_s=0.6)
    for neuron, message in ((many(), "3 channels"), (again(), "'bias'"), (outside, "weariness of the cell Tired")):
        with pytest.raises(ConfigError, match=message):
            ConnectomeModel.wire(given, neuron)
