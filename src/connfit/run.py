"""A run: from a configuration to a directory that holds all that is needed to read, resume and repeat it."""

from __future__ import annotations

import csv
import hashlib
import io
import platform
import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import msgspec
import numpy as np
import optax

from connfit import config as configuration
from connfit.checkpoint import read_arrays, write_arrays, write_bytes, write_json
from connfit.cohort import Cohort
from connfit.config import Config
from connfit.connectome import Connectome
from connfit.data.load import (
    connectome_from_config,
    held_out_from_config,
    preprocessing_steps,
    recordings_from_config,
)
from connfit.errors import ConfigError, DataError, DivergedError, first_ten
from connfit.learn import PRESETS, Windowed
from connfit.matching import UnitMatch, match_units
from connfit.memory import MemoryEstimate, check_memory, estimate_memory, return_freed_arrays
from connfit.models import (
    RateModel,
    Readout,
    initial_parameters,
    regression_start,
    share_strengths,
    start_magnitudes,
)
from connfit.models.base import Params
from connfit.models.gains import SHARED, share_gains, untyped_neurons
from connfit.nulls import make_null
from connfit.recording import Recording
from connfit.train import Fit, FitState, Progress, fit

PACKAGES = ("connfit", "jax", "jaxlib", "numpy", "scipy", "optax")
CHECKPOINT = Path("checkpoints", "latest.npz")


@dataclass(frozen=True, eq=False)
class Job:
    """All the pieces that a configuration stands for.

    Attributes
    ----------
    config
        Resolved: nothing in it is left to a default that could change.
    matches
        For each recording, held-out ones included, which units are which neurons (of a region: those that lie in it).
    """

    config: Config
    connectome: Connectome
    cohort: Cohort
    readout: Readout
    model: RateModel
    params: Params
    learner: Windowed
    trained: tuple[str, ...]
    matches: dict[str, UnitMatch]

    def fit(
        self,
        *,
        state: FitState | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_epoch: Callable[[FitState], None] | None = None,
    ) -> Fit:
        """Fit; see `connfit.train.fit`."""
        return fit(
            self.model, self.params, self.cohort, self.learner, self.config.train,
            trained=self.trained, seed=self.config.seed, state=state, on_progress=on_progress, on_epoch=on_epoch,
        )  # fmt: skip

    def parameter_counts(self) -> dict[str, int]:
        """Trained numbers of each group (0 for a group that is fixed or absent)."""
        sizes = {
            ("time_constants" if key == "log_time_constants" else key): int(value.size)
            for key, value in self.params.items()
        }
        always = ("weights", "time_constants", "bias", "drive")
        groups = (*always, *(group for group in ("gains", "readout") if group in sizes))
        return {group: sizes.get(group, 0) if group in self.trained else 0 for group in groups}

    def cautions(self) -> list[str]:
        """What in the data a rate model cannot follow, with what to do about it."""
        found = []
        if self.config.model.strengths == "gain_per_type_pair":
            column = self.config.model.type_column
            untyped = untyped_neurons(self.connectome, column)
            if untyped:
                found.append(
                    f"{untyped:,} of {self.connectome.n:,} neurons have no {column}: they share gains as if of one type"
                )
        for recording in self.cohort.recordings:
            values, mask = recording.part("train")
            below = float((values[mask] < 0).mean())
            if below > 0.05:
                found.append(
                    f"{recording.name}: {below:.0%} of the observed training values are below 0, where rates cannot "
                    "go: add the preprocessing step scale"
                )
        for name, units in self.cohort.left_out.items():
            if units:
                found.append(
                    f"held-out {name}: {len(units)} units that no other recording has are left out of its scores: "
                    f"{first_ten(units)}"
                )
        return found

    def memory(self) -> MemoryEstimate:
        """What the fit will need; see `connfit.memory.estimate_memory`."""
        return estimate_memory(self.model, self.params, self.cohort, self.learner, self.config.train, self.trained)

    def fingerprint(self) -> str:
        """SHA-256 over wiring, signs and prepared recordings: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        brain = self.connectome
        for array in (brain.indptr, brain.indices, brain.counts, brain.signs, brain.electrical):
            digest.update(np.ascontiguousarray(array).data)
        for column in ("id", "region"):
            digest.update("\n".join(brain.neurons[column].astype(str)).encode())
        for recording in (*self.cohort.recordings, *self.cohort.held_out):
            digest.update("\n".join((recording.name, repr(recording.frame_rate), *recording.units)).encode())
            digest.update(np.ascontiguousarray(np.where(recording.mask, recording.values, 0)).data)
            digest.update(np.ascontiguousarray(recording.mask).data)
        return digest.hexdigest()


def prepare(config: Config) -> Job:
    """Load the data that a configuration names and build model, start and learner.

    Raises
    ------
    ConnfitError
        If data or options are wrong.
    """
    connectome = connectome_from_config(config.data)
    if config.data.null is not None:
        connectome = make_null(connectome, config.data.null, config.seed)
    recordings, held_out = recordings_from_config(config.data), held_out_from_config(config.data)
    column = _unit_column(config, connectome, recordings[0])
    policy = config.data.unmatched_units
    matches = {
        one.name: match_units(one.units, connectome, column=column, unmatched=policy)
        for one in (*recordings, *held_out)
    }
    cohort = Cohort.of(
        [one.select_units(matches[one.name].matched) for one in recordings],
        held_out=[one.select_units(matches[one.name].matched) for one in held_out],
        substeps=config.data.substeps,
    )
    cohort.change_variance()  # units that do not change are an error before anything is written
    if column == "region":
        readout = Readout.by_anatomy(connectome, cohort.units, learned=config.model.learned_readout)
    else:
        readout = Readout.by_name(connectome, cohort.units, column=column, learned=config.model.learned_readout)
    options = config.model
    if options.state_forcing and cohort.substeps > 1:
        raise ConfigError(
            f"model.state_forcing = {options.state_forcing} replaces states at every model step, but with data.substeps"
            f" = {cohort.substeps} most steps have no frame of their own: set one of the two to its default"
        )
    model = RateModel.of(
        connectome,
        readout,
        step_s=cohort.step_s,
        drive=options.drive,
        nonlinearity=options.nonlinearity,
        bounds_s=_seconds(options.time_constant_bounds_frames, cohort),
        state_forcing=options.state_forcing,
    )
    regressed = options.drive_start == "regression"
    if regressed and cohort.substeps > 1:
        raise ConfigError(
            "model.drive_start = 'regression' is for one model step per frame: set data.substeps to 1, or another start"
        )
    magnitudes = begin = None
    if options.strengths in SHARED or regressed:
        radius = None if regressed else options.spectral_radius
        magnitudes = start_magnitudes(model, connectome, options.weights, spectral_radius=radius, seed=config.seed)
    time_constant_s = options.time_constant_frames / cohort.frame_rate
    hidden_time_constants_s = _seconds(options.hidden_time_constant_frames, cohort)
    if regressed and magnitudes is not None:
        begin = regression_start(
            model, connectome, readout, magnitudes, list(cohort.training_frames()), time_constant_s=time_constant_s,
            hidden_time_constants_s=hidden_time_constants_s, seed=config.seed,
        )  # fmt: skip
        magnitudes = begin.magnitudes
    if options.strengths in SHARED and magnitudes is not None:
        model = share_strengths(model, connectome, options.strengths, magnitudes, type_column=options.type_column)
    params = initial_parameters(
        model,
        connectome,
        readout,
        weights=options.weights,
        spectral_radius=options.spectral_radius,
        weight_spread=options.weight_spread,
        time_constant_s=time_constant_s,
        hidden_time_constants_s=hidden_time_constants_s,
        drive_start=options.drive_start,
        mean_activity=cohort.mean_activity() if options.bias_start == "balanced" else None,
        regression=begin,
        seed=config.seed,
    )
    learner = _learner(config, cohort)
    trained = _trained(config, model)
    resolved = msgspec.structs.replace(
        config,
        data=msgspec.structs.replace(
            config.data,
            recordings=_names(config, recordings),
            held_out=tuple(one.name for one in held_out),
            preprocess=preprocessing_steps(config.data),
        ),
        model=msgspec.structs.replace(options, readout="anatomical" if column == "region" else "names", learn=trained),
        learner=msgspec.structs.replace(
            config.learner,
            preset=None,
            window=learner.window,
            credit=learner.credit,
            carry=learner.carry,
            history=learner.history,
        ),
    )
    return Job(resolved, connectome, cohort, readout, model, params, learner, trained, matches)


def _trained(config: Config, model: RateModel) -> tuple[str, ...]:
    """Groups to train: those that are asked for, else all that are not fixed."""
    learn, strengths = config.model.learn, config.model.strengths
    present = tuple(group for group in model.groups if group != "weights" or strengths != "fixed")
    if learn is None:
        trained = present
    else:
        absent = [group for group in learn if group not in present]
        if absent:
            raise ConfigError(
                f"model.learn: there is no group {absent[0]!r} with model.strengths = {strengths!r}, model.drive = "
                f"{config.model.drive!r} and model.learned_readout = {str(config.model.learned_readout).lower()}; "
                f"there are {', '.join(present)}"
            )
        trained = tuple(learn)
    if (config.train.l1_weights or config.train.l2_weights) and "weights" not in trained:
        raise ConfigError("train.l1_weights and train.l2_weights are penalties on weights, which are not trained here")
    return trained


def _seconds(frames: tuple[float, float] | None, cohort: Cohort) -> tuple[float, float] | None:
    return None if frames is None else (frames[0] / cohort.frame_rate, frames[1] / cohort.frame_rate)


def _names(config: Config, recordings: tuple[Recording, ...]) -> tuple[str, ...]:
    """Names of a dataset's recordings, spelt out, so that "all" stays what it was."""
    if config.data.dataset in (None, "demo") or config.data.recording_files is not None:
        return config.data.recordings
    return tuple(recording.name for recording in recordings)


def _unit_column(config: Config, connectome: Connectome, recording: Recording) -> str:
    """Column of the neuron table that unit names belong to: regions for anatomy, else ids."""
    if config.model.readout != "auto":
        return "region" if config.model.readout == "anatomical" else "id"
    ids = set(connectome.neurons["id"].astype(str))
    regions = set(connectome.neurons["region"]) - {""}
    if connectome.regions is not None:
        regions = set(connectome.regions.names)
    by_id, by_region = sum(unit in ids for unit in recording.units), sum(unit in regions for unit in recording.units)
    if not by_id and not by_region:
        raise DataError(
            f"no unit of recording {recording.name!r} is a neuron id or a region of connectome {connectome.name!r}: "
            f"{', '.join(recording.units[:5])} ...",
            fix="Rename the units, or choose other columns of the neuron table",
        )
    return "id" if by_id >= by_region else "region"


def _learner(config: Config, cohort: Cohort) -> Windowed:
    options = config.learner
    dtype = options.trace_dtype
    if options.preset is None:
        credit, carry = options.credit or "network", options.carry or "trace"
        return Windowed(options.window, credit, carry, options.history, dtype, options.trace_decay)
    for option in ("credit", "carry", "history"):
        if getattr(options, option) is not None:
            raise ConfigError(
                f"learner.preset = {options.preset!r} and learner.{option} = {getattr(options, option)!r} are both "
                "set: keep one"
            )
    credit, carry = PRESETS[options.preset]
    longest = max(recording.require_parts().train[1] for recording in cohort.recordings) * cohort.substeps
    window = longest if options.preset == "bptt" else options.window
    return Windowed(window, credit, carry, trace_dtype=dtype, trace_decay=options.trace_decay)


def start(
    config: Config,
    out: str | Path,
    *,
    command: str = "",
    on_progress: Callable[[Progress], None] | None = None,
    on_prepared: Callable[[Job], None] | None = None,
) -> Fit:
    """Make a run directory and fit.

    Raises
    ------
    ConfigError
        If the directory holds a run already.
    """
    out = Path(out)
    if (out / "config.json").exists():
        raise ConfigError(f"{out} holds a run already: resume it, or give another --out")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: give a folder to --out")
    job = prepare(config)
    if config.train.check_memory:
        check_memory(job.memory(), job.learner)
    (out / CHECKPOINT.parent).mkdir(parents=True, exist_ok=True)
    job.connectome.save(out / "connectome.h5")
    write_parameters(out / "parameters_initial.npz", job.model, job.params)
    write_json(out / "record.json", _record(job, command))
    write_json(out / "config.json", configuration.to_dict(job.config))
    if on_prepared is not None:
        on_prepared(job)
    job.connectome.release_pages()
    return _continue(job, out, None, on_progress)


def resume(
    out: str | Path,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_prepared: Callable[[Job], None] | None = None,
) -> Fit:
    """Go on with an interrupted run from its last checkpoint, to the numbers that it would have reached.

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
    for left_over in out.rglob(".*.part"):
        left_over.unlink()
    if state is not None and state.finished and (out / "parameters.npz").exists():
        return _finished(job, out, state)
    return _continue(job, out, state, on_progress)


def load_job(out: Path) -> Job:
    """The job of a run directory, with the data it was made from.

    Raises
    ------
    DataError
        If the directory holds no run, or its data have changed since.
    """
    if not (out / "config.json").is_file():
        raise DataError("no run here", path=out, fix="Give the folder that `connfit fit --out` wrote")
    job = prepare(configuration.read(out / "config.json"))
    try:
        fingerprint = msgspec.json.decode((out / "record.json").read_bytes())["data_fingerprint"]
    except (OSError, msgspec.DecodeError, KeyError) as error:
        raise DataError(f"damaged ({error})", path=out / "record.json") from error
    if fingerprint != job.fingerprint():
        raise DataError(
            "the data, after preprocessing, are not those that this run was made from",
            path=out,
            fix="Restore the files, or start a new run",
        )
    return job


def load_fit(out: str | Path) -> Fit:
    """The fitted model of a run directory.

    Raises
    ------
    DataError
        If the directory holds no finished run.
    """
    out = Path(out)
    job = load_job(out)
    if not (out / "parameters.npz").exists():
        raise DataError("the fit has not finished", path=out, fix=f"Go on with `connfit resume {out}`")
    return _finished(job, out, _read_state(out / CHECKPOINT))


def _finished(job: Job, out: Path, state: FitState) -> Fit:
    arrays, meta = read_arrays(out / "parameters.npz")
    params = from_arrays(arrays)
    # What gains multiply is computed again from the connectome; ARPACK's scale of it is good to 1e-4.
    if "gains" in params and not np.allclose(arrays["weights"], job.model.magnitudes(params), rtol=1e-3):
        raise DataError(
            "the magnitudes that its gains multiply are not those that this version of connfit computes",
            path=out / "parameters.npz",
            fix="Fit it again",
        )
    return Fit(job.model, params, job.params, job.cohort, state.history, meta["performance"])


def _continue(job: Job, out: Path, state: FitState | None, on_progress: Callable[[Progress], None] | None) -> Fit:
    def save(now: FitState) -> None:
        _write_state(out / CHECKPOINT, now)
        _write_history(out / "history.csv", now)

    return_freed_arrays()
    try:
        result = job.fit(state=state, on_progress=on_progress, on_epoch=save)
    except DivergedError as error:
        kept = out / CHECKPOINT
        good = f"the last good checkpoint is {kept}" if kept.exists() else "there is no checkpoint before it"
        raise DivergedError(f"{error}; {good}") from error
    performance = {**result.performance, "peak_rss_bytes": peak_rss_bytes()}
    if job.config.model.strengths in SHARED:
        options = job.config.model
        table = share_gains(job.connectome, options.strengths, type_column=options.type_column).table
        gains = {"start": np.asarray(job.params["gains"]), "fitted": np.asarray(result.params["gains"])}
        write_bytes(out / "gains.csv", table.assign(**gains).to_csv(index=False).encode())
    write_arrays(out / "parameters.npz", to_arrays(job.model, result.params), {"performance": performance})
    return replace(result, performance=performance)


def to_arrays(model: RateModel, params: Params) -> dict[str, np.ndarray]:
    """Parameters as they are stored: also time constants in seconds, and magnitudes of connections that share gains."""
    arrays = {key: np.asarray(value) for key, value in params.items() if key != "log_time_constants"}
    return {
        **arrays,
        "weights": np.asarray(model.magnitudes(params)),
        "log_time_constants": np.asarray(params["log_time_constants"]),
        "time_constants": np.exp(params["log_time_constants"]),
    }


def from_arrays(arrays: dict[str, np.ndarray]) -> Params:
    """Inverse of `to_arrays`."""
    derived = {"time_constants", *(["weights"] if "gains" in arrays else [])}
    return {key: jnp.asarray(value) for key, value in arrays.items() if key not in derived}


def write_parameters(path: Path, model: RateModel, params: Params) -> None:
    """Write all groups to one NPZ file."""
    write_arrays(path, to_arrays(model, params))


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a new program inherits that of the process that started it.
        high_water = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(high_water.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _write_state(path: Path, state: FitState) -> None:
    adam: Any = state.optimiser
    arrays = {f"params/{key}": np.asarray(value) for key, value in state.params.items()}
    arrays |= {f"best/{key}": value for key, value in state.best_params.items()}
    arrays |= {f"mu/{key}": np.asarray(value) for key, value in adam.mu.items()}
    arrays |= {f"nu/{key}": np.asarray(value) for key, value in adam.nu.items()}
    arrays["count"] = np.asarray(adam.count)
    meta = {
        "phase": state.phase,
        "epoch": state.epoch,
        "best_value": None if np.isinf(state.best_value) else state.best_value,
        "best_epoch": state.best_epoch,
        "since_best": state.since_best,
        "finished": state.finished,
        "history": state.history,
    }
    write_arrays(path, arrays, meta)


def _read_state(path: Path) -> FitState:
    arrays, meta = read_arrays(path)

    def group(prefix: str) -> dict[str, np.ndarray]:
        return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

    def on_device(prefix: str) -> Params:
        return {key: jnp.asarray(value) for key, value in group(prefix).items()}

    adam = optax.ScaleByAdamState(count=jnp.asarray(arrays["count"]), mu=on_device("mu/"), nu=on_device("nu/"))
    if meta["best_value"] is None:
        meta["best_value"] = float("-inf")
    meta["history"] = tuple(meta["history"])
    return FitState(params=on_device("params/"), optimiser=adam, best_params=group("best/"), **meta)


def _write_history(path: Path, state: FitState) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(state.history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(state.history)
    write_bytes(path, text.getvalue().encode())


def _record(job: Job, command: str) -> dict[str, Any]:
    memory = job.memory()
    return {
        "command": command,
        "versions": {**{package: version(package) for package in PACKAGES}, "python": platform.python_version()},
        "machine": platform.machine(),
        "seed": job.config.seed,
        "data_fingerprint": job.fingerprint(),
        "connectome": {**job.connectome.summary(), "notes": dict(job.connectome.notes)},
        "recordings": {one.name: _recording_record(one, job.matches[one.name]) for one in job.cohort.recordings},
        "held_out": {
            one.name: {
                **_recording_record(one, job.matches[one.name]),
                "left_out": list(job.cohort.left_out[one.name]),
            }
            for one in job.cohort.held_out
        },
        "cautions": job.cautions(),
        "observations": {part: job.cohort.observations(part) for part in ("train", "validation", "test")},
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
