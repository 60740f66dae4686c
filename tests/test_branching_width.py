"""A 95 % interval of the branching ratio is as wide as estimates from independent draws scatter."""

from __future__ import annotations

import numpy as np

from connfit.analysis.criticality.branching import branching_ratio

M, FRAMES, DRAWS, LAGS = 0.9, 500, 200, 15


def draw(seed: int) -> np.ndarray:
    """A branching process with strong drive, seen in full: estimates scatter nearly as a Gaussian."""
    rng = np.random.default_rng(seed)
    activity, out = 100.0, []
    for _ in range(FRAMES + 100):
        activity = rng.poisson(M * activity + 10)
        out.append(activity)
    return np.array(out[100:], float)


def test_the_width_is_that_of_the_spread_of_estimates() -> None:
    estimates = [branching_ratio(draw(seed), max_lag=LAGS, repeats=0).m for seed in range(DRAWS)]
    values = np.array([one for one in estimates if one is not None])
    assert len(values) == DRAWS
    widths = []
    for seed in range(21):
        interval = branching_ratio(draw(seed), max_lag=LAGS, repeats=50, seed=seed).interval
        assert interval is not None
        widths.append(interval[1] - interval[0])
    # 2 * 1.96 standard deviations. That of 200 draws is good to 5 %; single widths vary by a third, since estimates
    # nearer to 1 scatter less, and the median of 21 by a tenth. One of half the width would be at about 0.5.
    ratio = np.median(widths) / (2 * 1.96 * values.std(ddof=1))
    assert 0.75 < ratio < 1.5
