"""Left-out units as rows of every evaluation: the network beside the model, intervals, the ceiling, unseen animals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from small import UNITS, student

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation import left_out_mlp
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.left_out_intervals import over_units
from connfit.evaluation.left_out_mlp import OthersMlp, sampled
from connfit.evaluation.left_out_ridge import OthersRidge
from connfit.evaluation.left_out_unit import left_out_scores
from connfit.evaluation.metrics import unit_correlations
from connfit.models.forecaster import ModelForecaster
from connfit.recordings import Recording
from connfit.report.console_left_out import print_left_out
from connfit.report.sections.left_out_section import left_out_rows

CONFIG = EvaluateConfig(free_run_warmup=20, free_run_runs=2, horizons=(1, 2), baselines=("mean",), var_lags=(1, 2))


def bent(frames: int = 900, units: int = 5, gaps: float = 0.0) -> Recording:
    """Noise of which the last unit shows the size of the first, one frame late: no line through it says anything."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(frames, units))
    x[1:, -1] = np.abs(x[:-1, 0]) + 0.1 * rng.normal(size=frames - 1)
    mask = rng.random(x.shape) >= gaps
    names = tuple(f"u{k}" for k in range(units))
    made = Recording("bent", np.where(mask, 3 * x + 5, np.nan), names, 1.0, mask=mask)
    return made.split(train=0.6, validation=0.2)


def correlation(recording: Recording, of: OthersMlp | OthersRidge) -> np.ndarray:
    block = recording.require_parts().test
    values, mask = recording.part("test")
    return unit_correlations(values, np.asarray(of.predict(recording, *block)), mask)


@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_the_network_finds_what_no_regression_finds(gaps: float) -> None:
    one = bent(gaps=gaps)
    mlp = OthersMlp.fit(one, np.arange(5), 1, CONFIG)
    assert mlp.gaps == (gaps > 0)
    # With a tenth of the first unit missing, at most 0.95 of it can be known.
    assert correlation(one, mlp)[4] > 0.8
    ridge = OthersRidge.fit(one, CONFIG)
    assert abs(correlation(one, ridge)[4]) < 0.3  # type: ignore[arg-type]  # few inputs: no path


def test_the_network_never_sees_its_unit_nor_a_later_frame() -> None:
    one = bent()
    block = one.require_parts().test
    mlp = OthersMlp.fit(one, np.arange(5), 2, CONFIG)
    before = mlp.predict(one, *block)
    own, later = one.values.copy(), one.values.copy()
    own[block[0] - 3 :, 2] = 9
    later[block[0] + 10 :] = 9
    after = mlp.predict(replace(one, values=own), *block)
    np.testing.assert_array_equal(after[:, 2], before[:, 2])
    # The control: the others' networks see it.
    assert not np.array_equal(after[:, 4], before[:, 4])
    np.testing.assert_array_equal(mlp.predict(replace(one, values=later), *block)[:11], before[:11])
    test = one.values.copy()
    test[block[0] :] = 9
    again = OthersMlp.fit(replace(one, values=test), np.arange(5), 2, CONFIG)
    np.testing.assert_array_equal(again.weights["out"], mlp.weights["out"])


def test_a_network_that_learns_nothing_says_the_mean() -> None:
    rng = np.random.default_rng(3)
    noise = Recording("noise", rng.normal(size=(300, 4)), tuple("abcd"), 1.0).split(train=0.6, validation=0.2)
    mlp = OthersMlp.fit(noise, np.arange(4), 1, CONFIG)
    predicted = mlp.predict(noise, *noise.require_parts().test)
    # Of noise nothing can be learned: what chance on 60 validation frames lets through is small beside its spread.
    assert (predicted.std(axis=0) < 0.3).all()
    np.testing.assert_allclose(predicted.mean(axis=0), noise.part("train")[0].mean(axis=0), atol=0.2)


def test_of_many_inputs_a_sample_has_a_network_and_of_too_many_none(monkeypatch: pytest.MonkeyPatch) -> None:
    units = np.arange(100)
    assert len(sampled(units, 200)) == 100
    few = sampled(units, 2_000)
    assert len(few) == 32 and few[0] == 0 and few[-1] == 99
    assert len(sampled(units, 10**6)) == left_out_mlp.MIN_SAMPLE
    monkeypatch.setattr(left_out_mlp, "MOST_INPUTS", 9)
    with pytest.raises(DataError, match="a network on 10 inputs takes too long"):
        OthersMlp.fit(bent(), np.arange(5), 2, CONFIG)
    one = student()
    model = ModelForecaster(one.model, one.params, one.cohort)
    monkeypatch.setattr(left_out_mlp, "MOST_INPUTS", 0)
    assert "takes too long" in left_out_scores(model, None, one.cohort.recordings[0], CONFIG).reasons["mlp"]
    monkeypatch.setattr(left_out_mlp, "MOST_INPUTS", 100)
    monkeypatch.setattr(left_out_mlp, "MIN_SAMPLE", 3)
    monkeypatch.setattr(left_out_mlp, "WORK", 0)
    some = left_out_scores(model, None, one.cohort.recordings[0], CONFIG)
    assert some.reasons["mlp"].startswith(f"of 3 of {UNITS} units")
    assert some.per_unit and some.per_unit.mlp and sum(r is not None for r in some.per_unit.mlp.r) == 3
    assert some.model_minus_mlp and some.model_minus_mlp.units == 3


@pytest.mark.parametrize(("animals", "spread"), [(1, 0.0), (5, 0.0), (5, 0.5)])
def test_intervals_cover_the_median_of_other_units_and_animals(animals: int, spread: float) -> None:
    """Drawn from normals of median 0; 200 repeats, whose standard error at 95 % is 1.5 %."""
    rng = np.random.default_rng(1)
    covered = 0
    for repeat in range(200):
        drawn = [spread * rng.normal() + rng.normal(size=40) for _ in range(animals)]
        found = over_units(drawn, repeats=200, seed=repeat)
        assert found.low is not None and found.high is not None and found.median is not None
        assert found.low <= found.median <= found.high
        covered += found.low <= 0 <= found.high
    # Percentiles of a median of few animals are known to within some per cent only.
    assert 0.90 <= covered / 200 <= 0.99


def test_what_intervals_are_over_is_said() -> None:
    rng = np.random.default_rng(0)
    units = [rng.normal(size=20) + shift for shift in (-2, 0, 2)]
    three, two = over_units(units), over_units(units[:2])
    assert (three.over, three.animals, three.units) == ("animals with their units", 3, 60) and two.over == "units"
    alone = over_units([np.concatenate(units)])
    # Animals that differ make it wider than the same units of one.
    assert three.high - three.low > 2 * (alone.high - alone.low)  # type: ignore[operator]  # all are defined
    few = over_units([np.array([1.0, np.nan, 2.0])])
    assert (few.median, few.low) == (1.5, None) and "6 are needed" in str(few.reason)
    assert "not defined for any" in str(over_units([np.full(3, np.nan)]).reason)
    assert over_units([0.999 - 1e-3 * rng.random(30)], most=1.0).high <= 1.0  # type: ignore[operator]


def test_the_ceiling_is_what_noise_leaves() -> None:
    one = student()
    model = ModelForecaster(one.model, one.params, one.cohort)
    recording = one.cohort.recordings[0]
    values, _ = recording.part("test")
    # A prediction that knows all but the noise.
    noise = 0.25 * values.var(axis=0)
    found = left_out_scores(model, None, recording, CONFIG, noise=(*noise[:-1], None)).per_unit
    assert found and found.ceiling
    np.testing.assert_allclose(np.array(found.ceiling.r[:-1], float), np.sqrt(0.75), rtol=1e-5)
    assert found.ceiling.r[-1] is None and found.ceiling.skill[-1] is None
    mean = recording.part("train")[0].mean(axis=0)
    expected = 1 - noise[0] / np.mean((values[:, 0] - mean[0]) ** 2)
    # Values are float32.
    assert found.ceiling.skill[0] == pytest.approx(expected, rel=1e-4)
    drowned = left_out_scores(model, None, recording, CONFIG, noise=tuple(100 * noise)).per_unit
    assert drowned and drowned.ceiling and set(drowned.ceiling.r) == {0.0}


def test_every_evaluation_has_the_rows_and_unseen_animals_have_them_too() -> None:
    one = student()
    model = ModelForecaster(one.model, one.params, one.cohort)
    seen, unseen = one.cohort.recordings
    evaluation, _ = evaluate_all(model, model, None, [seen], CONFIG, held_out=[unseen])
    held_out = evaluation.held_out
    assert held_out is not None
    for found in (evaluation.left_out_unit, held_out.left_out_unit):
        assert [row[0] for row in left_out_rows(found)] == [
            "model", "untrained", "ridge on the others", "MLP on the others",
        ]  # fmt: skip
        assert found.units == UNITS and found.model is not None and found.model.skill_interval.over == "units"
        assert found.model.skill_interval.median == found.model.skill.median
    direct = left_out_scores(model, model, unseen, CONFIG)
    assert held_out.left_out_unit.model and direct.model
    assert held_out.left_out_unit.model.skill == direct.model.skill
    # 40 frames are too few for a ceiling, which says so.
    assert held_out.ceiling.reason and held_out.ceiling.part == "test"
    assert {"model", "at_initialisation", "mean"} <= set(held_out.ceiling.shares)
    console = Console(width=160, record=True)
    print_left_out(evaluation, console)
    text = console.export_text()
    assert "unseen animals: 8 units" in text and "MLP on the others" in text and "Intervals are over units" in text
    assert "none was held out" not in text
    print_left_out(replace(evaluation, held_out=None), console)
    assert "none was held out" in console.export_text()
