"""One row with one seed: fit it, score it on the test part, and keep what the table is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from connfit import config as configuration
from connfit._io import plain, read_arrays, write_arrays, write_json
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
from connfit.recordings import Recording, hold_last
from connfit.training.recipe import Recipe

ASKED, SCORES, PREDICTIONS = "task.json", "scores.json", "predictions.npz"
PART = "test"
FORMAT_VERSION = 2
"""Of `scores.json` and `predictions.npz`."""
FAR = 10
"""Frames ahead, at most, at which predictions of several seeds are compared beside one frame."""


@dataclass(frozen=True)
class Task:
    """What a worker is to do; plain values, so that it can be sent and compared.

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
    config: dict[str, Any] = field(repr=False)
    fingerprint: str
    run: str | None = None

    @property
    def name(self) -> str:
        """Row and seed."""
        return f"{self.row}-seed{self.seed}"

    def done(self) -> bool:
        """Whether it has been done before with these options on these data.

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
        asked = read_json(folder / ASKED)
        study = folder.parent.parent
        if asked.get("fingerprint") != self.fingerprint:
            raise DataError(
                "made from other data than the run has now", path=folder, fix=f"Remove {study} to start the study anew"
            )
        # Options that an earlier version did not have are at their defaults.
        before = configuration.to_dict(configuration.from_dict(asked["config"])) if asked.get("config") else {}
        different = _differences(before, self.config)
        if different:
            raise ConfigError(
                f"{folder} was made with other options ({first_ten(different)}): give those again, or remove {study} "
                "to start the study anew"
            )
        if not ((folder / SCORES).exists() and (folder / PREDICTIONS).exists()):
            return False
        # A fit that an earlier version has scored is there still: it is scored again, not fitted again.
        return read_json(folder / SCORES).get("format") == FORMAT_VERSION


def _differences(one: Any, other: Any, at: str = "") -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        return [text for key in keys for text in _differences(one.get(key), other.get(key), f"{at}.{key}".strip("."))]
    return [] if _plain(one) == _plain(other) else [at]


def _plain(value: Any) -> Any:
    """Lists for tuples, and None for a table without entries, which an earlier version may not have written."""
    if value == {}:
        return None
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def do(task: Task, say: Callable[[float], None] = lambda _: None) -> None:
    """Do a task and write its folder: `task.json`, `scores.json`, `predictions.npz`, and the run if it is a fit.

    Parameters
    ----------
    say
        Called with the fraction of the fit that is done.

    Raises
    ------
    ConnfitError
        If this row cannot be computed on these data.
    """
    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ASKED, asdict(task))
    config = configuration.from_dict(task.config)
    began = time.perf_counter()
    if task.group == "baseline":
        forecasters, recordings, facts = _baseline(task, config, began)
    else:
        forecaster, recordings, facts = _model(task, config, say, began)
        forecasters = [forecaster] * len(recordings)
    scored = [
        score_and_forecast(forecaster, recording, config.evaluate, parts=(PART,), ahead_of=(PART,))
        for forecaster, recording in zip(forecasters, recordings, strict=True)
    ]
    errors = [one.errors[PART] for one in scored]
    arrays: dict[str, np.ndarray] = {"recordings": np.array(len(errors))}
    for number, one in enumerate(errors):
        arrays |= one.to_arrays(f"{number}.errors.")
    if task.group == "connectome":
        arrays |= _predictions(forecasters[0], recordings, config.evaluate)
    write_arrays(folder / PREDICTIONS, arrays)
    scores = cast("dict[str, Any]", plain(pool([one.scores[PART] for one in scored])))
    facts |= {"exploded": explosions(errors, recordings), "scores": {**scores, **_median_units(errors)}}
    write_json(folder / SCORES, {"format": FORMAT_VERSION, "row": task.row, "seed": task.seed, **facts})


def _model(
    task: Task, config: Config, say: Callable[[float], None], began: float
) -> tuple[Forecaster, tuple[Recording, ...], dict[str, Any]]:
    """Fit, go on with a fit, or read one; without training for the untrained row."""
    from connfit.models.forecaster import ModelForecaster
    from connfit.training import runs as run
    from connfit.training.fit import Progress

    if task.group == "untrained":
        job = run.prepare(config)
        forecaster = ModelForecaster(job.model, job.params, job.cohort, name="untrained")
        counts = job.parameter_counts()
        none = dict.fromkeys(counts, 0)
        return forecaster, job.cohort.recordings, {
            "parameters": none, "parameters_available": counts, "fit_seconds": 0.0, "run": None,
        }  # fmt: skip

    def progress(now: Progress) -> None:
        done = (now.epoch + now.window / now.windows) / now.epochs
        phases = [config.train.epochs, config.train.free_run_epochs]
        before = phases[0] if now.phase == "free-running" else 0
        say(min(1.0, (before + done * now.epochs) / max(1, sum(phases))))

    folder = Path(task.run or task.folder)
    if task.run is not None:
        fitted = run.load_fit(folder)
    elif (folder / "config.json").exists():
        fitted = run.resume(folder, on_progress=progress)
    else:
        fitted = run.start(config, folder, command=f"connfit evaluate --full: {task.name}", on_progress=progress)
    record = read_json(folder / "record.json")
    history = fitted.history
    chosen = max((row["selection"] for row in history if row["selection"] is not None), default=None)
    trained = moved(*(read_arrays(folder / name)[0] for name in ("parameters_initial.npz", "parameters.npz")))
    counts = record["parameters"]
    facts = {
        "parameters": counts if trained else dict.fromkeys(counts, 0),
        "parameters_available": counts,
        "trained": trained,
        "untrained_reason": None if trained else why_not_trained(history, sum(counts.values())),
        "best_epoch": _best_epoch(history) if trained else -1,
        "null": record["connectome"]["notes"].get("null"),
        "vacuous": _identity(config, folder),
        "recipe": (record.get("recipe") or {}).get("chosen"),
        # A fit that was interrupted is as long as its epochs; what it took beside them is not known any more.
        "fit_seconds": float(sum(row["seconds"] for row in history)),
        "wall_seconds": time.perf_counter() - began,
        "epochs": len(history),
        "validation_selection": chosen,
        "run": str(folder),
        "versions": record["versions"],
    }
    return fitted.forecaster(), fitted.cohort.recordings, facts


def _best_epoch(history: Sequence[dict[str, Any]]) -> int:
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


def _baseline(
    task: Task, config: Config, began: float
) -> tuple[list[Forecaster], tuple[Recording, ...], dict[str, Any]]:
    """A baseline of each recording, fitted to its training part."""
    from connfit.training.problem import prepare

    factory = BASELINES[task.row]
    evaluate = msgspec.structs.replace(config.evaluate, baselines=(task.row,), baseline_seed=task.seed)
    recordings = prepare(config, Recipe(FALLBACK)).cohort.recordings  # no start is needed
    fitted = []
    seconds = time.perf_counter()
    for recording in recordings:
        fitted.append(factory(recording, evaluate))
    seconds = time.perf_counter() - seconds
    facts = {
        "parameters": {"all": int(sum(getattr(one, "parameters", 0) for one in fitted))},
        "fit_seconds": seconds,
        "wall_seconds": time.perf_counter() - began,
        "chosen": {one.name: getattr(model, "chosen", None) for one, model in zip(recordings, fitted, strict=True)},
        "run": None,
    }
    return fitted, recordings, facts


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
    horizons = [{str(h): _median_unit(one, h) for h in (*one.reasons, *one.horizons)} for one in errors]
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
        arrays[f"{number}.one_step"] = np.asarray(forecaster.one_step(recording)[block], np.float32)
        arrays[f"{number}.one_step_last"] = held[block.start - 1 : block.stop - 1].astype(np.float32)
        arrays[f"{number}.far_frames"] = np.array(far)
        if far:
            ahead = forecaster.horizon(recording, starts, far)[:, far - 1]
            arrays[f"{number}.far"] = np.asarray(ahead, np.float32)
            arrays[f"{number}.far_last"] = held[starts].astype(np.float32)
    return arrays


@dataclass(frozen=True, eq=False)
class Done:
    """What a finished task left.

    Parameters
    ----------
    facts
        Content of `scores.json`.
    errors
        Of each recording.
    arrays
        Everything in `predictions.npz`.
    """

    facts: dict[str, Any]
    errors: tuple[PredictionErrors, ...]
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder: str | Path) -> Done:
        """Read the folder of a finished task.

        Raises
        ------
        DataError
            If a file is absent or damaged.
        """
        folder = Path(folder)
        arrays, _ = read_arrays(folder / PREDICTIONS)
        count = int(arrays.get("recordings", np.array(0)))
        errors = tuple(PredictionErrors.from_arrays(arrays, f"{number}.errors.") for number in range(count))
        return cls(read_json(folder / SCORES), errors, arrays)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    DataError
        If it is absent or damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"damaged ({error})", path=path) from error
