"""`connfit gradcheck`: gradients, cost and learning curves of all rules on one model and its recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import msgspec

from connfit._io import write_json
from connfit._system.claim import claims
from connfit.analysis.gradients.gradient_fidelity import (
    check_steps_fit,
    choose_segments,
    gradient_fidelities,
    rules_to_compare,
)
from connfit.analysis.gradients.gradient_results import GradientFidelity, RuleLeftOut
from connfit.analysis.gradients.learning_curves import check_can_choose, learning_curves
from connfit.analysis.gradients.learning_trials import Bench, Contender
from connfit.config import LearnerConfig
from connfit.errors import ConfigError
from connfit.models.base import Params
from connfit.training.learners import IMMEDIATE_WINDOW, RULES, Learner, WindowedLearner, preset
from connfit.training.optimiser import LABELS, OPTIMISERS
from connfit.training.problem import Job
from connfit.training.runs import load_fit, load_job


def job_of_run(folder: Path) -> tuple[Job, Params | None]:
    """Load the job of a run directory, and its fitted parameters if the fit has finished.

    Raises
    ------
    DataError
        If the directory holds no run, or its data have changed since.
    """
    finished = (folder / "parameters.npz").exists()
    return load_job(folder), load_fit(folder).params if finished else None


def rules_to_fit(
    job: Job, optimisers: Sequence[str] = tuple(OPTIMISERS)
) -> tuple[tuple[Contender, ...], str, tuple[RuleLeftOut, ...]]:
    """List all rules with each optimiser, the label of the one that the others are compared with, and rules left out.

    Rules have the K of the job's learner; immediate has 1, and beside it stands the same rule with the K of the others,
    to separate how often parameters are updated from which steps get credit. The rule to compare with is the job's
    own, or hybrid where that has no name.
    """
    own = job.learner
    longest = max(each.require_parts().train[1] for each in job.cohort.recordings) * job.cohort.substeps
    k = own.window if IMMEDIATE_WINDOW < own.window < longest else LearnerConfig().window
    learners: dict[str, Learner[Any]] = {
        name: rule.learner(k, given=job.config.learner) for name, rule in RULES.items() if rule.window is None
    }
    learners |= {"immediate": preset("immediate"), f"immediate, K = {k}": WindowedLearner(k, "none", "none")}
    left_out: list[RuleLeftOut] = []
    for name in [*learners]:
        try:
            jax.eval_shape(partial(learners[name].start, job.model, 1, job.trained))
        except ConfigError as error:
            left_out.append(RuleLeftOut(name, str(error)))
            del learners[name]
    try:
        batch = min(job.config.train.batch or len(job.cohort.recordings), len(job.cohort.recordings))
        check_steps_fit(job.model, job.params, longest * batch, 1)
        if k < longest:
            learners["bptt"] = preset("bptt", window=longest)
    except ConfigError as error:
        left_out.append(RuleLeftOut("bptt", str(error)))
    first = job.config.train.optimiser
    contenders = tuple(
        Contender(
            name.partition(",")[0],
            name if optimiser == first else f"{name}, {LABELS[optimiser]}",
            learner,
            optimiser,
        )
        for optimiser in (first, *(name for name in optimisers if name != first))
        for name, learner in learners.items()
    )
    same = [name for name, rule in learners.items() if (type(rule), rule.dials) == (type(own), own.dials)]
    # Truncated and full BPTT differ in K alone, as do both kinds of immediate.
    nearest = [name for name in same if learners[name].window == own.window] or same or [*learners]
    return contenders, nearest[0], tuple(left_out)


@claims("out", make=True)
def check_gradients(
    job: Job,
    out: str | Path,
    *,
    fitted: Params | None = None,
    epochs: int = 0,
    frames: int = 200,
    segments: int = 8,
    windows: Sequence[int] | None = None,
    free_run: bool = False,
    curve_epochs: int = 0,
    optimisers: Sequence[str] = tuple(OPTIMISERS),
    on_plan: Callable[[str], None] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> GradientFidelity:
    """Measure on a job's model and recordings, and write `gradient_fidelity.json`.

    Parameters
    ----------
    out
        Folder.
    fitted
        Parameters after a fit, at which everything is measured a second time.
    epochs
        Without `fitted`: teacher-forced epochs of a fit with the job's own learner, after which to measure; 0: none.
    windows
        K, see `rules_to_compare`.
    free_run
        Measure as the free-running phase of the fit trains, with stretches on the model's own predictions.
    curve_epochs
        Epochs of the fits with each rule, see `connfit.analysis.gradients.learning_curves`; 0: none.
    optimisers
        Those that each rule is fitted with.
    on_plan
        Called with what the learning curves will take, before they begin.
    """
    from connfit._version import __version__

    say = on_progress or (lambda _: None)
    if curve_epochs:
        check_can_choose(job.cohort)
    steps = frames * job.cohort.substeps
    rules = rules_to_compare(steps, windows, trace_decay=job.config.learner.trace_decay)
    # Factors per neuron do not know when a neuron's state was moved.
    if job.model.forces and job.model.correction is None:
        rules = tuple(rule for rule in rules if rule.learner.follows_state_forcing)
    chosen = choose_segments(job.cohort, frames, segments)
    check_steps_fit(job.model, job.params, steps, segments)
    warmup = min(job.config.train.warmup_frames, frames // 2)
    if fitted is None and epochs:
        say(f"fitting {epochs} epochs")
        short = msgspec.structs.replace(job.config.train, epochs=epochs, free_run_epochs=0)
        fitted = replace(job, config=msgspec.structs.replace(job.config, train=short)).fit().params
    train = job.config.train
    phase = (train.forced_frames, train.free_run_frames) if free_run else None
    at = {"start": job.params} if fitted is None else {"start": job.params, "fitted": fitted}
    fidelity = GradientFidelity(
        connfit=__version__,
        dataset=job.config.data.dataset or job.connectome.name,
        surrogate=bool(job.connectome.notes.get("surrogate", False)),
        seed=job.config.seed,
        neurons=job.model.neurons,
        connections=job.model.connections,
        steps=steps,
        warmup_frames=warmup,
        phase="free-running" if free_run else "teacher-forced",
        segments=chosen,
        trained=tuple(job.trained),
        parameters=gradient_fidelities(
            job.model, at, job.cohort, rules, chosen, warmup_frames=warmup, free_run=phase, trained=job.trained,
            on_progress=say,
        ),
    )  # fmt: skip
    if curve_epochs:
        config = msgspec.structs.replace(job.config.train, epochs=curve_epochs, free_run_epochs=0, patience=None)
        contenders, reference, left_out = rules_to_fit(job, optimisers)
        bench = Bench(job.model, job.params, job.cohort, config, job.config.evaluate, job.trained, job.config.seed)
        curves = learning_curves(
            bench, contenders, reference, on_plan=on_plan, on_progress=lambda label: say(f"learning curves: {label}")
        )
        fidelity = replace(fidelity, learning_curves=replace(curves, left_out=left_out))
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "gradient_fidelity.json", fidelity)
    return fidelity
