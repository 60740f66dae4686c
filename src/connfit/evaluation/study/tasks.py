"""One row with one seed: fit it, score it on the test part, and keep what the table is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from connfit import config as configuration
from connfit._io import plain, read_arrays, read_json, replacing_together, write_arrays, write_json
from connfit.config import FALLBACK, Config, EvaluateConfig
from connfit.connectome import Connectome
from connfit.datasets.loading import connectome_from_config
from connfit.errors import ConfigError, DataError, first_ten
from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.forecasts import Forecaster
from connfit.evaluation.pooling import Result, mean, pool, pool_each
from connfit.evaluation.predictions import horizon_starts
from connfit.evaluation.scores import score_and_forecast
from connfit.evaluation.squared_errors import PredictionErrors
from connfit.evaluation.study.row_status import explosions, moved, why_identity, why_not_trained
from connfit.evaluation.study.seed_result import FORMAT_VERSION, PREDICTIONS, SCORES, SeedResult
from connfit.evaluation.study.study import format_of
from connfit.recordings import Recording, hold_last
from connfit.training.recipe import Recipe

ASKED = "task.json"
PART = "test"
FAR = 10
"""Frames ahead, at most, at which predictions of several seeds are compared beside one frame."""


@dataclass(frozen=True)
class Task:
    """What a worker is to do: one row with one seed.

    Parameters
    ----------
    row, group, seed
        Of the study.
    folder
        Where everything of it is written.
    config
        Configuration of the fit; for a baseline, of the row `connectome`.
    fingerprint
        Of the data of the run that is studied.
    run
        Folder of a finished run with this very configuration, which is only to be scored; None: fit it.
    """

    row: str
    group: str
    seed: int
    folder: str
    config: Config = field(repr=False)
    fingerprint: str
    run: str | None = None

    @property
    def name(self) -> str:
        """Row and seed."""
        return f"{self.row}-seed{self.seed}"

    def done(self) -> bool:
        """Return whether it has been done before with these options on these data.

        Raises
        ------
        ConfigError
            If its folder was made with other options.
        DataError
            If its folder was made from other data, or is damaged.
        """
        folder = Path(self.folder)
        if not (folder / ASKED).exists():
            return False
        asked = read_json(folder / ASKED, _Asked)
        study = folder.parent.parent
        if asked.fingerprint != self.fingerprint:
            raise DataError(
                "made from other data than the run has now", path=folder, fix=f"Remove {study} to start the study anew"
            )
        # Options that an earlier version did not have are at their defaults.
        before = configuration.to_dict(configuration.from_dict(asked.config)) if asked.config else {}
        different = [key for key, *_ in configuration.differences(before, configuration.to_dict(self.config))]
        if different:
            raise ConfigError(
                f"{folder} was made with other options ({first_ten(different)}): give those again, or remove {study} "
                "to start the study anew"
            )
        if not ((folder / SCORES).exists() and (folder / PREDICTIONS).exists()):
            return False
        # A fit that an earlier version has scored is there still: it is scored again, not fitted again.
        return format_of(folder / SCORES) == FORMAT_VERSION


@dataclass(frozen=True)
class _Asked:
    """What is read of `task.json`, which an earlier version may have written."""

    fingerprint: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


def do(task: Task, say: Callable[[float], None] = lambda _: None) -> None:
    """Run a task and write its folder: `task.json`, `scores.json`, `predictions.npz`, and the run if it is a fit.

    Parameters
    ----------
    say
        Called with the fraction of the fit that is done.

    Raises
    ------
    ConnfitError
        If this row cannot be computed on these data.
    """
    folder, evaluate = Path(task.folder), task.config.evaluate
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ASKED, msgspec.to_builtins(task))
    began = time.perf_counter()
    if task.group == "baseline":
        forecasters, recordings, result = _baseline(task)
    else:
        forecaster, recordings, result = _model(task, say)
        forecasters = [forecaster] * len(recordings)
    if task.group != "untrained":
        result = replace(result, wall_seconds=time.perf_counter() - began)
    scored = [
        score_and_forecast(forecaster, recording, evaluate, parts=(PART,), ahead_of=(PART,))
        for forecaster, recording in zip(forecasters, recordings, strict=True)
    ]
    errors = [of_recording.errors[PART] for of_recording in scored]
    arrays: dict[str, np.ndarray] = {"recordings": np.array(len(errors))}
    for number, of_recording in enumerate(errors):
        arrays |= of_recording.to_arrays(f"{number}.errors.")
    if task.group == "connectome":
        arrays |= _predictions(forecasters[0], recordings, evaluate)
    pooled = cast("dict[str, Any]", plain(pool([of_recording.scores[PART] for of_recording in scored])))
    result = replace(
        result, row=task.row, seed=task.seed, exploded=explosions(errors, recordings),
        scores={**pooled, **_median_units(errors)},
    )  # fmt: skip
    with replacing_together(folder / PREDICTIONS, folder / SCORES) as (predictions, scores):
        write_arrays(predictions, arrays)
        write_json(scores, result)


def _model(task: Task, say: Callable[[float], None]) -> tuple[Forecaster, tuple[Recording, ...], SeedResult]:
    """Fit, go on with a fit, or read one; without training for the untrained row."""
    from connfit.models.forecaster import ModelForecaster
    from connfit.training import runs as run
    from connfit.training.fit import Progress

    if task.group == "untrained":
        job = run.prepare(task.config)
        forecaster = ModelForecaster(job.model, job.params, job.cohort, name="untrained")
        counts = job.parameter_counts()
        return forecaster, job.cohort.recordings, SeedResult(
            parameters=dict.fromkeys(counts, 0), parameters_available=counts
        )  # fmt: skip

    def progress(now: Progress) -> None:
        done = (now.epoch + now.window / now.windows) / now.epochs
        phases = [task.config.train.epochs, task.config.train.free_run_epochs]
        before = phases[0] if now.phase == "free-running" else 0
        say(min(1.0, (before + done * now.epochs) / max(1, sum(phases))))

    folder = Path(task.run or task.folder)
    if task.run is not None:
        fitted = run.load_fit(folder)
    elif (folder / "config.json").exists():
        fitted = run.resume(folder, on_progress=progress)
    else:
        command = f"connfit evaluate --full: {task.name}"
        fitted = run.start(task.config, folder, command=command, on_progress=progress)
    record = run.read_record(folder)
    history = fitted.history
    trained = moved(*(read_arrays(folder / name)[0] for name in ("parameters_initial.npz", "parameters.npz")))
    return fitted.forecaster(), fitted.cohort.recordings, SeedResult(
        parameters=record.parameters if trained else dict.fromkeys(record.parameters, 0),
        parameters_available=record.parameters,
        trained=trained,
        untrained_reason=None if trained else why_not_trained(history, sum(record.parameters.values())),
        best_epoch=_best_epoch(history) if trained else -1,
        null=record.connectome.notes.get("null"),
        vacuous=_identity(task.config, folder),
        recipe=None if record.recipe is None else record.recipe.chosen,
        # A fit that was interrupted is as long as its epochs; what it took beside them is not known any more.
        fit_seconds=float(sum(row["seconds"] for row in history)),
        epochs=fitted.training_record().epochs,
        validation_selection=max((row["selection"] for row in history if row["selection"] is not None), default=None),
        run=str(folder),
        versions=record.versions,
    )  # fmt: skip


def _best_epoch(history: Sequence[Mapping[str, Any]]) -> int:
    """The epoch whose parameters a fit ends with: the first of the best by validation, the last without."""
    known = [row for row in history if row["selection"] is not None]
    return int(max(known, key=lambda row: row["selection"])["epoch"] if known else history[-1]["epoch"])


def _identity(config: Config, folder: Path) -> str | None:
    """Why the null connectome of a fit is the real one; None where it is not, or none was asked for."""
    name = config.data.null
    if name is None:
        return None
    config = configuration.read(folder / "config.json")  # with every choice that is made for this row
    real = connectome_from_config(msgspec.structs.replace(config.data, null=None))
    null = Connectome.load(folder / "connectome.h5")
    return why_identity(real, null, name, config.model.weights, config.seed)


def _baseline(task: Task) -> tuple[list[Forecaster], tuple[Recording, ...], SeedResult]:
    """A baseline of each recording, fitted to its training part."""
    from connfit.training.problem import prepare

    factory = BASELINES[task.row]
    evaluate = msgspec.structs.replace(task.config.evaluate, baselines=(task.row,), baseline_seed=task.seed)
    recordings = prepare(task.config, Recipe(FALLBACK)).cohort.recordings  # no start is needed
    began = time.perf_counter()
    fitted: list[Forecaster] = [factory(recording, evaluate) for recording in recordings]
    seconds = time.perf_counter() - began
    chosen = {of.name: getattr(model, "chosen", None) for of, model in zip(recordings, fitted, strict=True)}
    parameters = {"all": int(sum(getattr(model, "parameters", 0) for model in fitted))}
    return fitted, recordings, SeedResult(parameters=parameters, chosen=chosen, fit_seconds=seconds)


@dataclass(frozen=True)
class _MedianUnit(Result):
    """Skill of the median unit at one horizon."""

    value: float | None = mean()


def _median_unit(errors: PredictionErrors, horizon: int) -> _MedianUnit:
    skills = errors.unit_skill(horizon)
    known = np.zeros(0) if skills is None else skills[np.isfinite(skills)]
    if len(known):
        return _MedianUnit(float(np.median(known)))
    why = errors.reasons.get(horizon, "no unit changes in the frames that are scored")
    return _MedianUnit(reasons={"value": why})


def _median_units(errors: Sequence[PredictionErrors]) -> dict[str, Any]:
    """Skill of the median unit by horizon, mean over recordings, beside the pooled one of the scores."""
    horizons = [{str(h): _median_unit(part, h) for h in (*part.reasons, *part.horizons)} for part in errors]
    pooled = pool_each(horizons)
    reasons = {h: of.reasons["value"] for h, of in pooled.items() if of.reasons}
    medians: dict[str, Any] = {h: of.value for h, of in pooled.items()}
    return {"median_unit_skill": {**medians, **({"reasons": reasons} if reasons else {})}}


def _predictions(
    forecaster: Forecaster, recordings: Sequence[Recording], config: EvaluateConfig
) -> dict[str, np.ndarray]:
    """Predictions of the test part one frame and `far` frames ahead, and what persistence says, of each recording."""
    arrays: dict[str, np.ndarray] = {}
    for number, recording in enumerate(recordings):
        block = recording.require_parts()[PART]
        held = hold_last(recording.values, recording.mask)
        starts, too_long = horizon_starts(recording, PART, config)
        far = max((h for h in config.horizons if h <= FAR and h not in too_long), default=0)
        inside = recording.stretches(block.start, block.stop)
        frames = np.concatenate([np.arange(recording.first_predicted(first), stop) for first, stop in inside])
        arrays[f"{number}.one_step"] = np.asarray(forecaster.one_step(recording)[frames], np.float32)
        arrays[f"{number}.one_step_last"] = held[frames - 1].astype(np.float32)
        arrays[f"{number}.far_frames"] = np.array(far)
        if far:
            ahead = forecaster.horizon(recording, starts, far)[:, far - 1]
            arrays[f"{number}.far"] = np.asarray(ahead, np.float32)
            arrays[f"{number}.far_last"] = held[starts].astype(np.float32)
    return arrays
