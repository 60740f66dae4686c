"""Answers to the questions about the connectome: does the wiring matter, and what does the drive do?"""

from __future__ import annotations

from connfit.report.answers_prediction import FULL, TEST
from connfit.report.evidence import Answer, Evidence, escaped

MEASURED = "questions.json#/measured"


def null_connectomes(e: Evidence) -> Answer:
    """The fit beside the same fit on null connectomes."""
    nulls = e.get("#/nulls") or {}
    skill = "one_step/skill_vs_persistence"
    scored = {name: f"#/nulls/{escaped(name)}/test/{skill}" for name in nulls}
    scored = {name: key for name, key in scored.items() if e.has(key)}
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
        f"At least as good as the real wiring: {', '.join(e.name(one.replace('_', ' ')) for one in above)}."
        if above
        else "The real wiring is ahead of each."
    )
    return e.answer(
        "partly",
        f"One-step skill on test is {e.say(f'{TEST}/{skill}')} with the real wiring; with the same fit on null "
        f"connectomes: {'; '.join(parts)}. {outcome}",
        f"One fit each says nothing about chance: seeds and intervals come from `{FULL}`.",
        section="connectivity",
    )


def regions_alone(e: Evidence) -> Answer:
    """The whole brain beside a network with one unit per region."""
    return e.answer(
        "not answerable", f"No model of the recorded units alone, without neurons, was fitted (run `{FULL}`)."
    )


def the_drive(e: Evidence) -> Answer:
    """Parameters of the drive, how often it goes where the unit has no neuron, and its removal."""
    drive, every = "#/parameters/drive", [f"#/parameters/{group}" for group in e.get("#/parameters") or {}]
    if not e.has(drive):
        return e.answer("not answerable", "Numbers of parameters were not recorded.")
    if not e.get(drive):
        return e.answer("answered", "The model has no drive.", section="parameters")
    said = [f"The drive has {e.say(drive)} of the {e.say(*every, how='sum')} fitted parameters."]
    elsewhere, entries, zero = (f"{MEASURED}/drive_entries{suffix}/value" for suffix in ("_elsewhere", "", "_at_zero"))
    if e.has(elsewhere, entries):
        said.append(
            f"{e.say(elsewhere)} of its {e.say(entries)} entries go from a unit to a neuron that is not one of that "
            "unit's" + (f"; {e.say(zero)} entries are 0 after the fit." if e.get(zero) else ".")
        )
    elif e.get("config.json#/model/drive") == "anatomical":
        said.append("It reaches a neuron only from the units that read it.")
    said.append(f"What its removal does takes another fit (run `{FULL}`, or `connfit fit ... --drive none`).")
    return e.answer("partly", *said, section="parameters")


def why_learn_strengths(e: Evidence) -> Answer:
    """Strengths fixed to counts, started from counts, and free."""
    start = e.get("config.json#/model/weights")
    learned = (e.get("#/parameters/weights") or 0) > 0
    said = []
    if start is not None:
        words = {
            "counts": "proportional to synapse counts",
            "input_fraction": "as shares of each neuron's input synapses",
        }
        said.append(
            f"This fit started its strengths {words.get(start, 'at random')} and "
            f"{'learned them all' if learned else 'left them there'}."
        )
    return e.answer(
        "not answerable",
        *said,
        f"Whether learning them pays takes fits with fixed and with free strengths (run `{FULL}`).",
    )


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
    return e.answer("not answerable", *said, f"A fit of each takes `{FULL}`.")
