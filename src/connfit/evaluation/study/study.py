"""A study as `study/study.json` holds it: rows, scores, differences, what they say, and whether seeds agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from connfit._io import optional, read_json
from connfit._system.paths import user_path
from connfit.errors import DataError
from connfit.evaluation.study.agreements import Reproducibility

FILE = "study/study.json"
"""Place in the run directory that is studied."""
FORMAT = 2


@dataclass(frozen=True)
class Column:
    """One measure of the table.

    Parameters
    ----------
    key
        Its name in the scores of a row.
    label
        In words.
    better
        `"high"`, `"low"`, `"one"` (near 1), or `"none"`: it only describes.
    unit
        `"pooled"` or `"median"` for skill with an interval; empty otherwise.
    horizon
        Frames ahead that it needs; seeds that diverged before are left out of its mean. None: the farthest.
    """

    key: str = ""
    label: str = ""
    better: str = "high"
    unit: str = ""
    horizon: int | None = None


@dataclass(frozen=True)
class Score:
    """One measure of one row, over its seeds.

    Parameters
    ----------
    mean, std
        Over the seeds that count; None where there is none, or one.
    low, high
        Ends of the interval of skill over blocks of time, seeds and, of the median unit, units.
    seeds
        Value of each seed, ascending; None where it is not defined.
    reason
        Why a number is missing, or which seeds the mean is of.
    """

    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: tuple[float | None, ...] = ()
    reason: str | None = optional()


@dataclass(frozen=True)
class UnitDifference:
    """Difference in skill unit by unit, between the connectome model and a row.

    Parameters
    ----------
    value, low, high, reason
        Of the median unit, with the interval over blocks of time, seeds and units, or why there is none.
    excludes_zero, outcome
        As in `Difference`, of this interval.
    units, ahead, behind
        Units whose skill is defined; those in which the connectome model is better, and worse.
    sign_p, wilcoxon_p
        Two-sided p-values of the sign test and of Wilcoxon's signed-rank test over units.
    lead_units, lead_of
        Units that contribute with the sign of the pooled difference, of how many.
    strongest_share
        Share of the pooled difference that its five strongest units carry.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    excludes_zero: bool | None = None
    outcome: str | None = None
    units: int = 0
    ahead: int = 0
    behind: int = 0
    sign_p: float | None = None
    wilcoxon_p: float | None = None
    lead_units: int = 0
    lead_of: int = 0
    strongest_share: float | None = None


@dataclass(frozen=True)
class Difference:
    """Skill of the connectome model minus that of a row at one horizon.

    Parameters
    ----------
    value, low, high, level, blocks, block_frames, seeds, reason
        Pooled, as in `connfit.evaluation.intervals.Interval`.
    excludes_zero
        Whether zero lies outside the interval; None without one.
    excludes_zero_corrected, low_corrected, high_corrected
        The same once all rows at the horizon are allowed for (Bonferroni).
    median_unit
        Unit by unit.
    diverged
        Whether every seed of the row diverged at this horizon.
    pooled_outcome
        `"better"`, `"worse"` or `"tie"` of the connectome model, by the pooled interval; None without one.
    outcome
        The same, but `"mixed"` where the median unit contradicts a pooled difference that excludes zero; None where
        nothing is won or lost.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    blocks: int = 0
    block_frames: int = 0
    seeds: tuple[int, ...] = ()
    reason: str | None = None
    excludes_zero: bool | None = None
    excludes_zero_corrected: bool | None = None
    low_corrected: float | None = None
    high_corrected: float | None = None
    median_unit: UnitDifference = UnitDifference()
    diverged: bool = False
    pooled_outcome: str | None = None
    outcome: str | None = None

    @property
    def standing(self) -> str | None:
        """The outcome, with `"ahead"` or `"behind"` in pooled skill where the median unit contradicts it."""
        if self.outcome != "mixed" or self.value is None:
            return self.outcome
        return "ahead" if self.value > 0 else "behind"


@dataclass(frozen=True)
class StudyRow:
    """One row of the table: the connectome model, one of its ablations, or another model, over its seeds.

    Parameters
    ----------
    name, group, keeps, changes
        As in `connfit.evaluation.study.rows.PlannedRow`.
    seeds
        With results, ascending: lists with a value per seed are in their order.
    failed
        Seeds without results, and why.
    reason
        Why the row has no numbers at all.
    counts
        Whether its wins and losses count.
    mark, note
        What it is where it is not simply a trained row: in one or two words for tables, and as a clause that follows
        its name.
    trained
        By seed: whether the fit ended elsewhere than at its start; None for what is not fitted.
    vacuous
        Why it is the connectome model itself; None where it is not.
    diverged
        By seed: what happened.
    left_out
        Seeds whose divergence keeps them out of the means.
    parameters, parameters_available
        Numbers by group that were learned, or could be, and `all`.
    recipe
        Options that were chosen on the validation part.
    fit_seconds
        Of training, mean over seeds.
    epochs, best_epoch, validation_selection
        By seed: epochs, the one whose parameters were kept (-1: the start), and what was chosen by.
    runs
        Run directories.
    scores
        By key of a `Column`.
    difference
        By horizon in frames; None of the connectome model itself and of rows without numbers.
    """

    name: str = ""
    group: str = ""
    keeps: str = ""
    changes: str = ""
    seeds: tuple[int, ...] = ()
    failed: Mapping[int, str] = field(default_factory=dict)
    reason: str | None = None
    counts: bool = True
    mark: str = ""
    note: str | None = None
    trained: tuple[bool | None, ...] = ()
    vacuous: str | None = None
    diverged: Mapping[int, str] = field(default_factory=dict)
    left_out: tuple[int, ...] = ()
    parameters: Mapping[str, int] | None = None
    parameters_available: Mapping[str, int] | None = None
    recipe: str | None = None
    fit_seconds: float | None = None
    epochs: tuple[int | None, ...] = ()
    best_epoch: tuple[int | None, ...] = ()
    validation_selection: tuple[float | None, ...] = ()
    runs: tuple[str, ...] = ()
    scores: Mapping[str, Score] = field(default_factory=dict)
    difference: Mapping[int, Difference] | None = None

    def difference_at(self, horizon: int) -> Difference:
        """Return the difference at a horizon; an empty one where there is none."""
        return (self.difference or {}).get(horizon, Difference())

    def mean(self, measure: str) -> float | None:
        """Return the mean of a measure over seeds."""
        return self.scores[measure].mean


@dataclass(frozen=True)
class Comparisons:
    """How many comparisons a study makes, and how they are allowed for.

    Parameters
    ----------
    rows, horizons, count
        Rows that count, horizons in frames, and their product.
    level
        Of each interval.
    text
        The same in words.
    """

    rows: int = 0
    horizons: tuple[int, ...] = ()
    count: int = 0
    level: float = 0.95
    text: str = ""


@dataclass(frozen=True)
class StrongestBaseline:
    """The baseline of highest pooled skill at a horizon.

    Parameters
    ----------
    name
        Of its row.
    skill, median_unit
        Pooled, and of the median unit.
    difference
        As in its row.
    """

    name: str = ""
    skill: float | None = None
    median_unit: float | None = None
    difference: Difference = Difference()


@dataclass(frozen=True)
class Budget:
    """Options of training that all fits share: those of the section `train`."""

    epochs: int = 0
    free_run_epochs: int = 0
    patience: int | None = None
    select_on: str = ""
    learning_rate: float | str | None = None
    batch: int | None = None


@dataclass(frozen=True)
class Performance:
    """What a study took.

    Parameters
    ----------
    seconds
        Of this call; what was finished before is not done again.
    jobs, threads
        Fits at once, and the environment of each.
    """

    seconds: float = 0.0
    jobs: int = 0
    threads: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A fit beside its ablations, null connectomes and baselines, over seeds.

    Parameters
    ----------
    connfit, format
        Version that wrote it, and that of this layout.
    run
        The run directory that is studied.
    dataset, surrogate, neurons, connections, recordings, recordings_available, units, observations
        Of the data.
    part
        That is scored.
    seeds, weight_spread, budget
        Of all fits: seeds, standard deviation of the log-normal factor on starting weights, options of training.
    measures, rows
        Columns and rows of the table.
    comparisons
        How many intervals there are.
    strongest
        The strongest baseline by horizon in frames; None where no baseline counts.
    verdict
        Sentences on what the table says.
    reproducibility
        Agreement of the seeds of the connectome model.
    performance
        What it took.
    """

    connfit: str = ""
    format: int = FORMAT
    run: str = ""
    dataset: str = ""
    surrogate: bool = False
    neurons: int = 0
    connections: int = 0
    recordings: tuple[str, ...] = ()
    recordings_available: int | None = None
    units: int = 0
    observations: Mapping[str, int] = field(default_factory=dict)
    part: str = "test"
    seeds: tuple[int, ...] = ()
    weight_spread: float = 0.0
    budget: Budget = Budget()
    measures: tuple[Column, ...] = ()
    rows: tuple[StudyRow, ...] = ()
    comparisons: Comparisons = Comparisons()
    strongest: Mapping[int, StrongestBaseline | None] = field(default_factory=dict)
    verdict: tuple[str, ...] = ()
    reproducibility: Reproducibility = field(default_factory=Reproducibility)
    performance: Performance | None = optional()

    def compared(self, *groups: str) -> tuple[StudyRow, ...]:
        """Return the rows of some groups, or of all, that have differences."""
        return tuple(row for row in self.rows if row.difference and (not groups or row.group in groups))

    def row(self, name: str) -> StudyRow | None:
        """Return a row by its name; None where the study does not have it."""
        return next((row for row in self.rows if row.name == name), None)


@dataclass(frozen=True)
class _Header:
    format: int | None = None


def format_of(path: Path, fix: str | None = None) -> int | None:
    """Return the format that a file says it has, whatever else is in it; None where it does not say."""
    return read_json(path, _Header, fix=fix).format


def read_study(folder: str | Path) -> Study:
    """Read the study of a run directory.

    Raises
    ------
    DataError
        If there is none, or it is in the format of another release.
    """
    path, command = user_path(folder) / FILE, f"Run `connfit evaluate {folder} --full`"
    found = format_of(path, command)
    if found != FORMAT:
        raise DataError(
            f"a study in format {found}, this release reads {FORMAT}",
            path=path,
            fix=f"{command} again: fits are kept, they are only scored again",
        )
    return read_json(path, Study, fix=f"{command} again")
