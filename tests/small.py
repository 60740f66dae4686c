"""A small brain with a hidden teacher: as objects, and as files of a user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from networks import Problem, dense_matrices, random_connectome

from connfit import config as configuration
from connfit.connectome import Connectome
from connfit.models import RateModel, Readout, init_params
from connfit.models.base import Params
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.training import learning_rates, recipe

FRAME_RATE = 2.0
NEURONS, REGIONS, UNITS, FRAMES = 40, 5, 8, 200


def regional_connectome(seed: int = 0, neurons: int = NEURONS, regions: int = REGIONS) -> Connectome:
    """A random brain whose neurons are called n0, n1, ... and lie in regions A, B, ..."""
    brain = random_connectome(np.random.default_rng(seed), neurons, 5)
    table = brain.neurons.assign(region=[chr(65 + k % regions) for k in range(neurons)])
    return replace(brain, neurons=table)


@dataclass(frozen=True, eq=False)
class Plain:
    """A rate model as dense NumPy matrices: the equations, nothing else."""

    w: np.ndarray
    e: np.ndarray
    c: np.ndarray
    alpha: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, connectome: Connectome, readout: Readout, model: RateModel, params: Params) -> Plain:
        problem = Problem(connectome, readout, model, params, None)  # type: ignore[arg-type]  # no window is needed
        w, e, c = (np.asarray(a, np.float64) for a in dense_matrices(problem, params))
        alpha = np.exp(-model.step_s / np.exp(np.asarray(params["log_time_constants"], np.float64)))
        return cls(w, e, c, alpha, np.asarray(params["bias"], np.float64))

    def step(self, rates: np.ndarray, unit_activity: np.ndarray) -> np.ndarray:
        """r(t) from r(t-1) [N] and u(t-1) [P]."""
        x = self.w @ rates + self.bias + np.maximum(self.e @ unit_activity, 0)
        return self.alpha * rates + (1 - self.alpha) * np.maximum(x, 0)

    def record(self, rng: np.random.Generator, frames: int, noise: float) -> np.ndarray:
        """[frames, P] what the model does when it sees its own prediction plus noise."""
        rates, u = np.full(len(self.alpha), 0.5), np.full(len(self.c), 0.5)
        out = []
        for _ in range(frames + 50):
            rates = self.step(rates, u)
            u = np.maximum(self.c @ rates + noise * rng.normal(size=len(u)), 0)
            out.append(u)
        return np.array(out[50:])


@lru_cache(maxsize=1)
def teacher() -> tuple[Connectome, tuple[Recording, ...]]:
    """A brain and two recordings of eight of its neurons, made by a model that no test is shown."""
    brain = regional_connectome()
    names = tuple(f"n{k}" for k in range(UNITS))
    readout = Readout.by_name(brain, names)
    model = RateModel.from_connectome(brain, readout, step_s=1 / FRAME_RATE)
    params = init_params(model, brain, readout, spectral_radius=0.6)
    rng = np.random.default_rng(5)
    drive = 0.6 * np.asarray(params["drive"]) + 0.35 * rng.random((NEURONS, UNITS)) * (
        rng.random((NEURONS, UNITS)) < 0.2
    )
    params = {**params, "drive": jnp.asarray(drive), "bias": jnp.full(NEURONS, 0.1)}
    plain = Plain.of(brain, readout, model, params)
    movies = tuple(
        Recording(f"movie {k}", plain.record(rng, FRAMES, 0.1).astype(np.float32), names, FRAME_RATE) for k in (1, 2)
    )
    return brain, tuple(movie.split(train=0.6, validation=0.2) for movie in movies)


@dataclass(frozen=True, eq=False)
class Student:
    """A model that is to be fitted to the teacher's recordings, untrained."""

    connectome: Connectome
    readout: Readout
    model: RateModel
    params: Params
    cohort: Cohort

    def plain(self, params: Params | None = None) -> Plain:
        """The same model as dense matrices."""
        return Plain.of(self.connectome, self.readout, self.model, params or self.params)


@lru_cache(maxsize=4)
def student(*, substeps: int = 1, drive: str = "dense") -> Student:
    """The student of the teacher's two recordings."""
    brain, movies = teacher()
    cohort = Cohort.from_recordings(movies, substeps=substeps)
    readout = Readout.by_name(brain, cohort.units)
    model = RateModel.from_connectome(brain, readout, step_s=cohort.step_s, drive=drive)
    params = init_params(model, brain, readout, mean_activity=cohort.mean_activity())
    return Student(brain, readout, model, params, cohort)


def write_files(folder: Path, *, whole_evaluation: bool = False) -> Path:
    """The teacher's brain and recordings as a user's own tables, and a configuration that fits them.

    Parameters
    ----------
    whole_evaluation
        Fit all baselines of a user's evaluation, and what units that are left out are compared with.
    """
    brain, movies = teacher()
    ids = brain.neurons["id"].to_numpy()
    transmitter = np.where(brain.signs > 0, "acetylcholine", "gaba")
    pd.DataFrame({"id": ids, "region": brain.neurons["region"], "transmitter": transmitter}).to_csv(
        folder / "neurons.csv", index=False
    )
    pd.DataFrame({"pre": ids[brain.indices], "post": ids[brain.posts], "synapses": brain.counts}).to_csv(
        folder / "edges.csv", index=False
    )
    for movie in movies:
        np.savez(
            folder / f"{movie.name.replace(' ', '')}.npz",
            values=movie.values, units=np.array(movie.units), frame_rate=movie.frame_rate,
        )  # fmt: skip
    path = folder / "own.toml"
    path.write_text(CONFIG if whole_evaluation else CONFIG + FEW_BASELINES)
    return path


def finished_run(files: Path, *, epochs: int) -> Path:
    """A finished and evaluated run of a user's own files, which are written here too."""
    from connfit.evaluation.evaluate_run import evaluate_run
    from connfit.training import runs

    write_files(files)
    config = configuration.override(
        configuration.read(files / "own.toml"),
        [f"train.epochs={epochs}", "train.free_run_epochs=1", 'evaluate.baselines=["mean"]', "train.patience=null"],
    )
    evaluate_run(runs.start(config, files / "run"), files / "run")
    return files / "run"


def raw_movies() -> list[Recording]:
    """The teacher's recordings before they were cut, with the names of their files."""
    return [replace(movie, name=movie.name.replace(" ", ""), parts=None) for movie in teacher()[1]]


def search_little(monkeypatch: pytest.MonkeyPatch, *, values: int = 2) -> None:
    """Let the recipe choose between few values, in tests of what comes after it."""
    grid = {name: every[:values] for name, every in recipe.GRID.items()}
    monkeypatch.setattr(recipe, "GRID", grid)
    monkeypatch.setattr(learning_rates, "RATES", learning_rates.RATES[:values])


def coarse_grid(replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """Look for avalanches at two thresholds and one bin width, in tests of what does not depend on them."""
    from connfit.analysis import pipeline
    from connfit.analysis.analysis_options import REFERENCE, THRESHOLDS
    from connfit.analysis.criticality import signature_table

    replace(signature_table, "THRESHOLDS", (REFERENCE, THRESHOLDS[-1]))
    for module in (signature_table, pipeline):
        replace(module, "BINS", (1,))


def first_fast(values: Iterable[Any], fast: int) -> list[Any]:
    """Parameters of a test of which all but the first so many are slow, for the first cover most of what it does."""
    each = list(values)
    tuples = [one if isinstance(one, tuple) else (one,) for one in each[fast:]]
    return [*each[:fast], *(pytest.param(*one, marks=pytest.mark.slow) for one in tuples)]


def study_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do the tasks of studies in this process, in tests of what comes out of them; messages pass as between two."""
    from connfit.evaluation.study import run_study
    from connfit.evaluation.study.messages import Failed, Failure, decoded, encoded
    from connfit.evaluation.study.tasks import Task
    from connfit.evaluation.study.worker import outcome

    def run_tasks(tasks: Sequence[Task], *_: object, **__: object) -> dict[str, Failure]:
        done = [decoded(encoded(outcome(task, lambda _: None))) for task in tasks if not task.done()]
        return {one.task: one.why for one in done if isinstance(one, Failed)}

    monkeypatch.setattr(run_study, "run_tasks", run_tasks)


OPTIONS = {
    "drive_start": "persistence", "time_constant_frames": 0.5, "weights": "counts", "own_shrinkage": 0,
    "drive_ridge": 0, "state_forcing": 0, "window": 8, "epochs": 3, "learning_rate": 0.01, "warmup_frames": 5,
    "train": 0.6, "validation": 0.2, "batch": 1, "seed": 3, "forced_frames": 6, "free_run_frames": 5,
    "free_run_warmup": 10, "free_run_runs": 2, "horizon_starts": 16, "horizons": [1, 2], "var_lags": [1],
    "baselines": ["mean", "persistence", "ar"], "left_out_units": 0,
}  # fmt: skip
"""For `connfit.fit`: what `CONFIG` says, and less of what takes time."""

CONFIG = """\
seed = 3

[data]
sign_rule = "fly-paper"
train = 0.6
validation = 0.2

[data.connectome]
edges = "edges.csv"
neurons = "neurons.csv"
transmitter = "transmitter"
region = "region"

[data.recording_files]
files = ["movie1.npz", "movie2.npz"]

[model]
drive_start = "persistence"
state_forcing = 0
time_constant_frames = 0.5
weights = "counts"
own_shrinkage = 0
drive_ridge = 0

[learner]
window = 8

[train]
epochs = 4
free_run_epochs = 2
batch = 1
learning_rate = 0.01
warmup_frames = 5
forced_frames = 6
free_run_frames = 5

[evaluate]
free_run_warmup = 10
free_run_runs = 2
horizon_starts = 16
horizons = [1, 2]
var_lags = [1]
"""

FEW_BASELINES = """\
baselines = ["mean", "persistence", "ar"]
left_out_units = 0
"""
