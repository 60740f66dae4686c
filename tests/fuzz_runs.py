"""Files of run directories, of studies and of surrogates, each damaged while the others are whole, for `fuzz`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from fuzz import Kind
from report_run import complete_run
from small import write_files
from test_fly_surrogate import small_store

from connfit import config as configuration
from connfit._io import as_result, plain, read_json, write_arrays, write_json
from connfit.analysis.brain_analysis import Analysis
from connfit.datasets.given_data import GivenData
from connfit.datasets.loading import recordings_from_config
from connfit.datasets.synthetic.fly.fly_store import FlySurrogate
from connfit.evaluation.evaluate_run import FILE as METRICS
from connfit.evaluation.squared_errors import PredictionErrors
from connfit.evaluation.study.seed_result import PREDICTIONS, SCORES, Done, SeedResult
from connfit.evaluation.study.tasks import ASKED, Task
from connfit.report.assemble import texts
from connfit.report.figures.picture_budget import DRAWN, draw_all
from connfit.report.result_types import Questions
from connfit.report.run_files import ANALYSIS, RunFiles
from connfit.training import runs
from connfit.training.checkpoints import write_state
from connfit.training.fit import FitState
from connfit.training.fitted import Fit
from connfit.training.learning_rates import Rates
from connfit.training.optimiser import OPTIMISERS

FEWER = (
    "train.epochs=2", "train.free_run_epochs=0", "evaluate.baselines=[]", "evaluate.left_out_units=0",
    "evaluate.horizons=[1]",
)  # fmt: skip


def run_kinds(folder: Path) -> dict[str, Kind]:
    """Files of a complete run, of a fit to be read or gone on with, of a study's task, and of a surrogate."""
    return _reported(folder) | _finished(folder) | _task(folder) | _surrogate(folder)


def beside(
    folder: Path, whole: Path, names: Sequence[str], use: Callable[[Path], object], what: str
) -> dict[str, Kind]:
    """Kinds for files of a folder that is whole but for one of them."""

    def kind(name: str) -> Kind:
        def read(path: Path) -> None:
            copy = folder / f"copy-{whole.name}"
            if not copy.exists():
                shutil.copytree(whole, copy)
            try:
                shutil.copyfile(path, copy / name)
                use(copy)
            finally:
                shutil.copyfile(whole / name, copy / name)

        return Kind(Path(name).suffix, ((whole / name).read_bytes(),), read)

    return {f"{what}/{name}": kind(name) for name in names}


def _reported(folder: Path) -> dict[str, Kind]:
    whole = complete_run(folder / "reported")
    (whole / "analysis").mkdir()
    analysis = example(Analysis)
    analysis["stability"]["matrices"] = {"weights": "of the weights"}
    write_json(whole / ANALYSIS, analysis)
    (whole / "figures").mkdir()
    write_json(whole / "figures" / DRAWN, {"weights": "connfit 0.1.0: weights"})
    names = (
        METRICS, "record.json", "config.json", "history.csv", "forecasts.npz", "parameters.npz",
        "parameters_initial.npz", "connectome.h5", ANALYSIS, "gradient_fidelity.json", "study/study.json",
        "recovery/recovery.json", "measured/made/scores.json", "record_next/record_next.json",
        "simulations/silence-id-n1/perturbation.json",
        "simulations/silence-id-n1/perturbation.npz",
    )  # fmt: skip
    found = beside(folder, whole, names, lambda run: texts(RunFiles.read(run)), "report")
    found |= beside(folder, whole, (f"figures/{DRAWN}",), lambda run: draw_all({}, run / "figures"), "report")
    write_json(folder / "questions.json", example(Questions))
    good = ((folder / "questions.json").read_bytes(),)
    return found | {"report/questions.json": Kind(".json", good, lambda path: read_json(path, Questions))}


def _finished(folder: Path) -> dict[str, Kind]:
    """A fit of two epochs, as far as its files say; nothing is trained for it."""
    (folder / "data").mkdir()
    config = configuration.override(configuration.read(write_files(folder / "data")), FEWER)
    whole = folder / "fitted"
    (whole / runs.CHECKPOINT.parent).mkdir(parents=True)
    job = runs.prepare(config)
    runs._write_start(job, whole, "connfit fit")
    row = {
        "epoch": 0, "phase": "teacher-forced", "train_loss": 1.0, "validation_loss": None, "validation_skill": None,
        "selection": None, "seconds": 0.5,
    }  # fmt: skip
    history, rates = (row, {**row, "epoch": 1, "selection": 0.25}), Rates(0.01, {}, {})
    own = {key: job.params[key] for key in ("weights", "bias", "drive", "log_time_constants")}
    state = FitState(
        own, OPTIMISERS["adam"].init(own), {key: np.asarray(value) for key, value in own.items()}, epoch=2,
        best_value=0.25, best_epoch=1, history=history, rates=rates,
    )  # fmt: skip
    write_state(whole / runs.CHECKPOINT, state, "adam", runs.read_record(whole).identity)
    fit = Fit(job.model, job.params, job.params, job.cohort, history, {"ms_per_step": 1.0}, rates, 1, job)
    runs._write_end(job, whole, fit)

    def load(run: Path) -> None:
        runs.load_fit(run)
        runs._state(runs.load_job(run), run)

    names = ("config.json", "record.json", "parameters.npz", "checkpoints/latest.npz")
    given = folder / "given"
    GivenData(job.connectome, job.cohort.recordings).save(given)

    def saved(copy: Path) -> None:
        recordings_from_config(configuration.from_dict({"data": {"saved": str(copy)}}).data)

    return beside(folder, whole, names, load, "fit") | beside(folder, given, ("recordings.npz",), saved, "saved")


def _task(folder: Path) -> dict[str, Kind]:
    """What one row of a study leaves."""
    config = configuration.from_dict({"data": {"dataset": "demo"}})
    whole = folder / "study-task"
    task = Task("mean", "baseline", 0, str(whole), config, "0123456789abcdef")
    whole.mkdir()
    write_json(whole / ASKED, msgspec.to_builtins(task))
    ones = {1: np.ones((9, 3))}
    of_frames = ({1: np.arange(9)}, {1: np.ones(9)}, {1: np.full(9, 2.0)}, {1: np.full(9, 3)})
    errors = PredictionErrors("movie", "test", *of_frames, {2: "too short"}, ones, ones)
    write_arrays(whole / PREDICTIONS, {"recordings": np.array(1), **errors.to_arrays("0.errors.")})
    write_json(whole / SCORES, SeedResult(row="mean", scores={"median_unit_skill": {"1": 0.5}}))

    def use(copy: Path) -> None:
        if replace(task, folder=str(copy)).done():
            done = Done.read(copy)
            for error in done.errors:
                [(error.skill(h), error.unit_skill(h)) for h in error.horizons]

    return beside(folder, whole, (ASKED, SCORES, PREDICTIONS), use, "study")


def _surrogate(folder: Path) -> dict[str, Kind]:
    """A fly surrogate on disk."""
    whole = small_store(folder / "store", animals=1).folder

    def use(copy: Path) -> None:
        store = FlySurrogate.read(copy)
        np.asarray(store.real())
        store.connectome()
        store.teacher()
        store.statistics()
        store.recording("1")

    names = ("made.json", "statistics.json", "real.npy", "recordings/1.npz")
    return beside(folder, whole, names, use, "surrogate")


def example(kind: Any) -> Any:
    """A value of a type, with something in every table and list of it."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return example(inside[0])
    if origin in (Union, UnionType):
        return example(next(of for of in inside if of is not NoneType))
    if origin is Literal:
        return inside[0]
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        made = {of.name: example(hints[of.name]) for of in fields(kind)}
        try:
            as_result(made, kind)
        except msgspec.ValidationError:
            return plain(kind())  # Options have ranges, and defaults within them.
        return made
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {name: example(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}
    if origin is tuple:
        return [example(of) for of in inside if of is not Ellipsis]
    if origin in (list, Sequence):
        return [example(inside[0])]
    if origin in (dict, Mapping):
        return {str(example(inside[0])): example(inside[1])}
    return {int: 1, float: 0.5, bool: False, str: "data_units"}.get(kind, 1)
