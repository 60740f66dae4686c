"""Signs of criticality on processes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from connfit.analysis.criticality.avalanches import find_avalanches
from connfit.analysis.criticality.branching import branching_ratio
from connfit.analysis.criticality.events import count_events
from connfit.analysis.criticality.power_law import fit_power_law
from connfit.errors import DataError


def branching_process(m: float, drive: float, frames: int, seed: int) -> np.ndarray:
    """Activity of Poisson offspring with a Poisson drive, from its stationary mean on."""
    rng = np.random.default_rng(seed)
    activity = np.empty(frames, np.int64)
    now = round(drive / (1 - m))
    for t in range(frames):
        now = activity[t] = rng.poisson(m * now + drive)
    return activity


@pytest.mark.parametrize(("m", "max_lag"), [(0.5, 8), (0.9, 40), (0.98, 150)])  # about four time constants and more
def test_branching_ratio_of_a_driven_process_and_of_a_tenth_of_its_units(m: float, max_lag: int) -> None:
    whole, part = [], []
    for seed in range(4):
        activity = branching_process(m, 20.0, 60_000, seed)
        seen = np.random.default_rng(seed).binomial(activity, 0.1)
        for found, series in ((whole, activity), (part, seen)):
            found.append(branching_ratio(series, max_lag=max_lag, repeats=0))
    # One estimate varies by 0.014 (m = 0.5), 0.006 (0.9); twice as much and more for a tenth of the units.
    assert np.mean([one.m for one in whole]) == pytest.approx(m, abs=0.02)
    assert np.mean([one.m for one in part]) == pytest.approx(m, abs=0.08)
    # What subsampling does to the usual estimate.
    assert max(one.conventional for one in part) < min(one.conventional for one in whole) - 0.01


def test_independent_events_have_no_branching_ratio() -> None:
    found = branching_ratio(np.random.default_rng(0).poisson(30, 20_000))
    assert abs(found.conventional) < 0.03 and (found.m is None or abs(found.amplitude or 0) < 0.1)


@pytest.mark.parametrize("exponent", [1.5, 2.0, 2.5])
def test_exponent_of_a_discrete_power_law(exponent: float) -> None:
    values = np.arange(1, 10_001)
    law = values**-exponent / (values**-exponent).sum()
    drawn = np.random.default_rng(5).choice(values, 20_000, p=law)
    fit = fit_power_law(drawn, xmin=1, xmax=10_000)
    low, high = fit.interval
    assert low - 0.02 < exponent < high + 0.02 and high - low < 0.1


def test_a_geometric_distribution_searches_no_long_tail() -> None:
    drawn = stats.geom(0.2).rvs(20_000, random_state=1)
    fit = fit_power_law(drawn)
    assert fit.xmin > 5  # only the last part of an exponential looks straight


def test_avalanches_of_events_written_by_hand() -> None:
    events = np.zeros((12, 3), bool)
    events[2:4, 0] = events[3, 1] = True  # 2 frames, 3 events
    events[6:9, 2] = True  # 3 frames, 3 events
    found = find_avalanches(count_events(events)[0])
    np.testing.assert_array_equal(found.durations, [2, 3])
    np.testing.assert_array_equal(found.sizes, [3, 3])


def test_critical_branching_has_the_mean_field_exponent_of_sizes() -> None:
    """Offspring at m = 1 from single events: P(size) falls as size^-1.5 (Harris 1963)."""
    rng = np.random.default_rng(7)
    sizes = []
    for _ in range(6_000):
        now = size = 1
        while now and size < 20_000:
            now = int(rng.poisson(now))
            size += now
        sizes.append(size)
    fit = fit_power_law(np.array(sizes), xmin=10, xmax=10_000)
    assert fit.exponent == pytest.approx(1.5, abs=0.06)  # 3 standard errors of 0.013, and the cut-off


def test_constant_activity_is_refused() -> None:
    with pytest.raises(DataError):
        branching_ratio(np.full(500, 3.0))
