"""Free runs of neurons that spike, as analyses and the evaluation see them: against a network stepped by hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from plain_spikes import FRAMES, NEURONS, STEP_S, SUBSTEPS, PlainSpikes, Spiking, spiking

from connfit.analysis.analysis_options import AnalysisOptions
from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.dynamics.fit_stability import SURROGATE_SLOPE, Stability, examine_stability
from connfit.analysis.dynamics.simulated_activity import BURN_IN, driven_run
from connfit.analysis.findings import sentences
from connfit.analysis.fitted_brain import FittedBrain
from connfit.analysis.spiking.fitted_spikes import fitted_spikes
from connfit.config import Config, DataConfig, EvaluateConfig
from connfit.evaluation.free_run import free_runs
from connfit.evaluation.residual_noise import Residuals, draw_noise
from connfit.models.perturb import per_rate
from connfit.models.rest import settle
from connfit.recordings import Recording
from connfit.training.fitted import Fit

SETTLE, WARMUP = 256, 10


def driven_by_hand(
    of: Spiking, plain: PlainSpikes, reading: np.ndarray, beyond: np.ndarray, noise: np.ndarray, light: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Spikes of all steps and what units show, noise included, frame by frame: they are shown that in the next one."""
    limits = of.forecaster.limits(of.cohort.recordings[0])
    low, high = limits.low[:, 0], limits.high[:, 0]
    for added, lit in zip(noise, light, strict=True):
        shown = np.clip(reading, low, high)
        beyond = reading - shown
        spikes = np.array([now for now, _ in plain.run(SUBSTEPS, lambda _, shown=shown: shown, light=lit)])
        reading = plain.shown + beyond + added
        yield spikes, reading


def movie_and_light(of: Spiking) -> tuple[Recording, np.ndarray]:
    """The recording, and its input one frame before each frame, in standard deviations of training; 0 before it."""
    movie = of.cohort.recordings[0]
    assert movie.inputs is not None
    light, train = movie.inputs.values[:, 0], movie.require_parts()["train"]
    standard = (light - light[train].mean()) / light[train].std()
    return movie, np.append(0.0, standard[:-1])


def test_analyses_count_the_spikes_of_all_steps_and_give_inputs(tmp_path: Path, float64: None) -> None:
    of = spiking("lif")
    movie, light = movie_and_light(of)
    errors = 3 * np.random.default_rng(1).normal(size=(40, 3))
    kept, seed = np.arange(1, NEURONS, 2), (5, 0)
    got = driven_run(
        of.forecaster, movie, warmup=0, seed=seed, neurons=kept, scratch=tmp_path / "kept",
        residuals=Residuals(errors, "errors", 40),
    )  # fmt: skip
    drawn = np.random.default_rng(seed).integers(40, size=BURN_IN + FRAMES)
    plain, mean = PlainSpikes(of), of.cohort.mean_activity()
    for _ in range(SETTLE):
        plain.step(mean)
    lit = np.append(np.zeros(BURN_IN), light)
    frames = driven_by_hand(of, plain, mean, np.zeros(3), errors[drawn], lit)
    spikes, units = zip(*list(frames)[BURN_IN:], strict=True)
    # Single precision, in which noise is.
    np.testing.assert_allclose(got.units, np.array(units), rtol=1e-5, atol=1e-4)
    counts = np.array(spikes).sum(axis=1)
    assert got.neurons is not None and counts[:, kept].max() > 1 and (counts[:, kept] > 0).any(axis=0).sum() > 4
    np.testing.assert_array_equal(got.neurons, counts[:, kept])
    np.testing.assert_allclose(got.mean, counts.mean(axis=0) * movie.frame_rate)
    np.testing.assert_allclose(got.deviation, counts.std(axis=0) * movie.frame_rate, atol=1e-6)
    # The input matters: without it the run is another.
    dark = spiking("lif")
    dark.params["inputs"] = 0 * dark.params["inputs"]
    without = driven_run(dark.forecaster, movie, warmup=0, seed=seed, residuals=Residuals(errors, "errors", 40))
    assert np.abs(without.mean - got.mean).max() > 0.1


@cache
def scored_by_hand() -> tuple[Spiking, np.ndarray, np.ndarray, Residuals]:
    """The free run of the test part that is scored and whose spikes are described, and what noise is drawn from.

    Spikes are [frames, steps, N], units [frames, P].
    """
    of = spiking("adaptive-lif")
    movie, light = movie_and_light(of)
    part = movie.require_parts()["test"]
    errors = 3 * np.random.default_rng(2).normal(size=(60, 3))
    plain, limits = PlainSpikes(of), of.forecaster.limits(movie)
    for frame in range(part.start - WARMUP, part.start):
        u = np.clip(movie.values[frame - 1], limits.low[:, 0], limits.high[:, 0])
        for _ in range(SUBSTEPS):
            plain.step(u, light=light[frame])
    noise = np.asarray(draw_noise(errors, 1, part.stop - part.start, "test"))[0]
    by_hand = driven_by_hand(of, plain, movie.values[part.start - 1], np.zeros(3), noise, light[part])
    spikes, units = map(np.array, zip(*by_hand, strict=True))
    return of, spikes, units, Residuals(errors, "errors", 60)


def test_connectivity_is_that_of_what_units_show(float64: None) -> None:
    """As in training: what units show at the end of a frame follows the spikes of all its steps."""
    of, _, units, residuals = scored_by_hand()
    movie = of.cohort.recordings[0]
    config = EvaluateConfig(free_run_runs=1, free_run_warmup=WARMUP)
    driven, _ = free_runs(of.forecaster, movie, "test", residuals, config)
    np.testing.assert_allclose(driven.run[:], units, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(driven.connectivity, np.corrcoef(units.T), rtol=1e-4, atol=1e-4)
    here = np.triu_indices(3, 1)
    data = np.corrcoef(movie.values[movie.require_parts()["test"]].T)[here]
    assert driven.scores.fc_corr == pytest.approx(np.corrcoef(data, np.corrcoef(units.T)[here])[0, 1], abs=1e-3)


def test_spikes_are_described_as_they_are(float64: None) -> None:
    of, spikes, _, residuals = scored_by_hand()
    movie, trains = of.cohort.recordings[0], spikes.reshape(-1, NEURONS)
    found, own = fitted_spikes(
        of.forecaster, movie, of.brain, residuals, warmup=WARMUP, seconds=60, neurons=NEURONS, seed=0
    )  # fmt: skip
    counts, seconds = trains.sum(axis=0), len(trains) * STEP_S
    assert (found.steps, found.seconds, found.bin_ms) == (len(trains), pytest.approx(seconds), pytest.approx(10))
    np.testing.assert_array_equal(own.counts, counts)
    assert found.rate_hz.mean == pytest.approx(counts.mean() / seconds) and found.silent == (counts == 0).sum()
    for neuron in range(NEURONS):
        intervals = np.diff(np.flatnonzero(trains[:, neuron]))
        if len(intervals) < 10:
            assert np.isnan(own.cv[neuron]) and np.isnan(own.cv2[neuron])
            continue
        assert own.cv[neuron] == pytest.approx(intervals.std() / intervals.mean())
        near = 2 * np.abs(np.diff(intervals)) / (intervals[1:] + intervals[:-1])
        assert own.cv2[neuron] == pytest.approx(near.mean())
    assert found.intervals.neurons == np.isfinite(own.cv).sum() > 2
    binned = trains.reshape(-1, 2, NEURONS).sum(axis=1)[:, counts > 0]
    chi = np.sqrt(binned.mean(axis=1).var() / binned.var(axis=0).mean())
    assert found.synchrony.chi == pytest.approx(chi)
    for row in found.raster.rows:
        np.testing.assert_array_equal(row.steps, np.flatnonzero(trains[:, list(of.brain.ids).index(row.id)]))
    assert len(found.raster.rows) == (counts > 0).sum()
    # The shortest interval: the current and the threshold let a neuron spike one step after the refractory time.
    assert found.limit_hz == pytest.approx(1 / (3 * STEP_S))


def test_rates_at_rest_are_of_many_steps(float64: None) -> None:
    of = spiking("adaptive-lif", drive="none")
    mean = of.cohort.mean_activity()
    plain = PlainSpikes(of)
    spikes = np.array([now for now, _ in plain.run(SETTLE + 2000, lambda _: None)])
    # Calls of 64 steps, of which the second half counts.
    rest = settle(of.model, of.params, steps=SETTLE, tolerance=0.0)
    np.testing.assert_allclose(rest.rates, spikes[SETTLE // 2 : SETTLE].mean(axis=0))
    options = AnalysisOptions(eigenvalues=2, lyapunov_steps=50)
    stability = examine_stability(of.model, of.params, None, mean, options)
    found = stability.rest
    counts = spikes[SETTLE + 64 * (32 // 2) :].sum(axis=0)
    assert found.mean_rate == pytest.approx(counts.mean() / (len(spikes) - SETTLE - 1024) / per_rate(of.model))
    assert found.silent == (counts == 0).sum() and 0 < (counts == 0).sum() < NEURONS
    # Derivatives are a surrogate's.
    assert stability.spikes and stability.weights is not None and set(stability.reasons.values()) == {SURROGATE_SLOPE}
    assert stability.jacobian_closed is stability.jacobian_open is stability.lyapunov_free is None
    (said,) = sentences("stability")(Analysis(stability=Stability(before=stability, after=stability)))
    assert f"ends at {found.mean_rate:.3g} Hz on average, {found.silent} neurons silent." in said
    assert "Jacobians describe" not in said


def test_sources_say_what_is_counted(tmp_path: Path, float64: None) -> None:
    of = spiking("lif")
    fit = Fit(of.model, of.params, of.params, of.cohort, ())
    brain = FittedBrain(fit, of.brain, Config(data=DataConfig(dataset="worm")), AnalysisOptions(neurons=10), tmp_path)
    assert brain.neurons_in_words == "a sample of 10 neurons (spikes in each frame of 100 ms)"
