"""benchmarks/gpu.py without a card: a rehearsal, and what it does when a section fails or takes too long."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"


@pytest.fixture
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_of_gpus", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_rehearsal_measures_and_compares_everything(tmp_path):
    environment = {**os.environ, "OUT": str(tmp_path)}
    done = subprocess.run([sys.executable, SCRIPT, "--interpret"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (tmp_path / "gpu.jsonl").read_text(encoding="utf-8") == done.stdout
    found = {(line["benchmark"], line.get("implementation")) for line in lines}
    products = {(name, k) for name in ("matvec", "rmatvec", "window_outer") for k in ("portable", "pallas", "cusparse")}
    assert found == products | {
        ("card", None), ("step", "portable"), ("gradient", "portable"), ("gradient", "pallas"),
    }  # fmt: skip
    assert all(line["agrees"] for line in lines if line["benchmark"] not in ("card", "step"))
    # Pallas and portable code add in different orders, so that no difference at all would mean that one ran twice.
    assert all(line["differs_by"] > 0 for line in lines if line.get("implementation") == "pallas")


def test_other_sections_run_after_one_that_fails(gpu, monkeypatch, capsys):
    def broken(at: object) -> Iterator[dict]:
        raise ValueError("no such kernel")
        yield {}

    def wrong(at: object) -> Iterator[dict]:
        yield {"benchmark": "matvec", **gpu.compared({0: np.ones(3)}, {0: np.full(3, 1.001)})}

    sections = {"card": (broken, 9), "steps": (lambda at: iter([{"benchmark": "step"}]), 9)}
    monkeypatch.setattr(gpu, "SECTIONS", sections)
    monkeypatch.delenv("OUT", raising=False)
    assert gpu.main(["--interpret"]) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "no such kernel" in first["failed"] and second["benchmark"] == "step"
    monkeypatch.setattr(gpu, "SECTIONS", {"steps": sections["steps"]})
    assert gpu.main(["--interpret"]) == 0
    monkeypatch.setattr(gpu, "SECTIONS", {"operators": (wrong, 9)})
    assert gpu.main(["--interpret"]) == 1


def test_a_section_ends_with_its_time_and_its_error_is_a_line(gpu, tmp_path):
    at, lines = gpu.Place(1.0, tmp_path / "none.npz", 0.0, 8, 1), []
    gpu.in_its_own("operators, XLA", at, 0.05, lines.append)
    assert "ended after its 0 s" in lines[0]["failed"]
    gpu.in_its_own("operators, XLA", at, 60, lines.append)
    assert "none.npz" in lines[1]["failed"] and lines[1]["section"] == "operators, XLA"


def test_wiring_has_the_asked_size_and_no_connection_twice(gpu, tmp_path):
    gpu.write_wiring(tmp_path / "wiring.npz", 0.01)
    with np.load(tmp_path / "wiring.npz") as wiring:
        indptr, indices = wiring["indptr"], wiring["indices"]
    assert len(indptr) - 1 == round(0.01 * gpu.NEURONS) and len(indices) == round(0.01 * gpu.CONNECTIONS)
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    assert len(np.unique(rows * len(indptr) + indices)) == len(indices)
    for degree in (np.diff(indptr), np.bincount(indices, minlength=len(indptr) - 1)):
        assert degree.max() > 5 * degree.mean()
