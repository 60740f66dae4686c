"""Memory of the whole command: what is said before, what is freed between stages, what no longer grows with frames."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import write_files

from connfit._system.heap import forget_programs, peak_rss_bytes
from connfit.config import override, read
from connfit.errors import ConfigError
from connfit.evaluation.evaluation_memory import evaluation_memory
from connfit.evaluation.left_out_mlp import HIDDEN, MOST_FRAMES, MOST_TUNED, fitting_bytes
from connfit.models.init.across_units import same_frames
from connfit.models.init.centred_frames import CentredFrames
from connfit.recordings import Parts, Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.training_range import TrainingRange
from connfit.training.memory import MemoryEstimate, check_memory
from connfit.training.problem import Job, prepare

FIXED = [
    "model.drive_start=persistence", "model.state_forcing=1", "model.time_constant_frames=1", "model.weights=counts",
    "model.own_shrinkage=0", "model.drive_ridge=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return prepare(override(read(write_files(tmp_path_factory.mktemp("small"), whole_evaluation=True)), FIXED))


def of_size(job: Job, frames: int, units: int) -> Job:
    cohort = Cohort.from_recordings([
        Recording(
            "a", np.broadcast_to(np.random.default_rng(0).random((1, units), np.float32), (frames, units)),
            tuple(f"u{k}" for k in range(units)), 1.0, mask=np.broadcast_to(True, (frames, units)),
            parts=Parts.of(frames, train=0.6, validation=0.15),
        )
    ])  # fmt: skip
    return replace(job, cohort=cohort)


def test_evaluation_grows_with_the_recording_and_little_else(job: Job) -> None:
    short, long, longest = (
        dict(evaluation_memory(of_size(job, frames, 50))) for frames in (20_000, 200_000, 2_000_000)
    )
    assert long["recordings"] == 10 * short["recordings"] == 5 * 50 * 200_000
    beyond = [sum(parts.values()) - parts["recordings"] for parts in (short, long, longest)]
    assert beyond[0] == pytest.approx(beyond[1], rel=0.05)
    assert beyond[1] == beyond[2]


def test_evaluation_holds_what_baselines_hold_of_many_units(job: Job) -> None:
    job = replace(job, config=override(job.config, ["evaluate.var_lags=[1, 2, 4]"]))
    few, many = (evaluation_memory(of_size(job, 100, units)) for units in (50, 500))
    # Of 1, 2 and 4 lags three matrices of all inputs, and inputs and units by units.
    assert many["moments of baselines"] == 8 * 500**2 * (3 * (1 + 4 + 16) + 2 + 3 + 5)
    assert many["decomposition"] > 100e6 and "networks" not in many, "one comes after the other"
    assert few["networks"] > 100e6
    assert 100e6 > sum(few.values()) - few["libraries and programs"] - few["networks"]
    alone = override(job.config, ['evaluate.baselines=["mean"]', "evaluate.left_out_units=0"])
    assert not {"moments of baselines", "decomposition", "networks"} & set(
        evaluation_memory(replace(of_size(job, 100, 500), config=alone))
    )


def test_networks_take_more_the_more_they_see_and_nothing_where_there_are_none() -> None:
    lags, compiled = (1, 2, 4), fitting_bytes(1, (1,), 0, 0)
    assert fitting_bytes(50, lags, 5_000, 1_000) - compiled == 4 * (2 * 6_000 * 200 + 2 * HIDDEN * 1_000)
    assert fitting_bytes(50, lags, 10**6, 10**6) == fitting_bytes(50, lags, MOST_FRAMES, MOST_TUNED)
    assert fitting_bytes(3_000, lags, 1_000, 200) == fitting_bytes(3_000, (1,), 1_000, 200) > compiled
    assert fitting_bytes(10_000, lags, 1_000, 200) == 0


def test_the_stage_that_needs_most_is_said_and_checked(job: Job) -> None:
    training = MemoryEstimate({"traces": 3 * 10**9}, 1)
    assert training.report() == "memory: about 3.00 GB at peak, in training (traces 3.00)"
    both = replace(training, later={"baselines": 5 * 10**9})
    assert both.report() == "memory: about 5.00 GB at peak, in evaluation (baselines 5.00)" and both.total == 5 * 10**9
    with pytest.raises(ConfigError, match=r"this fit needs about 5\.00 GB"):
        check_memory(both, free=4 * 10**9)
    prepared = replace(both, so_far=6 * 10**9)
    assert prepared.report() == "memory: about 6.00 GB at peak, reached already; 5.00 GB in evaluation (baselines 5.00)"
    check_memory(prepared, free=5 * 10**9)
    known = replace(job, later=evaluation_memory(job), prepared_with=peak_rss_bytes()).memory()
    assert known.total >= peak_rss_bytes() * 0.9


@pytest.mark.slow
def test_programs_are_forgotten() -> None:
    program = jax.jit(lambda x: x + 1)
    program(jnp.ones(3)).block_until_ready()
    assert program._cache_size() == 1
    forget_programs()
    assert program._cache_size() == 0
    assert program(jnp.ones(3))[0] == 2


def test_training_frames_without_gaps_are_the_recording_itself() -> None:
    values = np.random.default_rng(0).random((30, 4), np.float32)
    whole = Recording("a", values, tuple("abcd"), 1.0).split()
    ((frames, _),) = Cohort.from_recordings([whole]).training_frames()
    assert np.shares_memory(frames, values) and frames.shape == (18, 4)
    mask = np.ones(values.shape, bool)
    mask[5, 2] = False
    ((frames, _),) = Cohort.from_recordings([replace(whole, mask=mask)]).training_frames()
    assert np.isnan(frames[5, 2]) and np.isfinite(frames).sum() == 18 * 4 - 1


def test_a_recording_is_not_copied_to_select_all_of_its_units_nor_to_find_their_range(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).random((30, 4), np.float32)
    whole = Recording("a", values, tuple("abcd"), 1.0).split()
    assert whole.select_units("abcd") is whole
    assert whole.select_units("abdc").units == ("a", "b", "d", "c")
    monkeypatch.setattr("connfit.recordings.frame_blocks.BLOCK_VALUES", 20)
    np.testing.assert_array_equal(TrainingRange.of(whole).high, values[:18].max(axis=0))
    np.testing.assert_array_equal(TrainingRange.of(whole).low, values[:18].min(axis=0))


def test_units_that_were_observed_in_the_same_frames_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connfit.recordings.frame_blocks.BLOCK_VALUES", 60)
    values = np.random.default_rng(0).random((50, 6))
    values[20, [1, 4]] = values[49, 2] = np.nan
    unit, member = same_frames([CentredFrames.of(values, np.ones(6))])
    assert member.tolist() == [0, 1, 2, 0, 1, 0]
    assert unit.tolist() == [0, 1, 2]


def test_a_command_says_the_memory_of_all_of_it(tmp_path: Path) -> None:
    from connfit.training import runs

    config = override(
        read(write_files(tmp_path, whole_evaluation=True)), [*FIXED, "train.epochs=1", "train.free_run_epochs=0"]
    )
    runs.start(config, tmp_path / "run", later=evaluation_memory)
    said = json.loads((tmp_path / "run" / "record.json").read_text())["memory_estimate_bytes"]
    assert "libraries and programs" in said
    assert said["total"] >= 0.9 * peak_rss_bytes()
