"""What the scores on held-out animals amount to. Text only, no drawing."""

from __future__ import annotations

from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.held_out import HELD_OUT, OWN, HeldOutData
from connfit.evaluation.part_scores import PartScores
from connfit.report.sections.comparison import Row, comparison, verdict
from connfit.report.sections.headline import contests, contests_in_words
from connfit.report.wording import first_of, number, pretty


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
    held_out = evaluation.held_out
    if held_out is None:
        return []
    found: list[str] = []
    scores = held_out.parts.get(HELD_OUT, PartScores())
    skill, here = scores.one_step.skill_vs_persistence, evaluation.part("test").one_step.skill_vs_persistence
    if skill is not None and skill <= 0:
        found.append(f"On held-out animals persistence is not beaten one step ahead (skill {number(skill)}).")
    if skill is not None and here is not None and here - skill > 0.1:
        found.append(
            f"One-step skill is {here - skill:.2f} lower on held-out animals than on the test parts of the animals "
            "that were fitted: part of the fit is particular to them."
        )
    ours, copied = scores.free_run.fc_corr, held_out.data.fc_corr_training_animals_vs_test
    if ours is not None and copied is not None and ours < copied:
        found.append(
            f"In free run the model's functional connectivity agrees with that of held-out animals at {number(ours)}, "
            f"below the {number(copied)} that the mean of the training animals' reaches."
        )
    return found + [
        f"On held-out animals there is no {pretty(name)}: {baseline.reason}."
        for name, baseline in held_out.baselines.items()
        if baseline.reason
    ]


def _static_copies(data: HeldOutData) -> str:
    return (
        "Data against themselves: with the FC of the animal's test part, the mean FC of the training animals "
        f"correlates at {number(data.fc_corr_training_animals_vs_test)}, a static copy that a model has to beat, and "
        f"that of its own training part at {number(data.fc_corr_train_vs_test)}."
    )
