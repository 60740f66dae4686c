"""What `spiking.json` holds: an experiment on a spiking network, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connfit._io import optional
from connfit.connectome.connectome_summary import ConnectomeSummary
from connfit.models.spiking.lif import LeakyNeuron

FILE = "spiking.json"


@dataclass(frozen=True)
class OverTrials:
    """A mean over trials.

    Parameters
    ----------
    mean
        Of all trials.
    sd
        Standard deviation between trials; None of one trial.
    low, high
        95 % interval of the mean by Student's t; None of one trial. Where all trials are equal, it has no width.
    """

    mean: float = 0.0
    sd: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class StimulatedSet:
    """Neurons that get Poisson events.

    Parameters
    ----------
    set
        As it was asked for.
    neurons
        How many were found.
    rates_hz
        Of the events, by dose.
    missing
        Ids of a published set that the connectome does not have.
    """

    set: str = ""
    neurons: int = 0
    rates_hz: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class NeuronSet:
    """Neurons that are silenced, or read; parameters as of `StimulatedSet`."""

    set: str = ""
    neurons: int = 0
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dose:
    """What happened at one rate of stimulation.

    Parameters
    ----------
    rates_hz
        Of each stimulated set.
    readouts
        Mean rate over the neurons of each set that is read, Hz.
    active_neurons
        Neurons with at least one spike, in a trial.
    rate_hz
        Mean over all neurons.
    """

    rates_hz: tuple[float, ...] = ()
    readouts: tuple[OverTrials, ...] = ()
    active_neurons: OverTrials = field(default_factory=OverTrials)
    rate_hz: OverTrials = field(default_factory=OverTrials)


@dataclass(frozen=True)
class ActiveNeuron:
    """A neuron that spiked; rates in Hz by dose.

    Parameters
    ----------
    role
        `"stimulated"`, `"silenced"` or empty.
    """

    id: str = ""
    type: str = ""
    region: str = ""
    side: str = ""
    sign: int = 1
    role: str = ""
    rates_hz: tuple[float, ...] = ()


@dataclass(frozen=True)
class Screened:
    """A neuron, or a group of neurons, that was silenced, and what that changed in a read-out.

    Parameters
    ----------
    silenced
        Id of the neuron, or the group's name.
    type, region
        Of a single neuron.
    neurons
        How many were silent.
    own_rate_hz
        Their mean rate where nobody is silenced.
    readout
        Which set was read.
    rate_hz
        Its rate while they are silent.
    change_hz
        Difference to the same trials with nobody silenced, trial by trial.
    low_of_all, high_of_all
        Interval of the change that holds for all rows of the screen at once (Bonferroni); None of one trial.
    """

    silenced: str = ""
    type: str = ""
    region: str = ""
    neurons: int = 0
    own_rate_hz: float = 0.0
    readout: str = ""
    rate_hz: OverTrials = field(default_factory=OverTrials)
    change_hz: OverTrials = field(default_factory=OverTrials)
    low_of_all: float | None = None
    high_of_all: float | None = None

    @property
    def changes(self) -> bool:
        """Whether the interval that holds for all rows leaves out 0."""
        return (
            self.low_of_all is not None
            and self.high_of_all is not None
            and not (self.low_of_all <= 0 <= self.high_of_all)
        )

    @property
    def name(self) -> str:
        """Type, region and id, as far as they are known."""
        return " ".join(part for part in (self.type, self.region, self.silenced) if part)


@dataclass(frozen=True)
class Screen:
    """Neurons silenced in turn.

    Parameters
    ----------
    set
        Whom to silence, as it was asked for.
    by
        `"neuron"`, or the column of the neuron table by which neurons are silenced together.
    rows
        Of each read-out, the largest change first.
    """

    set: str = ""
    by: str = "neuron"
    rows: tuple[Screened, ...] = ()


@dataclass(frozen=True)
class SpikingSimulation:
    """A simulated experiment on a spiking network without any fit.

    Parameters
    ----------
    connfit
        Version.
    model, neuron
        Name of the model, and its constants.
    data
        The dataset or the configuration that named the connectome.
    connectome, fingerprint, notes
        What was simulated, its SHA-256, and what its source says.
    step_ms, seconds, steps, trials, seed
        Of every condition; trial k of all of them gets the same events.
    stimulated, silenced, readouts
        Sets of neurons.
    doses
        One for each rate of stimulation.
    active
        The most active neurons that were not stimulated; `neuron_rates.csv` has all.
    screen
        What silencing changes.
    recorded_spikes, spikes_left_out
        In `spikes.parquet`, and whether there were more than it holds.
    seconds_taken
        Of the simulation alone.
    cautions
        In what this is not the published model, or not the whole brain.
    """

    connfit: str = ""
    model: str = ""
    neuron: LeakyNeuron = field(default_factory=LeakyNeuron)
    data: str = ""
    connectome: ConnectomeSummary | None = None
    fingerprint: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    step_ms: float = 0.1
    seconds: float = 0.0
    steps: int = 0
    trials: int = 0
    seed: int = 0
    stimulated: tuple[StimulatedSet, ...] = ()
    silenced: tuple[NeuronSet, ...] = ()
    readouts: tuple[NeuronSet, ...] = ()
    doses: tuple[Dose, ...] = ()
    active: tuple[ActiveNeuron, ...] = ()
    screen: Screen | None = optional()
    recorded_spikes: int = 0
    spikes_left_out: bool = False
    seconds_taken: float = 0.0
    cautions: tuple[str, ...] = ()
