"""Files that claim what they do not hold, lie elsewhere, or write numbers in other ways than as numbers."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from recording_files import FRAMES, TIMES, UNITS, VALUES, write_csv, write_hdf5, write_nwb
from small import regional_connectome
from test_fly_surrogate import small_store

from connfit._io import read_arrays, read_json, read_npz, write_arrays, write_json
from connfit.analysis.analysis_options import AnalysisOptions
from connfit.connectome import Connectome
from connfit.connectome.streaming import csv_blocks, feather_blocks
from connfit.connectome.table_files import read_table
from connfit.connectome.tables import connectome_from_tables
from connfit.datasets.synthetic.fly.fly_store import FlySurrogate
from connfit.datasets.turner_files import read_labels
from connfit.errors import DataError, DataWarning
from connfit.evaluation.evaluated import FILE as METRICS
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.squared_errors import PredictionErrors
from connfit.evaluation.study.seed_result import PREDICTIONS, SCORES, Done, SeedResult
from connfit.recordings.readers import read_recording
from connfit.report.run_files import RunFiles

READERS: tuple[Callable[[Path], object], ...] = (
    lambda path: read_table(path, "neurons").text("name"),
    lambda path: [block.column(0).to_pylist() for _, block in feather_blocks(path, ["name"])],
)


@pytest.mark.parametrize("end", [3, 300, 2**31 - 1])
@pytest.mark.parametrize("read", READERS)
def test_offsets_of_text_that_leave_the_column_are_refused(
    tmp_path: Path, end: int, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "neurons.feather"
    feather.write_feather(pa.table({"name": ["hello", "abc"]}), path, compression="uncompressed")
    content = path.read_bytes()
    good = struct.pack("<3i", 0, 5, 8)
    assert content.count(good) == 1
    path.write_bytes(content.replace(good, struct.pack("<3i", 0, 5, end)))
    with pytest.raises(DataError, match=r"neurons\.feather: cannot be read"):
        read(path)


def test_the_first_version_of_feather_is_refused(tmp_path: Path) -> None:
    """Damaged files of it end the interpreter: 29 of 100 did."""
    path = tmp_path / "neurons.feather"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        feather.write_feather(pa.table({"name": ["hello", "abc"]}), path, version=1)
    for read in (lambda: read_table(path, "neurons"), lambda: list(feather_blocks(path, ["name"]))):
        with pytest.raises(DataError, match=r"neurons\.feather: Feather version 1.* Write it again: pandas"):
            read()


def test_offsets_of_large_text_that_leave_the_column_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "neurons.feather"
    table = pa.table({"name": pa.array(["hello", "abc"], pa.large_string())})
    feather.write_feather(table, path, compression="uncompressed")
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<3q", 0, 5, 8), struct.pack("<3q", 0, 5, 2**40)))
    for read in READERS:
        with pytest.raises(DataError, match="cannot be read"):
            read(path)


def npz_member(header: bytes, packed: int = zipfile.ZIP_DEFLATED, body: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packed) as archive:
        text = header.ljust(117) + b"\n"
        archive.writestr("values.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body)
    return stream.getvalue()


def header(shape: str, dtype: str = "<f8") -> bytes:
    return f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (npz_member(header("(30000, 30000)")), r"claims float64 of shape \(30000, 30000\), 7,200,000,000 bytes"),
        (npz_member(header("(-1, -8)"), body=bytes(64)), "claims"),
        (npz_member(header("(4,)", "|O"), body=bytes(32)), "Python objects"),
        (npz_member(header("(2,)"), body=bytes(16))[:-4], "damaged"),
        (npz_member(header("(2,)"), body=bytes(16)).replace(b"\x08\x00", b"\x63\x00"), "damaged"),
        (b"", "damaged"),
    ],
)
def test_archives_that_claim_more_than_they_hold_or_are_damaged(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "state.npz"
    path.write_bytes(content)
    for read in (read_npz, read_arrays, Forecasts.load):
        with pytest.raises(DataError, match=problem):
            read(path)


def test_a_packed_size_that_no_array_unpacks_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    shape = (10**6,)
    content = bytearray(npz_member(header(str(shape)), body=bytes(80)))
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 8 * 10**6 + 128)
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="claims 8,000,128 bytes, packed in"):
        read_npz(path)


@pytest.mark.parametrize("order", "<>")
def test_text_of_numbers_that_are_no_characters_is_refused(tmp_path: Path, order: str) -> None:
    words = np.frombuffer(np.array([65, 0x10FFFF, 66, 0x110000], f"{order}u4").tobytes(), f"{order}U2")
    np.savez(tmp_path / "good.npz", units=words[:1])
    assert read_npz(tmp_path / "good.npz")["units"].tolist() == ["A\U0010ffff"]
    np.savez(tmp_path / "bad.npz", units=words)
    with pytest.raises(DataError, match=r"bad\.npz.*units\.npy holds text with numbers that are no characters"):
        read_npz(tmp_path / "bad.npz")


def test_arrays_come_back_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "rows": rng.normal(size=(7, 3)), "columns": np.asfortranarray(rng.normal(size=(7, 3))), "number": np.array(3),
        "text": np.array(["a", "bcd"]), "none": np.zeros((0, 4), np.float32), "big": np.arange(4, dtype=">i4"),
        "long": rng.normal(size=3_000_000),
    }  # fmt: skip
    np.savez_compressed(tmp_path / "a.npz", **arrays)  # pyright: ignore[reportArgumentType]
    write_arrays(tmp_path / "b.npz", arrays, {"seed": 1})
    for found in (read_npz(tmp_path / "a.npz"), read_arrays(tmp_path / "b.npz")[0]):
        assert list(found) == list(arrays)
        for name, values in arrays.items():
            assert found[name].dtype == values.dtype
            assert found[name].flags.writeable
            np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("meta", [None, 3, [], "x"])
def test_facts_beside_arrays_are_a_table(tmp_path: Path, meta: object) -> None:
    path = tmp_path / "state.npz"
    facts = np.frombuffer(json.dumps({"names": ["a"], "meta": meta}).encode(), np.uint8)
    np.savez(path, __meta__=facts, a=np.zeros(3))
    with pytest.raises(DataError, match=r"state\.npz: damaged, or not written by connfit \(what is said"):
        read_arrays(path)


def test_recordings_whose_values_lie_elsewhere_are_refused(tmp_path: Path) -> None:
    other, path = write_hdf5(tmp_path / "other.h5"), tmp_path / "a.h5"

    def external_link(file: h5py.File) -> None:
        file["dff"] = h5py.ExternalLink("other.h5", "/dff")

    def external_storage(file: h5py.File) -> None:
        (tmp_path / "raw.bin").write_bytes(VALUES.tobytes())
        file.create_dataset("dff", VALUES.shape, VALUES.dtype, external=[("raw.bin", 0, VALUES.nbytes)])

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout(VALUES.shape, VALUES.dtype)
        layout[:] = h5py.VirtualSource(str(other), "dff", VALUES.shape)
        file.create_virtual_dataset("dff", layout)

    for change, named in ((external_link, "other.h5"), (external_storage, "raw.bin"), (virtual, "other.h5")):
        write_hdf5(path)
        with h5py.File(path, "a") as file:
            del file["dff"]
            change(file)
        with pytest.raises(DataError, match=rf"/dff .*another file.*{named}"):
            read_recording(path)
    write_hdf5(path)
    with h5py.File(path, "a") as file:
        file["names"] = h5py.SoftLink("/neuron")
        file["itself"] = h5py.SoftLink("/")
    with pytest.warns(DataWarning, match="datasets that are not read: itself, names"):
        assert read_recording(path).units == UNITS


def test_values_that_were_never_written_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for claimed, problem, options in (
        ((30_000, 30_000), "of which the file stores 0", {"chunks": (100, 100)}),
        (VALUES.shape, "8 chunks, of which 0 were written", {"chunks": (5, 3)}),
        (VALUES.shape, "was never written", {}),
    ):
        write_hdf5(path)
        with h5py.File(path, "a") as file:
            del file["dff"]
            file.create_dataset("dff", claimed, np.float64, **options)
        with pytest.raises(DataError, match=problem):
            read_recording(path)
    with h5py.File(path, "a") as file:
        del file["dff"]
        file.create_dataset("dff", VALUES.shape, np.float32, chunks=(5, 3), fillvalue=np.nan)[:20] = VALUES[:20]
    assert not read_recording(path, missing="mask").mask[20:].any()


def test_nwb_files_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    path = write_nwb(tmp_path / "a.nwb")
    with h5py.File(path, "a") as file:
        file["acquisition/raw"] = h5py.ExternalLink("/etc/hostname", "/")
    with pytest.raises(DataError, match="/acquisition/raw is a link in another file, '/etc/hostname'"):
        read_recording(path, unit_column="label")


def test_a_connectome_whose_words_are_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "brain.h5"
    regional_connectome().save(path)
    with h5py.File(path, "a") as file:
        coded = next(key.removesuffix(" words") for key in file["neurons"] if key.endswith("words"))
        file[f"neurons/{coded}"][0] = -352321533
    with pytest.raises(DataError, match="words that are not there"):
        Connectome.load(path)


ID = "720575940600000000"


@pytest.mark.parametrize("odd", ["9" * 5000, "\u00b2", f"{ID}\u00b2", "0x10", "\u0663", "1_000"])
def test_numbers_in_other_digits_are_refused(tmp_path: Path, odd: str) -> None:
    neurons = pd.DataFrame({"id": [1, 2], "type": ["a", "b"]})
    for pre, synapses in ((odd, "3"), ("1", odd)):
        path = tmp_path / "edges.csv"
        path.write_text(f"pre,post,synapses\n2,1,4\n{pre},2,{synapses}\n", encoding="utf-8")
        with pytest.raises(DataError, match=r"edges\.csv: (row 2|1 ids|1 in|.*fit into 64 bits|.*is not)"):
            connectome_from_tables("odd", path, neurons, sign_rule="fly-paper", unknown_transmitter="excitatory")
    columns = {"pre": pa.int64(), "synapses": pa.int64()}
    path.write_text(f"pre,post,synapses\n2,1,4\n1,2,{odd}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"edges\.csv: row 2: synapses = .* is not a whole number of 64 bits"):
        list(csv_blocks(path, columns, show=True))
    with pytest.raises(DataError, match="row 2: num"):
        read_labels(f"name,num\na,1\nb,{odd}\n".encode(), "labels.csv")
    path = write_csv(tmp_path / "recording.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], f"1.0,{odd},1,1", *lines[4:]]), encoding="utf-8")
    with pytest.raises(DataError, match=r"row 3, column 'AVAL'|missing or infinite"):
        read_recording(path)


@pytest.mark.parametrize("word", ["", "NA", "n/a", "nan", "NaN", "null", "None"])
def test_the_same_words_say_missing_everywhere(tmp_path: Path, word: str) -> None:
    path = write_csv(tmp_path / "a.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1], f"0.5,{word},1,1", *lines[3:]]))
    assert not read_recording(path, missing="mask").mask[1, 0]
    table = tmp_path / "neurons.csv"
    table.write_text(f"id,region\n1,{word}\n{word},R\n")
    assert read_table(table, "neurons").text("region") == ["", "R"]
    with pytest.raises(DataError, match="row 2: the id in column 'id' is"):
        read_table(table, "neurons").ids("id")
    assert read_labels(f"name,num\n{word},1\nb,2\n".encode(), "labels.csv").names[1] == ""
    named = write_hdf5(tmp_path / "a.h5", units=("AVAL", word, "AVAR"))
    assert read_recording(named).units[1].startswith("unlabelled-001")


def test_a_blank_line_between_frames_is_an_error(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", times=None)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:9], "", *lines[9:]]))
    with pytest.raises(DataError, match="line 10 is blank: a frame may be lost there"):
        read_recording(path, frame_rate=2.0)
    path.write_text("\n".join([*lines, "", "", ""]))
    assert read_recording(path, frame_rate=2.0).values.shape == (FRAMES, 3)
    assert len(TIMES) == FRAMES


def test_a_column_of_a_parquet_table_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path, text = tmp_path / "neurons.parquet", pa.array(["a", "b"])
    pq.write_table(pa.Table.from_arrays([pa.array([1, 2]), text, text], names=["id", "type", "type"]), path)
    with pytest.raises(DataError, match=r"neurons\.parquet: column 'type' is there 2 times"):
        read_table(path, "neurons").text("type")
    assert read_table(path, "neurons").ids("id").tolist() == [1, 2]


@pytest.mark.parametrize("values", [np.zeros(20, "V8"), np.zeros(20, "M8[s]"), np.zeros(20, "U3"), np.zeros(20, int)])
def test_time_constants_that_are_no_decimals_are_named(tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "parameters.npz"
    write_json(tmp_path / METRICS, Evaluation())
    np.savez(path, log_time_constants=values)
    with pytest.raises(DataError, match=r"parameters\.npz: time_constants are"):
        RunFiles.read(path.parent)


def test_errors_of_a_study_that_do_not_fit_together_are_named(tmp_path: Path) -> None:
    table, frames = {1: np.ones((9, 3))}, np.arange(9)
    errors = PredictionErrors(
        "movie", "test", {1: frames}, {1: np.ones(9)}, {1: np.ones(9)}, {1: frames}, {}, table, table
    )
    good = {"recordings": np.array(1), **errors.to_arrays("0.errors.")}
    write_json(tmp_path / SCORES, SeedResult())
    for key, value in (
        ("recordings", np.array([1])), ("recordings", np.array(10**12)), ("recordings", np.array("x")),
        ("0.errors.entries.1", frames[:3]), ("0.errors.frames.1", frames * 1.0), ("0.errors.squared_error.1", frames),
        ("0.errors.unit_squared_error.1", np.ones(9)), ("0.errors.unit_reference_error.1", np.ones((9, 2))),
        ("0.errors.index", np.array("[]")),
    ):  # fmt: skip
        write_arrays(tmp_path / PREDICTIONS, {**good, key: value})
        with pytest.raises(DataError, match=r"predictions\.npz: (recordings is|not prediction errors)") as caught:
            Done.read(tmp_path)
        assert "\n" not in str(caught.value)
    write_arrays(tmp_path / PREDICTIONS, good)
    assert Done.read(tmp_path).errors[0].skill(1) == 0


def test_a_surrogate_that_is_damaged_is_named(tmp_path: Path) -> None:
    store = small_store(tmp_path, animals=1)
    real, recording = store.folder / "real.npy", store.folder / "recordings" / "1.npz"
    for values in (store.real()[:-1], np.zeros(store.made.connections), np.zeros((2, 3), bool)):
        np.save(real, values)
        with pytest.raises(DataError, match=r"real\.npy: the surrogate is damaged"):
            store.real()
    for content in (b"", real.read_bytes()[:40]):
        real.write_bytes(content)
        with pytest.raises(DataError, match=r"real\.npy: the surrogate is damaged"):
            store.real()
    np.savez(recording, values=np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"1\.npz: the surrogate is damaged"):
        store.recording("1")
    (store.folder / "made.json").write_text("[" * 10**5)
    with pytest.raises(DataError, match=r"made\.json: the surrogate is damaged"):
        FlySurrogate.read(store.folder)


def test_json_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text('{"a":' * 100_000)
    with pytest.raises(DataError, match="too deep"):
        read_json(path, dict[str, object])


def test_a_result_with_an_option_out_of_range_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    path.write_text('{"repeats": 1}')
    with pytest.raises(DataError, match=r"options\.json: .*repeats is 1, but must be 20 or more"):
        read_json(path, AnalysisOptions)


def test_parquet_columns_whose_sizes_are_of_another_type_are_one_line(tmp_path: Path) -> None:
    """Arrow ends the interpreter where such a description is asked for: the file is read by another process."""
    path = tmp_path / "edges.parquet"
    pd.DataFrame({"pre": np.arange(50), "post": [f"x{k}" for k in range(50)]}).to_parquet(path)
    content = path.read_bytes()
    table = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    program = (
        "import sys; from connfit.connectome.table_files import read_table; from connfit.errors import DataError\n"
        "try: read_table(sys.argv[1], 'edges')\n"
        "except DataError: sys.exit(3)"
    )
    codes = []
    for at in (k for k in range(table, len(content) - 8) if content[k] == 12):  # BYTE_ARRAY, and other twelves
        path.write_bytes(content[:at] + b"\2" + content[at + 1 :])
        codes.append(subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True).returncode)
    assert set(codes) <= {0, 3} and 3 in codes
