"""The teacher of the fly surrogate: near criticality, ruled by no few neurons, the same from the same seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from connfit.connectome import Connectome, from_pairs
from connfit.datasets.fly_regions import RECORDED_73
from connfit.datasets.synthetic.demo_wiring import WiringConfig, make_wiring
from connfit.datasets.synthetic.fly.fly_activity import measure, missing_units, simulate_flies
from connfit.datasets.synthetic.fly.fly_teacher import FlyTeacher, FlyTeacherConfig, draw_teacher
from connfit.errors import ConfigError, DataError

FRAME_RATE = 1.2
CONFIG = FlyTeacherConfig(burn_in_s=30.0)


def small_wiring(neurons: int = 300, regions: int = 12) -> Connectome:
    """A generated brain whose regions carry the fly's names."""
    config = WiringConfig(neurons=neurons, regions=regions, mean_degree=12.0)
    brain = make_wiring(config, np.random.default_rng(5), name="small")
    names = dict(zip(sorted(set(brain.neurons["region"])), RECORDED_73, strict=False))
    return replace(brain, neurons=brain.neurons.assign(region=[names[one] for one in brain.neurons["region"]]))


@pytest.fixture(scope="module")
def brain() -> Connectome:
    return small_wiring()


@pytest.fixture(scope="module")
def teacher(brain: Connectome) -> FlyTeacher:
    return draw_teacher(brain, CONFIG, seed=1)


def signed(teacher: FlyTeacher, brain: Connectome) -> np.ndarray:
    return brain.matrix(teacher.weights).toarray()


# --- Parameters


def test_the_same_seed_gives_the_same_teacher_and_another_seed_another(brain: Connectome, teacher: FlyTeacher) -> None:
    again, other = draw_teacher(brain, CONFIG, seed=1), draw_teacher(brain, CONFIG, seed=2)
    for key in ("weights", "time_constants", "bias", "source_loadings", "regional_gain", "region"):
        assert np.array_equal(getattr(teacher, key), getattr(again, key))
    assert not np.array_equal(teacher.weights, other.weights)
    assert not np.array_equal(teacher.time_constants, other.time_constants)


def test_the_network_is_near_critical(brain: Connectome, teacher: FlyTeacher) -> None:
    assert np.abs(np.linalg.eigvals(signed(teacher, brain))).max() == pytest.approx(0.96, abs=1e-4)


def test_strengths_are_scattered_about_the_share_of_synapses(brain: Connectome, teacher: FlyTeacher) -> None:
    received = np.bincount(brain.posts, brain.counts, brain.n)
    share = brain.counts / (received[brain.posts] + CONFIG.half_input) * teacher.gain[brain.posts]
    share = share * np.where(brain.connection_signs < 0, CONFIG.inhibition, 1.0)
    scatter = np.log(teacher.weights / share)
    assert scatter.mean() == pytest.approx(0, abs=0.03)
    assert scatter.std() == pytest.approx(CONFIG.weight_spread, rel=0.05)
    assert (teacher.weights > 0).all()
    low, high = CONFIG.time_constant_bounds_s
    assert teacher.time_constants.min() >= np.float32(low) and teacher.time_constants.max() <= high
    assert np.median(teacher.time_constants) == pytest.approx(1.0, rel=0.15)


def test_two_neurons_that_excite_each_other_do_not_rule() -> None:
    brain = small_wiring()
    # The pair receives nothing else, and each is the other's only input.
    kept = (brain.posts >= 2) & (brain.indices >= 2)
    pre, post = np.r_[0, 1, brain.indices[kept]], np.r_[1, 0, brain.posts[kept]]
    counts, signs = np.r_[900, 900, brain.counts[kept]], brain.signs.copy()
    signs[:2] = 1
    paired = from_pairs("paired", pre, post, counts, signs, brain.neurons)

    def share_of_pair(config: FlyTeacherConfig) -> float:
        values, vectors = np.linalg.eig(signed(draw_teacher(paired, config, seed=0), paired))
        leading = np.abs(vectors[:, np.argmax(np.abs(values))]) ** 2
        return float(leading[:2].sum() / leading.sum())

    assert share_of_pair(replace(CONFIG, recurrent_variance=1e9)) > 0.99
    assert share_of_pair(CONFIG) < 0.9


def test_read_out_is_the_share_of_presynapses(brain: Connectome, teacher: FlyTeacher) -> None:
    dense = np.zeros((brain.n, brain.n))
    dense[brain.posts, brain.indices] = brain.counts
    region = brain.neurons["region"].to_numpy(dtype=str)
    expected = np.stack([dense[region == unit].sum(axis=0) for unit in teacher.units])
    np.testing.assert_allclose(teacher.readout.toarray(), expected / expected.sum(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(teacher.readout.sum(axis=1), 1)
    assert (teacher.region == np.where(expected.any(axis=0), expected.argmax(axis=0), -1)).all()


def test_only_regions_with_enough_neurons_and_synapses_are_recorded(brain: Connectome) -> None:
    some = draw_teacher(brain, CONFIG, regions=RECORDED_73[:4])
    assert some.units == RECORDED_73[:4]
    assert (some.region < 4).all() and (some.region == -1).any()
    assert not some.regional_gain[some.region == -1].any()
    with pytest.raises(DataError, match="0 regions with at least 3 neurons and 10000000 synapses"):
        draw_teacher(brain, replace(CONFIG, least_synapses=10**7))


def test_a_brain_without_loops_is_refused(brain: Connectome) -> None:
    forward = brain.indices < brain.posts
    acyclic = from_pairs(
        "line", brain.indices[forward], brain.posts[forward], brain.counts[forward], brain.signs, brain.neurons
    )
    with pytest.raises(DataError, match="no loop of connections"):
        draw_teacher(acyclic, CONFIG)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"spectral_radius = 1\.0"):
        FlyTeacherConfig(spectral_radius=1.0)
    with pytest.raises(ConfigError, match="drift = "):
        FlyTeacherConfig(drift=(0.1, 0.01))
    with pytest.raises(ConfigError, match="substeps = 0"):
        FlyTeacherConfig(substeps=0)


def test_a_teacher_is_stored_and_read(teacher: FlyTeacher, tmp_path: Path) -> None:
    teacher.save(tmp_path / "teacher.h5")
    back = FlyTeacher.load(tmp_path / "teacher.h5")
    assert back.config == teacher.config and back.units == teacher.units and back.seed == 1
    for key in ("weights", "bias", "gain", "source_loadings", "region"):
        assert np.array_equal(getattr(back, key), getattr(teacher, key))
    assert np.array_equal(back.readout.toarray(), teacher.readout.toarray())
    (tmp_path / "teacher.h5").write_bytes((tmp_path / "teacher.h5").read_bytes()[:3000])
    with pytest.raises(DataError, match="not a stored teacher"):
        FlyTeacher.load(tmp_path / "teacher.h5")


# --- Activity


def test_without_varying_input_activity_stays_at_the_set_point(brain: Connectome, teacher: FlyTeacher) -> None:
    calcium = simulate_flies(teacher, brain, 20, FRAME_RATE, [0], inputs=()).calcium
    np.testing.assert_allclose(calcium[0], np.tile(teacher.level, (20, 1)), rtol=1e-4)


def test_activity_follows_the_equations_of_a_rate_network(brain: Connectome, teacher: FlyTeacher) -> None:
    teacher = replace(teacher, config=replace(CONFIG, burn_in_s=0.0))
    run = simulate_flies(teacher, brain, 15, FRAME_RATE, [3], inputs=("private",), keep_rates=True)
    # The noise of animal 3, as documented: a stream of its own for each animal.
    noise = np.random.Generator(np.random.SFC64(np.random.SeedSequence((1, 2, 3, 2))))
    w, step = signed(teacher, brain), 1 / (2 * FRAME_RATE)
    alpha = np.exp(-step / teacher.time_constants.astype(np.float64))
    rates = teacher.set_point.astype(np.float64)
    seen = teacher.readout @ rates
    assert run.rates is not None
    for frame in range(15):
        private = CONFIG.private_strength * noise.standard_normal(brain.n, dtype=np.float32)
        for _ in range(2):
            rates = alpha * rates + (1 - alpha) * np.maximum(w @ rates + teacher.bias + private, 0)
            seen = seen + (1 - np.exp(-step / CONFIG.indicator_s)) * (teacher.readout @ rates - seen)
        np.testing.assert_allclose(run.rates[0, frame], rates, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(run.calcium[0, frame], seen, rtol=1e-3)


def test_animals_are_independent_and_the_same_alone_as_together(brain: Connectome, teacher: FlyTeacher) -> None:
    together = simulate_flies(teacher, brain, 400, FRAME_RATE, range(3)).calcium
    alone = simulate_flies(teacher, brain, 400, FRAME_RATE, [2]).calcium[0]
    np.testing.assert_allclose(alone, together[2], rtol=1e-3, atol=1e-4)
    again = simulate_flies(teacher, brain, 400, FRAME_RATE, range(3)).calcium
    assert np.array_equal(again, together)
    units = together.shape[2]
    across = [np.corrcoef(together[0, :, k], together[1, :, k])[0, 1] for k in range(units)]
    assert abs(np.mean(across)) < 0.3
    assert np.isfinite(together).all() and together.min() >= 0


def test_runaway_activity_is_an_error(brain: Connectome, teacher: FlyTeacher) -> None:
    wild = replace(teacher, weights=teacher.weights * 6)
    with pytest.raises(ConfigError, match="grew without bound"):
        simulate_flies(wild, brain, 300, FRAME_RATE, [0])


def test_progress_counts_all_frames(brain: Connectome, teacher: FlyTeacher) -> None:
    told: list[tuple[int, int]] = []
    simulate_flies(teacher, brain, 10, FRAME_RATE, [0], progress=lambda done, total: told.append((done, total)))
    assert told == [(k, 46) for k in range(1, 47)]


# --- Measurement


def test_recordings_drift_differently_in_every_unit_and_animal(brain: Connectome, teacher: FlyTeacher) -> None:
    calcium = simulate_flies(teacher, brain, 2000, FRAME_RATE, [0]).calcium[0]
    values, drift = measure(teacher, calcium, FRAME_RATE, 0)
    signal = CONFIG.contrast * (calcium / teacher.level - 1)
    noise = values - signal - drift
    np.testing.assert_allclose(noise.std(axis=0), CONFIG.observation_noise * signal.std(axis=0), rtol=0.1)
    lost = drift[:50].mean(axis=0) - drift[-50:].mean(axis=0)
    assert np.median(lost) > 0.03 and lost.max() < 0.5
    assert 0.1 < np.median(drift.std(axis=0) / signal.std(axis=0))
    assert np.unique(np.round(lost, 6)).size == len(teacher.units)
    other = measure(teacher, calcium, FRAME_RATE, 1)[1]
    assert not np.allclose(drift, other, atol=0.01)
    assert np.array_equal(values, measure(teacher, calcium, FRAME_RATE, 0)[0])


def test_flies_lack_no_more_regions_than_allowed(teacher: FlyTeacher) -> None:
    whole = replace(teacher, units=RECORDED_73)
    missing = [missing_units(whole, animal) for animal in range(60)]
    assert {len(one) for one in missing} == set(range(7))
    assert len({unit for one in missing for unit in one}) > 40
    assert max(len(missing_units(teacher, animal)) for animal in range(60)) == round(len(teacher.units) * 6 / 73)
