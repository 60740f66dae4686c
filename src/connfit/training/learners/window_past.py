"""Steps before a window to which its errors still travel: a history without traces, and signals on their way.

With a synaptic delay of d steps, what a window's first d steps receive was sent before it. The whole network's credit
goes with it to the neurons that sent it, and from there on back through each neuron alone, as D-RTRL does:

    ``λ(t-1) = A(t)ᵀ λ(t) + g(t-1) · (adjoint of what was sent at t-1 and was on its way)``    t = 0, -1, ..., 1-d

So traces end d steps before the window, and the steps in between are kept as a history's are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models.base import Model, Params
from connfit.models.neuron import Jacobian, Neuron, States, filled, times, total
from connfit.models.observation.innovation import Forcing
from connfit.training.learners.window_adjoint import Adjoint, changes, changing, with_changing
from connfit.training.learners.window_sums import Steps, fading


class Outside(NamedTuple):
    """What a window was given beside activity that drives it.

    Attributes
    ----------
    external
        Features of external inputs; None where there are none.
    beyond
        What was recorded of neurons beyond its prediction; None where nothing is learned from it.
    """

    external: Float[Array, "K F B"] | None = None
    beyond: Float[Array, "K N B"] | None = None


class Past(NamedTuple):
    """The last H steps before a window: what the gradient needs to reach back without traces.

    Attributes
    ----------
    local
        Derivatives of the neurons' steps, as far as they change with time.
    states
        States before each step, where what neurons send is not one of them.
    forcing
        What state forcing left of small differences of states, where traces know of it.
    real
        0 before a recording's first step, where nothing was sent, else 1; None where nothing is on its way.
    outside
        What each step was given from outside.
    """

    local: tuple[Float[Array, "H N B"], ...]
    gate: Float[Array, "H N B"]
    arrived: Float[Array, "H N B"]
    inputs: Float[Array, "H P B"]
    states: tuple[Float[Array, "H N B"], ...] = ()
    forcing: Forcing | None = None
    real: Float[Array, "H"] | None = None
    outside: Outside = Outside()

    @classmethod
    def at_rest(cls, model: Model, steps: int, batch: int, *, late: bool, forced: bool, learns_gains: bool) -> Past:
        """Start before the first step.

        Parameters
        ----------
        late
            Whether errors reach what was sent and is on its way.
        forced
            Whether to keep what state forcing left.
        learns_gains
            Whether to keep innovations, from which gains are learned.
        """
        n = model.neurons

        def nothing(size: int = n) -> Array:
            return jnp.zeros((steps, size, batch))

        own = len(model.neuron.states) if late and _sends_more(model) else 0
        return cls(
            tuple(nothing() for _ in changing(_local_shapes(model, batch))),
            nothing(), nothing(), nothing(model.units),
            tuple(nothing() for _ in range(own)),
            _unmoved(model, nothing()) if forced else None,
            jnp.zeros(steps) if late else None,
            Outside(
                None if model.inputs is None else nothing(model.inputs.sources),
                nothing() if learns_gains else None,
            ),
        )  # fmt: skip


class Stretch(NamedTuple):
    """A window, and before it the steps of its past.

    Attributes
    ----------
    step
        Derivatives of each step.
    adjoints
        λ by the states after each step.
    start
        λ by the states before the first one.
    gate, arrived, inputs, forcing, outside
        As of `Past`.
    corrected
        λ by the states that each step started from, after state forcing; None where gains are not each unit's own.
    sent
        Adjoint of what was sent before each step of the past, and is on its way; None where nothing is.
    """

    step: Jacobian
    adjoints: States
    start: States
    gate: Float[Array, "T N B"]
    arrived: Float[Array, "T N B"]
    inputs: Float[Array, "T P B"]
    forcing: Forcing | None
    outside: Outside
    corrected: tuple[Float[Array, "T N B"], ...] | None = None
    sent: Float[Array, "H N B"] | None = None

    def first(self, steps: int) -> Steps:
        """Return the derivatives of its first steps."""
        return _as_steps(self.step, [one[:steps] for one in changing(self.step)])


def reach_back(
    model: Model, params: Params, past: Past, window: Stretch, adjoint: Adjoint, states: States
) -> tuple[Stretch, Past]:
    """Put a past before a window, and return what the next window has of both.

    Parameters
    ----------
    states
        States before each step of the window.
    """
    h = len(past.gate)
    step = _by_step(window.step, window.gate)
    earlier_steps = _as_steps(step, past.local)
    derivatives = earlier_steps.at
    sent = start = corrected = None
    if past.real is None or adjoint.on_the_way is None:
        faded = zip(*fading(earlier_steps, None)[0], strict=True)
        earlier: Any = tuple(total(map(times, column, adjoint.start)) for column in faded)
    else:
        late = jnp.flip(adjoint.on_the_way, 0)
        sent = past.real[:, None, None] * jnp.concatenate([jnp.zeros((h - len(late), *late.shape[1:])), late])
        start, (earlier, corrected) = _back(model, params, past, derivatives, adjoint.start, sent)
    adjoints = tuple(
        jnp.concatenate([filled(old, past.gate), new]) for old, new in zip(earlier, window.adjoints, strict=True)
    )

    def joined(old: Any, new: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), old, new)

    local = list(map(joined, past.local, changing(step)))
    forcing = None if past.forcing is None or window.forcing is None else joined(past.forcing, window.forcing)
    if corrected is not None and window.corrected is not None:
        corrected = joined(corrected, window.corrected)
    whole = Stretch(
        with_changing(step, local), adjoints, adjoint.start if start is None else start,
        joined(past.gate, window.gate), joined(past.arrived, window.arrived), joined(past.inputs, window.inputs),
        forcing, joined(past.outside, window.outside), window.corrected if corrected is None else corrected, sent,
    )  # fmt: skip
    real = None if past.real is None else joined(past.real, jnp.ones(len(window.gate)))
    own = tuple(map(joined, past.states, states)) if past.states else ()
    last = Past(tuple(local), whole.gate, whole.arrived, whole.inputs, own, forcing, real, whole.outside)
    return whole, jax.tree.map(lambda one: one[-h:], last)


def _as_steps(step: Jacobian, changing_values: Any) -> Steps:
    """Derivatives with other values in place of those that change from step to step."""
    leaves, kind = jax.tree.flatten(step)
    moves = [changes(leaf) for leaf in leaves]

    def find(fixed: Any, values: Any) -> Jacobian:
        still, moving = iter(fixed), iter(values)
        return jax.tree.unflatten(kind, [next(moving if each else still) for each in moves])

    return Steps(changing_values, [leaf for leaf, each in zip(leaves, moves, strict=True) if not each], find)


def _back(
    model: Model, params: Params, past: Past, derivatives: Any, start: States, sent: Float[Array, "H N B"]
) -> tuple[States, tuple[States, States]]:
    """λ before the past; and of each of its steps λ after it, and by the states that it started from."""
    neuron, theta = model.neuron, model.constants(params)

    def back(after: States, now: Any) -> tuple[States, tuple[States, States]]:
        local, states, forcing, sent = now
        columns = zip(*derivatives(local).states, strict=True)
        through = neuron.sent(theta, states or after).back(sent)
        before = tuple(
            filled(total((*map(times, column, after), one)), sent) for column, one in zip(columns, through, strict=True)
        )
        return before if forcing is None else forcing.back(before), (after, before)

    return jax.lax.scan(back, start, (past.local, past.states, past.forcing, sent), reverse=True)


def _unmoved(model: Model, like: Float[Array, "H N B"]) -> Forcing:
    """State forcing that moves nothing."""
    if model.own_gains:
        # An array for each state: the step takes their memory.
        return Forcing(None, tuple(jnp.zeros_like(like) for _ in model.neuron.states), model.neuron.shown)
    return Forcing(jnp.ones_like(like), None, model.neuron.shown)


def _sends_more(model: Model) -> bool:
    return type(model.neuron).output is not Neuron.output


def _by_step(step: Jacobian, like: Float[Array, "K N B"]) -> Jacobian:
    """B and D with an axis of steps throughout: before a recording's first step nothing acted on the states at all."""

    def filled_in(row: Any) -> Any:
        return tuple(None if one is None else filled(one, like) for one in row)

    inputs = tuple(map(filled_in, step.inputs))
    return step._replace(inputs=inputs, parameters={name: filled_in(row) for name, row in step.parameters.items()})


def _local_shapes(model: Model, batch: int) -> Jacobian:
    """Shapes of the derivatives of one step of all neurons that are kept."""
    number = jax.eval_shape(lambda: jnp.zeros((1, model.neurons, batch)))
    theta = {parameter.name: jax.ShapeDtypeStruct((model.neurons, 1), number.dtype) for parameter in model.parameters}
    neuron = model.neuron
    at = (number,) * len(neuron.states), (number,) * len(neuron.channels)
    return jax.eval_shape(lambda *at: _by_step(neuron.jacobian(*at), at[1][0]), theta, *at)
