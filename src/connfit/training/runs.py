"""A run: from a configuration to a directory that holds all that is needed to read, resume and repeat it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import jax.numpy as jnp
import msgspec
import numpy as np

from connfit import config as configuration
from connfit._io import csv_text, present, read_arrays, read_json, replacing, write_arrays, write_bytes, write_json
from connfit._system.claim import claims
from connfit._system.devices import device_count
from connfit._system.heap import peak_rss_bytes, return_freed_pieces
from connfit._system.paths import user_path
from connfit.config import Config
from connfit.config.option_types import AllDevices
from connfit.datasets.given_data import CONNECTOME, RECORDINGS
from connfit.errors import ConfigError, DataError, DivergedError
from connfit.models.base import Model, Params, group_of
from connfit.models.checked_neuron import source_fingerprint
from connfit.models.gains import SHARED, share_gains
from connfit.training.checkpoints import check_arrays, check_state, ended_training, read_state, write_state
from connfit.training.fit import FitState, Progress
from connfit.training.fitted import Fit
from connfit.training.memory import check_memory
from connfit.training.problem import Job, prepare
from connfit.training.recorded import check_options, read_record
from connfit.training.run_record import RECORD, run_record
from connfit.training.same_job import check_same_job

CHECKPOINT = Path("checkpoints", "latest.npz")
DATA = "data"
"""Folder of a run for data that were given in Python."""


@claims("out", make=True)
def start(
    config: Config,
    out: str | Path,
    *,
    command: str = "",
    later: Callable[[Job], Mapping[str, int]] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_prepared: Callable[[Job], None] | None = None,
) -> Fit:
    """Create a run directory and fit.

    Parameters
    ----------
    later
        Estimates the memory of what follows the fit.

    Raises
    ------
    ConfigError
        If the directory holds a run already.
    """
    out = check_free(out)
    device_count(config.train.devices)
    job = prepare(config)
    if later is not None:
        job = replace(job, later=later(job), prepared_with=peak_rss_bytes())
    return start_job(job, out, command=command, on_progress=on_progress, on_prepared=on_prepared)


@claims("out", make=True)
def start_job(
    job: Job,
    out: Path,
    *,
    command: str = "",
    on_progress: Callable[[Progress], None] | None = None,
    on_prepared: Callable[[Job], None] | None = None,
) -> Fit:
    """Create a run directory for what is built already, and fit.

    Raises
    ------
    ConfigError
        If the directory holds a run already.
    """
    out = check_free(out)
    return_freed_pieces()
    if job.config.train.check_memory:
        check_memory(job.memory())
    (out / CHECKPOINT.parent).mkdir(parents=True, exist_ok=True)
    _write_start(job, out, command)
    if on_prepared is not None:
        on_prepared(job)
    return _continue(job, out, None, on_progress)


@claims("out", make=True)
def save_fit(fitted: Fit, out: str | Path) -> Path:
    """Write the run directory of a finished fit; see `connfit.training.fitted.Fit.save`."""
    job, out = fitted.require_job(), check_free(out)
    out.mkdir(parents=True, exist_ok=True)
    _write_start(job, out, "connfit.Fit.save")
    _write_end(job, out, fitted)
    return out


def check_free(out: str | Path) -> Path:
    """Check that a folder is free for a new run.

    Raises
    ------
    ConfigError
        If it holds a run already, or what is left of one, or is a file.
    """
    out = user_path(out)
    if (out / "config.json").exists():
        raise ConfigError(f"{out} holds a run already: resume it, or give another folder")
    for name in (CHECKPOINT, "parameters.npz", "metrics.json"):
        # A run that is resumed, or read, would take it for its own.
        if (out / name).exists():
            raise ConfigError(f"{out} holds {name} of another run, without its config.json: give another folder")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: give a folder")
    return out


def _write_start(job: Job, out: Path, command: str) -> None:
    """What a run directory holds before anything is trained; `config.json` last, for it makes the folder a run."""
    job.connectome.save(out / "connectome.h5")
    write_parameters(out / "parameters_initial.npz", job.model, job.params)
    config = job.config
    if job.given is not None:
        job.given.save(out / DATA)
    elif config.data.saved is not None:
        (out / DATA).mkdir(exist_ok=True)
        for name in (CONNECTOME, RECORDINGS):
            with replacing(out / DATA / name) as temporary:
                copyfile(Path(config.data.saved) / name, temporary)
    if job.given is not None or config.data.saved is not None:
        # Relative to the file, so that a run directory can be moved.
        config = msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, saved=DATA))
    options = configuration.to_dict(config)
    write_json(out / RECORD, run_record(job, command, options))
    write_json(out / "config.json", options)


@claims("out")
def resume(
    out: str | Path,
    *,
    devices: int | AllDevices | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_prepared: Callable[[Job], None] | None = None,
) -> Fit:
    """Continue an interrupted run from its last checkpoint; it reaches the same numbers as without interruption.

    Parameters
    ----------
    devices
        In place of `train.devices` of the run; on another number of devices sums round differently.

    Raises
    ------
    DataError
        If the directory holds no run, or its data have changed.
    ConfigError
        If there are fewer devices.
    """
    out = user_path(out)
    if present(out / "config.json"):
        asked = configuration.read(out / "config.json").train.devices if devices is None else devices
        device_count(asked)
    job = load_job(out)
    state = _state(job, out) if present(out / CHECKPOINT) else None
    if on_prepared is not None:
        on_prepared(job)
    if (state is None or state.finished) and present(out / "parameters.npz"):
        return _finished(job, out)
    if devices is None:
        return _continue(job, out, state, on_progress)
    return replace(_continue(_on(devices, job), out, state, on_progress), job=job)


def take_part(
    config: Config | Path, devices: int | AllDevices = "all", *, on_progress: Callable[[Progress], None] | None = None
) -> None:
    """Fit together with the process that writes the run: do all that it does, but write nothing.

    Parameters
    ----------
    config
        Of a new run, or the directory of one that is resumed.
    devices
        As of `resume`.

    Raises
    ------
    ConnfitError
        As `start` and `resume`.
    """
    if isinstance(config, Config):
        device_count(config.train.devices)
        job, state = prepare(config), None
    else:
        job = _on(devices, load_job(config))
        state = _state(job, config) if present(config / CHECKPOINT) else None
        if (state is None or state.finished) and present(config / "parameters.npz"):
            return
    check_same_job(job, state)
    job.fit(state=state, on_progress=on_progress)


def _on(devices: int | AllDevices, job: Job) -> Job:
    """The job on other devices."""
    train = msgspec.structs.replace(job.config.train, devices=devices)
    return replace(job, config=msgspec.structs.replace(job.config, train=train))


def load_job(out: Path) -> Job:
    """Load the job of a run directory, with the data it was made from.

    Raises
    ------
    DataError
        If the directory holds no run, or its data have changed since.
    """
    if not present(out / "config.json"):
        raise DataError("no run here", path=out, fix="Give the folder that `connfit fit --out` wrote")
    record, config = read_record(out), configuration.read(out / "config.json")
    if record.data_fingerprint is None:
        raise DataError("there is no data_fingerprint", path=out / RECORD, fix="Copy the run directory again")
    job = prepare(config, check_options(config, record, out))
    # Earlier versions left out what no default reads of the neuron table.
    neurons = record.neurons_fingerprint is None or record.neurons_fingerprint == job.neurons_fingerprint()
    if record.data_fingerprint != job.fingerprint() or not neurons:
        raise DataError(
            "the data, after preprocessing, are not those that this run was made from",
            path=out,
            fix="Restore the files, or start a new run",
        )
    cell = source_fingerprint(job.model.neuron)
    if None not in (cell, record.cell_fingerprint) and cell != record.cell_fingerprint:
        raise DataError(
            f"the file of its cell, {config.model.cell}, was edited since this run began",
            path=out,
            fix=f"Restore it (its sha256 was {record.cell_fingerprint}), or start a new run",
        )
    return job


def load_fit(out: str | Path) -> Fit:
    """Load the fitted model of a run directory.

    Raises
    ------
    DataError
        If the directory holds no finished run.
    """
    out = user_path(out)
    job = load_job(out)
    if not present(out / "parameters.npz"):
        raise DataError("the fit has not finished", path=out, fix=f"Go on with `connfit resume {out}`")
    return _finished(job, out)


def check_same_fit(fitted: Fit, out: Path) -> None:
    """Check that a run directory is that of a fit, of which it is to hold the scores.

    Raises
    ------
    DataError
        If its parameters are others, or not there.
    """
    if not (out / "parameters.npz").exists():
        raise DataError("the fit has not finished", path=out, fix=f"Go on with `connfit resume {out}`")
    there = read_arrays(out / "parameters.npz")[0]
    for key, value in fitted.params.items():
        if key not in there or not np.array_equal(there[key], value, equal_nan=True):
            raise DataError("the run of another fit", path=out, fix="Give the folder that this fit was saved in")


def _state(job: Job, out: Path) -> FitState:
    state = read_state(out / CHECKPOINT, read_record(out).identity)
    check_state(state, job.params, job.trained, out / CHECKPOINT)
    return state


def _finished(job: Job, out: Path) -> Fit:
    path = out / "parameters.npz"
    arrays, meta = read_arrays(path)
    check_arrays(arrays, to_arrays(job.model, job.params), path)
    params = from_arrays(arrays)
    # What gains multiply is computed again from the connectome; ARPACK's scale of it is good to 1e-4.
    if "gains" in params and not np.allclose(arrays["weights"], job.model.magnitudes(params), rtol=1e-3):
        raise DataError(
            "the magnitudes that its gains multiply are not those that this version of connfit computes",
            path=path,
            fix="Fit it again",
        )
    if "history" in meta:
        ended = ended_training(meta, path, read_record(out).identity)
        history, best, rates, took = ended.history, ended.best_epoch, ended.rates, ended.performance
    else:
        # Older run directories keep these in the checkpoint alone.
        state = _state(job, out)
        history, best, rates, took = state.history, state.kept_epoch(), state.rates, meta.get("performance", {})
    return Fit(job.model, params, job.params, job.cohort, history, took, rates, best, job)


def _continue(job: Job, out: Path, state: FitState | None, on_progress: Callable[[Progress], None] | None) -> Fit:
    of = read_record(out).identity
    check_same_job(job, state)

    def save(now: FitState) -> None:
        write_state(out / CHECKPOINT, now, job.config.train.optimiser, of)
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
    """What a run directory holds once a fit has finished, `parameters.npz` last."""
    if result.history:
        # Again: the last checkpoint may be all that an earlier process could write.
        _write_history(out / "history.csv", result.history)
    if result.rates is not None:
        record = read_json(out / RECORD, dict[str, Any])
        write_json(out / RECORD, {**record, "learning_rates": msgspec.to_builtins(result.rates)})
    if job.config.model.strengths in SHARED:
        options = job.config.model
        table = share_gains(job.connectome, options.strengths, type_column=options.type_column).table
        gains = {"start": np.asarray(job.params["gains"]), "fitted": np.asarray(result.params["gains"])}
        table = table.assign(**gains)
        write_bytes(out / "gains.csv", csv_text([table.columns, *table.map(str).itertuples(index=False)]).encode())
    training = {"history": result.history, "best_epoch": result.best_epoch, "rates": msgspec.to_builtins(result.rates)}
    meta = {"performance": result.performance, "of": read_record(out).identity, **training}
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


def _write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    write_bytes(path, csv_text([history[0], *(row.values() for row in history)]).encode())
