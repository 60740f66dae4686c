"""A user's own cell: the lines of docs/cells.md in a file, named in a configuration, and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from contracts import check_cell
from small import teacher, write_files

import connfit as cf
from connfit import config as configuration
from connfit.errors import ConfigError, DataError
from connfit.models.cells import CELLS, find_cell
from connfit.training import problem, runs

DOCS = Path(__file__).parent.parent / "docs" / "cells.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own_cell")
    write_files(folder)
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (folder / "tired.py").write_text(code, encoding="utf-8")
    return folder


def config(folder: Path, cell: str, *changes: str) -> configuration.Config:
    own = configuration.read(folder / "own.toml")
    quick = ("train.epochs=2", "train.free_run_epochs=0", "evaluate.left_out_units=0")
    return configuration.override(own, [f"model.cell={cell}", *quick, *changes])


@pytest.mark.slow
def test_the_cell_of_the_docs_keeps_the_contract(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_cell(f"{folder / 'tired.py'}:Tired")
    assert found.does.startswith("rates that tire") and set(found.groups) >= {"recovery", "weariness"}
    CELLS["rate"]  # filled before it is changed
    monkeypatch.setitem(CELLS._entries, "tired", replace(found, name="tired"))
    check_cell("tired", *teacher(), options={"weariness": 0.7})


def test_it_is_fitted_from_a_configuration_and_opened_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    out = folder / "run"
    fitted = runs.start(config(folder, "tired.py:Tired", "model.cell_options.weariness=0.2", "model.delay=1"), out)
    assert {"recovery", "weariness"} <= set(fitted.changed)
    np.testing.assert_allclose(fitted.initial_params["weariness"], 0.2)
    kept = json.loads((out / "config.json").read_text())["model"]
    assert kept["cell"] == f"{(folder / 'tired.py').resolve()}:Tired", "opened again from any working directory"
    table = fitted.neurons_table()
    seconds = table["recovery_fitted_s"].to_numpy()
    assert seconds.min() >= 0.5 and not np.allclose(seconds, table["recovery_start_s"])
    assert table.attrs["units"]["recovery_fitted_s"] == "s" and "weariness_fitted" in table
    monkeypatch.chdir("/")
    again = runs.load_fit(out)
    for key, value in fitted.params.items():
        np.testing.assert_array_equal(again.params[key], value)
    recording = again.cohort.recordings[0]
    np.testing.assert_array_equal(again.forecaster().one_step(recording), fitted.forecaster().one_step(recording))


def test_a_run_is_not_gone_on_with_by_another_cell(folder: Path) -> None:
    edited, out = folder / "edited.py", folder / "edited"
    code = (folder / "tired.py").read_text(encoding="utf-8")
    edited.write_text(code, encoding="utf-8")
    runs.start(config(folder, f"{edited}:Tired", "train.epochs=1"), out)
    edited.write_text(code.replace("alpha * h[0] +", "0.9 * alpha * h[0] +"), encoding="utf-8")
    for use in (runs.load_fit, runs.resume):
        with pytest.raises(DataError, match=r"its cell, .*edited\.py:Tired, was edited since this run began"):
            use(out)
    edited.write_text(code, encoding="utf-8")
    runs.load_fit(out)


def test_what_is_no_cell_is_named(folder: Path) -> None:
    path = folder / "tired.py"
    broken, other = folder / "broken.py", folder / "other.py"
    broken.write_text("1 / 0")
    other.write_text("class Tired:\n    pass\n")
    for name, message in {
        f"{folder / 'gone.py'}:Tired": "there is no file",
        f"{path}:Tyred": "Tyred is not there; did you mean 'Tired'",
        f"{other}:Tired": "is no subclass of connfit.models.Neuron",
        f"{broken}:Tired": r"cannot be imported \(ZeroDivisionError",
        "no_such_module_here:Tired": r"cannot be imported \(ModuleNotFoundError",
        "tired": "must be one of rate, rate-calcium",
    }.items():
        with pytest.raises(ConfigError, match=message):
            find_cell(name)
    with pytest.raises(ConfigError, match=r"model.cell_options.*'wearines'.*did you mean 'weariness'"):
        problem.prepare(config(folder, f"{path}:Tired", "model.cell_options.wearines=1"))
    with pytest.raises(ConfigError, match="weariness of the cell Tired starts at -1"):
        problem.prepare(config(folder, f"{path}:Tired", "model.cell_options.weariness=-1"))


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["rate-calcium", "adaptive-rate", "two-channel"])
@pytest.mark.parametrize("forcing", [0.0, 1.5])
def test_every_cell_is_fitted_and_forecasts(folder: Path, cell: str, forcing: float) -> None:
    job = problem.prepare(config(folder, cell, "train.epochs=20", f"model.state_forcing={forcing}", "model.delay=1"))
    own = [parameter.name for parameter in job.model.neuron.parameters]
    assert (
        own and set(own) <= set(job.trained) and all(job.parameter_counts()[name] == job.connectome.n for name in own)
    )
    fitted = job.fit()
    assert fitted.trained and set(own) & set(fitted.changed)
    forecaster, recording = fitted.forecaster(), fitted.cohort.recordings[0]
    one, ahead = forecaster.one_step_and_horizon(recording, np.array([20, 41]), 3)
    # A forecast one frame ahead is the prediction of that frame: all states are kept where it starts.
    np.testing.assert_allclose(ahead[:, 0], one[[21, 42]], rtol=1e-4, atol=1e-5)
    noise = 0.1 * np.random.default_rng(0).normal(size=(2, 6, len(recording.units)))
    driven = forecaster.free_run(recording, 60, 6, 10, noise)
    assert np.isfinite(driven).all() and np.abs(driven[0] - driven[1]).max() > 1e-3
    left_out = forecaster.left_out(recording, np.arange(2), 60, 64, 10)
    assert left_out.shape == (4, 2) and np.isfinite(left_out).all()


def test_a_held_neuron_takes_its_calcium_along() -> None:
    brain, recordings = teacher()
    readout = cf.Readout.by_name(brain, recordings[0].units)
    from connfit.models.connectome_model import ModelConditions
    from connfit.models.perturb import HeldNeurons, settled, simulate_perturbed

    model = CELLS["rate-calcium"].build(ModelConditions(connectome=brain, readout=readout, step_s=0.5))
    params = cf.init_params(model, brain, readout, mean_activity=np.ones(readout.units))
    start = settled(model, params, np.ones(readout.units))
    held = HeldNeurons(np.array([0]), np.array([3.0]))
    got = simulate_perturbed(model, params, held, 60, start.neurons)
    unit = int(np.flatnonzero(readout.matrix[:, [0]].toarray().ravel())[0])
    beta = float(np.exp(-0.5 / 1.0))
    steps = np.arange(1, 61)
    calcium = float(start.neurons.states[1][0, 0])
    # c(t) = β^t c(0) + (1 - β^t) 3: calcium follows the held rate from the first step on.
    expected = beta**steps * calcium + (1 - beta**steps) * 3.0
    np.testing.assert_allclose(got.perturbed[:, unit], expected, rtol=1e-4)
    assert jnp.isfinite(params["log_calcium_decay"]).all()
