"""Sessions of one animal as blocks of one recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.config import DataConfig, FileRecordings
from connfit.datasets.loading import own_recordings
from connfit.datasets.own_files import check_data
from connfit.errors import ConfigError, DataError
from connfit.recordings import Inputs, Recording
from connfit.recordings.sessions import join_sessions
from connfit.recordings.stretches import BETWEEN


def session(name: str, units: tuple[str, ...], frames: int = 12, seed: int = 0, **others) -> Recording:
    rng = np.random.default_rng(seed)
    mask = rng.random((frames, len(units))) < 0.8
    return Recording(name, np.where(mask, rng.normal(size=mask.shape), np.nan), units, 2.0, mask=mask, **others)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.permutations("abcd"), st.integers(1, 4), st.integers(2, 20)), min_size=2, max_size=4))
def test_nothing_of_any_session_is_lost_or_moved(drawn) -> None:
    sessions = [
        session(f"s{k}", ("x", *order[:count]), frames, seed=k) for k, (order, count, frames) in enumerate(drawn)
    ]
    joined = join_sessions("fish", sessions)
    assert joined.name == "fish" and len(joined.blocks) == len(sessions)
    seen = np.zeros(joined.mask.shape, bool)
    for (start, stop), each in zip(joined.blocks, sessions, strict=True):
        at = [joined.units.index(unit) for unit in each.units]
        np.testing.assert_array_equal(joined.mask[start:stop][:, at], each.mask)
        np.testing.assert_array_equal(joined.values[start:stop][:, at][each.mask], each.values[each.mask])
        seen[np.ix_(range(start, stop), at)] = each.mask
    # Between sessions, and of units that a session lacks, nothing is observed.
    np.testing.assert_array_equal(joined.mask, seen)
    gaps = [after[0] - before[1] for before, after in zip(joined.blocks, joined.blocks[1:], strict=False)]
    assert gaps == [BETWEEN] * (len(sessions) - 1)


def test_inputs_and_epochs_come_along() -> None:
    light = [Inputs(np.full((12, 1), k + 1.0), ("light",)) for k in range(2)]
    pair = [session(f"s{k}", ("a",), seed=k, inputs=light[k], epochs={"on": ((2, 5),)}) for k in range(2)]
    joined = join_sessions("fish", pair)
    (first, second) = joined.blocks
    assert joined.inputs is not None
    assert (joined.inputs.values[slice(*first)] == 1).all() and (joined.inputs.values[slice(*second)] == 2).all()
    assert not joined.inputs.mask[first[1] : second[0]].any()
    assert joined.epochs["on"] == ((2, 5), (second[0] + 2, second[0] + 5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_rate": 3.0}, "session 's1' has 3 frames per second, 's0' 2"),
        ({"kind": "spikes"}, "is of kind spikes"),
        ({"units": ("b",)}, "have no unit in common"),
        ({"inputs": Inputs(np.ones((12, 1)), ("light",))}, "has the inputs"),
    ],
)
def test_sessions_that_do_not_go_together_are_named(change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        join_sessions("fish", [session("s0", ("a",)), replace(session("s1", ("a",)), **change)])


def test_a_configuration_names_the_animal_of_each_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = []
    for k, frames in enumerate((30, 40, 50, 20)):
        table = pd.DataFrame(rng.normal(size=(frames, 2)), columns=["a", "b"])
        table.insert(0, "time_s", np.arange(frames) / 2)
        files.append(str(tmp_path / f"day{k}.csv"))
        table.to_csv(files[-1], index=False)
    own = FileRecordings(files=tuple(files), animals=("m1", "m1", "m2", "m1"))
    first, second = own_recordings(DataConfig(recording_files=own))
    assert (first.name, second.name) == ("m1", "m2")
    blocks = ((0, 30), (30 + BETWEEN, 70 + BETWEEN), (70 + 2 * BETWEEN, 90 + 2 * BETWEEN))
    assert first.blocks == blocks and second.frames == 50 and not second.blocks
    # Parts are whole sessions.
    parts = first.split(train=0.4, validation=0.4).require_parts()
    assert (parts.validation[0], parts.test[0]) == (blocks[1][0], blocks[2][0])
    with pytest.raises(ConfigError, match="animals has 2 names for 4 files"):
        FileRecordings(files=tuple(files), animals=("m1", "m2"))


def test_check_takes_sessions_and_formats_of_single_files_as_a_fit_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.csv", "b.csv", "c.dat", "d.csv"):
        table = pd.DataFrame(rng.normal(size=(40, 2)), columns=["x", "y"])
        table.insert(0, "time_s", np.arange(40) / 2)
        table.to_csv(tmp_path / name, index=False)
    (tmp_path / "edges.csv").write_text("pre,post,synapses\nx,y,2\ny,x,1\n", encoding="utf-8")
    (tmp_path / "config.toml").write_text(
        """[data]
unknown_transmitter = "excitatory"
[data.connectome]
edges = "edges.csv"
[data.recording_files]
files = ["a.csv", "b.csv", "c.dat", "d.csv"]
animals = ["m1", "m1", "m2", "m1"]
each = [{}, {}, { format = "csv" }, {}]
""",
        encoding="utf-8",
    )
    checked = check_data([tmp_path / "config.toml"])
    assert [(each.path.name, each.recording.name, len(each.recording.blocks)) for each in checked.recordings] == [
        ("a.csv", "m1", 3),
        ("c.dat", "m2", 0),
    ]
    assert checked.ready
