"""`connfit gradcheck`: gradients, cost and learning curves of all rules on one model and its recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from connfit.checkpoint import write_json
from connfit.gradient_fidelity import check_steps_fit, choose_segments, gradient_fidelity, rules_to_compare
from connfit.job import Job
from connfit.learn import PRESETS, Windowed
from connfit.learning_curves import learning_curves
from connfit.models.base import Params
from connfit.run import load_fit, load_job


def job_of_run(folder: Path) -> tuple[Job, Params | None]:
    """The job of a run directory, and its fitted parameters if the fit has finished.

    Raises
    ------
    DataError
        If the directory holds no run, or its data have changed since.
    """
    finished = (folder / "parameters.npz").exists()
    return load_job(folder), load_fit(folder).params if finished else None


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
    on_progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure on a job's model and recordings, and write `gradient_fidelity.json` and its figures.

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
        Epochs of a fit with each rule at the K of the job's learner; 0: none.

    Returns
    -------
    dict
        What was written.
    """
    from connfit import __version__
    from connfit.report.gradient_figure import write_figures

    say = on_progress or (lambda _: None)
    steps = frames * job.cohort.substeps
    rules = rules_to_compare(steps, windows, trace_decay=job.learner.trace_decay)
    names = ("d-rtrl", "pp-prop", "hybrid", "tbptt")
    # Factors per neuron do not know when a neuron's state was replaced.
    if job.model.state_forcing and job.model.correction is None:
        rules = tuple(rule for rule in rules if rule.learner.carry != "factorised")
        names = tuple(name for name in names if name != "pp-prop")
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
    record: dict[str, Any] = {
        "connfit": __version__,
        "dataset": job.config.data.dataset or job.connectome.name,
        "surrogate": bool(job.connectome.notes.get("surrogate", False)),
        "seed": job.config.seed,
        "neurons": job.model.neurons,
        "connections": job.model.connections,
        "steps": steps,
        "warmup_frames": warmup,
        "phase": "free-running" if free_run else "teacher-forced",
        "segments": [{key: getattr(one, key) for key in ("recording", "start", "stop")} for one in chosen],
        "trained": list(job.trained),
        "parameters": {
            state: gradient_fidelity(
                job.model, params, job.cohort, rules, chosen, warmup_frames=warmup, free_run=phase,
                trained=job.trained, on_progress=lambda label, state=state: say(f"{state}: {label}"),
            )
            for state, params in at.items()
        },
    }  # fmt: skip
    if curve_epochs:
        k, decay = job.learner.window, job.learner.trace_decay
        config = msgspec.structs.replace(job.config.train, epochs=curve_epochs, free_run_epochs=0, patience=None)
        record["learning_curves"] = learning_curves(
            job.model, job.params, job.cohort,
            {name: Windowed(k, *PRESETS[name], trace_decay=decay) for name in names}, config,
            trained=job.trained, seed=job.config.seed, on_progress=lambda label: say(f"learning curve: {label}"),
        )  # fmt: skip
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "gradient_fidelity.json", record)
    write_figures(record, out / "figures")
    return record
