"""The penalty on firing rates: its gradient in every rule, what it does to silent and exploding brains, who has it.

In double precision the gradient is that of autodiff through a plain scan. The oracles' equations are in `cell_oracles`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from cell_oracles import (
    BATCH,
    NEURONS,
    QUICK,
    STEPS,
    Case,
    arrays,
    at_rest,
    case,
    jacobian,
    plain_jit,
    plain_step,
    sends,
    shown,
    theta_of,
)
from networks import pieces, random_connectome
from odd_names import odd_brain, odd_movies
from small import OPTIONS

import connfit as cf
from connfit.config import Config, DataConfig, TrainConfig, override
from connfit.errors import ConfigError, DivergedError
from connfit.evaluation.study.rows import row_config, study_rows
from connfit.models import Readout
from connfit.models.cells import find_cell
from connfit.models.cells.integrate_fire import LIF
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.windows import run_window
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.training.firing_penalty import counted_steps, with_firing_penalty
from connfit.training.fit import FitState, train
from connfit.training.learners import WindowedLearner, configured_learner, preset
from connfit.training.learners.firing_rates import FiringPenalty

PENALTY = FiringPenalty(weight=0.7, low=0.35, high=0.4, mean_s=4.0)
"""Neurons of the oracles spike some 0.2 to 1 times a second, in steps of 0.6 s."""

KINDS: dict[str, dict[str, Any]] = {
    "plain": {}, "delay": {"delay": 2}, "forced": {"reads": "single", "forcing": 0.6, "delay": 1},
}  # fmt: skip
CELLS = ("lif", "adaptive-lif")

step = jax.jit(WindowedLearner.step, static_argnames=("self", "trained"), compiler_options=QUICK)


def counted() -> np.ndarray:
    """[K, B] where steps count: not the first two, and not the end of the second recording."""
    return np.stack([np.arange(STEPS) >= 2, (np.arange(STEPS) >= 2) & (np.arange(STEPS) < STEPS - 3)], 1).astype(float)


def penalty_of(one: Case, spikes: jax.Array, counts: np.ndarray, mean: tuple) -> tuple[jax.Array, tuple]:
    """The penalty of a window [K, N, B], with the derivatives of its own rate, and the mean after it: as documented."""
    seconds, own = counts.sum() * one.model.step_s, (spikes * counts[:, None]).sum((0, 2))
    kept = np.exp(-len(counts) * one.model.step_s / PENALTY.mean_s)
    mean = kept * mean[0] + jax.lax.stop_gradient(own), kept * mean[1] + seconds
    rate = own / seconds
    rate += jax.lax.stop_gradient(mean[0] / mean[1] - rate)
    outside = jnp.maximum(1 - rate / PENALTY.low, 0) ** 2 + jnp.maximum(rate / PENALTY.high - 1, 0) ** 2
    return counts.sum() / counts.shape[1] * PENALTY.weight * outside.mean(), mean


def plain_window(one: Case, alone: bool, params: dict, state: tuple, mean: tuple, window: tuple, counts: Any) -> Any:
    """Loss and penalty of a window from a state, by a plain scan; state and mean after it."""
    c, neuron, theta = jnp.asarray(one.reads), one.model.neuron, theta_of(one, params)

    def forward(state: tuple, now: tuple) -> Any:
        given, forced, target, weight, *outside = now
        state, seen = plain_step(one, params, state, (given, forced, *outside), alone=alone)
        error = (weight * (c @ neuron.observed(theta, state[0]) - target) ** 2).sum()
        return state, (error, neuron.output(theta, seen["h"]))

    end, (losses, spikes) = jax.lax.scan(forward, state, window)
    penalty, mean = penalty_of(one, spikes, counts, mean)
    return losses.sum() + penalty, (end, mean, penalty)


def windows_of(one: Case, steps: int) -> list[tuple]:
    every = zip(pieces(one.window, steps), counted().reshape(-1, steps, BATCH), strict=True)
    return [(arrays(piece), counts) for piece, counts in every]


NOTHING = np.ones(NEURONS), np.asarray(1 / PENALTY.low)


def windows_in_a_row(one: Case, steps: int) -> tuple:
    """What each window is given, stacked."""
    return jax.tree.map(lambda *each: jnp.stack(each), *windows_of(one, steps))


def truncated(one: Case, steps: int) -> dict:
    """Autodiff in every window, the state at its start held fixed."""
    slope = jax.grad(partial(plain_window, one, False), has_aux=True)

    def window(before: tuple, now: tuple) -> tuple:
        gradient, (state, mean, _) = slope(one.params, *before, *now)
        return (state, mean), gradient

    whole = jax.jit(lambda: jax.lax.scan(window, (at_rest(one), NOTHING), windows_in_a_row(one, steps))[1])
    return {key: np.asarray(value).sum(0) for key, value in whole().items()}


def across(one: Case, steps: int, inside: bool) -> dict:
    """Autodiff through the whole recording in which derivatives stay in each neuron, but (`inside`) within windows."""

    def loss(params: dict) -> jax.Array:
        def window(before: tuple, now: tuple) -> tuple:
            found, (state, mean, _) = plain_window(one, True, params, *before, *now)
            return (state, mean), plain_window(one, False, params, *before, *now)[0] if inside else found

        return jax.lax.scan(window, (at_rest(one), NOTHING), windows_in_a_row(one, steps))[1].sum()

    return jax.jit(jax.grad(loss), compiler_options=QUICK)(one.params)


def factors(one: Case, decay: float) -> np.ndarray:
    """pp-prop of connections, one step at a time: a penalty of spikes meets the factors of the step before them."""
    params, neuron, brain = one.params, one.model.neuron, one.brain
    s, shape = len(neuron.states), (NEURONS, BATCH)
    theta = {name: jnp.broadcast_to(value, shape) for name, value in theta_of(one, params).items()}
    state, mean, slopes = at_rest(one), NOTHING, []
    slope = jax.grad(lambda spikes, counts, mean: penalty_of(one, spikes, counts, mean), has_aux=True)
    for window, counts in windows_of(one, 4):
        spikes = []
        for now in zip(*window, strict=True):
            given, forced, _, _, *outside = now
            state, seen = plain_jit(one, params, state, (given, forced, *outside))
            spikes.append(neuron.output(theta, seen["h"]))
        by_spike, mean = slope(jnp.stack(spikes), counts, mean)
        slopes += list(np.asarray(by_spike))
    slopes.append(np.zeros(shape))
    post, pre, total, state = np.zeros((s, *shape)), np.zeros(shape), np.zeros(brain.m), at_rest(one)
    for t in range(STEPS):
        given, forced, target, weight, *outside = (np.asarray(a[t]) for a in arrays(one.window))
        state, seen = plain_jit(one, params, state, (given, forced, *outside))
        found = jacobian(neuron, theta, seen["h"], tuple(seen["x"]))
        a = np.array([[found[p][1][q] for q in range(s)] for p in range(s)])
        post = decay * np.einsum("pqnb,qnb->pnb", a, post) + (1 - decay) * np.array([found[p][2][0] for p in range(s)])
        pre = decay * pre + np.asarray(seen["arriving"])
        error = one.reads.T @ (2 * weight * (one.reads @ np.asarray(neuron.observed(theta, state[0])) - target))
        direct = np.stack(shown(neuron, theta, state[0])[1]) * error
        direct += np.stack(sends(neuron, theta, state[0])[1]) * slopes[t + 1]
        left = (direct * post).sum(0) / (1 - decay ** (t + 1))
        total += (left[brain.posts] * pre[brain.indices]).sum(axis=1)
    return total * np.asarray(brain.connection_signs, float)


def run(learner: WindowedLearner, one: Case) -> dict:
    """Gradient of a learner with the penalty, summed over the windows, parameters fixed."""
    learner, groups = replace(learner, firing=PENALTY), one.model.groups
    memory, total = learner.start(one.model, BATCH, groups), dict.fromkeys(one.params, 0)
    for piece, counts in zip(
        pieces(one.window, learner.window), counted().reshape(-1, learner.window, BATCH), strict=True
    ):  # fmt: skip
        window = piece._replace(counted=jnp.asarray(counts))
        result, memory = step(learner, one.model, one.params, memory, window, trained=groups)
        total = {key: total[key] + np.asarray(value) for key, value in result.gradient.items()}
    return total


def assert_same(got: dict, expected: dict) -> None:
    for key in expected:
        scale = float(np.abs(expected[key]).max())
        assert scale > 0 or key == "refractory", key
        np.testing.assert_allclose(got[key] / (scale or 1), expected[key] / (scale or 1), 1e-10, 1e-10, err_msg=key)


EVERY = [(cell, kind) for cell in CELLS for kind in KINDS]
LOSSES = {
    "tbptt": (WindowedLearner(4, "network", "none"), partial(truncated, steps=4)),
    "bptt": (WindowedLearner(STEPS, "network", "none"), partial(truncated, steps=STEPS)),
    "d-rtrl": (WindowedLearner(4, "neuron", "trace"), partial(across, steps=4, inside=False)),
    "hybrid": (WindowedLearner(4, "network", "trace"), partial(across, steps=4, inside=True)),
}
QUICK_ONES = {("lif", "delay", "hybrid"), ("adaptive-lif", "plain", "d-rtrl"), ("lif", "plain", "tbptt")}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("cell", "kind", "rule"),
    [
        pytest.param(*which, rule, marks=() if (*which, rule) in QUICK_ONES else pytest.mark.slow)
        for which in EVERY
        for rule in LOSSES
    ],
)
def test_the_gradient_of_loss_and_penalty_is_that_of_autodiff(cell: str, kind: str, rule: str) -> None:
    one, (learner, oracle) = case(cell, **KINDS[kind]), LOSSES[rule]
    assert_same(run(learner, one), oracle(one))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("cell", [CELLS[0], pytest.param(CELLS[1], marks=pytest.mark.slow)])
def test_pp_prop_meets_the_factors_of_the_step_before_a_spike(cell: str) -> None:
    one = case(cell, delay=1)
    got = run(WindowedLearner(4, "neuron", "factorised", trace_decay=0.7), one)
    assert_same({"weights": got["weights"]}, {"weights": factors(one, 0.7)})


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("credit", ["neuron", "network"])
def test_a_whole_history_is_the_trace_with_a_penalty_too(credit: str) -> None:
    one = case("lif", delay=1)
    whole = run(WindowedLearner(4, credit, "history", history=STEPS), one)
    assert_same(whole, run(WindowedLearner(4, credit, "trace"), one))


HALF = 12
BAND = (2.0, 20.0)


@pytest.fixture(scope="module")
def extremes() -> tuple[ConnectomeModel, dict[str, jax.Array], Cohort]:
    """Of 26 neurons two are read; of the others half are silent, and half spike at more than twice the band's edge.

    The loss says nothing of what nobody reads, and D-RTRL gives no credit through connections.
    """
    rng, n, substeps = np.random.default_rng(0), 2 + 2 * HALF, 50
    brain = random_connectome(rng, n, 6)
    readout = Readout(sp.csr_array(np.eye(2, n)), ("a", "b"))
    values = np.abs(5 + rng.normal(size=(60, 2))).astype(np.float32)
    movie = Recording("movie", values, ("a", "b"), 10.0).split(train=0.9, validation=0.0)
    cohort = Cohort.from_recordings([movie], substeps=substeps)
    given = ModelConditions(
        connectome=brain, readout=readout, step_s=cohort.step_s, drive="none", delay=1, bounds_s=(0.01, 1.0)
    )
    model = ConnectomeModel.wire(given, LIF())
    start = {**model.own_start(), "log_time_constants": jnp.full(n, np.log(0.1))}
    theta = model.constants(start)
    per_mv = (1 - theta["membrane"]) * (1 - theta["synapse"]) / theta["passed_on"]  # input that holds 1 mV
    millivolts = jnp.asarray([8.0] * 2 + [4.0] * HALF + [16.0] * HALF)
    params = {"weights": jnp.asarray(0.02 * brain.counts, jnp.float32), "bias": per_mv[:, 0] * millivolts, **start}
    return model, params, cohort


def rates_of(model: ConnectomeModel, params: dict[str, jax.Array], seconds: float) -> np.ndarray:
    """Hertz of each neuron, from rest on."""
    nothing = jnp.zeros((round(seconds / model.step_s), 2, 1))
    _, seen = jax.jit(run_window)(model, params, model.rest(), nothing, nothing > 0)
    return np.asarray(model.neuron.output(model.constants(params), seen.states))[..., 0].mean(0) / model.step_s


def test_silent_and_exploding_neurons_come_into_the_band_by_the_penalty_alone(extremes: tuple) -> None:
    model, params, cohort = extremes
    learned = tuple(group for group in model.groups if group != "refractory")
    before = rates_of(model, params, 4.0)[2:]
    assert (before[:HALF] == 0).all() and (before[HALF:] > 2 * BAND[1]).all()

    def fitted(weight: float) -> cf.Fit:
        config = TrainConfig(
            epochs=4, learning_rate=0.03, warmup_frames=5, firing_rate_penalty=weight, firing_rate_band_hz=BAND,
            firing_rate_mean_s=2.0,
        )  # fmt: skip
        return train(model, params, cohort, preset("d-rtrl", window=50), config, trained=learned)

    without, penalised = fitted(0.0), fitted(1.0)
    alone = rates_of(model, without.params, 4.0)[2:]
    assert (alone[:HALF] == 0).all() and (alone[HALF:] > 2 * BAND[1]).all(), "nobody reads them"
    after = rates_of(model, penalised.params, 4.0)[2:]
    assert (after > 0.5 * BAND[0]).all() and (after < 1.25 * BAND[1]).all(), after

    columns = {"firing_rate_penalty", "below_band", "above_band"}
    assert not columns & set(without.history[0])
    assert set(penalised.history[0]) == columns | set(without.history[0])
    first, last = penalised.history[0], penalised.history[-1]
    assert first["firing_rate_penalty"] > 0.1 > 10 * last["firing_rate_penalty"]
    assert last["below_band"] + last["above_band"] < 0.2
    # What is shown as loss is the data's.
    assert last["train_loss"] == pytest.approx(without.history[-1]["train_loss"], rel=0.25)


def test_a_diverging_fit_of_spikes_names_the_width_of_their_surrogate(extremes: tuple) -> None:
    model, params, cohort = extremes
    broken = {**params, "response": params["response"].at[0].set(jnp.inf)}
    config = TrainConfig(epochs=1, learning_rate=0.03, warmup_frames=5)
    with pytest.raises(DivergedError, match=r"is not finite in window 0 .*model\.cell_options\.surrogate_width"):
        train(model, broken, cohort, preset("d-rtrl", window=50), config, trained=("bias", "weights"))


def test_a_fit_with_a_penalty_goes_on_as_if_it_had_not_stopped(extremes: tuple) -> None:
    model, params, cohort = extremes
    config = TrainConfig(
        epochs=2, learning_rate=0.03, warmup_frames=5, firing_rate_penalty=1.0, firing_rate_band_hz=BAND
    )
    states: list[FitState] = []

    def keep(state: FitState) -> None:  # the next epoch consumes the arrays
        params, optimiser = jax.tree.map(np.array, (state.params, state.optimiser))
        states.append(replace(state, params=params, optimiser=optimiser))

    def fitted(**options: Any) -> cf.Fit:
        return train(
            model, params, cohort, preset("pp-prop", window=50), config, trained=("bias", "weights"), **options
        )

    whole = fitted(on_epoch=keep)
    resumed = fitted(state=states[0])
    for key in ("bias", "weights"):
        np.testing.assert_array_equal(whole.params[key], resumed.params[key])
    timed = ("ms_per_step", "seconds")
    both = [[{k: v for k, v in row.items() if k not in timed} for row in fit.history] for fit in (whole, resumed)]
    assert both[0] == both[1] and both[0][1]["firing_rate_penalty"] > 0


def test_the_mean_forgets_with_its_time_constant_and_not_where_nothing_counts() -> None:
    model = case("lif").model
    penalty = FiringPenalty(weight=2.0, low=0.5, high=4.0, mean_s=3.0)
    start = penalty.start(model)
    np.testing.assert_allclose(start.rates, 0.5, err_msg="at the edge of the band: no penalty before the first step")
    spikes = jnp.zeros((5, NEURONS, BATCH)).at[:, 0].set(1).at[2, 1, 0].set(1)
    _, _, same = penalty.score(model, start, spikes, jnp.zeros((5, BATCH)))
    jax.tree.map(np.testing.assert_array_equal, same, start)
    found, adjoint, mean = penalty.score(model, start, spikes, None)
    kept, seconds = np.exp(-5 * 0.6 / 3.0), 2 * 5 * 0.6
    counts = np.zeros(NEURONS)
    counts[:2] = 10, 1
    rates = (kept + counts) / (kept / 0.5 + seconds)
    np.testing.assert_allclose(mean.rates, rates, rtol=1e-6)
    outside = np.maximum(1 - rates / 0.5, 0) ** 2 + np.maximum(rates / 4 - 1, 0) ** 2
    assert float(found.penalty) == pytest.approx(2 * outside.mean(), rel=1e-6)
    assert float(found.below) == pytest.approx(1 - 1 / NEURONS) and float(found.above) == 0
    assert (adjoint.slope[1:] < 0).all() and float(adjoint.slope[0]) == 0
    whole_silence = FiringPenalty(2.0, 0.5, 4.0, 1e-9).score(model, start, 0 * spikes, None)[0]
    assert float(whole_silence.penalty) == pytest.approx(2.0), "a silent brain costs the weight"
    no_floor = FiringPenalty(2.0, 0.0, 4.0, 3.0)
    assert float(no_floor.score(model, no_floor.start(model), 0 * spikes, None)[0].penalty) == 0


def test_steps_count_from_the_warm_up_to_the_end_of_each_recording() -> None:
    steps = [counted_steps(first, 4, 3, (10, 6)) for first in (0, 4, 8)]
    np.testing.assert_array_equal(
        np.concatenate(steps).T, [[0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]]
    )


def test_who_cannot_have_it_is_told_so() -> None:
    config = TrainConfig(firing_rate_penalty=0.5)
    lif, rate = case("lif").model, case("rate").model
    foreign = type("Foreign", (), {})()
    for model, learner, options, message in (
        (
            rate,
            preset("d-rtrl"),
            config,
            r"train\.firing_rate_penalty = 0\.5 counts spikes, and the cell Rate sends none",
        ),
        (lif, preset("immediate"), config, "gives no credit"),
        (lif, foreign, config, "the learning rule of Foreign knows of no penalty"),
    ):
        with pytest.raises(ConfigError, match=message):
            with_firing_penalty(learner, model, options)
    assert with_firing_penalty(preset("d-rtrl"), rate, TrainConfig()) == preset("d-rtrl"), "off by default"
    for rule in ("d-rtrl", "hybrid", "pp-prop", "tbptt", "bptt"):
        assert with_firing_penalty(preset(rule, window=4), lif, config).firing == FiringPenalty(0.5, 0.1, 20.0, 10.0)
    for band in ((5.0, 1.0), (-1.0, 2.0), (0.0, 0.0)):
        with pytest.raises(ConfigError, match=r"train\.firing_rate_band_hz = "):
            TrainConfig(firing_rate_band_hz=band)
    with pytest.raises(ConfigError, match="counts spikes"):
        cf.fit(odd_brain(), odd_movies()[0], progress=False, **{**OPTIONS, "firing_rate_penalty": 0.5, "epochs": 1})


def test_rows_of_a_study_that_cannot_have_it_go_without_and_say_so() -> None:
    config = override(
        Config(data=DataConfig()), ["data.dataset=demo", "model.cell=lif", "train.firing_rate_penalty=0.5"]
    )
    rows = {row.name: row_config(row, config, 0) for row in study_rows(config, ()) if row.fitted}
    without = {name for name, row in rows.items() if not row.train.firing_rate_penalty}
    assert "immediate" in without and not without & {"connectome", "d_rtrl", "pp_prop", "rmsprop"}
    for name, row in rows.items():
        learner, cell = configured_learner(row.learner), find_cell(row.model.cell).neuron
        assert (name in without) == (not cell.spikes or not learner.through_time), name
    said = {row.name for row in study_rows(config, ()) if "without the penalty on firing rates" in row.changes}
    assert said == without
