"""Recordings that do not fit into memory: the same scores in blocks of frames, with predictions on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from known_forecasters import CONFIG, recording

from connfit._io import plain
from connfit.evaluation import free_run, large_npz, scratch
from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.large_npz import InArchive, read_large_npz, write_large_npz
from connfit.evaluation.predictions import horizon_starts
from connfit.recordings import frame_blocks
from connfit.recordings.stretches import as_blocks


def same(first: object, second: object, where: str = "") -> None:
    """Numbers to rounding, everything else exactly."""
    if isinstance(first, dict) and isinstance(second, dict):
        assert first.keys() == second.keys(), where
        for key, value in first.items():
            same(value, second[key], f"{where}/{key}")
    elif isinstance(first, list) and isinstance(second, list):
        assert len(first) == len(second), where
        for k, (one, other) in enumerate(zip(first, second, strict=True)):
            same(one, other, f"{where}[{k}]")
    elif isinstance(first, float) and isinstance(second, float):
        # Sums over blocks are added up in another order.
        assert first == pytest.approx(second, rel=1e-7, abs=1e-9), where
    else:
        assert first == second, where


@pytest.mark.slow
def test_scores_and_forecasts_are_the_same_in_blocks_and_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = recording(frames=400)
    model = VarRidge.fit(one, CONFIG)
    expected, shown = evaluate_all(model, Persistence(), ["ar"], [one], CONFIG)
    monkeypatch.setattr(frame_blocks, "BLOCK_VALUES", 150)
    for module in (scratch, large_npz):
        monkeypatch.setattr(module, "IN_MEMORY", 100)
    found, stored = evaluate_all(model, Persistence(), ["ar"], [one], CONFIG, save_to=tmp_path / "forecasts.npz")
    same(plain(found), plain(expected))
    part, kept = (each.recordings[one.name].parts["test"] for each in (stored, shown))
    assert isinstance(part.one_step, InArchive)
    for key in ("values", "one_step", "free_run", "free_run_deterministic"):
        got, wanted = (np.asarray(getattr(of, key)[:], np.float32) for of in (part, kept))
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["forecasts.npz"]


def test_a_part_of_several_trials_is_scored_inside_its_trials() -> None:
    """One frame ahead from the second frame of a trial on, further ahead from frames whose target is in the trial."""
    whole = recording(frames=400)
    one = as_blocks(replace(whole, parts=None), [(first, first + 40) for first in range(0, 400, 40)])
    one = one.split(train=0.5, validation=0.2)
    found, _ = evaluate_all(VarRidge.fit(one, CONFIG), Persistence(), ["persistence", "ar"], [one], CONFIG)
    test = slice(*one.require_parts().test)
    firsts = [first for first, _ in one.blocks if test.start <= first < test.stop]
    assert len(firsts) == 3
    persistence = Persistence().one_step(one)
    for ours, model in (
        (found.parts["test"], VarRidge.fit(one, CONFIG)),
        (found.baselines["ar"].part("test"), BASELINES["ar"].fit(one, CONFIG)),
    ):
        inside = np.concatenate([np.arange(first + 1, first + 40) for first in firsts])
        errors = [np.mean((each[inside] - one.values[inside]) ** 2) for each in (model.one_step(one), persistence)]
        assert ours.one_step.skill_vs_persistence == pytest.approx(1 - errors[0] / errors[1], rel=1e-6)
        assert ours.one_step.scored == inside.size * len(one.units)
        assert ours.horizon_skill[10] is not None and ours.horizon_median_unit[1].value is not None
    config = msgspec.structs.replace(CONFIG, horizons=(1, 10, 38))
    starts, too_long = horizon_starts(one, "test", config)
    assert all(any(first <= at and at + 10 < first + 40 for first in firsts) for at in starts)
    why = "in the part's 3 blocks of 40 to 40 frames 6 have one 38 later, 8 are needed"
    assert too_long == {38: why}


def test_blocks_of_an_archive_are_those_of_the_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_npz, "IN_MEMORY", 100)
    monkeypatch.setattr(frame_blocks, "BLOCK_VALUES", 7)
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    write_large_npz(tmp_path / "a.npz", {"x": values, "mask": values > 0, "word": np.array("w")})
    arrays = read_large_npz(tmp_path / "a.npz")
    x = arrays["x"]
    assert isinstance(x, InArchive) and str(arrays["word"]) == "w"
    np.testing.assert_array_equal(arrays["mask"][:], values > 0)
    # Forwards, back, with steps, single rows and columns, rows by number, as figures of many units ask, and by mask.
    ats = (slice(0, 9), slice(9, 20), slice(30, 50), slice(3, 5), slice(None, None, 7), 12, -1, (slice(4, 9), 1),
           np.array([7, 3]), np.ix_([40, 2, 2], [2, 0]), values[:, 0] > 0)  # fmt: skip
    for at in ats:
        np.testing.assert_array_equal(x[at], values[at])


def test_of_a_long_part_the_first_frames_run_freely(monkeypatch: pytest.MonkeyPatch) -> None:
    one = recording(frames=400)
    monkeypatch.setattr(free_run, "LONGEST_RUN", 40)
    found, forecasts = evaluate_all(VarRidge.fit(one, CONFIG), None, [], [one], CONFIG)
    assert isinstance(forecasts, Forecasts)
    for part, scores in found.recordings[one.name].parts.items():
        run = np.asarray(forecasts.recordings[one.name].parts[part].free_run)
        assert scores.free_run.frames == 40
        assert np.isfinite(run).all(axis=1).sum() == 40 and np.isfinite(run[-1]).any() == (len(run) <= 40)
