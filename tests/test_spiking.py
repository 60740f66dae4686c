"""Spiking networks against closed forms, and their two implementations against each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import chi2

from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.models.spiking import SHIU, GivenTrains, LeakyNeuron, PoissonTrains, SpikingNetwork, spikes_of
from connfit.models.spiking.native_runs import available

IMPLEMENTATIONS = ("native", "portable")


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def wired(counts: np.ndarray, signs: np.ndarray | None = None) -> Connectome:
    """A connectome with counts[post, pre] synapses."""
    matrix = sp.csr_array(counts)
    n = matrix.shape[0]
    blank = [""] * n
    table = pd.DataFrame({"id": [f"n{k}" for k in range(n)]} | dict.fromkeys(("type", "region", "transmitter"), blank))
    signs = np.ones(n, int) if signs is None else signs
    return Connectome("made", matrix.indptr, matrix.indices, matrix.data, signs, table.assign(side=blank))


def random_brain(n: int = 60, seed: int = 0) -> Connectome:
    rng = np.random.default_rng(seed)
    counts = np.where(rng.random((n, n)) < 0.15, rng.integers(1, 90, (n, n)), 0)
    return wired(counts, np.where(rng.random(n) < 0.7, 1, -1))


def run(
    network: SpikingNetwork,
    stimulated: list[int],
    events: np.ndarray,
    step_ms: float = 0.1,
    **how: object,
) -> np.ndarray:
    """[T, N, B] spikes of all neurons."""
    given = {"watched": np.arange(network.neurons), **how}
    chunks = list(spikes_of(network, np.array(stimulated, int), GivenTrains(events), len(events), step_ms, **given))  # type: ignore[arg-type]
    spikes = np.concatenate([chunk.spikes for chunk in chunks])
    assert np.array_equal(chunks[-1].counts, spikes.sum(axis=0))
    return spikes


def once(steps: int) -> np.ndarray:
    """One event, in the first step."""
    events = np.zeros((steps, 1, 1), bool)
    events[0] = True
    return events


def psp_mv(weight_mv: float, ms: np.ndarray) -> np.ndarray:
    """v above rest after a spike that adds `weight_mv` to g at 0: the closed form."""
    factor = SHIU.synapse_ms / (SHIU.synapse_ms - SHIU.membrane_ms)
    return weight_mv * factor * (np.exp(-ms / SHIU.synapse_ms) - np.exp(-ms / SHIU.membrane_ms))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("step_ms", [0.1, 0.2, 0.05])
def test_a_postsynaptic_potential_crosses_the_threshold_when_its_closed_form_does(
    implementation: str, step_ms: float
) -> None:
    # The peak of a PSP is 4^(-1/3) - 4^(-4/3) = 0.4725 of its weight: 7 mV are reached from 14.816 mV on.
    peak = psp_mv(1, np.array(math.log(4) * 20 / 3))
    times = step_ms * np.arange(1, 3000)
    delay = round(SHIU.delay_ms / step_ms)
    for excess in (-1e-3, 1e-3, 0.5, 3.0):
        weight = 7 * (1 + excess) / float(peak)
        network = SpikingNetwork.of(
            wired(np.array([[0, 0], [1, 0]])), replace(SHIU, synapse_mv=weight), dtype=np.float64
        )
        spikes = run(network, [0], once(1000), step_ms, implementation=implementation)[..., 0]
        # The event lifts v in step 0, the neuron spikes in step 1, and that arrives after the delay.
        assert np.flatnonzero(spikes[:, 0]).tolist() == [1]
        over = np.flatnonzero(psp_mv(weight, times) > 7)
        expected = [1 + delay + 1 + int(over[0])] if len(over) else []
        assert np.flatnonzero(spikes[:, 1]).tolist()[:1] == expected, excess


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_rate_under_constant_current_is_that_of_the_closed_form(implementation: str) -> None:
    currents = np.array([6.99, 7.01, 8.0, 12.0, 40.0, 1e4])
    network = SpikingNetwork.of(wired(np.zeros((6, 6), int)), dtype=np.float64)
    steps = 20_000
    events = np.zeros((steps, 0, 1), bool)
    spikes = run(network, [], events, current=currents, implementation=implementation)[..., 0]
    for current, mine in zip(currents, spikes.T, strict=True):
        at = np.flatnonzero(mine)
        if current <= 7:
            assert not len(at)
            continue
        # v = I (1 - exp(-t / 20 ms)) exceeds 7 mV in the first step after 20 ms ln(I / (I - 7)), which begins when the
        # refractory period of 22 steps ends.
        climb = math.floor(200 * math.log(current / (current - 7))) + 1
        assert at[0] == climb - 1
        assert (np.diff(at) == climb + 22 - 1).all()
        assert len(at) == 1 + (steps - climb) // (climb + 22 - 1)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_stimulated_neurons_have_no_refractory_period_and_others_do(implementation: str) -> None:
    brain = wired(np.array([[0, 0], [1, 0]]))
    network = SpikingNetwork.of(brain, replace(SHIU, synapse_mv=1e4), dtype=np.float64)
    events = np.ones((200, 1, 1), bool)
    spikes = run(network, [0], events, implementation=implementation)[..., 0]
    # An event in the step of a spike is lost: every second step.
    assert np.flatnonzero(spikes[:, 0]).tolist() == list(range(1, 200, 2))
    # What arrives while the other is refractory is lost; then v exceeds the threshold one step after the next spike.
    at = np.flatnonzero(spikes[:, 1])
    assert at[0] == 1 + 18 + 1
    assert set(np.diff(at)) == {24}  # 22 steps, then a spike arrives in one of two steps, and lifts v in the next


@pytest.mark.parametrize("step_ms", [0.1, 0.2, 0.05, 0.02])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_delay_is_a_number_of_steps(implementation: str, step_ms: float) -> None:
    network = SpikingNetwork.of(wired(np.array([[0, 0], [1, 0]])), replace(SHIU, synapse_mv=1e6), dtype=np.float64)
    spikes = run(network, [0], once(200), step_ms, implementation=implementation)[..., 0]
    assert np.flatnonzero(spikes[:, 1]).tolist()[:1] == [1 + round(1.8 / step_ms) + 1]


@pytest.mark.parametrize(
    ("step_ms", "why"),
    [
        (0.5, r"delay of 1\.8 ms is 3\.6 steps of 0\.5 ms.*with a step of 0\.2, 0\.1, 0\.05 ms"),
        (0.3, r"refractory period of 2\.2 ms is 7\.33 steps"),
        (0.0, r"step is 0 ms, but must be above 0"),
        (float("nan"), "must be above 0"),
    ],
)
def test_times_that_are_no_whole_number_of_steps_are_refused(step_ms: float, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        SHIU.stepped(step_ms)


def test_constants_out_of_range_are_refused() -> None:
    for wrong in ({"membrane_ms": 0.0}, {"refractory_ms": -1.0}, {"threshold_mv": -53.0}, {"delay_ms": math.nan}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            LeakyNeuron(**wrong)  # type: ignore[arg-type]


def test_equal_time_constants_have_their_own_closed_form() -> None:
    same, near = (LeakyNeuron(synapse_ms=ms).stepped(0.1) for ms in (20.0, 20.0001))
    assert same.from_g == pytest.approx(near.from_g, rel=1e-5)


def test_both_implementations_agree_whatever_the_chunks_and_the_runs_beside() -> None:
    if not available():
        pytest.skip("the native kernels are not here")
    brain = random_brain()
    rng = np.random.default_rng(1)
    events = rng.random((1500, 8, 3)) < 0.02
    silent = np.zeros((60, 3), bool)
    silent[[3, 20, 41], [0, 1, 1]] = True
    current = rng.uniform(0, 8, 60)
    for dtype in (np.float64, np.float32):
        network = SpikingNetwork.of(brain, dtype=dtype)
        with jax.enable_x64(dtype is np.float64):
            for given in ({}, {"silent": silent}, {"current": current}):
                first, second = (
                    run(network, list(range(8)), events, implementation=name, chunk=chunk, **given)
                    for name, chunk in (("native", 1500), ("portable", 400))
                )
                assert first.sum() > 1000
                # Rounding differs between compilers: in single precision it may move a spike by a step, later on.
                until = 1500 if dtype is np.float64 else 500
                assert np.array_equal(first[:until], second[:until])
        alone = run(network, list(range(8)), events[:, :, 1:2], implementation="native", chunk=77)
        together = run(network, list(range(8)), events, implementation="native")
        assert np.array_equal(alone[..., 0], together[..., 1])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_silent_neurons_reach_nobody(implementation: str) -> None:
    brain, events = random_brain(), np.random.default_rng(2).random((800, 8, 1)) < 0.02
    silent = np.zeros((60, 1), bool)
    silent[[2, 30]] = True
    spikes = run(
        SpikingNetwork.of(brain, dtype=np.float64), list(range(8)), events, silent=silent, implementation=implementation
    )
    counts = sp.csr_array((brain.counts, brain.indices, brain.indptr), shape=(60, 60)).toarray()
    counts[:, [2, 30]] = 0
    cut = SpikingNetwork.of(wired(counts, brain.signs), dtype=np.float64)
    without = run(cut, list(range(8)), events, implementation=implementation)
    assert spikes[:, 2].any()
    assert np.array_equal(spikes, without)
    heard = run(SpikingNetwork.of(brain, dtype=np.float64), list(range(8)), events, implementation=implementation)
    assert not np.array_equal(spikes, heard)


def test_wiring_has_the_signs_and_synapses_of_the_connectome() -> None:
    brain = random_brain()
    network = SpikingNetwork.of(brain, dtype=np.float64)
    np.testing.assert_allclose(np.asarray(network.weights), 0.275 * brain.signs[brain.indices] * brain.counts)
    electrical = np.zeros(4, bool)
    electrical[2:] = True
    table = pd.DataFrame({key: ["", ""] for key in ("type", "region", "transmitter", "side")}).assign(id=["a", "b"])
    mixed = Connectome(
        "m", [0, 2, 4], [1, 1, 0, 0], [3, 1, 5, 1], [1, -1], table, electrical=[False, True, False, True]
    )
    chemical = SpikingNetwork.of(mixed, dtype=np.float64)
    assert np.asarray(chemical.pattern.indptr).tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.asarray(chemical.weights), [-3 * 0.275, 5 * 0.275])
    with pytest.raises(ConfigError, match="real-valued weights, but this model counts synapses"):
        SpikingNetwork.of(replace(brain, counts=brain.counts + 0.5))


def test_events_follow_from_the_seed_alone_and_have_the_rate() -> None:
    rates = np.array([[50.0, 150.0, 150.0], [0.0, 150.0, 150.0]])
    seeds = [(3, 0), (3, 0), (3, 1)]
    whole = PoissonTrains(rates, 0.1, seeds).draw(40_000)
    parts = PoissonTrains(rates, 0.1, seeds)
    assert np.array_equal(whole, np.concatenate([parts.draw(15_000), parts.draw(25_000)]))
    alone = PoissonTrains(rates[:, 2:], 0.1, seeds[2:]).draw(40_000)
    assert np.array_equal(whole[..., 2], alone[..., 0])
    # Those at 50 Hz are among those at 150 Hz of the same seed; other seeds have others.
    assert not (whole[:, 0, 0] & ~whole[:, 0, 1]).any()
    assert not np.array_equal(whole[..., 1], whole[..., 2])
    assert not whole[:, 1, 0].any()
    counts = whole[:, :, 1:].sum(axis=0)
    expected = 4 * 150 * (1 - 0.015)
    statistic = ((counts - 600) ** 2).sum() / (expected / 4)
    assert chi2.sf(statistic, counts.size) > 1e-3
    for wrong, why in ((-1.0, "0 or more"), (math.inf, "0 or more"), (10_001.0, "at most 10000 Hz")):
        with pytest.raises(ConfigError, match=why):
            PoissonTrains(np.array([[wrong]]), 0.1, [(0, 0)])


def test_shapes_that_contradict_each_other_are_refused() -> None:
    network = SpikingNetwork.of(random_brain())
    events = np.zeros((10, 2, 1), bool)
    with pytest.raises(ConfigError, match=r"stimulated has shape \(1,\), but must have \(2,\)"):
        next(spikes_of(network, np.array([0]), GivenTrains(events), 10, 0.1))
    with pytest.raises(ConfigError, match=r"silent has shape"):
        next(spikes_of(network, np.array([0, 1]), GivenTrains(events), 10, 0.1, silent=np.zeros((60, 2), bool)))
    with pytest.raises(ConfigError, match="events are given for 10 steps, but 11 are simulated"):
        list(spikes_of(network, np.array([0, 1]), GivenTrains(events), 11, 0.1))
