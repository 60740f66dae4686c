"""The branching ratio: processes with a known one, subsampling, gaps, intervals that hold it, another package."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from test_criticality import branching_process

from connfit.analysis.criticality.branching import branching_ratio
from connfit.analysis.criticality.branching_simulation import residual_noise
from connfit.errors import ConfigError, DataError


def coverage(m: float, frames: int, max_lag: int, draws: int, share: float = 1.0) -> int:
    """In how many of `draws` processes the interval holds m."""
    held = 0
    for seed in range(draws):
        activity = branching_process(m, 5.0, frames, seed)
        seen = np.random.default_rng(seed).binomial(activity, share)
        interval = branching_ratio(seen, max_lag=max_lag, repeats=60, seed=seed).interval
        held += interval is not None and interval[0] <= m <= interval[1]
    return held


def test_intervals_hold_the_branching_ratio() -> None:
    """Of 14 intervals that hold it in 95 % of cases, fewer than 10 do so once in two thousand (binomial)."""
    assert coverage(0.9, 600, 25, 14, share=0.3) >= 10


def test_intervals_hold_the_branching_ratio_under_weak_drive() -> None:
    """A mean activity of 2, which often dies out: with noise that is alike in all frames, 8 of these 20 hold m.

    Of 20 intervals that hold it in 92 %, fewer than 15 do so once in two hundred (binomial).
    """
    held = 0
    for seed in range(20):
        rng, now, activity = np.random.default_rng(seed), 2, np.empty(1200)
        for t in range(-600, 1200):
            now = int(rng.poisson(0.99 * now + 0.02))
            if t >= 0:
                activity[t] = now
        interval = branching_ratio(activity, max_lag=100, repeats=40, seed=seed).interval
        held += interval is not None and interval[0] <= 0.99 <= interval[1]
    assert held >= 15


def test_noise_of_a_signal_without_a_true_zero() -> None:
    """Constant in an autoregression, whatever its unit and origin; proportional to activity in a branching process."""
    rng, x = np.random.default_rng(0), np.zeros(4000)
    for t in range(1, 4000):
        x[t] = 0.9 * x[t - 1] + rng.normal()
    seen = np.ones(4000, bool)
    signal = residual_noise((x - x.mean()) / x.std(), seen, 0.9)
    assert signal.growth < 0.1 and signal.observation < 0.02
    # In deviations the noise of an autoregression has the variance 1 - m².
    assert signal.process == pytest.approx(0.19, abs=0.02)
    activity = branching_process(0.9, 0.4, 4000, 1).astype(float)
    scaled = (activity - activity.mean()) / activity.std()
    events = residual_noise(scaled, seen, 0.9)
    assert events.growth == pytest.approx(activity.std() / activity.mean(), rel=0.2)
    # Neither scale nor origin changes an interval.
    ends = [branching_ratio(one, max_lag=30, repeats=30).interval for one in (x[:500], 40 - 7 + 5 * x[:500])]
    assert ends[0] == pytest.approx(ends[1], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("m", "frames", "max_lag", "share"),
    [(0.5, 2000, 8, 1.0), (0.9, 2000, 40, 0.1), (0.98, 600, 60, 1.0), (0.98, 2000, 150, 1.0)],
)
def test_coverage_of_intervals(m: float, frames: int, max_lag: int, share: float) -> None:
    """Nominal 95 %; of 100 intervals that hold m in 92 %, fewer than 83 do so once in five hundred (binomial)."""
    assert coverage(m, frames, max_lag, 100, share) >= 83


def test_intervals_narrow_with_the_recording_and_end_at_1() -> None:
    short, long = (branching_ratio(branching_process(0.9, 5.0, n, 1), max_lag=30, repeats=40) for n in (800, 12_800))
    assert short.interval is not None and long.interval is not None
    widths = [high - low for low, high in (short.interval, long.interval)]
    # Sixteen times the frames: a quarter of the width, but for chance.
    assert 2.5 < widths[0] / widths[1] < 7
    near = branching_ratio(branching_process(0.99, 5.0, 600, 3), max_lag=60, repeats=40)
    assert near.interval is not None and near.interval[1] <= 1


def test_gaps_and_seams_do_not_count() -> None:
    """Two stretches with a gap between them have the slopes of all pairs within them, and of no others."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    x[100:130] = np.nan
    found = branching_ratio(x, max_lag=5, repeats=0)
    for lag in (1, 5):
        before, after = x[:-lag], x[lag:]
        both = np.isfinite(before) & np.isfinite(after)
        assert found.slopes[lag - 1] == pytest.approx(np.polyfit(before[both], after[both], 1)[0], abs=1e-9)
    assert found.interval is None


@pytest.mark.parametrize(("m", "sub"), [(0.9, True), (1.0, False)])
def test_sub_and_near_critical_are_told_apart(m: float, sub: bool) -> None:
    """A recording that dies out at m = 1 is started anew by a weak drive: m near 1, and an interval that holds 1."""
    rng = np.random.default_rng(4)
    activity, now = np.empty(4000), 400
    for t in range(4000):
        now = activity[t] = rng.poisson(m * now + (40 if sub else 0.5))
    found = branching_ratio(activity, max_lag=60, repeats=60)
    assert found.m is not None
    if sub:
        assert found.interval is not None and found.interval[1] < 0.97
    else:
        assert found.m > 0.98 and (found.interval is None or found.interval[1] > 0.995)


def test_supercritical_growth_is_above_1() -> None:
    activity = 100 * 1.01 ** np.arange(400) + np.random.default_rng(0).normal(size=400)
    found = branching_ratio(activity, max_lag=20, repeats=20)
    assert found.m is not None and found.m > 1.0
    assert found.interval is None and found.reason is not None and "above 1" in found.reason


@pytest.mark.slow
def test_the_same_as_mrestimator() -> None:
    """The package of Spitzner et al. (2021) on one process; its slopes are those of single trials too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports and of its optimiser
        mre = pytest.importorskip("mrestimator")
        activity = branching_process(0.95, 20.0, 20_000, 2)
        slopes = mre.coefficients(activity[None, :], method="ts", steps=(1, 60), numboot=0)
        theirs = mre.fit(slopes, fitfunc=mre.f_exponential, numboot=0)
    ours = branching_ratio(activity, max_lag=60, repeats=0)
    # They divide by the variance of the whole series, we by that of the frames of each pair: 1/T of it apart.
    np.testing.assert_allclose(ours.slopes, slopes.coefficients, atol=2e-3)
    assert ours.m == pytest.approx(theirs.mre, abs=2e-3)


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="too few for lags up to 60"):
        branching_ratio(np.arange(100.0), max_lag=60)
    with pytest.raises(ConfigError, match="repeats"):
        branching_ratio(np.arange(100.0), max_lag=5, repeats=-1)
