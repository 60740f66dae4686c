"""Answers to the questions about the connectome: does the wiring matter, and what does the drive do?"""

from __future__ import annotations

from connfit.config import AUTO
from connfit.models.init.starting_weights import WEIGHTS
from connfit.report.questions.evidence import (
    TEST,
    Answer,
    Evidence,
    ask,
    counted_parameters,
    escaped,
    is_untrained,
    listed,
)
from connfit.report.questions.study_evidence import CONNECTOME, FULL, StudyEvidence

MEASURED = "questions.json#/measured"


def null_connectomes(e: Evidence) -> Answer:
    """The fit beside the same fit on null connectomes."""
    study = StudyEvidence(e)
    nulls = study.names("null")
    if study.is_there and nulls:
        said = [study.verdict(nulls, us="the real wiring"), study.differences(nulls)]
        return e.answer("answered", *said, section="study")
    return _compared_runs(e)


def _compared_runs(e: Evidence) -> Answer:
    """The same from `connfit compare`, one run of each."""
    skill = "one_step/skill_vs_persistence"
    scored = {name: f"#/nulls/{escaped(name)}/test/{skill}" for name in e.get("#/nulls") or {}}
    scored = {name: key for name, key in scored.items() if e.has(key)}
    vacuous = [name for name in scored if e.get(f"#/nulls/{escaped(name)}/vacuous")]
    scored = {name: key for name, key in scored.items() if name not in vacuous}
    aside = listed([e.name(name.replace("_", " "), f"#/nulls/{escaped(name)}/vacuous") for name in vacuous])
    if vacuous and not scored:
        return e.answer(
            "not answerable", f"No null connectome differs from the real wiring here: {aside}.", section="connectivity"
        )
    if not scored or not e.has(f"{TEST}/{skill}"):
        return e.answer(
            "not answerable",
            "No null connectome was fitted beside this one: run "
            f"`{FULL}`, or `connfit fit ... --set data.null=NAME` and `connfit compare DIR NULL...`.",
        )
    parts = [f"{e.name(name.replace('_', ' '), key)} {e.say(key)}" for name, key in scored.items()]
    ours = e.get(f"{TEST}/{skill}")
    above = [name for name, key in scored.items() if e.get(key) >= ours]
    outcome = (
        f"At least as good as the real wiring: {listed([e.name(one.replace('_', ' ')) for one in above])}."
        if above
        else "The real wiring is ahead of each."
    )
    return e.answer(
        "partly",
        f"One-step skill on test is {e.say(f'{TEST}/{skill}')} with the real wiring; with the same fit on null "
        f"connectomes: {'; '.join(parts)}. {outcome}",
        f"Not counted, for it is the real wiring here: {aside}." if vacuous else "",
        f"One fit each says nothing about chance; for seeds and intervals {ask(FULL)}.",
        section="connectivity",
    )


def regions_alone(e: Evidence) -> Answer:
    """The whole brain beside a network with one unit per recorded unit."""
    study = StudyEvidence(e)
    if not (study.is_there and "region_rnn" in study.names("baseline")):
        return e.answer("not answerable", f"No network of the recorded units alone was fitted ({ask(FULL)}).")
    ours, theirs = study.parameters(CONNECTOME), study.parameters("region_rnn")
    counted = f"It has {theirs} parameters, the connectome model {ours}." if ours and theirs else ""
    return e.answer(
        "answered",
        study.verdict(["region_rnn"]),
        study.differences(["region_rnn"]),
        counted,
        section="study",
    )


def the_drive(e: Evidence) -> Answer:
    """Parameters of the drive, how often it goes where the unit has no neuron, and its removal."""
    of = f"#/{counted_parameters(e)}"
    drive, every = f"{of}/drive", [f"{of}/{group}" for group in e.get(of) or {}]
    fitted = "parameters, none of them trained" if is_untrained(e) else "fitted parameters"
    if not e.has(drive):
        return e.answer("not answerable", "Numbers of parameters were not recorded.")
    study = StudyEvidence(e)
    rows = [name for name in ("no_drive", "anatomical_drive", "dense_drive") if study.key(name)]
    said = [
        f"The drive has {e.say(drive)} of the {e.say(*every, how='sum')} {fitted}."
        if e.get(drive)
        else "The model has no fitted drive."
    ]
    elsewhere, entries, zero = (f"{MEASURED}/drive_entries{suffix}/value" for suffix in ("_elsewhere", "", "_at_zero"))
    if e.has(elsewhere, entries):
        said.append(
            f"{e.say(elsewhere)} of its {e.say(entries)} entries go from a unit to a neuron that is not one of that "
            "unit's" + (f"; {e.say(zero)} entries are zero after the fit." if e.get(zero) else ".")
        )
    elif e.get("config.json#/model/drive") == "anatomical":
        said.append("It reaches a neuron only from the units that read it.")
    if study.is_there and rows:
        said += [study.verdict(rows), study.differences(rows)]
        return e.answer("answered", *said, section="study")
    said.append(f"What its removal does takes other fits ({ask(FULL)}, or `connfit fit ... --drive none`).")
    return e.answer("partly", *said, section="parameters")


def why_learn_strengths(e: Evidence) -> Answer:
    """Strengths fixed to counts, started from counts, and free."""
    start = e.get("config.json#/model/weights")
    if start == AUTO:
        start = e.get("record.json#/recipe/chosen/weights")
    said = []
    if start is not None:
        learned = "were learned" if (e.get("#/parameters/weights") or 0) > 0 else "stayed there"
        said.append(f"The strengths of this fit started {WEIGHTS.label(start)} and {learned}.")
    study = StudyEvidence(e)
    kinds = ("fixed_strengths", "gain_per_neuron", "gain_per_type_pair", "free_strengths")
    rows = [name for name in kinds if study.key(name)]
    if not (study.is_there and rows):
        said.append(f"Whether learning them pays takes fits with fixed and with free strengths ({ask(FULL)}).")
        return e.answer("not answerable", *said)
    said += [study.verdict(rows, us="this fit"), study.differences(rows)]
    counts = [f"{study.label(name)} {count}" for name in rows if (count := study.parameters(name))]
    said.append(f"Parameters: {'; '.join(counts)}." if counts else "")
    return e.answer("answered", *said, section="study")


def learned_readout(e: Evidence) -> Answer:
    """The connectome's read-out beside a learned one."""
    learned = e.get("config.json#/model/learned_readout")
    said = []
    if learned is not None:
        said.append(
            "This fit learned its read-out, which is a control and no mechanism."
            if learned
            else "This fit reads units out as the connectome says, with no parameter of its own."
        )
    study = StudyEvidence(e)
    if not (study.is_there and study.key("learned_readout")):
        return e.answer("not answerable", *said, f"A fit of the other kind takes `{FULL}`.")
    said += [study.verdict(["learned_readout"]), study.differences(["learned_readout"])]
    theirs, ours = study.parameters("learned_readout"), study.parameters(CONNECTOME)
    said.append(f"It has {theirs} parameters, this fit {ours}." if ours and theirs else "")
    if study.key("no_state_forcing"):
        said.append("It has no state forcing either, which needs a given read-out. What that alone changes:")
        said.append(study.differences(["no_state_forcing"]))
    said.append("These are scores on test; a study does not score the training part.")
    return e.answer("partly", *said, section="study")
