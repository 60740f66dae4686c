"""NWB files of an export: valid for pynwb, and with the numbers of connfit."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_names import RECORDINGS, UNITS
from test_export_numpy import brain, moved, stimulated

import connfit as cf
from connfit.errors import NotAvailableError
from connfit.evaluation.forecasts import Forecasts
from connfit.export import formats
from connfit.export.export_run import export_run
from connfit.export.exported_run import ExportedRun
from connfit.export.formats.nwb_session import write_nwb

pytestmark = pytest.mark.filterwarnings("ignore")  # of pynwb, about itself


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynwb

        found = pynwb.validate(path=str(path))
        errors = found[0] if isinstance(found, tuple) else found  # before and since pynwb 3
        assert not errors, errors
        with pynwb.NWBHDF5IO(path=str(path), mode="r") as io:
            yield io.read()


def test_files_are_valid_and_hold_what_connfit_predicts(odd_run: Path, tmp_path: Path) -> None:
    export_run(odd_run, ["nwb"], tmp_path)
    fit = cf.load_fit(odd_run)
    forecasts = Forecasts.load(odd_run / "forecasts.npz")
    for number, recording in enumerate(fit.cohort.recordings, start=1):
        with opened(tmp_path / "nwb" / f"{number:02d}.nwb") as file:
            assert file.identifier == recording.name == RECORDINGS[number - 1]
            module, recorded = file.processing["connfit"], file.acquisition["activity"]
            np.testing.assert_array_equal(recorded.data[:], np.where(recording.mask, recording.values, np.nan))
            assert recorded.rate == recording.frame_rate and recorded.unit == recording.value_units
            assert list(module["units"]["unit"][:]) == list(recording.units)
            assert [list(each) for each in module["units"]["neurons"][:]] == [[unit] for unit in recording.units]
            one = module["one_step_prediction"].data[:]
            np.testing.assert_allclose(one, fit.predict(recording.name), atol=1e-5)
            quiet, start = module["free_run_without_noise"], recording.require_parts().test[0]
            np.testing.assert_allclose(quiet.data[:], fit.simulate(recording.name), atol=1e-5)
            assert quiet.starting_time == pytest.approx(start / recording.frame_rate)
            part = forecasts.recordings[recording.name].parts["test"]
            np.testing.assert_array_equal(module["free_run"].data[:], part.free_run[:])
            parts = file.intervals["parts"].to_dataframe()
            assert list(parts["part"]) == ["train", "validation", "test"]
            assert parts["stop_time"].iloc[-1] == pytest.approx(recording.duration_s)
            assert parts["start_time"].iloc[-1] == pytest.approx(start / recording.frame_rate)
            assert list(module["neurons"]["neuron_id"][: len(UNITS)]) == list(UNITS)
            np.testing.assert_allclose(module["neurons"]["bias_fitted"][:], fit.params["bias"])
            assert json.loads(file.notes)["train"]["epochs"] == 1
    text = (tmp_path / "nwb" / "README.md").read_text(encoding="utf-8")
    assert "- `01.nwb`: movie/1" in text and "\x1b" not in text
    again = cf.read_recording(tmp_path / "nwb" / "01.nwb", series="activity")
    np.testing.assert_array_equal(again.values, fit.cohort.recordings[0].values)
    assert again.name == RECORDINGS[0]


def test_inputs_and_irregular_times_are_kept(tmp_path: Path) -> None:
    movies = stimulated()
    times = np.cumsum(np.random.default_rng(0).uniform(0.45, 0.55, movies[0].frames))
    fit, run = moved(brain(), [replace(movies[0], times=times), movies[1]]), ExportedRun(tmp_path)
    vars(run)["fit"] = fit
    write_nwb(run, tmp_path)
    with opened(tmp_path / "01.nwb") as file:
        inputs, recorded = file.acquisition["inputs"], movies[0].inputs
        assert recorded is not None and "light, odour" in inputs.description
        np.testing.assert_allclose(inputs.data[:], np.where(recorded.mask, recorded.values, np.nan), rtol=1e-6)
        np.testing.assert_array_equal(inputs.timestamps[:], times)
        start = fit.cohort.recordings[0].require_parts().test[0]
        quiet = file.processing["connfit"]["free_run_without_noise"]
        np.testing.assert_array_equal(quiet.timestamps[:], times[start:])
        assert "free_run" not in file.processing["connfit"].data_interfaces, "this run was not evaluated"


def test_without_pynwb_it_says_how_to_install_it(
    odd_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(NotAvailableError, match=r"nwb needs pynwb: pip install 'connfit\[nwb\]'"):
        export_run(odd_run, ["nwb"], tmp_path / "out")


def test_a_run_that_was_not_evaluated_has_no_driven_run(odd_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(odd_run, run, ignore=shutil.ignore_patterns("metrics.json", "forecasts.npz"))
    export_run(run, ["nwb"], tmp_path)
    with opened(tmp_path / "nwb" / "01.nwb") as file:
        assert "free_run" not in file.processing["connfit"].data_interfaces
