"""Largest Lyapunov exponent: does a small difference grow or die out along a run of the model?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import stats

from connfit._io import finite
from connfit.errors import ConfigError, ConnfitError
from connfit.models.base import Model, Neurons, Params, as_columns, as_neurons, state_size
from connfit.models.forward import tangent_step
from connfit.models.frame_loop import CHUNK
from connfit.models.rest import started
from connfit.models.rollout import Noise, Shown, State, Stepped, rollout
from connfit.models.windows import read_out

CONFIDENCE = 0.95

Point = TypeVar("Point")


@dataclass(frozen=True)
class LyapunovExponent:
    """Mean logarithmic growth of a small difference; None where it is minus infinity.

    Parameters
    ----------
    per_step, per_second
        Largest exponent: negative if differences die out, positive in chaos.
    interval_per_step, interval_per_second
        95 % interval from the spread of the block means (Student's t with B - 1 degrees of freedom). It covers what a
        longer run would give only if blocks are longer than the correlations of the growth.
    confidence
        Of the intervals.
    block_means_per_step
        Means over consecutive blocks of the run.
    steps, transient_steps
        Steps that count, and those before the first of them.
    step_s
        Seconds per step.
    driven
        Which input the run had: `"free"`, `"driven"`, `"mixed"`, or the caller's own name.
    notes
        Whatever restricts the result.
    """

    per_step: float | None = None
    per_second: float | None = None
    interval_per_step: tuple[float | None, float | None] = (None, None)
    interval_per_second: tuple[float | None, float | None] = (None, None)
    confidence: float = CONFIDENCE
    block_means_per_step: tuple[float | None, ...] = ()
    steps: int = 0
    transient_steps: int = 0
    step_s: float = 1.0
    driven: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class LyapunovRun(LyapunovExponent):
    """A Lyapunov exponent with the growth that it is the mean of.

    Parameters
    ----------
    growth
        [T] natural logarithm of the growth at each step after the transient.
    """

    growth: Float[np.ndarray, "T"]


def lyapunov_of(
    advance: Callable[[Point, np.ndarray], tuple[Point, np.ndarray]],
    state: Point,
    tangent: Float[np.ndarray, "..."],
    *,
    steps: int,
    transient: int = 0,
    blocks: int = 10,
    step_s: float = 1.0,
) -> LyapunovRun:
    """Estimate the largest Lyapunov exponent of any map whose tangent is known.

    A tangent vector is carried along and scaled back to length 1 after every step; the exponent is the mean of
    the logarithms of these lengths (Benettin, Galgani, Giorgilli & Strelcyn 1980, doi 10.1007/BF02128236).

    Parameters
    ----------
    advance
        (state, tangent) before a step to (state, tangent) after it.
    state
        Where the run starts.
    tangent
        Any direction that is not zero; almost every one turns into the fastest growing direction.
    steps, transient
        Steps that count, after `transient` steps in which the state and the tangent settle.
    blocks
        Number of blocks for the interval, at least 2.
    step_s
        Seconds per step.

    Raises
    ------
    ConfigError
        If there are fewer steps than blocks, or the tangent is zero.
    ConnfitError
        If the tangent stops being finite.

    Examples
    --------
    >>> doubling = lyapunov_of(lambda x, d: ((2 * x) % 1.0, 2 * d), 0.3, np.ones(1), steps=40)
    >>> round(doubling.per_step, 4)
    0.6931
    """
    _check(steps, transient, blocks)
    tangent = np.asarray(tangent, np.float64)
    length = float(np.linalg.norm(tangent))
    if not length > 0:
        raise ConfigError("the tangent must not be zero")
    growth = np.empty(transient + steps)
    for t in range(transient + steps):
        state, tangent = advance(state, tangent / length)
        length = float(np.linalg.norm(tangent))
        if not np.isfinite(length):
            raise ConnfitError(f"the tangent stops being finite at step {t}")
        if length == 0:
            growth[t:] = -np.inf
            break
        growth[t] = np.log(length)
    return _result(growth, transient, blocks, step_s, "map", ())


def lyapunov_exponent(
    model: Model,
    params: Params,
    start: Neurons | Float[np.ndarray, "N"],
    *,
    steps: int | None = None,
    inputs: Float[np.ndarray, "T P"] | None = None,
    forced: Bool[np.ndarray, "T P"] | None = None,
    transient: int = 100,
    blocks: int = 10,
    seed: int = 0,
) -> LyapunovRun:
    """Estimate the largest Lyapunov exponent of a model along a free or a driven run, as in `lyapunov_of`.

    The tangent is that of the step itself, through state forcing, neurons, connections, read-out and drive
    (`connfit.models.forward.tangent_step`). State forcing with φ shrinks what given units show of a
    difference to 1 - φ before each step. Along a run on given activity the exponent is that of the response:
    negative means that the model forgets how it started. For networks see Sompolinsky, Crisanti & Sommers (1988,
    doi 10.1103/PhysRevLett.61.259) and Engelken, Wolf & Abbott (2023, doi 10.1103/PhysRevResearch.5.043044).

    Memory does not depend on the number of steps; a step costs two products with the connections.

    Parameters
    ----------
    model, params
        The model and its parameters.
    start
        Where the run starts: the states of an earlier run; of cells with one state, rates [N] in the recording's units.
    steps
        Steps that count; default: all of `inputs` after the transient.
    inputs
        [transient + steps, P] activity u(t-1) of the units before each model step, in the recording's units. None
        for a free run, in which the model sees its own read-out.
    forced
        [transient + steps, P] where `inputs` stands in place of the model's own read-out; elsewhere it is added to
        it, as noise, and shown to the model as a recorded frame would be; 0 for none, where nothing is shown.
        Default: everywhere.
    transient
        Steps before the first one that counts.
    blocks
        Number of blocks for the interval, at least 2.
    seed
        Of the first tangent.

    Raises
    ------
    ConfigError
        If shapes or numbers contradict each other.
    ConnfitError
        If the rates stop being finite before there are as many steps as blocks.
    """
    if inputs is None and (steps is None or forced is not None):
        raise ConfigError("without inputs, give the number of steps and no mask of forced units")
    if steps is None:
        steps = len(np.asarray(inputs)) - transient
    _check(steps, transient, blocks)
    total = transient + steps
    given = None if inputs is None else _given(model, inputs, forced, total)
    kind = params["bias"].dtype
    state = State.of(model, started(model, params, start))
    direction = np.random.default_rng(seed).standard_normal((state_size(state.neurons), 1))
    tangent = as_neurons(jnp.asarray(direction / np.linalg.norm(direction), kind), state.neurons)
    noise = None if given is None or given.given.all() else _noise(given)
    if noise is not None:
        own = read_out(model, params, tuple(one[None] for one in state.neurons.states))[0]
        reading = own + jnp.asarray(noise.values[0], kind)
        state = state._replace(reading=reading, shown=jnp.asarray(noise.units[0]))
    growth, notes = [], []
    for first in range(0, total, CHUNK):
        block = slice(first, min(first + CHUNK, total))
        shown = Shown.nothing(model, block.stop - block.start) if given is None else given.part(block)
        # Noise comes after a step, and the next is shown it.
        later = slice(block.start + 1, block.stop + 1)
        added = None if noise is None else Noise(jnp.asarray(noise.values[later], kind), noise.units[later])
        run = rollout(model, params, state, shown, _growth, tangent, noise=added)
        state, tangent, (logs, sound) = run.state, run.kept, run.each
        growth.append(np.asarray(logs, np.float64))
        if not bool(np.all(sound)):
            broken = first + int(np.flatnonzero(~np.asarray(sound))[0])
            growth[-1] = growth[-1][: broken - first]
            notes.append(f"the run stops being finite at step {broken} of {total}; what comes before is used")
            break
    joined = np.concatenate(growth)
    if len(joined) - transient < blocks:
        raise ConnfitError(
            f"the run stops being finite at step {len(joined)}, before there are {blocks} steps after the transient "
            f"of {transient}: the model is unstable there"
        )
    if model.drive is None and not model.forces:
        driven = "free"
        notes.append("the model has no drive: neither inputs nor its own read-out act on it")
    else:
        driven = "free" if given is None else "mixed" if noise is not None else "driven"
    return _result(joined, transient, blocks, model.step_s, driven, tuple(notes))


def _check(steps: int, transient: int, blocks: int) -> None:
    if blocks < 2 or steps < blocks or transient < 0:
        raise ConfigError(
            f"an interval needs at least 2 blocks of at least one step each after a transient of 0 or more, got "
            f"{blocks} blocks, {steps} steps, transient {transient}"
        )


def _given(model: Model, inputs: np.ndarray, forced: np.ndarray | None, total: int) -> Shown:
    inputs = np.asarray(inputs)
    forced = np.ones(inputs.shape, bool) if forced is None else np.asarray(forced, bool)
    for name, array in (("inputs", inputs), ("forced", forced)):
        if array.shape != (total, model.units):
            raise ConfigError(f"{name} has shape {array.shape}, but must have ({total}, {model.units})")
    if not np.isfinite(inputs).all():
        at, unit = np.argwhere(~np.isfinite(inputs))[0]
        raise ConfigError(f"inputs is not finite at step {at}, unit {unit}; give 0 there and leave it out of `forced`")
    return Shown(inputs[:, :, None], forced[:, :, None])


def _result(
    growth: np.ndarray, transient: int, blocks: int, step_s: float, driven: str, notes: tuple[str, ...]
) -> LyapunovRun:
    counted = growth[transient:]
    means = np.array([part.mean() for part in np.array_split(counted, blocks)])
    if np.isneginf(counted).any():
        notes += ("a difference vanishes within a single step: the exponent is minus infinity",)
    low = high = float("nan")
    if np.isfinite(means).all():
        error = means.std(ddof=1) / np.sqrt(blocks)
        half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, blocks - 1) * error)
        low, high = float(means.mean()) - half, float(means.mean()) + half
    per_step = float(counted.mean())
    return LyapunovRun(
        per_step=finite(per_step),
        per_second=finite(per_step / step_s),
        interval_per_step=(finite(low), finite(high)),
        interval_per_second=(finite(low / step_s), finite(high / step_s)),
        block_means_per_step=tuple(finite(means)),
        steps=len(counted),
        transient_steps=transient,
        step_s=step_s,
        driven=driven,
        notes=notes,
        growth=counted,
    )


def _noise(given: Shown) -> Noise:
    """What is added to the read-out before each step, and nothing after the last; where it is 0, nothing is shown."""
    values = np.where(given.given, 0, given.values)
    values = np.concatenate([values, np.zeros_like(values[:1])])
    return Noise(values, values != 0)


def _growth(
    model: Model, params: Params, tangent: Neurons, now: Stepped, also: None
) -> tuple[Neurons, tuple[Float[Array, ""], Bool[Array, ""]]]:
    """Carry a difference of length 1 along; keep the logarithm of its growth, and whether the rates are finite."""
    tangent = tangent_step(model, params, now.seen, now.given, now.noisy, tangent)
    length = jnp.linalg.norm(as_columns(tangent))
    sound = jnp.stack([jnp.isfinite(one).all() for one in now.neurons.states]).all() & jnp.isfinite(length)
    return jax.tree.map(lambda one: one / jnp.where(length > 0, length, 1), tangent), (jnp.log(length), sound)
