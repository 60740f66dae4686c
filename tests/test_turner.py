"""The regional recordings of Turner et al. 2021: small files of their format, and their functional connectivity."""

from __future__ import annotations

import io
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from connfit.datasets import turner_files
from connfit.datasets.turner import (
    KEPT_FRAMES,
    load_turner_recording,
    read_turner,
)
from connfit.datasets.turner_files import (
    ARCHIVE,
    LABELS,
    TURNER_RECORDINGS,
    find_turner_files,
    read_archive,
    read_labels,
)
from connfit.errors import ConfigError, DataError, NotAvailableError
from connfit.recordings import Recording
from connfit.recordings.preprocess import preprocess

PLAIN, DROPOUTS, SHIFT, HALF = "2018-11-03_5", "2018-10-19_1", "2017-11-08_1", "2018-10-20_1"
TABLE = "name,num\nAL_R,1\nIVLP_L,2\n,3\nEB,4\nMB_CA_L,5\nnan,6\nWED_R,7\n"


def responses(
    frames: int = 2000, labels: tuple[int, ...] = (0, 1, 2, 3, 5, 7), seed: int = 0, level: float = 800
) -> pd.DataFrame:
    """As the source stores one fly: rows are label numbers, columns frames, values raw fluorescence."""
    rng = np.random.default_rng(seed)
    values = level + 20 * rng.normal(size=(len(labels), frames)).cumsum(axis=1) / 40 + rng.normal(size=(1, frames))
    return pd.DataFrame(values, index=np.array(labels, np.uint16))


def write_pair(folder: Path, table: pd.DataFrame, uid: str = PLAIN, labels: str = TABLE) -> tuple[Path, Path]:
    path, names = folder / f"ito_{uid}.pkl", folder / "Original_Index_panda_full.csv"
    path.write_bytes(pickle.dumps(table, 4))
    names.write_text(labels)
    return path, names


def read(folder: Path, table: pd.DataFrame, uid: str = PLAIN, labels: str = TABLE, **options) -> Recording:
    return read_turner(*write_pair(folder, table, uid, labels), uid, **options)


def members(uids: tuple[str, ...] = (PLAIN, SHIFT)) -> dict[str, bytes]:
    """Files of an archive, with others between them that are none of ours."""
    files = {"data/ito_68_atlas/vfb_68_x.nii.gz": b"volume", f"data/ito_responses/._ito_{PLAIN}.pkl": b"resource fork"}
    for seed, uid in enumerate(uids):
        frames = 4000 if uid.startswith("2017-11-08") else 2000
        files[f"data/ito_responses/ito_{uid}.pkl"] = pickle.dumps(responses(frames, seed=seed), 4)
        files[f"data/branson_responses/branson_{uid}.pkl"] = b"\x80\x04 not read"
    files[f"data/{LABELS}"] = TABLE.encode()
    return files


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_values_names_and_notes(tmp_path: Path) -> None:
    table = responses()
    recording = read(tmp_path, table)
    assert recording.units == ("AL_R", "WED_L", "MB_CA_L", "WED_R")
    assert (recording.frames, recording.frame_rate, recording.kind) == (1900, 1.2, "fluorescence")
    assert recording.name == f"turner-2021/{PLAIN}" and recording.values.dtype == np.float32 and recording.mask.all()
    np.testing.assert_allclose(recording.values, table.loc[[1, 2, 5, 7]].to_numpy()[:, 100:].T, rtol=1e-6)
    notes = recording.notes
    assert notes["labels_corrected"] == {"IVLP_L": "WED_L"} and notes["labels_without_name_dropped"] == [3]
    assert notes["label_outside_atlas_dropped"] is True and notes["regions_of_the_atlas_absent"] == ["EB"]
    assert notes["kept_frames"] == [[100, 2000]] and notes["regions_without_flywire_name"] == []
    assert notes["frames_in_source"] == 2000 and notes["first_frame_in_source"] == 100


@pytest.mark.parametrize("uid", [DROPOUTS, SHIFT, HALF, "2017-11-08_2"])
def test_frames_kept_are_the_published_ones(tmp_path: Path, uid: str) -> None:
    frames = 4000 if uid.startswith("2017-11-08") else 2000
    # Every value says which frame it is from.
    table = pd.DataFrame(np.tile(np.arange(frames, dtype=float), (2, 1)), index=[1, 7])
    recording = read(tmp_path, table, uid)
    published = {
        DROPOUTS: [*range(100, 900), *range(1100, 2000)],
        SHIFT: [*range(100, 1900), *range(2000, 4000)],
        HALF: list(range(100, 1000)),
    }.get(uid, list(range(100, frames)))
    assert recording.values[recording.mask[:, 0], 0].tolist() == published
    assert (recording.mask.all(axis=1) == recording.mask.any(axis=1)).all()
    # Frames stay in their place: the gap is as long as in the source, not cut out.
    assert (np.diff(recording.values[:, 0]) == 1).all() and np.isfinite(recording.values).all()
    assert recording.notes["frames_not_observed_in_gaps"] == published[-1] - published[0] + 1 - len(published)
    whole = read(tmp_path, table, uid, trim=False)
    assert whole.frames == frames and whole.mask.all() and whole.values.dtype == np.float64


def test_names_of_the_atlas(tmp_path: Path) -> None:
    labels = TABLE.replace("MB_CA_L", "SOMETHING_L")
    recording = read(tmp_path, responses(), labels=labels)
    assert recording.units == ("AL_R", "WED_L", "WED_R")
    assert recording.notes["regions_without_flywire_name"] == ["SOMETHING_L"]
    kept = read(tmp_path, responses(), labels=labels, names="ito")
    assert kept.units == ("AL_R", "WED_L", "SOMETHING_L", "WED_R")
    with pytest.raises(ConfigError, match=r"names is 'flywir'.*did you mean 'flywire'"):
        read(tmp_path, responses(), names="flywir")


def spoilt(change: str) -> pd.DataFrame:
    table = responses(300)
    if change == "nan":
        table.iloc[2, 17] = np.nan
    if change == "short":
        return table.iloc[:, :101]
    if change == "columns":
        return table.iloc[:, 1:]
    if change == "twice":
        return table.set_axis([0, 1, 1, 2, 5, 7], axis=0)
    if change == "floats":
        return table.set_axis([0.5, 1, 2, 3, 5, 7], axis=0)
    if change == "foreign":
        return table.set_axis([0, 1, 2, 3, 5, 87], axis=0)
    if change == "nameless":
        return table.loc[[0, 3]]
    if change == "bool":
        return table > 800
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nan", r"1 values are not finite, the first at frame 17, region WED_L"),
        ("short", "has 101 frames, but the frames to keep need at least 102"),
        ("columns", "columns are not the frames 0, 1, 2"),
        ("twice", "rows are 0, 1, 1, 2"),
        ("floats", "rows are 0.5, 1.0"),
        ("foreign", "labels 87 are not in the table of labels"),
        ("nameless", "no row has a label with a name"),
        ("bool", "values are bool"),
    ],
)
def test_wrong_signals_are_named(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, spoilt(change))
    assert f"ito_{PLAIN}.pkl" in str(caught.value)


def test_special_trims_need_their_frames(tmp_path: Path) -> None:
    for uid in KEPT_FRAMES:
        last = KEPT_FRAMES[uid][-1][1]
        with pytest.raises(
            DataError, match=f"{uid} has {last - 1} frames, but the frames to keep need at least {last}"
        ):
            read(tmp_path, responses(last - 1), uid)
        assert read(tmp_path, responses(last - 1), uid, trim=False).frames == last - 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("nom,num\nAL_R,1\n", "no column 'name'"),
        ("name,num\n", "no rows"),
        ("name,num\nAL_R,x\n", "row 1: num = 'x' is not a whole number"),
        ("name,num\nAL_R,1\nEB,1\n", "row 2: num = '1' is there twice"),
        ("name,num\nAL_R,1\nAL_R,2\n", "names repeat: AL_R"),
        ("name,num\nIVLP_L,1\nWED_L,2\n", "names repeat: WED_L"),
        ("name,num\nAL_R\n", "num = None is not a whole number"),
    ],
)
def test_wrong_label_tables_are_named(tmp_path: Path, labels: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, responses(), labels=labels)
    with pytest.raises(DataError, match="no such file"):
        read_turner(tmp_path / f"ito_{PLAIN}.pkl", tmp_path / "labels.csv", PLAIN)


def test_label_numbers_written_as_floats() -> None:
    assert dict(read_labels(b"\xef\xbb\xbfname,num\nAL_R,1.0\n,2.0\n", "x").names) == {1: "AL_R", 2: ""}


def test_archive(tmp_path: Path) -> None:
    files = read_archive(write_archive(tmp_path / ARCHIVE, members()))
    assert set(files.responses) == {PLAIN, SHIFT} and files.labels == TABLE.encode()
    assert files.responses[PLAIN] == members()[f"data/ito_responses/ito_{PLAIN}.pkl"]
    assert [path.name for path in tmp_path.iterdir()] == [ARCHIVE]


def test_archive_is_read_until_everything_is_found(tmp_path: Path) -> None:
    listed = {f"data/ito_responses/ito_{uid}.pkl": b"x" for uid in TURNER_RECORDINGS}
    path = write_archive(tmp_path / ARCHIVE, {**listed, f"x/data/{LABELS}": b"y", f"data/{LABELS}": b"z"})
    assert read_archive(path).labels == b"y" and len(read_archive(path).responses) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("empty", "truncated or damaged"),
        ("cut", "truncated or damaged|is cut off"),
        ("no archive", "truncated or damaged"),
        ("no labels", "there is no ito_68_atlas/Original_Index_panda_full.csv"),
        ("no signals", r"there is no ito_responses/ito_<date>_<n>\.pkl"),
        ("twice", f"two signals of {PLAIN}"),
        ("large", "no regional signal has so many"),
        ("link", "is no plain file"),
    ],
)
def test_damaged_archives_are_named(tmp_path: Path, change: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, files = tmp_path / ARCHIVE, members((PLAIN,))
    if change == "no labels":
        del files[f"data/{LABELS}"]
    if change == "no signals":
        del files[f"data/ito_responses/ito_{PLAIN}.pkl"]
    if change == "twice":
        files[f"other/ito_responses/ito_{PLAIN}.pkl"] = b"x"
    write_archive(path, files)
    if change == "large":
        monkeypatch.setattr(turner_files, "_LARGEST_MEMBER", 1000)
    if change == "empty":
        path.write_bytes(b"")
    if change == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if change == "no archive":
        path.write_text("<html>not found</html>" * 50)
    if change == "link":
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo(f"data/ito_responses/ito_{PLAIN}.pkl")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    with pytest.raises(DataError, match=message) as caught:
        read_archive(path)
    assert ARCHIVE in str(caught.value)


def test_loading_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the archive where it is, and from a folder with its content, which needs no archive."""
    archive = write_archive(tmp_path / ARCHIVE, members())

    def locate(name: str, files: list[str]) -> dict[str, Path]:
        assert (name, files) == ("turner-2021", [ARCHIVE])
        return {ARCHIVE: archive}

    folder = tmp_path / "turner"
    monkeypatch.setattr(turner_files, "search_folders", lambda name: (folder, tmp_path / "cache"))
    monkeypatch.setattr(turner_files, "locate", locate)
    packed = load_turner_recording(SHIFT)
    assert tuple(sorted(find_turner_files().responses)) == (SHIFT, PLAIN)
    with pytest.raises(ConfigError, match=f"recording is '2018-11-03_4'.*did you mean '{PLAIN}'"):
        load_turner_recording("2018-11-03_4")

    for name, content in members().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    archive.unlink()
    unpacked = load_turner_recording(SHIFT)
    np.testing.assert_array_equal(packed.values, unpacked.values)
    assert packed.units == unpacked.units
    assert [one.notes["checksum"] for one in (packed, unpacked)] == [
        "that of the archive is right",
        "not checked: a folder",
    ]

    def absent(name: str, files: list[str]) -> dict[str, Path]:
        raise NotAvailableError("not here")

    monkeypatch.setattr(turner_files, "locate", absent)
    monkeypatch.setattr(turner_files, "search_folders", lambda name: (tmp_path / "nowhere",))
    assert {*KEPT_FRAMES, "2017-11-08_2", PLAIN} <= set(TURNER_RECORDINGS) and len(set(TURNER_RECORDINGS)) == 20
    with pytest.raises(NotAvailableError):
        find_turner_files()


def test_deconvolution_does_not_cross_a_gap(tmp_path: Path) -> None:
    """The baseline of one fly shifts between the stretches that are kept: this is no activity."""
    table = responses(4000, level=800)
    table.iloc[:, 1950:] *= 1.5
    steps = [{"step": "delta_f_over_f", "window_s": 120.0}, {"step": "deconvolve", "tau_s": 0.8}, {"step": "scale"}]
    recording = read(tmp_path, table, SHIFT).split()
    gap = np.flatnonzero(~recording.mask[:, 0])
    assert gap.tolist() == list(range(1800, 1900))
    active = preprocess(recording, steps[:2])
    after = active.values[1900:1902]
    assert (after[0] == 0).all() and np.isnan(active.values[gap]).all()
    assert active.kind == "rate" and (active.values[recording.mask] >= 0).all()
    usual = np.nanquantile(active.values[:1800], 0.99, axis=0)
    joined = replace(recording, mask=np.ones_like(recording.mask), values=held(recording))
    assert (preprocess(joined, steps[:2]).values[1899:1901].max(axis=0) > 3 * usual).all()
    assert np.isfinite(preprocess(recording, steps).values[recording.mask]).all()


def held(recording: Recording) -> np.ndarray:
    """The values with the last one before the gap kept up through it, as a filter without regard for gaps sees them."""
    values = recording.values.copy()
    values[1800:1900] = values[1799]
    return values
