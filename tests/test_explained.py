"""What each source explains: against least squares by scipy, and on processes whose answer is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from overlaps import overlapping
from scipy.optimize import lsq_linear
from small import student

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.explained import (
    SOURCES,
    Candidate,
    Contribution,
    Explained,
    StackErrors,
    explained,
    stack_errors,
)
from connfit.evaluation.unit_scores import Estimate
from connfit.models.forecaster import ModelForecaster
from connfit.recordings import Recording
from connfit.report.sections.explained_section import explained_blocks, explained_figure, explained_in_words

CONFIG = EvaluateConfig(
    horizons=[1], horizon_starts=8, free_run_warmup=10, free_run_runs=1, left_out_units=0,
    baselines=["mean", "persistence", "ar", "var_ridge", "reduced_rank"], var_lags=[1],
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Known:
    """Three predictors of a recording of 1,200 frames: own past, other units, and both beside what only it knows."""

    recording: Recording
    predictions: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]


def known(seed: int = 0, *, only_wiring: float = 0.6) -> Known:
    """Changes that are the sum of three independent parts, each of which one more predictor knows."""
    rng = np.random.default_rng(seed)
    parts = [scale * rng.normal(size=(1200, 6)) for scale in (0.8, 0.7, only_wiring)]
    steps = sum(parts) + 0.5 * rng.normal(size=(1200, 6))
    values = np.cumsum(steps, axis=0)
    recording = Recording("known", values, tuple("abcdef"), 2.0).split(train=0.5, validation=0.25)
    last = Persistence().one_step(recording)
    heard = dict(zip(("own_past", "other_units", "wiring"), np.cumsum(parts, axis=0), strict=True))
    return Known(recording, {name: last + of for name, of in heard.items()}, {"last": last})


def candidates(of: Known) -> dict[str, Candidate]:
    blocks = of.recording.require_parts()
    return {
        source: Candidate(source, 0.5, {part: values[blocks[part]] for part in ("validation", "test")})
        for source, values in of.predictions.items()
    }


def stacked(of: Known) -> StackErrors:
    found = stack_errors(of.recording, candidates(of), of.truth["last"])
    assert isinstance(found, StackErrors)
    return found


def test_weights_and_errors_are_those_of_bounded_least_squares() -> None:
    data = known()
    rng = np.random.default_rng(7)
    data.predictions.update({k: of + rng.normal(scale=0.5, size=of.shape) for k, of in data.predictions.items()})
    found, blocks = stacked(data), data.recording.require_parts()
    assert all(0 < weight < 1 for weight in found.weights.values())

    def changes(part: str) -> tuple[np.ndarray, np.ndarray]:
        at, last = blocks[part], data.truth["last"]
        x = np.stack([(values - last)[at].ravel() for values in data.predictions.values()], axis=1)
        return x, (data.recording.values - last)[at].ravel()

    x, y = changes("validation")
    weights = lsq_linear(x, y, bounds=(0, np.inf), tol=1e-14).x
    # lsq_linear stops at a tolerance; normal equations lose half of the digits.
    np.testing.assert_allclose(list(found.weights.values()), weights, rtol=1e-6)
    x, y = changes("test")
    squared = ((y - x @ weights).reshape(-1, 6) ** 2).sum(axis=1)
    np.testing.assert_allclose(found.sums["own_past", "other_units", "wiring"].squared_error[1], squared, rtol=1e-5)


def test_each_source_is_credited_with_what_it_knows() -> None:
    data = known()
    found = explained({"known": stacked(data)})
    # Shares of the variance of changes: 0.64, 0.49, 0.36 and 0.25 of noise; predictors are nested.
    total = 0.64 + 0.49 + 0.36 + 0.25
    added = [of.added for of in found.sources.values()]
    for estimate, share in zip(added, (0.64, 0.49, 0.36), strict=True):
        assert estimate.value == pytest.approx(share / total, abs=0.03)
        assert estimate.interval is not None and estimate.interval[0] < share / total < estimate.interval[1]
    assert found.together.value == pytest.approx(1 - 0.25 / total, abs=0.03)
    # The wiring's predictor knows all that the others do: nothing is missed without them.
    missed = {name: of.missed.value for name, of in found.sources.items()}
    assert abs(missed["own_past"]) < 0.01 and abs(missed["other_units"]) < 0.01
    assert missed["wiring"] == pytest.approx(0.36 / total, abs=0.03)
    assert sum(of.value for of in added) == pytest.approx(found.together.value, abs=1e-9)


def test_a_source_that_knows_nothing_more_gains_nothing() -> None:
    found = explained({str(seed): stacked(known(seed, only_wiring=0.0)) for seed in range(2)})
    gain = found.sources["wiring"].added
    assert found.recordings == 2
    assert gain.interval is not None and gain.interval[0] <= 0.003 and abs(gain.value) < 0.003
    assert "nothing" in explained_in_words(found)[1] or "costs" in explained_in_words(found)[1]


def test_a_predictor_that_is_wrong_gets_no_weight() -> None:
    data = known()
    last = data.truth["last"]
    wrong = {**data.predictions, "wiring": last - (data.predictions["wiring"] - last)}
    found = stacked(Known(data.recording, wrong, data.truth))
    assert found.weights["wiring"] == 0
    assert explained({"known": found}).sources["wiring"].added.value == 0


def test_entries_that_one_does_not_predict_are_left_out_for_all() -> None:
    data = known()
    data.predictions["own_past"][1000:1010] = np.nan
    found = stacked(data)
    start = data.recording.require_parts()["test"].start
    errors = found.sums["own_past",]
    assert not errors.entries[1][1000 - start : 1010 - start].any()
    assert errors.entries[1].sum() == 6 * (1200 - start - 10)


def test_a_run_says_what_explains_its_recordings() -> None:
    of = student()
    recordings = of.cohort.recordings
    model = ModelForecaster(of.model, of.params, of.cohort)
    found, _ = evaluate_all(model, None, None, recordings, CONFIG)
    assert tuple(found.explained.sources) == ("own_past", "other_units", "wiring")
    assert tuple(found.explained.sources) == tuple(name for name in SOURCES if name != "inputs")
    assert found.explained.sources["wiring"].predictor == "model"
    assert found.explained.recordings == 2 and found.explained.sources["own_past"].predictor == "ar"
    one = found.recordings[recordings[0].name]
    coupled = {name: one.baselines[name].part("validation").one_step.skill_vs_persistence for name in BASELINES
               if BASELINES[name].knows == "other_units" and name in one.baselines}  # fmt: skip
    best = one.explained.sources["other_units"].predictor
    assert coupled[best] == max(coupled.values())
    # One frame ahead on every frame: the same number as in the table of scores.
    alone = one.explained.sources["own_past"].alone.value
    assert alone == pytest.approx(one.baselines["ar"].part("test").one_step.skill_vs_persistence, abs=1e-4)
    assert "own past" in "".join(explained_blocks(found))
    assert len(explained_figure(found.explained).axes) == 2


def test_without_a_baseline_that_knows_less_nothing_is_said() -> None:
    data = known()
    only = {"wiring": candidates(data)["wiring"]}
    reason = stack_errors(data.recording, only, data.truth["last"])
    assert isinstance(reason, str)
    found = explained({"known": reason})
    assert not found.sources and found.reason == f"known: {reason}"


def test_small_gains_have_labels_that_do_not_overlap() -> None:
    """The demo's own numbers: gains of a hundredth have labels of four decimals."""
    added = {"own_past": (0.361, 0.345, 0.376), "other_units": (0.003, 0.0, 0.006), "wiring": (0.011, 0.008, 0.013)}
    missed = {
        "own_past": (0.0, -0.0003, 0.0002),
        "other_units": (0.0007, -0.0013, 0.0029),
        "wiring": (0.0106, 0.0079, 0.0134),
    }
    found = {
        name: Contribution(name, 0.5, Estimate(0.36), Estimate(*added[name]), Estimate(*missed[name])) for name in added
    }
    figure = explained_figure(Explained(found, Estimate(0.375, 0.36, 0.39), 1))
    assert overlapping(figure) == []
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert 2 <= sum(low <= tick <= high for tick in axes.get_xticks()) <= 5
