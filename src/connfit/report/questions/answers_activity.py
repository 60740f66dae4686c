"""Answers to the last questions: what is learnt from a fit, and what is not."""

from __future__ import annotations

from connfit.report.questions.evidence import Answer, Evidence
from connfit.report.run_files import SIMULATIONS
from connfit.report.sections.limits import all_limits

SIMULATE = "connfit simulate DIR --silence SET"


def unseen_perturbations(e: Evidence) -> Answer:
    """Simulated experiments; no recording shows one."""
    names = [name.split("/")[1] for name in e.documents if name.startswith("simulations/")]
    if not names:
        return e.answer(
            "not answerable",
            f"No experiment was simulated (run `{SIMULATE}`), and these data hold no measured response.",
        )
    said = []
    for name in names[:3]:
        record = SIMULATIONS.replace("*", name)
        top = f"{record}#/changed_neurons/0"
        unit = f"{record}#/units/0"
        held = e.say(f"{record}#/held_neurons")
        what = f"{e.name(name, record)}: {held} neuron{'' if e.get(f'{record}#/held_neurons') == 1 else 's'} held"
        if e.has(f"{top}/id", f"{top}/change", f"{unit}/name", f"{unit}/change"):
            label = " ".join(one for one in (e.get(f"{top}/type"), e.get(f"{top}/id")) if one)
            what += (
                f", the unit that changes most is {e.name(e.get(f'{unit}/name'), unit)} "
                f"({e.say(f'{unit}/change')}), the neuron {e.name(label, top)} ({e.say(f'{top}/change')})"
            )
        said.append(f"{what}.")
    return e.answer(
        "partly",
        "The model says what would happen:",
        *said,
        "Whether it is right is not answerable from these data: they hold no measured response to a perturbation.",
        section="perturbation",
    )


def sustaining_neurons(e: Evidence) -> Answer:
    """Which neurons and synapses keep activity up, over seeds."""
    return e.answer(
        "not answerable",
        "It takes silencing in fits of several seeds: `connfit fit ... --seed 1` and so on, `connfit simulate DIR "
        "--silence SET` on each, and the comparison of their ranked neurons. A fit of one seed ranks neurons "
        "(perturbation_neurons.csv), but nothing says how much of that another fit shares.",
        section="perturbation",
    )


def stated_limitations(e: Evidence) -> Answer:
    """How many limitations the report found in the numbers of the run."""
    found = all_limits(e.documents)
    if not found:
        return e.answer("answered", "The checks of this report found none.", section="limitations")
    count = e.name(str(len(found)))
    return e.answer(
        "answered",
        f"They are listed: {count} that follow{'s' if len(found) == 1 else ''} from the numbers of this run.",
        section="limitations",
    )
