"""Avalanches of processes whose answers are known: critical, sub- and supercritical branching, and what a report says.

A critical branching process started from single events has sizes with exponent 3/2, durations with 2 and mean sizes
that grow with duration squared (Harris 1963; Zapperi, Lauritsen & Stanley 1995, doi 10.1103/PhysRevLett.75.4071).
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from connfit.analyze import (
    EventCounts,
    Settings,
    count_events,
    find_avalanches,
    fit_power_law,
    fluctuations,
    fractional_noise,
    scaling_relation,
    sensitivity,
    shape_collapse,
    unit_fluctuations,
)
from connfit.analyze.avalanches import join_events
from connfit.analyze.threshold import Threshold
from connfit.brain_analysis.findings import judge
from connfit.brain_analysis.options import AnalysisOptions
from connfit.brain_analysis.signs import Source, examine_source, stands
from connfit.errors import ConfigError, DataError


def cascades(m: float, number: int, seed: int, longest: int = 3000) -> np.ndarray:
    """Events per frame: cascades of Poisson offspring from single events, an empty frame between two of them."""
    rng = np.random.default_rng(seed)
    frames: list[int] = [0]
    for _ in range(number):
        now = 1
        for _ in range(longest):
            frames.append(now)
            now = int(rng.poisson(m * now))
            if now == 0:
                break
        frames.append(0)
    return np.array(frames)


def events_of(counts: np.ndarray) -> EventCounts:
    return count_events(counts[:, None])[0]


@pytest.fixture(scope="module")
def critical() -> EventCounts:
    return events_of(cascades(1.0, 12_000, 3))


def test_exponents_of_critical_branching(critical: EventCounts) -> None:
    found = find_avalanches(critical)
    # Laws hold for large sizes and durations: from 10 on both are within 0.05 of their limits.
    sizes = fit_power_law(found.sizes, xmin=10, xmax=100_000)
    durations = fit_power_law(found.durations, xmin=10, xmax=1000)
    assert sizes.interval[0] - 0.03 < 1.5 < sizes.interval[1] + 0.03
    # P(duration > t) is 2/t with a correction of order ln t / t, which is 0.1 at t = 10.
    assert durations.interval[0] - 0.1 < 2.0 < durations.interval[1] + 0.1
    relation = scaling_relation(found, sizes, durations, repeats=60)
    assert relation.gamma == pytest.approx(2.0, abs=0.2)
    assert relation.predicted == pytest.approx(2.0, abs=0.3)


def test_shapes_of_critical_branching_collapse(critical: EventCounts) -> None:
    """Mean courses of duration D are D times one symmetric shape: gamma = 2; another exponent leaves them apart."""
    found = shape_collapse(find_avalanches(critical), shortest=8, longest=40, min_count=15, repeats=20)
    assert found.gamma == pytest.approx(2.0, abs=0.25)
    assert found.error < 0.5 * found.error_flat
    assert abs(found.asymmetry) < 0.05


@pytest.mark.parametrize("m", [0.7, 0.9])
def test_subcritical_cascades_are_no_power_law(m: float) -> None:
    found = find_avalanches(events_of(cascades(m, 3000, 1)))
    one = sensitivity(cascades(m, 3000, 1)[:, None], None, (1,), surrogates=("data",), settings=Settings(repeats=20))[0]
    assert found.count == one.count and stands(one.sizes) is False
    favoured = {each.alternative: each.favoured for each in one.sizes.comparisons} if one.sizes else {}
    assert favoured["truncated_power_law"] == "truncated_power_law"


def test_supercritical_cascades_have_too_many_large_ones() -> None:
    """At m = 1.1 a sixth of the cascades never ends (their share x solves x = 1 - exp(-m x)): a bump at the end."""
    ends = cascades(1.1, 800, 2, longest=60)
    found = find_avalanches(events_of(ends))
    share = float((found.durations >= 60).mean())
    assert share == pytest.approx(0.176, abs=0.045)
    one = sensitivity(ends[:, None], None, (1,), surrogates=("data",), settings=Settings(repeats=20))[0]
    assert stands(one.durations) is not True or stands(one.sizes) is not True


def test_a_critical_process_is_called_consistent_and_independent_noise_is_not() -> None:
    """Events of critical cascades and the same without their order; and the whole table on noise without memory."""
    activity = cascades(1.0, 2500, 2, longest=100_000)[:, None]
    rows = sensitivity(activity, None, (1,), surrogates=("data", "shuffle"), settings=Settings(repeats=20))
    data, shuffled = rows
    assert stands(data.sizes) and stands(data.durations) and data.scaling is not None and data.scaling.consistent
    assert not (stands(shuffled.sizes) and stands(shuffled.durations))
    rng, options = np.random.default_rng(5), AnalysisOptions(repeats=20)
    noise = rng.normal(size=(1500, 8)).astype(np.float32)
    record = examine_source(Source("noise", "noise", [noise], ("silence",), ("shuffle",)), options, 1.0)
    json.dumps(record["verdict"], allow_nan=False)
    assert judge(record["verdict"]["silence"]) in ("none", "undecidable", "not specific")
    exponents = [record["reference"]["silence"][kind]["row"]["size_exponent"] for kind in ("data", "shuffle")]
    assert exponents[0] == pytest.approx(exponents[1], abs=0.5)


def test_the_word_follows_from_the_counts() -> None:
    def kinds(
        all_data: int, all_phase: int, enough: int = 10, both: int = 7, tested: int = 7
    ) -> dict[str, dict[str, int]]:
        counts = {"enough": enough, "both": both, "tested": tested, "all": all_data}
        return {"data": counts, "phase_together": {"enough": 10, "both": all_phase, "all": all_phase}}

    assert judge(kinds(0, 0, enough=0)) == "undecidable"
    assert judge(kinds(0, 5, both=0)) == "none"
    assert judge(kinds(0, 5)) == "unrelated"
    assert judge(kinds(0, 5, tested=0)) == "untested"
    assert judge(kinds(6, 6)) == "not specific"
    assert judge(kinds(3, 1)) == "dependent on threshold and bin"
    assert judge(kinds(6, 1)) == "consistent with criticality"


def test_recordings_are_one_sample_without_seams() -> None:
    """Events at the end of one recording and at the start of the next are no avalanche."""
    one, other = np.zeros((6, 1), int), np.zeros((5, 1), int)
    one[2], one[5], other[0], other[3] = 1, 1, 1, 2
    joined = join_events([count_events(one)[0], count_events(other)[0]])
    found = find_avalanches(joined)
    assert found.sizes.tolist() == [1, 2] and found.cut == 2
    with pytest.raises(ConfigError, match="one threshold"):
        join_events([count_events(one)[0], count_events(other.astype(float), [Threshold("absolute", 0.5)])[0]])


@pytest.mark.parametrize("exponent", [0.5, 0.75, 1.0, 1.2, 1.5])
def test_fluctuations_of_fractional_noise_have_its_exponent(exponent: float) -> None:
    """One signal, the mean over many, and several recordings as one."""
    noise = fractional_noise(2048, exponent, 7, draws=12)
    single = fluctuations(noise[:, 0], repeats=60)
    assert single.interval is not None and single.interval[0] - 0.03 < exponent < single.interval[1] + 0.03
    # One exponent scatters by 0.04 at 0.5 and by 0.1 at 1.5; estimates with windows from 10 frames on lie up to 0.03
    # too high.
    assert unit_fluctuations(noise).mean() == pytest.approx(exponent, abs=0.09)
    several = fluctuations([noise[:1000, 0], noise[:, 1], noise[:700, 2]], repeats=0)
    assert several.interval is None and several.frames == 3748
    assert several.exponent == pytest.approx(exponent, abs=0.16)


def test_fluctuations_refuse_what_they_cannot_use() -> None:
    with pytest.raises(DataError, match="are missing"):
        fluctuations(np.append(np.random.default_rng(0).normal(size=400), np.nan))
    with pytest.raises(DataError, match="does not vary"):
        fluctuations(np.ones(400))
