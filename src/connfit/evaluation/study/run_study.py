"""The whole study of a finished run: plan, fits, table, reproducibility, verdict; `study.json` and `metrics.json`."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from connfit import config as configuration
from connfit._io import read_arrays, write_json
from connfit.config import Config
from connfit.connectome import Connectome
from connfit.datasets.loading import recording_names
from connfit.errors import ConfigError, DataError
from connfit.evaluation.baselines import BASELINES, check_baselines
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.evaluation.evaluated import FILE
from connfit.evaluation.study.reproducibility import agreement, by_part, flat_groups, prediction_agreement, stack_groups
from connfit.evaluation.study.row_status import Failure
from connfit.evaluation.study.rows import CONNECTOME, FITTED, StudyRow, row_config, study_config, study_rows
from connfit.evaluation.study.runner import ONE_THREAD, StudyProgress, run_tasks
from connfit.evaluation.study.short_form import compact
from connfit.evaluation.study.study_table import study_table
from connfit.evaluation.study.tasks import PART, Done, Task, read_json
from connfit.evaluation.study.verdict import verdict_sentences
from connfit.training.memory import memory_limit
from connfit.training.problem import Job
from connfit.training.runs import load_job

FORMAT_VERSION = 2
FOLDER = "study"
ONE_JOB_NEURONS = 20_000
"""From so many neurons on the kernels use all cores: one job at a time, with all threads."""


@dataclass(frozen=True)
class StudyOptions:
    """What a study does.

    Parameters
    ----------
    seeds
        K: each row is fitted with the run's seed and the K - 1 that follow it.
    rows
        Rows that are wanted; empty: all.
    jobs
        Processes at once; None: one per core as far as memory allows, one for big brains.
    settings
        `section.key=value` for all rows, for example another budget.
    """

    seeds: int = 3
    rows: tuple[str, ...] = ()
    jobs: int | None = None
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"seeds = {self.seeds} must be 1 or more")
        if self.jobs is not None and self.jobs < 1:
            raise ConfigError(f"jobs = {self.jobs} must be 1 or more")


@dataclass(frozen=True, eq=False)
class StudyPlan:
    """Everything that a study will do.

    Parameters
    ----------
    folder
        Of the run.
    config
        Of the row `connectome`.
    rows, tasks
        Of the table, and one per row and seed.
    jobs, threads
        Processes at once, and the environment of each.
    seconds
        Estimate of all fits, from the time that the run itself took; None where that is not known.
    facts
        Of the data, for `study.json`.
    """

    folder: Path
    config: Config
    rows: tuple[StudyRow, ...]
    tasks: tuple[Task, ...]
    jobs: int
    threads: Mapping[str, str]
    seconds: float | None
    facts: Mapping[str, Any]


def plan_study(folder: str | Path, options: StudyOptions | None = None) -> StudyPlan:
    """Which fits a study needs; starts nothing.

    Parameters
    ----------
    folder
        Of a finished run on the real connectome.

    Raises
    ------
    DataError
        If there is no finished run, or its data have changed.
    ConfigError
        If the run is of a null connectome, or an option is wrong.
    """
    folder, options = Path(folder), options or StudyOptions()
    job = load_job(folder)
    if not (folder / "parameters.npz").exists():
        raise DataError("the fit has not finished", path=folder, fix=f"Go on with `connfit resume {folder}`")
    config = study_config(job.config, options.settings)
    if config.data != job.config.data:
        raise ConfigError("the data of a study are those of its run: fit another run to study other data")
    check_baselines(config.evaluate)
    rows = study_rows(config, tuple(BASELINES), options.rows)
    seeds = range(config.seed, config.seed + options.seeds)
    fingerprint = job.fingerprint()
    # One seed of all rows after the other: what the first has compiled the others find.
    tasks = [
        _task(folder, row, config, job.config, seed, fingerprint)
        for seed in seeds
        for row in rows
        if seed in _seeds(row, seeds)
    ]
    jobs, threads = _jobs(job, options.jobs)
    estimate = _estimate(folder, tasks, config, jobs)
    facts = {
        "dataset": job.config.data.dataset or job.connectome.name,
        "surrogate": bool(job.connectome.notes.get("surrogate", False)),
        "neurons": job.connectome.n,
        "connections": job.connectome.m,
        "recordings": [one.name for one in job.cohort.recordings],
        "recordings_available": _available(job.config),
        "units": len(job.cohort.units),
        "observations": job.observations(),
    }
    return StudyPlan(folder, config, rows, tuple(tasks), jobs, threads, estimate, facts)


def _available(config: Config) -> int | None:
    """Recordings that the dataset of a run has, or files that it names; None where that is not known."""
    if config.data.recording_files is not None:
        return len(config.data.recording_files.files)
    if config.data.dataset is None:
        return None
    source = recording_names(config.data.dataset, config.data.recordings)[0].partition("/")[0]
    return len(recording_names(source, ("all",)))


def _seeds(row: StudyRow, seeds: Sequence[int]) -> Sequence[int]:
    return seeds[:1] if row.group == "baseline" and not BASELINES[row.name].seeded else seeds


def _task(folder: Path, row: StudyRow, base: Config, of_run: Config, seed: int, fingerprint: str) -> Task:
    config = row_config(row, base, seed) if row.group != "baseline" else configuration.override(base, [f"seed={seed}"])
    # The run itself counts as a seed only if nothing but the pace of its checkpoints differs.
    pace = [f"train.{key}={configuration.as_json(getattr(config.train, key))}" for key in _PACE]
    same = row.name == CONNECTOME and configuration.override(of_run, pace) == config
    place = folder / FOLDER / ("baselines" if row.group == "baseline" else "runs") / f"{row.name}-seed{seed}"
    run = str(folder) if same else None
    return Task(row.name, row.group, seed, str(place), configuration.to_dict(config), fingerprint, run)


_PACE = ("checkpoint_every", "check_memory")


def _jobs(job: Job, wanted: int | None) -> tuple[int, Mapping[str, str]]:
    """Processes at once and the environment of each."""
    if wanted is None and job.model.neurons >= ONE_JOB_NEURONS:
        return 1, {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    need = job.memory().total
    fit_in = max(1, int(0.8 * memory_limit() // need))
    jobs = min(cores if wanted is None else wanted, fit_in)
    return jobs, ONE_THREAD if jobs > 1 or job.model.neurons < ONE_JOB_NEURONS else {}


def _estimate(folder: Path, tasks: Sequence[Task], config: Config, jobs: int) -> float | None:
    """Seconds that the fits will take if each takes what the run took per epoch, with validation and scores beside."""
    try:
        with (folder / "history.csv").open(newline="") as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError):
        return None
    if not seconds:
        return None
    per_epoch = sum(seconds) / len(seconds)
    epochs = min(config.train.epochs + config.train.free_run_epochs, int(1.2 * len(seconds)))
    fits = [task for task in tasks if task.group in FITTED and not task.done()]
    # Compilation, validation, checkpoints and scores take about half as long again, and 5 s in any case.
    return len(fits) * (1.5 * per_epoch * epochs + 5) / jobs


def run_study(
    folder: str | Path,
    options: StudyOptions | None = None,
    *,
    on_progress: Callable[[StudyProgress], None] = lambda _: None,
) -> dict[str, Any]:
    """Fit every row with every seed, and write `study/study.json` and the key `study` of `metrics.json`.

    Each (row, seed) is an ordinary run directory in `study/runs/`. What is finished is not done again; what was
    interrupted goes on where it was.

    Parameters
    ----------
    folder
        Of a finished and evaluated run on the real connectome.
    on_progress
        Called about once a second.

    Returns
    -------
    dict
        What was written to `study.json`, see docs/runs.md.

    Raises
    ------
    DataError
        If there is no finished run, or its data have changed since it or the study was made.
    ConfigError
        If the study was begun with other options.
    """
    options = options or StudyOptions()
    evaluation = read_evaluation(folder)
    plan = plan_study(folder, options)
    began = time.perf_counter()
    out = plan.folder / FOLDER
    failures = run_tasks(plan.tasks, jobs=plan.jobs, logs=out / "logs", threads=plan.threads, on_progress=on_progress)
    study = summarise(plan, failures)
    study["performance"] = {"seconds": time.perf_counter() - began, "jobs": plan.jobs, "threads": dict(plan.threads)}
    write_json(out / "study.json", study)
    write_json(plan.folder / FILE, replace(evaluation, study=compact(study)))
    return study


def summarise(plan: StudyPlan, failures: Mapping[str, Failure]) -> dict[str, Any]:
    """Everything in `study.json` but the time it took, from the folders of the tasks.

    Parameters
    ----------
    failures
        By name of a task that failed: why.
    """
    from connfit._version import __version__

    done: dict[str, dict[int, Done]] = {}
    failed: dict[str, dict[int, Failure]] = {}
    for task in plan.tasks:
        if task.name in failures:
            failed.setdefault(task.row, {})[task.seed] = failures[task.name]
        elif task.done():
            done.setdefault(task.row, {})[task.seed] = Done.read(task.folder)
    table = study_table(plan.rows, done, failed)
    ours = done.get(CONNECTOME, {})
    model, train = plan.config.model, plan.config.train
    model_facts = {key: getattr(model, key) for key in ("strengths", "drive")}
    return {
        "connfit": __version__,
        "format": FORMAT_VERSION,
        "run": str(plan.folder),
        **plan.facts,
        "part": PART,
        "seeds": sorted({task.seed for task in plan.tasks}),
        "weight_spread": model.weight_spread,
        "budget": {
            key: getattr(train, key)
            for key in ("epochs", "free_run_epochs", "patience", "select_on", "learning_rate", "batch")
        },
        **table,
        "verdict": verdict_sentences({**plan.facts, **table, "model": model_facts}),
        "reproducibility": reproducibility(
            {seed: Path(one.facts["run"]) for seed, one in sorted(ours.items())}, ours, plan.folder
        ),
    }


def reproducibility(runs: Mapping[int, Path], done: Mapping[int, Done], folder: Path) -> dict[str, Any]:
    """Agreement of parameters and predictions between the seeds of the connectome model.

    Parameters
    ----------
    runs
        Run directory by seed.
    done
        Predictions by seed.
    folder
        Of the run that is studied, with the connectome.
    """
    if len(runs) < 2:
        return {"groups": [], "reason": f"{len(runs)} seed of the connectome model, 2 are needed"}
    starts = [read_arrays(run / "parameters_initial.npz")[0] for run in runs.values()]
    ends = [read_arrays(run / "parameters.npz")[0] for run in runs.values()]
    stacked = stack_groups(starts, ends)
    groups = [agreement(group, *both) for group, both in stacked.items()]
    regions = []
    if "weights" in stacked:
        connectome = Connectome.load(folder / "connectome.h5")
        region = connectome.neurons["region"].fillna("").astype(str).to_numpy()
        regions = by_part(*stacked["weights"], region[connectome.posts])
    predictions = _prediction_agreements(done)
    flat, sentences = flat_groups(groups, predictions)
    return {
        "seeds": list(runs),
        "groups": [asdict(one) for one in groups],
        "weights_by_region": [asdict(one) for one in regions],
        "predictions": [asdict(one) for one in predictions],
        "flat": list(flat),
        "text": sentences,
    }


def _prediction_agreements(done: Mapping[int, Done]) -> list[Any]:
    """One frame ahead and far ahead, recordings one below the other."""
    arrays = [one.arrays for _, one in sorted(done.items())]
    count = int(arrays[0]["recordings"])
    found = []
    for key in ("one_step", "far"):
        numbers = [number for number in range(count) if f"{number}.{key}" in arrays[0]]
        if not numbers:
            continue
        frames = {1 if key == "one_step" else int(arrays[0][f"{number}.far_frames"]) for number in numbers}
        # Each recording has its own units: all values in one column, each centred where it belongs.
        agreements = [
            prediction_agreement([one[f"{n}.{key}"] for one in arrays], arrays[0][f"{n}.{key}_last"], max(frames))
            for n in numbers
        ]
        known = [one for one in agreements if one.pearson is not None and one.change_pearson is not None]
        if len(known) < 2:
            found.append(known[0] if known else agreements[0])
            continue
        sizes = np.array([one.count for one in known], np.float64)
        found.append(
            replace(
                known[0],
                count=int(sizes.sum()),
                pearson=float(np.average([one.pearson or 0.0 for one in known], weights=sizes)),
                change_pearson=float(np.average([one.change_pearson or 0.0 for one in known], weights=sizes)),
            )
        )
    return found


def read_study(folder: str | Path) -> dict[str, Any]:
    """The study of a run directory.

    Raises
    ------
    DataError
        If there is none.
    """
    path = Path(folder) / FOLDER / "study.json"
    if not path.exists():
        raise DataError("no study here", path=path, fix=f"Run `connfit evaluate {folder} --full`")
    return read_json(path)
