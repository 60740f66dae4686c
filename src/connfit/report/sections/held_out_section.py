"""What the scores on held-out animals amount to. Text only, no drawing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connfit.evaluation.held_out import HELD_OUT, OWN
from connfit.report.sections.comparison import Row, comparison, verdict
from connfit.report.sections.headline import contests, contests_in_words
from connfit.report.wording import first_of, number, pretty


def held_out_rows(metrics: Mapping[str, Any]) -> list[Row]:
    """Rows of the table of held-out animals; none if there are no such animals."""
    section = metrics.get("held_out")
    return comparison(section, HELD_OUT) if section else []


def held_out_in_words(metrics: Mapping[str, Any]) -> list[str]:
    """Sentences below that table: who won, what static copies reach, how the animals were treated."""
    section = metrics.get("held_out")
    if not section:
        return []
    animals, trained = list(section.get("recordings") or {}), section.get("trained_on") or []
    lines = [verdict(held_out_rows(metrics)), *contests_in_words(contests(section, HELD_OUT)), *_static_copies(section)]
    lines.append(
        f"Held out: {first_of(animals)}. Nothing was fitted to {'it' if len(animals) == 1 else 'them'}; model, "
        f"baselines and noise come from the {len(trained)} training recording{'' if len(trained) == 1 else 's'}. Only "
        "the constants of preprocessing come from first frames of the animal itself, and only its test part is scored."
    )
    own = (section.get("baselines") or {}).get(OWN)
    if own:
        scores = own.get(HELD_OUT) or {}
        skill = (scores.get("one_step") or {}).get("skill_vs_persistence")
        fc = (scores.get("free_run") or {}).get("fc_corr")
        lines.append(
            f"Own VAR, a ridge VAR that was fitted to the training part of the held-out animal itself: one-step skill "
            f"{number(skill)}, free run FC {number(fc)}. It has seen the animal and does not compete."
        )
    return lines


def held_out_limits(metrics: Mapping[str, Any]) -> list[str]:
    """What the reader must not conclude about other animals."""
    section = metrics.get("held_out")
    if not section:
        return []
    found: list[str] = []
    scores = (section.get("parts") or {}).get(HELD_OUT) or {}
    skill = (scores.get("one_step") or {}).get("skill_vs_persistence")
    if skill is not None and skill <= 0:
        found.append(f"On held-out animals persistence is not beaten one step ahead (skill {number(skill)}).")
    here = (((metrics.get("parts") or {}).get("test") or {}).get("one_step") or {}).get("skill_vs_persistence")
    if skill is not None and here is not None and here - skill > 0.1:
        found.append(
            f"One-step skill is {here - skill:.2f} lower on held-out animals than on the test parts of the animals "
            "that were fitted: part of the fit is particular to them."
        )
    ours = (scores.get("free_run") or {}).get("fc_corr")
    copied = (section.get("data") or {}).get("fc_corr_training_animals_vs_test")
    if ours is not None and copied is not None and ours < copied:
        found.append(
            f"In free run the model's functional connectivity agrees with that of held-out animals at {number(ours)}, "
            f"below the {number(copied)} that the mean of the training animals' reaches."
        )
    for name, baseline in (section.get("baselines") or {}).items():
        if baseline.get("reason"):
            found.append(f"On held-out animals there is no {pretty(name)}: {baseline['reason']}.")
    return found


def _static_copies(section: Mapping[str, Any]) -> list[str]:
    data = section.get("data") or {}
    mean, own = data.get("fc_corr_training_animals_vs_test"), data.get("fc_corr_train_vs_test")
    return [
        "Data against themselves: with the FC of the animal's test part, the mean FC of the training animals "
        f"correlates at {number(mean)}, a static copy that a model has to beat, and that of its own training part at "
        f"{number(own)}."
    ]
