"""What one neuron does in one step: the contract of every cell, and its derivatives by forward mode.

A neuron has S states h and one input x per receptor channel, and is coupled to others through its output alone:

    ``h(t) = step(θ, h(t-1), x(t))``    ``o(t) = output(θ, h(t))``    ``a(t) = observed(θ, h(t))``

All of it is element-wise over neurons. Learners need ``A = ∂h(t)/∂h(t-1)``, ``B = ∂h(t)/∂x(t)``, ``D = ∂h(t)/∂θ``,
``g = ∂o/∂h`` and ``m = ∂a/∂h``. `Neuron` finds them by forward mode; a cell may write down what it knows of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array

from connfit.errors import ConfigError
from connfit.models.parameter import Parameter, Slope
from connfit.models.poisson_input import PoissonInput

Theta: TypeAlias = Mapping[str, Array]
"""Parameters by name, [N, 1] each, as a step uses them; a time constant as the share that is left after a step."""

States: TypeAlias = tuple[Array, ...]
"""One array for each state, or for each channel: [N, B], or [K, N, B] for all steps of a window."""

MOST_STATES = 16
"""More states than that the compiled operators do not know."""


class Jacobian(NamedTuple):
    """Derivatives of one step.

    Attributes
    ----------
    states
        A: row p, column q is ∂h_p(t)/∂h_q(t-1).
    inputs
        B: row p, column c is ∂h_p(t)/∂x_c(t).
    parameters
        D: for each parameter ∂h_p(t)/∂θ.
    """

    states: tuple[tuple[Slope, ...], ...]
    inputs: tuple[tuple[Slope, ...], ...]
    parameters: Mapping[str, tuple[Slope, ...]]


class CompiledCell(NamedTuple):
    """What the compiled window of a cell needs (`connfit.training.learners.compiled_window`).

    Attributes
    ----------
    name
        Of its code.
    theta
        [Q, N] parameters and what is derived from them, in the code's order.
    options
        Of the cell.
    learned
        Names of what each neuron learns, in the code's order.
    """

    name: str
    theta: Array
    options: tuple[float, ...]
    learned: tuple[str, ...]


Slopes: TypeAlias = tuple[tuple[tuple[Slope, ...], ...], tuple[tuple[Slope, ...], ...]]
"""A and B of `Jacobian`."""


class Reading(NamedTuple):
    """Derivatives of what is sent, or of what is observed: by each state, and by parameters.

    Attributes
    ----------
    state
        Number of the state that it is; None where it is more than one state.
    """

    states: tuple[Slope, ...]
    parameters: Mapping[str, Slope]
    state: int | None = None

    def back(self, adjoint: Array) -> tuple[Slope, ...]:
        """Return what the adjoint of the reading is to each state."""
        if self.state is None:
            return tuple(times(slope, adjoint) for slope in self.states)
        return tuple(adjoint if q == self.state else None for q in range(len(self.states)))

    def along(self, tangent: States) -> Array:
        """Return the change of the reading with the states'."""
        if self.state is not None:
            return tangent[self.state]
        return filled(total(map(times, self.states, tangent)), tangent[0])


@dataclass(frozen=True)
class Neuron:
    """What one neuron does, element-wise over neurons; a cell is a subclass with `step`.

    A subclass that has options of its own is a frozen dataclass, too.

    Parameters
    ----------
    starts
        Starting values in place of those of `parameters`, by name.

    Attributes
    ----------
    states
        Names of the S states. The first is what synapses see, unless the cell has an `output`.
    channels
        Names of the inputs: one, or two of which the first comes from excitatory neurons and gap junctions, with bias
        and drive, and the second, at most 0, from inhibitory neurons.
    parameters
        Learned beside `time_constants` and `bias`, which all cells have.
    shows
        Number of the state that read-outs see, unless the cell has an `observed`; state forcing moves it.
    counters
        Numbers of the states that only count steps, and have no derivatives.
    spikes
        Whether the output is a spike, 0 in most steps: connections then follow spikes.
    code
        Name of the step's native code, if there is some.

    Examples
    --------
    >>> from connfit.models import TimeConstant
    >>> class Tired(Neuron):
    ...     states = ("rate", "fatigue")
    ...     parameters = (TimeConstant("recovery", start=5.0), Parameter("weariness", start=0.1, low=0.0))
    ...
    ...     def step(self, theta, h, x):
    ...         alpha, beta = theta["time_constants"], theta["recovery"]
    ...         rate = alpha * h[0] + (1 - alpha) * relu(x[0] - theta["weariness"] * h[1])
    ...         return rate, beta * h[1] + (1 - beta) * h[0]
    """

    starts: tuple[tuple[str, float], ...] = field(default=(), kw_only=True)

    states: ClassVar[tuple[str, ...]] = ("rate",)
    channels: ClassVar[tuple[str, ...]] = ("input",)
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    shows: ClassVar[int] = 0
    counters: ClassVar[tuple[int, ...]] = ()
    spikes: ClassVar[bool] = False
    code: ClassVar[str] = ""

    def step(self, theta: Theta, h: States, x: States) -> States:
        """Return the states after a step.

        Parameters
        ----------
        theta
            Parameters by name: those of the cell, and `time_constants`. Time constants are decays exp(-Δt/τ).
        h, x
            States before the step, and the input of each channel.
        """
        raise NotImplementedError(f"the cell {type(self).__name__} has no step")

    def output(self, theta: Theta, h: States) -> Array:
        """Return what synapses see in the next step."""
        return h[0]

    def observed(self, theta: Theta, h: States) -> Array:
        """Return what read-outs see."""
        return h[self.shows]

    def derived(self, theta: Theta) -> Theta:
        """Return what follows from parameters alone, by names that no parameter has; methods find it in theta.

        It is computed once for a window. Not all who call methods give it.
        """
        return {}

    def check_step(self, step_s: float) -> None:
        """Raise a ConfigError for steps, in seconds, that are too long for the cell."""

    def balance(self, theta: Theta, rate: Array) -> Array:
        """Return the input x[0] that holds neurons [N, 1] at a rate, as far as starts need to know."""
        return rate

    def hold(self, theta: Theta, before: States, after: States, rate: Array) -> States:
        """Return the states after a step of a neuron whose output is held at a rate.

        Parameters
        ----------
        before, after
            States before the step, and after it as if the neuron were free.
        rate
            What is sent; of cells that spike, spikes per step.
        """
        return rate, *after[1:]

    def held_from(self, theta: Theta, h: States, rate: Array, phase: Array | None = None) -> States:
        """Return the states of neurons that are held from the next step on; doing so again changes nothing.

        Parameters
        ----------
        phase
            Of cells that spike: how far each is between two spikes, 0 to 1; None: as it is.
        """
        return (rate, *h[1:]) if self.sends_first else h

    def shown_at(self, theta: Theta, rate: Array) -> Array:
        """Return what read-outs see, on average, of a neuron that is held at a rate for long."""
        return rate

    def jacobian(self, theta: Theta, h: States, x: States) -> Jacobian:
        """Return the derivatives of `step`, for states [N, B] or of all steps of a window."""
        states, inputs, parameters = _forward_mode(lambda *at: as_states(self.step(*at)), theta, h, x)
        size, still = range(len(h)), self.counters
        rows = tuple(tuple(None if {p, q} & {*still} else states[q][p] for q in size) for p in size)
        by_input = tuple(tuple(None if p in still else column[p] for column in inputs) for p in size)
        own = {name: tuple(None if p in still else one[p] for p in size) for name, one in parameters.items()}
        return Jacobian(rows, by_input, own)

    def for_slopes(self, theta: Theta, h: States, x: States) -> Any:
        """Return what `slopes` follow from, where that is less than states and inputs: a window keeps it."""
        return h, x

    def slopes(self, theta: Theta, at: Any) -> Slopes:
        """Return A and B of `Jacobian`, from `for_slopes`."""
        found = self.jacobian(theta, *at)
        return found.states, found.inputs

    def compiled(self, theta: Theta) -> CompiledCell | None:
        """Return what the compiled window of this very step needs; None where there is no such window."""
        return None

    def sent(self, theta: Theta, h: States) -> Reading:
        """Return the derivatives of `output`."""
        return self._reading(Neuron.output, self.output, 0, theta, h)

    def seen(self, theta: Theta, h: States) -> Reading:
        """Return the derivatives of `observed`."""
        return self._reading(Neuron.observed, self.observed, self.shows, theta, h)

    @property
    def poisson(self) -> PoissonInput | None:
        """External events that neurons receive on their first channel; None: none."""
        return None

    @property
    def has_slopes(self) -> bool:
        """Whether `slopes` are those of this package, and of this very step: none that a subclass has replaced."""
        return self._is_own("slopes", "step", "jacobian")

    @property
    def has_compiled(self) -> bool:
        """Whether `compiled` is that of this very step."""
        return self._is_own("compiled", "step", "output", "observed", "jacobian", "slopes")

    def _is_own(self, name: str, *others: str) -> bool:
        """Whether a method is of this package, and of the same class as others are."""
        owner = next(one for one in type(self).__mro__ if not {name, *others}.isdisjoint(vars(one)))
        return name in vars(owner) and owner is not Neuron and owner.__module__.startswith("connfit.")

    @property
    def rectifies(self) -> bool:
        """Whether a step is ``r <- α r + (1 - α) max(x, 0)`` and nothing else: native code then takes it whole."""
        return False

    @property
    def traced(self) -> tuple[int, ...]:
        """Numbers of the states that inputs move, of which connections have eligibility traces."""
        return tuple(q for q in range(len(self.states)) if q not in self.counters)

    @property
    def sends_first(self) -> bool:
        """Whether the output is the first state."""
        return type(self).output is Neuron.output

    @property
    def sends_state(self) -> bool:
        """Whether the output is the first state, or the cell says how it is held."""
        return self.sends_first or type(self).hold is not Neuron.hold

    @property
    def shown(self) -> tuple[int, ...]:
        """Numbers of the states whose sum read-outs see; none if they see something else."""
        return (self.shows,) if type(self).observed is Neuron.observed else ()

    @property
    def shows_state(self) -> bool:
        """Whether what read-outs see is a state or a sum of states, to which state forcing can move them."""
        return bool(self.shown)

    @property
    def first_gains(self) -> Mapping[int, float]:
        """Starting gains of state forcing of states that are in no `chain`, by their number."""
        return {}

    @property
    def chain(self) -> tuple[int, ...]:
        """States that follow each other up to what read-outs see, and that starting gains of state forcing move."""
        return self.shown

    @property
    def observing(self) -> tuple[str, ...]:
        """Time constants of the leaky filters that lie between what is sent and what read-outs see, in their order."""
        return ()

    @classmethod
    def in_words(cls) -> str:
        """Return the first sentence of its docstring."""
        words = (cls.__doc__ or cls.__name__).strip().partition("\n")[0].rstrip(".")
        return words[:1].lower() + words[1:]

    def _reading(
        self, default: Callable[..., Array], own: Callable[..., Array], state: int, theta: Theta, h: States
    ) -> Reading:
        if own.__func__ is default:  # pyright: ignore[reportFunctionMemberAccess]
            return Reading((None,) * len(h), {}, state)
        states, _, parameters = _forward_mode(lambda theta, h, _: (own(theta, h),), theta, h, ())
        return Reading(tuple(column[0] for column in states), {name: one[0] for name, one in parameters.items()})


def check_neuron(neuron: Neuron, taken: Sequence[str]) -> None:
    """Raise a ConfigError for a cell that is none.

    Parameters
    ----------
    taken
        Groups of parameters that every model has.
    """
    cell, count = type(neuron).__name__, len(neuron.states)
    if len(neuron.channels) not in (1, 2) or not 1 <= count <= MOST_STATES or not 0 <= neuron.shows < count:
        raise ConfigError(
            f"the cell {cell} has {count} states, {len(neuron.channels)} channels and shows state {neuron.shows}: it "
            f"must have 1 to {MOST_STATES} states, one channel or two, and show one of its states (the first is 0)"
        )
    names = [parameter.name for parameter in neuron.parameters]
    for k, name in enumerate(names):
        if name in taken or name in names[:k] or not name.isidentifier() or name.startswith("log_"):
            raise ConfigError(
                f"the cell {cell} calls a parameter {name!r}: it must be a word that no other group of parameters has, "
                "and not begin with log_"
            )
    for parameter in neuron.parameters:
        start = dict(neuron.starts).get(parameter.name, parameter.start)
        if not parameter.low <= start <= parameter.high:
            raise ConfigError(
                f"{parameter.name} of the cell {cell} starts at {start:g}, but must lie in {parameter.low:g} to "
                f"{parameter.high:g}"
            )


def relu(x: Array) -> Array:
    """Return the input where it is not negative, else 0; its slope is 1 at 0, so that a silent neuron can start."""
    return jnp.where(x >= 0, x, 0)


def as_states(found: Array | Sequence[Array]) -> States:
    """Return the states that a step returned: of one state, the array itself will do."""
    return tuple(found) if isinstance(found, tuple | list) else (jnp.asarray(found),)


def times(slope: Slope, value: Array | None) -> Slope:
    """Multiply by a derivative; None is 0."""
    return None if slope is None or value is None else slope * value


def total(parts: Iterable[Slope]) -> Slope:
    """Add up what is not None, in its order; None if nothing is left."""
    found = None
    for part in parts:
        if part is not None:
            found = part if found is None else found + part
    return found


def filled(value: Slope, like: Array) -> Array:
    """Return an array for a derivative: zeros for None."""
    return jnp.zeros_like(like) if value is None else jnp.broadcast_to(value, like.shape)


def _forward_mode(
    function: Callable[..., States], theta: Theta, h: States, x: States
) -> tuple[list[States], list[States], dict[str, States]]:
    """Derivatives of element-wise functions by each state, each input and each parameter: one tangent of ones each."""
    at = (dict(theta), tuple(h), tuple(x))
    zero = jax.tree.map(jnp.zeros_like, at)

    def by(group: int, which: int | str) -> States:
        values = zero[group]
        if isinstance(values, dict):
            moved: Any = {name: jnp.ones_like(one) if name == which else one for name, one in values.items()}
        else:
            moved = tuple(jnp.ones_like(one) if k == which else one for k, one in enumerate(values))
        return jax.jvp(function, at, (*zero[:group], moved, *zero[group + 1 :]))[1]

    return [by(1, q) for q in range(len(h))], [by(2, c) for c in range(len(x))], {name: by(0, name) for name in theta}
