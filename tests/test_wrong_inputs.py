"""Inputs, epochs and stretches that that are wrong are one line with what would be right; nothing is cut in silence."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from fuzz_inputs import FRAMES, RATE, WANTED, write_nwb_inputs

from connfit.config import DataConfig, InputsConfig, ModelConfig, ObservationConfig, from_dict
from connfit.datasets.given_data import cut_out
from connfit.errors import ConfigError, ConnfitError, DataError, DataWarning
from connfit.models.cells.rate import Rate
from connfit.models.observation import observe
from connfit.recordings import Inputs, Recording
from connfit.recordings.inputs import InputUse
from connfit.recordings.readers import read_recording
from connfit.recordings.readers.epoch_table import read_epochs
from connfit.recordings.readers.input_table import read_input_table
from connfit.recordings.stretches import as_blocks, crop, select_epochs
from connfit.training.fit_brain import prepare_fit
from connfit.training.runs import load_fit


def movie(frames: int = 30, rate: float = 2.0, **more: Any) -> Recording:
    values = np.random.default_rng(0).normal(size=(frames, 2))
    return Recording("movie", values, ("a", "b"), rate, **more)


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text and len(text) < 1000
    return text


ROWS = [f"{k / 2},{k}\n" for k in range(30)]

TABLES = {
    "light\n1\n2\n": "2 rows for the 30 frames of recording 'movie', and no column of times. Give a row",
    "time_s,light\n": "is empty|rows",
    "": "is empty|no columns|header",
    "time_s\n0\n1\n": "there is no column beside the times; its columns are time_s",
    "time_s,light\n0,1\n0,2\n": "the time of row 2 is not later than that of the row before",
    "time_s,light\n5,1\n1,2\n": "the time of row 2 is not later",
    "time_s,light\n0,1\n,2\n": "row 2 has no time",
    "time_s,light\n0,1\n1,2\n": "its rows, from 0 s to 1 s, cover .* of 30 frames, which are from 0 s to 14.5 s",
    "time_s,light\n0,1\n1,on\n": "row 2, column 'light': 'on' is not a number",
    "time_s,light\n0,1\n\n1,2\n": "line 3 is blank",
    "time_s,light,light\n0,1,1\n1,2,2\n": "light",
    "time_s, ,x\n0,1,2\n20,2,3\n": "channel name|has no name|name",
    "time_s,light\n" + "".join([*ROWS[:3], "1.5,\n", *ROWS[4:]]):
        "1 values of inputs are missing .*row 4.*missing='mask'",
    "time_s,light\n" + "".join([*ROWS[:3], "1.5,1e300\n", *ROWS[4:]]):
        "missing or infinite, the first in row 4, channel 'light'",
    "frame,light\n" + "".join(f"{k},{k % 3}\n" for k in range(30)): "'frame' is no unit and no input: it only rises",
    "time_s;light\n" + "".join(ROWS).replace(",", ";"): "time_s;light|;",
    "time_s,light\n" + "".join(ROWS[:9] + ROWS[14:]): "cover 2. of 30 frames",
}  # fmt: skip


@pytest.mark.parametrize("text", TABLES)
def test_a_table_of_inputs(text: str, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConnfitError, match=TABLES[text]) as found:
        read_input_table(path, movie())
    assert "in.csv: " in one_line(found)


def test_a_table_of_inputs_beside_others(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("light\n" + "".join(f"{k}\n" for k in range(30)), encoding="utf-8")
    with pytest.raises(DataError, match=r"in\.csv: the recording has an input light already"):
        read_input_table(path, movie(inputs=Inputs(np.ones((30, 1)), ("light",))))
    with pytest.raises(DataError, match=r"the inputs light are named twice"):
        read_input_table(path, movie(), channels=("light", "light"))
    with pytest.raises(DataError, match=r"there is no column dark; its columns are light"):
        read_input_table(path, movie(), channels=("dark",))
    with pytest.raises(ConfigError, match="resample is 'median', but must be one of mean, last"):
        read_input_table(path, movie(), resample="median")
    with pytest.raises(DataError, match="no such file"):
        read_input_table(tmp_path / "gone.csv", movie())


EPOCHS = {
    "name,start_s\non,1\n": "stop_s",
    "name,start_s,stop_s\n": "empty|no epoch|rows",
    "name,start_s,stop_s\non,5,3\n": "row 1: the epoch 'on' is from 5 s to 3 s",
    "name,start_s,stop_s\non,5,5\n": "row 1: the epoch 'on' is from 5 s to 5 s. Give every epoch a name",
    "name,start_s,stop_s\n,1,3\n": "row 1: the epoch '' is from",
    "name,start_s,stop_s\non,,3\n": "row 1: the epoch 'on' is from nan s",
    "name,start_s,stop_s\non,1,inf\n": "row 1: the epoch 'on' is from 1 s to inf s",
    "name,start_s,stop_s\non,one,3\n": "row 1, column 'start_s': 'one' is not a number",
    "name,start_s,stop_s\non,100,130\n": "no epoch holds a frame of recording 'movie'",
}  # fmt: skip


@pytest.mark.parametrize("text", EPOCHS)
def test_a_table_of_epochs(text: str, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConnfitError, match=EPOCHS[text]) as found, warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        read_epochs(path, movie())
    assert "e.csv: " in one_line(found)


def test_epochs_that_are_cut_or_hold_nothing_are_said(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("name,start_s,stop_s\non,2,4\nlate,13,20\nshort,5.1,5.2\n", encoding="utf-8")
    with pytest.warns(DataWarning, match=r"e\.csv: 2 epochs .* 0 s to 14\.5 s.*left out: late \(13 s to 20 s\), short"):
        found = read_epochs(path, movie())
    assert found.epochs == {"on": ((4, 8),), "late": ((26, 30),)}
    path.write_text("name,start_s,stop_s\non,2,4\nlast,13,15\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_epochs(path, movie())


def test_epochs_that_overlap_are_named() -> None:
    whole = movie(epochs={"on": ((2, 9), (20, 25)), "off": ((8, 12),)})
    with pytest.raises(DataError, match=r"the epochs 'on' from frame 2 to 9 and 'off' from frame 8 to 12 overlap"):
        select_epochs(whole, ["on", "off"])
    with pytest.raises(ConfigError, match=r"data\.epochs names 'onn', .*did you mean 'on'\?; it has on, off"):
        select_epochs(whole, ["onn"])
    with pytest.raises(ConfigError, match=r"data\.epochs = \('on', 'on'\) names an epoch twice"):
        DataConfig(epochs=("on", "on"))


RECORDINGS: dict[str, tuple[dict[str, Any], str]] = {
    "times of others": ({"times": np.arange(29.0)}, r"shape \(29,\), but must be 30 numbers"),
    "times of a list": ({"times": [0.0, 1.0]}, "must be 30 numbers"),
    "words": ({"times": np.array(["0"] * 30)}, "times are <U1"),
    "not finite": ({"times": np.r_[np.arange(29.0), np.nan]}, "the time of frame 29 is nan s"),
    "going back": (
        {"times": np.r_[np.arange(29.0), 3.0]},
        "the time of frame 29 is 3 s. Times must be finite, and each",
    ),
    "reversed epoch": (
        {"epochs": {"on": ((5, 2),)}},
        r"epoch 'on' is from 5 to 2. Give pairs .* 0 <= start < stop <= 30",
    ),
    "empty epoch": ({"epochs": {"on": ((5, 5),)}}, "epoch 'on' is from 5 to 5"),
    "epoch beyond": ({"epochs": {"on": ((5, 31),)}}, "epoch 'on' is from 5 to 31"),
    "epoch of seconds": ({"epochs": {"on": ((0.5, 2.5),)}}, "epoch 'on' is from 0.5 to 2.5"),
    "epoch, not a pair": ({"epochs": {"on": (5, 9)}}, r"epoch 'on' is \(5, 9\), but must be stretches"),
    "blocks overlap": ({"blocks": ((0, 9), (8, 12))}, "block from 8 to 12 begins before frame 9"),
    "block beyond": ({"blocks": ((0, 9), (28, 40))}, "block is from 28 to 40"),
    "inputs of others": ({"inputs": Inputs(np.ones((29, 1)), ("x",))}, "its inputs have 29 frames, its values 30"),
}


@pytest.mark.parametrize("case", RECORDINGS)
def test_a_recording_of_python(case: str) -> None:
    given, message = RECORDINGS[case]
    with pytest.raises(DataError, match=message) as found:
        movie(**given)
    assert "recording 'movie'" in one_line(found)


INPUTS: dict[str, tuple[tuple[Any, ...], str]] = {
    "one word": ((np.ones((3, 5)), "light"), r"channels = 'light' is one word: give a tuple"),
    "shape": ((np.ones(3), ("x",)), r"shape \(3,\) for 1 channels, but must be \[time, channel\]"),
    "no frames": ((np.ones((0, 1)), ("x",)), "both at least 1"),
    "text": ((np.array([["a"]]), ("x",)), "must be real numbers"),
    "complex": ((np.ones((3, 1)) * 1j, ("x",)), "must be real numbers"),
    "twice": ((np.ones((3, 2)), ("x", "x")), "channel names repeat: x"),
    "no name": ((np.ones((3, 1)), (" ",)), "the channel name ' ' is empty"),
    "half a letter": ((np.ones((3, 1)), ("\ud800",)), "holds"),
    "not finite": ((np.full((3, 1), np.nan), ("x",)), "3 values are not finite or too large, the first at frame 0"),
    "too large": ((np.full((3, 1), 1e39), ("x",)), "not finite or too large"),
    "units": ((np.ones((3, 2)), ("x", "y"), ("m",)), "1 units for 2 channels"),
    "mask of others": ((np.ones((3, 1)), ("x",), (), np.ones((2, 1), bool)), r"shape \(2, 1\)"),
    "mask of numbers": (
        (np.ones((3, 1)), ("x",), (), np.full((3, 1), 0.5)),
        "the mask is float64 .* of True and False",
    ),
}


@pytest.mark.parametrize("case", INPUTS)
def test_inputs_of_python(case: str) -> None:
    given, message = INPUTS[case]
    with pytest.raises(DataError, match=message) as found:
        Inputs(*given)
    one_line(found)


def test_lags_reach_no_further_than_the_training_part() -> None:
    light = Inputs(np.random.default_rng(0).normal(size=(9, 1)), ("light",))
    with pytest.raises(
        ConfigError, match=r"inputs\.lags = \[1, 9\] reach 9 frames back, .* has 9 frames: give lags below"
    ):
        InputUse.of([("movie", light)], (), lags=(1, 9))
    InputUse.of([("movie", light)], (), lags=(1, 8))


SECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "reversed seconds": (
        {"data": {"crop_s": [5, 3]}},
        r"data\.crop_s = \(5, 3\) must be from and to, the second larger",
    ),
    "empty": ({"data": {"crop_frames": [5, 5]}}, r"data\.crop_frames = \(5, 5\) must be from and to"),
    "of a name": ({"data": {"crop_s": {"m": [5, 3]}}}, r"data\.crop_s\.m = \(5, 3\)"),
    "three": ({"data": {"crop_s": [5, 3, 4]}}, r"crop_s"),
    "negative frame": ({"data": {"crop_frames": [-5, 3]}}, "crop_frames"),
    "true": ({"data": {"crop_frames": [True, 3]}}, "crop_frames"),
    "word": ({"data": {"crop_s": "all"}}, "crop_s"),
    "epochs of a word": ({"data": {"epochs": "on"}}, "epochs"),
    "lags below 0": ({"inputs": {"lags": [-1]}}, "lags"),
    "no lags": ({"inputs": {"lags": []}}, "lags"),
    "half a lag": ({"inputs": {"lags": [1.5]}}, "lags"),
    "huge lag": ({"inputs": {"lags": [2**40]}}, "lags"),
    "lag 0": ({"inputs": {"lags": [0]}}, "inputs.lags = 0 shows .* inputs.exogenous = true"),
    "lags twice": ({"inputs": {"lags": [1, 1]}}, "names a value twice"),
    "targets of a number": ({"inputs": {"targets": 3}}, "targets"),
    "indicator": ({"model": {"observation": {"decay_s": -1}}}, "decay_s"),
    "endless": ({"model": {"observation": {"decay_s": 1e30}}}, "decay_s"),
    "bounds": (
        {"model": {"observation": {"bounds": [2, 1]}}},
        r"model\.observation\.bounds = \(2, 1\) must be factors",
    ),
    "bounds of nan": ({"model": {"observation": {"bounds": [float("nan"), 1]}}}, "bounds"),
    "noise": ({"model": {"observation": {"noise": "gausian"}}}, "did you mean 'gaussian'"),
    "drift": ({"model": {"observation": {"drift_gain": 1}}}, "drift_gain"),
    "degrees": ({"model": {"observation": {"noise_degrees": 0}}}, "noise_degrees"),
    "a table": ({"model": {"observation": [1]}}, "observation"),
}


@pytest.mark.parametrize("case", SECTIONS)
def test_a_configuration(case: str) -> None:
    given, message = SECTIONS[case]
    with pytest.raises(ConfigError, match=message) as found:
        from_dict({"data": {}, **given})
    one_line(found)


def test_an_indicator_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match=r"model\.observation\.indicator is 'GCamp6s', .*did you mean 'GCaMP6s'"):
        observe(Rate(), "GCamp6s", step_s=0.5)
    with pytest.raises(ConfigError, match=r"'order-1' needs model\.observation\.decay_s, a time in seconds"):
        observe(Rate(), "order-1", step_s=0.5)
    assert ModelConfig(observation=ObservationConfig(indicator="GCaMP6s")) and InputsConfig()


def test_a_stretch_of_a_recording_that_there_is_not_is_an_error() -> None:
    movies = [movie(), replace(movie(), name="other/2")]
    for given in ({"movi": (2, 9)}, {"movie": (2, 9), "3": (2, 9)}):
        with pytest.raises(ConfigError, match=r"data\.crop_frames names '(movi|3)', which is no recording"):
            cut_out(DataConfig(crop_frames=given), movies)
    cut = cut_out(DataConfig(crop_frames={"movie": (2, 9), "2": (4, 9)}), movies)
    assert [one.frames for one in cut] == [7, 5]
    # Held-out recordings are cut by the same table, apart from the others.
    table = DataConfig(crop_frames={"movie": (2, 9), "2": (4, 9)}, held_out=("other/2",))
    assert [one.frames for one in cut_out(table, movies[:1])] == [7]
    assert [one.frames for one in cut_out(table, movies[1:])] == [5]


def test_stretches_of_python() -> None:
    for wrong in ({"frames": (1.5, 9)}, {"frames": (True, 9)}, {"frames": (9, 3)}, {"seconds": (np.nan, 3.0)}, {}):
        with pytest.raises(ConfigError, match="crop"):
            crop(movie(), **wrong)
    for stretches in ([(0, 9), (5, 20)], [(9, 20), (0, 9)], [(3, 4)], [], [(0, 31)]):
        with pytest.raises(DataError, match="recording 'movie'"):
            as_blocks(movie(), stretches)


def test_epochs_follow_a_crop() -> None:
    whole = movie(epochs={"on": ((2, 9), (20, 25)), "off": ((26, 29),)})
    assert crop(whole, frames=(5, 24)).epochs == {"on": ((0, 4), (15, 19))}
    cut = cut_out(DataConfig(crop_frames=(0, 24), epochs=("on",)), [whole])[0]
    assert cut.notes["stretches"] == [[2, 9], [20, 24]]


def test_a_fit_from_python_that_was_cropped_is_opened_as_it_was(tmp_path: Path) -> None:
    brain, movies = small.teacher()
    raw = replace(movies[0], parts=None)
    options = {"drive_start": "persistence", "state_forcing": 1.0, "time_constant_frames": 0.5, "weights": "counts"}
    fit = prepare_fit(brain, raw, **options, epochs=0, crop_frames=(0, 150), train=0.5).fit()
    fit.save(tmp_path / "run")
    (back,), (made,) = load_fit(tmp_path / "run").cohort.recordings, fit.cohort.recordings
    assert back.parts == made.parts
    np.testing.assert_array_equal(back.values, made.values)


def series(name: str, **more: Any) -> Any:
    """Adds a time series to an NWB file."""
    given = {"data": np.arange(9.0), "unit": "m", "rate": RATE, **more}
    return lambda pynwb, file: file.add_acquisition(pynwb.TimeSeries(name=name, **given))


NWB: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "absent": (("lihgt",), None, r"no time series or intervals are named 'lihgt'; did you mean 'light'\?; there are"),
    "twice": (("light",), series("light"), "2 time series or intervals are named 'light'.*as Container/name"),
    "going back": (("x",), series("x", rate=None, timestamps=np.r_[np.arange(8.0), 3.0]), "the time of row 9 is not"),
    "no time": (("x",), series("x", rate=None, timestamps=np.r_[np.arange(8.0), np.nan]), "row 9 has no time"),
    "another clock": (("x",), series("x", starting_time=500.0), "its rows, from 500 s to 504 s, cover 0 of 80 frames"),
    "words": (("x",), series("x", data=["a"] * 80), "series 'x' holds object|series 'x' holds <U|must hold numbers"),
    "missing": (("x",), series("x", data=np.r_[np.ones(79), np.nan]), "inputs are missing .*missing='mask'"),
    "twice asked": (("light", "light"), None, "channel names repeat: light"),
    "backwards": (("trials",), lambda _, file: file.add_trial(start_time=5.0, stop_time=3.0), "interval 2 of 'trials'"),
}  # fmt: skip


@pytest.mark.parametrize("case", NWB)
def test_an_nwb_file(case: str, tmp_path: Path) -> None:
    wanted, change, message = NWB[case]
    path = write_nwb_inputs(tmp_path / "x.nwb", *([] if change is None else [change]))
    with pytest.raises(ConnfitError, match=message) as found:
        read_recording(path, series="traces", inputs=wanted)
    assert "x.nwb: " in one_line(found)


def test_a_whole_nwb_file_has_its_inputs_and_epochs(tmp_path: Path) -> None:
    found = read_recording(write_nwb_inputs(tmp_path / "x.nwb"), series="traces", inputs=WANTED, missing="mask")
    assert found.inputs is not None
    assert found.inputs.channels == ("light", "speed[0]", "speed[1]", "trials", "odour")
    assert found.inputs.units == ("mW", "mm/s", "mm/s", "", "")
    seconds = np.arange(FRAMES) / RATE
    trials = ((seconds >= 1) & (seconds < 9)) | ((seconds >= 12) & (seconds < 20))
    np.testing.assert_array_equal(found.inputs.values[:, 3], trials)
    assert found.epochs["trials"] == ((2, 18), (24, 40)) and found.epochs["left"] == found.epochs["epochs"] == (
        (6, 60),
    )
    # Frame 4, at 2 s, gets what came after 1.5 s: light has a value every 0.2 s.
    light = np.random.default_rng(3)
    light.normal(size=(FRAMES, 2))
    np.testing.assert_allclose(found.inputs.values[4, 0], light.normal(size=200)[8:11].mean())
