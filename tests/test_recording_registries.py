"""Readers, preprocessing steps, starts and starting weights: all of them keep their contract, and no list lacks one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from contracts import check_reader, check_start, check_step, check_weights
from recording_files import OPTIONS, UNITS, WRITERS
from small import regional_connectome, teacher
from test_caiman import write_caiman
from test_labelled_arrays import write_netcdf
from test_preprocess import CASES, made
from test_suite2p import write_suite2p

import connfit
from connfit.config import AUTO, FALLBACK, from_dict
from connfit.errors import ConfigError
from connfit.evaluation.noise_floor import coloured_by
from connfit.models.init.start import STARTS
from connfit.models.init.starting_weights import WEIGHTS
from connfit.recordings.preprocess import STEPS
from connfit.recordings.readers import READERS, find_reader
from connfit.training.problem import prepare

ROOT = Path(__file__).parents[1]
SOURCE = Path(connfit.__file__).parent
OTHER_WRITERS = {"r.npy": write_suite2p, "r.caiman.hdf5": write_caiman, "r.nc": write_netcdf}
OTHER_OPTIONS = {name: {} if name == "r.nc" else {"unit_table": "names.csv"} for name in OTHER_WRITERS}


@pytest.mark.parametrize("name", list(READERS))
def test_every_reader_keeps_its_contract(name: str, tmp_path: Path) -> None:
    writers = {**WRITERS, **OTHER_WRITERS}
    (file,) = [file for file in writers if find_reader(file).name == name]

    def write(path: Path, values: np.ndarray) -> None:
        writers[file](path, values=values, times=np.arange(len(values)) / 2.0)

    check_reader(name, write, tmp_path, {**OPTIONS, **OTHER_OPTIONS}[file], UNITS)


@pytest.mark.parametrize("name", list(STEPS))
def test_every_step_keeps_its_contract(name: str) -> None:
    cases = [step for step in CASES.values() if step["step"] == name]
    assert cases, "tests/test_preprocess.py has no case of this step"
    for step in cases:
        check_step(made(4, missing=0.1), step)


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_all_starting_weights_keep_their_contract(name: str) -> None:
    check_weights(name, regional_connectome())


@pytest.mark.parametrize("name", list(STARTS))
def test_every_start_keeps_its_contract(name: str) -> None:
    brain, (movie, _) = teacher()
    for drive in ("dense", "none"):
        check_start(name, brain, movie, drive=drive)


def test_no_two_readers_want_one_file() -> None:
    ends = [end for reader in READERS.values() for end in reader.suffixes]
    assert len(set(ends)) == len(ends)


def test_defaults_and_what_a_recipe_may_choose_are_registered() -> None:
    assert FALLBACK["drive_start"] in STARTS and FALLBACK["weights"] in WEIGHTS
    assert [name for name in STARTS if STARTS[name].automatic] == ["persistence", "regression", "balance"]
    assert [name for name in WEIGHTS if WEIGHTS[name].automatic] == ["counts", "input_fraction"]
    for start in STARTS.values():
        searched = {option for stage in start.searched for option in stage}
        assert searched <= set(FALLBACK) and set(start.only_here) <= set(start.options.__struct_fields__)


def test_steps_say_whether_they_colour_noise_or_remove_drift() -> None:
    coloured = {name for name in STEPS if coloured_by([{"step": name}]) == name}
    assert coloured == {"deconvolve", "smooth", "to_substeps"}
    assert coloured_by([{"step": "of a dataset"}, {"step": "scale"}]) is None
    assert {name for name in STEPS if STEPS[name].removes_drift} == {
        "high_pass",
        "running_baseline",
        "remove_bleaching",
    }


def row(text: str, first: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {first}"))


def test_documentation_lists_all_of_them() -> None:
    data, runs = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("data.md", "runs.md"))
    formats = data[data.rindex("| Format | Layout |") :].split("\n\n")[0].splitlines()[2:]
    assert sorted(line.split(" | ")[0].removeprefix("| ") for line in formats) == sorted(
        reader.label for reader in READERS.values()
    )
    steps = data[data.index("| Step | Options") :].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", steps, re.MULTILINE)) == set(STEPS) - {"to_substeps"}
    assert set(re.findall(r"`(\w+)`", row(runs, "`drive_start`"))) == {"drive_start", *STARTS}
    assert set(re.findall(r"`(\w+)`", row(runs, "`weights` | auto"))) == {"weights", *WEIGHTS}


@pytest.mark.parametrize(
    ("home", "names"),
    [
        ("recordings", {"npz", "hdf5", "nwb", "running_baseline", "remove_bleaching"}),
        ("models/init", {"input_fraction", "truncated_normal"}),
    ],
)
def test_there_is_no_second_table_of_names(home: str, names: set[str]) -> None:
    found = {
        (path.name, name)
        for path in SOURCE.rglob("*.py")
        # Of formats that are written, one may have the name of one that is read.
        if not path.is_relative_to(SOURCE / home) and not path.is_relative_to(SOURCE / "export")
        for name in names
        if f'"{name}"' in path.read_text(encoding="utf-8")
    }
    assert found == set()


def test_unknown_names_are_an_error_with_the_nearest() -> None:
    for option, wrong, right in (
        ("drive_start", "persistance", "persistence"),
        ("weights", "input_fractions", "input_fraction"),
        ("drive_start", "aut", AUTO),
    ):
        config = from_dict({"data": {"dataset": "nothing is read"}, "model": {option: wrong}})
        with pytest.raises(ConfigError, match=rf"model\.{option} is '{wrong}', .*did you mean '{right}'\?"):
            prepare(config)
    with pytest.raises(ConfigError, match=r"model\.start_options are of one start"):
        prepare(from_dict({"data": {}, "model": {"start_options": {"level": 1}}}))
    with pytest.raises(ConfigError, match=r"preprocess\[0\]\.step is 'high_pas', .*did you mean 'high_pass'\?"):
        connfit.preprocess(made(), [{"step": "high_pas"}])
