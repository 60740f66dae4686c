"""Indicators, innovations and noise: gradients of every rule against autodiff through a plain scan, and what gains do.

In double precision, on one brain with two recordings, missing values and targets, withheld inputs, gap junctions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from jax.flatten_util import ravel_pytree
from networks import pieces, random_connectome

from connfit.analysis.dynamics.stability import jacobian_spectrum
from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.models import Readout
from connfit.models.base import INNOVATION_GAINS, Neurons
from connfit.models.cells import CELLS
from connfit.models.cells.rate import Rate
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.forward import tangent_step
from connfit.models.neuron import Neuron, filled
from connfit.models.observation import observe
from connfit.models.observation.likelihood import Likelihood
from connfit.models.rollout import Shown, State, advance, readings, rollout
from connfit.training.learners import WindowArrays, WindowedLearner

pytestmark = pytest.mark.usefixtures("float64")

EXACT = {"rtol": 1e-10, "atol": 1e-12}
NEURONS, UNITS, BATCH, STEPS, STEP_S, SHARE = 10, 4, 2, 16, 0.6, 0.37
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

KINDS: dict[str, dict[str, Any]] = {
    "gains": {"indicator": "none"},
    "order 1": {"indicator": "order-1", "decay_s": 1.2, "noise": "gaussian"},
    "order 1, per neuron": {"indicator": "order-1", "decay_s": 1.2, "shared": False, "delay": 2},
    "order 2": {"indicator": "order-2", "decay_s": 1.2, "rise_s": 0.4, "noise": "student-t"},
    "order 2, drift": {
        "indicator": "order-2", "decay_s": 1.2, "rise_s": 0.4, "drift_gain": 0.1, "noise": "student-t", "delay": 1,
    },
    "drift": {"indicator": "none", "drift_gain": 0.1, "noise": "gaussian"},
    "order 1 of adaptive": {"cell": "adaptive-rate", "indicator": "order-1", "decay_s": 1.2},
    "order 1 of two channels": {"cell": "two-channel", "indicator": "order-1", "decay_s": 1.2, "noise": "student-t"},
}  # fmt: skip
FIRST = "order 2, drift"
EACH = [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
HYBRID = [pytest.param(kind, marks=() if kind == FIRST else pytest.mark.slow) for kind in KINDS]
"""One quick case: it has both what is inside a window and what crosses to the next."""


@dataclass(frozen=True, eq=False)
class Case:
    """A model, parameters away from any special value, and a recording."""

    brain: Connectome
    model: ConnectomeModel
    params: dict[str, jax.Array]
    window: WindowArrays


def neuron_of(
    indicator: str, cell: str = "rate", shared: bool = True, noise: str = "", delay: int = 0, **options: Any
) -> Neuron:
    inner = Rate(nonlinearity="softplus") if cell == "rate" else CELLS[cell].neuron()
    return observe(inner, indicator, step_s=STEP_S, shared=shared, **options)


@lru_cache
def case(kind: str) -> Case:
    options = KINDS[kind]
    rng = np.random.default_rng(5)
    brain = random_connectome(rng, NEURONS, 4, electrical=3)
    readout = Readout(sp.csr_array(np.eye(UNITS, NEURONS)), tuple(f"u{k}" for k in range(UNITS)))
    noise = options.get("noise")
    given = ModelConditions(
        connectome=brain, readout=readout, step_s=STEP_S, state_forcing=0.7, own_gains=True,
        delay=options.get("delay", 0), likelihood=Likelihood(noise) if noise else None,
    )  # fmt: skip
    model = ConnectomeModel.wire(given, neuron_of(**options))
    params = {
        "weights": jnp.asarray(rng.random(brain.m) * 0.6),
        "log_time_constants": jnp.asarray(rng.normal(0, 0.5, NEURONS)),
        "bias": jnp.asarray(rng.normal(0.4, 0.3, NEURONS)),
        "drive": jnp.asarray(rng.normal(0.2, 0.5, (NEURONS, UNITS))),
        **model.own_start(),
    }
    params = model.with_gains(params)
    for key in [*model.own_start(), INNOVATION_GAINS]:
        params[key] = params[key] + jnp.asarray(rng.normal(0, 0.05, params[key].shape))
    shape = (STEPS, UNITS, BATCH)
    forced = rng.random(shape) < 0.6
    weights = np.where(rng.random(shape) < 0.7, rng.random(shape) + 0.1, 0)
    window = WindowArrays(np.where(forced, rng.random(shape), 0), forced, rng.random(shape), weights, share=SHARE)
    return Case(brain, model, params, window)


def theta_of(one: Case, params: dict) -> dict[str, jax.Array]:
    theta = {}
    for key, value in params.items():
        if key.startswith("log_") and key != "log_noise_scale":
            keeps = jnp.exp(-STEP_S / jnp.exp(value))
            theta[key.removeprefix("log_")] = jnp.broadcast_to(keeps[:, None], (NEURONS, 1))
        elif key not in ("weights", "bias", "drive", INNOVATION_GAINS, "log_noise_scale"):
            theta[key] = value[:, None]
    return theta


def plain_step(one: Case, params: dict, state: tuple, now: tuple, alone: bool) -> tuple:
    """One step: the equations, nothing else. `alone`: derivatives follow each neuron's own states only."""
    h, queue = state
    given, forced = now
    neuron, theta, cut = one.model.neuron, theta_of(one, params), jax.lax.stop_gradient if alone else lambda x: x
    beyond = jnp.where(forced, given - neuron.observed(theta, h)[:UNITS], 0)
    h = tuple(each.at[:UNITS].add(k[:, None] * beyond) for each, k in zip(h, params[INNOVATION_GAINS], strict=True))
    sent = neuron.output(theta, h)
    arriving, queue = (queue[0], [*queue[1:], sent]) if queue else (sent, [])
    arriving = cut(arriving)
    u = jnp.where(forced, given, cut(neuron.observed(theta, h)[:UNITS]))
    drive = params["drive"] @ u
    brain, zero = one.brain, jnp.zeros((NEURONS, NEURONS))
    signed = params["weights"] * brain.connection_signs
    second = (brain.signs[brain.indices] < 0) & ~brain.electrical
    parts = [jnp.where(second, 0, signed), jnp.where(second, signed, 0)]
    parts = parts if len(neuron.channels) == 2 else [signed]
    x = [zero.at[brain.posts, brain.indices].add(part) @ arriving for part in parts]
    x[0] = x[0] + params["bias"][:, None] + jnp.where(drive >= 0, drive, 0)
    return tuple(neuron.step(theta, h, tuple(x))), queue


def plain_loss(one: Case, params: dict, state: tuple, window: tuple, alone: bool = False) -> tuple[jax.Array, tuple]:
    theta, neuron, noise = theta_of(one, params), one.model.neuron, one.model.likelihood

    def step(state: tuple, now: tuple) -> tuple[tuple, jax.Array]:
        given, forced, target, weight = now
        state = plain_step(one, params, state, (given, forced), alone)
        squares = weight * (neuron.observed(theta, state[0])[:UNITS] - target) ** 2
        if noise is None:
            return state, squares.sum()
        sigma = jnp.exp(params["log_noise_scale"])[:, None]
        z2 = squares / SHARE / sigma**2
        nu = noise.degrees
        each = z2 / 2 if noise.name == "gaussian" else (nu + 1) / 2 * jnp.log(1 + z2 / nu)
        return state, (SHARE * jnp.where(weight > 0, each + jnp.log(sigma), 0)).sum()

    end, losses = jax.lax.scan(step, state, window)
    return losses.sum(), end


def at_rest(one: Case) -> tuple:
    zero = jnp.zeros((NEURONS, BATCH))
    return (zero,) * len(one.model.neuron.states), [zero] * one.model.delay


def by_autodiff(one: Case, steps: int, *, inside_alone: bool, across: bool) -> dict[str, np.ndarray]:
    """Gradients summed over windows; `across`: through each neuron's own states from the windows before."""
    arrays, total = tuple(one.window)[:4], {}

    def loss(params: dict, start: int) -> jax.Array:
        state = at_rest(one)
        if start:
            state = plain_loss(one, params, state, tuple(a[:start] for a in arrays), alone=True)[1]
            # What is on its way was sent by states whose derivatives are those of then.
            state = state if across else jax.lax.stop_gradient(state)
        return plain_loss(one, params, state, tuple(a[start : start + steps] for a in arrays), inside_alone)[0]

    for start in range(0, STEPS, steps):
        gradient = jax.jit(partial(jax.grad(loss), start=start), compiler_options=QUICK)(one.params)
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in gradient.items()}
    return total


step = jax.jit(WindowedLearner.step, static_argnames=("self", "trained"), compiler_options=QUICK)


def run(learner: WindowedLearner, one: Case) -> dict[str, np.ndarray]:
    groups, total = one.model.groups, {}
    memory = learner.start(one.model, BATCH, groups)
    for piece in pieces(one.window, learner.window):
        result, memory = step(learner, one.model, one.params, memory, piece._replace(share=SHARE), trained=groups)
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in result.gradient.items()}
    return total


def assert_same(got: dict, expected: dict) -> None:
    assert set(got) == set(expected)
    for key in got:
        scale = np.abs(expected[key]).max()
        assert scale > 0, key
        np.testing.assert_allclose(got[key] / scale, expected[key] / scale, err_msg=key, **EXACT)


@pytest.mark.parametrize("kind", EACH)
def test_d_rtrl_follows_each_neurons_own_states_for_every_window_length(kind: str) -> None:
    one = case(kind)
    expected = by_autodiff(one, STEPS, inside_alone=True, across=True)
    for steps in (1, 4, 16):
        assert_same(run(WindowedLearner(steps, "neuron", "trace"), one), expected)


@pytest.mark.parametrize("kind", EACH)
def test_bptt_is_autodiff_cut_at_the_windows(kind: str) -> None:
    one = case(kind)
    for steps in (8, STEPS):
        expected = by_autodiff(one, steps, inside_alone=False, across=False)
        assert_same(run(WindowedLearner(steps, "network", "none"), one), expected)


@pytest.mark.parametrize("kind", HYBRID)
def test_hybrid_is_autodiff_inside_and_own_states_across_windows(kind: str) -> None:
    one = case(kind)
    expected = by_autodiff(one, 8, inside_alone=False, across=True)
    assert_same(run(WindowedLearner(8, "network", "trace"), one), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_declared_derivatives_are_those_of_forward_mode(kind: str) -> None:
    neuron, rng = neuron_of(**KINDS[kind]), np.random.default_rng(0)
    names = ("time_constants", *(one.name for one in neuron.parameters))
    theta = {name: jnp.asarray(rng.uniform(0.2, 0.8, (NEURONS, 1))) for name in names}
    h = tuple(jnp.asarray(rng.normal(size=(3, NEURONS, 2))) for _ in neuron.states)
    x = tuple(jnp.asarray(rng.normal(size=(3, NEURONS, 2))) for _ in neuron.channels)
    found, right = jax.jit(lambda *at: (neuron.jacobian(*at), Neuron.jacobian(neuron, *at)))(theta, h, x)
    rows = [(*each.states, *each.inputs, *(each.parameters[name] for name in names)) for each in (found, right)]
    for mine, other in zip(*rows, strict=True):
        for one, two in zip(mine, other, strict=True):
            np.testing.assert_allclose(filled(one, two), two, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FIRST, "drift"])
def test_a_small_difference_goes_on_as_the_derivative_of_a_step_says(kind: str) -> None:
    one, rng = case(kind), np.random.default_rng(2)
    late = [jnp.asarray(rng.random((1, NEURONS, 1)))] * bool(one.model.delay)

    def draw() -> tuple[jax.Array, ...]:
        return tuple(jnp.asarray(rng.random((NEURONS, 1))) for _ in one.model.neuron.states)

    before, change = Neurons(draw(), *late), Neurons(draw(), *(0.3 * each for each in late))
    given, forced = jnp.asarray(rng.random((UNITS, 1))), jnp.asarray([[True], [False], [True], [True]])
    flat, back = ravel_pytree(before)

    def after(numbers: jax.Array) -> jax.Array:
        return ravel_pytree(advance(one.model, one.params, back(numbers), given, forced)[0])[0]

    _, seen = advance(one.model, one.params, before, given, forced)
    # Operators have a rule for the reverse mode only.
    expected = jax.jacrev(after)(flat) @ ravel_pytree(change)[0]
    got = tangent_step(one.model, one.params, seen, forced, jnp.zeros_like(forced), change)
    np.testing.assert_allclose(ravel_pytree(got)[0], expected, **EXACT)


@pytest.mark.parametrize("loop", ["closed", pytest.param("open", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["order 2, drift", pytest.param("gains", marks=pytest.mark.slow)])
def test_eigenvalues_are_those_of_all_states_with_the_indicator_and_its_gains(kind: str, loop: str) -> None:
    one, rng = case(kind), np.random.default_rng(2)
    model = one.model
    late = [jnp.asarray(rng.random((1, NEURONS, 1)))] * bool(model.delay)
    start = Neurons(tuple(jnp.asarray(rng.random((NEURONS, 1))) for _ in model.neuron.states), *late)
    given = jnp.asarray(rng.random((UNITS, 1)))
    forced = jnp.full((UNITS, 1), loop == "open")
    flat, back = ravel_pytree(start)

    def after(numbers: jax.Array) -> jax.Array:
        return ravel_pytree(advance(model, one.params, back(numbers), given, forced)[0])[0]

    expected = np.linalg.eigvals(np.asarray(jax.jit(jax.jacrev(after))(flat)))
    shown = None if loop == "closed" else np.asarray(given[:, 0])
    found = jacobian_spectrum(model, one.params, start, inputs=shown, loop=loop, k=len(flat))
    assert found.size == len(expected) == NEURONS * (len(model.neuron.states) + model.delay)
    assert found.radius == pytest.approx(np.abs(expected).max(), rel=1e-8)
    for value in found.values[np.abs(found.values) > 1e-3]:
        assert np.abs(expected - value).min() < 1e-7


def of_units_alone(indicator: str, phi: float = 1.0, **options: Any) -> tuple[ConnectomeModel, dict[str, jax.Array]]:
    """Neurons without connections, drive or input."""
    brain = random_connectome(np.random.default_rng(0), UNITS, 0)
    readout = Readout(sp.csr_array(np.eye(UNITS)), tuple(f"u{k}" for k in range(UNITS)))
    given = ModelConditions(
        connectome=brain, readout=readout, step_s=STEP_S, drive="none", state_forcing=phi, own_gains=True
    )
    model = ConnectomeModel.wire(given, observe(Rate(), indicator, step_s=STEP_S, **options))
    zero, tau = jnp.zeros(UNITS), jnp.asarray(np.log(np.linspace(0.5, 4, UNITS)))
    params = {"weights": jnp.zeros(0), "log_time_constants": tau, "bias": zero, **model.own_start()}
    return model, model.with_gains(params)


@pytest.mark.parametrize(
    ("indicator", "times"),
    [("none", ()), ("order-1", (1.3,)), ("order-2", (0.5, 1.3)), ("order-2", (0.15, 1.3))],
)
def test_with_as_many_states_a_model_is_the_autoregression_of_its_poles(indicator: str, times: tuple) -> None:
    named = dict(zip(("rise_s", "decay_s")[-len(times) :] if times else (), times, strict=True))
    model, params = of_units_alone(indicator, **named)
    values = np.random.default_rng(1).random((30, UNITS))
    shown = Shown(values[:, :, None], np.ones((30, UNITS, 1), bool))
    run = jax.jit(lambda params: rollout(model, params, State.at_rest(model), shown, readings).each)
    predicted = np.asarray(run(params))[:, :, 0]
    order = 1 + len(times)
    for unit in range(UNITS):
        tau = np.array([np.exp(params["log_time_constants"][unit]), *times])
        coefficients = -np.poly(np.exp(-STEP_S / tau))[1:]
        for t in range(order + 2, 30):
            expected = coefficients @ values[t - np.arange(order), unit]
            np.testing.assert_allclose(predicted[t, unit], expected, rtol=1e-8, atol=1e-10)


def test_gains_with_which_errors_grow_are_cut_to_a_share_with_which_they_do_not() -> None:
    model, params = of_units_alone("order-2", decay_s=4.0, rise_s=1.0)
    gains = (
        jnp.asarray(np.random.default_rng(0).normal(size=(3, UNITS)) * 4).at[:, 0].set(params[INNOVATION_GAINS][:, 0])
    )
    cut = model.project({INNOVATION_GAINS: gains}, params)[INNOVATION_GAINS]
    theta = {name: value[:, 0] for name, value in model.constants(params).items()}
    shares = []
    for unit in range(UNITS):
        a, b, c = (float(theta[name][unit]) for name in ("time_constants", "indicator_rise", "indicator_decay"))
        local = np.array([[a, 0, 0], [(1 - b) * a, b, 0], [(1 - c) * (1 - b) * a, (1 - c) * b, c]])
        radius = [
            np.abs(np.linalg.eigvals(local @ (np.eye(3) - np.outer(k[:, unit], [0, 0, 1])))).max() for k in (gains, cut)
        ]
        assert radius[1] < 1.001
        share = np.asarray(cut[:, unit] / gains[:, unit])
        assert np.ptp(share) < 1e-9 and (radius[0] > 1) == (share[0] < 1)
        shares.append(share[0])
    assert shares[0] == 1 and min(shares) < 1


def test_what_no_unit_can_have_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="decay_s"):
        observe(Rate(), "order-1", step_s=1.0)
    with pytest.raises(ConfigError, match="has no rise"):
        observe(Rate(), "order-1", step_s=1.0, decay_s=1.0, rise_s=1.0)
    with pytest.raises(ConfigError, match="GCaMP6s"):
        observe(Rate(), "GCaMP6", step_s=1.0)
    brain = random_connectome(np.random.default_rng(0), NEURONS, 2)
    shares = sp.csr_array(np.full((1, NEURONS), 1 / NEURONS))
    message = f"single neurons, but the unit 'all' reads {NEURONS} neurons: set drift_gain = 0 and gain = 'shared'"
    with pytest.raises(ConfigError, match=message):
        ModelConditions(connectome=brain, readout=Readout(shares, ("all",)), step_s=1.0, own_gains=True)


@pytest.mark.parametrize("kind", KINDS)
def test_no_array_is_twice_in_what_a_window_starts_from(kind: str) -> None:
    """A compiled step takes the memory of each, and cannot take it twice."""
    one = case(kind)
    for credit in ("neuron", "network"):
        memory = WindowedLearner(4, credit, "trace").start(one.model, 2, one.model.groups)
        places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(memory) if leaf.size]
        assert len({*places}) == len(places)
