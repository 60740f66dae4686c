"""Which spikes of a long run a raster shows: of some neurons that spike, from the beginning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from connfit.analysis.parameters.groups import named_groups
from connfit.analysis.result import Result
from connfit.analysis.spiking.side_by_side_trials import MOST_SPIKES
from connfit.connectome import Connectome

SECONDS = 10.0
"""Of a raster, at most."""

SHOWN_SPIKES = 10_000
"""Spikes of a raster, at most: with more of them it is a grey area, and ends earlier."""

MOST_GROUPS = 12
"""Groups of neurons that have room beside a raster."""

COLUMNS = ("super_class", "class", "type", "region", "transmitter")
"""Columns of the neuron table by which neurons are sorted: the first that makes 2 to `MOST_GROUPS` groups."""


@dataclass(frozen=True)
class RasterRow(Result):
    """A neuron of a raster.

    Parameters
    ----------
    id, group
        Of the neuron, and its word in the column by which neurons are sorted.
    sign
        1: excitatory, -1: inhibitory, 0: neither, for signs belong to connections.
    steps
        In which it spikes, from 0 on.
    """

    id: str = ""
    group: str = ""
    sign: int = 1
    steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Raster(Result):
    """Spikes of some neurons from the beginning of a run.

    Parameters
    ----------
    steps, seconds
        How many are shown: `SECONDS`, or as many as have `SHOWN_SPIKES` spikes.
    spiking
        Neurons that spike in the whole run, of which those of the rows are drawn at random if they are not all.
    sorted_by
        Column of the neuron table by which rows are sorted; empty: in the order of the connectome.
    rows
        The neurons.
    population
        Spikes of all neurons in each bin of the steps that are shown.
    """

    steps: int = 0
    seconds: float = 0.0
    spiking: int = 0
    sorted_by: str = ""
    rows: tuple[RasterRow, ...] = ()
    population: tuple[int, ...] = ()


class RasterSpikes:
    """Keeps the spikes of all neurons from the beginning of a run on, as many as there is room for."""

    def __init__(self, steps: int, bin_steps: int) -> None:
        """See the class.

        Parameters
        ----------
        steps
            What is kept at most, in full bins.
        """
        self._bin_steps = bin_steps
        self._most = max(1, steps // bin_steps) * bin_steps
        self._seen, self._count = 0, 0
        self._parts: list[Int[np.ndarray, "2 k"]] = []

    def add(self, spikes: Bool[np.ndarray, "t N"]) -> None:
        """Add the next t steps."""
        begin = self._seen
        self._seen += len(spikes)
        if begin >= self._most or self._count > MOST_SPIKES:
            return
        step, neuron = np.nonzero(spikes[: self._most - begin])
        self._parts.append(np.stack([step + begin, neuron]))
        self._count += len(step)

    def raster(
        self, connectome: Connectome, counts: Int[np.ndarray, "N"], neurons: int, seed: int, step_s: float
    ) -> Raster:
        """Choose what to show.

        Parameters
        ----------
        counts
            [N] spikes of the whole run.
        neurons
            Rows at most.
        seed
            Of the choice.
        step_s
            Seconds of a step.
        """
        step, neuron = np.concatenate([np.zeros((2, 0), np.int64), *self._parts], axis=1)
        known = min(self._seen, self._most)
        if self._count > MOST_SPIKES:
            known = int(step[MOST_SPIKES])
        spiking = np.flatnonzero(counts)
        chosen = spiking
        if len(spiking) > neurons:
            chosen = np.sort(np.random.default_rng(seed).choice(spiking, neurons, replace=False))
        column, groups = _grouped(connectome)
        chosen = chosen[np.lexsort((chosen, groups[chosen]))] if column else chosen
        shown = np.isin(neuron, chosen)
        if np.count_nonzero(shown & (step < known)) > SHOWN_SPIKES:
            known = int(step[shown][SHOWN_SPIKES])
        # Full bins, of which there is at least one.
        bins = max(1, known // self._bin_steps)
        known = bins * self._bin_steps
        step, neuron = step[step < known], neuron[step < known]
        names = connectome.neurons[column].astype(object).map(str).to_numpy() if column else None
        signs = np.zeros_like(connectome.signs) if connectome.mixed_signs is not None else connectome.signs
        rows = tuple(
            RasterRow(str(connectome.ids[k]), "" if names is None else names[k], int(signs[k]), step[neuron == k])
            for k in chosen
        )  # fmt: skip
        population = tuple(map(int, np.bincount(step // self._bin_steps, minlength=bins)))
        return Raster(known, known * step_s, len(spiking), column, rows, population)


def _grouped(connectome: Connectome) -> tuple[str, Int[np.ndarray, "N"]]:
    """Column by which neurons are sorted, and their places among its labels."""
    for column in COLUMNS:
        if column in connectome.neurons.columns:
            groups, labels = named_groups(connectome.neurons, column)
            if 2 <= len(labels) + bool((groups < 0).any()) <= MOST_GROUPS:
                return column, groups
    return "", np.zeros(connectome.n, np.int32)
