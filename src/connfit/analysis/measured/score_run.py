"""Score a model and its opponents against a table of measured responses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from connfit._io import csv_text, replacing_together, write_bytes, write_json
from connfit._system.claim import claimed
from connfit._system.paths import user_path
from connfit.analysis.measured.experiments import REST, STIMULATION, experiment_of, of_experiment
from connfit.analysis.measured.learned_combination import NAME as LEARNED
from connfit.analysis.measured.learned_combination import learned_combination
from connfit.analysis.measured.measured_responses import (
    MeasuredResponses,
    PlacedResponses,
    ResponseRule,
    members,
    pairs_by,
    place,
    read_measured,
    renamed,
)
from connfit.analysis.measured.opponents import Opponent, Opponents, all_opponents, null_names
from connfit.analysis.measured.pair_scores import (
    Truth,
    difference,
    distance_names,
    score_predictor,
    table_facts,
    varied,
)
from connfit.analysis.measured.recording_predictors import recording_predictors
from connfit.analysis.measured.response_scores import Resamples, rank_sum
from connfit.analysis.measured.scored_responses import FILE, FOLDER, PAIRS, Difference, ScoredResponses
from connfit.analysis.measured.silencing_predictors import silencing_recordings, silencing_wiring
from connfit.analysis.measured.verdict_on_responses import judge
from connfit.analysis.measured.wiring_predictors import Predictor, distances, wiring_predictors
from connfit.connectome import Connectome
from connfit.connectome.columns import TableSource
from connfit.errors import ConfigError, one_of
from connfit.models.held_rates import NO_SPIKES, SILENCE_AT, TrainingRange
from connfit.models.pulse import Stimulations, pulse_responses
from connfit.models.silencing import silencing_changes
from connfit.recordings.training_deviation import typical_deviation
from connfit.training.fitted import Fit
from connfit.training.problem import Job
from connfit.training.runs import load_fit

MODEL, UNTRAINED, TWO_STEPS, FC = "model", "untrained", "two_steps", "functional_connectivity"
SUMS = ((MODEL, TWO_STEPS), (MODEL, FC), (TWO_STEPS, FC), (MODEL, TWO_STEPS, FC))
"""Sums of ranks that are scored; fixed before anything is."""
LEARNED_FROM = (MODEL, TWO_STEPS, "signed_resolvent_0.6", FC, "impulse_response")
"""What the learned combination is made of."""
ASKED = (
    ("fitting", MODEL, UNTRAINED),
    ("model_over_wiring", MODEL, TWO_STEPS),
    ("wiring_over_recording", f"{TWO_STEPS}+{FC}", FC),
    ("model_over_both", f"{MODEL}+{TWO_STEPS}+{FC}", f"{TWO_STEPS}+{FC}"),
)
"""Question, predictor, and what is taken off."""
CANNOT_BE_SILENT = "its cells cannot be held at a rate, so that no neuron of it can be silenced"


@dataclass(frozen=True, eq=False)
class PairTable:
    """The pairs that were scored, with what was measured and every prediction.

    Parameters
    ----------
    placed, truth
        Pairs and measurements.
    predictors
        In the order of tables.
    """

    placed: PlacedResponses
    truth: Truth
    predictors: Sequence[Predictor]

    def csv(self) -> str:
        """Return one row per pair."""
        measured, rows = self.placed.measured, self.truth.rows
        columns: dict[str, Sequence[object]] = {
            "stimulated": measured.stimulated[rows].tolist(),
            **({} if measured.silenced is None else {"silenced": measured.silenced[rows].tolist()}),
            "responding": measured.responding[rows].tolist(),
            "responds": self.truth.responds.astype(int).tolist(),
            "distance": distance_names(self.truth.distance).tolist(),
        }
        if measured.observations is not None:
            columns["observations"] = measured.observations[rows].tolist()
        if self.truth.amplitude is not None:
            columns["amplitude"] = _cells(self.truth.amplitude)
        columns |= {each.name: _cells(each.values) for each in self.predictors}
        return csv_text([columns, *zip(*columns.values(), strict=True)])


def _cells(values: Float[np.ndarray, "R"]) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.6g}" for value in values]


def perturb_score(
    run: str | Path | Fit,
    measured: TableSource | MeasuredResponses,
    stimulations: Stimulations | None = None,
    *,
    rule: ResponseRule | None = None,
    against: Sequence[str | Path | Fit] = (),
    nulls: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    experiment: str | None = None,
    silence_at: str = "floor",
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    name: str | None = None,
) -> ScoredResponses:
    """Score a fitted model, and its opponents, against measured responses to stimulation or silencing.

    Nothing of the table is used to choose anything: models, opponents and sums are what they are before it is read. The
    row `learned` alone is fitted to it, in folds of stimulated or silenced neurons, and is no opponent of the verdict.

    Parameters
    ----------
    run
        A fit, or the run directory of one, into whose `measured/<name>` the results are written.
    measured
        A table of measured responses: a file, a DataFrame, or what `read_measured` returned (docs/measured.md).
    stimulations
        How neurons were stimulated, and over which time responses were averaged.
    rule
        What counts as a response.
    against
        Further fits, or run directories, that are scored as opponents: fits on null connectomes, of other seeds or
        options.
    nulls
        Null connectomes on which an untrained model is built anew and scored; `"all"` stands for each of them.
    rename
        Names of the table's neurons to replace by those of the connectome: new by old.
    experiment
        Which rows are scored, one of `connfit.analysis.measured.experiments.EXPERIMENTS`, where a table has rows of
        several.
    silence_at
        Rate at which silenced neurons are held, one of `connfit.models.held_rates.SILENCE_AT`.
    resamples, level, seed
        Of the intervals over stimulated (or silenced) neurons.
    name
        Folder within the run's `measured`; default: the table's name.

    Returns
    -------
    ScoredResponses
        What `scores.json` holds.

    Raises
    ------
    ConnfitError
        If the table, a run or an option is wrong.

    Examples
    --------
    >>> connfit.perturb_score(fit, "responses.csv", connfit.Stimulations(window_s=10))  # doctest: +SKIP
    """
    how = stimulations or Stimulations()
    rename = rename or {}
    whole = renamed(read_measured(measured), rename)
    table = of_experiment(whole, experiment)
    one_of("silence_at", silence_at, SILENCE_AT)
    null_names(nulls)  # Wrong names before anything is loaded.
    if isinstance(run, Fit):
        scores, _ = score_responses(
            run, table, how, rule=rule, opponents=all_opponents(run, against, nulls), silence_at=silence_at,
            resamples=resamples, level=level, seed=seed,
        )  # fmt: skip
        return _of_whole(scores, whole, rename)
    folder = user_path(run)
    if name is not None and not re.fullmatch(r"\w[\w.=-]*", name):
        raise ConfigError(f"name is {name!r}, but must be a name of letters, digits, '.', '=', '_' and '-'")
    with claimed(folder, make=False):
        fitted = load_fit(folder)
        scores, pairs = score_responses(
            fitted, table, how, rule=rule, opponents=all_opponents(fitted, against, nulls), silence_at=silence_at,
            resamples=resamples, level=level, seed=seed,
        )  # fmt: skip
        scores = _of_whole(scores, whole, rename)
        out = measured_folder(folder, name or table.name)
        out.mkdir(parents=True, exist_ok=True)
        with replacing_together(out / PAIRS, out / FILE) as (csv, record):
            write_bytes(csv, pairs.csv().encode())
            write_json(record, scores)
    return scores


def _of_whole(scores: ScoredResponses, whole: MeasuredResponses, rename: Mapping[str, str]) -> ScoredResponses:
    """Say what was renamed in a table, and how many of its rows are of other experiments."""
    facts = replace(scores.table, other_rows=whole.rows - scores.table.rows)
    return replace(scores, rename=rename, table=facts)


def measured_folder(run: Path, name: str) -> Path:
    """Return where the results of a table of a name are: a name that no folder can have is cut to one that can."""
    plain = re.sub(r"[^\w.=-]+", "-", name).strip("-.") or "measured"
    return run / FOLDER / plain.encode()[:80].decode(errors="ignore")


def score_responses(
    fitted: Fit,
    table: MeasuredResponses,
    stimulations: Stimulations,
    *,
    rule: ResponseRule | None = None,
    opponents: Opponents | None = None,
    silence_at: str = "floor",
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[ScoredResponses, PairTable]:
    """Score a fit and its opponents against rows of one experiment; arguments as of `perturb_score`."""
    from connfit._version import __version__

    rule, opponents = rule or ResponseRule(), opponents or Opponents()
    job, connectome, table = fitted.require_job(), fitted.connectome, of_experiment(table)
    placed = place(table, connectome)
    distance = distances(connectome, varied(placed), placed.responding, placed.sets)
    truth = Truth.of(placed, rule, distance)
    drawn = Resamples.draw(truth.groups, repeats=resamples, level=level, seed=seed, over=truth.over)
    models, left_out = opponents.models, dict(opponents.left_out)
    if truth.silenced is not None:
        left_out |= {name: CANNOT_BE_SILENT for name, each in models.items() if not each.model.neuron.sends_state}
        models = {name: each for name, each in models.items() if name not in left_out}
    experiment = experiment_of(table)
    predictors = list(_predictors(fitted, job, truth, experiment, stimulations, silence_at, models))
    known = {each.name: each for each in predictors}
    for parts in SUMS:
        if all(part in known for part in parts):
            values = rank_sum([known[part].values for part in parts])
            # What stands in brackets, of which neuron or what is lost, each part says in its own row.
            label = " + ".join(known[part].label.partition(" (")[0] for part in parts)
            known["+".join(parts)] = Predictor("+".join(parts), label, "sum", values)
    together = [known[name] for name in LEARNED_FROM if name in known]
    others = "stimulations" if truth.silenced is None else "silenced neurons"
    known[LEARNED] = learned_combination(together, truth.responds, truth.group, seed=seed, others=others)
    model = known[MODEL]
    scored, leads = {}, {}
    for each in known.values():
        scores = score_predictor(each, truth, drawn)
        if each is not model:
            lead = difference(model, each, truth, drawn)[0]
            scores = replace(scores, model_minus_this=lead)
            if MODEL not in each.name.split("+") and each.name != LEARNED:
                leads[each.name] = lead
        scored[each.name] = scores
    asked = []
    for question, of, minus in ASKED:
        if of in known and minus in known:
            estimate, pairs = difference(known[of], known[minus], truth, drawn)
            asked.append(Difference(question, of, minus, pairs, estimate))
    recording = fitted.cohort.recordings[0]
    result = ScoredResponses(
        connfit=__version__,
        dataset=job.config.data.dataset or connectome.name,
        surrogate=any(bool(source.notes.get("surrogate")) for source in (connectome, *fitted.cohort.recordings)),
        table=table_facts(placed, truth, table.rows, drawn, rule),
        q_below=rule.q_below,
        min_observations=rule.min_observations,
        stimulations=stimulations,
        unit_of_strength=None if fitted.model.neuron.spikes else typical_deviation(fitted.cohort),
        value_units=recording.value_units,
        trained=fitted.trained,
        resamples=resamples,
        level=level,
        seed=seed,
        neurons_that_vary=truth.over,
        silence_at=None if truth.silenced is None else NO_SPIKES if fitted.model.neuron.spikes else silence_at,
        predictors=scored,
        differences=tuple(asked),
        not_scored=left_out,
        verdict=judge(
            scored[MODEL].auroc, leads,
            {each: scores.auroc.value for each, scores in scored.items() if MODEL == each or each in leads},
        ),
    )  # fmt: skip
    return result, PairTable(placed, truth, tuple(known.values()))


def _predictors(
    fitted: Fit, job: Job, truth: Truth, experiment: str, how: Stimulations, silence_at: str,
    opponents: Mapping[str, Opponent],
) -> Iterator[Predictor]:  # fmt: skip
    own = Opponent("fitted model", MODEL, fitted.model, fitted.params, fitted.connectome, fitted.cohort)
    if not fitted.trained:
        own = replace(own, label="model, untrained")
    yield _simulated(MODEL, own, truth, how, silence_at)
    if fitted.trained:
        untrained = replace(own, label="untrained model", kind=UNTRAINED, params=fitted.initial_params)
        yield _simulated(UNTRAINED, untrained, truth, how, silence_at)
    for name, each in opponents.items():
        yield _simulated(name, each, _as_in(each.connectome, fitted.connectome, truth), how, silence_at)
    if experiment != STIMULATION:
        yield from silencing_wiring(fitted.connectome, truth, at_rest=experiment == REST)
        yield from silencing_recordings(
            fitted.cohort, job.readout, fitted.connectome, truth, window_s=how.window_s, config=job.config.evaluate
        )
        return
    yield from wiring_predictors(fitted.connectome, truth.stimulated, truth.responding, truth.sets)
    yield from recording_predictors(
        fitted.cohort, job.readout, fitted.connectome, truth.stimulated, truth.responding,
        window_s=how.window_s, config=job.config.evaluate, sets=truth.sets,
    )  # fmt: skip


def _simulated(name: str, of: Opponent, truth: Truth, how: Stimulations, silence_at: str) -> Predictor:
    """A model as a predictor: the mean change of each responding neuron after a pulse on the stimulated one.

    A set that is stimulated gets the pulse on all of its neurons; of one that responds the mean counts. Where neurons
    are silenced: what that changes of it.
    """
    if truth.silenced is not None:
        return _silenced(name, of, truth, how, silence_at)
    neurons = of.model.neurons
    sources, at = pairs_by(truth.stimulated)
    watched, to = pairs_by(truth.responding)
    known = (sources >= 0), (watched >= 0)
    found = np.full((len(sources), len(watched)), np.nan)
    changes = pulse_responses(
        of.model, of.params, [members(site, neurons, truth.sets) for site in sources[known[0]]], how,
        unit_of_strength=typical_deviation(of.cohort), mean=of.cohort.mean_activity(),
    )  # fmt: skip
    read = [changes[:, members(site, neurons, truth.sets)].mean(axis=1) for site in watched[known[1]]]
    found[np.ix_(*known)] = np.stack(read, axis=1) if read else 0
    return Predictor(name, of.label, of.kind, found[at, to], signed=True)


def _silenced(name: str, of: Opponent, truth: Truth, how: Stimulations, silence_at: str) -> Predictor:
    """A model as a predictor of what silence changes."""
    assert truth.silenced is not None
    neurons = of.model.neurons
    known = (truth.stimulated >= 0) & (truth.silenced >= 0) & (truth.responding >= 0)
    found = np.full(len(known), np.nan)
    if known.any():
        both = np.stack([truth.stimulated, truth.silenced])[:, known]
        conditions, condition = np.unique(both, axis=1, return_inverse=True)
        watched, to = pairs_by(truth.responding[known])
        readers = [members(site, neurons, truth.sets) for site in watched]
        rows = np.unique(np.concatenate(readers))
        stimulated, silenced = ([members(site, neurons, truth.sets) for site in sites] for sites in conditions)
        changes = silencing_changes(
            of.model, of.params, stimulated, silenced, how,
            unit_of_strength=typical_deviation(of.cohort), mean=of.cohort.mean_activity(),
            seen=TrainingRange.of(of.model, of.params, of.cohort), silence_at=silence_at, watched=rows,
        )  # fmt: skip
        read = np.stack([changes[:, np.searchsorted(rows, each)].mean(axis=1) for each in readers], axis=1)
        found[known] = read[condition.ravel(), to]
    return Predictor(name, of.label, of.kind, found, signed=True)


def _as_in(other: Connectome, ours: Connectome, truth: Truth) -> Truth:
    """The pairs by their positions in another connectome; -1 where it lacks a neuron, of a set any."""
    position = {str(one): at for at, one in enumerate(other.ids)}
    at = np.array([position.get(str(one), -1) for one in ours.ids])
    sets = tuple(at[neurons] for neurons in truth.sets)  # a set of nobody is one of nobody there, too
    of_sets = [other.n + number if (neurons >= 0).all() else -1 for number, neurons in enumerate(sets)]
    sites = np.concatenate([at, np.array(of_sets, at.dtype)])
    silenced = None if truth.silenced is None else sites[truth.silenced]
    return replace(
        truth, stimulated=sites[truth.stimulated], responding=sites[truth.responding], sets=sets, silenced=silenced
    )
