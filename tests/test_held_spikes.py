"""Stimulation and silencing where neurons spike: against a network that NumPy steps by hand, and as the command."""

from __future__ import annotations

import numpy as np
import pytest
from plain_spikes import NEURONS, STEP_S, SUBSTEPS, PlainSpikes, Spiking, spiking

from connfit.errors import ConfigError
from connfit.models.held_rates import NO_SPIKES, TrainingRange, silence_of
from connfit.models.perturb import GOLDEN, HeldNeurons, settled, settling_steps, simulate_perturbed
from connfit.models.pulse import Stimulations, pulse_inputs
from connfit.models.silencing import silencing_changes

FRAMES = 40


def by_hand(of: Spiking, held: HeldNeurons, settle: int, drive: str, current: np.ndarray | float = 0.0) -> tuple:
    """Spikes [steps, N] and read-outs [steps, P] after units have shown their mean for `settle` steps."""
    mean = of.cohort.mean_activity()
    plain = PlainSpikes(of)
    for _ in range(settle):
        plain.step(mean)
    plain.hold(
        {
            int(k): ((0.5 + GOLDEN * at) % 1, rate * STEP_S)
            for at, (k, rate) in enumerate(zip(held.neurons, held.rates, strict=True))
        }
    )
    shown = {"own": lambda now: now.shown, "mean": lambda _: mean}[drive]
    spikes, units = zip(*plain.run(FRAMES * SUBSTEPS, shown, current=current), strict=True)
    return np.array(spikes), np.array(units)


@pytest.mark.parametrize(("cell", "drive"), [("lif", "own"), ("adaptive-lif", "mean")])
def test_responses_are_those_of_steps_by_hand(cell: str, drive: str, float64: None) -> None:
    of = spiking(cell)
    mean, watched = of.cohort.mean_activity(), [np.array([1, 2, 3]), np.array([20])]
    held = HeldNeurons(np.array([2, 5, 10, 11]), np.array([37.3, 12.9, 0.0, 37.3]))
    start = settled(of.model, of.params, mean)
    got = simulate_perturbed(
        of.model, of.params, held, FRAMES * SUBSTEPS, start.neurons, mean=mean, drive=drive, watched=watched,
        substeps=SUBSTEPS,
    )  # fmt: skip
    frame_s = SUBSTEPS * STEP_S
    for which, neurons, units, sets in (
        (held, got.neuron_perturbed, got.perturbed, got.set_perturbed),
        (HeldNeurons(), got.neuron_baseline, got.baseline, got.set_baseline),
    ):
        spikes, shown = by_hand(of, which, start.steps, drive)
        counts = spikes.reshape(FRAMES, SUBSTEPS, NEURONS).sum(axis=1)
        assert (counts.sum(axis=0) > 0).sum() > 8
        np.testing.assert_allclose(neurons, counts[FRAMES // 2 :].sum(axis=0) / (FRAMES // 2 * frame_s))
        np.testing.assert_allclose(units, shown[SUBSTEPS - 1 :: SUBSTEPS], rtol=1e-9)
        np.testing.assert_allclose(sets, np.stack([counts[:, of].mean(axis=1) for of in watched], axis=1) / frame_s)
    # In 2 s of the last half, to a spike.
    np.testing.assert_allclose(got.neuron_perturbed[held.neurons], held.rates, atol=0.5)
    assert got.neuron_perturbed[10] == 0 < got.neuron_baseline[10]
    free = np.setdiff1d(np.arange(NEURONS), held.neurons)
    assert np.abs(got.change[free]).max() > 1


def test_held_neurons_spike_at_equal_intervals_and_one_after_the_other(float64: None) -> None:
    of = spiking("adaptive-lif")
    spikes, _ = by_hand(of, HeldNeurons(np.arange(8), np.full(8, 20.0)), 300, "own")
    assert spikes[:, :8].sum(axis=1).max() <= 2
    for train in spikes[:, :8].T:
        assert set(np.diff(np.flatnonzero(train))) == {10}


def test_what_cannot_be_is_said(float64: None) -> None:
    of = spiking("lif")
    with pytest.raises(
        ConfigError, match=r"cannot be held at 201 Hz: they spike once in a step at most, .* 5 ms .* 200"
    ):
        simulate_perturbed(of.model, of.params, HeldNeurons(np.array([1]), np.array([201.0])), 40, of.model.rest())
    with pytest.raises(ConfigError, match="must have 40 or more model steps in frames of 20, not 50"):
        simulate_perturbed(of.model, of.params, HeldNeurons(), 50, of.model.rest(), substeps=SUBSTEPS)
    with pytest.raises(ConfigError, match="--silence-at is 'floor', but neurons of this fit spike"):
        silence_of(of.model, "floor", "--silence-at")
    assert silence_of(of.model, None) == silence_of(of.model, "zero") == NO_SPIKES


def test_a_model_settles_for_five_of_its_longest_time_constants(float64: None) -> None:
    of = spiking("adaptive-lif")
    assert settling_steps(of.model, of.params) == 256
    slow = {**of.params, "log_adaptation": of.params["log_adaptation"].at[3].set(np.log(0.4))}
    assert settling_steps(of.model, slow) == 400


def test_a_pulse_of_strength_1_brings_neurons_from_rest_to_their_threshold(float64: None) -> None:
    of = spiking("adaptive-lif", drive="none")
    for strength, spike in ((0.99, False), (1.01, True)):
        size = pulse_inputs(of.model, of.params, Stimulations(strength=strength), 3.0)
        plain = PlainSpikes(of)
        plain.p["bias"], plain.w = 0 * size, 0 * plain.w
        spikes = np.array([now for now, _ in plain.run(400, lambda _: None, current=size)])
        assert (spikes.any(axis=0) == spike).all()


def test_neurons_that_are_silenced_during_a_pulse_send_nothing(float64: None) -> None:
    of = spiking("lif")
    mean, steps = of.cohort.mean_activity(), 200
    often = np.array([now for now, _ in PlainSpikes(of).run(256, lambda _: mean)]).sum(axis=0)
    silenced = np.argsort(-often)[:3]
    how = Stimulations(pulse_s=0.02, window_s=steps * STEP_S, strength=2.0, drive="mean")
    seen = TrainingRange.of(of.model, of.params, of.cohort)
    got = silencing_changes(
        of.model, of.params, [np.array([5])], [silenced], how, unit_of_strength=1.0, mean=mean, seen=seen
    )  # fmt: skip
    sums = []
    for held in (silenced, []):
        plain = PlainSpikes(of)
        for _ in range(256):
            plain.step(mean)
        plain.hold({int(k): (0.0, 0.0) for k in held})
        size, total = pulse_inputs(of.model, of.params, how, 1.0) * (np.arange(NEURONS) == 5), np.zeros(NEURONS)
        for step in range(steps):
            plain.step(mean, current=size if step < 4 else 0.0)
            total += plain.seen
        sums.append(total / steps)
    np.testing.assert_allclose(got[0], sums[0] - sums[1], rtol=1e-6, atol=1e-9)
    assert np.abs(np.delete(got[0], silenced)).max() > 0.1
