"""Measures against known answers, and the invariances that they must have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.evaluation.metrics import (
    Quartiles,
    fc_corr,
    functional_connectivity,
    median_of,
    mse,
    quartiles,
    skill,
    std_ratios,
    unit_correlations,
    unit_skill,
)


def activity(seed: int, frames: int = 60, units: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlated values, a prediction and a reference."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(frames, 2)) @ rng.normal(size=(2, units)) + 0.5 * rng.normal(size=(frames, units))
    return values, values + 0.3 * rng.normal(size=values.shape), values + rng.normal(size=values.shape)


def holes(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed + 1000).random(shape) > 0.2


def test_mse_and_skill_by_hand() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    prediction, reference = values + np.array([[1.0, 0.0], [0.0, 1.0]]), values + 2.0
    assert mse(values, prediction).value == 0.5
    assert skill(values, prediction, reference).value == 1 - 0.5 / 4.0
    assert np.allclose(unit_skill(values, prediction, reference), 1 - 0.5 / 4.0)


def test_entries_not_observed_or_not_predicted_never_count() -> None:
    values, prediction, reference = activity(0)
    mask = holes(0, values.shape)
    wild = np.where(mask, values, np.nan)
    expected = np.mean((values[mask] - prediction[mask]) ** 2)
    assert mse(wild, prediction, mask).value == pytest.approx(expected)
    assert mse(values, np.where(mask, prediction, np.nan)).value == pytest.approx(expected)
    assert mse(values, np.where(mask, prediction, np.nan)).count == mask.sum()
    assert skill(np.where(mask, values, 1e9), prediction, reference, mask).value == pytest.approx(
        skill(values[mask], prediction[mask], reference[mask]).value
    )


def test_undefined_is_none_with_a_reason() -> None:
    values = np.ones((10, 3))
    nothing = np.zeros(values.shape, bool)
    for measured in (
        mse(values, values, nothing),
        skill(values, values, values),
        skill(values, values, values, nothing),
        fc_corr(functional_connectivity(values), functional_connectivity(values)),
        median_of(unit_correlations(values, values), "constant"),
        mse(values, np.full(values.shape, 1e200)),
    ):
        assert measured.value is None
        assert measured.reason
    assert quartiles(np.full(3, np.nan)) == Quartiles(excluded=3)


def test_fc_is_numpy_corrcoef_where_nothing_is_missing() -> None:
    values, _, _ = activity(1)
    assert np.allclose(functional_connectivity(values), np.corrcoef(values.T), atol=1e-12)


def test_fc_recovers_a_known_covariance() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    covariance = root @ root.T
    known = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    values = rng.multivariate_normal(np.zeros(6), covariance, size=40_000)
    # Standard error of a correlation is (1 - r^2) / sqrt(n) <= 0.005.
    assert np.abs(functional_connectivity(values) - known).max() < 0.025


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_fc_with_holes_is_pairwise_complete(seed: int) -> None:
    values, _, _ = activity(seed)
    mask = holes(seed, values.shape)
    matrix = functional_connectivity(np.where(mask, values, np.nan), mask)
    for i in range(5):
        for j in range(i):
            both = mask[:, i] & mask[:, j]
            assert matrix[i, j] == pytest.approx(np.corrcoef(values[both, i], values[both, j])[0, 1], abs=1e-9)


def test_constant_units_are_excluded_and_counted() -> None:
    values, prediction, _ = activity(2)
    values[:, 1] = 0.1
    first, second = functional_connectivity(values), functional_connectivity(prediction)
    assert np.isnan(first[1]).all()
    assert np.isnan(first[:, 1]).all()
    assert np.isfinite(np.delete(np.delete(first, 1, 0), 1, 1)).all()
    measured = fc_corr(first, second)
    keep = np.array([0, 2, 3, 4])
    assert measured.value == pytest.approx(fc_corr(first[np.ix_(keep, keep)], second[np.ix_(keep, keep)]).value)
    assert measured.excluded == 1
    assert measured.reason is not None
    assert "1 of 5" in measured.reason
    assert np.isnan(unit_correlations(values, prediction)[1])
    assert np.isnan(std_ratios(values, prediction)[1])


def test_pairs_that_hardly_overlap_are_undefined() -> None:
    values, _, _ = activity(2)
    mask = np.ones(values.shape, bool)
    mask[2:, 0] = False
    mask[:30, 1] = False
    mask[:28, 2] = mask[33:, 2] = False
    matrix = functional_connectivity(values, mask)
    assert np.isnan(matrix[0, 1])
    assert np.isnan(matrix[0, 3])
    assert np.isfinite(matrix[1, 2])
    assert np.isnan(unit_correlations(values, values, mask)[0])


@pytest.mark.parametrize("units", [1, 2])
def test_too_few_units_for_fc(units: int) -> None:
    matrix = functional_connectivity(activity(3)[0][:, :units])
    measured = fc_corr(matrix, matrix)
    assert measured.value is None
    assert measured.reason is not None
    assert "are needed" in measured.reason


def test_a_frozen_prediction_has_no_correlation_and_no_spread() -> None:
    values, _, _ = activity(4)
    still = np.tile(values.mean(axis=0), (len(values), 1))
    assert np.isnan(unit_correlations(values, still)).all()
    assert np.array_equal(std_ratios(values, still), np.zeros(5))


def test_std_ratio_and_correlation_of_a_scaled_copy() -> None:
    values, _, _ = activity(5)
    assert np.allclose(std_ratios(values, 3 * values + 7), 3)
    assert np.allclose(unit_correlations(values, 3 * values + 7), 1)
    assert np.allclose(unit_correlations(values, -values), -1)


@given(
    seed=st.integers(0, 10_000),
    gain=st.floats(1e-3, 1e3),
    offset=st.floats(-1e3, 1e3),
    unit=st.integers(0, 4),
)
@settings(max_examples=40, deadline=None)
def test_rescaling_a_unit_changes_neither_its_skill_nor_fc(seed: int, gain: float, offset: float, unit: int) -> None:
    arrays = activity(seed)
    mask = holes(seed, arrays[0].shape)
    rescaled = [array.copy() for array in arrays]
    for array in rescaled:
        array[:, unit] = gain * array[:, unit] + offset
    assert np.allclose(unit_skill(*arrays, mask), unit_skill(*rescaled, mask), rtol=1e-6, atol=1e-7)
    before, after = (functional_connectivity(one, mask) for one in (arrays[0], rescaled[0]))
    assert np.allclose(before, after, atol=1e-7)
    assert np.allclose(
        unit_correlations(*arrays[:2], mask), unit_correlations(rescaled[0], rescaled[1], mask), atol=1e-7
    )
    assert np.allclose(std_ratios(*arrays[:2], mask), std_ratios(rescaled[0], rescaled[1], mask), rtol=1e-6)


@given(seed=st.integers(0, 10_000), order=st.permutations(range(5)))
@settings(max_examples=25, deadline=None)
def test_permuting_units_permutes_the_results(seed: int, order: list[int]) -> None:
    arrays = activity(seed)
    mask = holes(seed, arrays[0].shape)
    moved = [array[:, order] for array in arrays]
    assert np.allclose(unit_skill(*moved, mask[:, order]), unit_skill(*arrays, mask)[order])
    matrix, shuffled = functional_connectivity(arrays[0], mask), functional_connectivity(moved[0], mask[:, order])
    assert np.allclose(shuffled, matrix[np.ix_(order, order)])
    other, other_moved = functional_connectivity(arrays[2], mask), functional_connectivity(moved[2], mask[:, order])
    assert fc_corr(matrix, other).value == pytest.approx(fc_corr(shuffled, other_moved).value)
    assert skill(*arrays, mask).value == pytest.approx(skill(*moved, mask[:, order]).value)


def test_fc_corr_of_itself_is_one_and_of_its_negative_minus_one() -> None:
    matrix = functional_connectivity(activity(6)[0])
    assert fc_corr(matrix, matrix).value == pytest.approx(1)
    assert fc_corr(matrix, -matrix).value == pytest.approx(-1)
    assert fc_corr(matrix, np.where(np.eye(5) > 0, 1.0, 0.3)).value is None


def test_the_median_unit_is_not_moved_by_one_that_is_far_off() -> None:
    found = median_of(np.array([0.1, 0.2, np.nan, -50.0, 0.3]), "constant")
    assert found.value == pytest.approx(0.15) and (found.count, found.excluded) == (4, 1)
