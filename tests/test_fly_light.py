"""The fly surrogate in light: a known stimulus that reaches some neurons, and nothing else that is new."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_fly_surrogate import small_store
from test_fly_teacher import CONFIG, FRAME_RATE, small_wiring

from connfit.connectome import Connectome
from connfit.datasets.loading import load_connectome, load_recording
from connfit.datasets.synthetic.fly.fly_activity import Stimulus, simulate_flies
from connfit.datasets.synthetic.fly.fly_light import (
    FIRST_ANIMAL,
    INTENSITIES,
    draw_light,
    light_loadings,
)
from connfit.datasets.synthetic.fly.fly_teacher import draw_teacher
from connfit.errors import DataError


def lit_wiring() -> Connectome:
    """The small brain; every tenth neuron sees."""
    brain = small_wiring()
    words = np.where(np.arange(brain.n) % 10 == 0, "ring_neuron", "columnar")
    return replace(brain, neurons=brain.neurons.assign(sub_class=words))


def test_light_reaches_ring_neurons_only() -> None:
    loadings = light_loadings(lit_wiring(), 0)
    assert (loadings[::10] > 0).all() and np.count_nonzero(loadings) == len(loadings[::10])
    with pytest.raises(DataError, match="no ring or visual projection neurons"):
        light_loadings(small_wiring(), 0)


def test_flashes_are_the_mean_light_before_each_frame() -> None:
    light = draw_light(400, 1.2, 0, FIRST_ANIMAL)
    # The same flashes at 100 times the rate, averaged over each frame.
    fine = draw_light(40_000, 120.0, 0, FIRST_ANIMAL).reshape(400, 100).mean(axis=1)
    # The fine series draws as many flashes, so both are the same staircase.
    assert np.allclose(light, fine, atol=1e-9)
    assert 0 <= light.min() and light.max() <= max(INTENSITIES) + 1e-12
    assert 0.1 < np.mean(light == 0) < 0.6
    assert not np.array_equal(light, draw_light(400, 1.2, 0, FIRST_ANIMAL + 1))


def test_without_other_inputs_activity_is_the_networks_answer_to_light() -> None:
    brain = lit_wiring()
    teacher = draw_teacher(brain, CONFIG, seed=1)
    light = np.zeros((1, 40), np.float32)
    light[0, 10:20] = 1
    loadings = light_loadings(brain, 0)
    seen = simulate_flies(
        teacher, brain, 40, FRAME_RATE, [0], keep_rates=True, inputs=(), stimulus=Stimulus(loadings, light)
    )
    # The same equations, neuron by neuron, in double precision.
    weights = brain.matrix(teacher.weights * 1.0).toarray()
    follow = -np.expm1(-1 / FRAME_RATE / CONFIG.substeps / teacher.time_constants.astype(float))
    rates = teacher.set_point.astype(float)
    assert seen.rates is not None
    for frame in range(40):
        for _ in range(CONFIG.substeps):
            given = weights @ rates + teacher.bias + loadings * light[0, frame]
            rates = rates + follow * (np.maximum(given, 0) - rates)
        # Rates of order 1 in single precision, whose errors a network near criticality adds up.
        assert np.abs(seen.rates[0, frame] - rates).max() < 2e-4


def test_in_the_dark_nothing_changes() -> None:
    brain = lit_wiring()
    teacher = draw_teacher(brain, CONFIG, seed=1)
    dark = Stimulus(light_loadings(brain, 0), np.zeros((2, 30), np.float32))
    with_it, without = (simulate_flies(teacher, brain, 30, FRAME_RATE, range(2), stimulus=s) for s in (dark, None))
    assert np.array_equal(with_it.calcium, without.calcium)


def test_recordings_are_made_once_and_carry_the_light(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONNFIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CONNFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("connfit.datasets.synthetic.fly.fly_light.FRAMES", 60)
    monkeypatch.setattr("test_fly_surrogate.small_wiring", lit_wiring)
    store = small_store(tmp_path / "cache")
    first = load_recording("fly-surrogate-light/1", scale=0.02)
    assert "SURROGATE recordings in light" in capsys.readouterr().err
    again, last = (load_recording(f"fly-surrogate-light/{uid}", scale=0.02) for uid in ("1", "6"))
    assert "making" not in capsys.readouterr().err
    assert first.inputs is not None and last.inputs is not None and again.inputs is not None
    assert first.inputs.channels == ("light",) and np.array_equal(first.inputs.values, again.inputs.values)
    assert not np.array_equal(first.inputs.values, last.inputs.values)
    assert np.array_equal(first.values, again.values)
    assert first.frames == first.inputs.frames == 60
    assert set(first.units) | set(first.notes["regions_missing"]) == set(store.made.units)
    assert first.notes["surrogate"] is True and first.name == "fly-surrogate-light/1"
    assert np.array_equal(load_connectome("fly-surrogate-light", scale=0.02).indices, store.connectome().indices)
    (tmp_path / "cache" / "fly-surrogate" / "0.02-0-light-v1.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"0\.02-0-light-v1\.npz"):
        load_recording("fly-surrogate-light/1", scale=0.02)
