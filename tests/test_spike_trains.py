"""Statistics of spike trains against point processes whose statistics are known, and against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.analysis.spiking.spike_trains import LEAST_BINS, LEAST_INTERVALS, SpikeTrains, Trains


def added(spikes: np.ndarray, bin_steps: int = 10, cuts: tuple[int, ...] = ()) -> Trains:
    """Statistics of trains [t, N] that come in pieces."""
    trains = SpikeTrains(spikes.shape[1], bin_steps)
    for piece in np.split(spikes, sorted(cuts)):
        trains.add(piece)
    return trains.statistics()


def test_poisson_trains_vary_as_poisson_processes_and_are_independent() -> None:
    rng = np.random.default_rng(0)
    neurons, p = 60, 0.02
    found = added(rng.random((30_000, neurons)) < p)
    # In steps a Poisson process is a coin: intervals are geometric, with a CV of √(1 - p).
    assert np.mean(found.cv) == pytest.approx((1 - p) ** 0.5, abs=0.01)
    # 600 intervals each: the error of a CV is about 1 / √600.
    assert np.abs(found.cv - 1).max() < 5 / 600**0.5
    assert np.mean(found.cv2) == pytest.approx(1 - p, abs=0.01)
    together = found.synchrony
    assert together.neurons == neurons and together.independent == pytest.approx(neurons**-0.5)
    assert together.chi == pytest.approx(neurons**-0.5, rel=0.05)
    # 3,000 bins: the error of the mean over pairs is about √2 / (N √bins).
    assert together.pair_correlation == pytest.approx(0, abs=5 * 2**0.5 / neurons / 3000**0.5)


def test_a_clock_has_no_variation_and_clocks_that_tick_together_are_synchronous() -> None:
    spikes = np.zeros((3000, 3), bool)
    spikes[5::37, 0] = spikes[5::37, 1] = True
    found = added(spikes, cuts=(100, 1234))
    assert found.cv[:2].tolist() == [0, 0] and found.cv2[:2].tolist() == [0, 0]
    assert found.counts.tolist() == [81, 81, 0] and np.isnan(found.cv[2])
    assert found.synchrony.neurons == 2 and found.synchrony.chi == pytest.approx(1)
    assert found.synchrony.pair_correlation == pytest.approx(1)


def test_a_rate_that_changes_slowly_raises_cv_and_not_cv2() -> None:
    """A clock that ticks every 10 steps, and after half of the time every 40."""
    spikes = np.zeros((4000, 1), bool)
    spikes[:2000:10] = spikes[2000::40] = True
    found = added(spikes)
    assert found.cv[0] > 0.6 and found.cv2[0] < 0.02


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 700), st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    st.integers(1, 13), st.lists(st.integers(0, 700), max_size=5),
)  # fmt: skip
def test_pieces_give_what_numpy_finds_in_the_whole(
    seed: int, neurons: int, steps: int, p: float, bin_steps: int, cuts: list[int]
) -> None:
    spikes = np.random.default_rng(seed).random((steps, neurons)) < p
    found = added(spikes, bin_steps, tuple(cut for cut in cuts if cut <= steps))
    assert found.steps == steps and found.counts.tolist() == spikes.sum(axis=0).tolist()
    for k in range(neurons):
        intervals = np.diff(np.flatnonzero(spikes[:, k]))
        if len(intervals) < LEAST_INTERVALS:
            assert np.isnan(found.cv[k]) and np.isnan(found.cv2[k])
            continue
        assert found.cv[k] == pytest.approx(np.std(intervals) / np.mean(intervals), abs=1e-9)
        pairs = 2 * np.abs(np.diff(intervals)) / (intervals[1:] + intervals[:-1])
        assert found.cv2[k] == pytest.approx(pairs.mean(), abs=1e-9)
    bins = steps // bin_steps
    counts = spikes[: bins * bin_steps].reshape(bins, bin_steps, neurons).sum(axis=1)
    active = counts[:, counts.any(axis=0)] if bins else counts
    assert found.bins == bins and found.synchrony.neurons == (active.shape[1] if bins else 0)
    if bins < LEAST_BINS or active.shape[1] < 2 or active.var(axis=0).sum() == 0:
        assert found.synchrony.chi is None and found.synchrony.pair_correlation is None
        return
    own = active.var(axis=0).mean()
    assert found.synchrony.chi == pytest.approx((active.mean(axis=1).var() / own) ** 0.5, abs=1e-6)
    covariance = np.cov(active.T, bias=True)
    between = covariance[~np.eye(len(covariance), dtype=bool)].mean()
    assert found.synchrony.pair_correlation == pytest.approx(between / own, abs=1e-6)
