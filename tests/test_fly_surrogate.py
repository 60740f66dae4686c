"""The fly surrogate on disk: all or nothing, found by name, the teacher apart, and activity worth fitting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_fly_teacher import small_wiring

from connfit._system.paths import unfinished
from connfit.datasets.loading import load_connectome, load_recording
from connfit.datasets.synthetic.fly import fly_store
from connfit.datasets.synthetic.fly import fly_surrogate as store
from connfit.datasets.synthetic.fly.fly_statistics import wiring_statistics
from connfit.datasets.synthetic.fly.fly_store import FlySurrogate, write_fly_surrogate
from connfit.datasets.synthetic.fly.fly_surrogate import (
    find_fly_surrogate,
    load_fly_surrogate,
    load_fly_surrogate_recording,
    make_fly_surrogate,
)
from connfit.datasets.synthetic.fly.fly_teacher import FlyTeacherConfig
from connfit.datasets.synthetic.fly.fly_wiring import FlyWiring
from connfit.errors import ConfigError, DataError
from connfit.recordings import Recording
from connfit.recordings.preprocess import preprocess

CONFIG = FlyTeacherConfig(burn_in_s=30.0)


def small_fly() -> FlyWiring:
    brain = small_wiring()
    brain = replace(brain, notes={**brain.notes, "surrogate": True})
    brain = replace(brain, neurons=brain.neurons.assign(group="SMP"))
    real = np.random.default_rng(0).random(brain.m) < 0.15
    return FlyWiring(brain, real, replace(wiring_statistics(brain, real), scale=0.02))


def small_store(root: Path, *, seed: int = 0, animals: int = 3) -> FlySurrogate:
    target = root / "fly-surrogate" / f"0.02-{seed}-v{fly_store.STORE_VERSION}"
    return write_fly_surrogate(small_fly(), target, scale=0.02, seed=seed, config=CONFIG, frames=60, animals=animals)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An empty folder of data and an empty cache."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    monkeypatch.setenv("CONNFIT_DATA", str(data))
    monkeypatch.setenv("CONNFIT_CACHE", str(cache))
    return SimpleNamespace(data=data, cache=cache)


def fail(*_: Any, **__: Any) -> Any:
    raise AssertionError("a surrogate that is here was made again")


# --- The store


def test_what_was_made_is_read_back(tmp_path: Path) -> None:
    made, wiring = small_store(tmp_path), small_fly()
    brain = made.connectome()
    for key in ("indptr", "indices", "counts", "signs"):
        assert np.array_equal(getattr(brain, key), getattr(wiring.connectome, key))
    assert np.array_equal(made.real(), wiring.real)
    assert made.statistics() == wiring.statistics and made.statistics().whole.pairs == brain.m
    assert brain.notes["surrogate"] is True
    first = made.recording("1")
    assert (first.name, first.frames, first.frame_rate, first.kind) == ("fly-surrogate/1", 60, 1.2, "dff")
    assert first.values.dtype == np.float32 and first.mask.all()
    assert first.notes["surrogate"] is True and "SURROGATE" in first.notes["source"]
    assert (made.made.surrogate, made.made.scale, made.made.seed, made.made.teacher) == (True, 0.02, 0, CONFIG)
    assert made.made.peak_memory_bytes > 0 and set(made.made.seconds) == {"wiring", "teacher", "activity"}
    assert "connfit" in made.made.versions and made.made.inputs_sha256 == {}


def test_each_fly_lacks_the_regions_that_it_names(tmp_path: Path) -> None:
    made = small_store(tmp_path, animals=18)
    units = set(made.made.units)
    recordings = [made.recording(str(k + 1)) for k in range(18)]
    for one in recordings:
        assert set(one.units) | set(one.notes["regions_missing"]) == units
        assert not set(one.units) & set(one.notes["regions_missing"])
    assert {len(one.units) for one in recordings} == {len(units), len(units) - 1}


def test_the_teacher_lies_apart_from_what_a_fit_sees(tmp_path: Path) -> None:
    made = small_store(tmp_path)
    teacher = made.teacher()
    brain = made.connectome()
    assert len(teacher.weights) == brain.m and len(teacher.bias) == brain.n
    assert list(brain.neurons.columns) == list(small_fly().connectome.neurons.columns)
    with np.load(made.folder / "recordings" / "1.npz") as file:
        assert sorted(file) == ["missing", "units", "values"]
    assert not {"weights", "bias", "gain"} & set(json.dumps(dict(brain.notes)))


def test_the_same_seed_gives_the_same_recordings(tmp_path: Path) -> None:
    one, same, other = (small_store(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert np.array_equal(one.recording("2").values, same.recording("2").values)
    assert one.recording("2").units == same.recording("2").units
    assert not np.array_equal(one.recording("2").values[:, :5], other.recording("2").values[:, :5])
    assert not np.allclose(one.recording("1").values[:, :5], one.recording("2").values[:, :5], atol=1e-3)


def test_an_interrupted_build_leaves_nothing(folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fly_store, "_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small_store(folders.cache)
    assert list((folders.cache / "fly-surrogate").iterdir()) == []
    assert find_fly_surrogate(0.02, 0) is None


def test_what_a_killed_build_left_is_swept_by_the_next(
    folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folders.cache / "fly-surrogate"
    (left := unfinished(root / "0.05-3-v1")).mkdir(parents=True)
    (left / "connectome.h5").touch()
    monkeypatch.setattr(store, "source_files", dict)
    monkeypatch.setattr(store, "make_fly_wiring", lambda scale, seed: small_fly())
    monkeypatch.setattr(store, "write_fly_surrogate", lambda *_, **__: [path.name for path in root.iterdir()])
    assert make_fly_surrogate(0.02, 0) == [".lock"]


KILLED = """
import os, signal, sys
from pathlib import Path
from test_fly_surrogate import small_fly, store

root, name = Path(sys.argv[1]), sys.argv[2]

def heard(event, args):
    if event == "open" and name in str(args[0]) and str(root) in str(args[0]):
        os.kill(os.getpid(), signal.SIGKILL)

store.source_files, store.make_fly_wiring, store.FRAMES, store.ANIMALS = dict, lambda scale, seed: small_fly(), 20, 2
sys.addaudithook(heard)
store.make_fly_surrogate(0.02, 0, root)
"""


@pytest.mark.parametrize(
    "name",
    ["teacher.h5", *(pytest.param(late, marks=pytest.mark.slow) for late in ("connectome.h5", "2.npz", "made.json"))],
)
def test_a_build_that_is_killed_at_a_write_is_made_again_whole(
    folders: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root = tmp_path / "store"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", KILLED, root, name], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path for path in (root / "fly-surrogate").iterdir() if path.suffix == ".part"], "killed before it wrote"
    assert store.find_fly_surrogate(0.02, 0, root) is None
    for attribute, value in {
        "source_files": dict, "make_fly_wiring": lambda scale, seed: small_fly(), "FRAMES": 20, "ANIMALS": 2
    }.items():  # fmt: skip
        monkeypatch.setattr(store, attribute, value)
    made = make_fly_surrogate(0.02, 0, root)
    assert list((root / "fly-surrogate").iterdir()) == [made.folder]
    again = make_fly_surrogate(0.02, 0, tmp_path / "undisturbed")
    assert made.made.files == again.made.files
    assert np.array_equal(made.recording("2").values, again.recording("2").values)


def test_a_half_made_store_is_not_used(folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_store(folders.cache)
    # A process that was killed leaves its working folder, never one with the final name.
    made.folder.rename(made.folder.with_name(f".{made.folder.name}-killed"))
    assert find_fly_surrogate(0.02, 0) is None
    made = small_store(folders.cache)
    (made.folder / "made.json").unlink()
    assert find_fly_surrogate(0.02, 0) is None
    monkeypatch.setattr(store, "source_files", dict)
    monkeypatch.setattr(store, "make_fly_wiring", lambda scale, seed: small_fly())
    with pytest.raises(DataError, match=r"holds no finished surrogate\. Delete it"):
        make_fly_surrogate(0.02, 0)


def test_a_store_that_lost_a_file_is_an_error(folders: SimpleNamespace) -> None:
    made = small_store(folders.cache)
    path = made.folder / "recordings" / "2.npz"
    os.truncate(path, 100)
    with pytest.raises(DataError, match=r"recordings/2\.npz is missing or does not have .* Delete the folder"):
        find_fly_surrogate(0.02, 0)


def test_a_damaged_record_of_a_store_is_an_error(folders: SimpleNamespace) -> None:
    path = small_store(folders.cache).folder / "made.json"
    path.write_text(path.read_text(encoding="utf-8")[:-100], encoding="utf-8")
    with pytest.raises(DataError, match=r"made\.json: the surrogate is damaged .*Delete"):
        find_fly_surrogate(0.02, 0)


@pytest.mark.parametrize("where", ["data", "cache"])
def test_a_finished_store_is_found_by_name(
    folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    made = small_store(getattr(folders, where))
    monkeypatch.setattr(store, "make_fly_wiring", fail)
    assert load_connectome("fly-surrogate", scale=0.02).m == made.made.connections
    assert load_recording("fly-surrogate/3", scale=0.02).name == "fly-surrogate/3"
    assert len(made.real()) == len(made.teacher().weights) == load_fly_surrogate(scale=0.02).m
    assert make_fly_surrogate(0.02).folder == made.folder


def test_an_absent_store_is_made_after_saying_so(
    folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "source_files", dict)
    monkeypatch.setattr(store, "make_fly_wiring", lambda scale, seed: small_fly())
    monkeypatch.setattr(store, "FRAMES", 20)
    monkeypatch.setattr(store, "ANIMALS", 2)
    recording = load_fly_surrogate_recording("2", scale=0.05)
    said = capsys.readouterr()
    assert "SURROGATE" in said.err and "scale 0.05" in said.err and "on two cores" in said.err
    assert said.out == ""
    assert recording.frames == 20
    assert [one.name for one in (folders.cache / "fly-surrogate").iterdir()] == [f"0.05-0-v{fly_store.STORE_VERSION}"]
    load_fly_surrogate(scale=0.05)
    assert capsys.readouterr().err == ""


def test_wrong_scales_seeds_and_names_are_refused(folders: SimpleNamespace) -> None:
    for scale in (0.0, 0.001, 1.5, float("nan")):
        with pytest.raises(ConfigError, match=r"must lie between 0\.01 and 1"):
            load_fly_surrogate(scale=scale)
    with pytest.raises(ConfigError, match="seed = -1"):
        make_fly_surrogate(0.5, -1)
    with pytest.raises(ConfigError, match="recording is '19'"):
        load_fly_surrogate_recording("19", scale=0.02)


# --- Activity of a sub-brain of the real fly


@pytest.fixture(scope="module")
def flies(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    data = os.environ.get("CONNFIT_DATA")
    if not data or not (Path(data) / "flywire" / "connections_within_hemisphere.parquet").exists():
        pytest.skip("needs the fly's real connections: set CONNFIT_DATA to the folder that holds flywire/")
    from connfit.datasets.synthetic.fly.fly_wiring import make_fly_wiring

    target = tmp_path_factory.mktemp("fly") / "0.05"
    made = write_fly_surrogate(make_fly_wiring(0.05, 0), target, scale=0.05, seed=0, frames=1200, animals=2)
    return [made.recording(uid) for uid in ("1", "2")]


def detrended(recording: Recording) -> np.ndarray:
    values = preprocess(recording.split(), [{"step": "high_pass", "cutoff_hz": 0.01}]).values.astype(np.float64)
    return (values - values.mean(axis=0)) / values.std(axis=0)


def connectivity(values: np.ndarray) -> np.ndarray:
    return np.corrcoef(values.T)[np.triu_indices(values.shape[1], 1)]


@pytest.mark.slow
def test_regions_are_correlated_in_a_structured_way_that_lasts(flies: list[Recording]) -> None:
    for one in flies:
        values = detrended(one)
        assert values.shape[1] >= 15
        quartiles = np.quantile(np.abs(connectivity(values)), [0.25, 0.5, 0.75])
        assert 0.03 < quartiles[0] < 0.35 and 0.1 < quartiles[1] < 0.6 and 0.25 < quartiles[2] < 0.8
        spectrum = np.linalg.eigvalsh(np.corrcoef(values.T))
        assert spectrum[-1] / spectrum.sum() < 0.6
        halves = np.corrcoef(connectivity(values[:500]), connectivity(values[-500:]))[0, 1]
        assert 0.4 < halves < 0.97
        memory = [np.corrcoef(column[1:], column[:-1])[0, 1] for column in values.T]
        assert 0.8 < np.median(memory) < 0.97


@pytest.mark.slow
def test_other_regions_tell_what_a_region_does_next(flies: list[Recording]) -> None:
    for one in flies:
        values = detrended(one)
        fit, test = values[:800], values[800:]
        own = [np.linalg.lstsq(fit[:-1, [k]], fit[1:, k])[0] for k in range(fit.shape[1])]
        alone = np.stack([test[:-1, [k]] @ own[k] for k in range(fit.shape[1])], axis=1)
        penalty = 0.1 * len(fit) * np.eye(fit.shape[1])
        rest = fit[1:] - np.stack([fit[:-1, [k]] @ own[k] for k in range(fit.shape[1])], axis=1)
        together = alone + test[:-1] @ np.linalg.solve(fit[:-1].T @ fit[:-1] + penalty, fit[:-1].T @ rest)
        error = [float(np.square(guess - test[1:]).mean()) for guess in (alone, together)]
        assert error[1] < 0.97 * error[0]


def test_recordings_drift_before_detrending(flies: list[Recording]) -> None:
    values = flies[0].values.astype(np.float64)
    slow = np.stack([chunk.mean(axis=0) for chunk in np.array_split(values, 10)])
    clean = np.stack([chunk.mean(axis=0) for chunk in np.array_split(detrended(flies[0]), 10)])
    assert np.median(slow.std(axis=0) / values.std(axis=0)) > 2 * np.median(clean.std(axis=0))
