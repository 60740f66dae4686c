"""What the scores on held-out animals amount to. Text only, no drawing."""

from __future__ import annotations

from connfit.evaluation.evaluated import FILE, Evaluation
from connfit.evaluation.held_out import HELD_OUT, OWN, HeldOutData
from connfit.report.prose import write_prose
from connfit.report.sections.comparison import Row, comparison, verdict
from connfit.report.sections.headline import contests, contests_in_words
from connfit.report.wording import first_of, number


def held_out_rows(evaluation: Evaluation) -> list[Row]:
    """Return the rows of the table of held-out animals; none if there are no such animals."""
    return comparison(evaluation.held_out, HELD_OUT) if evaluation.held_out else []


def held_out_in_words(evaluation: Evaluation) -> list[str]:
    """Return sentences below that table: who won, what static copies reach, how the animals were treated."""
    held_out = evaluation.held_out
    if held_out is None:
        return []
    animals, trained = list(held_out.recordings), len(held_out.trained_on)
    lines = [verdict(held_out_rows(evaluation)), *contests_in_words(contests(held_out, HELD_OUT))]
    lines += [
        _static_copies(held_out.data),
        f"Held out: {first_of(animals)}. Nothing was fitted to {'it' if len(animals) == 1 else 'them'}; model, "
        f"baselines and noise come from the {trained} training recording{'' if trained == 1 else 's'}. Only "
        "the constants of preprocessing come from first frames of the animal itself, and only its test part is scored.",
    ]
    if OWN in held_out.baselines:
        scores = held_out.baselines[OWN].part(HELD_OUT)
        lines.append(
            f"Own VAR, a ridge VAR that was fitted to the training part of the held-out animal itself: one-step skill "
            f"{number(scores.one_step.skill_vs_persistence)}, free run FC {number(scores.free_run.fc_corr)}. It has "
            "seen the animal and does not compete."
        )
    return lines


def held_out_limits(evaluation: Evaluation) -> list[str]:
    """Return what the reader must not conclude about other animals."""
    return list(write_prose("limits/held_out.j2", {FILE: evaluation}).paragraphs) if evaluation.held_out else []


def _static_copies(data: HeldOutData) -> str:
    return (
        "Data against themselves: with the FC of the animal's test part, the mean FC of the training animals "
        f"correlates at {number(data.fc_corr_training_animals_vs_test)}, a static copy that a model has to beat, and "
        f"that of its own training part at {number(data.fc_corr_train_vs_test)}."
    )
