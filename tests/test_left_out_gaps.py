"""Units predicted from all others where values are missing at random: no inverse of all inputs for every frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from known_forecasters import CONFIG, recording

from connfit.evaluation import left_out_ridge
from connfit.evaluation.left_out_ridge import OthersRidge


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_what_frames_lack_is_taken_from_the_solution_of_all_inputs(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = recording(frames=300, units=7)
    mask = np.random.default_rng(1).random(one.values.shape) > share
    mask[:, 3] &= np.arange(300) > 200  # not observed in the training part
    mask[250:260] = False
    mask[255, 2] = True  # alone: nothing predicts it
    one = replace(one, mask=mask)
    each = OthersRidge.fit(one, CONFIG)
    expected = each.predict(one, 190, 300)
    monkeypatch.setattr(left_out_ridge, "MOST_INVERTED", 0)
    monkeypatch.setattr(OthersRidge, "_coefficients", None)
    found = OthersRidge.fit(one, CONFIG)
    assert found.chosen["lags"] == each.chosen["lags"] and found.chosen["alpha"] == each.chosen["alpha"]
    got = found.predict(one, 190, 300)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9)
    assert np.isfinite(expected).any() and np.isnan(expected).any()
