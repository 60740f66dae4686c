"""What `perturbation.json` holds: what was done to a fitted brain, and what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connfit._io import optional
from connfit.models.held_rates import OutsideTraining


@dataclass(frozen=True)
class RateRange:
    """Rates at which a set of neurons was held."""

    lowest: float = 0.0
    mean: float = 0.0
    highest: float = 0.0


@dataclass(frozen=True)
class HeldSet:
    """One set of neurons that was stimulated or silenced.

    Parameters
    ----------
    kind
        `"stimulated"` or `"silenced"`.
    set
        As it was asked for; see `connfit.models.perturb.parse_neuron_set`.
    rate
        Rate at which it was held, the mean of those of silenced neurons.
    neurons
        How many it has.
    baseline
        Mean rate without the perturbation: a set stimulated below it is in truth suppressed.
    held, outside_training
        Rates at which it was held, and how far these lie outside what its units showed during training.
    """

    kind: str = ""
    set: str = ""
    rate: float = 0.0
    neurons: int = 0
    baseline: float = 0.0
    held: RateRange = field(default_factory=RateRange)
    outside_training: OutsideTraining = field(default_factory=OutsideTraining)


@dataclass(frozen=True)
class InjectedSet:
    """One set of neurons that current was injected into.

    Parameters
    ----------
    set
        As it was asked for.
    input
        What was added to the input of each.
    neurons
        How many it has.
    baseline
        Mean rate without it.
    """

    set: str = ""
    input: float = 0.0
    neurons: int = 0
    baseline: float = 0.0


@dataclass(frozen=True)
class Response:
    """A read-out with and without the perturbation: a unit in the units of the recording, a set in those of rates.

    Parameters
    ----------
    name
        Of the unit or the set of neurons.
    baseline, perturbed, change
        Means over the averaged time.
    largest_change, largest_change_at_s
        Largest at any time, and when that is after the onset.
    """

    name: str = ""
    baseline: float = 0.0
    perturbed: float = 0.0
    change: float = 0.0
    largest_change: float | None = None
    largest_change_at_s: float | None = None


@dataclass(frozen=True)
class NeuronResponse:
    """A neuron with and without the perturbation.

    Parameters
    ----------
    sign
        1: excitatory, -1: inhibitory.
    baseline, perturbed, change
        Mean rates over the averaged time.
    role
        Empty for neurons that nothing was done to.
    """

    id: str = ""
    type: str = ""
    region: str = ""
    sign: int = 1
    baseline: float = 0.0
    perturbed: float = 0.0
    change: float = 0.0
    role: str = ""

    @property
    def name(self) -> str:
        """Type, region and id, as far as they are known."""
        return " ".join(part for part in (self.type, self.region, self.id) if part)


@dataclass(frozen=True)
class Perturbation:
    """A simulated experiment on a fitted brain.

    Parameters
    ----------
    connfit
        Version.
    dataset, surrogate
        What the model was fitted to.
    sets
        What was held.
    injected
        What current was injected into.
    silence_at, drive
        Options of the experiment; `..._in_words` says what they mean.
    value_units
        Of the recording, and so of units; empty where they have none. Of rates and injected inputs, too, unless...
    rate_units, input_units
        ... neurons spike: units of the rates of neurons and sets of them, and of what was injected.
    seconds, frame_rate_hz, steps
        Length of the simulation from the onset on, and in model steps.
    settle_steps
        Model steps before the onset.
    averaged_s
        From when to when after the onset changes are averaged.
    neurons, held_neurons
        Of the brain, and how many of them were held.
    units, readouts
        Recorded units and watched sets, the most changed first.
    cautions
        Sets that were held where the model was never fitted.
    changed_neurons
        The most changed neurons that were not held.
    inputs
        External inputs that were driven, and their values from the onset on, in their own units.
    """

    connfit: str = ""
    dataset: str = ""
    surrogate: bool = False
    sets: tuple[HeldSet, ...] = ()
    injected: tuple[InjectedSet, ...] = optional(tuple)
    silence_at: str | None = None
    silence_at_in_words: str | None = None
    drive: str = ""
    drive_in_words: str = ""
    value_units: str = ""
    rate_units: str | None = optional()
    input_units: str | None = optional()
    seconds: float = 0.0
    frame_rate_hz: float = 0.0
    steps: int = 0
    settle_steps: int = 0
    averaged_s: tuple[float, float] = (0.0, 0.0)
    neurons: int = 0
    held_neurons: int = 0
    units: tuple[Response, ...] = ()
    readouts: tuple[Response, ...] = ()
    cautions: tuple[str, ...] = ()
    changed_neurons: tuple[NeuronResponse, ...] = ()
    inputs: Mapping[str, float] | None = optional()

    @property
    def units_of_rates(self) -> str:
        """Units of the rates of neurons, and of sets of them; empty where they have none."""
        return self.value_units if self.rate_units is None else self.rate_units
