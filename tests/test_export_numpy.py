"""`model.py` of an export predicts what connfit predicts; the script is run by a Python that does not see connfit."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import random_connectome
from odd_names import odd_fit
from small import OPTIONS, first_fast, raw_movies

import connfit as cf
from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.export.export_run import export_run
from connfit.export.exported_run import ExportedRun
from connfit.export.formats.numpy_script import write_numpy
from connfit.models.cells.rate import Rate
from connfit.recordings.inputs import Inputs
from connfit.training.fitted import Fit

NO_CONNFIT = "import sys; sys.modules['connfit'] = sys.modules['jax'] = None; import runpy; "


def run_script(folder: Path) -> str:
    """Run `model.py` from elsewhere; an import of connfit or JAX would be an error."""
    code = f"{NO_CONNFIT}runpy.run_path({str(folder / 'model.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def brain(electrical: int = 0, *, mixed: bool = False) -> Connectome:
    found = random_connectome(np.random.default_rng(3), 40, 5, electrical=electrical, mixed=mixed)
    return replace(found, neurons=found.neurons.assign(region=[chr(65 + k % 5) for k in range(40)]))


def stimulated(lags_apart: bool = False) -> list[cf.Recording]:
    """Recordings with two inputs, one of which is not known everywhere."""
    movies = []
    for k, movie in enumerate(raw_movies()):
        values = np.random.default_rng(k).normal(size=(movie.frames, 2))
        mask = np.ones(values.shape, bool)
        mask[30:50, 1] = False
        blocks = ((0, 90), (90, 150), (150, movie.frames)) if lags_apart else ()
        movies.append(replace(movie, inputs=Inputs(values, ("light", "odour"), mask=mask), blocks=blocks))
    return movies


def by_region() -> list[cf.Recording]:
    return [replace(movie.select_units(movie.units[:5]), units=tuple("ABCDE")) for movie in raw_movies()]


def with_holes(movies: list[cf.Recording]) -> list[cf.Recording]:
    holes = np.random.default_rng(0).random(movies[0].values.shape) < 0.1
    return [replace(movies[0], mask=~holes), *movies[1:]]


def moved(brain: Connectome, movies: list[cf.Recording], **options: object) -> Fit:
    """A fit without training, whose parameters were moved at random so that none is special."""
    job = cf.prepare_fit(brain, movies, **{**OPTIONS, **options})
    rng = np.random.default_rng(1)
    params = {key: value + 0.05 * rng.normal(size=value.shape).astype(np.float32) for key, value in job.params.items()}
    return Fit(job.model, job.model.project(params), job.params, job.cohort, (), job=job)


SEEN = {"indicator": "order-2", "decay_s": 1.5, "rise_s": 0.6, "gain": "unit", "drift_gain": 0.05}
MODELS = {
    "calcium, late synapses": lambda: moved(
        brain(), with_holes(raw_movies()), cell="rate-calcium", delay=2, state_forcing=0.7
    ),
    "adaptation, gap junctions, regions": lambda: moved(
        brain(6), with_holes(by_region()), cell="adaptive-rate", state_forcing=0.8
    ),
    "two channels, gap junctions, inputs, steps": lambda: moved(
        brain(6), stimulated(), cell="two-channel", nonlinearity="softplus", substeps=2
    ),
    "indicator, gains, drift": lambda: moved(brain(), with_holes(raw_movies()), observation=SEEN, state_forcing=1.0),
    "shared gains, anatomical drive, blocks": lambda: moved(
        brain(), stimulated(lags_apart=True), strengths="gain_per_neuron", drive="anatomical", lags=[1, 3]
    ),
    "learned read-out, no drive": lambda: moved(brain(), raw_movies(), learned_readout=True, drive="none"),
    "both signs, gap junctions, two channels": lambda: moved(brain(6, mixed=True), raw_movies(), cell="two-channel"),
    "both signs": lambda: moved(brain(mixed=True), raw_movies()),
}


@pytest.mark.parametrize("model", first_fast(MODELS, 4))
def test_the_script_predicts_as_connfit_does(model: str, tmp_path: Path) -> None:
    fit, run, folder = MODELS[model](), ExportedRun(tmp_path), tmp_path / "numpy"
    vars(run)["fit"] = fit
    folder.mkdir()
    write_numpy(run, folder)
    assert run_script(folder).count("differs from connfit by at most") == 2
    # What the script compares with is what connfit says, not what the export made of it.
    for number, recording in enumerate(fit.cohort.recordings, start=1):
        with np.load(folder / "recordings" / f"{number:02d}.npz") as file:
            np.testing.assert_allclose(file["predicted"], fit.predict(recording.name), atol=1e-6)
            assert np.isfinite(file["predicted"]).sum() >= 190 * len(recording.units)


@pytest.mark.slow
def test_free_runs_are_those_of_connfit(odd_run: Path, tmp_path: Path) -> None:
    export_run(odd_run, ["numpy"], tmp_path)
    folder = tmp_path / "numpy"
    run_script(folder)
    fit = cf.load_fit(odd_run)
    noise = 0.1 * np.random.default_rng(2).normal(size=(1, 30, len(fit.cohort.units))).astype(np.float32)
    for number, recording in enumerate(fit.cohort.recordings, start=1):
        reached = fit.cohort.columns[number - 1]
        np.savez(tmp_path / f"noise{number}.npz", noise=noise[0])
        code = (
            f"{NO_CONNFIT}import numpy as np; sys.path.insert(0, {str(folder)!r}); import model\n"
            f"recording = model.load(model.HERE / 'recordings' / '{number:02d}.npz')\n"
            f"noise = np.load({str(tmp_path / f'noise{number}.npz')!r})['noise']\n"
            f"quiet, driven = model.free_run(recording, 160, 30, warmup=20), "
            f"model.free_run(recording, 160, 30, noise, warmup=20)\n"
            f"np.savez({str(tmp_path / f'runs{number}.npz')!r}, quiet=quiet, driven=driven)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        found = np.load(tmp_path / f"runs{number}.npz")
        quiet = fit.simulate(recording.name, start=160, frames=30, warmup=20)
        driven = fit.simulate(recording.name, start=160, frames=30, warmup=20, noise=noise[..., reached])
        np.testing.assert_allclose(found["quiet"][:, reached], quiet, atol=1e-5)
        np.testing.assert_allclose(found["driven"][:, reached], driven[0], atol=1e-5)


def test_a_wrong_parameter_is_noticed_by_the_script(odd_run: Path, tmp_path: Path) -> None:
    export_run(odd_run, ["numpy"], tmp_path)
    path = tmp_path / "numpy" / "parameters.npz"
    with np.load(path) as file:
        arrays = {**file}
    np.savez(path, **{**arrays, "bias": arrays["bias"] + 1e-3})
    done = subprocess.run([sys.executable, tmp_path / "numpy" / "model.py"], capture_output=True, text=True)
    assert done.returncode == 1 and "differs" in done.stdout


def test_a_cell_of_somebody_else_is_refused(tmp_path: Path) -> None:
    class Own(Rate):
        """A cell that connfit does not know."""

    fit = odd_fit(epochs=0)
    model = replace(fit.model, neuron=Own())
    run = ExportedRun(tmp_path)
    vars(run)["fit"] = replace(fit, model=model)
    with pytest.raises(ConfigError, match=r"the cell Own is not one of connfit, .*: export tables, nwb or figures"):
        write_numpy(run, tmp_path)
