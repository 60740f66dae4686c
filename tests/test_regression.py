"""The start by regression: known coefficients come back, and the model that starts there predicts what they predict."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import predict, random_connectome

from connfit import config as configuration
from connfit.config import Config, DataConfig, ModelConfig
from connfit.errors import ConfigError
from connfit.models import RateModel, Readout, init_params, regression_start
from connfit.models.cells.rate import Rate
from connfit.models.cells.rate_calcium import RateCalcium
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.init.centred_frames import CentredFrames
from connfit.models.init.regression_start import OPEN, RegressionStart, open_rates
from connfit.models.init.response import LinearBrain
from connfit.models.init.unit_coupling import ROOM
from connfit.models.observation import observe
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.training.problem import prepare

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


ALPHA = np.exp(-5.0)
"""Decay of a neuron whose time constant is 0.2 frames."""


def wiring(magnitudes: np.ndarray) -> np.ndarray:
    return BRAIN.matrix(magnitudes).toarray()


STRENGTHS = 0.4 / np.abs(wiring(BRAIN.counts.astype(float))).sum(axis=1).max() * np.array([1.0, 0.6])
"""Factors of excitatory and of inhibitory synapse counts: no neuron receives more than 0.4 of its inputs' rates."""

BY_PRE = np.where(np.asarray(BRAIN.signs) > 0, *STRENGTHS)
C = READOUT.matrix.toarray()


@lru_cache
def simulated(frames: int = 40_000, seed: int = 1, state_forcing: float = 1.0) -> Recording:
    """Units that follow the model's own equations about the mean, by dense matrices, plus noise."""
    rng = np.random.default_rng(seed)
    w, correct = wiring(BRAIN.counts * BY_PRE[BRAIN.indices]), state_forcing * INVERSE
    r, u, kept = np.zeros(NEURONS), np.zeros(UNITS), np.zeros((frames, UNITS))
    for t in range(frames):
        r = r + correct @ (u - C @ r)
        r = ALPHA * r + (1 - ALPHA) * (w @ r) + INVERSE @ (OWN * u)
        kept[t] = u = C @ r + rng.normal(0, 0.1, UNITS)
    return Recording("r", LEVEL + kept, READOUT.unit_names, 1.0).split(train=0.8, validation=0.1)


def begin(model: RateModel, recording: Recording | None = None, ridge: float | None = None) -> RegressionStart:
    cohort = Cohort.from_recordings([recording or simulated()])
    return regression_start(
        model, BRAIN, READOUT, jnp.asarray(BRAIN.counts, float), cohort.training_frames(),
        time_constant_s=0.2, drive_ridge=ridge,
    )  # fmt: skip


def model_of(drive: str = "dense", state_forcing: float = 1.0) -> RateModel:
    return RateModel.from_connectome(BRAIN, READOUT, step_s=1.0, drive=drive, state_forcing=state_forcing)


@pytest.mark.parametrize("state_forcing", [1.0, pytest.param(0.5, marks=pytest.mark.slow), 1.5])
def test_known_coefficients_come_back(state_forcing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # The largest eigenvalue of the simulation is just above the autocorrelation of its first component.
    monkeypatch.setattr("connfit.models.init.regression_start._slowest", lambda _: 1.0)
    recording = simulated() if state_forcing == 1 else simulated(state_forcing=state_forcing)
    found = begin(model_of(state_forcing=state_forcing), recording)
    # 32,000 frames: standard errors are about 0.005 of a unit's own past, and 5 % of a factor that all units share.
    np.testing.assert_allclose(found.own, OWN, atol=0.02)
    assert found.factors == pytest.approx(STRENGTHS, rel=0.15)
    np.testing.assert_allclose(
        found.magnitudes, BRAIN.counts * np.where(np.asarray(BRAIN.signs) > 0, *found.factors)[BRAIN.indices]
    )


@pytest.mark.parametrize("drive", ["dense", "anatomical", "none"])
def test_the_untrained_model_beats_units_by_themselves(drive: str) -> None:
    model = model_of(drive)
    recording = simulated()
    start, cohort = begin(model), Cohort.from_recordings([recording])
    mean = cohort.mean_activity()
    params = init_params(model, BRAIN, READOUT, drive_start="regression", regression=start, mean_activity=mean)
    frames = slice(30_000, 31_000)
    given = recording.values[frames, :, None]
    settled = np.asarray(open_rates(READOUT, mean))[:, None]
    forced = jnp.ones(given.shape, bool)
    y = np.asarray(predict(model, params, jnp.asarray(settled), given, forced)[1])[:-1, :, 0]
    ahead, before = recording.values[frames][1:] - mean, recording.values[frames][:-1] - mean
    alone = before * (before * ahead).sum(axis=0) / (before**2).sum(axis=0)
    wins = (ahead - (y - mean)).var(axis=0).sum() / (ahead - alone).var(axis=0).sum()
    # The simulation's noise is what no model can predict. With a dense drive the model's class holds the simulation.
    noise = len(OWN) * 0.01 / (ahead - alone).var(axis=0).sum()
    assert wins < 1 and (drive != "dense" or wins == pytest.approx(noise, rel=0.02)), (wins, noise)
    still = np.tile(mean[None, :, None], (100, 1, 1))
    y = np.asarray(predict(model, params, jnp.asarray(settled), still, jnp.ones(still.shape, bool))[1])
    np.testing.assert_allclose(y[-1, :, 0], mean, rtol=1e-6)


def test_a_ridge_draws_what_units_do_to_each_other_from_the_data_towards_the_wiring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(5)
    step = 0.4 * np.eye(UNITS) + rng.normal(0, 0.3, (UNITS, UNITS))
    values = np.zeros((20_000, UNITS))
    for t in range(1, len(values)):
        values[t] = step @ values[t - 1] + rng.normal(0, 0.1, UNITS)
    recording = Recording("across", LEVEL + values, READOUT.unit_names, 1.0).split(train=0.8, validation=0.1)
    model, mean = model_of(), Cohort.from_recordings([recording]).mean_activity()

    def error(start: RegressionStart) -> float:
        params = init_params(model, BRAIN, READOUT, drive_start="regression", regression=start, mean_activity=mean)
        given = recording.values[16_000:18_000, :, None]
        rates = open_rates(READOUT, mean)[:, None]
        y = np.asarray(predict(model, params, jnp.asarray(rates), given, jnp.ones(given.shape, bool))[1])
        return float(((given[1:] - y[:-1]) ** 2).mean())

    none, tight, loose, free = (begin(model, recording, ridge) for ridge in (None, 1e12, 1e4, 1.0))
    np.testing.assert_allclose(tight.drive, none.drive, rtol=1e-4, atol=1e-6)
    # What the wiring, which this simulation has not, brings two and three frames late is not the drive's to mend.
    unexplained = [error(start) - 0.01 for start in (none, loose, free)]
    assert unexplained[2] < 0.5 * unexplained[0] and unexplained[2] < unexplained[1] < unexplained[0], unexplained
    assert free.growth == pytest.approx(np.abs(np.linalg.eigvals(step)).max(), abs=0.05)
    monkeypatch.setattr("connfit.models.init.regression_start._slowest", lambda _: 0.6)
    assert begin(model, recording, 1.0).growth <= 0.6 + ROOM * 0.4 < free.growth
    # A start that grows whatever it is given ends all the same, with nothing across.
    monkeypatch.setattr("connfit.models.init.regression_start._slowest", lambda _: 1.2)
    monkeypatch.setattr(
        LinearBrain,
        "growth",
        lambda self, found, pattern=None, across=None: (1.1 + 0.2 * (across is not None), pattern),
    )
    grown = begin(model, recording, 1.0)
    assert grown.growth == 1.1
    np.testing.assert_array_equal(grown.drive, begin(model, recording).drive)
    with pytest.raises(ConfigError, match=r"drive_ridge needs model\.drive = 'dense'"):
        begin(model_of("anatomical"), recording, 1.0)


def test_growth_is_the_largest_eigenvalue_of_the_loop() -> None:
    start = begin(model_of())
    w, e = wiring(np.asarray(start.magnitudes)), np.asarray(start.drive)
    loop = ALPHA * np.eye(NEURONS) + (1 - ALPHA) * (w + e @ C)
    assert start.growth == pytest.approx(np.abs(np.linalg.eigvals(loop)).max(), rel=0.01)


def test_connections_that_would_make_the_model_grow_are_weakened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Common input that units share looks like coupling; here the recording is said to forget faster than that."""
    rng = np.random.default_rng(3)
    shared = np.zeros(4000)
    for t in range(1, len(shared)):
        shared[t] = 0.95 * shared[t - 1] + rng.normal()
    values = LEVEL + 0.1 * (shared[:, None] + rng.normal(0, 2, (4000, UNITS)))
    recording = Recording("common", values, READOUT.unit_names, 1.0).split(train=0.8, validation=0.1)
    believed = begin(model_of(), recording)
    limit = 0.8
    assert believed.growth > limit
    monkeypatch.setattr("connfit.models.init.regression_start._slowest", lambda _: limit)
    weaker = begin(model_of(), recording)
    assert weaker.growth <= limit
    assert (weaker.factors[0] < believed.factors[0]) and weaker.factors[0] > 0
    assert (weaker.own > believed.own).all()


def test_missing_frames_have_no_influence() -> None:
    rng = np.random.default_rng(2)
    values = simulated().values
    seen = rng.random(values.shape) > 0.1
    gaps = Recording("r", np.where(seen, values, np.nan), READOUT.unit_names, 1.0, mask=seen)
    wrong = Recording("r", np.where(seen, values, 1e6), READOUT.unit_names, 1.0, mask=seen)
    first, second = (begin(model_of(), one.split(train=0.8, validation=0.1)) for one in (gaps, wrong))
    np.testing.assert_array_equal(first.own, second.own)
    np.testing.assert_array_equal(first.factors, second.factors)
    np.testing.assert_allclose(first.own, OWN, atol=0.1)


def test_rates_at_the_mean_are_read_out_as_it_and_stay_open_when_units_fall() -> None:
    rates = open_rates(READOUT, LEVEL)
    np.testing.assert_allclose(READOUT.matrix @ rates, LEVEL, rtol=1e-12)
    assert rates.min() > 0
    rng = np.random.default_rng(3)
    # Shares as synapse counts have them: a few neurons make most of a unit.
    shares = np.zeros((3, 90))
    shares[np.arange(90) % 3, np.arange(90)] = rng.lognormal(0, 1.5, 90)
    uneven = Readout(sp.csr_array(shares / shares.sum(axis=1, keepdims=True)), ("a", "b", "c"), False)
    mean = np.array([1.0, 2.0, 3.0])
    rates, weights = open_rates(uneven, mean), uneven.matrix.toarray()
    np.testing.assert_allclose(weights @ rates, mean, rtol=1e-12)
    assert (rates - np.linalg.pinv(weights) @ (OPEN * mean)).min() > 0


@pytest.mark.slow
def test_all_starts_of_the_demo_run() -> None:
    fixed = {"state_forcing": 0.0, "time_constant_frames": 0.5, "weights": "counts", "own_shrinkage": 0.0}

    def job(*sets: str):
        config = Config(data=DataConfig(dataset="demo"), model=ModelConfig(**fixed, drive_ridge=0.0))
        return prepare(configuration.override(config, ["model.drive_start=persistence", *sets]))

    regressed = job("model.drive_start=regression", "model.state_forcing=1.0")
    facts = regressed.regression
    assert facts is not None and set(facts["own"]) == set(regressed.cohort.units) and facts["growth"] < 1
    assert job("model.drive_start=zero").regression is None
    gains = job("model.drive_start=regression", "model.state_forcing=1.0", "model.strengths=gain_per_neuron")
    np.testing.assert_allclose(gains.model.magnitudes(gains.params), regressed.params["weights"], rtol=1e-6, atol=1e-9)
    spread = job("model.drive_start=regression", "model.weight_spread=0.5")
    assert np.std(np.log(np.asarray(spread.params["weights"])[np.asarray(spread.params["weights"]) > 0])) > 0.3
    with pytest.raises(ConfigError, match=r"model\.drive_ridge"):
        job("model.drive_ridge=100")
    with pytest.raises(ConfigError, match=r"data\.substeps"):
        job("model.drive_start=regression", "data.substeps=2")
    with pytest.raises(ConfigError, match="regression_start"):
        init_params(model_of(), BRAIN, READOUT, drive_start="regression")


@pytest.mark.parametrize("drive", ["none", pytest.param("dense", marks=pytest.mark.slow)])
def test_a_start_behind_an_indicator_is_that_of_what_the_indicator_saw(drive: str) -> None:
    """The same numbers from calcium, with the indicator in the model, as from rates; without it units look slow."""
    rng = np.random.default_rng(2)
    ids = tuple(BRAIN.neurons["id"].astype(str))
    readout = Readout.by_name(BRAIN, ids, column="id")
    w, keeps, frames = wiring(BRAIN.counts * BY_PRE[BRAIN.indices]), np.exp(-1 / 2.0), 4000
    own = 0.6 if drive == "none" else 0.4
    rates, calcium = np.zeros((frames, NEURONS)), np.zeros((frames, NEURONS))
    for t in range(1, frames):
        past = rates[t - 1] if drive == "none" else calcium[t - 1]
        rates[t] = own * past + (1 - own) * w @ rates[t - 1] + rng.normal(0, 0.1, NEURONS)
        calcium[t] = keeps * calcium[t - 1] + (1 - keeps) * rates[t]
    given = ModelConditions(connectome=BRAIN, readout=readout, step_s=1.0, drive=drive, state_forcing=1.0)
    seeing = replace(given, own_gains=True)
    models = {
        "rates": ConnectomeModel.wire(given, Rate()),
        "blind": ConnectomeModel.wire(given, Rate()),
        "seeing": ConnectomeModel.wire(seeing, observe(Rate(), "order-1", step_s=1.0, decay_s=2.0)),
        "cell": ConnectomeModel.wire(given, RateCalcium(starts=(("calcium_decay", 2.0),))),
    }
    found = {
        name: regression_start(
            model, BRAIN, readout, jnp.asarray(BRAIN.counts, float),
            [(5 + (rates if name == "rates" else calcium), np.ones(NEURONS))], time_constant_s=0.2,
        )
        for name, model in models.items()
    }  # fmt: skip
    for name in ("seeing", "cell"):
        np.testing.assert_allclose(found[name].own, own, atol=0.06)  # noise of 4,000 frames
        np.testing.assert_allclose(found[name].factors, found["cell"].factors)
        if drive == "none":  # the first frame alone differs, whose past nobody knows
            np.testing.assert_allclose(found[name].own, found["rates"].own, atol=2e-3)
            np.testing.assert_allclose(found[name].factors, found["rates"].factors, rtol=2e-2)
    assert found["blind"].own.mean() > own + 0.15


def test_filters_are_undone_in_their_order_and_gaps_stay_gaps() -> None:
    rng = np.random.default_rng(0)
    rates = rng.random((50, 3))
    first, second = np.zeros_like(rates), np.zeros_like(rates)
    first[0] = second[0] = rates[0]
    for t in range(1, 50):
        first[t] = 0.3 * first[t - 1] + 0.7 * rates[t]
        second[t] = 0.8 * second[t - 1] + 0.2 * first[t]
    undone = CentredFrames.of(second, np.ones(3)).before((0.3, 0.8))
    np.testing.assert_allclose(undone.values, rates, rtol=1e-12)
    second[10, 1] = np.nan
    gap = np.isnan(CentredFrames.of(second, np.ones(3)).before((0.3, 0.8)).values)
    assert gap[:, 1].nonzero()[0].tolist() == [10, 11, 12] and not gap[:, [0, 2]].any()
