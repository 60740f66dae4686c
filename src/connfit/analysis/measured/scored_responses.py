"""What `measured/*/scores.json` holds: scores of a model and its opponents against measured responses.

Where neurons were silenced, a response is a change: of the response to the stimulus, or from rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connfit._io import optional
from connfit.analysis.measured.experiments import STIMULATION
from connfit.analysis.measured.response_scores import Estimate
from connfit.analysis.measured.verdict_on_responses import Verdict
from connfit.models.pulse import Stimulations

FILE, PAIRS, FOLDER = "scores.json", "responses.csv", "measured"


@dataclass(frozen=True)
class DistanceScore:
    """AUROC among the pairs of one distance on the wiring."""

    pairs: int = 0
    responses: int = 0
    auroc: Estimate = field(default_factory=Estimate)


@dataclass(frozen=True)
class PredictorScores:
    """How well one predictor ranks the pairs that it says something of.

    Parameters
    ----------
    name, label, kind
        See `connfit.analysis.measured.wiring_predictors.Predictor`.
    pairs, responses
        Pairs that it says something of, and how many of them respond.
    auroc
        Over all of these pairs.
    auroc_within
        Mean over stimulated, or silenced, neurons of the AUROC among its own pairs: which neuron responds, whatever is
        stimulated or silenced.
    average_precision
        Its value for a random order is the share of responses.
    amplitude_correlation
        Spearman's correlation of signed predictions, of other ones their sizes, with measured amplitudes.
    sign_agreement
        Share of the responses whose sign is that of the prediction, among responses for which it is not 0.
    by_distance
        By connections on the shortest path: `1`, `2`, `3+`, `none`.
    model_minus_this
        AUROC of the model minus that of this predictor, on the pairs of both.
    roc
        Share of responses found at shares of false alarms of 0, 0.02, ... 1.
    """

    name: str = ""
    label: str = ""
    kind: str = ""
    pairs: int = 0
    responses: int = 0
    auroc: Estimate = field(default_factory=Estimate)
    auroc_within: Estimate = field(default_factory=Estimate)
    average_precision: Estimate = field(default_factory=Estimate)
    amplitude_correlation: Estimate = field(default_factory=Estimate)
    sign_agreement: Estimate = field(default_factory=Estimate)
    by_distance: Mapping[str, DistanceScore] = field(default_factory=dict)
    model_minus_this: Estimate | None = optional()
    roc: tuple[float, ...] = ()


@dataclass(frozen=True)
class Difference:
    """AUROC of one predictor minus that of another, on the pairs of both.

    Parameters
    ----------
    question
        What it answers, by the names of `connfit.analysis.measured.verdict_on_responses.QUESTIONS`.
    of, minus
        Names of the predictors.
    """

    question: str = ""
    of: str = ""
    minus: str = ""
    pairs: int = 0
    difference: Estimate = field(default_factory=Estimate)


@dataclass(frozen=True)
class TableFacts:
    """What was measured, and what of it is scored.

    Parameters
    ----------
    name
        Of the table.
    rows
        Of the table that are of the experiment.
    unknown_neurons, unknown
        Neurons that the connectome lacks: how many, and their names.
    unknown_rows, unknown_pairs, unknown_responses
        Rows left out because of them; how many of these would have been scored, and how many respond.
    own_rows
        Rows of a neuron with itself, left out; where neurons are silenced, also those in which one of them responds.
    not_tested_rows
        Rows left out for too few observations, or without a test.
    stimulated, responding
        Different neurons, or sets of them, among the pairs that are scored.
    pairs, responses
        Pairs that are scored, and how many respond.
    positive_share
        Share of responses whose amplitude is above 0; None without amplitudes.
    half_correlation, amplitude_ceiling
        Rank correlation of amplitudes between halves of the observations, and what a perfect prediction could reach
        against their mean.
    experiment
        One of `connfit.analysis.measured.experiments.EXPERIMENTS`.
    silenced
        Different silenced neurons, or sets of them, among the pairs that are scored.
    other_rows
        Rows of other experiments, left out.
    """

    name: str = ""
    rows: int = 0
    unknown_neurons: int = 0
    unknown: tuple[str, ...] = ()
    unknown_rows: int = 0
    unknown_pairs: int = 0
    unknown_responses: int = 0
    own_rows: int = 0
    not_tested_rows: int = 0
    stimulated: int = 0
    responding: int = 0
    pairs: int = 0
    responses: int = 0
    positive_share: float | None = None
    half_correlation: Estimate = field(default_factory=Estimate)
    amplitude_ceiling: Estimate = field(default_factory=Estimate)
    experiment: str = STIMULATION
    silenced: int = 0
    other_rows: int = 0


@dataclass(frozen=True)
class ScoredResponses:
    """Scores of a model and its opponents against measured responses.

    Parameters
    ----------
    q_below, min_observations
        What counts as a response, see `connfit.analysis.measured.measured_responses.ResponseRule`.
    unit_of_strength
        What a strength of 1 is, in the units of the recording. None of cells that spike: 1 brings a neuron from rest to
        its threshold.
    trained
        Whether the fit changed any parameter; otherwise there is no row `untrained`.
    resamples, level, seed
        Of the intervals.
    neurons_that_vary
        `stimulated` or `silenced`: neurons over which intervals resample, and from which distances on the wiring are
        counted.
    silence_at
        Rate at which silenced neurons are held, of `connfit.models.held_rates.SILENCE_IN_WORDS`; None without any.
    predictors
        By name, the model first.
    differences
        Paired differences that answer a question each.
    rename
        Names of the table's neurons that were replaced: new by old.
    not_scored
        What was asked for and has no row, with the reason: null connectomes that cannot be drawn, models whose cells
        cannot be silenced.
    """

    connfit: str = ""
    dataset: str = ""
    surrogate: bool = False
    table: TableFacts = field(default_factory=TableFacts)
    q_below: float = 0.05
    min_observations: int = 3
    stimulations: Stimulations = field(default_factory=Stimulations)
    unit_of_strength: float | None = 1.0
    value_units: str = ""
    trained: bool = False
    resamples: int = 0
    level: float = 0.95
    seed: int = 0
    neurons_that_vary: str = "stimulated"
    silence_at: str | None = optional()
    predictors: Mapping[str, PredictorScores] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    rename: Mapping[str, str] = optional(dict)
    not_scored: Mapping[str, str] = optional(dict)
    verdict: Verdict = field(default_factory=Verdict)
