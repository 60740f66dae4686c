"""Functional connectivity of very many units: that of evenly spaced ones, wherever it is compared, drawn or said."""

from __future__ import annotations

import numpy as np
import pytest
from known_forecasters import CONFIG, recording

from connfit.evaluation import connectivity
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.connectivity import compared_connectivity, compared_units
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.fc_ceiling import between_animals, fc_ceiling
from connfit.evaluation.metrics import functional_connectivity
from connfit.report.sections.comparison import free_runs_in_words


@pytest.fixture
def at_most_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectivity, "MOST_COMPARED", 4)
    monkeypatch.setattr("connfit.report.sections.comparison.MOST_COMPARED", 4)


def test_all_units_are_compared_unless_they_are_very_many() -> None:
    assert compared_units(2_000).tolist() == list(range(2_000))
    some = compared_units(10_000)
    assert len(some) == 2_000 and (some[0], some[-1]) == (0, 9_999)


@pytest.mark.usefixtures("at_most_four")
def test_scores_and_ceilings_are_those_of_some_units() -> None:
    one = recording(frames=400, units=9)
    at = compared_units(9)
    assert len(at) == 4
    few = one.select_units([one.units[k] for k in at])
    values, mask = one.part("test")
    np.testing.assert_allclose(
        compared_connectivity(values, mask), functional_connectivity(values, mask)[np.ix_(at, at)], rtol=1e-9
    )
    whole, some = fc_ceiling(values, mask), fc_ceiling(*few.part("test"))
    assert whole.half_correlation_in_order == pytest.approx(some.half_correlation_in_order)
    evaluation, forecasts = evaluate_all(VarRidge.fit(one, CONFIG), None, [], [one], CONFIG)
    part = forecasts.recordings[one.name].parts["test"]
    assert part.free_run_connectivity.shape == (4, 4)
    assert evaluation.data.fc_corr_train_vs_test is not None
    assert "FC is that of 4 of 9 units, evenly spaced" in free_runs_in_words(evaluation)


@pytest.mark.usefixtures("at_most_four")
def test_animals_are_compared_on_units_that_they_share() -> None:
    first, second = (recording(frames=400, units=9, seed=seed, name=name) for seed, name in ((0, "a"), (1, "b")))
    found = between_animals([first, second])
    assert found["a"].units == 4 and found["a"].others is not None
