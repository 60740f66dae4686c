"""Every run of a model goes through `rollout`: callers say what is shown, what is held and what is kept.

Predictions one step ahead are shown recorded frames; forecasts and free runs the model's own predictions, with or
without noise; a run to rest the mean of the units. One step is, in this order:

1. What units show is cut to the range that rates explain; what lies beyond it is added to the unit's reading until the
   unit shows something again (`connfit.recordings.training_range`).
2. State forcing moves the states towards it (`connfit.models.forward.correct`).
3. The model steps: leak, connections, external inputs, and drive by what units show, or by the model's own read-out
   where they show nothing (`connfit.models.forward.step`).
4. Held neurons are set to their rates.
5. Neurons are read out, in the units of the recording. With noise, read-out plus noise is what units show next.

A window of training (`connfit.models.windows`) takes the same step (`advance`) and keeps what an adjoint needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from connfit.errors import ConfigError
from connfit.models.base import Model, Neurons, Params
from connfit.models.compiled_run import connected_steps, in_one_call
from connfit.models.compiled_step import for_run
from connfit.models.forward import FedBack, Trajectory, correct, step
from connfit.models.frame_loop import filled_up, loop_over
from connfit.models.frame_steps import Within, frame_steps
from connfit.models.neuron import as_states
from connfit.models.poisson_input import Clock

Kept = TypeVar("Kept")
Each = TypeVar("Each")


class State(NamedTuple):
    """A run between two steps.

    Attributes
    ----------
    neurons
        States of all neurons; rates and what is read are in the recording's units.
    reading
        What the units in `shown` are about to show: the last recorded frame, or a prediction plus noise.
    shown
        Units that show `reading` in the next step, unless the step is given something else.
    beyond
        What each unit last showed beyond the range that rates explain.
    """

    neurons: Neurons
    reading: Float[Array, "P B"]
    shown: Bool[Array, "P B"]
    beyond: Float[Array, "P B"]

    @property
    def rates(self) -> Float[Array, "N B"]:
        """First state of all neurons."""
        return self.neurons.rates

    @classmethod
    def of(cls, model: Model, start: Neurons | Float[Array, "N B"]) -> State:
        """Start from neurons whose units are about to show nothing; of cells with one state, from their rates.

        Raises
        ------
        ConfigError
            If cells have more than one state, or signals a delay, and only rates are given.
        """
        neurons = start if isinstance(start, Neurons) else Neurons((start,))
        ticks = (neurons.clock is None) == (model.neuron.poisson is None)
        if len(neurons.states) != len(model.neuron.states) or (neurons.sent is None) != (model.delay == 0) or not ticks:
            raise ConfigError(
                f"a start of {len(neurons.states)} states per neuron is not one of this model, whose neurons have "
                f"{', '.join(model.neuron.states)}{' and signals on their way' if model.delay else ''}"
                f"{' and a clock of external events' if model.neuron.poisson is not None else ''}: start from "
                "model.rest() or from where a run ended"
            )
        nothing = jnp.zeros((model.units, neurons.rates.shape[1]), neurons.rates.dtype)
        return cls(neurons, nothing, jnp.zeros(nothing.shape, bool), nothing)

    @classmethod
    def at_rest(cls, model: Model, runs: int = 1, clock: Clock | None = None) -> State:
        """Start from silence; with a clock, if that is of external events that the model has."""
        neurons = model.rest(runs)
        if clock is not None and neurons.clock is not None:
            neurons = neurons._replace(clock=Clock(*(jnp.broadcast_to(one, (runs,)) for one in clock)))
        return cls.of(model, neurons)

    def beside_itself(self, streams: Sequence[int]) -> State:
        """Return one run several times, each with the external events of a stream from now on, if it has any."""
        state: State = jax.tree.map(lambda values: jnp.repeat(values, len(streams), axis=-1), self)
        if (clock := state.neurons.clock) is None:
            return state
        clock = clock._replace(stream=jnp.asarray(np.array(streams, np.uint32)))
        return state._replace(neurons=state.neurons._replace(clock=clock))


class Shown(NamedTuple):
    """What units are given to show before each of K steps.

    Attributes
    ----------
    values
        Recorded activity, in the recording's units.
    given
        Where a unit shows it; elsewhere the model's own read-out drives it, or what the last step left.
    external
        Features of external inputs (`connfit.recordings.Inputs`); None: they are at their mean.
    """

    values: Float[Array, "K P B"] | Float[np.ndarray, "K P B"]
    given: Bool[Array, "K P B"] | Bool[np.ndarray, "K P B"]
    external: Float[Array, "K F #B"] | Float[np.ndarray, "K F #B"] | None = None

    def part(self, steps: slice) -> Shown:
        """Return some of the steps."""
        return Shown(self.values[steps], self.given[steps], None if self.external is None else self.external[steps])

    @classmethod
    def nothing(cls, model: Model, steps: int, runs: int = 1) -> Shown:
        """Show nothing for K steps: the model by itself."""
        shape = (steps, model.units, runs)
        return cls(np.zeros(shape, np.float32), np.zeros(shape, bool))

    @classmethod
    def constant(cls, values: Float[np.ndarray, "P"], steps: int, runs: int = 1) -> Shown:
        """Show the same values of all units before each of K steps."""
        shape = (steps, len(values), runs)
        return cls(np.broadcast_to(np.asarray(values)[:, None], shape), np.ones(shape, bool))


class Noise(NamedTuple):
    """What is added to the reading after each of K steps; the sum is what the next step is shown.

    Attributes
    ----------
    units
        Units that it reaches; the others show nothing.
    """

    values: Float[Array, "K P B"] | Float[np.ndarray, "K P B"]
    units: Bool[Array, "K P #B"] | Bool[np.ndarray, "K P #B"]

    def part(self, steps: slice) -> Noise:
        """Return some of the steps."""
        return Noise(self.values[steps], self.units[steps])


class Limits(NamedTuple):
    """Least and greatest value of each unit that rates explain, in all runs or in each."""

    low: Float[np.ndarray, "P #B"]
    high: Float[np.ndarray, "P #B"]


class Held(NamedTuple):
    """Neurons whose rate is held, whatever their input, and the rates: what is sent, of spikes so many per step."""

    neurons: Bool[Array, "N B"]
    rates: Float[Array, "N #B"]


class Stepped(NamedTuple):
    """What one step leaves to those that keep something of it.

    Attributes
    ----------
    before, neurons
        States before the step, uncorrected, and after it.
    rates
        What neurons send after the step. Of cells that spike the mean over all model steps of a frame: spikes per step.
    reading
        Read-out after the step in the recording's units, noise included.
    beyond
        What each unit last showed beyond the range that rates explain.
    given, noisy
        Units that showed what they were given, and those that showed what the last step left.
    seen
        What the step itself left behind.
    external
        Features of external inputs that it was given.
    """

    before: Neurons
    neurons: Neurons
    rates: Float[Array, "N B"]
    reading: Float[Array, "P B"]
    beyond: Float[Array, "P B"]
    given: Bool[Array, "P B"]
    noisy: Bool[Array, "P B"]
    seen: Trajectory
    external: Float[Array, "F #B"] | None = None


Keep = Callable[[Model, Params, Kept, Stepped, Any], tuple[Kept, Each]]
"""What is kept of a step: from what is carried along to what is carried on, and what is stacked over steps."""


class Run(NamedTuple, Generic[Kept, Each]):
    """State after a run, what was carried along it, and what was kept of each frame; of all model steps in `within`."""

    state: State
    kept: Kept
    each: Each
    within: Array | None = None


def readings(model: Model, params: Params, kept: Kept, now: Stepped, also: object) -> tuple[Kept, Array]:
    """Keep the reading [P, B] of each step: predictions, in the recording's units."""
    return kept, now.reading


def rollout(
    model: Model,
    params: Params,
    state: State,
    shown: Shown,
    keep: Keep[Kept, Each],
    kept: Kept = None,
    also: object = None,
    *,
    noise: Noise | None = None,
    limits: Limits | None = None,
    held: Held | None = None,
    current: Float[Array, "N #B"] | None = None,
    forcing: bool = True,
    substeps: int = 1,
    within: Within | None = None,
) -> Run[Kept, Each]:
    """Run a model on; compiled once for each set of shapes, of which the number of frames is none up to `CHUNK`.

    Parameters
    ----------
    model, params
        The model and all its parameters.
    state
        Where the run starts: B runs side by side.
    shown
        What units are given to show, K times.
    keep, kept, also
        ``keep(model, params, kept, now, also)`` says what is carried along the run, from `kept` (whose memory is
        given away) on, and what is kept of each step; `also` has K entries, one for each call. A function of a module:
        a new one is compiled anew.
    noise
        Makes units show the model's own prediction plus noise where they are given nothing.
    limits
        Range of the values that rates explain; None: all.
    held
        Neurons that are held, from before the first step on.
    current
        Injected into neurons at each step: added to their input.
    forcing
        False: what is shown acts through the drive alone, as a background, and leaves states where they are.
    substeps
        Model steps for which each shown value stands; noise comes, and something is kept, after the last of them.
    within
        What is kept after each of these as well, as `Run.within` [K, substeps, ...].
    """
    given = model, params, state, shown, kept, also, noise, limits, held, current
    options = {"keep": keep, "forcing": forcing, "substeps": substeps, "within": within}
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(given)):
        # Within a program of the caller's, of which the number of frames is part, and which may be differentiated.
        return _rollout(*given, None, **options)
    frames = shown.values.shape[0]
    shown, noise, also = filled_up((shown, noise, also), frames)
    run = _rollout(
        model, params, state, shown, kept, also, noise, limits, held, current, np.int32(frames), **options
    )  # fmt: skip
    if frames == shown.values.shape[0]:
        return run
    # On the host: a slice by JAX would be one more program for each number of frames.
    each, inner = jax.tree.map(lambda stacked: np.asarray(stacked)[:frames], (run.each, run.within))
    return run._replace(each=each, within=inner)


@partial(jax.jit, static_argnames=("keep", "forcing", "substeps", "within"), donate_argnames=("kept",))
def _rollout(
    model: Model, params: Params, state: State, shown: Shown, kept: Any, also: Any, noise: Noise | None,
    limits: Limits | None, held: Held | None, current: Array | None, frames: Array | np.int32 | None, *,
    keep: Keep[Any, Any], forcing: bool, substeps: int, within: Within | None,
) -> Run[Any, Any]:  # fmt: skip
    strengths, kind = model.readout_strengths(params), state.rates.dtype
    theta, neuron = model.constants(params), model.neuron
    model = for_run(model, params, state.neurons, substeps * shown.values.shape[0])

    def one_frame(carry: tuple[State, Any], frame: tuple[Shown, Noise | None, Any]) -> tuple[tuple[State, Any], Any]:
        (before, reading, shown, beyond), kept = carry
        (values, given, external), added, also = frame
        external = None if external is None else jnp.asarray(external, kind)
        given = jnp.asarray(given)
        showing = given | shown
        u = jnp.where(given, jnp.asarray(values, kind), reading)
        if limits is not None:
            inside = jnp.clip(u, limits.low, limits.high)
            u, beyond = inside, jnp.where(showing, u - inside, beyond)
        move = partial(
            advance, model, params, given=u, forced=showing, forcing=forcing, held=held, current=current,
            external=external,
        )  # fmt: skip
        keep_step = None if within is None else partial(within, model, theta)
        send = (lambda now: neuron.output(theta, now.states)) if neuron.spikes else None
        many = None
        if within is None and held is None and current is None and in_one_call(model, kind):
            many = partial(connected_steps, substeps - 1, model, params, external=external)
        now, seen, inner, sent = frame_steps(move, before, substeps, keep_step, send, many)
        reading = model.readout.apply(strengths, neuron.observed(theta, now.states))
        if limits is not None:
            reading += beyond
        if added is not None:
            reading += jnp.asarray(added.values, kind)
        shown_next = jnp.zeros_like(shown) if added is None else jnp.broadcast_to(added.units, shown.shape)
        rates = neuron.output(theta, now.states) if sent is None else sent / substeps
        stepped = Stepped(before, now, rates, reading, beyond, given, ~given & shown, seen, external)
        kept, each = keep(model, params, kept, stepped, also)
        state = State(now, reading.astype(kind), shown_next, beyond.astype(kind))
        return (state, kept), (each, inner)

    neurons, reading, to_show, beyond = state
    if held is not None:
        neurons = hold_from(model, params, neurons, held)
    start = State(neurons, reading.astype(kind), jnp.broadcast_to(to_show, reading.shape), beyond.astype(kind))
    (state, kept), (each, inner) = loop_over(one_frame, (start, kept), (shown, noise, also), frames)
    return Run(state, kept, each, inner)


def advance(
    model: Model,
    params: Params,
    before: Neurons,
    given: Float[Array, "P B"],
    forced: Bool[Array, "P B"],
    *,
    forcing: bool = True,
    held: Held | None = None,
    current: Float[Array, "N #B"] | None = None,
    external: Float[Array, "F #B"] | None = None,
    drive: Float[Array, "N B"] | None = None,
    fed_back: FedBack | None = None,
) -> tuple[Neurons, Trajectory]:
    """Take the one step of every run: state forcing, then the model's step, then held rates.

    Parameters
    ----------
    given, forced
        What units show, and which of them do; the others' part of the drive is the model's own read-out.
    current, external, drive, fed_back
        As in `connfit.models.forward.step`.
    """
    corrected = before
    if forcing:
        corrected = before._replace(states=correct(model, before.states, given, forced, params))
    after, seen = step(model, params, corrected, given, forced, drive, fed_back, current, external)
    return _hold(model, params, held, corrected, after), seen


def hold_from(model: Model, params: Params, neurons: Neurons, held: Held, phase: Array | None = None) -> Neurons:
    """Return neurons of which some are held from the next step on.

    Parameters
    ----------
    phase
        [N, 1] of cells that spike: how far each is between two spikes, 0 to 1; None: as it is.
    """
    rates = jnp.broadcast_to(held.rates, neurons.rates.shape)
    found = as_states(model.neuron.held_from(model.constants(params), neurons.states, rates, phase))
    states = tuple(jnp.where(held.neurons, one, own) for one, own in zip(found, neurons.states, strict=True))
    return neurons._replace(states=states)


def _hold(model: Model, params: Params, held: Held | None, before: Neurons, after: Neurons) -> Neurons:
    if held is None:
        return after
    if not model.neuron.sends_state:
        raise ConfigError(
            f"neurons of the cell {type(model.neuron).__name__} cannot be held at a rate: what they send is no state, "
            "and the cell has no `hold` that says how"
        )
    rates = jnp.broadcast_to(held.rates, after.rates.shape)
    kept = as_states(model.neuron.hold(model.constants(params), before.states, after.states, rates))
    states = tuple(jnp.where(held.neurons, one, free) for one, free in zip(kept, after.states, strict=True))
    return after._replace(states=states)
