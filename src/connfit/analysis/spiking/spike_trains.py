"""Rates, intervals and synchrony of spike trains that come piece by piece: what is held does not grow with time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

LEAST_INTERVALS = 10
"""Intervals of a neuron below which their variation is not defined: of few, long ones are missed."""

LEAST_BINS = 20
"""Bins below which synchrony is not defined."""


@dataclass(frozen=True, eq=False)
class Trains:
    """Statistics of the spike trains of N neurons.

    Parameters
    ----------
    steps, bin_steps
        How long the trains are, and the bins of synchrony.
    counts
        [N] spikes.
    cv
        [N] coefficient of variation of the intervals between spikes, standard deviation over mean; NaN of fewer than
        `LEAST_INTERVALS`.
    cv2
        [N] the same of neighbouring intervals, which a rate that changes slowly does not raise: the mean of
        ``2 |I' - I| / (I' + I)`` (Holt, Softky, Koch & Douglas 1996, J. Neurophysiol. 75:1806); 1 of a Poisson process.
    bins
        Full bins.
    synchrony
        See `synchrony_of`.
    """

    steps: int
    bin_steps: int
    counts: Int[np.ndarray, "N"]
    cv: Float[np.ndarray, "N"]
    cv2: Float[np.ndarray, "N"]
    bins: int
    synchrony: TrainSynchrony


@dataclass(frozen=True)
class TrainSynchrony:
    """How much neurons spike together; None where it is not defined.

    Parameters
    ----------
    neurons
        Neurons with a spike in a full bin.
    chi
        √(variance over time of the mean count of these neurons / mean variance of their counts), 0 to 1 (Golomb &
        Rinzel 1994, Physica D 72:259).
    independent
        What it is expected to be of independent trains: 1 / √neurons.
    pair_correlation
        Mean covariance of the counts of two neurons over their mean variance.
    """

    neurons: int = 0
    chi: float | None = None
    independent: float | None = None
    pair_correlation: float | None = None


class SpikeTrains:
    """Adds up spike trains: a few numbers of each neuron, and one for each bin."""

    def __init__(self, neurons: int, bin_steps: int) -> None:
        self._neurons, self._bin_steps, self._steps = neurons, bin_steps, 0
        self._counts, self._intervals, self._pairs = (np.zeros(neurons, np.int64) for _ in range(3))
        # Whole numbers, of which nothing is lost: a regular train has a variance of 0.
        self._sums, self._squares = (np.zeros(neurons, np.int64) for _ in range(2))
        self._unequal = np.zeros(neurons)
        self._last, self._last_interval = np.full(neurons, -1, np.int64), np.zeros(neurons, np.int64)
        self._bin, self._bin_sums, self._bin_squares = (np.zeros(neurons, np.int64) for _ in range(3))
        self._population: list[int] = []

    def add(self, spikes: Bool[np.ndarray, "t N"]) -> None:
        """Add the next t steps."""
        self._add_bins(spikes)
        step, neuron = np.nonzero(spikes)
        by_neuron = np.argsort(neuron, kind="stable")
        neuron, at = neuron[by_neuron], step[by_neuron] + self._steps
        self._steps += len(spikes)
        if not len(at):
            return
        first = np.append(True, neuron[1:] != neuron[:-1])
        last = np.append(first[1:], True)
        before = np.where(first, self._last[neuron], np.append(0, at[:-1]))
        interval = np.where(before >= 0, at - before, 0)
        earlier = np.where(first, self._last_interval[neuron], np.append(0, interval[:-1]))
        known, pair = interval > 0, (interval > 0) & (earlier > 0)
        self._counts += np.bincount(neuron, minlength=self._neurons)
        self._intervals += np.bincount(neuron[known], minlength=self._neurons)
        np.add.at(self._sums, neuron[known], interval[known])
        np.add.at(self._squares, neuron[known], interval[known] ** 2)
        self._pairs += np.bincount(neuron[pair], minlength=self._neurons)
        unequal = 2 * np.abs(interval - earlier)[pair] / (interval + earlier)[pair]
        self._unequal += np.bincount(neuron[pair], unequal, self._neurons)
        self._last[neuron[last]], self._last_interval[neuron[last]] = at[last], interval[last]

    def _add_bins(self, spikes: Bool[np.ndarray, "t N"]) -> None:
        begin = 0
        while begin < len(spikes):
            filled = (self._steps + begin) % self._bin_steps
            stop = min(len(spikes), begin + self._bin_steps - filled)
            self._bin += np.count_nonzero(spikes[begin:stop], axis=0)
            if filled + stop - begin == self._bin_steps:
                self._bin_sums += self._bin
                self._bin_squares += self._bin**2
                self._population.append(int(self._bin.sum()))
                self._bin[:] = 0
            begin = stop

    def statistics(self) -> Trains:
        """Return what was added up."""
        n, enough = self._intervals, self._intervals >= LEAST_INTERVALS
        cv, cv2 = np.full(self._neurons, np.nan), np.full(self._neurons, np.nan)
        cv[enough] = np.sqrt((n * self._squares - self._sums**2)[enough]) / self._sums[enough]
        cv2[enough] = self._unequal[enough] / self._pairs[enough]
        together = synchrony_of(np.array(self._population, np.int64), self._bin_sums, self._bin_squares)
        return Trains(self._steps, self._bin_steps, self._counts, cv, cv2, len(self._population), together)


def synchrony_of(
    population: Int[np.ndarray, "bins"], sums: Int[np.ndarray, "N"], squares: Int[np.ndarray, "N"]
) -> TrainSynchrony:
    """Return the synchrony of counts in bins, from sums alone.

    Parameters
    ----------
    population
        Spikes of all neurons in each bin.
    sums, squares
        Sums over bins of the counts of each neuron, and of their squares.
    """
    bins, neurons = len(population), int(np.count_nonzero(sums))
    if bins < LEAST_BINS or neurons < 2:
        return TrainSynchrony(neurons)
    own = float((squares / bins - (sums / bins) ** 2).sum()) / neurons
    if own <= 0:
        return TrainSynchrony(neurons)
    ratio = float(np.var(population)) / neurons**2 / own
    return TrainSynchrony(neurons, ratio**0.5, neurons**-0.5, (neurons * ratio - 1) / (neurons - 1))
