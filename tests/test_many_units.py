"""Starts of brains of many units: the same numbers without matrices of all pairs of units."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import random_connectome
from small import first_fast

from connfit.connectome import Connectome
from connfit.models import RateModel, Readout
from connfit.models.forward import correct
from connfit.models.init.persistence_drive import persistence_drive
from connfit.models.init.regression_start import RegressionStart, open_rates, regression_start
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort

pytestmark = pytest.mark.usefixtures("float64")

NEURONS, UNITS = 90, 60
BRAIN = random_connectome(np.random.default_rng(0), NEURONS, 6)


@pytest.fixture
def of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("readout", "init.regression_start", "init.persistence_drive", "init.persistence_start"):
        monkeypatch.setattr(f"connfit.models.{module}.MANY_UNITS", 10)


def readout(kind: str) -> Readout:
    rng = np.random.default_rng(1)
    if kind == "shared":
        matrix = np.where(rng.random((UNITS, NEURONS)) < 0.05, rng.random((UNITS, NEURONS)), 0) + np.eye(UNITS, NEURONS)
    else:
        matrix = np.zeros((UNITS, NEURONS))
        of = np.arange(UNITS) if kind == "single" else np.arange(NEURONS) % UNITS
        matrix[of, rng.permutation(NEURONS)[: len(of)]] = rng.random(len(of)) + 0.5
    return Readout(sp.csr_array(matrix), tuple(f"u{k}" for k in range(UNITS)))


def recorded(kind: str, frames: int, missing: bool) -> list[Recording]:
    rng, read = np.random.default_rng(2), readout(kind).matrix.toarray()
    values = np.zeros((frames, UNITS))
    wired = read @ BRAIN.matrix(BRAIN.counts.astype(float)).toarray() @ read.T
    wired *= 0.5 / np.linalg.norm(wired, 2)
    for t in range(1, frames):
        values[t] = 0.4 * values[t - 1] + wired @ values[t - 1] + 0.3 * rng.normal(size=UNITS)
    mask = rng.random(values.shape) > 0.1 if missing else None
    names = tuple(f"u{k}" for k in range(UNITS))
    return [Recording("a", 2 + values, names, 1.0, mask=mask).split()]


def start(
    kind: str, recordings: list[Recording], drive: str, ridge: float, brain: Connectome = BRAIN, forcing: float = 1.0
) -> RegressionStart:
    model = RateModel.from_connectome(brain, readout(kind), step_s=1.0, drive=drive, state_forcing=forcing)
    training = Cohort.from_recordings(recordings).training_frames()
    return regression_start(
        model, brain, readout(kind), jnp.asarray(brain.counts, float), training,
        time_constant_s=0.5, drive_ridge=ridge, own_shrinkage=0.25,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "frames", "missing", "drive", "ridge"),
    first_fast(
        [
            ("several", 400, True, "dense", 100.0),
            ("shared", 80, False, "dense", 100.0),
            ("several", 400, False, "none", 0.0),
            ("single", 80, False, "anatomical", 0.0),
            ("single", 80, False, "dense", 100.0),
            ("several", 80, True, "dense", 100.0),
        ],
        2,
    ),
)
def test_a_start_by_regression_is_that_of_matrices_of_all_pairs(
    kind: str, frames: int, missing: bool, drive: str, ridge: float, request: pytest.FixtureRequest
) -> None:
    recordings = recorded(kind, frames, missing)
    few = start(kind, recordings, drive, ridge)
    request.getfixturevalue("of_many")
    many = start(kind, recordings, drive, ridge)
    np.testing.assert_allclose(many.own, few.own, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(many.factors, few.factors, rtol=1e-5, atol=1e-12)
    assert many.growth == pytest.approx(few.growth, rel=1e-5)
    assert many.factors.any()
    if few.drive is not None:
        np.testing.assert_allclose(many.drive, few.drive, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["single", "several"])
@pytest.mark.parametrize("forcing", [0.5, 1.75])
def test_so_it_is_with_gap_junctions_and_states_that_follow_in_part(
    kind: str, forcing: float, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    brain = random_connectome(np.random.default_rng(0), NEURONS, 6, electrical=60)
    recordings = recorded(kind, 200, missing=False)
    few = start(kind, recordings, "dense", 0.0, brain, forcing)
    request.getfixturevalue("of_many")
    monkeypatch.setattr("connfit.models.init.own_response.UNITS_AT_A_TIME", 13)
    many = start(kind, recordings, "dense", 0.0, brain, forcing)
    np.testing.assert_allclose(many.own, few.own, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(many.factors, few.factors, rtol=1e-5, atol=1e-12)
    assert many.factors.any()


@pytest.mark.parametrize("kind", ["single", "several", "shared"])
def test_so_are_the_drive_of_persistence_and_open_rates(kind: str, request: pytest.FixtureRequest) -> None:
    mean = np.random.default_rng(3).random(UNITS) + 1
    few = persistence_drive(readout(kind)), open_rates(readout(kind), mean)
    request.getfixturevalue("of_many")
    many = persistence_drive(readout(kind)), open_rates(readout(kind), mean)
    np.testing.assert_allclose(many[0].toarray(), few[0].toarray(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(many[1], few[1], rtol=1e-9)


def test_state_forcing_is_that_of_matrices_of_all_pairs(request: pytest.FixtureRequest) -> None:
    rng = np.random.default_rng(4)
    rates, given = jnp.asarray(rng.random((NEURONS, 2))), jnp.asarray(rng.random((UNITS, 2)))
    forced, dimensions = jnp.asarray(rng.random((UNITS, 2)) < 0.7), []

    def corrected() -> np.ndarray:
        model = RateModel.from_connectome(BRAIN, readout("several"), step_s=1.0, state_forcing=0.5)
        assert model.correction is not None
        dimensions.append(model.correction.overlap.ndim)
        return np.asarray(correct(model, (rates,), given, forced)[0])

    few = corrected()
    request.getfixturevalue("of_many")
    np.testing.assert_allclose(corrected(), few, rtol=1e-9, atol=1e-12)
    assert np.abs(few - rates).max() > 0.01 and dimensions == [2, 1]
