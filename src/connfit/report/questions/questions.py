"""Thirty questions that a sceptical reader asks of a fitted whole-brain model, and how a run answers each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connfit._io import write_json
from connfit.models.init.starting_weights import WEIGHTS
from connfit.report.prose import write_prose
from connfit.report.questions.answer import Answer, AnsweredQuestion, Questions
from connfit.report.questions.prediction_facts import best_other, far_horizon
from connfit.report.sections.limits import all_limits
from connfit.report.sections.training_status import is_untrained
from connfit.report.sections.value_ranges import ReportNumbers
from connfit.training.learning_rates import TRIAL


@dataclass(frozen=True)
class Question:
    """One question.

    Parameters
    ----------
    name
        By which `questions.json` knows it.
    group
        What it is about.
    text
        The question.
    """

    name: str
    group: str
    text: str

    def answer_from(self, documents: Mapping[str, object], **given: object) -> Answer:
        """Answer from the files of a run by the template `questions/NAME.j2`.

        Parameters
        ----------
        given
            Passed to the template.
        """
        prose = write_prose(f"questions/{self.name}.j2", documents, **given)
        return Answer(prose.settings["status"], prose.text, prose.settings.get("section", ""), prose.quotes)


GENERATIVE = "Is it a good generative model?"
WIRING = "Does the connectome matter?"
PARAMETERS = "Are the parameters worth reading?"
RULE = "Is the learning rule adequate?"
CRITICAL = "Is it critical?"
LEARNT = "What does one learn?"

QUESTIONS: tuple[Question, ...] = (
    Question(
        "unseen_frames",
        GENERATIVE,
        "How well are unseen frames predicted, one step and many steps ahead, beside persistence, linear "
        "models and a recurrent network, and for single units?",
    ),
    Question(
        "more_than_the_level",
        GENERATIVE,
        "Does it predict activity, or only the level that units rest at? Is it calibrated?",
    ),
    Question(
        "better_connectivity",
        GENERATIVE,
        "Is free-run functional connectivity (FC) nearer to the test part's than a copy of the training "
        "part's, and how sure is that?",
    ),
    Question(
        "too_alike",
        GENERATIVE,
        "Are the model's own train and test FC more alike than the data's, and is it overfitted?",
    ),
    Question(
        "other_animals",
        GENERATIVE,
        "Does it hold for other animals, other stretches of time, and longer training data?",
    ),
    Question(
        "null_connectomes",
        WIRING,
        "Is the real wiring better than shuffled signs, shuffled weights, rewired or random graphs, and no "
        "recurrence, trained with the same budget?",
    ),
    Question(
        "regions_alone",
        WIRING,
        "Is a model with every neuron better than one with one unit per recorded unit?",
    ),
    Question(
        "the_drive",
        WIRING,
        "How many parameters does the background drive have, does it reach neurons to which the unit does not connect, "
        "and what does removing it do?",
    ),
    Question(
        "why_learn_strengths",
        WIRING,
        "Why learn weights when the connectome has sizes of connections: fixed to these, started from them, or free?",
    ),
    Question(
        "learned_readout",
        WIRING,
        "Is the connectome's read-out as good as a learned one, on train and on test, and with how many parameters?",
    ),
    Question(
        "determined_directions",
        PARAMETERS,
        "So many weights against so few correlated observations: which directions are determined?",
    ),
    Question(
        "across_seeds",
        PARAMETERS,
        "Do fits from other seeds and starts find the same weights, drive and time constants, one by one?",
    ),
    Question(
        "known_parameters",
        PARAMETERS,
        "Are the parameters of a known brain recovered, and from how many units and frames?",
    ),
    Question(
        "plausible_time_constants",
        PARAMETERS,
        "Are time constants plausible, and do they move from where they started?",
    ),
    Question(
        "strong_synapses",
        PARAMETERS,
        "Are there more strong connections than in the connectome, and is a matching histogram evidence of anything?",
    ),
    Question(
        "synapse_by_synapse",
        PARAMETERS,
        "Connection by connection, how does the fitted weight rank against the size in the connectome?",
    ),
    Question(
        "gradient_bias",
        RULE,
        "How biased and how noisy is the gradient beside that of backpropagation through time (BPTT), and "
        "beside truncated BPTT of the same cost?",
    ),
    Question(
        "lower_loss_on_test",
        RULE,
        "Where another rule reaches a lower loss, does it predict unseen frames better?",
    ),
    Question(
        "time_and_memory",
        RULE,
        "What time and memory does each rule take, measured, and how does that grow with length, batch and size?",
    ),
    Question(
        "time_step",
        RULE,
        "What is the time step, how many steps are there per frame, and does it matter?",
    ),
    Question(
        "longer_horizon",
        RULE,
        "Does training on several frames ahead help, and how is that measured?",
    ),
    Question(
        "power_laws",
        CRITICAL,
        "Is a power law of avalanches better than a log-normal, an exponential, a truncated power law, by "
        "likelihood, and over how many decades and avalanches?",
    ),
    Question(
        "other_thresholds",
        CRITICAL,
        "Do the largest and smallest avalanches carry the fit, and do other thresholds, bins, units and seeds agree?",
    ),
    Question(
        "crackling_noise",
        CRITICAL,
        "Do sizes, durations and their relation fit together, and do shapes collapse?",
    ),
    Question(
        "null_avalanches",
        CRITICAL,
        "Do null networks, shuffled time and phase-randomised data pass the same tests?",
    ),
    Question(
        "subsampling",
        CRITICAL,
        "What does it mean that only few of many neurons are observed?",
    ),
    Question(
        "spectral_radius",
        CRITICAL,
        "A spectral radius near 1: of which matrix, and does it follow from fitting slow signals with any "
        "linear model?",
    ),
    Question(
        "unseen_perturbations",
        LEARNT,
        "Does a model fitted at rest predict responses to stimulation and silencing that it never saw?",
    ),
    Question(
        "sustaining_neurons",
        LEARNT,
        "Which neurons and connections sustain the activity, robustly over seeds?",
    ),
    Question(
        "stated_limitations",
        LEARNT,
        "What are the limitations, stated by the report itself?",
    ),
)


def best_epochs(history: Mapping[str, Sequence[Any]]) -> dict[str, int]:
    """Find the epoch of each phase of the schedule, in their order, with the highest value on validation.

    Parameters
    ----------
    history
        Columns of `history.csv`.
    """
    best: dict[str, int] = {}
    chosen = history.get("selection", ())
    for epoch, (phase, value) in enumerate(zip(history.get("phase", ()), chosen, strict=False)):
        if phase != TRIAL and not math.isnan(value) and (phase not in best or value >= chosen[best[phase]]):
            best[phase] = epoch
    return best


def answer_all(documents: Mapping[str, object], limits: Sequence[str] | None = None) -> list[tuple[Question, Answer]]:
    """Answer every question from the results of a run.

    Parameters
    ----------
    documents
        By their path in the run directory.
    limits
        As of `all_limits`, by which they are found where they are not given.
    """
    untrained = is_untrained(documents["metrics.json"])
    given = {
        "limits": all_limits(documents) if limits is None else limits, "best_other": best_other,
        "far_horizon": far_horizon, "best_epochs": best_epochs, "start_label": WEIGHTS.label, "untrained": untrained,
    }  # fmt: skip
    answers = [(question, question.answer_from(documents, **given)) for question in QUESTIONS]
    if not untrained:
        return answers
    note = "The model was not trained, so its parameters are those of the start."
    return [
        (question, replace(answer, text=f"{note} {answer.text}"))
        if question.group == PARAMETERS and answer.status != "not answerable"
        else (question, answer)
        for question, answer in answers
    ]


def write_answers(path: Path, answers: Sequence[tuple[Question, Answer]], measured: ReportNumbers) -> None:
    """Write `questions.json`: every question, its answer, and where each number of it comes from."""
    rows = tuple(
        AnsweredQuestion(
            number, question.name, question.group, question.text, answer.status, answer.text, answer.quotes
        )
        for number, (question, answer) in enumerate(answers, start=1)
    )
    write_json(path, Questions(rows, measured))
