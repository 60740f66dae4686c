"""What to do to a spiking network: who is stimulated at which rates, who is silent, who is read, who is screened."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from connfit.connectome import Connectome
from connfit.datasets.shiu_sets import KIND, shiu_set
from connfit.errors import ConfigError
from connfit.models.perturb import parse_neuron_set

ACTIVE = "active"
"""Kind of a screened set: `active:50` are the 50 neurons that spike most where nobody is silenced."""

MOST_STEPS = 2_000_000_000
"""Of a trial, which are counted in 32 bits."""

NEURON = "neuron"
"""Screens silence one neuron at a time."""


@dataclass(frozen=True)
class SpikingExperiment:
    """What to do to a spiking network; see `connfit simulate --help`.

    Parameters
    ----------
    stimulate
        `SET=RATE` or `SET=RATE,RATE,...`, Poisson events in Hz. Sets with several rates have equally many, which are
        taken together.
    silence, readout
        Sets, see `connfit.models.perturb.parse_neuron_set`; or `shiu:NAME`, see `connfit.datasets.shiu_sets`.
    screen
        A set, or `active:K`: silence each of its neurons in turn.
    screen_by
        `"neuron"`, or a column of the neuron table: silence neurons together that have the same word there.
    seconds, step_ms
        Length of a trial, and of a step.
    trials, seed
        How often each condition is simulated, and the seed of the events.

    Raises
    ------
    ConfigError
        If a number is out of range, or nothing is stimulated.
    """

    stimulate: tuple[str, ...] = ()
    silence: tuple[str, ...] = ()
    readout: tuple[str, ...] = ()
    screen: str | None = None
    screen_by: str = NEURON
    seconds: float = 1.0
    step_ms: float = 0.1
    trials: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.stimulate:
            raise ConfigError(
                "nothing is stimulated, and neurons of this model rest until something is: give --stimulate SET=RATE_HZ"
            )
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ConfigError(f"--seconds is {self.seconds:g}, but must be above 0")
        if self.step_ms > 0 and self.seconds / self.step_ms > MOST_STEPS / 1000:
            raise ConfigError(f"--seconds is {self.seconds:g}: more than {MOST_STEPS:,} steps of {self.step_ms:g} ms")
        if self.trials < 1:
            raise ConfigError(f"--trials is {self.trials}, but must be at least 1")
        if self.seed < 0:
            raise ConfigError(f"--seed is {self.seed}, but must be 0 or more")
        if self.screen is not None and not self.readout:
            raise ConfigError("--screen needs --readout SET: whose rate is it to change?")
        if self.screen is None and self.screen_by != NEURON:
            raise ConfigError("--screen-by needs --screen SET: whom to silence?")

    @property
    def steps(self) -> int:
        """Steps of a trial."""
        return max(1, round(1000 * self.seconds / self.step_ms))

    def folder_name(self, data: str) -> str:
        """Name a folder by what is done."""
        parts = [data, *self.stimulate, *(f"silence-{text}" for text in self.silence)]
        parts += [] if self.screen is None else [f"screen-{self.screen}"]
        whole = "_".join(parts)
        name = re.sub(r"[^\w.=-]+", "-", whole).strip("-.")
        if len(name.encode()) <= 80:
            return name
        start = name.encode()[:71].decode(errors="ignore")
        return f"{start}-{hashlib.sha256(whole.encode(errors='surrogateescape')).hexdigest()[:8]}"


@dataclass(frozen=True, eq=False)
class FoundSet:
    """A set of neurons in a connectome: as it was asked for, positions, and ids that are not there."""

    name: str
    neurons: Int[np.ndarray, "k"]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Design:
    """An experiment on one connectome.

    Parameters
    ----------
    stimulated
        Positions of all stimulated neurons, ascending.
    rates_hz
        [D, k] of each of them, by dose.
    sets, set_rates_hz
        Stimulated sets, and their rates by dose.
    silenced, readouts
        The other sets.
    """

    stimulated: Int[np.ndarray, "k"]
    rates_hz: Float[np.ndarray, "D k"]
    sets: tuple[FoundSet, ...]
    set_rates_hz: tuple[tuple[float, ...], ...]
    silenced: tuple[FoundSet, ...]
    readouts: tuple[FoundSet, ...]

    @property
    def silent(self) -> Int[np.ndarray, "s"]:
        """Positions of all silenced neurons."""
        return np.unique(np.concatenate([np.zeros(0, np.int64), *(each.neurons for each in self.silenced)]))

    @classmethod
    def of(cls, experiment: SpikingExperiment, connectome: Connectome) -> Design:
        """Find all neurons that an experiment names.

        Raises
        ------
        ConnfitError
            If a set or a rate is wrong, numbers of rates differ, or two stimulated sets share neurons.
        """
        named = [_set_and_rates(text) for text in experiment.stimulate]
        sets = tuple(find_set(name, connectome, "--stimulate") for name, _ in named)
        doses = max(len(rates) for _, rates in named)
        for name, rates in named:
            if len(rates) not in (1, doses):
                raise ConfigError(
                    f"--stimulate {name!r} has {len(rates)} rates, but another set has {doses}: give equally many, "
                    "which are taken together, or one"
                )
        if experiment.screen is not None and doses > 1:
            raise ConfigError(f"--screen compares trials at one rate of stimulation, but {doses} are given: give one")
        set_rates = tuple(rates if len(rates) == doses else rates * doses for _, rates in named)
        rate_of: dict[int, tuple[float, ...]] = {}
        for found, rates in zip(sets, set_rates, strict=True):
            for neuron in found.neurons.tolist():
                if neuron in rate_of:
                    shared = connectome.ids[neuron]
                    raise ConfigError(f"--stimulate {found.name!r} and another set share neuron {shared}: keep one")
                rate_of[neuron] = rates
        stimulated = np.array(sorted(rate_of), np.int64)
        rates = np.array([rate_of[int(neuron)] for neuron in stimulated], np.float64).T
        silenced = tuple(find_set(text, connectome, "--silence") for text in experiment.silence)
        readouts = tuple(find_set(text, connectome, "--readout") for text in experiment.readout)
        return cls(stimulated, rates.reshape(doses, len(stimulated)), sets, set_rates, silenced, readouts)


def find_set(text: str, connectome: Connectome, option: str) -> FoundSet:
    """Find a set by the neuron table, or one of Shiu et al.

    Raises
    ------
    ConnfitError
        If the connectome has no such neurons.
    """
    kind, _, name = text.partition(":")
    if kind == KIND and KIND not in connectome.neurons:
        return FoundSet(text, *shiu_set(name, connectome, option=option))
    return FoundSet(text, parse_neuron_set(text, connectome, option=option))


def screened_groups(
    experiment: SpikingExperiment, connectome: Connectome, rates_hz: Float[np.ndarray, "N"]
) -> list[tuple[str, Int[np.ndarray, "s"]]]:
    """Name the neurons, or groups of them, that a screen silences in turn.

    Parameters
    ----------
    rates_hz
        Of all neurons where nobody is silenced: for `active:K`, which leaves out neurons that are silent anyway.

    Raises
    ------
    ConfigError
        If the set or the column is wrong.
    """
    text = experiment.screen or ""
    kind, _, count = text.partition(":")
    if kind == ACTIVE and ACTIVE not in connectome.neurons:
        if not re.fullmatch(r"[1-9]\d*", count):
            raise ConfigError(f"--screen {text!r} must be active:K, as in active:50, or a set")
        most = np.argsort(-rates_hz, kind="stable")[: int(count)]
        neurons = most[rates_hz[most] > 0]
        if not len(neurons):
            raise ConfigError(f"--screen {text!r}: no neuron spiked where nobody was silenced")
    else:
        neurons = find_set(text, connectome, "--screen").neurons
    if experiment.screen_by == NEURON:
        return [(str(connectome.ids[neuron]), np.array([neuron])) for neuron in neurons]
    return _by_column(experiment.screen_by, connectome, neurons)


def _by_column(
    column: str, connectome: Connectome, neurons: Int[np.ndarray, "k"]
) -> list[tuple[str, Int[np.ndarray, "s"]]]:
    columns: Sequence[str] = [str(name) for name in connectome.neurons.columns if name != "id"]
    if column not in columns:
        raise ConfigError(f"--screen-by is {column!r}, but must be {NEURON} or one of {', '.join(columns)}")
    words = connectome.neurons[column].astype(str).to_numpy(object)[neurons]
    groups = [(word, neurons[words == word]) for word in dict.fromkeys(words.tolist()) if word]
    if not groups:
        raise ConfigError(f"--screen-by {column}: no neuron of the screened set has a word there")
    return groups


def _set_and_rates(text: str) -> tuple[str, tuple[float, ...]]:
    name, equals, numbers = text.rpartition("=")
    try:
        rates = tuple(float(number) for number in numbers.split(","))
        if equals and name and all(math.isfinite(rate) and rate >= 0 for rate in rates):
            return name, rates
    except ValueError:
        pass
    raise ConfigError(
        f"--stimulate {text!r} must be SET=RATE_HZ, or several rates, as in type:LB3=50,100,150 (Hz, 0 or more)"
    )
