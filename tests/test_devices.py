"""One model in blocks on several devices: the same gradients, losses and runs as on one, and what is refused.

Where there has to be more than one device, a process of its own computes (`eight_devices`).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from cell_oracles import case
from eight_devices import RULES, ask
from hypothesis import given
from hypothesis import strategies as st
from networks import random_problem
from small import student

from connfit._system.devices import device_count
from connfit.config import TrainConfig
from connfit.errors import ConfigError
from connfit.evaluation.study.rows import study_config
from connfit.models.blocks import cut_model
from connfit.models.blocks.cuts import Along, equal_shares
from connfit.training import memory, runs
from connfit.training.device_steps import ModelOnDevices
from connfit.training.fit import train
from connfit.training.learners import preset
from connfit.training.learners.learner import Learner

QUICK = (
    "gradients:rate-calcium:forced, delay:hybrid:3",
    "gradients:observed:order 1:d-rtrl:4",
    "gradients:rate:learned:tbptt:8",
    "gradients:lif, events:plain:tbptt:3",
)
"""Between them state forcing, a queue of a delay, gains of units, noise, a learned read-out, an anatomical drive,
external events with a penalty on firing rates, and gap junctions that end in two blocks."""

FOLLOWED = (
    "followed:rate-calcium:forced, delay:3",
    "followed:observed:order 1:4",
    "followed:rate:gains:3",
    "followed:lif:own:8",
)
"""Between them state forcing, a queue of a delay, gains of units, shared weights and spikes."""

TRACES_ALONE = ("pp-prop", "history")
"""Rules that do not know of forced single neurons."""


def every_case() -> list[str]:
    kinds = {
        "plain": ("rate", "two-channel", "odd"), "one recording": ("adaptive-rate",), "delay": ("rate", "odd", "lif"),
        "both signs": ("two-channel",), "forced": ("rate", "rate-calcium"), "inputs": ("rate",),
        "some inputs": ("rate",), "shared inputs, forced": ("rate-calcium",), "forced regions": ("rate",),
        "gains": ("rate", "odd"), "own": ("rate", "lif"),
    }  # fmt: skip
    forced = ("forced", "shared inputs, forced")
    cells = [
        f"gradients:{cell}:{kind}:{rule}:3"
        for kind, names in kinds.items()
        for cell in names
        for rule in RULES
        if not (kind in forced and rule in TRACES_ALONE)
    ]
    observed = ("gains", "order 1, per neuron", "order 2, drift")
    return cells + [f"gradients:observed:{k}:{rule}:4" for k in observed for rule in RULES if rule not in TRACES_ALONE]


def assert_same_gradients(found: dict[str, list[float]], name: str) -> None:
    assert any(key.startswith("mean ") for key in found)
    for key, (difference, size) in found.items():
        # Sums of some hundred products in another order, in double precision.
        assert difference <= 1e-9, (name, key)
        assert size > 0 or "threshold" in key or "refractory" in key, (name, key)  # D-RTRL does not see all


@pytest.fixture(scope="module")
def quick_answers() -> dict[str, Any]:
    return ask(*QUICK, *FOLLOWED, "losses:hybrid:1:2", "losses:hybrid:3:2", "memory:2")


@pytest.mark.parametrize("name", QUICK)
def test_gradients_are_those_of_one_device(name: str, quick_answers: dict[str, Any]) -> None:
    assert_same_gradients(quick_answers[name], name)


@pytest.mark.parametrize("name", FOLLOWED)
def test_recordings_are_followed_in_blocks_as_on_one_device(name: str, quick_answers: dict[str, Any]) -> None:
    found = quick_answers[name]
    assert set(found) == {"shown", "shelved", "ahead"}
    assert max(found.values()) <= 1e-12  # double precision, over some dozen steps


def test_a_fit_on_three_devices_has_the_losses_of_one(quick_answers: dict[str, Any]) -> None:
    one, three = (np.array(quick_answers[f"losses:hybrid:{devices}:2"]) for devices in (1, 3))
    assert len(one) == 2 * 15 + 2 and np.ptp(one[:30]) > 0.1
    np.testing.assert_allclose(three, one, rtol=1e-5)
    assert (three != one).any()  # it was not computed in the same order


def test_a_process_counts_the_blocks_of_its_devices(monkeypatch: pytest.MonkeyPatch, quick_answers: Any) -> None:
    """Against the arrays that two devices hold; then as one of several processes."""
    found = quick_answers["memory:2"]
    for what, (said, held) in found["parts"].items():
        # Blocks are filled up to the largest.
        assert held > 0 and 0.8 <= said / held <= 1.01, (what, said, held)
    assert "which has all 2 devices" in found["report"]
    one = student()
    monkeypatch.setattr(memory, "device_count", lambda asked: 8)
    parts = {}
    for own in (8, 4, 1):
        monkeypatch.setattr(memory, "own_devices", lambda devices, own=own: own)
        estimate = memory.estimate_memory(
            one.model, one.params, one.cohort, preset("d-rtrl", window=8), TrainConfig(devices=8), one.model.groups
        )
        assert (f"which has {own} of 8 devices" in estimate.report()) == (own < 8)
        parts[own] = estimate.parts
    for key in ("wiring in blocks", "parameters in blocks", "moments in blocks", "traces in blocks"):
        assert parts[4][key] == pytest.approx(parts[8][key] / 2, abs=1)
        assert parts[1][key] == pytest.approx(parts[8][key] / 8, abs=1)
    # All of a fit on one device is more than any process holds but for what it has whole; with one block of eight the
    # peak is where the whole is put together.
    assert "gradient in blocks" in parts[8] and "parameters and moments put together" in parts[1]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(6))
def test_gradients_of_every_rule_and_kind_are_those_of_one_device(part: int) -> None:
    cases = every_case()[part::6]
    for name, found in ask(*cases, timeout=1200).items():
        assert_same_gradients(found, name)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["d-rtrl", "hybrid", "tbptt"])
def test_two_hundred_windows_have_the_same_losses_on_any_number_of_devices(rule: str) -> None:
    found = ask(*(f"losses:{rule}:{devices}:14" for devices in (1, 2, 3, 8)), timeout=1200)
    one, *others = (np.array(each) for each in found.values())
    assert len(one) == 14 * 15 + 14
    for other in others:
        np.testing.assert_allclose(other, one, rtol=1e-5)


@pytest.mark.slow
def test_a_checkpoint_goes_on_on_any_number_of_devices(tmp_path: Path) -> None:
    found = ask(*(f"resumed:4:{then}:{tmp_path}" for then in (4, 1, 3)), timeout=1200)
    same, *others = (np.array(each) for each in found.values())
    assert len(same) > 300
    for other in others:
        # Rounding, which 30 steps of Adam carry on: steps are relative, so near 0 a weight keeps fewer digits.
        np.testing.assert_allclose(other, same, rtol=1e-4, atol=1e-6)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.data())
def test_shares_are_whole_and_as_equal_as_rows_allow(held: list[int], data: Any) -> None:
    blocks = data.draw(st.integers(1, len(held)))
    bounds = equal_shares(np.array(held), blocks)
    assert bounds[0] == 0 and bounds[-1] == len(held) and len(bounds) == blocks + 1 and (np.diff(bounds) >= 0).all()
    sums = [sum(held[a:b]) for a, b in pairwise(bounds)]
    assert max(sums) <= sum(held) / blocks + max(held)


@given(st.integers(1, 9), st.integers(0, 1), st.booleans(), st.data())
def test_parts_are_put_together_again(length: int, axis: int, by_first: bool, data: Any) -> None:
    inner = data.draw(st.lists(st.integers(0, length), max_size=4))
    bounds = np.array([0, *sorted(inner), length])
    cut = Along(bounds, int(np.diff(bounds).max()) + 1, axis, by_first)
    array = np.moveaxis(np.arange(1.0, 3 * length + 1).reshape(length, 3), 0, axis)
    parts = [cut.block(array, k) for k in range(len(bounds) - 1)]
    assert len({part.shape for part in parts}) == 1
    np.testing.assert_array_equal(cut.whole(parts), array)
    last = np.moveaxis(np.stack(parts), axis + 1, 1)[:, -1]
    filled = np.moveaxis(array, axis, 0)[0] if by_first else np.zeros(3)
    np.testing.assert_array_equal(last, np.broadcast_to(filled, last.shape))
    assert not np.moveaxis(cut.block(array, 0, moment=True), axis, 0)[-1].any()


def test_blocks_hold_all_connections_once() -> None:
    one = random_problem(0, neurons=23, electrical=4)
    blocks = cut_model(one.model, one.params, 5)
    n, size = one.model.neurons, blocks.rows.size
    dense = np.zeros((2, n, 2 * n))
    pattern = one.model.recurrent.pattern
    np.add.at(dense[0], (np.asarray(pattern.row_of()), np.asarray(pattern.indices)), np.asarray(one.params["weights"]))
    for k in range(len(blocks)):
        local, facts = blocks.of_block(k)
        own, start = local.recurrent.pattern, blocks.rows.bounds[k]
        weights = blocks.params(one.params, k)["weights"]
        block, at = np.divmod(np.asarray(own.indices), 2 * size)
        kind, neuron = np.divmod(at, size)
        column = kind * n + neuron + blocks.rows.bounds[block]
        row = np.asarray(own.row_of()) + start
        real = np.arange(own.nnz) < facts.connections
        assert not weights[~real].any() and (row[~real] == start + size - 1).all()
        np.add.at(dense[1], (row[real], column[real]), weights[real])
    np.testing.assert_array_equal(dense[1], dense[0])
    back = blocks.whole(
        {key: [blocks.params(one.params, k)[key] for k in range(len(blocks))] for key in one.params}  # type: ignore[dict-item]
    )
    assert all(np.array_equal(back[key], one.params[key]) for key in one.params)


def test_blocks_of_spiking_neurons_follow_spikes() -> None:
    for cell in ("lif", "rate"):
        one = case(cell)
        local, _ = cut_model(one.model, one.params, 3).of_block(1)
        assert local.recurrent.spikes == one.model.neuron.spikes == (cell == "lif")
        assert (local.recurrent.pattern.by_column is not None) == (cell == "lif")


def test_too_many_devices_say_how_many_there_are_before_anything_is_read(tmp_path: Path) -> None:
    here = jax.device_count()
    config = student_config(devices=here + 1)
    says = rf"train\.devices = {here + 1}: JAX finds {here} device.*XLA_FLAGS=--xla_force_host_platform_device_count"
    with pytest.raises(ConfigError, match=says):
        runs.start(config, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()
    one = student()
    with pytest.raises(ConfigError, match=r"train\.devices"):
        train(one.model, one.params, one.cohort, preset("hybrid"), TrainConfig(devices=here + 1))
    assert device_count("all") == here


def student_config(**options: Any) -> Any:
    from connfit.config import Config, DataConfig

    return Config(data=DataConfig(dataset="not read"), train=TrainConfig(**options))


@pytest.mark.parametrize("value", [0, -1, 1.5, "some", True])
def test_devices_are_a_number_or_all(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"train\.devices"):
        TrainConfig(devices=value)


def test_what_cannot_be_cut_is_refused_by_name() -> None:
    one = student()
    with pytest.raises(ConfigError, match=r"train\.devices = 41: 40 neurons"):
        cut_model(one.model, one.params, 41)

    class Mine(Learner[Any]):
        window = 4

        def start(self, *given: Any) -> Any: ...

        def step(self, *given: Any) -> Any: ...

    with pytest.raises(ConfigError, match=r"train\.devices = 2: the learning rule of Mine .* set train\.devices = 1"):
        ModelOnDevices.of(one.model, one.params, Mine(), 2)


def test_fits_of_a_study_take_one_device_each() -> None:
    assert study_config(student_config(devices="all")).train.devices == 1
    assert study_config(student_config(devices="all"), ["train.devices=2"]).train.devices == 2
