"""Inputs, epochs and what configurations say of them and of observation, each damaged, for `fuzz`."""

from __future__ import annotations

import datetime
import io
import json
import random
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fuzz import Kind
from fuzz_changes import as_bytes, as_json, as_toml, toml
from small import teacher

from connfit import config as configuration
from connfit.analysis.measured.measured_responses import read_measured
from connfit.config import Config
from connfit.datasets.given_data import prepare_recordings
from connfit.models.cells import find_cell
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.input_map import input_map
from connfit.models.observation import observe
from connfit.models.observation.likelihood import Likelihood
from connfit.models.readout import Readout
from connfit.recordings import Inputs, Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.readers import read_recording
from connfit.recordings.readers.epoch_table import read_epochs
from connfit.recordings.readers.input_table import read_input_table
from connfit.recordings.stretches import select_epochs

FRAMES, RATE = 80, 2.0

SECTIONS = {
    "data": {"crop_s": [0.5, 39.5], "crop_frames": None, "epochs": ["on"], "train": 0.5, "validation": 0.2, "gap": 0},
    "inputs": {
        "channels": ["light", "touch"], "lags": [1, 3], "exogenous": False, "shared": False, "free_run": "recorded",
        "targets": {"light": "recorded", "touch": ["n1", "id=n1*"]}, "start": "regression",
    },
    "model": {"observation": {
        "indicator": "order-2", "decay_s": 1.5, "rise_s": 0.4, "learn": True, "bounds": [0.5, 2.0], "per": "neuron",
        "gain": "unit", "drift_gain": 0.1, "noise": "student-t", "noise_degrees": 4.0,
    }, "state_forcing": 1.0},
}  # fmt: skip


def input_kinds(folder: Path) -> dict[str, Kind]:
    """Tables of inputs and epochs, NWB files with both, and sections of a configuration."""
    return _tables() | {"inputs.nwb": _nwb(folder / "inputs.nwb")} | _sections() | _responses()


def movie(frames: int = FRAMES) -> Recording:
    """A recording with two inputs and epochs, of neurons of the small brain."""
    rng = np.random.default_rng(0)
    inputs = Inputs(rng.normal(size=(frames, 2)), ("light", "touch"))
    epochs = {"on": ((2, 20), (24, 40), (50, 78)), "off": ((40, 50),)}
    units = teacher()[1][0].units[:4]
    return Recording("movie", 1 + rng.random((frames, 4)), units, RATE, inputs=inputs, epochs=epochs)


def _tables() -> dict[str, Kind]:
    rng = np.random.default_rng(1)
    light, speed = rng.normal(size=(2, 200))
    timed = "time_s,light,speed\n" + "".join(
        f"{k / 5 - 0.1:.3f},{a:.4g},{b:.4g}\n" for k, (a, b) in enumerate(zip(light, speed, strict=True))
    )
    rows = "light,speed\n" + "".join(f"{a:.4g},{b:.4g}\n" for a, b in zip(light[:FRAMES], speed, strict=False))
    epochs = "name,start_s,stop_s\non,1,8\noff,8,12\non,14,22.5\n\u00e9 2,24,39\n"
    own = "time_s,light,a,b\n" + "".join(
        f"{k / 2},{a:.4g},{b:.4g},{k % 7}\n" for k, (a, b) in enumerate(zip(light[:FRAMES], speed, strict=False))
    )
    bare = Recording("bare", np.random.default_rng(2).random((FRAMES, 2)), ("a", "b"), RATE)

    def table(resample: str, missing: str) -> Callable[[Path], object]:
        return lambda path: read_input_table(path, bare, resample=resample, missing=missing)

    def trials(path: Path) -> None:
        found = read_epochs(path, bare)
        select_epochs(found, list(found.epochs)[:2]).split(train=0.5, validation=0.0)

    good = (timed.encode(), rows.encode())
    return {
        "inputs.csv": Kind(".csv", good, table("mean", "mask")),
        "inputs.csv, whole": Kind(".csv", good, table("last", "error")),
        "inputs.csv, columns": Kind(
            ".csv", (own.encode(),), lambda path: read_recording(path, inputs=("light",), missing="mask")
        ),
        "epochs.csv": Kind(".csv", (epochs.encode(),), trials),
    }


WANTED = ("light", "speed", "trials", "odour")
"""Inputs in the file of `write_nwb_inputs`."""


def write_nwb_inputs(path: Path, change: Callable[[Any, Any], object] = lambda *_: None) -> Path:
    """Write an NWB file with a stimulus, behaviour, trials and an epoch; `change` is given pynwb and the file."""
    import pynwb

    rng = np.random.default_rng(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        file = pynwb.NWBFile(session_description="x", identifier="x", session_start_time=start)
        file.add_acquisition(pynwb.TimeSeries(name="traces", data=rng.normal(size=(FRAMES, 2)), unit="n.a.", rate=RATE))
        file.add_stimulus(pynwb.TimeSeries(name="light", data=rng.normal(size=200), unit="mW", rate=5.0))
        behaviour = file.create_processing_module("behavior", "x")
        behaviour.add(pynwb.TimeSeries(
            name="speed", data=rng.normal(size=(150, 2)), unit="mm/s", timestamps=np.arange(150) * 0.28))  # fmt: skip
        file.add_trial(start_time=1.0, stop_time=9.0)
        file.add_trial(start_time=12.0, stop_time=20.0)
        file.add_epoch(start_time=3.0, stop_time=30.0, tags=["odour", "left"])
        change(pynwb, file)
        with pynwb.NWBHDF5IO(path, "w") as io:
            io.write(file)
    return path


def _nwb(path: Path) -> Kind:
    write_nwb_inputs(path)

    def read(given: Path) -> None:
        found = read_recording(given, series="traces", inputs=WANTED, missing="mask")
        for name in found.epochs:
            select_epochs(found, [name])

    return Kind(".nwb", (path.read_bytes(),), read)


def _responses() -> dict[str, Kind]:
    """Tables of measured responses, and of silencing with a cell that names nobody."""
    table = pd.read_csv(Path(__file__).resolve().parents[1] / "examples" / "measured" / "responses.csv")
    silenced = table.head(4).assign(
        silenced=["AIBL", "id:RIML,AVAR", None, "AIBL"], stimulated=["AVAL", "AVAL", "AWBL", None]
    )
    return {
        f"{name}{end}": Kind(end, (good,), read_measured)
        for name, kind in (("responses", table), ("silencings", silenced))
        for end, good in _as_files(kind).items()
    }


def _as_files(table: pd.DataFrame) -> dict[str, bytes]:
    packed, written = io.BytesIO(), io.BytesIO()
    table.to_parquet(packed)
    table.to_feather(written)
    text = table.to_csv(index=False).encode()
    return {".csv": text, ".parquet": packed.getvalue(), ".feather": written.getvalue()}


def _sections() -> dict[str, Kind]:
    """Sections that say which frames, inputs and indicator a model has, up to the model."""
    whole = configuration.from_dict(
        json.loads(json.dumps({**SECTIONS, "data": dict(SECTIONS["data"], dataset="demo")}))
    )
    values = {name: configuration.to_dict(whole)[name] for name in ("data", "inputs", "model")}
    lines = "".join(f"{key} = {toml(value)}\n" for key, value in _given(SECTIONS).items()).encode()
    brain = teacher()[0]

    def built(path: Path) -> None:
        config: Config = configuration.read(path)
        cut = prepare_recordings(config.data, [movie()])
        cohort = Cohort.from_recordings(cut, inputs=config.inputs)
        readout, seen, use = Readout.by_name(brain, cohort.units), config.model.observation, cohort.inputs
        neuron = observe(
            find_cell(config.model.cell).with_options(), seen.indicator, step_s=cohort.step_s, decay_s=seen.decay_s,
            rise_s=seen.rise_s, bounds=seen.bounds, shared=seen.per == "all", drift_gain=seen.drift_gain,
        )  # fmt: skip
        conditions = ModelConditions(
            connectome=brain, readout=readout, step_s=cohort.step_s, drive="none",
            inputs=None if use is None else input_map(
                brain, readout, use.channels, len(use.lags), config.inputs.targets, shared=config.inputs.shared),
            likelihood=None if seen.noise == "squared" else Likelihood(seen.noise, seen.noise_degrees),
        )  # fmt: skip
        ConnectomeModel.wire(conditions, neuron)
        for recording in cohort.recordings:
            if recording.inputs is not None:
                recording.inputs.explaining(np.arange(recording.frames))
                recording.inputs.expected(np.array([3, 9]), 5)

    return {
        "sections.toml": Kind(".toml", (lines,), built, _as_toml),
        "sections.json": Kind(".json", (json.dumps(values).encode(),), built, _as_json),
    }


def _given(values: Mapping[str, object]) -> dict[str, object]:
    """Tables without the values that TOML cannot write."""
    return {
        key: _given(value) if isinstance(value, dict) else value for key, value in values.items() if value is not None
    }


def _as_toml(content: bytes, rng: random.Random) -> bytes:
    return (as_toml if rng.random() < 0.8 else as_bytes)(content, rng)


def _as_json(content: bytes, rng: random.Random) -> bytes:
    return (as_json if rng.random() < 0.8 else as_bytes)(content, rng)
