"""Noise of free runs from frames with gaps: conditional draws, whole frames where nothing is missing."""

from __future__ import annotations

import numpy as np

from connfit.evaluation.baselines.residual_gaps import fill_draws, pairwise_covariance
from connfit.evaluation.residual_noise import draw_noise


def correlated(frames: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = np.array([[1.0, 0.0, 0.0, 0.0], [0.9, 0.3, 0.0, 0.0], [0.5, 0.0, 0.8, 0.0], [-0.6, 0.0, 0.3, 0.7]])
    return rng.normal(size=(frames, 4)) @ mix.T * np.array([1.0, 3.0, 0.5, 2.0])


def test_complete_frames_are_drawn_whole() -> None:
    residuals = correlated(50)
    indices = np.random.default_rng((2005, 2)).integers(50, size=(3, 20))
    np.testing.assert_array_equal(draw_noise(residuals, 3, 20, "test"), residuals[indices])


def test_what_is_missing_keeps_the_covariance() -> None:
    whole = correlated(4000)
    rng = np.random.default_rng(1)
    residuals = np.where(rng.random(whole.shape) < 0.6, whole, np.nan)
    noise = draw_noise(residuals, 8, 2000, "test").reshape(-1, 4)
    assert np.isfinite(noise).all()
    # 4,000 frames with 40 % missing: a standard error of about 0.02 of a correlation.
    np.testing.assert_allclose(np.corrcoef(noise.T), np.corrcoef(whole.T), atol=0.06)
    np.testing.assert_allclose(noise.std(axis=0), whole.std(axis=0), rtol=0.05)


def test_draws_are_conditional_on_what_a_frame_has() -> None:
    whole = correlated(3000, 2)
    residuals = whole.copy()
    residuals[0, 1] = np.nan
    draws = fill_draws(residuals, np.zeros((1, 4000), int), np.random.default_rng(3))[0]
    np.testing.assert_array_equal(draws[:, [0, 2, 3]], np.tile(whole[0, [0, 2, 3]], (4000, 1)))
    covariance = np.cov(whole.T)
    others = [0, 2, 3]
    gain = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, 1])
    spread = np.sqrt(covariance[1, 1] - covariance[1, others] @ gain)
    assert abs(draws[:, 1].mean() - whole[0, others] @ gain) < 0.15 * spread
    assert abs(draws[:, 1].std() / spread - 1) < 0.1


def test_pairs_that_share_no_frame_have_no_correlation_and_the_matrix_stays_positive() -> None:
    residuals = correlated(60, 4)
    residuals[:30, 0] = np.nan
    residuals[30:, 1] = np.nan
    covariance = pairwise_covariance(residuals)
    assert np.linalg.eigvalsh(covariance).min() > 0
    np.testing.assert_allclose(np.diag(covariance), np.nanmean(residuals**2, axis=0))
    assert abs(covariance[0, 1]) < 0.1 * np.sqrt(covariance[0, 0] * covariance[1, 1])


def test_a_unit_without_residuals_gets_no_noise_and_stops_no_other() -> None:
    residuals = correlated(40, 5)
    residuals[:, 2] = np.nan
    noise = draw_noise(residuals, 2, 30, "test")
    assert not noise[..., 2].any()
    assert noise[..., [0, 1, 3]].all()
