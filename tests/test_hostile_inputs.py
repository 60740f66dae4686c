"""Hostile names of inputs, epochs, files of both and cells go through fits, analyses and reports as they are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hostile import NAMES, UNSTORABLE, write_hostile_files
from test_hostile_names import CONTROLS, LITTLE, say

from connfit._display import visible
from connfit.config import DataConfig, InputsConfig, from_dict
from connfit.connectome.cell_words import is_missing
from connfit.datasets.given_data import GivenData, cut_out, saved_recordings
from connfit.errors import ConfigError, ConnfitError, DataError
from connfit.models.cells import find_cell
from connfit.recordings import Inputs, Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.readers.epoch_table import read_epochs
from connfit.recordings.readers.input_table import read_input_table
from connfit.training.runs import load_fit

CELL = """
from connfit.models import Neuron, Parameter, relu

class {name}(Neuron):
    '''[/red]\\x1b[31m\u202e $\\\\frac$ <script>alert(1)</script>'''
    states = ("[/red]$x_1$",)
    parameters = (Parameter("{name}_k", start=0.5, unit="[/b]$\\\\frac$"),)

    def step(self, theta, h, x):
        return theta["time_constants"] * h[0] + (1 - theta["time_constants"]) * relu(x[0] - theta["{name}_k"])
"""
CLASS = "Größe_名"

PRINTABLE = tuple(name for name in NAMES if name == name.strip() and len(name.splitlines()) == 1)
"""Names of one line, which tables in CSV files can hold."""


def movie(frames: int = 40) -> Recording:
    return Recording("movie", np.random.default_rng(0).random((frames, 2)), ("a", "b"), 2.0)


def test_columns_of_inputs_keep_their_names(tmp_path: Path) -> None:
    path = tmp_path / "[red]in\x1b.csv"
    values = np.random.default_rng(0).normal(size=(40, len(PRINTABLE)))
    pd.DataFrame(values, columns=list(PRINTABLE)).to_csv(path, index=False)
    found = read_input_table(path, movie())
    assert found.inputs is not None and found.inputs.channels == PRINTABLE
    cohort = Cohort.from_recordings([found.split()], inputs=InputsConfig(channels=PRINTABLE[:5]))
    assert cohort.inputs is not None and cohort.inputs.channels == PRINTABLE[:5]
    with pytest.raises(DataError) as error:
        read_input_table(path, movie(30))
    assert not CONTROLS.search(str(error.value)) and "[red]in\\x1b.csv" in str(error.value)


def test_epochs_keep_their_names(tmp_path: Path) -> None:
    path, names = tmp_path / "e.csv", [name for name in PRINTABLE if not is_missing(name)]
    whole = movie(4 * len(names) + 4)
    starts = 2.0 * np.arange(len(names))
    pd.DataFrame({"name": names, "start_s": starts, "stop_s": starts + 2}).to_csv(path, index=False)
    found = read_epochs(path, whole)
    assert list(found.epochs) == names
    for name in names[:8]:
        (cut,) = cut_out(DataConfig(epochs=(name,)), [found])
        assert cut.frames == 4
    with pytest.raises(ConfigError) as error:
        cut_out(DataConfig(epochs=("\x1b[31mnone",)), [found])
    assert not CONTROLS.search(str(error.value))


@pytest.mark.parametrize("name", UNSTORABLE)
def test_what_no_file_can_hold_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="holds"):
        Inputs(np.ones((3, 1)), (name,))
    with pytest.raises(DataError, match="holds"):
        Inputs(np.ones((3, 1)), ("x",), (name,))
    with pytest.raises(DataError, match="holds"):
        replace(movie(), epochs={name: ((0, 3),)})
    for values in (
        {"data": {"epochs": [name]}}, {"inputs": {"channels": [name]}}, {"inputs": {"targets": name}},
        {"inputs": {"targets": {name: "all"}}}, {"data": {"crop_s": {name: [0, 1]}}}, {"model": {"cell": name}},
        {"model": {"observation": {"indicator": name}}}, {"data": {"recording_files": {"files": [], "inputs": [name]}}},
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            from_dict({"data": {}, **values})


def test_inputs_are_kept_with_a_run(tmp_path: Path) -> None:
    from small import teacher

    inputs = Inputs(np.ones((40, 2)), ("[/red]\x1b", "a\nb"), ("\u202e", "$\\frac$"))
    GivenData(teacher()[0], (replace(movie(), inputs=inputs).split(),)).save(tmp_path)
    (back,) = saved_recordings(DataConfig(saved=str(tmp_path)), held_out=False)
    assert back.inputs is not None and (back.inputs.channels, back.inputs.units) == (inputs.channels, inputs.units)


@pytest.mark.parametrize(
    "name", ["[/red]\x1b", "a\nb", "x" * 300, "..", "a/b", "\u202e", "$\\frac$", "", ":", "::", ".py:"]
)
def test_a_cell_that_there_is_not_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for cell in (name, f"{name}:Own", f"{name}.py:Own", f"own:{name}"):
        with pytest.raises(ConnfitError) as error:
            find_cell(cell)
        assert not CONTROLS.search(str(error.value)) and "\n" not in str(error.value)


@pytest.mark.slow
def test_a_run_with_all_of_them(tmp_path: Path) -> None:
    """Fit, report, analysis, simulation: hostile inputs, epochs, and a cell whose file and class are hostile, too."""
    config = write_hostile_files(tmp_path)
    cell = tmp_path / "[red] cell$.py"
    cell.write_text(CELL.format(name=CLASS), encoding="utf-8")
    text, channels = config.read_text(encoding="utf-8"), ["[bold]x[/]", "[/red]", "$\\frac$", "a,b"]
    rng, beside, epochs = np.random.default_rng(0), [], []
    for number in range(3):
        pd.DataFrame(rng.normal(size=(80, 4)), columns=channels).to_csv(tmp_path / f"in[{number}].csv", index=False)
        table = {"name": ["[/red]", "a\u202eb"], "start_s": [0, 21], "stop_s": [20, 39]}
        pd.DataFrame(table).to_csv(tmp_path / f"e$[{number}].csv", index=False)
        beside.append(f"in[{number}].csv")
        epochs.append(f"e$[{number}].csv")
    files = f"[data.recording_files]\ninput_files = {json.dumps(beside)}\nepoch_files = {json.dumps(epochs)}"
    text = text.replace("[data.recording_files]", files)
    config.write_text(text + f"\n[inputs]\nchannels = {json.dumps(channels)}\n", encoding="utf-8")
    run = tmp_path / "run [b]"
    settings = [part for option in (*LITTLE, f"model.cell={cell}:{CLASS}") for part in ("--set", option)]
    said = say("fit", str(config), "--out", str(run), *settings)
    assert said.code == 0 and "could not be drawn" not in said.err, said.err
    fit = load_fit(run)
    assert fit.cohort.inputs is not None and list(fit.cohort.inputs.channels) == channels
    assert any(str(column).startswith(f"{CLASS}_k_fitted") for column in fit.neurons_table())
    for command in (
        ("analyze", str(run), "--repeats", "20", "--power-draws", "0"), ("report", str(run)),
        ("simulate", str(run), "--input", f"{channels[1]}=2", "--seconds", "3"),
    ):  # fmt: skip
        said = say(*command)
        assert said.code == 0 and "could not be drawn" not in said.err, (command, said.err)
    html = (run / "report.html").read_text(encoding="utf-8")
    assert not CONTROLS.search(html) and "<script>alert" not in html
    assert re.search(re.escape(visible("[/red]")), html)
