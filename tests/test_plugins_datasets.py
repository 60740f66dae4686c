"""A dataset of another package: its one file and entry point are enough to list, load and fit it by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_plugins import QUICK, connfit, read
from test_registry import plug_in

TOY = '''
"""A package that brings a small brain and two recordings of it."""
import numpy as np
import pandas as pd

from connfit.connectome import from_pairs
from connfit.datasets.registry import Dataset
from connfit.errors import one_of
from connfit.recordings import Recording

NEURONS = 12


def load_toy(variant="ring", *, strength=3):
    post = np.arange(NEURONS)
    pre = np.roll(post, 1 if one_of("variant", variant, ("ring", "back")) == "ring" else -1)
    table = pd.DataFrame({"id": [f"n{k}" for k in post], "type": "", "region": "", "transmitter": "", "side": ""})
    counts, signs = np.full(NEURONS, strength), np.where(post % 3, 1, -1)
    return from_pairs("toy-ring", pre, post, counts, signs, table, notes=TOY.notes())


def load_toy_recording(uid, *, frames=120):
    rng = np.random.default_rng(int(uid))
    values = np.abs(np.cumsum(rng.normal(size=(frames, NEURONS)), axis=0))
    return Recording(f"toy-ring/{uid}", values, tuple(f"n{k}" for k in range(NEURONS)), 2.0, kind="rate")


TOY = Dataset(
    name="toy-ring", label="A toy ring of twelve neurons", organism="none (made up)", licence="CC0", citation="nobody",
    source="made up on the spot", sizes={"neurons": NEURONS}, connectome=load_toy, recording=load_toy_recording,
    recordings=("1", "2"), variants=("ring", "back"), preprocess=({"step": "scale", "method": "std"},),
    fit={"train.batch": 1},
)
'''

CONTRACT = """
import connfit as cf
from connfit.cli import app
from contracts import check_dataset

check_dataset("toy-ring")
assert "toy-ring" in cf.list_datasets()
assert cf.load_connectome("toy-ring/back", strength=4).counts[0] == 4
assert [recording.name for recording in cf.load_recordings("toy-ring")] == ["toy-ring/1", "toy-ring/2"]
print(cf.load_connectome("toy-ring").notes["licence"])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a package with a dataset, and one whose dataset cannot be loaded, are installed."""
    folder = tmp_path_factory.mktemp("toy-dataset")
    points = {"toy-ring": "toy_rings:TOY", "toy-absent": "toy_rings:ABSENT"}
    plug_in(folder, "toy_rings", TOY, {"connfit.datasets": points})
    return folder


def test_a_dataset_of_another_package_keeps_the_contract(folder: Path) -> None:
    path = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CONTRACT],
        env={**os.environ, "PYTHONPATH": path}, cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0 and ran.stdout.strip() == "CC0", ran.stderr


def test_a_dataset_of_another_package_is_listed_shown_and_fitted(folder: Path) -> None:
    fitted, wrong, absent = folder / "fitted", folder / "wrong", folder / "absent"
    listed, shown, done, refused, broken = connfit(
        folder,
        ("data", "list"),
        ("data", "info", "toy-ring"),
        ("fit", "toy-ring", "--out", str(fitted), "--set", "evaluate.baselines=[]", *QUICK),
        ("fit", "toy-rin", "--out", str(wrong)),
        ("fit", "toy-absent", "--out", str(absent)),
    )
    assert listed[0] == 0 and "toy-ring none (made up) generated A toy ring of twelve neurons" in listed[1]
    assert shown[0] == 0 and "toy-ring/1 toy-ring/2" in shown[1] and "licence CC0" in shown[1]
    assert done[0] == 0, done[1]
    config = read(fitted / "config.json")
    assert config["data"]["dataset"] == "toy-ring" and config["train"]["batch"] == 1
    record = read(fitted / "record.json")
    assert record["connectome"]["notes"]["licence"] == "CC0"
    assert read(fitted / "metrics.json")["dataset"] == "toy-ring"
    assert refused[0] and "did you mean 'toy-ring'?" in refused[1]
    assert broken[0] and "this dataset of the package 'toy_rings' cannot be used" in broken[1]
    assert not wrong.exists() and not absent.exists(), "nothing was begun"
