"""Answers to the first questions: is it a good generative model? One function per question, from `metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connfit.report.questions.evidence import Answer, Evidence, escaped
from connfit.report.questions.study_evidence import CONNECTOME, FULL
from connfit.report.sections.comparison import is_driven
from connfit.report.wording import listed as listed
from connfit.report.wording import pretty

TEST = "#/parts/test"


def unseen_frames(e: Evidence) -> Answer:
    """One step and many steps ahead, beside the others, and unit by unit."""
    one_step = f"{TEST}/one_step/skill_vs_persistence"
    if not e.has(one_step):
        reason = e.get(f"{TEST}/one_step/reasons/skill_vs_persistence") or "the test part was not scored"
        return e.answer("not answerable", f"Skill on the test part is not defined: {reason}.", section="scores")
    said = [
        f"One frame ahead on the test part, pooled skill over persistence is {e.say(one_step)}"
        f"{_beside(e, one_step)}{_median_unit(e, 1)}."
    ]
    ahead = _far_horizon(e)
    if ahead:
        key = f"{TEST}/horizon_skill/{ahead}"
        said.append(
            f"{e.name(f'{ahead} frames', key)} ahead it is {e.say(key)}{_beside(e, key)}{_median_unit(e, ahead)}."
        )
    per_unit = f"{TEST}/one_step/per_unit_skill"
    if e.has(f"{per_unit}/above_persistence", f"{per_unit}/units", f"{per_unit}/median"):
        said.append(
            f"{e.say(f'{per_unit}/above_persistence')} of {e.say(f'{per_unit}/units')} units are predicted better than "
            f"by persistence, the median unit with skill {e.say(f'{per_unit}/median')}."
        )
    said += [_of_the_ceiling(e), _from_the_others(e)]
    study = e.study()
    if not study.is_there:
        said.append(f"A recurrent network and intervals: {ask(FULL)}.")
        return e.answer("partly", *said, section="scores")
    others = study.names("baseline", "untrained")
    said += [study.verdict(others), study.differences(others)]
    if "gru" in others:
        return e.answer("answered", *said, section="study")
    return e.answer("partly", *said, "A recurrent network without a connectome is not in this study.", section="study")


def more_than_the_level(e: Evidence) -> Answer:
    """Error beside the variance around the training mean."""
    ours, mean = f"{TEST}/one_step/mse", "#/baselines/mean/test/one_step/mse"
    if not e.has(ours, mean) or not e.get(mean):
        return e.answer("not answerable", "The baseline mean, a model of the level alone, was not scored.")
    said = [
        f"{'Activity' if e.get(ours) < e.get(mean) else 'Not even the level'}: one frame ahead the model's squared "
        f"error is {e.say(ours, mean, how='ratio')} times that of always saying the training mean"
    ]
    last = "#/baselines/persistence/test/one_step/mse"
    if e.has(last):
        said[0] += f", that of persistence {e.say(last, mean, how='ratio')} times"
    said[0] += "."
    ahead = _far_horizon(e)
    key, flat = f"{TEST}/horizon_skill/{ahead}", f"#/baselines/mean/test/horizon_skill/{ahead}"
    if ahead and e.has(key, flat):
        said.append(
            f"{e.name(f'{ahead} frames', key)} ahead its skill over persistence is {e.say(key)}, that of the mean "
            f"{e.say(flat)}."
        )
    quiet = f"{TEST}/free_run_deterministic" if is_driven(e.get(TEST) or {}) else f"{TEST}/free_run"
    late = f"{quiet}/std_ratio_second_half"
    if e.has(late):
        settles = e.get(late) < 0.1
        said.append(
            f"Left alone without noise it {'settles at a level' if settles else 'keeps moving'}: the standard "
            f"deviation in the second half of that run is {e.say(late)} times that of the data."
        )
    calibrated = _calibration(e)
    if not calibrated:
        return e.answer(
            "partly", *said, f"Calibration was not scored ({ask('connfit evaluate DIR')}).", section="scores"
        )
    return e.answer("answered", *said, calibrated, section="scores")


def _calibration(e: Evidence) -> str:
    """How often intervals hold, and whose spread they have; empty if that was not scored."""
    key = f"{TEST}/calibration"
    coverage = [
        f"{e.say(f'{key}/coverage/{level}', how='percent')} of the time within {e.name(f'{level} %')} intervals"
        for level in e.get(f"{key}/coverage") or {}
        if e.has(f"{key}/coverage/{level}")
    ]
    if not coverage:
        return ""
    own = e.get(f"{key}/distribution") == "own"
    spread = "its own distribution" if own else "the spread of its errors on training frames, for it predicts none"
    return f"One frame ahead, values lie {listed(coverage)}, made of {spread}."


def better_connectivity(e: Evidence) -> Answer:
    """Free-run FC on test beside the copy of the training FC."""
    ours, copied = f"{TEST}/free_run/fc_corr", "#/data/fc_corr_train_vs_test"
    if not e.has(ours, copied):
        return e.answer(
            "not answerable",
            f"{_why(e, ours)} {_why(e, copied)}".strip() or "FC was not scored.",
            section="connectivity",
        )
    driven = is_driven(e.get(TEST) or {})
    better = e.get(ours) > e.get(copied)
    error = f"{TEST}/free_run/fc_corr_error"
    spread = f" ± {e.say(error)} (standard error over runs)" if e.has(error) else ""
    said = [
        f"{'Yes' if better else 'No'}: in free run {'driven by residuals' if driven else 'without noise'} the model's "
        f"FC agrees with the test part's at {e.say(ours)}{spread}, that of the training part at {e.say(copied)}"
        f"{_beside(e, ours)}."
    ]
    recordings = e.get("#/recordings") or {}
    if len(recordings) > 1:
        keys = [f"#/recordings/{escaped(name)}/parts/test/free_run/fc_corr" for name in recordings]
        kept = [key for key in keys if e.has(key)]
        if len(kept) > 1:
            said.append(
                f"Over the {e.name(str(len(kept)), *kept)} recordings it ranges over "
                f"{e.span(kept, kept, lowest='lowest', highest='highest')}."
            )
    study = e.study()
    if study.is_there and (over_seeds := study.score(CONNECTOME, "free_run_fc")):
        said.append(f"Over {study.seeds()} it is {over_seeds} (mean and standard deviation).")
        beside = [f"{study.label(name)} {score}" for name in study.names("baseline", "untrained")
                  if (score := study.score(name, "free_run_fc"))]  # fmt: skip
        said.append(f"Others in the same free runs: {'; '.join(beside)}." if beside else "")
        return e.answer("answered", *said, section="connectivity")
    return e.answer("partly", *said, f"The spread over seeds: {ask(FULL)}.", section="connectivity")


def too_alike(e: Evidence) -> Answer:
    """FC of the model's own train and test runs against each other, beside the data's."""
    ours, data = "questions.json#/measured/model_fc_corr_train_vs_test/value", "#/data/fc_corr_train_vs_test"
    if not e.has(ours, data):
        reason = e.get("questions.json#/measured/model_fc_corr_train_vs_test/reason")
        return e.answer(
            "not answerable", f"The model's own train and test FC cannot be compared: {reason or 'no free runs'}."
        )
    alike = e.get(ours) > e.get(data)
    said = [
        f"The FC of the model's free run over the training part and of that over the test part agree at {e.say(ours)}, "
        f"those of the data at {e.say(data)}.",
        "The model is more alike to itself than the data are: it has one set of statistics where the data drift, which "
        "is a limit of its kind and by itself no proof of overfitting."
        if alike
        else "The model is no more alike to itself than the data are.",
    ]
    train, test = "#/parts/train/free_run/fc_corr", f"{TEST}/free_run/fc_corr"
    if e.has(train, test):
        said.append(
            "What would show overfitting is a better score on the training part: FC against the data is "
            f"{e.say(train)} there and {e.say(test)} on test"
        )
        forced = ("#/parts/train/one_step/skill_vs_persistence", f"{TEST}/one_step/skill_vs_persistence")
        if e.has(*forced):
            said[-1] += f", one-step skill {e.say(forced[0])} and {e.say(forced[1])}"
        said[-1] += "."
    return e.answer("answered", *said, section="connectivity")


def other_animals(e: Evidence) -> Answer:
    """Held-out animals, and the spread over recordings."""
    said, known = [], 0
    held = "#/held_out/parts/held_out/one_step/skill_vs_persistence"
    if e.has(held):
        known += 1
        said.append(
            f"On animals that nothing was fitted to, one-step skill is {e.say(held)} "
            f"({e.say(f'{TEST}/one_step/skill_vs_persistence')} on the test parts of those that were fitted)."
            if e.has(f"{TEST}/one_step/skill_vs_persistence")
            else f"On animals that nothing was fitted to, one-step skill is {e.say(held)}."
        )
    else:
        said.append("No animal was held out (`connfit fit ... --held-out NAME` does it).")
    recordings = e.get("#/recordings") or {}
    keys = [f"#/recordings/{escaped(name)}/parts/test/one_step/skill_vs_persistence" for name in recordings]
    kept = [key for key in keys if e.has(key)]
    if len(kept) > 1:
        known += 1
        said.append(
            f"Over the test parts of the {e.name(str(len(kept)), *kept)} fitted recordings one-step skill ranges over "
            f"{e.span(kept, kept, lowest='lowest', highest='highest')}."
        )
    else:
        said.append("One recording was fitted, with one training and one test part.")
    said.append("Other cuts and longer training parts are other fits (`data.train`): one run cannot tell.")
    return e.answer("partly" if known else "not answerable", *said, section="held-out" if e.has(held) else "scores")


def ask(command: str) -> str:
    """How to make what is missing."""
    return f"run `{command}`"


def _beside(e: Evidence, key: str) -> str:
    """The best other column of the same measure, in brackets."""
    tail = key.removeprefix(f"{TEST}/")
    columns = {pretty(name): f"#/baselines/{escaped(name)}/test/{tail}" for name in e.get("#/baselines") or {}}
    columns["the untrained model"] = f"#/at_initialisation/test/{tail}"
    scored = {name: one for name, one in columns.items() if e.has(one)}
    if not scored:
        return ""
    best = max(scored, key=lambda name: e.get(scored[name]))
    return f" (best other: {e.name(best, scored[best])}, {e.say(scored[best])})"


def _median_unit(e: Evidence, horizon: int) -> str:
    """The median unit's skill with its interval; empty where a run has none."""
    key = f"{TEST}/horizon_median_unit/{horizon}"
    if not e.has(f"{key}/value"):
        return ""
    text = f", that of the median unit {e.say(f'{key}/value')}"
    if not e.has(f"{key}/low", f"{key}/high"):
        return text
    return f"{text} ({e.name('95 %')} interval {e.span([f'{key}/low'], [f'{key}/high'])})"


def _of_the_ceiling(e: Evidence) -> str:
    """One-step skill as a share of the largest that noise allows; empty where that is not known."""
    limit, share = "#/ceiling/one_step", "#/ceiling/shares/model/one_step"
    if not e.has(f"{limit}/value", f"{limit}/low", f"{limit}/high", f"{share}/value"):
        return ""
    return (
        f"If what differs from frame to frame without memory is noise, no forecast can have more than "
        f"{e.say(f'{limit}/value')} ({e.say(f'{limit}/low')} to {e.say(f'{limit}/high')}), of which this is "
        f"{e.say(f'{share}/value', how='percent')}."
    )


def _from_the_others(e: Evidence) -> str:
    """Units predicted from the others alone, beside a ridge regression; empty where that was not done."""
    ours, ridge, test = (f"#/left_out_unit/{name}" for name in ("model", "ridge", "model_minus_ridge"))
    if not e.has(f"{ours}/skill/median", f"{ridge}/skill/median", f"{test}/outcome"):
        return ""
    words = {"better": "beats", "worse": "loses to", "tie": "is not distinguishable from"}[e.get(f"{test}/outcome")]
    return (
        f"A unit that the model is never given is predicted from the others with a skill over its mean of "
        f"{e.say(f'{ours}/skill/median')} (median unit): the model {words} a ridge regression on the others, "
        f"{e.say(f'{ridge}/skill/median')}."
    )


def _far_horizon(e: Evidence) -> int | None:
    """The longest horizon up to 10 frames that was scored, if there is one beyond the next frame."""
    scored: Mapping[str, Any] = e.get(f"{TEST}/horizon_skill") or {}
    return max((int(h) for h, value in scored.items() if value is not None and 1 < int(h) <= 10), default=None)


def _why(e: Evidence, key: str) -> str:
    """Why a number of `metrics.json` is not defined; empty where it is."""
    if e.has(key):
        return ""
    group, _, name = key.rpartition("/")
    return f"{name} is not defined: {(e.get(f'{group}/reasons') or {}).get(name, 'it was not computed')}."
