"""External drive: which of the stimulated neurons get an event in which step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float

from connfit.errors import ConfigError


class Trains(Protocol):
    """Events of the k stimulated neurons in B runs, step after step."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return k and B."""
        ...

    def draw(self, steps: int) -> Bool[np.ndarray, "T k B"]:
        """Return the events of the next steps."""
        ...


class PoissonTrains:
    """Independent trains of events, at most one a step, as Brian2's `PoissonInput` with one input draws them.

    A run's numbers follow from its seed alone: not from the runs beside it, nor from how many steps are drawn at once.
    Runs of one seed share them: the events at a lower rate are among those at a higher one, so that runs can be
    compared in pairs.

    Parameters
    ----------
    rates_hz
        [k, B] of each stimulated neuron in each run.
    step_ms
        Length of a step.
    seeds
        [B] of each run, as `numpy.random.SeedSequence` takes them.

    Raises
    ------
    ConfigError
        If a rate is negative or not finite, or above one event a step.
    """

    def __init__(self, rates_hz: Float[np.ndarray, "k B"], step_ms: float, seeds: Sequence[tuple[int, ...]]) -> None:
        rates = np.asarray(rates_hz, np.float64)
        if rates.ndim != 2 or rates.shape[1] != len(seeds):
            raise ConfigError(f"rates of shape {rates.shape} do not fit {len(seeds)} runs")
        if not (np.isfinite(rates) & (rates >= 0)).all():
            raise ConfigError("rates of stimulated neurons must be finite and 0 or more")
        chance = rates * step_ms / 1000
        if (chance > 1).any():
            raise ConfigError(
                f"a rate of {rates.max():g} Hz is above one event in a step of {step_ms:g} ms: give at most "
                f"{1000 / step_ms:g} Hz"
            )
        self._chance = chance
        distinct = list(dict.fromkeys(seeds))
        self._of = np.array([distinct.index(seed) for seed in seeds], np.int64)
        self._generators = [np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))) for seed in distinct]

    @property
    def shape(self) -> tuple[int, int]:
        """Return the numbers of stimulated neurons and of runs."""
        return self._chance.shape

    def draw(self, steps: int) -> Bool[np.ndarray, "T k B"]:
        """Return the events of the next steps."""
        k = self.shape[0]
        uniform = np.stack([generator.random((steps, k)) for generator in self._generators], axis=-1)
        return uniform[:, :, self._of] < self._chance


@dataclass
class GivenTrains:
    """Events that are known: for comparisons with another simulator.

    Parameters
    ----------
    events
        [T, k, B] in every step of a simulation.
    """

    events: Bool[np.ndarray, "T k B"]
    _at: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Return the numbers of stimulated neurons and of runs."""
        return self.events.shape[1:]

    def draw(self, steps: int) -> Bool[np.ndarray, "T k B"]:
        """Return the events of the next steps.

        Raises
        ------
        ConfigError
            If there are not so many.
        """
        begin, self._at = self._at, self._at + steps
        if self._at > len(self.events):
            raise ConfigError(f"events are given for {len(self.events)} steps, but {self._at} are simulated")
        return self.events[begin : self._at]
