"""What an evaluation found: the content of `metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd

from connfit._display import Displayed
from connfit._io import optional
from connfit.errors import one_of
from connfit.evaluation.against_strongest import AgainstStrongest
from connfit.evaluation.ceiling import Ceiling
from connfit.evaluation.explained import Explained
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.held_out import HeldOut
from connfit.evaluation.left_out_unit import LeftOut
from connfit.evaluation.observation_found import ObservationFound
from connfit.evaluation.part_scores import DataScores, ModelScores, PartScores
from connfit.recordings import PART_NAMES

FILE = "metrics.json"
"""In a run directory."""

MODEL, UNTRAINED = "model", "untrained"


@dataclass(frozen=True)
class Training:
    """How a fit ended.

    Parameters
    ----------
    trained
        False where every parameter is as it started; None in runs that do not say.
    best_epoch
        Row of `history.csv` whose parameters were kept; None where these are those of the start.
    epochs
        Epochs of the schedule that were run.
    changed
        Groups of parameters that training changed.
    trial_epochs
        Rows of `history.csv`, its first, of the trial of learning rates; None in runs that count them as `epochs`.
    """

    trained: bool | None = None
    best_epoch: int | None = None
    epochs: int | None = None
    changed: tuple[str, ...] = ()
    trial_epochs: int | None = None


@dataclass(frozen=True)
class RecordingScores(ModelScores):
    """Scores on one recording, or means over several.

    Parameters
    ----------
    data
        The data against themselves.
    against_strongest
        By part and horizon in frames: the model beside the strongest baselines.
    ceiling
        Scores as a share of the ceiling.
    left_out_unit
        Units predicted from all others.
    explained
        What own past, inputs, other units and the wiring each explain.
    """

    data: DataScores = field(default_factory=DataScores)
    against_strongest: Mapping[str, Mapping[int, AgainstStrongest]] = field(default_factory=dict)
    ceiling: Ceiling = field(default_factory=Ceiling)
    left_out_unit: LeftOut = field(default_factory=LeftOut)
    explained: Explained = field(default_factory=Explained)


@dataclass(frozen=True)
class OneRecording(RecordingScores):
    """Scores on one recording, with its number of units and its frame rate in Hz."""

    units: int = 0
    frame_rate: float | None = None


@dataclass(frozen=True)
class NullScores:
    """Scores of a model that was fitted to a null connectome.

    Parameters
    ----------
    train, validation, test
        By part.
    held_out
        On animals that were held out, by part.
    what
        What it is, in words.
    run
        Its run directory.
    vacuous
        Why it is nothing to compare with.
    """

    train: PartScores | None = optional()
    validation: PartScores | None = optional()
    test: PartScores | None = optional()
    held_out: Mapping[str, PartScores] = optional(dict)
    what: str = ""
    run: str | None = optional()
    vacuous: str | None = optional()


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Displayed, RecordingScores):
    """Scores of a fit, means over its recordings.

    Parameters
    ----------
    connfit
        Version that evaluated.
    dataset, seed, surrogate
        Of the fit; whether the data were generated.
    parameters, parameters_available
        By group: numbers that training changed, and that it could have changed.
    training
        How the fit ended.
    observed
        By part: all observed values, of which `observations` are scored.
    recordings
        Each recording by itself.
    held_out
        Scores on animals that were held out.
    observation
        What was found of how recordings see neurons.
    nulls
        By name: models of null connectomes, see `compare_with_nulls`.
    performance
        Time in seconds or milliseconds and memory in bytes, by name.
    study, analysis
        What `connfit evaluate --full` and `connfit analyze` found, in short.
    """

    connfit: str | None = None
    dataset: str | None = None
    seed: int | None = None
    surrogate: bool = False
    parameters: Mapping[str, int] | None = None
    parameters_available: Mapping[str, int] | None = None
    training: Training = field(default_factory=Training)
    observed: Mapping[str, int] = field(default_factory=dict)
    recordings: Mapping[str, OneRecording] = field(default_factory=dict)
    held_out: HeldOut | None = optional()
    observation: ObservationFound | None = optional()
    nulls: Mapping[str, NullScores] = optional(dict)
    performance: Mapping[str, float | int | None] = field(default_factory=dict)
    study: Mapping[str, Any] | None = optional()
    analysis: Mapping[str, Any] | None = optional()

    forecasts: ClassVar[Forecasts | None] = None
    """Predictions and free runs of every part; None of an evaluation that was read from a file."""

    def _display(self) -> tuple[str, Mapping[str, str]]:
        facts = {who: f"{of[1]:.3f}" if 1 in of else "not defined" for who, of in self.skills().items()}
        return "Evaluation, skill over persistence one frame ahead (test part)", facts

    def skills(self, part: str = "test") -> dict[str, dict[int, float]]:
        """Return skill over persistence on one part, mean over recordings, of each predictor by frames ahead.

        One frame ahead is of every frame of the part, the other horizons are after common starts. Skills that are not
        defined, or were not computed, are left out.
        """
        one_of("part", part, PART_NAMES)
        scores = {MODEL: self.part(part), UNTRAINED: self.untrained(part)}
        scores |= {name: baseline.part(part) for name, baseline in self.baselines.items()}
        found = {}
        for who, of in scores.items():
            ahead = {**of.horizon_skill, 1: of.one_step.skill_vs_persistence}
            found[who] = {h: skill for h, skill in sorted(ahead.items()) if skill is not None}
        return found

    def table(self, part: str = "test") -> pd.DataFrame:
        """Tabulate `skills`: one row for each predictor, one column for each horizon in frames, NaN where none is."""
        skills = self.skills(part)
        columns = pd.Index(sorted({h for of in skills.values() for h in of}), name="frames ahead")
        rows = [[of.get(h, float("nan")) for h in columns] for of in skills.values()]
        return pd.DataFrame(rows, index=pd.Index(list(skills), name="predictor"), columns=columns)
