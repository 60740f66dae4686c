"""Statistics of time constants whose distribution, drift and grouping are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from connfit._io import as_result, plain
from connfit.analysis.parameters.time_constants import TimeConstantStatistics, time_constant_statistics
from connfit.errors import ConfigError

BOUNDS = (0.1, 25.0)


def test_distribution_drift_and_bounds() -> None:
    rng = np.random.default_rng(0)
    before = np.exp(rng.uniform(np.log(0.2), np.log(10), 4000))
    # float32 logarithms, as a fit stores them: a bound comes back with rounding.
    logs = np.log(np.clip(before * np.exp(rng.normal(0.3, 0.2, 4000)), *BOUNDS)).astype(np.float32)
    logs[:30], logs[30:50] = np.log(np.float32(BOUNDS[0])), np.log(np.float32(BOUNDS[1]))
    after = np.exp(logs.astype(np.float64))
    found = time_constant_statistics(after, before_s=before, step_s=0.5, bounds_s=BOUNDS)
    assert (found.at_low, found.at_high) == (30, 20)
    assert found.at_bounds_fraction == pytest.approx(50 / 4000)
    assert found.below_step == (after < 0.5).sum() > 0
    change = found.log_change_quantiles
    assert change is not None and change[2] == pytest.approx(0.3, abs=0.02)
    assert change[4] - change[0] == pytest.approx(2 * 1.2816 * 0.2, rel=0.1)
    # More than 10 % either way: |N(0.3, 0.2)| > ln 1.1.
    assert found.moved_by_over_10_percent == pytest.approx(0.847 + 0.024, abs=0.02)
    rank = found.rank_correlation_with_start
    assert rank is not None and 0.9 < rank < 1
    assert found.after_s.log_mean == pytest.approx(np.log(after).mean())
    assert found.groups == ()
    assert as_result(plain(found), TimeConstantStatistics) == found


def test_groups_that_matter_and_groups_that_do_not() -> None:
    rng = np.random.default_rng(1)
    n = 3000
    kind = rng.integers(3, size=n)
    after = np.exp(np.array([-1.0, 0.0, 1.0])[kind] + rng.normal(0, 0.5, n))
    table = pd.DataFrame(
        {
            "id": np.arange(n),
            "type": np.array(["fast", "middle", "slow"])[kind],
            "class": [f"c{k}" for k in rng.integers(100, size=n)],
            "region": ["", *["rare"] * 4, *["here"] * (n - 5)],
        }
    )
    found = time_constant_statistics(after, before_s=np.ones(n), step_s=0.5, bounds_s=(0.01, 100.0), neurons=table)
    groups = {one.grouped_by: one for one in found.groups}
    assert list(groups) == ["class", "type", "region"]
    by_type = groups["type"]
    assert by_type.groups == len(by_type.largest) == 3
    for group in by_type.largest:
        members = after[table["type"] == group.name]
        assert group.count == len(members)
        np.testing.assert_allclose(group.quartiles_s, np.percentile(members, [25, 50, 75]))
        assert group.median_log_change == pytest.approx(np.median(np.abs(np.log(members))))
    # Variance between means -1, 0, 1 is 2/3, within 1/4.
    assert by_type.explained_variance_of_log == pytest.approx((2 / 3) / (2 / 3 + 1 / 4), abs=0.03)
    assert groups["class"].explained_variance_of_log == pytest.approx(0, abs=0.02), (
        "a hundred groups explain something by chance"
    )
    here = groups["region"]
    assert [group.name for group in here.largest] == ["here"]
    assert (here.small_groups, here.small_neurons, here.unnamed_neurons) == (1, 4, 1)
    assert here.explained_variance_of_log is None
    assert found.rank_correlation_with_start is None, "all started alike"
    few = time_constant_statistics(after, step_s=0.5, bounds_s=(0.01, 100.0), neurons=table, rows=2).groups[0]
    assert (len(few.largest), few.not_listed) == (2, few.groups - 2)


def test_without_a_start() -> None:
    found = time_constant_statistics(np.array([0.3, 1.0]), step_s=0.5, bounds_s=BOUNDS)
    assert found.before_s is None and found.log_change_quantiles is None
    assert found.moved_by_over_10_percent is None and found.below_step == 1


def test_mistakes_are_named() -> None:
    good = np.ones(4)
    options = {"step_s": 0.5, "bounds_s": BOUNDS}
    with pytest.raises(ConfigError, match=r"after_s is -0\.7 at neuron 2, .*give exp\(log_time_constants\)"):
        time_constant_statistics(np.array([1, 1, -0.7, 1]), **options)
    with pytest.raises(ConfigError, match="3 time constants before the fit, 4 after it"):
        time_constant_statistics(good, before_s=good[:3], **options)
    with pytest.raises(ConfigError, match="2 rows for 4 time constants"):
        time_constant_statistics(good, neurons=pd.DataFrame({"id": [1, 2]}), **options)
    table = pd.DataFrame({"id": range(4)})
    with pytest.raises(ConfigError, match="no column 'type'"):
        time_constant_statistics(good, neurons=table, columns=["type"], **options)
    with pytest.raises(ConfigError, match=r"after_s has shape \(2, 2\)"):
        time_constant_statistics(np.ones((2, 2)), **options)
