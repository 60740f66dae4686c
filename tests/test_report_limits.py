"""Limitations from every file of a run: what an analysis, a study, a recovery or a simulation found, and the arrays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import DIGITS, HOW, at, number_of
from report_run import UNITS, add_gradients, add_simulation, changed, run_directory, study_record

from connfit._io import as_result, plain
from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.gradients.gradient_results import GradientFidelity
from connfit.analysis.recovery import Recovery
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.study.study import Study
from connfit.report.questions.answer import Questions
from connfit.report.questions.report_numbers import report_numbers
from connfit.report.run_files import GRADIENT, RECOVERY, RunFiles
from connfit.report.sections.fit_limits import fit_prose
from connfit.report.sections.limits import (
    all_limits,
    analysis_limits,
    array_limits,
    gradient_limits,
    recovery_limits,
    simulation_limits,
    study_limits,
)
from connfit.report.sections.value_ranges import ReportNumbers


def with_bounds(folder: Path, at_low: int) -> Path:
    """A run of 20 neurons whose time constants have bounds, some of them at the lower one (0.2 frames at 1.5 Hz)."""
    folder = run_directory(folder)
    config = json.loads((folder / "config.json").read_text())
    config["model"]["time_constant_bounds_frames"] = [0.2, 50.0]
    (folder / "config.json").write_text(json.dumps(config))
    taus = np.full(20, 0.5)
    taus[:at_low] = 0.2 / 1.5
    with np.load(folder / "parameters.npz") as file:
        weights = file["weights"]
    np.savez(folder / "parameters.npz", weights=weights, log_time_constants=np.log(taus.astype(np.float32)))
    return folder


@pytest.mark.parametrize(("at_low", "said"), [(12, True), (0, False)])
def test_time_constants_at_bounds_are_a_limitation_without_any_analysis(
    at_low: int, said: bool, tmp_path: Path
) -> None:
    folder = with_bounds(tmp_path / "run", at_low)
    run = RunFiles.read(folder)
    measured = report_numbers(run)
    found = " ".join(all_limits({**run.documents(), "questions.json": Questions(measured=measured)}))
    text = "60 % of 20 time constants are at a bound (12 at the lowest of 0.133 s)"
    assert (text in found) is said
    assert measured.time_constants_at_bounds.value == pytest.approx(at_low / 20)


def shifted(folder: Path, by: float, part: str = "test") -> Path:
    """A run whose values of one part are moved away from those of training."""
    folder = run_directory(folder)
    forecasts = Forecasts.load(folder / "forecasts.npz")
    one = forecasts.recordings["a"].parts[part]
    one.values[:] += by
    forecasts.save(folder / "forecasts.npz")
    return folder


@pytest.mark.parametrize("part", ["validation", "test"])
def test_values_outside_the_range_of_training_are_counted_in_every_part(part: str, tmp_path: Path) -> None:
    before = report_numbers(RunFiles.read(run_directory(tmp_path / "as it was"))).values_outside_training
    assert before.value < 0.05 and array_limits(ReportNumbers(values_outside_training=before)) == []
    folder = shifted(tmp_path / "run", 1e3, part)
    run = RunFiles.read(folder)
    measured = report_numbers(run).values_outside_training
    assert measured.recordings["a"][part] == 1.0
    (limit,) = array_limits(ReportNumbers(values_outside_training=measured))
    assert f"a, 100% of the {part} part" in limit


def test_a_floor_that_values_cross_and_predictions_do_not_is_said(tmp_path: Path) -> None:
    folder = run_directory(tmp_path / "run")
    assert report_numbers(RunFiles.read(folder)).values_below_reach is None
    forecasts = Forecasts.load(folder / "forecasts.npz")
    for part in forecasts.recordings["a"].parts.values():
        np.maximum(part.one_step, 0, out=part.one_step)
    forecasts.save(folder / "forecasts.npz")
    measured = report_numbers(RunFiles.read(folder))
    (limit,) = array_limits(ReportNumbers(values_below_reach=measured.values_below_reach))
    test = forecasts.recordings["a"].parts["test"]
    share = (test.values[test.mask] < 0).mean()
    assert f"a, {share:.0%} of the test part" in limit and test.values.shape[1] == UNITS


ANALYSED: dict[str, Any] = {
    "sources": {
        "data_units": {
            "what": "recorded units", "grid": [],
            "verdict": {"median": {"data": {"cells": 36, "enough": 0, "sizes": 0, "durations": 0, "both": 0,
                                            "tested": 0,
                                            "all": 0}}},
        },
        "model_neurons": {"what": "the model's neurons", "grid": None, "reason": "they are silent"},
    },
    "time_constants": {"at_bounds_fraction": 0.6, "below_step": 7, "step_s": 0.5},
    "stability": {"after": {"rest": {"reached": False}}},
    "weights": {"statistics": {"change_from_start": {"moved_by_over_1_percent": 0.25}}},
}  # fmt: skip


def test_what_an_analysis_could_not_say_is_a_limitation() -> None:
    found = " ".join(analysis_limits(as_result(ANALYSED, Analysis)))
    for text in (
        "limited, in recorded units. Too few combinations of threshold and bin",
        "not analysed in the model's neurons (they are silent)",
        "60 % of the time constants are at a bound",
        "7 time constants are below one step of 0.500 s",
        "Jacobians of the analysis describe one moment only",
        "Only 25 % of the weights moved",
    ):
        assert text in found, text
    assert "at a bound" not in " ".join(analysis_limits(as_result(ANALYSED, Analysis), bounds_are_known=True))
    good: dict[str, Any] = {
        "sources": {}, "time_constants": {"at_bounds_fraction": 0.0, "below_step": 0, "step_s": 0.5},
        "stability": {"after": {"rest": {"reached": True}}}, "weights": {"statistics": None},
    }  # fmt: skip
    assert analysis_limits(as_result(good, Analysis)) == []


def test_a_study_of_many_rows_lists_six_of_them() -> None:
    record = study_record()
    row = next(one for one in record["rows"] if one["name"] == "mean")
    worse = json.loads(json.dumps(row["difference"]).replace('"better"', '"worse"'))
    record["rows"] += [{**row, "name": f"baseline_{k}", "difference": worse} for k in range(20)]
    (limit,) = [
        line for line in study_limits(as_result(record, Study)) if "models without a connectome do better" in line
    ]
    assert limit.count("baseline") == 6 and "and 14 more" in limit
    record["rows"][1]["failed"] = {"1": "diverged"}
    found = " ".join(study_limits(as_result(record, Study)))
    assert "Seeds of the study that failed and are left out of the means: the untrained model (1)" in found
    assert "Rows of the study without numbers, with the reason beside them: counts with one gain per pair" in found


def test_every_group_of_parameters_with_a_far_gradient_is_named(tmp_path: Path) -> None:
    add_gradients(tmp_path)
    record = json.loads((tmp_path / GRADIENT).read_text())
    rule = next(row for row in record["parameters"]["fitted"] if row["label"] == "d-rtrl")
    rule["groups"]["weights"]["cosine"], rule["groups"]["bias"]["cosine"] = 0.99, 0.25
    config = {"learner": {"credit": "neuron", "carry": "trace", "window": 16}}
    found = gradient_limits({GRADIENT: as_result(record, GradientFidelity), "config.json": config})
    (limit,) = [one for one in found if "has a gradient of" in one]
    assert "has a gradient of the bias whose cosine with the exact one is 0.250" in limit


@pytest.mark.parametrize(("r2", "said"), [(0.2, True), (0.9, False)])
def test_parameters_that_are_not_recovered_are_a_limitation(r2: float, said: bool) -> None:
    points = [
        {"frames": frames, "recorded": 1.0, "weights_r2": {"mean": value}, "time_constants_r2": {"mean": 0.9}}
        for frames, value in ((100, 0.0), (4000, r2))
    ]
    found = recovery_limits({RECOVERY: as_result({"curves": {"frames": points}}, Recovery)})
    assert bool(found) is said
    if said:
        assert "100 % of the neurons recorded for 4,000 frames, weights (R² 0.200) were not recovered" in found[0]


def test_simulations_are_answers_of_the_model_alone(tmp_path: Path) -> None:
    folder = run_directory(tmp_path / "run")
    assert not simulation_limits(RunFiles.read(folder).documents())
    for k in range(8):
        add_simulation(folder, f"silence-{k}")
    documents = RunFiles.read(folder).documents()
    (limit,) = simulation_limits(documents)
    assert limit.startswith("8 simulated experiments (silence-0, ") and "and 2 more" in limit
    for name in documents:
        if name.startswith("simulations/silence-3"):
            documents[name] = replace(documents[name], units=(replace(documents[name].units[0], change=0.0),))
    assert simulation_limits(documents)[1] == "No unit answers in silence-3."
    assert set(simulation_limits(documents)) <= set(all_limits(documents))


def test_units_that_gain_only_over_persistence_are_said() -> None:
    def limits(above_both: int) -> str:
        units = {"units": 10, "above_persistence": 9, "above_both": above_both}
        test = {"one_step": {"skill_vs_persistence": 0.4, "per_unit_skill": units}}
        return " ".join(all_limits({"metrics.json": changed(parts={"test": test})}))

    found = limits(2)
    assert "Only 2 of 10 units are predicted better than by both persistence and their own mean, though 9" in found
    assert "their own mean" not in limits(8)


MANY_LIMITS = {
    "surrogate": True,
    "training": {"trained": False, "epochs": 3},
    "parameters_available": {"weights": 12_345, "bias": 20},
    "parts": {
        "train": {"one_step": {"skill_vs_persistence": 0.9}},
        "test": {
            "one_step": {
                "skill_vs_persistence": 0.4,
                "per_unit_skill": {"units": 10, "above_persistence": 9, "above_both": 2},
            },
            "horizon_median_unit": {"1": {"value": 0.1}},
            "free_run": {"fc_corr": 0.2, "std_ratio": 3.0},
        },
    },
    "baselines": {
        "ar": {
            "test": {"one_step": {"skill_vs_persistence": 0.3}, "horizon_median_unit": {"1": {"value": 0.2}}},
            "chosen": {"alpha_at_edge": True},
        },
        "lds": {"reason": "3 frames are too few"},
    },
    "against_strongest": {
        "test": {
            "1": {
                "pooled": {"baseline": "ar", "low": 0.05, "high": 0.15},
                "median_unit": {"baseline": "ar", "low": -0.15, "high": -0.05},
            }
        }
    },
}
"""A run about which much has to be said."""


def test_every_number_of_a_limit_is_one_of_the_files() -> None:
    evaluation = changed(**MANY_LIMITS)
    evaluation = replace(evaluation, baselines={name: evaluation.baselines[name] for name in ("ar", "lds")})
    prose = fit_prose(evaluation)
    text = " ".join(prose.paragraphs)
    for words in (
        "The data are a surrogate",
        "no epoch of 3",
        "(12,365) than observations (",
        "Only 2 of 10 units are predicted better than by both",
        "is 0.500 lower on test",
        "swings too widely: its standard deviation is 3.00 times",
        "skill is 0.400 against 0.300 of AR, the median unit's 0.100 against 0.200 of AR",
        "The baseline LDS could not be fitted: 3 frames are too few.",
        "The penalty of AR lies at the edge",
    ):
        assert words in text, words
    documents = {"metrics.json": json.loads(json.dumps(plain(evaluation)))}
    left = text
    for quote in sorted(prose.quotes, key=lambda quote: -len(quote.text)):
        left = left.replace(quote.text, "", 1)
        if quote.how != "name":
            given = [at(documents, key) for key in quote.keys]
            assert number_of(quote.text) == pytest.approx(HOW[quote.how](given), rel=5.1e-3), quote
    assert not DIGITS.search(left), left


def test_cautions_of_a_run_are_limitations(tmp_path: Path) -> None:
    documents = RunFiles.read(run_directory(tmp_path / "run")).documents()
    said = ["a: the frame times count up by 1", "did you mean 'mask'?"]
    found = all_limits({**documents, "record.json": {**documents["record.json"], "cautions": said}})
    assert {"a: the frame times count up by 1.", "did you mean 'mask'?"} <= set(found)
    assert not set(found) & set(all_limits(documents)) & {said[1]}
