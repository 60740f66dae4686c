"""External Poisson input: events that reach neurons through their synapses, and the clock that says which and when.

Events are no stream of random numbers but a hash of run, step and neuron (`connfit.models.ops.poisson_counts`). States
carry the clock, so that whoever goes on from states has the events that were to come: the next window, a forecast, a
perturbed run and its twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32
from scipy.special import pdtrc

from connfit.errors import ConfigError
from connfit.models.ops.poisson_counts import poisson_counts

MOST_PER_STEP = 10.0
"""Mean events of a neuron in a step, at most."""

TRAINING, RECORDING, SIMULATION = range(3)
"""What events are for: no two of these have the same."""


class Clock(NamedTuple):
    """Which events B runs side by side get, and at which step of them each is.

    Attributes
    ----------
    stream
        Runs of one stream have the same events at the same steps.
    step
        Counted modulo 2^32.
    """

    stream: UInt32[Array, "B"]
    step: UInt32[Array, "B"]

    @classmethod
    def at(cls, stream: int | np.ndarray, step: int = 0, runs: int = 1) -> Clock:
        """Set the clocks of runs to a step."""
        streams = np.broadcast_to(np.asarray(stream, np.uint32), (runs,))
        return cls(jnp.array(streams), jnp.full(runs, np.uint32(step % 2**32)))

    def after_step(self) -> Clock:
        """Return the clock one step later."""
        return self._replace(step=self.step + jnp.uint32(1))


def stream_of(purpose: int, *what: int | str) -> int:
    """Return the stream of numbers and names; different ones have different events, but for one in 2^32.

    Parameters
    ----------
    purpose
        `TRAINING`, `RECORDING` or `SIMULATION`.
    what
        Seed, epoch, number or name of a recording, number of a run.
    """
    numbers = [int.from_bytes(one.encode(), "big") if isinstance(one, str) else one for one in what]
    return int(np.random.SeedSequence((purpose, *numbers)).generate_state(1)[0])


def epoch_streams(seed: int, phase: int, epoch: int, stretches: Sequence[int]) -> UInt32[np.ndarray, "B"]:
    """Return the streams of stretches of recordings in an epoch of a fit: others in each, the same if it is resumed."""
    return np.array([stream_of(TRAINING, seed, phase, epoch, stretch) for stretch in stretches], np.uint32)


@dataclass(frozen=True)
class PoissonInput:
    """Independent trains of Poisson events, one onto each neuron, which are received as a synapse's spikes are.

    The number of events of a neuron in a step is Poisson, to 32 bits of its distribution.

    Parameters
    ----------
    hz
        Events per second, above 0.
    weight
        What an event adds to the input of the neuron.
    """

    hz: float
    weight: float

    def check(self, step_s: float) -> None:
        """Raise a ConfigError for more events in a step than `MOST_PER_STEP`."""
        per_step = self.hz * step_s
        if per_step > MOST_PER_STEP:
            raise ConfigError(
                f"poisson_hz = {self.hz:g} is {per_step:g} events in a step of {1e3 * step_s:.4g} ms, but there can be "
                f"{MOST_PER_STEP:g} on average: set it to {MOST_PER_STEP / step_s:g} at most (a quarter of the events, "
                "each twice as large, vary as much), or take shorter steps"
            )

    def mean(self, step_s: float) -> float:
        """Return what a neuron receives in a step on average."""
        return self.hz * step_s * self.weight

    def thresholds(self, step_s: float) -> UInt32[np.ndarray, "K"]:
        """Return 2^32 times the chance of 1, 2, ... events in a step or more, as far as that is not 0."""
        chances = np.round(2.0**32 * pdtrc(np.arange(255), self.hz * step_s))
        kept = np.minimum(chances[chances > 0], 2**32 - 1)
        return (kept if len(kept) else np.ones(1)).astype(np.uint32)

    def received(
        self, clock: Clock, first: UInt32[Array, ""] | None, neurons: int, step_s: float, kind: jnp.dtype
    ) -> Float[Array, "N B"]:
        """Return what neurons receive in the step that the clock stands at.

        Parameters
        ----------
        first
            Number of the first neuron in the whole brain; None: 0.
        """
        begin = jnp.uint32(0) if first is None else first
        counts = poisson_counts(clock.stream, clock.step, begin, neurons, self.thresholds(step_s))
        return counts.astype(kind) * self.weight
