"""What `record_next.json` holds: neurons to record and neurons to stimulate, the most telling first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from connfit._display import Displayed
from connfit._io import optional
from connfit.analysis.record_next.information import CRITERIA, INPUTS
from connfit.analysis.record_next.stimulation_information import DEFAULT
from connfit.models.pulse import Stimulations

FILE = "record_next.json"
NEURONS, STIMULATIONS = "neurons.csv", "stimulations.csv"
"""All candidates, beside it."""


@dataclass(frozen=True)
class Member:
    """One fit of the ensemble.

    Parameters
    ----------
    name
        Its run directory, or its seed.
    validation_skill
        Of the epoch whose parameters were kept; None where none was.
    """

    name: str = ""
    seed: int = 0
    validation_skill: float | None = None


@dataclass(frozen=True)
class NeuronToRecord:
    """An unrecorded neuron.

    Parameters
    ----------
    rank
        Place in the order in which neurons should be recorded, from 1; None: not among those that were chosen.
    id, type, region
        Of the neuron table.
    disagreement
        Variance of its activity between fits as a share of its variance over time: 0 where all agree, 1 where they have
        nothing in common.
    alone
        What recording it would tell if it were the only one; see `RecordNext.criterion`. Of `"inputs"` a share of the
        uncertainty about all hidden neurons, of `"variance"` of that about all candidates, of `"information"` nats.
    added
        What it adds to those before it.
    left
        Share of that uncertainty that is left after it and those before it.
    """

    rank: int | None = None
    id: str = ""
    type: str = ""
    region: str = ""
    disagreement: float = 0.0
    alone: float = 0.0
    added: float | None = None
    left: float | None = None


@dataclass(frozen=True)
class NeuronToStimulate:
    """A neuron whose stimulation was simulated.

    Parameters
    ----------
    rank
        Place by information, from 1.
    id, type, region
        Of the neuron table.
    recorded
        Whether a unit reads it alone.
    information
        Nats that the responses of all recorded units would give about which fit is right.
    disagreement
        Variance of the responses between fits as a share of their mean square.
    response
        Root mean square over units of the mean response, in a unit's standard deviations.
    unit
        The unit about whose response fits disagree most.
    """

    rank: int = 0
    id: str = ""
    type: str = ""
    region: str = ""
    recorded: bool = False
    information: float = 0.0
    disagreement: float = 0.0
    response: float = 0.0
    unit: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class RecordNext(Displayed):
    """What to record and what to stimulate next.

    Parameters
    ----------
    connfit, dataset, surrogate
        Version; of the fits; whether their data were generated.
    members
        The fits that were compared.
    neurons, recorded
        Of the connectome, and those that a unit reads alone.
    candidates, shortlisted, flat
        Neurons that could be recorded; those of which covariances were computed, the most disagreed about of large
        brains; those that do not vary in the fits, which are no candidates.
    frames
        Frames over which fits were compared.
    criterion, criterion_in_words
        By what neurons were chosen.
    noise
        Standard deviation of what is measured, in units of a neuron's (a unit's) own over time.
    uncertainty
        Mean disagreement over the shortlisted neurons.
    how, stimulated, stimulation_candidates
        What every stimulation was; how many neurons were stimulated, of how many.
    to_record, to_stimulate
        The first of each; all are in the tables beside the file.
    cautions
        What stands against trusting them.
    """

    connfit: str = ""
    dataset: str | None = None
    surrogate: bool = False
    members: tuple[Member, ...] = ()
    neurons: int = 0
    recorded: int = 0
    candidates: int = 0
    shortlisted: int = 0
    flat: int = 0
    frames: int = 0
    criterion: str = INPUTS
    criterion_in_words: str = CRITERIA[INPUTS]
    noise: float = 0.5
    uncertainty: float = 0.0
    how: Stimulations = DEFAULT
    stimulated: int = 0
    stimulation_candidates: int = 0
    to_record: tuple[NeuronToRecord, ...] = ()
    to_stimulate: tuple[NeuronToStimulate, ...] = ()
    cautions: tuple[str, ...] = optional(tuple)

    all_neurons: ClassVar[tuple[NeuronToRecord, ...]] = ()
    all_stimulations: ClassVar[tuple[NeuronToStimulate, ...]] = ()
    """All candidates in their order; empty of results that were read from a file."""

    def _display(self) -> tuple[str, Mapping[str, str]]:
        return "Neurons to record next", {
            "fits": str(len(self.members)),
            "candidates": f"{self.candidates:,}",
            "record": ", ".join(each.id for each in self.to_record[:5]) or "none",
            "stimulate": ", ".join(each.id for each in self.to_stimulate[:5]) or "none",
        }

    def record_table(self) -> pd.DataFrame:
        """Tabulate all candidates for recording in their order, or the first ones of results read from a file."""
        return pd.DataFrame([vars(each) for each in self.all_neurons or self.to_record])

    def stimulate_table(self) -> pd.DataFrame:
        """Tabulate all stimulations in their order, or the first ones of results read from a file."""
        return pd.DataFrame([vars(each) for each in self.all_stimulations or self.to_stimulate])
