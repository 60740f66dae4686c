"""The whole study of a finished run: plan, fits, table, reproducibility, verdict; `study.json` and `metrics.json`."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from connfit import config as configuration
from connfit._io import plain, replacing_together, write_json
from connfit._system.claim import claims
from connfit._system.paths import user_path
from connfit._system.side_by_side import cores
from connfit.config import Config
from connfit.datasets.loading import recording_names
from connfit.errors import ConfigError, DataError
from connfit.evaluation.baselines import BASELINES, check_baselines
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.evaluation.evaluated import FILE as METRICS
from connfit.evaluation.study.executor import ONE_THREAD, Executor
from connfit.evaluation.study.local_executor import LocalExecutor
from connfit.evaluation.study.messages import Failure
from connfit.evaluation.study.reproducibility import reproducibility
from connfit.evaluation.study.rows import CONNECTOME, FITTED, PlannedRow, row_config, study_config, study_rows
from connfit.evaluation.study.runner import StudyProgress, run_tasks
from connfit.evaluation.study.seed_result import Done
from connfit.evaluation.study.short_form import compact
from connfit.evaluation.study.study import FILE, Budget, Performance, Study
from connfit.evaluation.study.study_table import study_table
from connfit.evaluation.study.tasks import PART, Task
from connfit.evaluation.study.verdict import verdict_sentences
from connfit.training.memory import memory_limit
from connfit.training.problem import Job
from connfit.training.runs import load_job

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
    scheduler
        Address of a scheduler of dask, or the file that it wrote, on whose workers the fits run; None: on this machine.
    """

    seeds: int = 3
    rows: tuple[str, ...] = ()
    jobs: int | None = None
    settings: tuple[str, ...] = ()
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"seeds = {self.seeds} must be 1 or more")
        if self.jobs is not None and self.jobs < 1:
            raise ConfigError(f"jobs = {self.jobs} must be 1 or more")
        if self.jobs is not None and self.scheduler is not None:
            raise ConfigError("jobs is of this machine: with a scheduler each thread of its workers does a fit")


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
    executor
        Where fits are done, and how many at once.
    seconds
        Estimate of all fits, from the time that the run itself took; None where that is not known.
    about
        A study that holds the facts of the data and nothing else.
    """

    folder: Path
    config: Config
    rows: tuple[PlannedRow, ...]
    tasks: tuple[Task, ...]
    executor: Executor
    seconds: float | None
    about: Study


def plan_study(folder: str | Path, options: StudyOptions | None = None) -> StudyPlan:
    """Plan the fits of a study; starts nothing.

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
    folder, options = user_path(folder), options or StudyOptions()
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
    executor = _executor(job, options)
    estimate = _estimate(folder, tasks, config, executor.jobs)
    about = Study(
        dataset=job.config.data.dataset or job.connectome.name,
        surrogate=bool(job.connectome.notes.get("surrogate", False)),
        neurons=job.connectome.n,
        connections=job.connectome.m,
        recordings=tuple(recording.name for recording in job.cohort.recordings),
        recordings_available=_available(job.config),
        units=len(job.cohort.units),
        observations=job.observations(),
    )
    return StudyPlan(folder, config, rows, tuple(tasks), executor, estimate, about)


def _available(config: Config) -> int | None:
    """Recordings that the dataset of a run has, or files that it names; None where that is not known."""
    if config.data.recording_files is not None:
        return len(config.data.recording_files.files)
    if config.data.dataset is None:
        return None
    source = recording_names(config.data.dataset, config.data.recordings)[0].partition("/")[0]
    return len(recording_names(source, ("all",)))


def _seeds(row: PlannedRow, seeds: Sequence[int]) -> Sequence[int]:
    return seeds[:1] if row.group == "baseline" and not BASELINES[row.name].seeded else seeds


def _task(folder: Path, row: PlannedRow, base: Config, of_run: Config, seed: int, fingerprint: str) -> Task:
    config = row_config(row, base, seed) if row.group != "baseline" else configuration.override(base, [f"seed={seed}"])
    # The run itself counts as a seed only if nothing differs but the pace of its checkpoints and its devices.
    pace = [f"train.{key}={configuration.as_json(getattr(config.train, key))}" for key in _PACE]
    same = row.name == CONNECTOME and configuration.override(of_run, pace) == config
    place = folder / FOLDER / ("baselines" if row.group == "baseline" else "runs") / f"{row.name}-seed{seed}"
    run = str(folder) if same else None
    return Task(row.name, row.group, seed, str(place), config, fingerprint, run)


_PACE = ("checkpoint_every", "check_memory", "devices")


def _executor(job: Job, options: StudyOptions) -> Executor:
    """Where fits are done, how many at once, and with how many threads each."""
    large = job.model.neurons >= ONE_JOB_NEURONS
    if options.scheduler is not None:
        from connfit.evaluation.study.cluster_executor import ClusterExecutor

        return ClusterExecutor.at(options.scheduler, {} if large else ONE_THREAD)
    if options.jobs is None and large:
        return LocalExecutor(1, {})
    need = job.memory().total
    fit_in = max(1, int(0.8 * memory_limit() // need))
    jobs = min(cores() if options.jobs is None else options.jobs, fit_in)
    return LocalExecutor(jobs, ONE_THREAD if jobs > 1 or not large else {})


def _estimate(folder: Path, tasks: Sequence[Task], config: Config, jobs: int) -> float | None:
    """Seconds that the fits will take if each takes what the run took per epoch, with validation and scores beside."""
    try:
        with (folder / "history.csv").open(newline="") as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return None
    if not seconds:
        return None
    per_epoch = sum(seconds) / len(seconds)
    epochs = min(config.train.epochs + config.train.free_run_epochs, int(1.2 * len(seconds)))
    fits = [task for task in tasks if task.group in FITTED and not task.done()]
    # Compilation, validation, checkpoints and scores take about half as long again, and 5 s in any case.
    return len(fits) * (1.5 * per_epoch * epochs + 5) / jobs


@claims("folder")
def run_study(
    folder: str | Path,
    options: StudyOptions | None = None,
    *,
    on_progress: Callable[[StudyProgress], None] = lambda _: None,
) -> Study:
    """Fit every row with every seed, and write `study/study.json` and the key `study` of `metrics.json`.

    Each (row, seed) is an ordinary run directory in `study/runs/`. What is finished is not done again; what was
    interrupted goes on where it was.

    Parameters
    ----------
    folder
        Of a finished and evaluated run on the real connectome.
    on_progress
        Called about once a second.

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
    failures = run_tasks(plan.tasks, plan.executor, logs=out / "logs", on_progress=on_progress)
    took = Performance(time.perf_counter() - began, plan.executor.jobs, plan.executor.threads)
    study = replace(summarise(plan, failures), performance=took)
    with replacing_together(plan.folder / METRICS, plan.folder / FILE) as (metrics, record):
        write_json(metrics, replace(evaluation, study=plain(compact(study))))
        write_json(record, study)
    return study


def summarise(plan: StudyPlan, failures: Mapping[str, Failure]) -> Study:
    """Build the study from the folders of the tasks, without the time that it took.

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
    ours, model, train = done.get(CONNECTOME, {}), plan.config.model, plan.config.train
    study = replace(
        plan.about,
        connfit=__version__,
        run=str(plan.folder),
        part=PART,
        seeds=tuple(sorted({task.seed for task in plan.tasks})),
        weight_spread=model.weight_spread,
        budget=Budget(**{option.name: getattr(train, option.name) for option in fields(Budget)}),
        measures=table.measures,
        rows=table.rows,
        comparisons=table.comparisons,
        strongest=table.strongest,
    )
    runs = {seed: Path(of.result.run) for seed, of in sorted(ours.items()) if of.result.run}
    return replace(
        study,
        verdict=verdict_sentences(study, model),
        reproducibility=reproducibility(runs, ours, plan.folder),
    )
