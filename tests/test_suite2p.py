"""The reader of suite2p's plane folders: values, cells, neuropil, frame rate, names, and what it refuses."""

from __future__ import annotations

import datetime
import json
import os
import pickle
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import raw_movies, write_files

import connfit
from connfit import config as configuration
from connfit.errors import ConfigError, DataError
from connfit.recordings import Recording
from connfit.recordings.readers import find_reader, read_recording
from connfit.training import runs

RATE, FRAMES, ROIS = 4.0, 30, 5
TRACES = np.random.default_rng(0).normal(100, 10, (ROIS, FRAMES)).astype(np.float32)
NEUROPIL = np.random.default_rng(1).normal(50, 5, (ROIS, FRAMES)).astype(np.float32)
CELLS = np.array([[1, 0.9], [0, 0.1], [1, 0.8], [1, 0.7], [0, 0.3]])
KEPT = [0, 2, 3]


def ops(**changes: Any) -> dict[str, Any]:
    """Settings with what suite2p puts there: numbers of Python and NumPy, text, lists, images, dates, paths."""
    image = np.zeros((6, 7), np.float32)
    return {
        "fs": RATE, "neucoeff": 0.7, "nplanes": 1, "tau": 1.0, "Ly": np.int64(6), "Lx": 7, "diameter": np.array([0, 0]),
        "meanImg": image, "refImg": np.asfortranarray(image.astype(np.int16)), "xoff": np.zeros(FRAMES, np.int32),
        "badframes": np.zeros(FRAMES, bool), "filelist": ["a.tif", "b.tif"], "save_path0": "/data/x", "roidetect": True,
        "timing": {"registration": 1.5, "detection": np.float64(2.5)}, "block_size": [128, 128], "aspect": 1.0,
        "date_proc": datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC), "save_folder": PosixPath("/data"),
        "yrange": np.array([0, 6]), "combined": None, "names": np.array(["a", "bc"]), "size": (6, 7), **changes,
    }  # fmt: skip


def write_plane(
    folder: Path,
    traces: np.ndarray = TRACES,
    neuropil: np.ndarray | None = NEUROPIL,
    cells: np.ndarray | None = CELLS,
    settings: object = None,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"F": traces, "Fneu": neuropil, "iscell": cells, "ops": ops() if settings is None else settings}
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array, allow_pickle=True)
    return folder


def write_suite2p(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    """A plane whose file of fluorescence has another name, without neuropil, and the names of its ROIs."""
    write_plane(path.parent, values.T, 0 * values.T, np.ones((values.shape[1], 2)), ops(fs=1 / np.diff(times).mean()))
    (path.parent / "F.npy").rename(path)
    pd.DataFrame({"roi": [0, 1, 2], "unit": ["AVAL", "AVAR", "R, 1"]}).to_csv(path.parent / "names.csv", index=False)
    return path


def test_a_plane_is_its_cells_less_their_neuropil(tmp_path: Path) -> None:
    folder = write_plane(tmp_path / "mouse" / "suite2p" / "plane0")
    got = read_recording(folder)
    np.testing.assert_allclose(got.values, (TRACES - 0.7 * NEUROPIL)[KEPT].T, rtol=1e-5)  # float32 of both
    assert got.units == ("roi-0", "roi-2", "roi-3") and got.frame_rate == RATE
    assert got.kind == "fluorescence" and got.name == "mouse-plane0" and got.mask.all()
    notes = {"file": "plane0", "rois": 5, "left_out_rois": 2, "neuropil": 0.7, "missing_values": 0}
    assert {key: got.notes[key] for key in notes} == notes
    assert "cautions" not in got.notes
    np.testing.assert_array_equal(read_recording(folder / "F.npy").values, got.values)
    assert read_recording(folder, name="a").name == "a"


def test_options_choose_neuropil_cells_values_and_rate(tmp_path: Path) -> None:
    folder = write_plane(tmp_path, settings={"fs": np.float32(7.5), "neucoeff": 0.5})
    got = read_recording(folder, neuropil=0.5, cells_only=False)
    np.testing.assert_allclose(got.values, (TRACES - 0.5 * NEUROPIL).T, rtol=1e-5)
    assert len(got.units) == ROIS and got.frame_rate == 7.5 and got.notes["left_out_rois"] == 0
    with pytest.warns(connfit.errors.DataWarning, match=r"neucoeff = 0\.5; 0\.7 times"):
        read_recording(folder)
    for name in ("Fneu", "iscell", "ops"):
        (folder / f"{name}.npy").unlink()
    got = read_recording(folder, neuropil=0, cells_only=False, frame_rate=3)
    np.testing.assert_array_equal(got.values, TRACES.T)
    assert got.frame_rate == 3 and got.notes["neuropil"] == 0
    np.save(folder / "spks.npy", np.abs(TRACES))
    got = read_recording(folder, values="spks", cells_only=False, frame_rate=3)
    assert got.kind == "rate" and "neuropil" not in got.notes
    np.testing.assert_array_equal(got.values, np.abs(TRACES).T)
    for option in (
        {"neuropil": 1.5}, {"neuropil": True}, {"neuropil": float("nan")}, {"cells_only": 1}, {"values": "dff"}
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=next(iter(option))):
            read_recording(folder, **option)


def test_bad_frames_are_said(tmp_path: Path) -> None:
    folder = write_plane(tmp_path, settings=ops(badframes=np.arange(FRAMES) < 4))
    with pytest.warns(connfit.errors.DataWarning, match="marks 4 of 30 frames as bad"):
        read_recording(folder)


def test_a_table_names_units(tmp_path: Path) -> None:
    folder = write_plane(tmp_path / "larva")
    table = pd.DataFrame({"roi": [3, 0, 1], "unit": ["DNa01", "720575940600000001", "left out"]})
    table.to_csv(folder / "names.csv", index=False)
    with pytest.warns(connfit.errors.DataWarning, match=r"names\.csv names units that are left out: 1 \(left out\)"):
        got = read_recording(folder, unit_table="names.csv")
    assert got.units == ("720575940600000001", "unlabelled-002@larva", "DNa01")
    assert got.notes["unlabelled"] == ["unlabelled-002@larva"]
    for rows, message in (
        ({"roi": [5], "unit": ["a"]}, r"names\.csv: column 'roi' holds 5, but the recording has 5 \(numbers 0 to 4\)"),
        ({"roi": [0, 0], "unit": ["a", "b"]}, r"names\.csv: ids repeat in column 'roi': 0"),
        ({"roi": ["x"], "unit": ["a"]}, r"names\.csv: row 1: roi 'x' is not a whole number"),
        ({"roi": [0, 2], "unit": ["a", "a"]}, r"unit names repeat: a"),
        ({"number": [0], "unit": ["a"]}, r"names\.csv: there is no column 'roi'"),
    ):
        pd.DataFrame(rows).to_csv(folder / "names.csv", index=False)
        with pytest.raises(DataError, match=message):
            read_recording(folder, unit_table="names.csv")
    with pytest.raises(DataError, match=r"larva/other\.csv: no such file.*unit_table counts from"):
        read_recording(folder, unit_table="other.csv")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"traces": TRACES[0]}, r"F\.npy: it has shape \(30,\).*\[ROI, frame\]"),
        ({"traces": TRACES[:, :0]}, r"F\.npy: it has shape \(5, 0\)"),
        ({"traces": TRACES.astype(str)}, r"F\.npy: it holds <U\d+.*numbers"),
        ({"traces": TRACES.astype(object)}, r"F\.npy: .*holds Python objects"),
        ({"neuropil": NEUROPIL[:, 1:]}, r"Fneu\.npy: it has shape \(5, 29\), F\.npy \(5, 30\)"),
        ({"neuropil": None}, r"Fneu\.npy: no such file.*neuropil = 0"),
        ({"cells": CELLS[1:]}, r"iscell\.npy: it has shape \(4, 2\) for 5 ROIs"),
        ({"cells": CELLS * 2}, r"iscell\.npy: ROI 0: column 0 holds 2"),
        ({"cells": CELLS * 0}, r"iscell\.npy: none of 5 ROIs is a cell.*cells_only = false"),
        ({"cells": None}, r"iscell\.npy: no such file.*cells_only = false"),
        ({"settings": {"Ly": 3}}, r"ops\.npy: it has no frame rate 'fs'\. Give frame_rate"),
        ({"settings": {"fs": "fast"}}, r"ops\.npy: frame_rate = 'fast' is not a positive number"),
        ({"settings": {"fs": 0}}, r"ops\.npy: frame_rate = 0 is not a positive number"),
        ({"settings": np.arange(3)}, r"ops\.npy: .*it holds int64 of shape \(3,\) and no table"),
        ({"settings": {"fs": {1: 2}}}, r"ops\.npy: the pickle holds a key that is not text.*Give frame_rate"),
    ],
)  # fmt: skip
def test_wrong_files_are_named_with_what_would_be_right(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_recording(write_plane(tmp_path, **changes))


def test_folders_without_a_plane_say_which_planes_there_are(tmp_path: Path) -> None:
    for plane in ("plane0", "plane1"):
        write_plane(tmp_path / "suite2p" / plane)
    with pytest.raises(DataError, match=r"suite2p: this folder has no F\.npy\. Name one of the planes.*plane0, plane1"):
        read_recording(tmp_path / "suite2p")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"folder of no known format.*suite2p"):
        read_recording(tmp_path / "empty")
    with pytest.raises(DataError, match=r"no F\.npy\. Name the plane folder"):
        read_recording(tmp_path / "empty", format="suite2p")
    assert find_reader(tmp_path / "suite2p" / "plane0").name == "suite2p"


def test_missing_values_are_refused_or_masked(tmp_path: Path) -> None:
    traces = TRACES.copy()
    traces[2, 7] = np.nan
    folder = write_plane(tmp_path, traces)
    with pytest.raises(DataError, match=r"1 values are missing or infinite, the first at frame 7, unit 'roi-2'"):
        read_recording(folder)
    got = read_recording(folder, missing="mask")
    assert np.argwhere(~got.mask).tolist() == [[7, 1]]


class Runs:
    """What a pickle calls when it is read the usual way."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_nothing_in_ops_is_run_or_imported(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    # `Recording` and `np.load`: what is at hand is refused as what is not.
    for poison in (Runs(os.system, f"touch {mark}"), Runs(eval, "1"), Runs(np.load, str(mark)), Runs(Recording)):
        for place in ({"fs": poison}, {"fs": RATE, "other": [poison]}, poison):
            folder = write_plane(tmp_path / "plane", settings={"fs": 1.0})
            with (folder / "ops.npy").open("wb") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
                pickle.dump(place, file, 4)
            with pytest.raises(DataError, match=r"ops\.npy: the pickle holds .*nothing in it was run.*Give frame_rate"):
                read_recording(folder)
            # Without it there is nothing to refuse.
            assert read_recording(folder, frame_rate=RATE).frame_rate == RATE
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_settings_of_all_protocols_are_read(tmp_path: Path, protocol: int) -> None:
    folder = write_plane(tmp_path)
    with (folder / "ops.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(np.array(ops(fs=np.float64(2.5)), object), file, protocol)
    assert read_recording(folder).frame_rate == 2.5


def test_claimed_sizes_and_truncated_files_are_refused(tmp_path: Path) -> None:
    folder = write_plane(tmp_path)
    whole = {name: (folder / f"{name}.npy").read_bytes() for name in ("F", "Fneu", "iscell", "ops")}
    for name, content in whole.items():
        for size in (0, 3, 11, 60, len(content) // 2, len(content) - 1):
            (folder / f"{name}.npy").write_bytes(content[:size])
            with pytest.raises(DataError, match=rf"{name}\.npy: "):
                read_recording(folder)
        (folder / f"{name}.npy").write_bytes(content)
    with (folder / "F.npy").open("wb") as file:
        about = {"descr": "<f4", "fortran_order": False, "shape": (1 << 30, 1 << 30)}
        np.lib.format.write_array_header_1_0(file, about)
        file.write(b"\0" * 64)
    with pytest.raises(DataError, match=r"F\.npy: .*claims float32 of shape \(1073741824, 1073741824\)"):
        read_recording(folder)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_plane_comes_back(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rois, frames = (int(size) for size in rng.integers(2, 8, 2))
    traces = rng.normal(size=(rois, frames)).astype(rng.choice(["f4", "f8", ">f4"])) * 10.0 ** rng.integers(-3, 4)
    cells = np.column_stack([rng.random(rois) < 0.7, rng.random(rois)])
    cells[0, 0] = 1
    share = round(float(rng.random()), 3)
    order = np.asfortranarray if seed % 2 else np.ascontiguousarray
    folder = write_plane(tmp_path_factory.mktemp("plane"), order(traces), traces[::-1], cells, {"fs": rng.random() + 1})
    got = find_reader(folder)(folder, neuropil=share)
    kept = np.flatnonzero(cells[:, 0])
    # Values of single precision are subtracted in it.
    np.testing.assert_allclose(
        got.values, (traces - share * traces[::-1])[kept].T, rtol=1e-5, atol=1e-5 * np.abs(traces).max()
    )
    assert got.units == tuple(f"roi-{k}" for k in kept) and got.notes["left_out_rois"] == rois - len(kept)


def test_a_plane_folder_is_fitted_by_a_configuration(tmp_path: Path) -> None:
    text = write_files(tmp_path).read_text(encoding="utf-8")
    for movie in raw_movies():
        # A neuron's fluorescence, seen with half of a neuropil; one more ROI is no cell.
        values = np.column_stack([movie.values, movie.values[:, 0]]).T
        neuropil = np.random.default_rng(0).random(values.shape).astype(np.float32)
        cells = np.column_stack([np.arange(len(values)) < len(movie.units), np.full(len(values), 0.5)])
        folder = write_plane(
            tmp_path / movie.name / "suite2p" / "plane0", values + 0.5 * neuropil, neuropil, cells,
            ops(fs=movie.frame_rate, neucoeff=0.5),
        )  # fmt: skip
        pd.DataFrame({"roi": range(len(movie.units)), "unit": movie.units}).to_csv(folder / "names.csv", index=False)
    text = text.replace(
        'files = ["movie1.npz", "movie2.npz"]',
        'files = ["movie1/suite2p/plane0", "movie2/suite2p/plane0"]\n'
        'options = { neuropil = 0.5, unit_table = "names.csv" }',
    )
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    config = configuration.read(tmp_path / "own.toml")
    config = configuration.override(config, ["train.epochs=1", "train.free_run_epochs=0"])
    fitted = runs.start(config, tmp_path / "run", command="connfit fit own.toml")
    for got, movie in zip(fitted.cohort.recordings, raw_movies(), strict=True):
        assert got.units == movie.units and got.name == f"{movie.name}-plane0"
    record = json.loads((tmp_path / "run" / "record.json").read_text(encoding="utf-8"))
    for recording in record["recordings"].values():
        notes = recording["notes"]
        assert (notes["rois"], notes["left_out_rois"], notes["neuropil"]) == (len(movie.units) + 1, 1, 0.5)
