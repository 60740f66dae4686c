"""Scores of several recordings, and what is written to disk."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import msgspec
import numpy as np
import pytest
from known_forecasters import CONFIG, Oracle, TrueAutoregression, recording

from connfit._io import plain, write_json
from connfit.config import EvaluateConfig
from connfit.errors import ConfigError, DataError
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.evaluation.evaluated import FILE, Evaluation
from connfit.evaluation.forecasts import Forecaster, Forecasts
from connfit.evaluation.part_scores import PartScores
from connfit.evaluation.run_ahead import parts_run_ahead
from connfit.recordings import PART_NAMES, Parts, Recording


def test_empty_parts_and_frozen_forecasters_give_null_and_why(tmp_path) -> None:
    one = recording(frames=200)
    bare = Recording("bare", one.values, one.units, 1.5, parts=Parts((0, 150), (150, 150), (150, 200)))
    metrics, _ = evaluate_all(Persistence(), None, None, [bare], CONFIG)
    validation, test = metrics.parts["validation"], metrics.parts["test"]
    assert validation.one_step.mse is None
    assert validation.one_step.reasons["mse"] == "the part has no frames"
    assert validation.free_run.fc_corr is None
    assert validation.free_run.runs == 16
    assert validation.free_run_deterministic.fc_corr is None
    frozen = test.free_run_deterministic
    assert frozen.fc_corr is None
    assert frozen.std_ratio == frozen.std_ratio_second_half == 0
    assert "do not vary" in frozen.reasons["median_unit_r"]
    assert test.free_run.std_ratio > 0.5
    assert metrics.at_initialisation is None
    write_json(tmp_path / "metrics.json", metrics)


def test_pooled_metrics_are_means_over_recordings_and_sums_of_counts() -> None:
    short = recording(frames=200, seed=2, name="short")
    two = [recording(seed=1, name="long"), short]
    metrics, forecasts = evaluate_all(TrueAutoregression(0.8 * np.eye(6)), Persistence(), None, two, CONFIG)
    details = metrics.recordings
    free_run = metrics.parts["test"].free_run
    assert (free_run.noise, free_run.runs, free_run.warmup_frames) == ("training residuals", 16, 50)
    assert free_run.noise_frames == (480 - 48) + (120 - 12)
    averaged = (
        ("one_step", "mse"),
        ("one_step", "skill_vs_persistence"),
        ("free_run", "std_ratio"),
        ("free_run", "fc_corr"),
        ("free_run_deterministic", "std_ratio"),
    )
    for group, key in averaged:
        each = [getattr(getattr(detail.part("test"), group), key) for detail in details.values()]
        assert getattr(getattr(metrics.part("test"), group), key) == pytest.approx(np.mean(each))
    assert metrics.observations == {"train": 6 * 600, "validation": 6 * 150, "test": 6 * 250}
    assert metrics.parts["test"].observed == 6 * 250
    assert metrics.parts["test"].one_step.per_unit_skill.units == 12
    # 30 validation frames of the short one are too few for 30 steps ahead: said, not hidden.
    validation = metrics.parts["validation"]
    assert list(validation.horizon_skill) == [1, 2, 5, 10, 30]
    why = validation.horizon.reasons["30"]
    assert why == "mean over 1 of 2 recordings; in at least one recording: the part has 30 frames, horizon 30 needs 38"
    assert validation.horizon_skill[30] == details["long"].parts["validation"].horizon_skill[30]
    assert set(metrics.baselines) == set(EvaluateConfig().baselines)
    assert metrics.baselines["persistence"].part("test").one_step.skill_vs_persistence == 0
    assert metrics.at_initialisation["test"].one_step.skill_vs_persistence == 0
    assert metrics.baselines["var_ridge"].parameters == sum(
        detail.baselines["var_ridge"].parameters for detail in details.values()
    )
    assert 0.3 < metrics.data.fc_corr_train_vs_test <= 1
    assert list(forecasts.recordings) == ["long", "short"]


def test_a_baseline_that_cannot_be_fitted_says_why() -> None:
    one = recording(frames=80, units=4)
    train = one.require_parts()["train"]
    mask = np.ones(one.values.shape, bool)
    mask[train] = np.arange(train.stop - train.start)[:, None] < 4
    holey = Recording("holey", one.values, one.units, 1.5, mask=mask, parts=one.parts)
    metrics, _ = evaluate_all(Persistence(), None, None, [holey], CONFIG)
    assert "too few for a vector autoregression" in metrics.baselines["var_ridge"].reason
    assert metrics.baselines["mean"].part("test").one_step.mse > 0


def test_a_baseline_of_the_users_own() -> None:
    one = recording()
    truth = TrueAutoregression(0.8 * np.eye(6))
    metrics, _ = evaluate_all(Persistence(), None, {"truth": lambda *_: truth}, [one], CONFIG)
    assert metrics.baselines["truth"].part("test").one_step.skill_vs_persistence > 0


def test_the_metrics_file_is_strict_json_and_comes_back_as_it_was(tmp_path) -> None:
    evaluation, _ = evaluate_all(Oracle(), Persistence(), ["mean", "ar"], [recording()], CONFIG)
    evaluation = replace(evaluation, seed=3)
    path = tmp_path / FILE
    write_json(path, evaluation)
    written = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in metrics.json"))
    assert set(written["parts"]["test"]) >= {"one_step", "horizon_skill", "free_run"}
    assert "held_out" not in written and written["recordings"]["made"]["ceiling"]["per_unit"]["units"][0] == "u0"
    again = read_evaluation(tmp_path)
    assert again.seed == 3 and plain(again) == plain(evaluation)
    assert again.part("test") == evaluation.part("test")
    bad = replace(evaluation, performance={"seconds": float("nan")})
    with pytest.raises(ValueError, match=r"metrics\.json\.performance\.seconds is nan"):
        write_json(path, bad)
    assert plain(read_evaluation(tmp_path)) == plain(again) and not list(tmp_path.glob("*.part"))


def test_damaged_files_are_named(tmp_path) -> None:
    with pytest.raises(DataError, match=r"metrics\.json: no such file.*connfit evaluate"):
        read_evaluation(tmp_path)
    (tmp_path / FILE).write_text('{"parts": ')
    with pytest.raises(DataError, match=r"metrics\.json: not valid JSON"):
        read_evaluation(tmp_path)
    (tmp_path / FILE).write_text('{"parts": {"test": {"one_step": {"mse": "low"}}}}')
    with pytest.raises(DataError, match=r"metrics\.json: .*\$\.parts\[\.\.\.\]\.one_step\.mse"):
        read_evaluation(tmp_path)


def test_forecasts_survive_the_disk(tmp_path) -> None:
    one = recording()
    _, forecasts = evaluate_all(Persistence(), None, [], [one], CONFIG)
    path = tmp_path / "forecasts.npz"
    forecasts.save(path)
    again = Forecasts.load(path).recordings["made"]
    before = forecasts.recordings["made"]
    assert again.units == before.units
    assert again.frame_rate == 1.5
    for part, forecast in before.parts.items():
        for key in ("values", "mask", "one_step", "free_run", "free_run_connectivity", "free_run_deterministic"):
            assert np.allclose(getattr(again.parts[part], key), getattr(forecast, key), equal_nan=True, rtol=1e-6)
        assert again.parts[part].start == forecast.start
        assert (again.parts[part].free_run_noise, again.parts[part].runs) == ("training residuals", 16)
        assert again.parts[part].free_run_offset == forecast.free_run_offset
    assert np.isnan(before.parts["train"].free_run[:50]).all()
    assert np.isfinite(before.parts["train"].free_run[50:]).all()
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"not a zip file"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"forecasts\.npz"):
            Forecasts.load(path)


def test_recordings_must_have_names_of_their_own() -> None:
    with pytest.raises(DataError, match="share a name"):
        evaluate_all(Persistence(), None, [], [recording(), recording()], CONFIG)
    with pytest.raises(DataError, match="no recording"):
        evaluate_all(Persistence(), None, [], [], CONFIG)


def test_the_untrained_model_is_run_ahead_on_the_test_part_alone() -> None:
    metrics, _ = evaluate_all(Persistence(), Persistence(), [], [recording()], CONFIG)
    before, after = metrics.at_initialisation, metrics.parts
    assert before is not None
    assert before["test"] == after["test"]
    for part in ("train", "validation"):
        assert before[part].one_step == after[part].one_step
        assert set(before[part].horizon_skill.values()) == {None}
        assert before[part].free_run.fc_corr is before[part].free_run_deterministic.fc_corr is None
        for group in ("horizon", "free_run", "free_run_deterministic"):
            assert set(getattr(before[part], group).reasons.values()) == {"only the test part is run ahead"}


def test_large_brains_are_run_ahead_on_the_test_part_alone() -> None:
    one = recording()
    sizes = [(10_000, 1), (100_000_000, 1), (1_000_000, 100)]  # connections, steps of a frame
    asked = [
        [parts_run_ahead(sized(*size), one, EvaluateConfig(run_ahead=which)) for size in sizes]
        for which in ("auto", "all", "test")
    ]
    few, every = ("test",), PART_NAMES
    assert asked == [[every, few, few], [every] * 3, [few] * 3]
    metrics, forecasts = evaluate_all(
        Persistence(), None, ["mean"], [one], msgspec.structs.replace(CONFIG, run_ahead="test")
    )
    assert metrics.parts["test"].free_run.fc_corr is not None
    assert metrics.parts["train"].free_run.reasons["fc_corr"] == "only the test part is run ahead"
    assert metrics.baselines["mean"].train.free_run.fc_corr is not None
    assert not np.isfinite(forecasts.recordings[one.name].parts["train"].free_run).any()


def sized(connections: int, substeps: int) -> Forecaster:
    """A forecaster of which nothing but the size is asked."""
    return cast(
        "Forecaster", SimpleNamespace(model=SimpleNamespace(connections=connections, drive=None), substeps=substeps)
    )


def test_a_part_that_there_is_not_is_an_error() -> None:
    assert Evaluation().part("test") == PartScores()
    with pytest.raises(ConfigError, match="did you mean 'test'"):
        Evaluation().part("tset")
