"""Avalanches of processes whose answers are known: critical, sub- and supercritical branching, and what a report says.

A critical branching process started from single events has sizes with exponent 3/2, durations with 2 and mean sizes
that grow with duration squared (Harris 1963; Zapperi, Lauritsen & Stanley 1995, doi 10.1103/PhysRevLett.75.4071).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from connfit._io import as_result, plain
from connfit.analysis.analysis_options import AnalysisOptions
from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.criticality.avalanches import Avalanches, find_avalanches
from connfit.analysis.criticality.branching import Branching
from connfit.analysis.criticality.crackling import scaling_relation, shape_collapse
from connfit.analysis.criticality.events import EventCounts, count_events, join_events
from connfit.analysis.criticality.fluctuations import fluctuations
from connfit.analysis.criticality.judgement import CellCounts, Signal, judge
from connfit.analysis.criticality.linear_surrogates import NoiseGrowth, noise_growth
from connfit.analysis.criticality.power import criticality_power, sampling_of, simulate_recordings, word_of
from connfit.analysis.criticality.power_law import fit_power_law
from connfit.analysis.criticality.signature_table import Source, SourceSignatures, examine_source, stands
from connfit.analysis.criticality.signatures import Settings, sensitivity
from connfit.analysis.criticality.surrogates import fractional_noise, make_surrogate
from connfit.analysis.criticality.threshold import Threshold
from connfit.analysis.findings import sentences
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


@pytest.mark.parametrize("m", [pytest.param(0.7, marks=pytest.mark.slow), 0.9])
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


@pytest.mark.slow
def test_a_critical_process_is_called_consistent_and_independent_noise_is_not() -> None:
    """Events of critical cascades and the same without their order; and the whole table on noise without memory."""
    activity = cascades(1.0, 2500, 2, longest=100_000)[:, None]
    rows = sensitivity(activity, None, (1,), surrogates=("data", "shuffle"), settings=Settings(repeats=20))
    data, shuffled = rows
    assert stands(data.sizes) and stands(data.durations) and data.scaling is not None and data.scaling.consistent
    assert not (stands(shuffled.sizes) and stands(shuffled.durations))
    rng, options = np.random.default_rng(5), AnalysisOptions(repeats=20)
    noise = rng.normal(size=(1500, 8)).astype(np.float32)
    found = examine_source(Source("noise", [noise], ("silence",), ("shuffle",)), options, 1.0)
    assert as_result(plain(found), SourceSignatures) == found
    assert judge(found.verdict["silence"]) in ("none", "undecidable", "not specific")
    exponents = [found.reference["silence"][kind].row.size_exponent for kind in ("data", "shuffle")]
    assert exponents[0] == pytest.approx(exponents[1], abs=0.5)


def test_the_word_follows_from_the_counts() -> None:
    def kinds(
        all_data: int, all_phase: int, enough: int = 10, both: int = 7, tested: int = 7, cells: int = 12
    ) -> dict[str, CellCounts]:
        counts = CellCounts(cells=cells, enough=enough, both=both, tested=tested, all=all_data)
        return {"data": counts, "phase_together": CellCounts(enough=10, both=all_phase, all=all_phase)}

    assert judge(kinds(0, 0, enough=0)) == "undecidable"
    assert judge(kinds(0, 5, both=0)) == "none"
    assert judge(kinds(0, 5)) == "unrelated"
    assert judge(kinds(0, 5, tested=0)) == "untested"
    assert judge(kinds(6, 6)) == "not specific"
    assert judge(kinds(3, 1)) == "dependent on threshold and bin"
    assert judge(kinds(9, 1, both=9, tested=9)) == "consistent with criticality"
    assert judge(kinds(6, 1)) == "dependent on threshold and bin"


def test_no_verdict_from_a_few_cells() -> None:
    """One of 2 usable cells of 36 and 3 of 6 were called consistent with criticality; so was any share of few."""
    for all_of, enough in ((1, 2), (2, 2), (3, 6), (8, 8), (17, 17)):
        counts = CellCounts(cells=36, enough=enough, both=enough, tested=enough, all=all_of)
        assert judge({"data": counts}) == "undecidable"
    counts = CellCounts(cells=36, enough=18, both=18, tested=18, all=18)
    assert judge({"data": counts}) == "consistent with criticality"
    # Of a table of few thresholds a share alone would be few cells.
    assert judge({"data": replace(counts, cells=9, enough=8, all=8)}) == "undecidable"


def test_a_verdict_asks_for_noise_that_grows_and_a_ratio_that_reaches_1() -> None:
    counts = CellCounts(cells=36, enough=30, both=30, tested=30, all=30)
    kinds = {"data": counts, "shuffle": replace(counts, all=0), "phase_together": counts}

    def signal(interval: tuple[float, float] | None, p: float | None) -> Signal:
        return Signal(Branching(interval=interval), None, NoiseGrowth(p=p))

    assert judge(kinds) == "not specific"
    # Linear processes share the cells of a critical one; the test against them takes the place of the comparison.
    assert judge(kinds, signal((0.98, 1.0), 0.005)) == "consistent with criticality"
    assert judge(kinds, signal((0.98, 1.0), 0.4)) == "not specific"
    assert judge(kinds, signal((0.98, 1.0), None)) == "not specific"
    for interval in ((0.96, 0.99), (0.2, 1.0), None):
        assert judge(kinds, signal(interval, 0.005)) == "not near 1"


def test_noise_grows_in_a_branching_process_and_not_in_its_linear_surrogates() -> None:
    rng, now, activity = np.random.default_rng(3), 20, np.empty(3000)
    for t in range(3000):
        now = activity[t] = rng.poisson(0.97 * now + 0.6)
    assert noise_growth([activity]).p <= 0.02
    p = [noise_growth([make_surrogate(activity[:, None], "phase", seed)[:, 0]], seed=seed).p for seed in range(40)]
    # Uniform under the hypothesis: of 40, 6 or more at 0.05 happen once in 70.
    assert sum(one <= 0.05 for one in p) < 6 and 0.3 < np.mean(p) < 0.7


def test_events_that_are_mostly_zero_are_analysed_by_the_rules_that_apply() -> None:
    """No unit has a MAD: the rules that need one are left out with their reason, and all others are there."""
    values = np.random.default_rng(0).poisson(0.1, (600, 12)).astype(float)
    with pytest.raises(DataError, match="'mad'"):
        count_events(values, [Threshold("mad", 3.0)])
    lenient = count_events(values, [Threshold("mad", 3.0), Threshold("zscore", 2.0)], without_spread="count")
    assert [one.units for one in lenient] == [0, 12] and lenient[0].left_out == 12 and not lenient[0].counts.any()
    np.testing.assert_array_equal(lenient[1].counts, count_events(values, [Threshold("zscore", 2.0)])[0].counts)
    with pytest.raises(DataError, match="'mad'"):
        count_events(values, [Threshold("mad", 3.0)], without_spread="count")
    source = Source("counts", [values], ("silence",), ("shuffle",))
    found = examine_source(source, AnalysisOptions(repeats=20), 1.0)
    assert set(found.thresholds_left_out) == {f"{level} MAD of units" for level in (2, 3, 4)}
    assert not found.reasons and "data" in found.reference["silence"]
    assert {kind: counts.cells for kind, counts in found.verdict["silence"].items()} == {"data": 27, "shuffle": 27}
    assert found.verdict["silence"]["data"].enough > 9
    (said,) = sentences("avalanches")(Analysis(sources={"counts": found}))
    assert "3 thresholds do not apply and are left out (2 MAD of units; 3 MAD of units; 4 MAD of units)" in said


def test_the_exponent_of_mean_sizes_from_few_avalanches() -> None:
    """Too few of each duration for points of their own: the fit to single avalanches finds the exponent."""
    rng = np.random.default_rng(2)
    durations = np.unique(np.geomspace(5, 80, 60).astype(int)).repeat(3)
    sizes = np.maximum(rng.gamma(4.0, durations**1.7 / 4.0), 1).astype(int)
    found = Avalanches(
        sizes=sizes, durations=durations, starts=durations, profile=durations, cut=0, bin_frames=1, floor=0.0,
        active=0.5, frames_left_out=0,
    )  # fmt: skip
    laws = fit_power_law(sizes, xmin=5), fit_power_law(durations, xmin=5)
    one = scaling_relation(found, *laws, repeats=40)
    # Sizes vary by half of their mean: a standard error of 0.5 / √(120 · 0.6).
    assert one.method == "avalanches" and one.gamma == pytest.approx(1.7, abs=0.2)
    assert one.gamma_interval[0] < 1.7 < one.gamma_interval[1]
    # Deviations in proportion to the mean are those of a regression of logarithms, but for its constant.
    assert one.gamma == pytest.approx(np.polyfit(np.log(durations), np.log(sizes), 1)[0], abs=0.1)


@pytest.mark.slow
def test_power_simulations_see_what_the_recording_sees() -> None:
    """Event rates of units, or the shared variance, of the recording; words of draws are those of an analysis."""
    rng = np.random.default_rng(1)
    counts = rng.poisson([0.02, 0.1, 0.4], (1500, 3)).astype(float)
    seen = sampling_of([counts])
    assert seen.rates is not None and seen.frames == (1500,) and seen.units == (3,)
    drawn = simulate_recordings(seen, 1.0, 0.3, rng)[0]
    np.testing.assert_allclose(drawn.mean(axis=0), counts.mean(axis=0), rtol=0.3)
    noisy = rng.normal(size=(1500, 1)) + 2 * rng.normal(size=(1500, 10))
    seen = sampling_of([noisy, noisy[:500]])
    # One part in five is shared, and a tenth of the rest.
    assert seen.rates is None and seen.frames == (1500, 500) and seen.shared == pytest.approx(0.28, abs=0.03)
    drawn = simulate_recordings(seen, 0.9, 1.0, rng)[0]
    assert drawn.mean(axis=1).var() / drawn.var(axis=0).mean() == pytest.approx(seen.shared, abs=0.05)
    for values in (noisy, drawn):
        found = examine_source(Source("a", [values], ("median",), ("shuffle",)), AnalysisOptions(repeats=20), 1.0)
        assert judge(found.verdict["median"]) == word_of([values], "median")


def test_power_simulations_have_the_units_and_gaps_of_each_recording() -> None:
    """Animals rarely have the same units; shared variance and gaps are their own, however few frames are complete."""
    rng = np.random.default_rng(2)
    noisy = rng.normal(size=(2000, 1)) + 2 * rng.normal(size=(2000, 12))
    whole = sampling_of([noisy[:, :10]])
    gaps = np.where(rng.random(noisy.shape) < 0.3, np.nan, noisy)
    gaps[100:130] = np.nan
    seen = sampling_of([gaps[:, :10], gaps[:600]])
    assert seen.units == (10, 12) and seen.frames == (2000, 600)
    # Hardly a frame is complete (0.7^10 = 3 %); the shared variance of 12 units is 0.267, that of 10 is 0.28.
    assert seen.shared == pytest.approx(whole.shared, abs=0.04)
    drawn = simulate_recordings(seen, 1.0, 0.3, rng)
    for one, other in zip(drawn, (gaps[:, :10], gaps[:600]), strict=True):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    found = criticality_power([gaps[:300, :10], gaps[:200]], "median", 1)
    assert found.units == 12 and found.frames == 500 and found.critical is not None
    assert sum(found.critical.words.values()) == 1


def test_power_is_counted_over_draws() -> None:
    found = criticality_power([np.random.default_rng(0).poisson(0.2, (400, 5)).astype(float)], "silence", 2)
    assert found.draws == 2 and found.frames == 400 and found.units == 5
    for kind, m in ((found.critical, 1.0), (found.control, 0.9)):
        assert kind is not None and kind.m == m and sum(kind.words.values()) == 2
        assert kind.called == kind.words.get("consistent with criticality", 0)
        # Exact interval for none of two: up to 1 - 0.025^(1/2).
        assert kind.interval == pytest.approx((0.0, 0.8419), abs=1e-3) or kind.called


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
    each = [fluctuations(course, repeats=0).exponent for course in noise.T]
    assert np.mean(np.array(each, float)) == pytest.approx(exponent, abs=0.09)
    several = fluctuations([noise[:1000, 0], noise[:, 1], noise[:700, 2]], repeats=0)
    assert several.interval is None and several.frames == 3748
    assert several.exponent == pytest.approx(exponent, abs=0.16)


def test_fluctuations_refuse_what_they_cannot_use() -> None:
    with pytest.raises(DataError, match="are missing"):
        fluctuations(np.append(np.random.default_rng(0).normal(size=400), np.nan))
    with pytest.raises(DataError, match="does not vary"):
        fluctuations(np.ones(400))
