"""Trials of several conditions beside each other: rates of what is read, and of every neuron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from connfit.models.spiking import PoissonTrains, SpikingNetwork, spikes_of

BESIDE = 16
"""Trials that are simulated beside each other."""

MOST_SPIKES = 1_000_000
"""Spikes that are kept with their times: 20 MB."""

_RANDOM_NUMBERS = 2_000_000
"""Drawn at once: 16 MB."""


@dataclass(frozen=True, eq=False)
class Condition:
    """What is done in some trials.

    Parameters
    ----------
    rates_hz
        [k] of each stimulated neuron.
    silent
        [s] neurons whose spikes reach nobody.
    """

    rates_hz: Float[np.ndarray, "k"]
    silent: Int[np.ndarray, "s"]


@dataclass(frozen=True, eq=False)
class Trials:
    """How trials are run.

    Parameters
    ----------
    count, seed
        Trials of each condition; trial j of every condition draws its events from (seed, j).
    steps, step_ms
        Of each trial.
    """

    count: int
    seed: int
    steps: int
    step_ms: float

    @property
    def seconds(self) -> float:
        """Length of a trial."""
        return self.steps * self.step_ms / 1000


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of all trials of C conditions.

    Parameters
    ----------
    readouts_hz
        [C, trials, Q] mean rate over the neurons of each set that is read.
    active
        [C, trials] neurons with at least one spike.
    total
        [C, trials] spikes of all neurons.
    neurons_hz, neurons_sd_hz
        [C, N] mean rate of every neuron over trials, and its standard deviation (NaN of one trial); None if they were
        not asked for.
    spikes
        Of watched neurons: columns `condition`, `trial`, `step`, `neuron` (which of the watched ones).
    spikes_left_out
        Whether there were more than are kept.
    """

    readouts_hz: Float[np.ndarray, "C trials Q"]
    active: Int[np.ndarray, "C trials"]
    total: Int[np.ndarray, "C trials"]
    neurons_hz: Float[np.ndarray, "C N"] | None
    neurons_sd_hz: Float[np.ndarray, "C N"] | None
    spikes: pd.DataFrame
    spikes_left_out: bool


def run_conditions(
    network: SpikingNetwork,
    stimulated: Int[np.ndarray, "k"],
    conditions: Sequence[Condition],
    trials: Trials,
    readouts: Sequence[Int[np.ndarray, "q"]],
    *,
    watched: Int[np.ndarray, "W"] | None = None,
    every_neuron: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Simulate all trials of all conditions.

    Parameters
    ----------
    stimulated
        Neurons that get events, in the order of a condition's rates.
    readouts
        Neurons of each set whose mean rate is kept.
    watched
        Neurons whose spikes are kept with their times.
    every_neuron
        Whether to keep rates of all neurons by condition.
    progress
        Told how many trials of how many are done.
    """
    c, n, seconds = len(conditions), network.neurons, trials.seconds
    seen = np.zeros(0, np.int64) if watched is None else watched
    kept = _Spikes()
    rates = np.zeros((c, trials.count, len(readouts)))
    active, total = np.zeros((c, trials.count), np.int64), np.zeros((c, trials.count), np.int64)
    sums, squares = (np.zeros((c if every_neuron else 0, n)) for _ in range(2))
    # Conditions of one trial stand beside each other: they share random numbers.
    columns = [(trial, condition) for trial in range(trials.count) for condition in range(c)]
    for begin in range(0, len(columns), BESIDE):
        batch = columns[begin : begin + BESIDE]
        trains = PoissonTrains(
            np.stack([conditions[condition].rates_hz for _, condition in batch], axis=1),
            trials.step_ms,
            [(trials.seed, trial) for trial, _ in batch],
        )
        chunk = max(20, min(1000, _RANDOM_NUMBERS // max(1, len(stimulated) * len(batch))))
        counts = np.zeros((n, len(batch)), np.int32)
        for piece in spikes_of(
            network, stimulated, trains, trials.steps, trials.step_ms,
            silent=_silent(n, [conditions[condition].silent for _, condition in batch]), watched=seen, chunk=chunk,
        ):  # fmt: skip
            counts = piece.counts
            kept.add(piece.spikes, piece.start, batch)
        for (trial, condition), spikes in zip(batch, counts.T, strict=True):
            rates[condition, trial] = [spikes[members].mean() / seconds for members in readouts]
            active[condition, trial], total[condition, trial] = np.count_nonzero(spikes), spikes.sum()
            if every_neuron:
                sums[condition] += spikes
                squares[condition] += spikes.astype(np.float64) ** 2
        if progress is not None:
            progress(begin + len(batch), len(columns))
    mean, spread = (None, None) if not every_neuron else _moments(sums, squares, trials)
    return Outcome(rates, active, total, mean, spread, kept.table(), kept.left_out)


def _silent(neurons: int, silent: Sequence[Int[np.ndarray, "s"]]) -> Bool[np.ndarray, "N B"] | None:
    if not any(len(each) for each in silent):
        return None
    found = np.zeros((neurons, len(silent)), bool)
    for column, each in enumerate(silent):
        found[each, column] = True
    return found


def _moments(
    sums: Float[np.ndarray, "C N"], squares: Float[np.ndarray, "C N"], trials: Trials
) -> tuple[Float[np.ndarray, "C N"], Float[np.ndarray, "C N"]]:
    """Mean and standard deviation of rates. Sums of squared counts are whole numbers, which lose nothing."""
    count = trials.count
    if count == 1:
        return sums / trials.seconds, np.full(sums.shape, np.nan)
    variance = np.maximum(count * squares - sums**2, 0) / (count * (count - 1))
    return sums / count / trials.seconds, np.sqrt(variance) / trials.seconds


class _Spikes:
    """Times of spikes, up to a bound."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.count = 0
        self.left_out = False

    def add(self, spikes: Bool[np.ndarray, "T W B"], start: int, batch: Sequence[tuple[int, int]]) -> None:
        """Keep the spikes of a chunk of the runs of a batch."""
        step, neuron, column = np.nonzero(spikes)
        room = MOST_SPIKES - self.count
        self.left_out |= len(step) > room
        step, neuron, column = step[:room], neuron[:room], column[:room]
        self.count += len(step)
        trial, condition = np.array(batch, np.int64)[column].T
        self.parts.append(np.stack([condition, trial, step + start, neuron]))

    def table(self) -> pd.DataFrame:
        """Return all of them, by condition, trial and time."""
        found = np.concatenate([np.zeros((4, 0), np.int64), *self.parts], axis=1)
        table = pd.DataFrame(found.T, columns=["condition", "trial", "step", "neuron"])
        return table.sort_values(["condition", "trial", "step", "neuron"], ignore_index=True)
