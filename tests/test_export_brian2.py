"""The Brian2 script of an export predicts what connfit predicts.

`CONNFIT_BRIAN2_PYTHON` names a Python that has Brian2, which lags behind NumPy: default the one that runs the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_export_numpy import MODELS, SEEN, brain, by_region, moved, raw_movies, stimulated, with_holes

from connfit.errors import ConfigError
from connfit.export.exported_run import ExportedRun
from connfit.export.formats.brian2_script import write_brian2
from connfit.training.fitted import Fit

PYTHON = os.environ.get("CONNFIT_BRIAN2_PYTHON", sys.executable)


def written(fit: Fit, folder: Path) -> Path:
    run = ExportedRun(folder)
    vars(run)["fit"] = fit
    (folder / "brian2").mkdir()
    write_brian2(run, folder / "brian2")
    return folder / "brian2"


@pytest.fixture(scope="module")
def brian2() -> None:
    if subprocess.run([PYTHON, "-c", "import brian2"], capture_output=True).returncode:
        pytest.skip("needs Brian2: set CONNFIT_BRIAN2_PYTHON to a Python that can import it")


RATES = {
    "gap junctions, regions, forcing": lambda: moved(brain(6), with_holes(by_region()), state_forcing=0.8),
    "softplus, inputs, steps, blocks": lambda: moved(
        brain(), stimulated(lags_apart=True), nonlinearity="softplus", substeps=2
    ),
    "own gains, no drive": lambda: moved(brain(), raw_movies(), drive="none", observation={"gain": "unit"}),
}


@pytest.mark.usefixtures("brian2")
@pytest.mark.parametrize("model", RATES)
def test_the_script_predicts_as_connfit_does(model: str, tmp_path: Path) -> None:
    folder = written(RATES[model](), tmp_path)
    done = subprocess.run([PYTHON, folder / "brian_model.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("differs from connfit by at most") == 2
    # A wrong time constant is noticed: the equations do use it.
    script = folder / "brian_model.py"
    script.write_text(script.read_text().replace("(target - r) / tau", "(target - r) / (1.01 * tau)"))
    assert subprocess.run([PYTHON, script], capture_output=True).returncode == 1


def test_what_the_equations_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="these have rate, calcium: export numpy instead"):
        written(MODELS["calcium, late synapses"](), tmp_path)
    (tmp_path / "late").mkdir()
    with pytest.raises(ConfigError, match=r"model\.delay = 2: Brian2 sums rates"):
        written(moved(brain(), raw_movies(), delay=2), tmp_path / "late")
    (tmp_path / "seen").mkdir()
    with pytest.raises(ConfigError, match="these have rate, rise, indicator, baseline"):
        written(moved(brain(), raw_movies(), observation=SEEN), tmp_path / "seen")
