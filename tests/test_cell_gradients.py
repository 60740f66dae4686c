"""Gradients of every rule for every cell, against autodiff through a plain scan and against explicit traces.

In double precision, on one brain with two recordings, missing values and targets, withheld inputs, gap junctions.
Nothing here uses the package's operators, learners or declared derivatives but what is tested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import pieces, random_connectome

from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.models import Readout, tie_weights
from connfit.models.cells import CELLS
from connfit.models.cells.rate import Rate
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.input_map import input_map
from connfit.models.neuron import Neuron, Parameter, Theta, TimeConstant, filled, relu
from connfit.training.learners import WindowArrays, WindowedLearner

pytestmark = pytest.mark.usefixtures("float64")

# Sums of some thousand float64 products in another order.
EXACT = {"rtol": 1e-10, "atol": 1e-12}

NEURONS, UNITS, BATCH, STEPS = 10, 3, 2, 16

# Compiling is what takes the time here.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@dataclass(frozen=True)
class Odd(Neuron):
    """A cell with everything that the package's own lack: what it sends and shows is no state, and has parameters."""

    steepness: float = 1.5

    states = ("potential", "resource", "trace")
    channels = ("excitatory", "inhibitory")
    parameters = (
        Parameter("threshold", start=0.1, low=-1.0, high=1.0),
        Parameter("brightness", start=1.2, low=0.1, high=5.0),
        TimeConstant("recovery", start=2.0),
    )

    def step(self, theta: Theta, h: tuple, x: tuple) -> tuple:
        alpha, rho = theta["time_constants"], theta["recovery"]
        potential = alpha * h[0] + (1 - alpha) * (x[0] * h[1] + x[1] * (1 + 0.1 * h[0]))
        resource = rho * h[1] + (1 - rho) * jnp.exp(-(potential**2))
        return potential, resource, 0.5 * h[2] + 0.3 * h[0] + 0.2 * potential * resource

    def output(self, theta: Theta, h: tuple) -> jax.Array:
        return jax.nn.sigmoid(self.steepness * (h[0] - theta["threshold"])) * h[1]

    def observed(self, theta: Theta, h: tuple) -> jax.Array:
        return theta["brightness"] * h[2] ** 2 + 0.1 * h[0]


class Tired(Neuron):
    """The dozen lines of the documentation: rates that tire."""

    states = ("rate", "fatigue")
    parameters = (TimeConstant("recovery", start=5.0), Parameter("weariness", start=0.3, low=0.0))

    def step(self, theta: Theta, h: tuple, x: tuple) -> tuple:
        alpha, beta = theta["time_constants"], theta["recovery"]
        rate = alpha * h[0] + (1 - alpha) * relu(x[0] - theta["weariness"] * h[1])
        return rate, beta * h[1] + (1 - beta) * h[0]


NEURON_OF: dict[str, Neuron] = {
    "rate": Rate(nonlinearity="softplus"),
    "rate-calcium": CELLS["rate-calcium"].neuron(),
    "adaptive-rate": CELLS["adaptive-rate"].neuron(nonlinearity="softplus"),
    "two-channel": CELLS["two-channel"].neuron(),
    "odd": Odd(),
    "tired": Tired(),
}


@dataclass(frozen=True, eq=False)
class Case:
    """A model of one cell, parameters and a recording; `reads` is C [P, N], `reached` where F [N, F] may not be 0."""

    brain: Connectome
    model: ConnectomeModel
    params: dict[str, jax.Array]
    window: WindowArrays
    reads: np.ndarray
    reached: np.ndarray


CHANNELS, LAGS = ("light", "touch"), 2


@lru_cache
def case(
    cell: str,
    reads: str = "many",
    forcing: float = 0.0,
    delay: int = 0,
    batch: int = BATCH,
    inputs: str = "",
    mixed: bool = False,
) -> Case:
    """Drive where read-outs share neurons (`many`), or state forcing of single ones (`single`)."""
    rng = np.random.default_rng(5)
    brain = random_connectome(rng, NEURONS, 4, electrical=3, mixed=mixed)
    shares = np.where(rng.random((UNITS, NEURONS)) < 0.5, rng.random((UNITS, NEURONS)), 0)
    shares[np.arange(UNITS), np.arange(UNITS)] = 0.5
    shares = np.eye(UNITS, NEURONS) if reads == "single" else shares
    readout = Readout(sp.csr_array(shares), tuple(f"u{k}" for k in range(UNITS)))
    targets = {"light": ("n1", "n4", "n7"), "touch": "recorded"} if inputs != "dense" else "all"
    outside = input_map(brain, readout, CHANNELS, LAGS, targets, shared=inputs == "shared") if inputs else None
    given = ModelConditions(
        connectome=brain, readout=readout, step_s=0.6, state_forcing=forcing, delay=delay, inputs=outside
    )
    model = ConnectomeModel.wire(given, NEURON_OF[cell])
    params = {
        "weights": jnp.asarray(rng.random(brain.m) * 0.6),
        "log_time_constants": jnp.asarray(rng.normal(0, 0.5, NEURONS)),
        "bias": jnp.asarray(rng.normal(0.4, 0.3, NEURONS)),
        "drive": jnp.asarray(rng.normal(0.2, 0.5, (NEURONS, UNITS))),
    }
    for key, value in model.own_start().items():
        params[key] = value + jnp.asarray(rng.normal(0, 0.05, NEURONS))
    reached = np.ones((NEURONS, len(CHANNELS) * LAGS), bool)
    if inputs != "dense":
        reached[:, :LAGS] = np.isin(np.arange(NEURONS), [1, 4, 7])[:, None]
        reached[:, LAGS:] = (shares != 0).any(axis=0)[:, None]
    shape = (STEPS, UNITS, batch)
    forced = rng.random(shape) < 0.6
    seen = np.where(rng.random(shape) < 0.7, rng.random(shape), 0)
    window = WindowArrays(np.where(forced, rng.random(shape), 0), forced, rng.random(shape), seen, None)
    if outside is not None:
        params["inputs"] = jnp.asarray(rng.normal(0, 0.4, outside.strengths_shape))
        known = np.where(rng.random((STEPS, reached.shape[1], batch)) < 0.8, rng.normal(size=(STEPS, 4, batch)), 0)
        window = window._replace(external=known)
    return Case(brain, model, params, window, readout.matrix.toarray(), reached)


def input_weights(one: Case, params: dict) -> jax.Array:
    """F [N, F] of the parameters."""
    rows, columns = np.nonzero(one.reached)
    given = params["inputs"]
    if given.ndim == 2:
        return given
    values = given[columns] if given.shape == (one.reached.shape[1],) else given
    return jnp.zeros(one.reached.shape).at[rows, columns].set(values)


def weights_of(one: Case, params: dict) -> tuple[jax.Array, ...]:
    """[N, N] signed weights into each channel: excitatory and electrical into the first of two."""
    brain, channels = one.brain, len(one.model.neuron.channels)
    signed = params["weights"] * brain.connection_signs
    second = brain.connection_signs < 0
    parts = [signed] if channels == 1 else [jnp.where(second, 0, signed), jnp.where(second, signed, 0)]
    zero = jnp.zeros((brain.n, brain.n))
    return tuple(zero.at[brain.posts, brain.indices].add(part) for part in parts)


def theta_of(one: Case, params: dict) -> dict[str, jax.Array]:
    found = {}
    for key, value in params.items():
        if key.startswith("log_"):
            found[key.removeprefix("log_")] = jnp.exp(-one.model.step_s / jnp.exp(value))[:, None]
        elif key not in ("weights", "bias", "drive", "inputs"):
            found[key] = value[:, None]
    return found


def open_relu(x: jax.Array) -> jax.Array:
    return jnp.where(x >= 0, x, 0)


def plain_step(one: Case, params: dict, state: tuple, now: tuple) -> tuple[tuple, dict[str, Any]]:
    """One step from (states, what is on its way): the equations, nothing else."""
    h, queue = state
    given, forced, *outside = now
    neuron, c, theta = one.model.neuron, jnp.asarray(one.reads), theta_of(one, params)
    if one.model.state_forcing:
        phi, shows = one.model.state_forcing, neuron.shows
        back = [
            c.T @ (jnp.linalg.pinv(jnp.where(f[:, None] & f, c @ c.T, 0)) @ jnp.where(f, g - c @ r, 0))
            for f, g, r in zip(forced.T, given.T, h[shows].T, strict=True)
        ]
        h = (*h[:shows], h[shows] + phi * jnp.stack(back, 1), *h[shows + 1 :])
    sent = neuron.output(theta, h)
    arriving, queue = (queue[0], [*queue[1:], sent]) if queue else (sent, [])
    u = jnp.where(forced, given, c @ neuron.observed(theta, h))
    drive = params["drive"] @ u
    x = [w @ arriving for w in weights_of(one, params)]
    x[0] = x[0] + params["bias"][:, None] + open_relu(drive)
    if outside:
        x[0] = x[0] + input_weights(one, params) @ outside[0]
    new = neuron.step(theta, h, tuple(x))
    return (tuple(new), queue), {"h": h, "x": x, "arriving": arriving, "u": u, "drive": drive}


def plain_loss(one: Case, params: dict, state: tuple, window: tuple) -> tuple[jax.Array, tuple]:
    """Loss of a window that starts from a state, and the state after it, by a plain `lax.scan`."""
    c, neuron, theta = jnp.asarray(one.reads), one.model.neuron, theta_of(one, params)

    def step(state: tuple, now: tuple) -> tuple[tuple, jax.Array]:
        given, forced, target, weight, *outside = now
        state, _ = plain_step(one, params, state, (given, forced, *outside))
        return state, (weight * (c @ neuron.observed(theta, state[0]) - target) ** 2).sum()

    end, losses = jax.lax.scan(step, state, window)
    return losses.sum(), end


autodiff = jax.jit(jax.grad(plain_loss, argnums=(1, 2), has_aux=True), static_argnums=0, compiler_options=QUICK)
plain_jit = jax.jit(plain_step, static_argnums=0, compiler_options=QUICK)


def at_rest(one: Case) -> tuple:
    zero = jnp.zeros((NEURONS, one.window.inputs.shape[2]))
    return (zero,) * len(one.model.neuron.states), [zero] * one.model.delay


def arrays(window: WindowArrays) -> tuple:
    """What a plain scan goes through."""
    return (*window[:4], *(() if window.external is None else (window.external,)))


def by_autodiff(one: Case, steps: int) -> dict[str, np.ndarray]:
    """Autodiff in every window, the state at its start held fixed."""
    state, total = at_rest(one), {}
    for piece in pieces(one.window, steps):
        (gradient, _), state = autodiff(one, one.params, state, arrays(piece))
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in gradient.items()}
    return total


step = jax.jit(WindowedLearner.step, static_argnames=("self", "trained"), compiler_options=QUICK)


def run(learner: WindowedLearner, one: Case) -> dict[str, np.ndarray]:
    """Gradient of a learner summed over the windows, parameters fixed."""
    groups, total = one.model.groups, {}
    memory = learner.start(one.model, one.window.inputs.shape[2], groups)
    for piece in pieces(one.window, learner.window):
        result, memory = step(learner, one.model, one.params, memory, piece, trained=groups)
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in result.gradient.items()}
    return total


def assert_same(got: dict, expected: dict, still: bool = False) -> None:
    """Gradients are those expected, and none is 0 throughout, unless credit is so short that some must be (`still`)."""
    assert set(got) == set(expected)
    for key in got:
        scale = np.abs(expected[key]).max()
        # D-RTRL knows nothing of what acts on other neurons alone.
        assert scale > 0 or still or key == "threshold", key
        scale = scale or 1.0
        np.testing.assert_allclose(got[key] / scale, expected[key] / scale, err_msg=key, **EXACT)


def element_wise(function: Callable, *operands: Any) -> Any:
    """Jacobian of a function of one neuron of one run, for all of them."""
    found = jax.jacfwd(function, argnums=tuple(range(len(operands))))
    for _ in range(2):
        found = jax.vmap(found)
    return found(*operands)


@partial(jax.jit, static_argnums=0, compiler_options=QUICK)
def jacobian(neuron: Neuron, theta: dict, h: tuple, x: tuple) -> tuple:
    """Derivatives of a step by theta, states and inputs, of every neuron and run alone."""
    return element_wise(lambda *at: tuple(neuron.step(*at)), theta, h, x)


@partial(jax.jit, static_argnums=0, compiler_options=QUICK)
def shown(neuron: Neuron, theta: dict, h: tuple) -> tuple:
    """Derivatives of what is observed by theta and states."""
    return element_wise(neuron.observed, theta, h)


@partial(jax.jit, static_argnums=0, compiler_options=QUICK)
def sends(neuron: Neuron, theta: dict, h: tuple) -> tuple:
    """Derivatives of what is sent by theta and states."""
    return element_wise(neuron.output, theta, h)


def to_channel(one: Case) -> np.ndarray:
    """[M] channel of each connection."""
    brain = one.brain
    inhibitory = brain.connection_signs < 0
    return inhibitory.astype(int) if len(one.model.neuron.channels) == 2 else np.zeros(brain.m, int)


def explicit(one: Case, *, exact_inside: int | None = None) -> dict[str, np.ndarray]:
    """Eligibility traces per connection and state, one step at a time, dense, in NumPy (as in `test_learn`)."""
    params, neuron, brain = one.params, one.model.neuron, one.brain
    s, channels, n, b = len(neuron.states), len(neuron.channels), NEURONS, one.window.inputs.shape[2]
    theta = {name: jnp.broadcast_to(value, (n, b)) for name, value in theta_of(one, params).items()}
    sign = np.asarray(brain.connection_signs, float)
    channel = to_channel(one)
    own = [key for key in params if key not in ("weights", "drive", "bias", "inputs")]
    name_of = {key: key.removeprefix("log_") for key in own}
    shapes = {"weights": (brain.m, b), "drive": (n, b, UNITS), "bias": (n, b), **{key: (n, b) for key in own}}
    features = one.reached.shape[1]
    if "inputs" in params:
        shapes["inputs"] = (n, b, features)
    trace = {key: np.zeros((s, *shape)) for key, shape in shapes.items()}
    total = {key: np.zeros((shape[0], *shape[2:])) for key, shape in shapes.items()}
    inside: dict[str, np.ndarray] = {}
    state, on_the_way = at_rest(one), []
    kept_of = {key: np.arange(n) if key != "weights" else brain.posts for key in shapes}

    def meet(adjoint: np.ndarray, trace: dict[str, np.ndarray] = trace) -> None:
        for key in trace:
            total[key] += np.einsum("snb,snb...->n...", adjoint[:, kept_of[key]], trace[key])

    for t in range(STEPS):
        if exact_inside and t % exact_inside == 0:
            piece = pieces(one.window, exact_inside)[t // exact_inside]
            (grads, at_start), _ = autodiff(one, params, state, arrays(piece))
            inside = {key: inside.get(key, 0) + np.asarray(value) for key, value in grads.items()}
            meet(np.stack(at_start[0]))
            # What is on its way was sent by states whose traces are those of then.
            for (sent_theta, sent_h, then), adjoint in zip(on_the_way[::-1], at_start[1][::-1], strict=False):
                meet(np.stack(sent_h) * np.asarray(adjoint), then)
                for key in own:
                    total[key] += np.asarray(adjoint * sent_theta[name_of[key]]).sum(axis=1)
        given, forced, target, weight, *outside = (np.asarray(a[t]) for a in arrays(one.window))
        state, seen = plain_jit(one, params, state, (given, forced, *outside))
        found = jacobian(neuron, theta, seen["h"], tuple(seen["x"]))
        a = np.array([[found[p][1][q] for q in range(s)] for p in range(s)])
        gain = np.array([[found[p][2][c] for c in range(channels)] for p in range(s)])
        if one.model.state_forcing:  # of single neurons
            kept = np.ones((n, b))
            kept[:UNITS] -= one.model.state_forcing * forced
            a[:, neuron.shows] *= kept
        if one.model.delay:
            before = {key: value.copy() for key, value in trace.items()}
            for key in before if one.model.state_forcing else ():
                before[key][neuron.shows] *= kept[kept_of[key]].reshape(
                    *before[key].shape[1:3], *[1] * (key == "drive")
                )
            on_the_way = [*on_the_way, (*sends(neuron, theta, seen["h"]), before)][-one.model.delay :]
        gate = np.asarray(seen["drive"] >= 0)
        added = {
            "weights": np.stack([gain[p][channel, brain.posts] for p in range(s)])
            * sign[:, None] * np.asarray(seen["arriving"])[brain.indices],
            "drive": (gain[:, 0] * gate)[..., None] * np.asarray(seen["u"]).T,
            "bias": gain[:, 0],
        }  # fmt: skip
        if outside:
            added["inputs"] = gain[:, 0][..., None] * outside[0].T
        for key in own:
            added[key] = np.stack([found[p][0][name_of[key]] for p in range(s)])
        for key in trace:
            decay = a[:, :, kept_of[key]]
            trace[key] = np.einsum("pqnb,qnb...->pnb...", decay, trace[key]) + added[key]
        if not exact_inside:
            m_theta, m = shown(neuron, theta, state[0])
            error = 2 * weight * (one.reads @ np.asarray(neuron.observed(theta, state[0])) - target)
            back = one.reads.T @ error
            meet(np.stack([np.asarray(each) * back for each in m]))
            for key in own:
                total[key] += (back * np.asarray(m_theta[name_of[key]])).sum(axis=1)
    for key in own:
        if key.startswith("log_"):
            tau = np.exp(np.asarray(params[key]))
            slope = np.exp(-one.model.step_s / tau) * one.model.step_s / tau
            total[key] = total[key] * slope
    if "inputs" in params:
        total["inputs"] = as_parameters(one, total["inputs"])
    return {key: total[key] + inside.get(key, 0) for key in params}


def as_parameters(one: Case, dense: np.ndarray) -> np.ndarray:
    """Gradient of the parameters of F from that of all of its entries [N, F]."""
    _, back = jax.vjp(lambda given: input_weights(one, {"inputs": given}), one.params["inputs"])
    return np.asarray(back(dense)[0])


def published(one: Case, decay: float) -> dict[str, np.ndarray]:
    """pp-prop of connections and inputs, one step at a time: post_sc = γ A post_c + (1-γ) B_c, pre = γ pre + o."""
    params, neuron, brain = one.params, one.model.neuron, one.brain
    s, channels, n, b = len(neuron.states), len(neuron.channels), NEURONS, one.window.inputs.shape[2]
    theta = {name: jnp.broadcast_to(value, (n, b)) for name, value in theta_of(one, params).items()}
    post, pre, total = np.zeros((channels, s, n, b)), np.zeros((n, b)), np.zeros(brain.m)
    state = at_rest(one)
    pre_inputs, total_inputs = np.zeros((one.reached.shape[1], b)), np.zeros(one.reached.shape)
    for t in range(STEPS):
        given, forced, target, weight, *outside = (np.asarray(a[t]) for a in arrays(one.window))
        state, seen = plain_jit(one, params, state, (given, forced, *outside))
        found = jacobian(neuron, theta, seen["h"], tuple(seen["x"]))
        a = np.array([[found[p][1][q] for q in range(s)] for p in range(s)])
        gain = np.array([[found[p][2][c] for p in range(s)] for c in range(channels)])
        post = decay * np.einsum("pqnb,cqnb->cpnb", a, post) + (1 - decay) * gain
        pre = decay * pre + np.asarray(seen["arriving"])
        error = one.reads.T @ (2 * weight * (one.reads @ np.asarray(neuron.observed(theta, state[0])) - target))
        m = np.stack(shown(neuron, theta, state[0])[1])
        left = np.einsum("snb,csnb->cnb", m * error, post) / (1 - decay ** (t + 1))
        total += (left[to_channel(one), brain.posts] * pre[brain.indices]).sum(axis=1)
        if outside:
            pre_inputs = decay * pre_inputs + outside[0]
            total_inputs += left[0] @ pre_inputs.T
    found = {"weights": total * np.asarray(brain.connection_signs, float)}
    return found | ({"inputs": as_parameters(one, total_inputs)} if "inputs" in params else {})


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
    quick_ones = {("odd", "delay"), ("two-channel", quick), *((cell, "both signs") for cell in ("rate", "two-channel"))}
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
    found, right = neuron.jacobian(theta, h, x), Neuron.jacobian(neuron, theta, h, x)
    assert set(found.parameters) == set(right.parameters) == set(theta)
    rows = [(*each.states, *each.inputs, *(each.parameters[name] for name in names)) for each in (found, right)]
    for mine, other in zip(*rows, strict=True):
        for one, two in zip(mine, other, strict=True):
            np.testing.assert_allclose(filled(one, two), two, rtol=1e-12, atol=1e-14)


def test_a_brain_without_connections_has_gradients_all_the_same() -> None:
    brain = random_connectome(np.random.default_rng(0), NEURONS, 0)
    readout = Readout(sp.csr_array(np.eye(UNITS, NEURONS)), tuple("abc"))
    model = ConnectomeModel.wire(ModelConditions(connectome=brain, readout=readout, step_s=0.6), Tired())
    one = case("tired")
    params = {**one.params, "weights": jnp.zeros(0)}
    for carry in ("trace", "factorised", "history", "none"):
        learner = WindowedLearner(4, "network", carry)
        memory = learner.start(model, BATCH, model.groups)
        piece = pieces(one.window, 4)[0]
        result, _ = jax.eval_shape(
            lambda memory, piece=piece, learner=learner: learner.step(model, params, memory, piece, model.groups),
            memory,
        )
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
