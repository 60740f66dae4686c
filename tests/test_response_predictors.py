"""What wiring and recordings say of responses, against dense matrices and fitted regressions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from networks import random_connectome
from small import UNITS, teacher

from connfit.analysis.measured.recording_predictors import impulse_response, recording_predictors, single_units
from connfit.analysis.measured.wiring_predictors import (
    count_matrix,
    distances,
    paths,
    spectral_radius,
    wiring_predictors,
)
from connfit.config import EvaluateConfig
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.models import Readout
from connfit.recordings.cohort import Cohort
from connfit.recordings.training_deviation import typical_deviation, unit_deviations


def test_wiring_predictors_are_those_of_dense_matrices() -> None:
    brain = random_connectome(np.random.default_rng(3), 15, 3, electrical=5)
    signed, counts = np.zeros((2, 15, 15))
    np.add.at(signed, (brain.posts, brain.indices), brain.counts * brain.connection_signs)
    np.add.at(counts, (brain.posts, brain.indices), brain.counts)
    stimulated, responding = (one.ravel() for one in np.meshgrid([2, 7, 11], np.arange(15), indexing="ij"))
    found = {each.name: each.values for each in wiring_predictors(brain, stimulated, responding)}
    radius = np.abs(np.linalg.eigvals(counts)).max()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def resolvent(matrix: np.ndarray, weight: float) -> np.ndarray:
        return np.linalg.inv(np.eye(15) - weight * matrix) - np.eye(15)

    dense = {
        "synapses": signed, "two_steps": counts / radius + counts @ counts / radius**2,
        "paths_0.5": resolvent(shares, 0.5) / 0.5, "resolvent_0.6": resolvent(counts, 0.6 / radius),
        "signed_resolvent_0.9": resolvent(signed, 0.9 / radius),
    }  # fmt: skip
    for name, matrix in dense.items():
        # The spectral radius is found by 60 steps of power iteration, good to about 1e-3 in so small a graph.
        np.testing.assert_allclose(found[name], matrix[responding, stimulated], rtol=2e-2, atol=1e-2 * matrix.max())
    assert spectral_radius(count_matrix(brain)) == pytest.approx(radius, rel=1e-3)


def test_distances_are_counted_in_the_direction_of_connections() -> None:
    """n0 -> n1 -> n2 -> n3, and nothing back."""
    from connfit.connectome import from_pairs

    table = pd.DataFrame({"id": ["a", "b", "c", "d"]}).assign(type="", region="", transmitter="", side="")
    line = from_pairs("line", np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([9, 9, 9]), np.ones(4, int), table)
    got = distances(line, np.array([0, 0, 0, 3]), np.array([1, 2, 3, 0]))
    np.testing.assert_array_equal(got, [1, 2, 3, np.inf])
    assert spectral_radius(count_matrix(line)) == 0.0
    assert not [each for each in wiring_predictors(line, np.array([0]), np.array([1])) if "resolvent" in each.name]
    assert paths(count_matrix(line), np.eye(4)[:, :1], 1.0).ravel().tolist() == [0, 9, 81, 729]


def test_an_impulse_response_is_that_of_the_fitted_autoregression() -> None:
    _, movies = teacher()
    got = impulse_response(movies[0], np.array([1, 4]), 3, EvaluateConfig())
    process = VarRidge.fit(movies[0], EvaluateConfig()).process
    blocks = np.asarray(process.coefficients).reshape(process.lags, UNITS, UNITS)
    values = [np.eye(UNITS)]
    for step in (1, 2):
        last = min(step, process.lags)
        values.append(np.sum([blocks[lag].T @ values[step - 1 - lag] for lag in range(last)], axis=0))
    np.testing.assert_allclose(got, np.mean(values, axis=0)[:, [1, 4]], rtol=1e-10)


def test_recording_predictors_know_only_pairs_that_were_recorded_together() -> None:
    brain, movies = teacher()
    second = movies[1].select_units(["n0", "n1", "n2"])
    cohort = Cohort.from_recordings((movies[0].select_units(["n0", "n1", "n5"]), second))
    readout = Readout.by_name(brain, cohort.units)
    assert (single_units(readout) >= 0).sum() == len(cohort.units)
    pairs = np.array([[0, 1], [0, 5], [2, 5], [0, 9]])
    fc, impulse = recording_predictors(cohort, readout, brain, pairs[:, 0], pairs[:, 1], window_s=2.0)
    np.testing.assert_array_equal(np.isfinite(fc.values), [True, True, False, False])
    np.testing.assert_array_equal(np.isfinite(impulse.values), [True, True, False, False])
    parts = [movie.part("train")[0] for movie in movies]
    both = [np.corrcoef(part[:, 0], part[:, 1])[0, 1] for part in parts]
    # Values of recordings are of single precision.
    assert fc.values[0] == pytest.approx(np.tanh(np.mean(np.arctanh(both))), abs=1e-4)


def test_a_deviation_is_that_of_observed_frames_whatever_the_recording_lacks() -> None:
    rng = np.random.default_rng(2)
    _, movies = teacher()
    one, two = movies[0].select_units(["n0", "n1", "n2"]), movies[1].select_units(["n1", "n2", "n3"])
    mask = rng.random(one.mask.shape) < 0.8
    mask[:, 2] = False
    first = replace(one, mask=mask)
    seen = first.part("train")
    a = [float(seen[0][seen[1][:, k], k].astype(float).var()) for k in range(2)]
    b = two.part("train")[0].astype(float).var(axis=0)
    wanted = [a[0] ** 0.5, ((a[1] + b[0]) / 2) ** 0.5, b[1] ** 0.5, b[2] ** 0.5]
    cohort = Cohort.from_recordings((first, two))
    assert cohort.units == ("n0", "n1", "n2", "n3")
    # Sums in double precision.
    np.testing.assert_allclose(unit_deviations(cohort), wanted, rtol=1e-10)
    assert typical_deviation(cohort) == pytest.approx(float(np.median(wanted)), rel=1e-10)
    nothing = Cohort.from_recordings((replace(one, mask=np.zeros_like(mask)),))
    assert np.isnan(unit_deviations(nothing)).all() and typical_deviation(nothing) == 1.0
