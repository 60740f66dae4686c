"""Spectrum, autocorrelation and calibration against processes for which they are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal, stats
from scipy.integrate import quad

from connfit.config import EvaluateConfig
from connfit.evaluation.activity_dynamics import (
    BLOCK_UNITS,
    autocorrelation_scores,
    mean_autocorrelation,
    spectrum_scores,
)
from connfit.evaluation.baselines.ar import Ar
from connfit.evaluation.baselines.lds import Lds
from connfit.evaluation.baselines.mean import Mean
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.calibration import calibration_scores, training_spread
from connfit.evaluation.scores import data_against_itself, score
from connfit.recordings import Recording


def autoregression(rng: np.random.Generator, phi: float, frames: int, units: int) -> np.ndarray:
    x = rng.normal(size=(frames + 200, units))
    for t in range(1, len(x)):
        x[t] = phi * x[t - 1] + np.sqrt(1 - phi**2) * x[t]
    return x[200:]


def everywhere(x: np.ndarray) -> np.ndarray:
    return np.ones(x.shape, bool)


def test_spectra_of_the_same_process_agree_and_of_another_differ_by_what_they_should() -> None:
    rng = np.random.default_rng(0)
    data = autoregression(rng, 0.9, 2000, 20)
    same = np.stack([autoregression(rng, 0.9, 2000, 20) for _ in range(3)])
    found = spectrum_scores(data, everywhere(data), same)
    # 20 units and some 30 segments: a standard deviation of about 4.3 / sqrt(600) dB per frequency, twice.
    assert found.log_spectral_distance_db < 0.5
    assert found.slope == pytest.approx(found.slope_data, abs=0.05)
    louder = spectrum_scores(data, everywhere(data), 2 * same)
    assert louder.log_spectral_distance_db == pytest.approx(10 * np.log10(4), abs=0.3)
    white = spectrum_scores(data, everywhere(data), rng.normal(size=(3, 2000, 20)))
    frequency = np.arange(1, 65) / 128
    # Power of AR(1) of variance 1 over that of white noise.
    ratio = (1 - 0.81) / (1 + 0.81 - 1.8 * np.cos(2 * np.pi * frequency))
    expected = np.sqrt(np.mean((10 * np.log10(ratio)) ** 2))
    assert white.log_spectral_distance_db == pytest.approx(expected, rel=0.05)
    assert white.slope == pytest.approx(0, abs=0.1)
    slope = np.polyfit(np.log10(frequency), np.log10(ratio), 1)[0]
    assert white.slope_data == pytest.approx(slope, abs=0.15)


def test_autocorrelations_are_those_of_the_process() -> None:
    rng = np.random.default_rng(1)
    data = autoregression(rng, 0.9, 4000, 20)
    mask = rng.random(data.shape) < 0.7
    seen = mean_autocorrelation(np.where(mask, data, np.nan), mask, 10)
    assert np.allclose(seen, 0.9 ** np.arange(11), atol=0.03)
    runs = autoregression(rng, 0.5, 4000, 20)[None]
    found = autocorrelation_scores(data, everywhere(data), runs)
    lags = np.arange(1, 31)
    assert found.rms_difference == pytest.approx(np.sqrt(np.mean((0.9**lags - 0.5**lags) ** 2)), abs=0.03)
    assert found.timescale_data_frames == pytest.approx(-1 / np.log(0.9), rel=0.1)
    assert found.timescale_frames == pytest.approx(-1 / np.log(0.5), rel=0.1)
    assert found.timescale_ratio == pytest.approx(found.timescale_frames / found.timescale_data_frames)


def test_many_units_count_alike_whichever_block_they_are_in() -> None:
    """Fast units, then slow ones, in blocks of which the last is not full; against sums over all units at once."""
    rng, frames, fast = np.random.default_rng(3), 400, BLOCK_UNITS
    data = np.hstack([rng.normal(size=(frames, fast)), 3 * autoregression(rng, 0.95, frames, fast + 7)])
    mask = rng.random(data.shape) < 0.9
    x = np.where(mask, data, np.nan)
    x = x - np.nanmean(x, axis=0)
    each = [np.nanmean(x[lag:] * x[: frames - lag], axis=0) / np.nanmean(x**2, axis=0) for lag in range(6)]
    np.testing.assert_allclose(mean_autocorrelation(data, mask, 5), np.mean(each, axis=1), rtol=1e-9)
    frequency, power = signal.welch(data / data.std(axis=0), nperseg=128, axis=0)
    run = data[::-1] + rng.normal(size=data.shape)
    free = signal.welch(run / data.std(axis=0), nperseg=128, axis=0)[1][1:].mean(axis=1)
    found = spectrum_scores(data, everywhere(data), run[None])
    ratio = 10 * np.log10(free / power[1:].mean(axis=1))
    assert found.log_spectral_distance_db == pytest.approx(np.sqrt(np.mean(ratio**2)), rel=1e-9)
    expected = np.polyfit(np.log10(frequency[1:]), np.log10(power[1:].mean(axis=1)), 1)[0]
    assert found.slope_data == pytest.approx(expected, rel=1e-9)


def test_what_is_not_defined_has_a_reason() -> None:
    data = autoregression(np.random.default_rng(2), 0.5, 100, 3)
    still = np.ones((1, 100, 3))
    assert "does not move" in spectrum_scores(data, everywhere(data), still).reasons["slope"]
    assert "does not vary" in autocorrelation_scores(data, everywhere(data), still).reasons["rms_difference"]
    gaps = everywhere(data)
    gaps[::20] = False
    assert "19 consecutive frames" in spectrum_scores(data, gaps, data[None]).reasons["slope"]
    slow = np.linspace(0, 1, 100)[:, None] * np.ones(3)
    timescale = autocorrelation_scores(np.sin(slow), everywhere(slow), np.sin(slow)[None])
    assert timescale.timescale_frames is None or timescale.timescale_frames > 15
    never = everywhere(data)
    never[:, 1] = False
    assert spectrum_scores(data, never, data[None]).units == 2


def test_calibration_of_a_normal_distribution() -> None:
    rng = np.random.default_rng(3)
    sigma = np.array([0.5, 2.0])
    y = sigma * rng.normal(size=(5000, 2))
    nothing, std = np.zeros(y.shape), np.broadcast_to(sigma, y.shape)
    right = calibration_scores(y, everywhere(y), nothing, std, "own")
    for level, share in right.coverage.items():
        # Binomial: 0.005 for 10,000 entries.
        assert share == pytest.approx(int(level) / 100, abs=0.015)
    entropy = np.mean(0.5 * np.log(2 * np.pi * np.e * sigma**2))
    assert right.negative_log_likelihood == pytest.approx(entropy, abs=0.03)
    # Expected score of a normal distribution under itself: sigma / sqrt(pi).
    assert right.crps == pytest.approx(sigma.mean() / np.sqrt(np.pi), rel=0.03)
    narrow = calibration_scores(y, everywhere(y), nothing, std / 2, "own")
    assert narrow.coverage[95] == pytest.approx(2 * stats.norm.cdf(0.98) - 1, abs=0.015)
    assert narrow.crps > right.crps
    assert narrow.negative_log_likelihood > right.negative_log_likelihood


def test_crps_is_the_integral_that_defines_it() -> None:
    y, mean, sigma = 1.3, 0.4, 0.7
    one = np.array([[y]])
    found = calibration_scores(one, np.ones((1, 1), bool), np.array([[mean]]), np.array([[sigma]]), "own").crps
    below, _ = quad(lambda x: stats.norm.cdf(x, mean, sigma) ** 2, -10, y)
    above, _ = quad(lambda x: (1 - stats.norm.cdf(x, mean, sigma)) ** 2, y, 10)
    assert found == pytest.approx(below + above, abs=1e-8)


def recording(values: np.ndarray) -> Recording:
    units = tuple(f"u{k}" for k in range(values.shape[1]))
    return Recording("made", values, units, 2.0).split(train=0.6, validation=0.15)


def test_scores_hold_them_for_every_forecaster() -> None:
    one = recording(autoregression(np.random.default_rng(4), 0.9, 800, 4))
    config = EvaluateConfig(free_run_warmup=20, free_run_runs=4, latent_dimensions=(2,))
    scores = {
        model.name: score(model, one, config)["test"] for model in (Mean.fit(one), Ar.fit(one), Lds.fit(one, config))
    }
    assert scores["ar"].calibration.distribution == "training residuals"
    assert scores["lds"].calibration.distribution == "own"
    for name in ("ar", "lds"):
        assert scores[name].calibration.coverage[95] == pytest.approx(0.95, abs=0.04)
    assert scores["ar"].calibration.crps < scores["mean"].calibration.crps
    ours, shuffled = scores["ar"].free_run, scores["mean"].free_run
    # The mean with its residuals in random order is white noise; the process has a memory of 9.5 frames.
    for group, name in (("spectrum", "log_spectral_distance_db"), ("autocorrelation", "rms_difference")):
        assert getattr(getattr(ours, group), name) < getattr(getattr(shuffled, group), name)
    assert scores["ar"].free_run_deterministic.spectrum.slope is not None
    bar = data_against_itself(one).dynamics_train_vs_test
    assert 0 < bar.autocorrelation.rms_difference < 0.4 and bar.spectrum.units == 4


def test_spread_is_that_of_training_errors() -> None:
    x = autoregression(np.random.default_rng(5), 0.8, 5000, 3) * np.array([1, 10, 0.1])
    one = recording(x)
    expected = np.sqrt(2 * (1 - 0.8)) * np.array([1, 10, 0.1])
    assert np.allclose(training_spread(Persistence().one_step(one), one), expected, rtol=0.05)
    assert np.isnan(training_spread(np.full(x.shape, np.nan), one)).all()
