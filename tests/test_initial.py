"""How parameters start: spectral radius, persistence, time constants, reproducible draws."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import predict, random_connectome
from small import FRAME_RATE, first_fast, regional_connectome

from connfit.connectome import Connectome, from_pairs
from connfit.errors import ConfigError
from connfit.evaluation.baselines.persistence import Persistence
from connfit.models import RateModel, Readout, init_params, persistence_drive, spectral_radius_of
from connfit.models.forecaster import ModelForecaster
from connfit.models.init import starting_weights
from connfit.models.init.starting_weights import WEIGHTS, initial_magnitudes
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort

BRAIN = regional_connectome()
BY_NAME = Readout.by_name(BRAIN, [f"n{k}" for k in range(6)])


def start(connectome: Connectome = BRAIN, readout: Readout = BY_NAME, drive: str = "dense", **options) -> dict:
    model = RateModel.from_connectome(connectome, readout, step_s=0.5, drive=drive)
    return init_params(model, connectome, readout, **options)


def dense_radius(connectome: Connectome, weights: np.ndarray) -> float:
    matrix = np.zeros((connectome.n, connectome.n))
    np.add.at(matrix, (connectome.posts, connectome.indices), weights * connectome.connection_signs)
    return float(np.abs(np.linalg.eigvals(matrix)).max())


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("target", [0.02, 0.9])
def test_the_spectral_radius_is_reached(weights: str, target: float) -> None:
    magnitudes = np.asarray(start(weights=weights, spectral_radius=target)["weights"])
    assert (magnitudes >= 0).all()
    assert dense_radius(BRAIN, magnitudes) == pytest.approx(target, rel=1e-4)


def test_the_spectral_radius_counts_gap_junctions_and_large_brains(monkeypatch: pytest.MonkeyPatch) -> None:
    electrical = random_connectome(np.random.default_rng(2), 30, 3, electrical=9)
    magnitudes = np.asarray(start(electrical, Readout.by_name(electrical, ["n1"]), spectral_radius=0.4)["weights"])
    assert dense_radius(electrical, magnitudes) == pytest.approx(0.4, rel=1e-4)
    large = random_connectome(np.random.default_rng(3), 520, 6)  # beyond the size that is solved densely
    model = RateModel.from_connectome(large, Readout.by_name(large, ["n1"]), step_s=0.5)
    radius = spectral_radius_of(model, jnp.asarray(large.counts, jnp.float32))
    assert radius == pytest.approx(dense_radius(large, large.counts.astype(float)), rel=1e-3)
    monkeypatch.setattr(starting_weights.spla, "eigs", lambda *_, **__: pytest.fail("the radius is known"))
    assert spectral_radius_of(model, jnp.asarray(large.counts, jnp.float32)) == radius
    monkeypatch.undo()
    doubled = jnp.asarray(2 * large.counts, jnp.float32)
    assert spectral_radius_of(model, doubled) == pytest.approx(2 * radius, rel=1e-3)


def test_magnitudes_by_name() -> None:
    np.testing.assert_array_equal(initial_magnitudes(BRAIN, "counts"), BRAIN.counts)
    share = initial_magnitudes(BRAIN, "input_fraction")
    np.testing.assert_allclose(np.bincount(BRAIN.posts, share, BRAIN.n), 1)
    assert share[0] / share[1] == pytest.approx(BRAIN.counts[0] / BRAIN.counts[1])
    many = random_connectome(np.random.default_rng(4), 2000, 12)
    draw = initial_magnitudes(many, "truncated_normal", seed=1)
    scale = np.sqrt(2 / (many.m / many.n))
    # |x| of a normal whose standard deviation, after truncation at two of its own, is `scale`.
    assert np.sqrt((draw**2).mean()) == pytest.approx(scale, rel=0.03)
    assert 0 <= draw.min() and draw.max() <= 2 * scale / 0.879
    np.testing.assert_array_equal(draw, initial_magnitudes(many, "truncated_normal", seed=1))
    assert (draw != initial_magnitudes(many, "truncated_normal", seed=2)).mean() > 0.99


def test_no_scaling_on_request_and_no_loop_is_an_error() -> None:
    np.testing.assert_array_equal(start(spectral_radius=None)["weights"], BRAIN.counts)
    below = BRAIN.indices < BRAIN.posts
    chain = replace(
        BRAIN,
        indptr=np.r_[0, np.cumsum(np.bincount(BRAIN.posts[below], minlength=BRAIN.n))].astype(np.int32),
        indices=BRAIN.indices[below], counts=BRAIN.counts[below], electrical=BRAIN.electrical[below],
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"no recurrent loop .*spectral_radius to null"):
        start(chain)
    np.testing.assert_array_equal(start(chain, spectral_radius=None)["weights"], chain.counts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "count"}, "weights is 'count', .*did you mean 'counts'"),
        ({"drive_start": "persistent"}, "did you mean 'persistence'"),
        ({"spectral_radius": -1.0}, "must not be negative"),
        ({"time_constant_s": 0.001}, r"0.001 s lies outside the bounds 0.1 to 25 s"),
        ({"hidden_time_constants_s": (0.2, 99.0)}, r"99 s lies outside"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        start(**options)


def test_time_constants_of_neurons_that_nothing_drives_are_spread() -> None:
    params = start(time_constant_s=0.3, hidden_time_constants_s=(0.5, 20.0), seed=1)
    tau = np.exp(params["log_time_constants"])
    np.testing.assert_allclose(tau[:6], 0.3, rtol=1e-6)
    hidden = tau[6:]
    assert hidden.min() >= 0.5 and hidden.max() <= 20.0 and hidden.max() / hidden.min() > 5
    np.testing.assert_allclose(np.exp(start(time_constant_s=0.3)["log_time_constants"]), 0.3, rtol=1e-6)


def test_persistence_is_exact_where_each_unit_has_a_neuron_of_its_own() -> None:
    np.testing.assert_allclose((BY_NAME.matrix @ persistence_drive(BY_NAME)).toarray(), np.eye(6), atol=1e-12)
    shared = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1.0]])
    readout = Readout(sp.csr_array(shared[:2, :3]), ("a", "b"))
    drive = persistence_drive(readout)
    np.testing.assert_allclose((readout.matrix @ drive).toarray(), np.eye(2), atol=1e-3)
    assert drive.data.min() >= 0
    # Only neurons that the unit reads.
    assert not ((drive.toarray() > 0) & ~(shared[:2, :3].T > 0)).any()


def test_persistence_is_the_nearest_possible_where_units_share_all_their_neurons() -> None:
    shares = np.random.default_rng(0).random((3, 2)) + 0.1
    readout = Readout(sp.csr_array(shares), ("a", "b", "c"))
    drive, c = persistence_drive(readout).toarray(), readout.matrix.toarray()
    error = ((c @ drive - np.eye(3)) ** 2).sum()
    assert error > 0.1
    slope = 2 * c.T @ (c @ drive - np.eye(3))
    # Optimal over E ≥ 0 (Karush, Kuhn, Tucker): no slope where E > 0, none downhill where E = 0.
    assert np.abs(slope[drive > 1e-6]).max() < 1e-3 and slope[drive <= 1e-6].min(initial=0) > -1e-3


def regions_of_their_own(neurons: int = 150, regions: int = 5) -> Connectome:
    """A brain whose neurons make most of their synapses in their own region, as real ones do."""
    rng = np.random.default_rng(7)
    region = np.arange(neurons) % regions
    pre, post = rng.integers(neurons, size=(2, 40 * neurons))
    kept = (region[pre] == region[post]) | (rng.random(len(pre)) < 0.1)
    table = regional_connectome(neurons=neurons, regions=regions).neurons
    return from_pairs("local", pre[kept], post[kept], np.ones(kept.sum(), int), rng.choice([-1, 1], neurons), table)


def slow_walk(units: tuple[str, ...], frames: int = 300) -> Recording:
    """A walk that keeps near its mean; the next frame is best predicted by about this one."""
    rng = np.random.default_rng(6)
    values = np.ones((frames, len(units)))
    for t in range(1, frames):
        values[t] = 1 + 0.97 * (values[t - 1] - 1) + 0.05 * rng.normal(size=len(units))
    return Recording("walk", values.astype(np.float32), units, FRAME_RATE).split(train=0.6, validation=0.15)


@pytest.mark.parametrize(
    ("by", "drive"),
    first_fast([("name", "dense"), ("anatomy", "anatomical"), ("name", "anatomical"), ("anatomy", "dense")], 2),
)
def test_untrained_it_predicts_about_the_previous_frame_and_runs_without_exploding(by: str, drive: str) -> None:
    brain = regions_of_their_own()
    if by == "name":
        readout = Readout.by_name(brain, [f"n{k}" for k in range(30)])
    else:
        readout = Readout.by_anatomy(brain, ["A", "B", "C", "D", "E"])
    walk = slow_walk(readout.unit_names)
    cohort = Cohort.from_recordings([walk])
    model = RateModel.from_connectome(brain, readout, step_s=cohort.step_s, drive=drive)
    params = init_params(model, brain, readout, mean_activity=cohort.mean_activity())
    untrained = ModelForecaster(model, params, cohort)
    test = slice(*walk.require_parts().test)
    truth = walk.values[test]
    error = ((untrained.one_step(walk)[test] - truth) ** 2).mean()
    reference = ((Persistence().one_step(walk)[test] - truth) ** 2).mean()
    assert 1 - error / reference > -0.3
    free = untrained.free_run(walk, 200, 400, 50)
    assert np.isfinite(free).all() and free.min() >= 0 and free.max() < 2 * walk.values.max()
    assert free[-1].mean() > 0.5, "activity faded away"


def test_the_mean_is_a_fixed_point_of_the_balanced_start() -> None:
    mean = np.linspace(0.5, 1.5, 6)
    model = RateModel.from_connectome(BRAIN, BY_NAME, step_s=0.5)
    params = init_params(model, BRAIN, BY_NAME, mean_activity=mean, spectral_radius=0.5)
    drive = np.asarray(params["drive"])
    weights = np.zeros((BRAIN.n, BRAIN.n))
    np.add.at(weights, (BRAIN.posts, BRAIN.indices), np.asarray(params["weights"]) * BRAIN.connection_signs)
    rates = np.zeros(BRAIN.n)
    rates[:6] = mean
    x = weights @ rates + np.asarray(params["bias"]) + np.maximum(drive @ mean, 0)
    np.testing.assert_allclose(np.maximum(x, 0), rates, atol=1e-5)
    assert np.abs(params["bias"]).max() > 0
    np.testing.assert_array_equal(start()["bias"], 0)


def test_without_a_drive_the_start_predicts_the_mean_and_stays_there() -> None:
    mean = np.linspace(0.5, 1.5, 6)
    model = RateModel.from_connectome(BRAIN, BY_NAME, step_s=0.5, drive="none")
    params = init_params(model, BRAIN, BY_NAME, mean_activity=mean, spectral_radius=0.5)
    nothing = jnp.zeros((200, 6, 1))
    _, y = predict(model, params, jnp.zeros((BRAIN.n, 1)), nothing, nothing > 0)
    np.testing.assert_allclose(y[-1, :, 0], mean, rtol=1e-4)  # from rest, 200 steps of half a step's memory later
    np.testing.assert_array_equal(start(drive="none")["bias"], 0)


def test_a_drive_that_starts_at_zero_and_a_learned_readout() -> None:
    assert not np.any(start(drive_start="zero")["drive"])
    assert np.any(start()["drive"]) and "drive" not in start(drive="none")
    learned = Readout.by_name(BRAIN, BY_NAME.unit_names, learned=True)
    np.testing.assert_allclose(start(readout=learned)["readout"], BY_NAME.matrix.toarray())
    anatomical = start(drive="anatomical")
    assert anatomical["drive"].shape == (6,) and jnp.all(anatomical["drive"] > 0)
