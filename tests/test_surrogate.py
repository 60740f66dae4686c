"""Surrogate brains: the same from the same seed, statistics near real ones, and a teacher that stays hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from connfit.connectome import Connectome
from connfit.connectome.anatomy import presynapses_by_region
from connfit.datasets.synthetic.demo import Surrogate, SurrogateConfig, animal_seed, make_demo, make_surrogate
from connfit.datasets.synthetic.demo_teacher import DemoTeacher, DemoTeacherConfig
from connfit.datasets.synthetic.demo_wiring import TRANSMITTER_SIGNS, WiringConfig
from connfit.errors import ConfigError, DataError
from connfit.recordings import Recording

SMALL = SurrogateConfig(wiring=WiringConfig(neurons=200, regions=8, mean_degree=8.0), frames=300, name="small")


@pytest.fixture(scope="module")
def demo() -> Surrogate:
    return make_surrogate(seed=0)


@pytest.fixture(scope="module")
def small() -> Surrogate:
    return make_surrogate(replace(SMALL, animals=2), seed=3)


def same_connectome(one: Connectome, other: Connectome) -> bool:
    arrays = all(
        np.array_equal(getattr(one, key), getattr(other, key)) for key in ("indptr", "indices", "counts", "signs")
    )
    return arrays and one.neurons.equals(other.neurons)


# --- Determinism


def test_the_same_seed_gives_the_same_brain_bit_for_bit(small: Surrogate) -> None:
    again = make_surrogate(replace(SMALL, animals=2), seed=3)
    assert same_connectome(small.connectome, again.connectome)
    for one, other in zip(small.recordings, again.recordings, strict=True):
        assert np.array_equal(one.values, other.values)
    for key in ("weights", "time_constants", "bias", "source_loadings"):
        assert np.array_equal(getattr(small.teacher, key), getattr(again.teacher, key))


def test_another_seed_gives_another_brain(small: Surrogate) -> None:
    other = make_surrogate(SMALL, seed=4)
    assert not np.array_equal(small.connectome.indices, other.connectome.indices)
    assert not np.array_equal(small.recordings[0].values, other.recordings[0].values)


def test_more_animals_or_frames_leave_the_brain_and_the_first_animals_as_they_are(small: Surrogate) -> None:
    longer = make_surrogate(replace(SMALL, animals=1, frames=350), seed=3)
    assert same_connectome(small.connectome, longer.connectome)
    assert np.array_equal(small.teacher.weights, longer.teacher.weights)
    # Measurement noise is a fraction of a unit's variation, which the added frames change.
    clean = replace(small.teacher, config=replace(small.teacher.config, observation_noise=0.0))
    short, long = (clean.simulate(frames, 1.2, animal_seed(3, 0)).values for frames in (300, 350))
    assert np.array_equal(short, long[:300])
    assert not np.array_equal(small.recordings[0].values, small.recordings[1].values)


@pytest.mark.slow
def test_the_demo_is_the_default_surrogate_in_four_animals_without_its_teacher(demo: Surrogate) -> None:
    connectome, recordings = make_demo(0)
    assert connectome.name == "demo"
    assert same_connectome(connectome, demo.connectome)
    again = make_surrogate(SurrogateConfig(name="demo", frames=600, animals=4), 0)
    assert [one.name for one in recordings] == ["demo/1", "demo/2", "demo/3", "demo/4"]
    for one, other in zip(recordings, again.recordings, strict=True):
        assert np.array_equal(one.values, other.values)
        assert (one.frames, len(one.units), one.frame_rate) == (600, 20, 1.2)
    assert connectome.n == 2000


# --- Wiring


def test_degrees_and_synapse_counts_are_heavy_tailed(demo: Surrogate) -> None:
    connectome = demo.connectome
    incoming, outgoing = np.diff(connectome.indptr), np.bincount(connectome.indices, minlength=connectome.n)
    assert 28 <= connectome.m / connectome.n <= 31
    for degree in (incoming, outgoing):
        logs = np.log(degree[degree > 0])
        assert 0.45 <= logs.std() <= 0.7
        assert degree.max() >= 3 * degree.mean()
        assert abs(((logs - logs.mean()) ** 3).mean() / logs.std() ** 3) < 0.8
    counts = connectome.counts
    assert 3.0 <= counts.mean() <= 4.0
    assert counts.max() >= 30
    assert 0.2 <= (counts == 1).mean() <= 0.35


@pytest.mark.parametrize("reciprocity", [0.05, 0.14, 0.3])
def test_reciprocity_is_as_asked_for(reciprocity: float) -> None:
    connectome = make_surrogate(
        replace(SMALL, wiring=replace(SMALL.wiring, reciprocity=reciprocity), frames=2), seed=1
    ).connectome
    assert connectome.summary().reciprocity == pytest.approx(reciprocity, abs=0.005)
    assert connectome.summary().self_connections == 0


def test_most_connections_are_local(demo: Surrogate) -> None:
    connectome = demo.connectome
    region = connectome.neurons["region"].to_numpy(dtype=str)
    within = (region[connectome.posts] == region[connectome.indices]).mean()
    assert 0.55 <= within <= 0.75
    shuffled = np.random.default_rng(0).permutation(region)
    assert (shuffled[connectome.posts] == shuffled[connectome.indices]).mean() < 0.1


def test_each_neuron_reaches_one_to_three_regions_its_own_most(demo: Surrogate) -> None:
    regions, presynapses = presynapses_by_region(demo.connectome)
    reached = (presynapses.toarray() > 0).sum(axis=0)
    assert set(reached) == {1, 2, 3}
    main = np.array(regions)[presynapses.toarray().argmax(axis=0)]
    assert (main == demo.connectome.neurons["region"].to_numpy(dtype=str)).mean() > 0.88


def test_transmitters_signs_types_and_ids(demo: Surrogate) -> None:
    neurons = demo.connectome.neurons
    fractions = neurons["transmitter"].value_counts(normalize=True)
    for transmitter, fraction in {"acetylcholine": 0.65, "GABA": 0.20, "glutamate": 0.15}.items():
        assert fractions[transmitter] == pytest.approx(fraction, abs=0.01)
    assert np.array_equal(demo.connectome.signs, neurons["transmitter"].map(TRANSMITTER_SIGNS).to_numpy())
    assert neurons["id"].dtype == np.int64
    assert neurons["id"].min() > 2**53
    assert neurons["id"].is_unique
    for column in ("transmitter", "region"):
        assert neurons.groupby("type")[column].nunique().max() == 1
    assert set(neurons["side"]) == {"left", "right"}
    assert neurons.groupby("region")["side"].nunique().max() == 1
    assert demo.connectome.notes["surrogate"] is True


# --- Teacher


def test_read_out_is_the_share_of_presynapses(small: Surrogate) -> None:
    dense = np.zeros((small.connectome.n, small.connectome.n))
    dense[small.connectome.posts, small.connectome.indices] = small.connectome.counts
    region = small.connectome.neurons["region"].to_numpy(dtype=str)
    expected = np.stack([dense[region == unit].sum(axis=0) for unit in small.teacher.units])
    np.testing.assert_array_equal(small.presynapses.toarray(), expected)
    np.testing.assert_allclose(
        small.teacher.readout.toarray(), expected / expected.sum(axis=1, keepdims=True), rtol=1e-12
    )
    assert small.recordings[0].units == small.teacher.units


def test_parameters_lie_within_what_was_asked_for(demo: Surrogate) -> None:
    teacher, connectome = demo.teacher, demo.connectome
    assert teacher.weights.shape == (connectome.m,)
    assert teacher.weights.min() > 0
    signed = teacher.matrix.toarray()
    assert np.array_equal(
        np.sign(signed).sum(axis=0) * connectome.signs, np.bincount(connectome.indices, minlength=connectome.n)
    )
    assert 0.3 <= teacher.time_constants.min() <= teacher.time_constants.max() <= 5.0
    assert 0.9 <= np.median(teacher.time_constants) <= 1.1
    received = np.bincount(connectome.posts, connectome.counts, connectome.n)[connectome.posts]
    scatter = np.log(teacher.weights / connectome.counts * received)
    assert scatter.std() == pytest.approx(teacher.config.weight_spread, abs=0.02)


def test_activity_is_just_subcritical(small: Surrogate) -> None:
    matrix, bias = small.teacher.matrix.toarray(), small.teacher.bias
    rates = bias.copy()
    for _ in range(1000):
        rates += 0.5 * (np.maximum(matrix @ rates + bias, 0) - rates)
    active = rates > 1e-9 * rates.max()
    assert 0.5 < active.mean() < 1, "without silent neurons the two radii below would be one"
    radii = [np.abs(np.linalg.eigvals(part)).max() for part in (matrix, matrix[np.ix_(active, active)])]
    target = small.teacher.config.spectral_radius
    assert 0.97 * target <= max(radii) <= target * (1 + 1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_activity_settles_without_input_even_near_criticality(seed: int) -> None:
    config = DemoTeacherConfig(
        spectral_radius=0.97, source_strength=0, regional_strength=0, private_strength=0, observation_noise=0
    )
    teacher = make_surrogate(replace(SMALL, teacher=config, frames=2), seed).teacher
    values = teacher.simulate(600, 1.2, 0).values
    assert np.isfinite(values).all()
    assert (values[-300:].std(axis=0) / values[-1]).max() < 2e-3


def test_activity_that_grows_without_bound_is_an_error(small: Surrogate) -> None:
    unstable = replace(small.teacher, matrix=2 * small.teacher.matrix)
    with pytest.raises(ConfigError, match="spectral_radius"):
        unstable.simulate(300, 1.2, 0)


def test_the_teacher_run_again_gives_the_recordings(small: Surrogate) -> None:
    for animal, recording in enumerate(small.recordings):
        again = small.teacher.simulate(
            recording.frames, recording.frame_rate, animal_seed(small.seed, animal), keep_rates=True
        )
        np.testing.assert_array_equal(again.values.astype(np.float32), recording.values)
        assert again.rates is not None
        assert again.rates.min() >= 0


def test_neurons_without_a_region_get_no_shared_input_and_empty_regions_are_named(small: Surrogate) -> None:
    region = small.connectome.neurons["region"].to_numpy(dtype=object)
    unplaced = np.arange(200) % 7 == 0
    brain = replace(small.connectome, neurons=small.connectome.neurons.assign(region=np.where(unplaced, "", region)))
    teacher = DemoTeacher.draw(brain, DemoTeacherConfig(), np.random.default_rng(0))
    assert np.array_equal(teacher.regional_gain == 0, unplaced)
    assert np.array_equal((teacher.source_loadings == 0).all(axis=1), unplaced)
    silent = int(np.flatnonzero(np.diff(small.connectome.indptr) == 0)[0])
    region[silent] = "nowhere"
    brain = replace(small.connectome, neurons=small.connectome.neurons.assign(region=region))
    with pytest.raises(DataError, match="nowhere"):
        DemoTeacher.draw(brain, DemoTeacherConfig(), np.random.default_rng(0))


def test_a_step_is_the_rate_model() -> None:
    """Without noise, indicator or slow input, a frame is the model's equation applied to the frame before."""
    quiet = DemoTeacherConfig(
        source_strength=0,
        regional_strength=0,
        private_strength=0,
        observation_noise=0,
        indicator_s=None,
        substeps=1,
        burn_in_s=0,
    )
    teacher = make_surrogate(replace(SMALL, teacher=quiet, frames=20)).teacher
    simulation = teacher.simulate(20, 1.2, 0, keep_rates=True)
    assert simulation.rates is not None
    before, after = simulation.rates[:-1].T, simulation.rates[1:].T
    decay = np.exp(-1 / 1.2 / teacher.time_constants)[:, None]
    drive = np.maximum(teacher.matrix.toarray() @ before + teacher.bias[:, None], 0)
    np.testing.assert_allclose(after, decay * before + (1 - decay) * drive, rtol=1e-12)
    np.testing.assert_allclose(simulation.values.T, teacher.readout.toarray() @ simulation.rates.T, rtol=1e-12)


def test_slow_inputs_have_unit_variance_and_their_time_constants(small: Surrogate) -> None:
    sources = small.teacher.simulate(6000, 1.2, 11).sources
    tau = small.teacher.source_time_constants
    assert np.all((tau >= 5) & (tau <= 30))
    np.testing.assert_allclose(sources.std(axis=0), 1, atol=0.35)
    lag = 4
    correlation = [np.corrcoef(source[:-lag], source[lag:])[0, 1] for source in sources.T]
    np.testing.assert_allclose(correlation, np.exp(-lag / 1.2 / tau), atol=0.12)


# --- Recording


def autocorrelation(values: np.ndarray) -> np.ndarray:
    z = values - values.mean(axis=0)
    return (z[1:] * z[:-1]).sum(axis=0) / (z**2).sum(axis=0)


def correlations(values: np.ndarray) -> np.ndarray:
    return np.corrcoef(values.T)[np.triu_indices(values.shape[1], 1)]


def ridge_skill(recording: Recording, *, lags: int = 2, penalty: float = 1e-3, delay: int = 0) -> float:
    """One-step skill over persistence on the test part of a ridge regression of the change on frames `delay` ago."""
    parts = recording.require_parts()
    values = recording.values.astype(np.float64)
    scaled = (values - values[parts["train"]].mean(axis=0)) / values[parts["train"]].std(axis=0)
    past = np.hstack([np.roll(scaled, lag + delay, axis=0) for lag in range(1, lags + 1)])
    change = scaled - np.roll(scaled, 1, axis=0)
    x, y = past[lags + delay : parts.train[1]], change[lags + delay : parts.train[1]]
    weights = np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(x.shape[1]), x.T @ y)
    test = parts["test"]
    return float(1 - ((change[test] - past[test] @ weights) ** 2).mean() / (change[test] ** 2).mean())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_recording_is_a_fair_and_realistic_target(seed: int) -> None:
    recording = make_surrogate(SurrogateConfig(name="demo"), seed).recordings[0]
    recording = recording.split(train=0.6, validation=0.15)
    values = recording.values.astype(np.float64)
    assert values.min() >= 0
    assert np.all(values.std(axis=0) > 0.01)
    lag_one = autocorrelation(values)
    assert 0.92 <= lag_one.mean() <= 0.97
    assert 0.85 <= lag_one.min() <= lag_one.max() <= 0.995
    structure = correlations(values)
    assert 0.1 <= np.abs(structure).mean() <= 0.55
    assert 0.1 <= structure.std() <= 0.35
    train, test = (correlations(recording.part(part)[0].astype(np.float64)) for part in ("train", "test"))
    assert 0.5 <= np.corrcoef(train, test)[0, 1] <= 0.9
    assert 0.2 <= ridge_skill(recording) <= 0.45
    # The control: the past of five minutes ago says nothing about the next change.
    assert ridge_skill(recording, delay=360) < 0.02


def test_the_wiring_matters_to_what_is_recorded(demo: Surrogate) -> None:
    """Without its connections the same teacher under the same inputs behaves differently."""
    cut = replace(demo.teacher, matrix=demo.teacher.matrix * 0)
    frames, frame_rate = 600, demo.config.frame_rate
    with_connections, without = (
        one.simulate(frames, frame_rate, animal_seed(0, 0)).values for one in (demo.teacher, cut)
    )
    assert autocorrelation(with_connections).mean() > autocorrelation(without).mean() + 0.01
    assert np.corrcoef(correlations(with_connections), correlations(without))[0, 1] < 0.97


def contents(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that can be reached from a dataclass, with the path to it."""
    yield path, value
    if is_dataclass(value):
        for one in fields(value):
            yield from contents(getattr(value, one.name), f"{path}.{one.name}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from contents(item, f"{path}[{key}]")
    elif isinstance(value, tuple | list):
        for item in value:
            yield from contents(item, f"{path}[]")


def test_nothing_of_the_teacher_is_in_the_recording_or_the_connectome(small: Surrogate) -> None:
    for recording in small.recordings:
        held = dict(contents(recording))
        assert not any(isinstance(value, DemoTeacher | DemoTeacherConfig) for value in held.values())
        assert {path for path, value in held.items() if isinstance(value, np.ndarray) or sp.issparse(value)} == {
            ".values",
            ".mask",
        }
        assert recording.values.shape == (300, 8)
        assert recording.notes["surrogate"] is True
    held = dict(contents(small.connectome))
    assert not any(isinstance(value, DemoTeacher | DemoTeacherConfig) or sp.issparse(value) for value in held.values())
    assert {path for path, value in held.items() if isinstance(value, np.ndarray)} == {
        ".indptr",
        ".indices",
        ".counts",
        ".signs",
        ".electrical",
    }
    assert list(small.connectome.neurons.columns) == ["id", "type", "region", "transmitter", "side"]
    assert np.issubdtype(small.connectome.counts.dtype, np.integer)


def test_rates_and_indicator_are_named_for_what_they_are(small: Surrogate) -> None:
    rates = make_surrogate(replace(SMALL, teacher=DemoTeacherConfig(indicator_s=None)), seed=3).recordings[0]
    assert (rates.kind, small.recordings[0].kind) == ("rate", "dff")
    assert autocorrelation(rates.values).mean() < autocorrelation(small.recordings[0].values).mean()


# --- Options


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: WiringConfig(neurons=50, regions=20), "10 neurons per region"),
        (lambda: WiringConfig(neurons=200, regions=8, mean_degree=20), "mean_degree = 20"),
        (lambda: WiringConfig(reciprocity=0.7), "reciprocity = 0.7"),
        (lambda: WiringConfig(transmitter_fractions=(0.5, 0.2, 0.2)), "transmitter_fractions"),
        (lambda: DemoTeacherConfig(spectral_radius=1.2), "spectral_radius = 1.2"),
        (lambda: DemoTeacherConfig(substeps=0), "substeps = 0"),
        (lambda: DemoTeacherConfig(time_constant_bounds_s=(2.0, 1.0)), "time_constant_bounds_s"),
        (lambda: SurrogateConfig(frames=0), "frames = 0"),
        (lambda: make_surrogate(seed=-1), "seed = -1"),
    ],
)
def test_impossible_options_are_named(build: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_larger_brain_keeps_its_statistics() -> None:
    wiring = WiringConfig(neurons=6000, regions=40, mean_degree=40.0)
    connectome = make_surrogate(
        SurrogateConfig(wiring=wiring, frames=4, teacher=DemoTeacherConfig(burn_in_s=1.0)), seed=2
    ).connectome
    assert connectome.n == 6000
    assert connectome.m == pytest.approx(240_000, rel=0.05)
    assert connectome.summary().reciprocity == pytest.approx(0.14, abs=0.002)
    assert isinstance(connectome.neurons, pd.DataFrame)
