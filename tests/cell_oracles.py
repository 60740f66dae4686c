"""Small models of every cell, and what their gradients must be: autodiff of a plain scan, explicit traces, pp-prop.

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
import scipy.sparse as sp
from networks import pieces, random_connectome
from plain_events import events

from connfit.connectome import Connectome
from connfit.models import Readout
from connfit.models.cells import CELLS
from connfit.models.cells.adaptive_integrate_fire import AdaptiveLIF
from connfit.models.cells.integrate_fire import LIF
from connfit.models.cells.rate import Rate
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.input_map import input_map
from connfit.models.neuron import Neuron, Theta, relu
from connfit.models.parameter import Parameter, TimeConstant
from connfit.training.learners import WindowArrays

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


SLOW = (("membrane", 0.9), ("synapse", 0.5), ("threshold", 0.4), ("refractory", 1.0), ("response", 0.4), ("base", 0.1))
"""Of integrate-and-fire neurons with steps of 0.6 s, so that they spike now and then."""

NEURON_OF: dict[str, Neuron] = {
    "rate": Rate(nonlinearity="softplus"),
    "rate-calcium": CELLS["rate-calcium"].neuron(),
    "adaptive-rate": CELLS["adaptive-rate"].neuron(nonlinearity="softplus"),
    "two-channel": CELLS["two-channel"].neuron(),
    "lif": LIF(starts=SLOW, surrogate_width=0.6),
    "adaptive-lif": AdaptiveLIF(starts=(*SLOW, ("adaptation", 2.0), ("jump", 0.2)), surrogate_width=0.6),
    "lif, events": LIF(starts=SLOW, surrogate_width=0.6, poisson_hz=1.5, poisson_weight=0.25),
    "odd": Odd(),
    "tired": Tired(),
}


@dataclass(frozen=True, eq=False)
class Case:
    """A model of one cell, parameters and a recording; `reads` is C [P, N], `reached` where F [N, F] may not be 0.

    `received` [T, N, B] are external events, if the cell has any.
    """

    brain: Connectome
    model: ConnectomeModel
    params: dict[str, jax.Array]
    window: WindowArrays
    reads: np.ndarray
    reached: np.ndarray
    received: np.ndarray | None = None

    @property
    def streams(self) -> np.ndarray:
        """Of the external events of each recording."""
        return 7 + np.arange(self.window.inputs.shape[2])


PER_STEP = ("refractory", "response")
"""Parameters in seconds, or per second, that a step uses as a number of steps, or per step."""

CHANNELS, LAGS = ("light", "touch"), 2


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
    return _case(cell, reads, forcing, delay, batch, inputs, mixed, double=jax.config.read("jax_enable_x64"))


@lru_cache
def _case(
    cell: str, reads: str, forcing: float, delay: int, batch: int, inputs: str, mixed: bool, *, double: bool
) -> Case:
    """Make one in the precision of now, of which `double` is for the cache alone: a worker runs tests of both."""
    rng = np.random.default_rng(5)
    brain = random_connectome(rng, NEURONS, 4, electrical=0 if NEURON_OF[cell].spikes else 3, mixed=mixed)
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
    one = Case(brain, model, params, window, readout.matrix.toarray(), reached)
    return one if model.neuron.poisson is None else replace(one, received=received_events(one))


def received_events(one: Case) -> np.ndarray:
    """[T, N, B] external events of the cell with events, in millivolts."""
    at = np.arange(STEPS), np.arange(NEURONS), 1.5 * one.model.step_s
    return 0.25 * np.stack([events(stream, *at) for stream in one.streams], axis=2)


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
        elif key in PER_STEP:
            found[key] = value[:, None] / one.model.step_s
        elif key not in ("weights", "bias", "drive", "inputs"):
            found[key] = value[:, None]
    return found


def open_relu(x: jax.Array) -> jax.Array:
    return jnp.where(x >= 0, x, 0)


def plain_step(
    one: Case, params: dict, state: tuple, now: tuple, *, alone: bool = False
) -> tuple[tuple, dict[str, Any]]:
    """One step from (states, what is on its way): the equations, nothing else.

    With `alone` derivatives stay in each neuron: neither what arrives from others nor what is fed back has any.
    """
    h, queue, *clock = state
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
    if alone:
        arriving, u = map(jax.lax.stop_gradient, (arriving, u))
    drive = params["drive"] @ u
    x = [w @ arriving for w in weights_of(one, params)]
    x[0] = x[0] + params["bias"][:, None] + open_relu(drive)
    if outside:
        x[0] = x[0] + input_weights(one, params) @ outside[0]
    if one.received is not None:
        x[0] = x[0] + jnp.asarray(one.received)[clock[0].astype(int)]
        clock = [clock[0] + 1]
    new = neuron.step(theta, h, tuple(x))
    return (tuple(new), queue, *clock), {"h": h, "x": x, "arriving": arriving, "u": u, "drive": drive}


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
    clock = [] if one.received is None else [jnp.zeros(())]  # that JAX can differentiate by
    return (zero,) * len(one.model.neuron.states), [zero] * one.model.delay, *clock


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
        elif key in PER_STEP:
            total[key] = total[key] / one.model.step_s
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
