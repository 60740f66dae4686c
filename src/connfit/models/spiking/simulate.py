"""Runs of a spiking network: steps in chunks, several runs beside each other.

The order within a step is that of Brian2: neurons that are not refractory move, those above the threshold spike, what
arrives is added (to no neuron that spikes or is refractory), and neurons that spiked are reset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from connfit.errors import ConfigError
from connfit.models import ops
from connfit.models.ops import Pattern
from connfit.models.ops.choice import resolve
from connfit.models.spiking.lif import SteppedNeuron
from connfit.models.spiking.native_runs import available, native_chunks
from connfit.models.spiking.network import SpikingNetwork, arriving
from connfit.models.spiking.poisson import Trains

CHUNK = 1000
"""Steps between two looks at what spiked."""

_BITS = 32


class _State(NamedTuple):
    """Of N neurons in B runs: v above rest, g, the last steps' spikes as bits (newest lowest), spikes so far."""

    u: Float[Array, "N B"]
    g: Float[Array, "N B"]
    history: tuple[Array, ...]
    counts: Int[Array, "N B"]


class _Fixed(NamedTuple):
    """What does not change: wiring, stimulated neurons, refractory steps as bits of the history, who is silent."""

    pattern: Pattern
    weights: Float[Array, "M"]
    stimulated: Int[Array, "k"]
    refractory: tuple[Array, ...]
    heard: Bool[Array, "N B"] | None
    watched: Int[Array, "W"]
    current: Float[Array, "N 1"] | None


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive steps of a simulation.

    Parameters
    ----------
    start, stop
        Steps, half-open.
    counts
        [N, B] spikes since the start of the simulation, until `stop`.
    spikes
        [T, W, B] whether each watched neuron spiked, by step of this chunk.
    """

    start: int
    stop: int
    counts: Int[np.ndarray, "N B"]
    spikes: Bool[np.ndarray, "T W B"]


def spikes_of(
    network: SpikingNetwork,
    stimulated: Int[np.ndarray, "k"],
    trains: Trains,
    steps: int,
    step_ms: float,
    *,
    silent: Bool[np.ndarray, "N B"] | None = None,
    watched: Int[np.ndarray, "W"] | None = None,
    current: Float[np.ndarray, "N"] | None = None,
    chunk: int = CHUNK,
    implementation: str = "auto",
) -> Iterator[Chunk]:
    """Simulate B runs of a network from rest.

    Parameters
    ----------
    stimulated
        Positions of neurons that get events; these have no refractory period, as in the model of Shiu et al.
    trains
        Their events.
    steps, step_ms
        How many, and how long each is.
    silent
        Whether the neuron's spikes reach nobody, by run; default: all are heard.
    watched
        Neurons whose spikes are returned step by step; default: none.
    current
        Constant current into each neuron times the membrane's resistance, mV: `dv/dt = (v_rest - v + g + current) / τ`.
    chunk
        Steps that are computed at once.
    implementation
        `"auto"`, `"native"` or `"portable"`, see `connfit.models.ops.use`.

    Yields
    ------
    Chunk
        One after the other; memory does not depend on how many.

    Raises
    ------
    ConfigError
        If shapes contradict each other, or a time of the neuron is no whole number of steps.
    NotAvailableError
        If native code is asked for and was not compiled.
    """
    neuron = network.neuron.stepped(step_ms)
    k, runs = trains.shape
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {"stimulated": (np.shape(stimulated), (k,))}
    if silent is not None:
        shapes["silent"] = np.shape(silent), (network.neurons, runs)
    for name, (given, needed) in shapes.items():
        if given != needed:
            raise ConfigError(f"{name} has shape {given}, but must have {needed}")
    seen = np.zeros(0, np.int32) if watched is None else np.asarray(watched, np.int32)
    bounds = [(start, min(start + chunk, steps)) for start in range(0, steps, chunk)]
    whole = _chunks if not _compiled(implementation, network) else native_chunks
    for (start, stop), (counts, spikes) in zip(
        bounds, whole(network, neuron, stimulated, trains, bounds, silent, seen, current), strict=True
    ):
        yield Chunk(start, stop, counts, spikes)


def _compiled(implementation: str, network: SpikingNetwork) -> bool:
    """Whether the C++ of `native_runs` is to be used: it knows both precisions, and the processor alone."""
    # Choices are as those of operators, which are in single precision.
    path = resolve(implementation, jnp.float32)
    if path == "native":
        return True
    return path not in ("portable", "pallas") and jax.default_backend() == "cpu" and available()


def _chunks(
    network: SpikingNetwork,
    neuron: SteppedNeuron,
    stimulated: Int[np.ndarray, "k"],
    trains: Trains,
    bounds: list[tuple[int, int]],
    silent: Bool[np.ndarray, "N B"] | None,
    watched: Int[np.ndarray, "W"],
    current: Float[np.ndarray, "N"] | None,
) -> Iterator[tuple[Int[np.ndarray, "N B"], Bool[np.ndarray, "T W B"]]]:
    """Compute counts so far and watched spikes chunk by chunk, on any device."""
    real, runs = network.weights.dtype, trains.shape[1]
    words = -(-max(neuron.delay, neuron.refractory) // _BITS)
    who = jnp.asarray(np.asarray(stimulated, np.int32))
    fixed = _Fixed(
        ops.prepare(network.pattern, spikes=True), network.weights, who,
        _refractory_bits(network.neurons, who, neuron.refractory, words),
        None if silent is None else jnp.asarray(~np.asarray(silent)),
        jnp.asarray(watched),
        None if current is None else jnp.asarray((1 - neuron.decay_v) * current, real)[:, None],
    )  # fmt: skip
    zero = jnp.zeros((network.neurons, runs), real)
    state = _State(zero, zero, (jnp.zeros(zero.shape, jnp.uint32),) * words, jnp.zeros(zero.shape, jnp.int32))
    for start, stop in bounds:
        state, spikes = _run(neuron, fixed, state, jnp.asarray(trains.draw(stop - start)))
        yield np.asarray(state.counts), np.asarray(spikes)


def _refractory_bits(neurons: int, stimulated: Array, refractory: int, words: int) -> tuple[Array, ...]:
    """[N, 1] bits of the history by word in which a spike forbids the next step, none of stimulated neurons."""
    past = (1 << max(refractory - 1, 0)) - 1
    parts = [(past >> (_BITS * word)) & (2**_BITS - 1) for word in range(words)]
    return tuple(jnp.full((neurons, 1), part, jnp.uint32).at[stimulated].set(0) for part in parts)


@partial(jax.jit, static_argnames="neuron")
def _run(
    neuron: SteppedNeuron, fixed: _Fixed, state: _State, events: Bool[Array, "T k B"]
) -> tuple[_State, Bool[Array, "T W B"]]:
    return jax.lax.scan(partial(_step, neuron, fixed), state, events)


def _step(
    neuron: SteppedNeuron, fixed: _Fixed, state: _State, events: Bool[Array, "k B"]
) -> tuple[_State, Bool[Array, "W B"]]:
    """Move, spike, add what arrives, reset."""
    real, history = state.u.dtype, state.history
    blocked = jnp.zeros(state.u.shape, bool)
    for past, bits in zip(history, fixed.refractory, strict=True):
        blocked |= (past & bits) != 0
    moved = neuron.decay_v * state.u + neuron.from_g * state.g + (0 if fixed.current is None else fixed.current)
    u = jnp.where(blocked, state.u, moved)
    g = jnp.where(blocked, state.g, neuron.decay_g * state.g)
    spikes = ~blocked & (u > neuron.threshold)
    word, bit = divmod(neuron.delay - 1, _BITS)
    arrive = (history[word] >> bit) & 1
    if fixed.heard is not None:
        arrive = jnp.where(fixed.heard, arrive, 0)
    came = arriving(fixed.pattern, fixed.weights, arrive.astype(real))
    takes = ~blocked & ~spikes
    kick = jnp.where(takes[fixed.stimulated] & events, jnp.asarray(neuron.neuron.poisson_mv, real), 0)
    u = jnp.where(spikes, neuron.reset, u).astype(real).at[fixed.stimulated].add(kick)
    g = jnp.where(spikes, 0, jnp.where(takes, g + came, g))
    newest = spikes.astype(jnp.uint32)
    shifted = []
    for past in history:
        shifted.append((past << 1) | newest)
        newest = past >> (_BITS - 1)
    return _State(u, g, tuple(shifted), state.counts + spikes), spikes[fixed.watched]
