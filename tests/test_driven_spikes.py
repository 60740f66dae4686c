"""Free runs of neurons that spike, as analyses and the evaluation see them: against a network stepped by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from plain_spikes import FRAMES, NEURONS, SUBSTEPS, PlainSpikes, Spiking, spiking

from connfit.analysis.analysis_options import AnalysisOptions
from connfit.analysis.dynamics.fit_stability import examine_stability
from connfit.analysis.dynamics.simulated_activity import BURN_IN, driven_run
from connfit.analysis.fitted_brain import FittedBrain
from connfit.config import Config, DataConfig, EvaluateConfig
from connfit.evaluation.free_run import free_runs
from connfit.evaluation.residual_noise import Residuals, draw_noise
from connfit.models.perturb import per_rate
from connfit.models.rest import settle
from connfit.recordings import Recording
from connfit.training.fitted import Fit

SETTLE = 256


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


@pytest.mark.parametrize("cell", ["lif", "adaptive-lif"])
def test_analyses_count_the_spikes_of_all_steps_and_give_inputs(cell: str, tmp_path: Path, float64: None) -> None:
    of = spiking(cell)
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
    dark = spiking(cell)
    dark.params["inputs"] = 0 * dark.params["inputs"]
    without = driven_run(dark.forecaster, movie, warmup=0, seed=seed, residuals=Residuals(errors, "errors", 40))
    assert np.abs(without.mean - got.mean).max() > 0.1


def test_connectivity_of_free_runs_is_of_what_units_show_at_the_end_of_each_frame(float64: None) -> None:
    """As in training: of rates that follow the spikes of all steps, where the fit was scored."""
    of = spiking("adaptive-lif")
    movie, light = movie_and_light(of)
    start, stop = movie.require_parts()["test"].start, movie.require_parts()["test"].stop
    errors = 3 * np.random.default_rng(2).normal(size=(60, 3))
    config = EvaluateConfig(free_run_runs=1, free_run_warmup=10)
    driven, _ = free_runs(of.forecaster, movie, "test", Residuals(errors, "errors", 60), config)
    plain, limits = PlainSpikes(of), of.forecaster.limits(movie)
    for frame in range(start - 10, start):
        u = np.clip(movie.values[frame - 1], limits.low[:, 0], limits.high[:, 0])
        for _ in range(SUBSTEPS):
            plain.step(u, light=light[frame])
    noise = np.asarray(draw_noise(errors, 1, stop - start, "test"))[0]
    by_hand = driven_by_hand(of, plain, movie.values[start - 1], np.zeros(3), noise, light[start:stop])
    units = np.array([reading for _, reading in by_hand])
    np.testing.assert_allclose(driven.run[:], units, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(driven.connectivity, np.corrcoef(units.T), rtol=1e-4, atol=1e-4)
    here = np.triu_indices(3, 1)
    expected = np.corrcoef(np.corrcoef(movie.values[start:stop].T)[here], np.corrcoef(units.T)[here])[0, 1]
    assert driven.scores.fc_corr == pytest.approx(expected, abs=1e-3)


def test_rates_at_rest_are_of_many_steps(float64: None) -> None:
    of = spiking("adaptive-lif", drive="none")
    mean = of.cohort.mean_activity()
    plain = PlainSpikes(of)
    spikes = np.array([now for now, _ in plain.run(SETTLE + 2000, lambda _: None)])
    # Calls of 64 steps, of which the second half counts.
    rest = settle(of.model, of.params, steps=SETTLE, tolerance=0.0)
    np.testing.assert_allclose(rest.rates, spikes[SETTLE // 2 : SETTLE].mean(axis=0))
    options = AnalysisOptions(eigenvalues=2, lyapunov_steps=50)
    found = examine_stability(of.model, of.params, None, mean, options).rest
    counts = spikes[SETTLE + 64 * (32 // 2) :].sum(axis=0)
    assert found.mean_rate == pytest.approx(counts.mean() / (len(spikes) - SETTLE - 1024) / per_rate(of.model))
    assert found.silent == (counts == 0).sum() and 0 < (counts == 0).sum() < NEURONS


def test_sources_say_what_is_counted(tmp_path: Path, float64: None) -> None:
    of = spiking("lif")
    fit = Fit(of.model, of.params, of.params, of.cohort, ())
    brain = FittedBrain(fit, of.brain, Config(data=DataConfig(dataset="worm")), AnalysisOptions(neurons=10), tmp_path)
    assert brain.neurons_in_words == "a sample of 10 neurons (spikes in each frame of 100 ms)"
