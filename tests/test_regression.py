"""The start by regression: known coefficients come back, and the model that starts there predicts what they predict."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import random_connectome

from connfit import config as configuration
from connfit.cohort import Cohort
from connfit.config import Config, DataConfig
from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.models import RateModel, Readout, initial_parameters, regression_start
from connfit.models.forward import predict
from connfit.models.regression import RegressionStart, even_rates, loop_growth
from connfit.recording import Recording
from connfit.run import prepare

pytestmark = pytest.mark.usefixtures("float64")

NEURONS, UNITS = 30, 5
OWN = np.array([0.3, 0.5, 0.6, 0.7, 0.8])
LEVEL = np.array([4.0, 5.0, 6.0, 5.0, 4.0])
RNG = np.random.default_rng(0)
BRAIN = random_connectome(RNG, NEURONS, 6)
READS = np.zeros((UNITS, NEURONS))
for unit in range(UNITS):
    READS[unit, 5 * unit : 5 * unit + 7] = RNG.random(len(READS[unit, 5 * unit : 5 * unit + 7])) + 0.2
READOUT = Readout(sp.csr_array(READS), tuple("abcde"))
INVERSE = np.linalg.pinv(READOUT.matrix.toarray())


def couplings(brain: Connectome) -> np.ndarray:
    """C W K of excitatory and of inhibitory connections, by dense matrices."""
    w = brain.matrix(brain.counts.astype(float)).toarray()
    return np.stack([READOUT.matrix.toarray() @ (np.where(w * sign > 0, w, 0)) @ INVERSE for sign in (1, -1)])


FACTORS = 0.1 / np.abs(couplings(BRAIN)).sum(axis=2).max(axis=1)


def simulated(frames: int = 40_000, seed: int = 1) -> Recording:
    """Units whose next frame is exactly what the regression supposes, plus noise."""
    rng = np.random.default_rng(seed)
    step = np.diag(OWN) + np.tensordot(FACTORS, couplings(BRAIN), 1)
    z = np.zeros((frames, UNITS))
    for t in range(1, frames):
        z[t] = step @ z[t - 1] + rng.normal(0, 0.1, UNITS)
    return Recording("r", LEVEL + z, READOUT.unit_names, 1.0).split(train=0.8, validation=0.1)


RECORDING = simulated()


def begin(model: RateModel, recording: Recording = RECORDING) -> RegressionStart:
    return regression_start(
        model, BRAIN, READOUT, jnp.asarray(BRAIN.counts, float), Cohort.of([recording]).training_frames(),
        time_constant_s=0.2,
    )  # fmt: skip


def model_of(drive: str = "dense", state_forcing: float = 1.0) -> RateModel:
    return RateModel.of(BRAIN, READOUT, step_s=1.0, drive=drive, state_forcing=state_forcing)


def test_known_coefficients_come_back() -> None:
    found = begin(model_of()).regression
    # 32,000 frames: standard errors are about 0.003 of a coefficient of a unit, 0.04 of a shared factor's size.
    np.testing.assert_allclose(found.own, OWN, atol=0.015)
    assert found.factors == pytest.approx(FACTORS, rel=0.2)
    by_neuron = found.per_neuron()
    assert set(np.round(by_neuron[np.asarray(BRAIN.signs) > 0], 12)) == {round(found.factors[0], 12)}
    assert set(np.round(by_neuron[np.asarray(BRAIN.signs) < 0], 12)) == {round(found.factors[1], 12)}


def test_without_state_forcing_connections_see_the_frame_before() -> None:
    """What acts one frame later than the simulation's coupling explains less of it."""
    assert begin(model_of(state_forcing=0.0)).regression.factors.sum() < begin(model_of()).regression.factors.sum()


@pytest.mark.parametrize("drive", ["dense", "none"])
def test_the_untrained_model_predicts_what_the_regression_predicts(drive: str) -> None:
    model = model_of(drive)
    start = begin(model)
    cohort = Cohort.of([RECORDING])
    mean = cohort.mean_activity()
    params = initial_parameters(model, BRAIN, READOUT, drive_start="regression", regression=start, mean_activity=mean)
    given = RECORDING.values[:200, :, None]
    y = np.asarray(predict(model, params, jnp.zeros((NEURONS, 1)), given, jnp.ones(given.shape, bool))[1])[:, :, 0]
    step = np.diag(start.regression.own) + start.stable_share * np.tensordot(
        start.regression.factors, couplings(BRAIN), 1
    )
    expected = mean + (RECORDING.values[:200] - mean) @ step.T
    error = (y - expected)[50:].std(axis=0) / (expected - RECORDING.values[:200])[50:].std(axis=0)
    # With a drive all time constants are short and only what rates remember, exp(-5) of them, is left over. Without,
    # a neuron of two units has a time constant between theirs.
    assert (error < (0.05 if drive == "dense" else 0.5)).all(), error
    settled = np.full((100, UNITS, 1), mean[:, None])
    y = np.asarray(predict(model, params, jnp.zeros((NEURONS, 1)), settled, jnp.ones(settled.shape, bool))[1])
    np.testing.assert_allclose(y[-1, :, 0], mean, rtol=1e-6)


def test_a_loop_that_would_remember_too_long_is_weakened() -> None:
    model = model_of()
    cohort = Cohort.of([RECORDING])
    strong = regression_start(
        model, BRAIN, READOUT, jnp.asarray(BRAIN.counts, float), cohort.training_frames(), time_constant_s=0.2
    )
    decay = jnp.full(NEURONS, np.exp(-5.0))

    def growth(share: float) -> float:
        shares = model.fixed_readout
        assert shares is not None
        return float(
            loop_growth(model, strong.magnitudes / strong.stable_share, decay, strong.drive, shares, jnp.asarray(share))
        )

    wanted = max(strong.regression.persistence, growth(0.0))
    assert growth(strong.stable_share) <= wanted + 1e-3
    assert strong.stable_share == 1 or growth(1.0) > wanted
    # The growth itself: the largest eigenvalue of the loop, by dense matrices.
    w = BRAIN.matrix(np.asarray(strong.magnitudes)).toarray()
    e = np.asarray(strong.drive)
    loop = np.exp(-5.0) * np.eye(NEURONS) + (1 - np.exp(-5.0)) * (w + e @ READOUT.matrix.toarray())
    assert growth(strong.stable_share) == pytest.approx(np.abs(np.linalg.eigvals(loop)).max(), rel=0.01)


def test_missing_frames_have_no_influence() -> None:
    rng = np.random.default_rng(2)
    seen = rng.random(RECORDING.values.shape) > 0.1
    gaps = Recording("r", np.where(seen, RECORDING.values, np.nan), READOUT.unit_names, 1.0, mask=seen)
    wrong = Recording("r", np.where(seen, RECORDING.values, 1e6), READOUT.unit_names, 1.0, mask=seen)
    first, second = (begin(model_of(), one.split(train=0.8, validation=0.1)).regression for one in (gaps, wrong))
    np.testing.assert_array_equal(first.own, second.own)
    np.testing.assert_array_equal(first.factors, second.factors)
    np.testing.assert_allclose(first.own, OWN, atol=0.05)


def test_rates_at_the_mean_are_read_out_as_the_mean() -> None:
    rates = even_rates(READOUT, LEVEL)
    np.testing.assert_allclose(READOUT.matrix @ rates, LEVEL, rtol=1e-12)
    assert rates.min() > 0
    np.testing.assert_allclose(even_rates(READOUT, np.full(UNITS, 3.0)), 3.0, rtol=1e-12)


def test_all_starts_of_the_demo_run() -> None:
    def job(*sets: str):
        return prepare(configuration.override(Config(data=DataConfig(dataset="demo")), sets))

    regressed = job("model.drive_start=regression", "model.state_forcing=1.0")
    gains = job("model.drive_start=regression", "model.state_forcing=1.0", "model.strengths=gain_per_neuron")
    np.testing.assert_allclose(gains.model.magnitudes(gains.params), regressed.params["weights"], rtol=1e-6, atol=1e-9)
    spread = job("model.drive_start=regression", "model.weight_spread=0.5")
    assert np.std(np.log(np.asarray(spread.params["weights"])[np.asarray(spread.params["weights"]) > 0])) > 0.3
    with pytest.raises(ConfigError, match=r"data\.substeps"):
        job("model.drive_start=regression", "data.substeps=2")
    with pytest.raises(ConfigError, match="regression_start"):
        initial_parameters(model_of(), BRAIN, READOUT, drive_start="regression")
