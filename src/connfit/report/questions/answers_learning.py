"""Answers to the questions about the learning rule, mostly from `gradient_fidelity.json`."""

from __future__ import annotations

from connfit.analysis.gradients.learning_verdict import AXES, ahead, horizons_spoken_of, outcome_of
from connfit.report.questions.evidence import Answer, Evidence
from connfit.report.run_files import GRADIENT
from connfit.report.sections.gradient_section import main_group, telling

CHECK = "connfit gradcheck DIR"
CURVES = "connfit gradcheck DIR --curves 20"
OUTCOMES = {
    "matters": "temporal credit matters",
    "cheap wins": "the cheap rule wins",
    "cheap as good": "the cheap rule is as good",
}
STATES = {"start": "at the start of the fit", "fitted": "at the fitted parameters"}


def gradient_bias(e: Evidence) -> Answer:
    """Cosine, bias and spread of D-RTRL, hybrid and truncated BPTT beside BPTT."""
    record = e.get(f"{GRADIENT}#")
    if not record:
        return e.answer("not answerable", f"Not measured on this run (run `{CHECK}`).")
    state, rows, group = _rows(e)
    said = [f"Gradient of the {group.replace('_', ' ')} beside that of BPTT, {STATES.get(state, state)}:"]
    parts = []
    for at, row in rows:
        if row == "bptt":
            continue
        measured = f"{GRADIENT}#/parameters/{state}/{at}/groups/{group}"
        if not e.has(f"{measured}/cosine", f"{measured}/bias"):
            continue
        spread = f", spread {e.say(f'{measured}/spread')}" if e.has(f"{measured}/spread") else ""
        label = e.name(row, f"{GRADIENT}#/parameters/{state}/{at}/label")
        cosine, bias = e.say(f"{measured}/cosine", how="cosine"), e.say(f"{measured}/bias")
        parts.append(f"{label}: cosine {cosine}, bias {bias}{spread}")
    if not parts:
        return e.answer("not answerable", "No rule has a gradient that could be compared.", section="gradient")
    said.append("; ".join(parts) + ". Bias and spread are relative to the norm of BPTT's mean gradient.")
    return e.answer("answered", *said, section="gradient")


def lower_loss_on_test(e: Evidence) -> Answer:
    """Fits with all rules and optimisers after equal steps and equal time, on test; rules of a study over seeds."""
    contests = [axis for axis in AXES if e.get(f"{GRADIENT}#/learning_curves/{axis}/credit")]
    study = e.study()
    fitted = study.names("learning") if study.is_there else []
    if contests or fitted:
        said = [_contest(e, axis) for axis in contests]
        if fitted:
            said += [study.verdict(fitted, us="the rule of this fit"), study.differences(fitted)]
        else:
            said.append("One start of each: intervals are over blocks of time of the test part.")
        return e.answer("answered", *said, section="gradient" if contests else "study")
    curves = e.get(f"{GRADIENT}#/learning_curves/equal_seconds/rules")
    if not curves:
        return e.answer(
            "not answerable", f"No fits with several learning rules were made on these data (run `{CURVES}`)."
        )
    parts = []
    for rule in curves:
        at = f"{GRADIENT}#/learning_curves/equal_seconds/rules/{rule}"
        if e.has(f"{at}/train_loss", f"{at}/validation_skill"):
            parts.append(
                f"{e.name(rule)}: training loss {e.say(f'{at}/train_loss')}, validation skill "
                f"{e.say(f'{at}/validation_skill')}"
            )
    if not parts:
        return e.answer("not answerable", "The learning curves have no validation part.", section="gradient")
    return e.answer(
        "partly",
        f"After equal time of training, {'; '.join(parts)}.",
        f"They were made by a release that left the test part alone: run `{CURVES}` again.",
        section="gradient",
    )


def _contest(e: Evidence, axis: str) -> str:
    """The best rule with credit through time minus the best without, chosen on validation, and what that says."""
    at = f"{GRADIENT}#/learning_curves/{axis}/credit"
    first, second = (e.name(e.get(f"{at}/{key}"), f"{at}/{key}") for key in ("with_credit", "without_credit"))
    parts = []
    for h in horizons_spoken_of(e.get(f"{GRADIENT}#/learning_curves/{axis}")):
        one = f"{at}/difference/{h}"
        outcome = e.get(one) and outcome_of(e.get(one))
        if outcome is None:
            continue
        when = "one frame ahead" if h == "1" else f"{e.name(ahead(h), one)}"
        interval = f"{e.say(f'{one}/value')} ({e.say(f'{one}/low')} to {e.say(f'{one}/high')})"
        parts.append(f"{when} {interval}, so {OUTCOMES[outcome]}")
    if not parts:
        return ""
    return (
        f"After {AXES[axis]}, skill on test of the best rule with credit through time ({first}) minus that of the best "
        f"without ({second}), both chosen on validation: {'; '.join(parts)}."
    )


def time_and_memory(e: Evidence) -> Answer:
    """Milliseconds and bytes of each rule on this model; whole-fit time and memory of the run."""
    said, known = [], False
    if e.get(f"{GRADIENT}#"):
        known = True
        state, rows, _ = _rows(e)
        parts = []
        for at, label in rows:
            row = f"{GRADIENT}#/parameters/{state}/{at}"
            parts.append(
                f"{e.name(label, f'{row}/label')} {e.say(f'{row}/ms_per_step')} ms per step and "
                f"{e.say(f'{row}/carried_bytes', f'{row}/working_bytes', how='mebibytes')} MiB"
            )
        said.append(
            f"On this model, windows of segments with {e.say(f'{GRADIENT}#/steps')} steps: {'; '.join(parts)}. Only "
            "BPTT's memory grows with the length; batch and size were not varied here."
        )
    if e.has("#/performance/ms_per_step", "#/performance/peak_rss_bytes"):
        said.append(
            f"The fit took {e.say('#/performance/ms_per_step')} ms per step and at most "
            f"{e.say('#/performance/peak_rss_bytes', how='mebibytes')} MiB of memory."
        )
    if not said:
        return e.answer("not answerable", f"No time or memory was recorded (run `{CHECK}`).")
    return e.answer("partly", *said, section="gradient" if known else "made")


def time_step(e: Evidence) -> Answer:
    """Steps per frame of this fit."""
    steps = "config.json#/data/substeps"
    rates = [f"record.json#/recordings/{name.replace('~', '~0').replace('/', '~1')}/frame_rate_hz"
             for name in e.get("record.json#/recordings") or {}]  # fmt: skip
    if not e.has(steps) or not rates or not e.has(rates[0]):
        return e.answer("not answerable", "Time step and frame rate were not recorded with the run.")
    return e.answer(
        "partly",
        f"{e.say(steps)} step{'' if e.get(steps) == 1 else 's'} per frame, at {e.say(rates[0])} frames per second.",
        "Whether that matters takes another fit (`connfit fit ... --set data.substeps=2`).",
        section="made",
    )


def longer_horizon(e: Evidence) -> Answer:
    """The free-running phase beside the teacher-forced one, on validation; horizons on test."""
    phases = e.get("history.csv#/phase") or []
    chosen = e.get("history.csv#/selection") or []
    by: dict[str, list[tuple[float, int]]] = {}
    for at, (phase, value) in enumerate(zip(phases, chosen, strict=False)):
        if isinstance(value, float) and value == value:
            by.setdefault(str(phase), []).append((value, at))
    best = {phase: max(found)[1] for phase, found in by.items()}
    if len(best) < 2:
        return e.answer(
            "not answerable",
            "The fit had one phase, teacher-forced, and nothing to compare it with: "
            "`--set train.free_run_epochs=20` trains on the model's own predictions over several frames.",
        )
    forced, free = (f"history.csv#/selection/{best[phase]}" for phase in list(best)[:2])
    better = e.get(free) > e.get(forced)
    frames = "config.json#/train/free_run_frames"
    ahead = f"Trained on stretches of {e.say(frames)} frames of its own predictions" if e.has(frames) else "Trained so"
    measure = "mean skill some frames ahead" if e.get("config.json#/train/select_on") == "horizon" else "one-step skill"
    return e.answer(
        "partly",
        f"{ahead}, the model's best {measure} on validation went from {e.say(forced)} to {e.say(free)}: it "
        f"{'helped' if better else 'did not help, and the parameters before it were kept'}.",
        "Other lengths were not tried in this run. Horizons on the test part are in the table of scores.",
        section="scores",
    )


def _rows(e: Evidence) -> tuple[str, list[tuple[str, str]], str]:
    """The last state, its most telling rules as index and label, and the group of parameters to speak of."""
    record = e.get(f"{GRADIENT}#")
    state, rows = list(record["parameters"].items())[-1]
    shown = telling(rows)
    return state, [(str(at), row["label"]) for at, row in enumerate(rows) if row in shown], main_group(record)
