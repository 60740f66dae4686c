"""The first screen of the report: what was fitted, who predicts best, and the few numbers that say how good it is."""

from __future__ import annotations

from collections.abc import Sequence

from connfit.analysis.gradients.gradient_results import GradientFidelity
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.study.row_names import row_name
from connfit.evaluation.study.study import Study
from connfit.evaluation.study.words import frames
from connfit.report import page
from connfit.report.questions.answer import Answer
from connfit.report.questions.questions import Question
from connfit.report.run_files import RunFiles
from connfit.report.sections.comparison import INITIAL, MODEL, comparison, verdict
from connfit.report.sections.headline import Contest, contests, headline, p_in_words
from connfit.report.sections.questions_section import STATUSES
from connfit.report.sections.training_status import NOT_TRAINED, counted_parameters, is_untrained
from connfit.report.wording import first_of, frames_ahead, number, pretty, span, with_interval

Fact = tuple[str, str, str]
"""Name, number, and what to read it against."""


def head(run: RunFiles, name: str) -> str:
    """Return title, recordings, and a banner where the data were generated."""
    evaluation = run.evaluation
    recordings = list(evaluation.recordings)
    what = "1 recording" if len(recordings) == 1 else f"{len(recordings)} recordings"
    listed = first_of(recordings)
    text = f"<h1>connfit: {page.escaped(name)}</h1>\n"
    if recordings:
        unseen = list(evaluation.held_out.recordings) if evaluation.held_out else []
        also = f" Held out and only predicted: {first_of(unseen)}." if unseen else ""
        model = f"A brain model, {NOT_TRAINED}, for" if is_untrained(evaluation) else "A brain model fitted to"
        text += page.paragraph(f"{model} {what}: {listed}.{also}", "soft")
    if evaluation.surrogate:
        text += (
            '\n<p class="banner" role="note">SURROGATE: this brain and its activity were generated, not measured. '
            "Nothing here is a finding about an animal.</p>"
        )
    return f"<header>\n{text}\n</header>"


def summary(run: RunFiles) -> list[str]:
    """State who wins, with key numbers of the test part and who is best in which row of its table."""
    said = headline(run.evaluation, config=run.config)
    return [
        *(f"<p>{page.with_code(line)}</p>" for line in said),
        page.facts(key_facts(run)),
        page.paragraph(verdict(comparison(run.evaluation))),
        page.paragraph(
            "Skill: 1 is perfect, 0 is as good as repeating the last frame (persistence). FC: functional connectivity, "
            "the correlations between units over time; 1 is that of the data. Pooled: over all units, so those that "
            "vary most count most. Median unit: half of the units are predicted better, half worse; in brackets its "
            "95 % interval over stretches of time. Who wins is decided by the interval of the difference.",
            "soft small",
        ),
    ]


def where_next(limits: Sequence[str], answers: Sequence[tuple[Question, Answer]]) -> str:
    """Return the line under the first figure: what to read before anything is concluded."""
    counts = {status: sum(answer.status == status for _, answer in answers) for status in STATUSES}
    said = ", ".join(f"{counts[status]} {words}" for status, words in STATUSES.items() if counts[status])
    limitations = page.link(f"{len(limits)} limitation{'' if len(limits) == 1 else 's'}", "limitations")
    questions = page.link(f"{len(answers)} questions", "questions")
    return (
        f"<p>Before you conclude anything: {limitations} that follow from these numbers, and {questions} of "
        f"sceptical readers ({page.escaped(said)}).</p>"
    )


def key_facts(run: RunFiles) -> list[Fact]:
    """Return the numbers of the first screen; those that a run lacks are left out."""
    rows = {row.key: row for row in comparison(run.evaluation)}
    each = contests(run.evaluation)
    found: list[Fact] = [_skill_fact(contest) for contest in each]
    key = ("free_run", "fc_corr")
    row = rows.get(key)
    if row is not None and row.values.get(MODEL) is not None:
        merit = row.merit
        others = {name: value for name, value in row.values.items() if name not in (MODEL, *row.outside)}
        scored = {name: value for name, value in others.items() if value is not None}
        best = max(scored, key=lambda name: merit(scored[name]), default=None)
        named = "untrained model" if best == INITIAL else best
        note = f"best other: {named} {number(scored[best])}" if best is not None else ""
        itself = run.evaluation.data.fc_corr_train_vs_test
        if itself is not None:
            note = "; ".join([*([note] if note else []), f"copy of the training FC {number(itself)}"])
        found.append(("free run: FC correlation on test", number(row.values[MODEL]), note))
    return [
        *found,
        *_units(run.evaluation, each),
        *_parameters(run.evaluation),
        *(_wiring(run.study) + _seeds(run.study) if run.study else []),
        *_gradient(run.gradients),
    ]


def against_itself(evaluation: Evaluation) -> str:
    """Describe how alike the functional connectivities of the data's own parts are."""
    value = evaluation.data.fc_corr_train_vs_test
    if value is None:
        reason = evaluation.data.reasons.get("fc_corr_train_vs_test", "it was not computed")
        return f"Data against itself: not defined ({reason})."
    return (
        "Data against itself: functional connectivity (FC) of the training part and of the test part correlate at "
        f"{number(value)}. "
        "Any static copy of the training part reaches this; a model has to do better on the test part to have "
        "learned more."
    )


def _skill_fact(contest: Contest) -> Fact:
    """Pooled skill at one horizon, with the median unit and the strongest baselines beside it."""
    pooled, median = contest.pooled, contest.median
    note = [] if median.ours is None else [f"median unit {with_interval(median.ours, median.our_interval)}"]
    if pooled.baseline is not None:
        theirs = f"strongest baseline: {pretty(pooled.baseline)} {number(pooled.theirs)}"
        if median.baseline is not None:
            name = "" if median.baseline == pooled.baseline else f" {pretty(median.baseline)}"
            theirs += f", median unit{name} {number(median.theirs)}"
        note.append(theirs)
    return f"{frames_ahead(contest.horizon)}: pooled skill on test", number(pooled.ours), "; ".join(note)


def _units(evaluation: Evaluation, each: Sequence[Contest]) -> list[Fact]:
    """Units that the model predicts better than the strongest baseline, and than what needs no model."""
    per_unit = evaluation.part("test").one_step.per_unit_skill
    found: list[Fact] = []
    side = next((contest.median for contest in each if contest.horizon == 1), None)
    if side is not None and side.baseline is not None and side.better is not None:
        name = f"units better than {pretty(side.baseline)}, one frame ahead"
        found.append((name, f"{side.better:,}", f"of {side.units:,}{p_in_words(side.p)}"))
    if not per_unit.units:
        return found
    of = f"of {per_unit.units:,}; median skill {number(per_unit.median)}"
    if per_unit.above_both is not None:
        of += f"; {per_unit.above_both:,} also better than their own mean"
    return [*found, ("units better than persistence", f"{per_unit.above_persistence:,}", of)]


def _parameters(evaluation: Evaluation) -> list[Fact]:
    parameters = sum((counted_parameters(evaluation) or {}).values())
    observed = evaluation.observations.get("train")
    if not parameters or not observed:
        return []
    trained = not is_untrained(evaluation)
    which = "fitted parameters per observation" if trained else "parameters per observation, none trained"
    return [(which, f"{parameters / observed:.3g}", f"{parameters:,} for {observed:,}")]


def _wiring(study: Study) -> list[Fact]:
    """The real wiring beside the best null connectome, one frame and some frames ahead."""
    nulls = [row for row in study.compared("null") if row.counts]
    horizons = [h for h in study.comparisons.horizons if h <= 10]
    if not nulls or not horizons:
        return []
    h = max(horizons)
    known = {value: row for row in reversed(nulls) if (value := row.difference_at(h).value) is not None}
    if not known:
        return []
    best = known[min(known)]
    difference = best.difference_at(h)
    interval = f"95 %: {span(difference.low, difference.high)}; " if difference.low is not None else ""
    median = difference.median_unit.value
    interval += f"median unit {number(median)}; " if median is not None else ""
    note = f"{interval}best of {len(nulls)}: {row_name(best.name)}"
    return [(f"real wiring minus best null: skill {frames(h)} ahead", number(difference.value), note)]


def _seeds(study: Study) -> list[Fact]:
    """How far seeds agree on what the fit did to the weights."""
    groups = {found.group: found for found in study.reproducibility.groups if found.change_pearson is not None}
    weights = groups.get("weights")
    if weights is None:
        return []
    note = f"{weights.seeds} seeds; 1 if they agree"
    return [("changes of weights: correlation between seeds", number(weights.change_pearson), note)]


def _gradient(record: GradientFidelity | None) -> list[Fact]:
    if record is None:
        return []
    group = record.main_group
    cosines = {row.label: row.groups[group].cosine for row in record.parameters[record.state]}
    note = f"D-RTRL {number(cosines.get('d-rtrl'))}; BPTT is 1"
    hybrid = cosines.get("hybrid, K = 16")
    return [(f"gradient of {group.replace('_', ' ')}: cosine, hybrid, K = 16", f"{hybrid:.4f}", note)] if hybrid else []
