"""The real halves of the fly brain, numbers that their source states; small files that are wrong; the cache."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fly_files import FlyBrain, fly_brain, write_codex

from connfit.connectome import Connectome
from connfit.datasets import cache as wiring_cache
from connfit.datasets.cache import cache_folder, cached
from connfit.datasets.fly_halves import halves_connectome, load_fly_halves
from connfit.datasets.fly_neurons import read_fly_neurons, region_notes
from connfit.datasets.fly_regions import FLYWIRE_NEUROPILS
from connfit.errors import DataError

UNPAIRED = {"EB", "FB", "GNG", "NO", "OCG", "PB", "PRW", "SAD"}


@pytest.fixture(scope="session")
def fly_data() -> Path:
    """Folder with the public data sets; the test is skipped where it is absent."""
    for candidate in (os.environ.get("CONNFIT_DATA"), Path(__file__).parents[2] / "shared" / "data"):
        if candidate and (Path(candidate) / "flywire" / "connections_within_hemisphere.parquet").exists():
            return Path(candidate)
    pytest.skip("needs the fly data: set CONNFIT_DATA to the folder that holds flywire/neurons.csv.gz")


@pytest.fixture(scope="module")
def real(fly_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Connectome:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONNFIT_DATA", str(fly_data))
        patch.setenv("CONNFIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        first, again = load_fly_halves(), load_fly_halves()
    np.testing.assert_array_equal(first.indices, again.indices)
    pd.testing.assert_frame_equal(first.neurons, again.neurons)
    assert first.notes == again.notes
    return first


@pytest.mark.slow
def test_sizes_are_those_of_the_source(real: Connectome) -> None:
    summary = real.summary()
    assert (real.n, real.m, summary.synapses) == (133_436, 2_309_630, 28_363_450)
    assert summary.self_connections == 308 and summary.reciprocity == pytest.approx(0.138, abs=5e-4)
    assert real.ids.dtype == np.int64 and real.ids.min() > 2**53
    half = real.neurons["half"].to_numpy(str)
    assert dict(zip(*np.unique(half, return_counts=True), strict=True)) == {"left": 66_778, "right": 66_658}
    assert (half[real.posts] == half[real.indices]).all()
    assert real.notes["neurons_whose_half_is_not_their_side"] == 1
    assert real.counts.min() == 5 and real.counts.max() == 2058


def test_connections_by_class_are_those_of_the_source(real: Connectome) -> None:
    made = real.neurons["super_class"].iloc[real.indices].value_counts()
    expected = {"optic": 1275849, "central": 713198, "visual_projection": 169555, "sensory": 45666, "descending": 16710}
    assert {key: int(made[key]) for key in expected} == expected


def test_labels_of_known_cells(real: Connectome) -> None:
    table = real.neurons
    t4, t5 = (table[table["sub_class"] == f"{one}_neuron"] for one in ("t4", "t5"))
    for cells, source in ((t4, "ME"), (t5, "LO")):
        side = cells["side"].map({"left": "_L", "right": "_R"})
        assert len(cells) > 5500
        assert np.mean((cells["group_input"] == source + side) & (cells["region"] == "LOP" + side)) > 0.9
    assert (table["region"] == table["group_output"]).all()
    assert set(table["region"]) - {""} <= set(FLYWIRE_NEUROPILS)
    assert real.notes["neurons_by_label_without_region"] == {"NO_CONS": 8, "UNASGD": 10}


def test_synapses_by_region_follow_the_labels(real: Connectome) -> None:
    assert real.regions is not None and set(real.regions.names) == set(FLYWIRE_NEUROPILS)
    assert "approximate" in real.notes["regions"]
    outputs = np.bincount(real.indices, weights=real.counts, minlength=real.n)
    labelled = (real.neurons["group_output"] != "").to_numpy()
    np.testing.assert_array_equal(real.regions.outputs.sum(0), np.where(labelled, outputs, 0))


def test_signs(real: Connectome) -> None:
    transmitter = real.neurons["transmitter"].to_numpy(str)
    np.testing.assert_array_equal(real.signs < 0, np.isin(transmitter, ["GABA", "GLUT", "SER", "OCT"]))
    assert real.notes["unknown_transmitter_neurons"] == (transmitter == "").sum() == 14_364


def test_real_neuron_tables(fly_data: Path) -> None:
    table = read_fly_neurons(fly_data / "flywire/neurons.csv.gz", fly_data / "flywire/classification.csv.gz")
    assert len(table) == 139_255 and table["id"].dtype == np.int64
    assert table["transmitter"].value_counts()["ACH"] == 82_298
    notes = region_notes(table)
    assert notes["neurons_by_label_without_region"] == {"NO_CONS": 5074, "UNASGD": 10}
    by_name = table.set_index("region")["side"]
    for name in FLYWIRE_NEUROPILS:
        sides = set(by_name.loc[[name]])
        assert name in UNPAIRED or sides == {"left" if name.endswith("_L") else "right"}


def write_halves(brain: FlyBrain, folder: Path) -> dict[str, Path]:
    """The layout of the real files: pairs whose neurons are on one side."""
    paths = write_codex(brain, folder)
    pairs, side = brain.pairs(), brain.neurons["side"].to_numpy()
    pairs = pairs[side[pairs["pre"]] == side[pairs["post"]]]
    paths["connections"] = folder / "halves.parquet"
    pd.DataFrame(
        {
            "pre": brain.ids[pairs["pre"]],
            "post": brain.ids[pairs["post"]],
            "syn_count": pairs["count"].astype(np.int32),
            "half": side[pairs["pre"]],
        }
    ).to_parquet(paths["connections"], index=False)
    return paths


@pytest.fixture(scope="module")
def brain() -> FlyBrain:
    return fly_brain(neurons=200, rows=2000)


def test_small_files(brain: FlyBrain, tmp_path: Path) -> None:
    paths = write_halves(brain, tmp_path)
    read = halves_connectome(**paths, order="source")
    listed = pd.read_parquet(paths["connections"])
    expected = pd.crosstab(listed["post"], listed["pre"], listed["syn_count"], aggfunc="sum")
    expected = expected.reindex(index=read.ids, columns=read.ids).fillna(0).to_numpy()
    np.testing.assert_array_equal(np.abs(read.matrix().toarray()), expected)
    strong = halves_connectome(**paths, min_synapses=5, order="source")
    np.testing.assert_array_equal(np.abs(strong.matrix().toarray()), np.where(expected >= 5, expected, 0))
    assert strong.n == read.n and strong.notes["weak_connections_dropped"] == read.m - strong.m > 0
    local = halves_connectome(**paths)
    at = local.index_of(read.ids)
    np.testing.assert_array_equal(local.matrix().toarray()[np.ix_(at, at)], read.matrix().toarray())


def test_wrong_rows_are_named(brain: FlyBrain, tmp_path: Path) -> None:
    paths = write_halves(brain, tmp_path)
    whole = pd.read_parquet(paths["connections"])
    spoilt = {
        "row 4: syn_count = 0 is below 1": whole.assign(syn_count=whole["syn_count"].where(whole.index != 3, 0)),
        "row 4: pre = 11 is not in the neuron table": whole.assign(pre=whole["pre"].where(whole.index != 3, 11)),
        f"rows 3, {len(whole) + 1} are the same pair": pd.concat([whole, whole.iloc[[2]]]),
        r"row \d+: .* half, but": whole.assign(half=whole["half"].where(whole.index != 3, "middle")),
        "row 4: its half is empty": whole.assign(half=whole["half"].where(whole.index != 3, None)),
        "column 'half': .*list": whole.assign(half=[["left"]] * len(whole)),
        "no column 'half'": whole.drop(columns="half"),
        "floating point": whole.assign(pre=whole["pre"].astype(float)),
    }
    for message, table in spoilt.items():
        table.to_parquet(paths["connections"], index=False)
        with pytest.raises(DataError, match=message) as caught:
            halves_connectome(**paths)
        assert "halves.parquet" in str(caught.value)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONNFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "connectomes"


class Build:
    """Counts how often files were read."""

    def __init__(self, brain: FlyBrain, folder: Path) -> None:
        self.paths, self.times = write_halves(brain, folder), 0

    def __call__(self, **given: Any) -> Connectome:
        self.times += 1
        return halves_connectome(**given)


def test_files_are_read_once(brain: FlyBrain, tmp_path: Path, cache: Path) -> None:
    build = Build(brain, tmp_path)
    first = cached("x", build, build.paths, {"sign_rule": "shiu"})
    second = cached("x", build, build.paths, {"sign_rule": "shiu"})
    assert build.times == 1 and cache_folder() == cache
    np.testing.assert_array_equal(first.matrix().toarray(), second.matrix().toarray())
    pd.testing.assert_frame_equal(first.neurons, second.neurons)
    cached("x", build, build.paths, {"sign_rule": "fly-paper"})
    cached("y", build, build.paths, {"sign_rule": "shiu"})
    assert build.times == 3
    # A file that has changed is read again, and so is one whose rule has.
    stamp = build.paths["neurons"].stat().st_mtime_ns
    os.utime(build.paths["neurons"], ns=(stamp, stamp + 1))
    cached("x", build, build.paths, {"sign_rule": "shiu"})
    rule = tmp_path / "rule.csv"
    for text in ("transmitter,sign\nACH,1\n", "transmitter,sign\nACH,-1\n"):
        rule.write_text(text)
        cached("x", build, build.paths, {"sign_rule": rule})
    assert build.times == 6


def test_a_new_version_of_the_reader_reads_again(
    brain: FlyBrain, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Build(brain, tmp_path)
    cached("x", build, build.paths, {})
    monkeypatch.setattr(wiring_cache, "READER_VERSION", -1)
    cached("x", build, build.paths, {})
    assert build.times == 2


@pytest.mark.parametrize("keep", [0, 100, -5000, -1])
def test_a_damaged_file_is_made_again_with_a_notice(brain: FlyBrain, tmp_path: Path, cache: Path, keep: int) -> None:
    build = Build(brain, tmp_path)
    whole = cached("x", build, build.paths, {}).matrix().toarray()
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.warns(UserWarning, match="made again"):
        again = cached("x", build, build.paths, {})
    np.testing.assert_array_equal(again.matrix().toarray(), whole)
    assert [one.name for one in cache.iterdir()] == [path.name] and build.times == 2


def test_a_cache_that_cannot_be_written_is_done_without(brain: FlyBrain, tmp_path: Path, cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be")
    build = Build(brain, tmp_path)
    with pytest.warns(UserWarning, match="could not be kept in the cache"):
        assert cached("x", build, build.paths, {}).n == 200


def test_two_at_once(brain: FlyBrain, tmp_path: Path, cache: Path) -> None:
    build = Build(brain, tmp_path)
    read: list[Connectome] = []
    threads = [threading.Thread(target=lambda: read.append(cached("x", build, build.paths, {}))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len({one.matrix().sum() for one in read}) == 1 and len(read) == 4
    assert len(list(cache.iterdir())) == 1
