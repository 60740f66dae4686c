"""A run: from a configuration to a directory that holds all that is needed to read, resume and repeat it."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from shutil import copytree
from typing import Any

import jax.numpy as jnp
import msgspec
import numpy as np

from connfit import config as configuration
from connfit._io import read_arrays, read_json, write_arrays, write_bytes, write_json
from connfit._system.claim import claims
from connfit._system.heap import peak_rss_bytes, return_freed_pieces
from connfit.config import FALLBACK, Config
from connfit.connectome.matching import UnitMatch
from connfit.errors import ConfigError, DataError, DivergedError
from connfit.models.base import Model, Params, group_of
from connfit.models.gains import SHARED, share_gains
from connfit.recordings import PART_NAMES, Recording
from connfit.training.fit import FitState, Progress
from connfit.training.fitted import Fit
from connfit.training.learning_rates import Rates
from connfit.training.memory import check_memory
from connfit.training.optimiser import state_arrays, state_from_arrays
from connfit.training.problem import Job, prepare
from connfit.training.recipe import Recipe

PACKAGES = ("connfit", "jax", "jaxlib", "numpy", "scipy", "optax")
CHECKPOINT = Path("checkpoints", "latest.npz")
DATA = "data"
"""Folder of a run for data that were given in Python."""


@claims("out", make=True)
def start(
    config: Config,
    out: str | Path,
    *,
    command: str = "",
    on_progress: Callable[[Progress], None] | None = None,
    on_prepared: Callable[[Job], None] | None = None,
) -> Fit:
    """Create a run directory and fit.

    Raises
    ------
    ConfigError
        If the directory holds a run already.
    """
    out = check_free(out)
    return start_job(prepare(config), out, command=command, on_progress=on_progress, on_prepared=on_prepared)


@claims("out", make=True)
def start_job(
    job: Job,
    out: Path,
    *,
    command: str = "",
    on_progress: Callable[[Progress], None] | None = None,
    on_prepared: Callable[[Job], None] | None = None,
) -> Fit:
    """Create a run directory for what is built already, and fit; `out` as `check_free` returns it."""
    return_freed_pieces()
    if job.config.train.check_memory:
        check_memory(job.memory())
    (out / CHECKPOINT.parent).mkdir(parents=True, exist_ok=True)
    _write_start(job, out, command)
    if on_prepared is not None:
        on_prepared(job)
    job.connectome.release_pages()
    return _continue(job, out, None, on_progress)


@claims("out", make=True)
def save_fit(fitted: Fit, out: str | Path) -> Path:
    """Write the run directory of a finished fit; see `connfit.training.fitted.Fit.save`."""
    job, out = fitted.require_job(), check_free(out)
    out.mkdir(parents=True, exist_ok=True)
    _write_start(job, out, "connfit.Fit.save")
    if fitted.history:
        _write_history(out / "history.csv", fitted.history)
    _write_end(job, out, fitted)
    return out


def check_free(out: str | Path) -> Path:
    """Check that a folder is free for a new run.

    Raises
    ------
    ConfigError
        If it holds a run already, or is a file.
    """
    out = Path(out)
    if (out / "config.json").exists():
        raise ConfigError(f"{out} holds a run already: resume it, or give another folder")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: give a folder")
    return out


def _write_start(job: Job, out: Path, command: str) -> None:
    """What a run directory holds before anything is trained; `config.json` last, for it makes the folder a run."""
    job.connectome.save(out / "connectome.h5")
    write_parameters(out / "parameters_initial.npz", job.model, job.params)
    write_json(out / "record.json", _record(job, command))
    config = job.config
    if job.given is not None:
        job.given.save(out / DATA)
    elif config.data.saved is not None:
        copytree(config.data.saved, out / DATA)
    if job.given is not None or config.data.saved is not None:
        # Relative to the file, so that a run directory can be moved.
        config = msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, saved=DATA))
    write_json(out / "config.json", configuration.to_dict(config))


@claims("out")
def resume(
    out: str | Path,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_prepared: Callable[[Job], None] | None = None,
) -> Fit:
    """Continue an interrupted run from its last checkpoint; it reaches the same numbers as without interruption.

    Raises
    ------
    DataError
        If the directory holds no run, or its data have changed.
    """
    out = Path(out)
    job = load_job(out)
    state = _read_state(out / CHECKPOINT) if (out / CHECKPOINT).exists() else None
    if on_prepared is not None:
        on_prepared(job)
    if (state is None or state.finished) and (out / "parameters.npz").exists():
        return _finished(job, out)
    return _continue(job, out, state, on_progress)


def load_job(out: Path) -> Job:
    """Load the job of a run directory, with the data it was made from.

    Raises
    ------
    DataError
        If the directory holds no run, or its data have changed since.
    """
    if not (out / "config.json").is_file():
        raise DataError("no run here", path=out, fix="Give the folder that `connfit fit --out` wrote")
    try:
        record = read_json(out / "record.json", dict[str, Any])
        fingerprint = record["data_fingerprint"]
        # Runs of versions without a recipe used what it falls back to.
        recipe = Recipe.of_record(record["recipe"]) if "recipe" in record else Recipe(FALLBACK)
    except (OSError, msgspec.ValidationError, KeyError) as error:
        raise DataError(f"damaged ({error})", path=out / "record.json") from error
    job = prepare(configuration.read(out / "config.json"), recipe)
    if fingerprint != job.fingerprint():
        raise DataError(
            "the data, after preprocessing, are not those that this run was made from",
            path=out,
            fix="Restore the files, or start a new run",
        )
    return job


def load_fit(out: str | Path) -> Fit:
    """Load the fitted model of a run directory.

    Raises
    ------
    DataError
        If the directory holds no finished run.
    """
    out = Path(out)
    job = load_job(out)
    if not (out / "parameters.npz").exists():
        raise DataError("the fit has not finished", path=out, fix=f"Go on with `connfit resume {out}`")
    return _finished(job, out)


def _finished(job: Job, out: Path) -> Fit:
    arrays, meta = read_arrays(out / "parameters.npz")
    params = from_arrays(arrays)
    # What gains multiply is computed again from the connectome; ARPACK's scale of it is good to 1e-4.
    if "gains" in params and not np.allclose(arrays["weights"], job.model.magnitudes(params), rtol=1e-3):
        raise DataError(
            "the magnitudes that its gains multiply are not those that this version of connfit computes",
            path=out / "parameters.npz",
            fix="Fit it again",
        )
    if "history" in meta:
        history, best = tuple(meta["history"]), meta["best_epoch"]
        rates = None if meta["rates"] is None else Rates.of_record(meta["rates"])
    else:
        # Older run directories keep these in the checkpoint alone.
        state = _read_state(out / CHECKPOINT)
        history, best, rates = state.history, state.kept_epoch(), state.rates
    return Fit(job.model, params, job.params, job.cohort, history, meta["performance"], rates, best, job)


def _continue(job: Job, out: Path, state: FitState | None, on_progress: Callable[[Progress], None] | None) -> Fit:
    def save(now: FitState) -> None:
        _write_state(out / CHECKPOINT, now, job.config.train.optimiser)
        if now.history:
            _write_history(out / "history.csv", now.history)

    try:
        result = job.fit(state=state, on_progress=on_progress, on_epoch=save)
    except DivergedError as error:
        kept = out / CHECKPOINT
        good = f"the last good checkpoint is {kept}" if kept.exists() else "there is no checkpoint before it"
        raise DivergedError(f"{error}; {good}", epoch=error.epoch) from error
    result = with_peak_memory(result)
    _write_end(job, out, result)
    return result


def with_peak_memory(fitted: Fit) -> Fit:
    """Return the fit with the largest resident memory of this process so far in its `performance`."""
    return replace(fitted, performance={**fitted.performance, "peak_rss_bytes": peak_rss_bytes()})


def _write_end(job: Job, out: Path, result: Fit) -> None:
    """What a run directory holds once a fit has finished."""
    if result.rates is not None:
        record = read_json(out / "record.json", dict[str, Any])
        write_json(out / "record.json", {**record, "learning_rates": msgspec.to_builtins(result.rates)})
    if job.config.model.strengths in SHARED:
        options = job.config.model
        table = share_gains(job.connectome, options.strengths, type_column=options.type_column).table
        gains = {"start": np.asarray(job.params["gains"]), "fitted": np.asarray(result.params["gains"])}
        write_bytes(out / "gains.csv", table.assign(**gains).to_csv(index=False).encode())
    training = {"history": result.history, "best_epoch": result.best_epoch, "rates": msgspec.to_builtins(result.rates)}
    meta = {"performance": result.performance, **training}
    write_arrays(out / "parameters.npz", to_arrays(job.model, result.params), meta)


def to_arrays(model: Model, params: Params) -> dict[str, np.ndarray]:
    """Return parameters as they are stored, with time constants in seconds and magnitudes of all connections."""
    arrays = {key: np.asarray(value) for key, value in params.items()}
    seconds = {group_of(key): np.exp(value) for key, value in arrays.items() if key.startswith("log_")}
    return {**arrays, **seconds, "weights": np.asarray(model.magnitudes(params))}


def from_arrays(arrays: dict[str, np.ndarray]) -> Params:
    """Restore parameters from `to_arrays`."""
    derived = {group_of(key) for key in arrays if key.startswith("log_")} | (
        {"weights"} if "gains" in arrays else set()
    )
    return {key: jnp.asarray(value) for key, value in arrays.items() if key not in derived}


def write_parameters(path: Path, model: Model, params: Params) -> None:
    """Write all groups to one NPZ file."""
    write_arrays(path, to_arrays(model, params))


def _write_state(path: Path, state: FitState, optimiser: str) -> None:
    arrays = {f"params/{key}": np.asarray(value) for key, value in state.params.items()}
    arrays |= {f"best/{key}": value for key, value in state.best_params.items()}
    arrays |= state_arrays(state.optimiser)
    meta = {
        "phase": state.phase,
        "epoch": state.epoch,
        "best_value": None if np.isinf(state.best_value) else state.best_value,
        "best_epoch": state.best_epoch,
        "since_best": state.since_best,
        "finished": state.finished,
        "history": state.history,
        "rates": msgspec.to_builtins(state.rates),
        "optimiser": optimiser,
    }
    write_arrays(path, arrays, meta)


def _read_state(path: Path) -> FitState:
    arrays, meta = read_arrays(path)

    def group(prefix: str) -> dict[str, np.ndarray]:
        return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

    def on_device(prefix: str) -> Params:
        return {key: jnp.asarray(value) for key, value in group(prefix).items()}

    # Checkpoints of releases that had Adam alone do not name it.
    moments = state_from_arrays(meta.pop("optimiser", "adam"), arrays)
    if meta["best_value"] is None:
        meta["best_value"] = float("-inf")
    meta["history"] = tuple(meta["history"])
    rates = meta.pop("rates", None)
    meta["rates"] = None if rates is None else Rates.of_record(rates)
    return FitState(params=on_device("params/"), optimiser=moments, best_params=group("best/"), **meta)


def _write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_bytes(path, text.getvalue().encode())


def _record(job: Job, command: str) -> dict[str, Any]:
    memory = job.memory()
    return {
        "command": command,
        "versions": {**{package: version(package) for package in PACKAGES}, "python": platform.python_version()},
        "machine": platform.machine(),
        "seed": job.config.seed,
        "data_fingerprint": job.fingerprint(),
        "connectome": {**asdict(job.connectome.summary()), "notes": dict(job.connectome.notes)},
        "recordings": {
            recording.name: _recording_record(recording, job.matches[recording.name])
            for recording in job.cohort.recordings
        },
        "held_out": {
            recording.name: {
                **_recording_record(recording, job.matches[recording.name]),
                "left_out": list(job.cohort.left_out[recording.name]),
            }
            for recording in job.cohort.held_out
        },
        "cautions": job.cautions(),
        "recipe": msgspec.to_builtins(job.recipe),
        "regression": job.regression,
        "observations": job.observations(),
        "observed": {part: job.cohort.observations(part) for part in PART_NAMES},
        "parameters": job.parameter_counts(),
        "memory_estimate_bytes": {**memory.parts, "total": memory.total},
    }


def _recording_record(recording: Recording, match: UnitMatch) -> dict[str, Any]:
    return {
        "frames": recording.frames,
        "frame_rate_hz": recording.frame_rate,
        "units": len(recording.units),
        "kind": recording.kind,
        "value_units": recording.value_units,
        "parts": msgspec.to_builtins(recording.require_parts()),
        "steps": [dict(step) for step in recording.steps],
        "notes": dict(recording.notes),
        **match.record(),
    }
