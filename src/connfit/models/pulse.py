"""Responses to a pulse on one neuron at a time: what an optogenetic stimulation does in a model, seen as recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from connfit.errors import ConfigError, DivergedError, one_of
from connfit.models.base import Model, Params
from connfit.models.frame_loop import CHUNK
from connfit.models.perturb import DRIVES, settled
from connfit.models.rest import started
from connfit.models.rollout import Held, Shown, State, Stepped, rollout

WORKING_BYTES = 256 << 20
"""Memory that stimulations side by side may take: about a dozen numbers per neuron, and what units show."""

_COPIES = 12

Sites = Int[np.ndarray, "S"] | Sequence[Int[np.ndarray, "k"]]
"""Neurons that are stimulated one by one, or sets of them that are stimulated together."""


@dataclass(frozen=True)
class Stimulations:
    """How each neuron is stimulated, and over which time its responses are averaged; as the experiment did.

    Parameters
    ----------
    pulse_s
        Length of the pulse in seconds; at least one model step.
    window_s
        Seconds from the onset of the pulse on, over which changes are averaged.
    strength
        What is added to the stimulated neuron's input, in standard deviations of the recorded units' training activity.
        Of cells that spike 1 is what brings a neuron from rest to its threshold.
    drive
        One of `connfit.models.perturb.DRIVES`: what drives the model meanwhile.

    Raises
    ------
    ConfigError
        If an option is out of range.
    """

    pulse_s: float = 0.5
    window_s: float = 30.0
    strength: float = 1.0
    drive: str = "own"

    def __post_init__(self) -> None:
        one_of("drive", self.drive, DRIVES)
        for name in ("pulse_s", "window_s"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"{name} = {value:g} must be finite and above 0 seconds")
        if self.window_s < self.pulse_s:
            raise ConfigError(f"window_s = {self.window_s:g} must not be shorter than pulse_s = {self.pulse_s:g}")
        if not np.isfinite(self.strength) or self.strength == 0:
            raise ConfigError(f"strength = {self.strength:g} must be finite, and not 0")

    def steps(self, step_s: float) -> tuple[int, int]:
        """Return the model steps of the pulse and of the window: the nearest number, one at least."""
        pulse = max(round(self.pulse_s / step_s), 1)
        return pulse, max(round(self.window_s / step_s), pulse)


def pulse_responses(
    model: Model,
    params: Params,
    neurons: Sites,
    stimulations: Stimulations,
    *,
    unit_of_strength: float,
    mean: Float[np.ndarray, "P"],
    watched: Int[np.ndarray, "W"] | None = None,
) -> Float[np.ndarray, "S W"]:
    """Stimulate neurons one at a time and return how what read-outs see of others changes.

    Each run starts where units have shown their mean for long (`connfit.models.perturb.settled`), gets a pulse on one
    neuron, and goes on without noise; the same run without the pulse is taken off. Many stimulations are run side by
    side, as many as `WORKING_BYTES` allow.

    Parameters
    ----------
    neurons
        Positions of the stimulated neurons, or arrays of those that are stimulated together, each with the full pulse.
    unit_of_strength
        What a strength of 1 is, in the units of the recording; of cells that spike it is not needed.
    mean
        Training mean of each unit, in the units of the recording.
    watched
        Positions of the neurons whose response is wanted; default: all.

    Returns
    -------
    responses
        Mean change over the window, in the units of the recording: of calcium where the cell has it, else of the rate.

    Raises
    ------
    ConfigError
        If a neuron is out of range.
    DivergedError
        If activity grows without bound.
    """
    if watched is not None and len(watched) and not 0 <= watched.min() <= watched.max() < model.neurons:
        raise ConfigError(f"watched neurons must lie in 0..{model.neurons - 1}")
    rows = np.arange(model.neurons) if watched is None else watched
    return _changes(model, params, neurons, stimulations, unit_of_strength, mean, add_neurons, model.neurons)[:, rows]


def unit_pulse_responses(
    model: Model,
    params: Params,
    neurons: Sites,
    stimulations: Stimulations,
    *,
    unit_of_strength: float,
    mean: Float[np.ndarray, "P"],
) -> Float[np.ndarray, "S P"]:
    """Stimulate neurons one at a time and return how the recorded units change; arguments as of `pulse_responses`.

    Returns
    -------
    responses
        Mean change of each unit's read-out over the window, in the units of the recording.

    Raises
    ------
    ConfigError
        If a neuron is out of range.
    DivergedError
        If activity grows without bound.
    """
    return _changes(model, params, neurons, stimulations, unit_of_strength, mean, _add_units, model.units)


def _changes(
    model: Model, params: Params, neurons: Sites, stimulations: Stimulations, unit_of_strength: float,
    mean: Float[np.ndarray, "P"], add: Add, rows: int,
) -> Float[np.ndarray, "S R"]:  # fmt: skip
    """Mean change over the window of what `add` adds up, by stimulated neuron or set."""
    sites = [np.atleast_1d(each) for each in neurons]
    every = np.concatenate(sites) if sites else np.zeros(0, int)
    if len(every) and not 0 <= every.min() <= every.max() < model.neurons:
        raise ConfigError(f"stimulated neurons must lie in 0..{model.neurons - 1}")
    pulse, window = stimulations.steps(model.step_s)
    start = settled(model, params, mean, drive=stimulations.drive).neurons
    strength = pulse_inputs(model, params, stimulations, unit_of_strength)
    given = mean if stimulations.drive == "mean" else np.zeros(model.units)
    width = side_by_side(model, len(sites))
    found = np.zeros((len(sites), rows))
    for begin in range(0, len(sites), width):
        batch = sites[begin : begin + width]
        current = np.zeros((model.neurons, width + 1))
        for column, members in enumerate(batch, 1):
            current[members, column] = strength[members]
        total = summed(model, params, start, current, pulse, window, given, stimulations.drive == "own", add, rows)
        change = (total[:, 1 : len(batch) + 1] - total[:, :1]) / window
        if not np.isfinite(change).all():
            raise grew_without_bound(window)
        found[begin : begin + len(batch)] = change.T
    return found


def pulse_inputs(
    model: Model, params: Params, stimulations: Stimulations, unit_of_strength: float
) -> Float[np.ndarray, "N"]:
    """Return what a pulse adds to the input of each neuron at each step."""
    if not model.neuron.spikes:
        return np.full(model.neurons, stimulations.strength * unit_of_strength)
    theta = model.constants(params)
    silent = model.neuron.shown_at(theta, jnp.zeros((model.neurons, 1), params["bias"].dtype))
    return stimulations.strength * np.asarray(model.neuron.balance(theta, silent), np.float64)[:, 0]


def grew_without_bound(window: int) -> DivergedError:
    """Return the error of runs that grow until their numbers end."""
    return DivergedError(
        f"activity grew without bound within {window} model steps of a pulse: give a shorter window, or "
        "drive = 'mean', which cuts the loop through the model's own predictions"
    )


def side_by_side(model: Model, stimulations: int) -> int:
    """Stimulations side by side; at least one. The first run of a batch is the one without a pulse."""
    per_run = 4 * (model.neurons * _COPIES + model.units * (2 * CHUNK + 4))
    return max(1, min(stimulations, WORKING_BYTES // per_run - 1))


def summed(
    model: Model, params: Params, start: object, current: Float[np.ndarray, "N B"], pulse: int, window: int,
    given: Float[np.ndarray, "P"], own: bool, add: Add, rows: int, held: Held | None = None,
) -> Float[np.ndarray, "R B"]:  # fmt: skip
    """Return what `add` adds up over the window, by run; `held` are held all the time."""
    real, runs = params["bias"].dtype, current.shape[1]
    first = started(model, params, start)  # pyright: ignore[reportArgumentType]
    state = State.of(model, jax.tree.map(lambda one: jnp.repeat(one, runs, axis=-1), first))
    total, done = np.zeros((rows, runs)), 0
    while done < window:
        pulsed = done < pulse
        steps = min(CHUNK, (pulse if pulsed else window) - done)
        shown = Shown.nothing(model, steps, runs) if own else Shown.constant(given, steps, runs)
        run = rollout(
            model, params, state, shown, add, _Sums(jnp.zeros((rows, runs), real)),
            current=jnp.asarray(current, real) if pulsed else None, held=held, forcing=False,
        )  # fmt: skip
        state, done = run.state, done + steps
        # Added in double precision: a change is a small difference of large sums.
        total += np.asarray(run.kept.total, np.float64)
    return total


class _Sums(NamedTuple):
    """Sum over steps, by neuron or unit."""

    total: Float[Array, "R B"]


Add = Callable[[Model, Params, _Sums, Stepped, None], tuple[_Sums, None]]


def add_neurons(model: Model, params: Params, kept: _Sums, now: Stepped, also: None) -> tuple[_Sums, None]:
    """Add what read-outs see of every neuron."""
    return _Sums(kept.total + model.neuron.observed(model.constants(params), now.neurons.states)), None


def _add_units(model: Model, params: Params, kept: _Sums, now: Stepped, also: None) -> tuple[_Sums, None]:
    """Add what every unit shows."""
    return _Sums(kept.total + now.reading), None
