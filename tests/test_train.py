"""Fitting: what a step does to the parameters, the schedule, selection, reproducibility, and what stops a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import FRAMES, student

from connfit.config import TrainConfig
from connfit.errors import ConfigError, DataError, DivergedError
from connfit.models import ops
from connfit.models.base import Neurons, group_of
from connfit.models.ops import native
from connfit.recordings import Parts
from connfit.recordings.cohort import Cohort
from connfit.training.fit import FitState, Progress, train
from connfit.training.fitted import Fit
from connfit.training.learners import WindowArrays, WindowedLearner, preset
from connfit.training.learners.learner import WindowResult
from connfit.training.learning_rates import parameter_sizes
from connfit.training.optimiser import OPTIMISERS, RMS_DECAY, state_arrays, state_from_arrays
from connfit.training.step import StepOptions, training_step

LEARNER = WindowedLearner(8)
window_gradient = jax.jit(WindowedLearner.step, static_argnames=("self", "trained"))
WARMUP = 5
TRAIN = round(0.6 * FRAMES)


def run(learner: Any = LEARNER, cohort: Cohort | None = None, params: dict | None = None, **options: Any) -> Fit:
    """A fit of the student; options of `train` itself go in under their names."""
    one = student()
    own = {key: options.pop(key) for key in ("trained", "seed", "state", "on_progress", "on_epoch") if key in options}
    # What these tests expect of rates is absolute: the same step for every group.
    sizes = parameter_sizes(one.model, one.params, one.cohort)
    even = {group_of(key): 1 / size for key, size in sizes.items()}
    usual = {"epochs": 3, "learning_rate": 0.01, "warmup_frames": WARMUP, "select_on": "one_step", "rate_scale": even}
    config = TrainConfig(**{**usual, **options})
    return train(one.model, params or one.params, cohort or one.cohort, learner, config, **own)


def same(a: dict, b: dict) -> bool:
    return set(a) == set(b) and all(np.array_equal(a[key], b[key]) for key in a)


def copied(state: FitState) -> FitState:
    """The state, safe from the next epoch, which consumes its buffers."""
    params, optimiser = jax.tree.map(np.array, (state.params, state.optimiser))
    return replace(state, params=params, optimiser=optimiser)


def poor_start() -> dict:
    """Parameters that any training improves, so that the best epoch comes after the start."""
    return {**student().params, "bias": student().params["bias"] + 0.3}


def losses(fitted: Fit) -> list[float]:
    return [row["train_loss"] for row in fitted.history]


def test_it_learns_the_teacher() -> None:
    fitted = run(epochs=15, learning_rate=0.01)
    assert losses(fitted)[-1] < 0.8 * losses(fitted)[0]
    assert max(row["validation_skill"] for row in fitted.history) > 0.15
    assert len(fitted.history) == 15 and [row["epoch"] for row in fitted.history] == list(range(15))
    assert (np.asarray(fitted.params["weights"]) >= 0).all()
    assert fitted.performance["steps"] == 15 * 15 * 8  # epochs, windows of 119 frames, steps of a window
    assert 0 < fitted.performance["ms_per_step"] < 1e3 * fitted.performance["first_step_s"]


def test_the_learning_rate_falls_along_a_cosine() -> None:
    fitted = run(epochs=3, learning_rate=0.01, final_learning_rate_fraction=0.1)
    rates = [row["learning_rate"] for row in fitted.history]
    # The last window of an epoch begins 1/15 of an epoch before its end.
    progress = (np.arange(3) + 14 / 15) / 3
    np.testing.assert_allclose(rates, 0.01 * (0.1 + 0.45 * (1 + np.cos(np.pi * progress))))


def one_step(
    options: StepOptions,
    params: dict,
    adam: Any,
    rate: float,
    window: int = 0,
    start: dict | None = None,
    **scale: float,
):
    """A training step from rest; what it consumes is copied."""
    one = student()
    rates = {key: jnp.float32(rate * scale.get(group_of(key), 1.0)) for key in params}
    blocks = [movie.require_parts().train for movie in one.cohort.recordings]
    weights = np.ones((len(one.cohort.units), 2))
    arrays = WindowArrays(*map(jnp.asarray, list(one.cohort.windows(8, blocks, [0, 1], weights))[window][:4]))
    groups = one.model.groups
    memory = LEARNER.start(one.model, 2, groups)
    gradient = window_gradient(LEARNER, one.model, params, memory, arrays, trained=groups)[0].gradient
    params, adam = jax.tree.map(jnp.array, (params, adam))
    result = training_step(
        one.model, params, {}, start, adam, memory, arrays, rates, learner=LEARNER, groups=groups, options=options,
    )  # fmt: skip
    return result, {key: np.asarray(value) / 8 for key, value in gradient.items()}


@pytest.mark.parametrize(
    ("clip", "scale"),
    [(0.05, {}), (None, {"weights": 0.1, "time_constants": 0.0})],
    ids=["clipped", "rate by group"],
)
def test_two_steps_are_those_of_optax_adam(clip: float | None, scale: dict) -> None:
    one, rate = student(), 0.02
    options = StepOptions.of(TrainConfig(clip_norm=clip))
    clipping = optax.clip_by_global_norm(clip) if clip else optax.identity()
    optimiser = optax.chain(clipping, optax.adam(rate))
    params = expected = dict(one.params)
    adam, state = OPTIMISERS["adam"].init(params), optimiser.init(expected)
    for window in (0, 3):
        (params, adam, _, _, norms, _), gradient = one_step(options, params, adam, rate, window, **scale)
        for key in norms:
            assert float(norms[key]) == pytest.approx(np.sqrt((gradient[key] ** 2).sum()), rel=1e-4)
        assert clip is None or np.sqrt(sum(float(norm) ** 2 for norm in norms.values())) > 2 * clip
        updates, state = optimiser.update({key: jnp.asarray(value) for key, value in gradient.items()}, state)
        moved = {key: expected[key] + scale.get(group_of(key), 1.0) * updates[key] for key in expected}
        expected = one.model.project(moved)
        for key in params:
            # Adam divides gradients near 0 by their own size, which magnifies their rounding.
            np.testing.assert_allclose(params[key], expected[key], rtol=1e-4, atol=2e-2 * rate, err_msg=key)
            assert np.abs(np.asarray(params[key]) - np.asarray(expected[key])).mean() < 1e-4 * rate
    if "time_constants" in scale:
        np.testing.assert_array_equal(params["log_time_constants"], one.params["log_time_constants"])


def test_two_steps_of_rmsprop_are_those_of_the_formula() -> None:
    """ν ← 0.9 ν + 0.1 g², and a step of rate · g / √ν (Hinton et al. 2012), written out in double precision."""
    one, rate = student(), 0.02
    options = StepOptions.of(TrainConfig(clip_norm=None, optimiser="rmsprop"))
    params, state = dict(one.params), OPTIMISERS["rmsprop"].init(one.params)
    mean_square = {key: np.zeros(value.shape) for key, value in params.items()}
    for window in (0, 3):
        before = {key: np.asarray(value, np.float64) for key, value in params.items()}
        (params, state, *_), gradient = one_step(options, params, state, rate, window)
        for key, g in gradient.items():
            mean_square[key] = 0.9 * mean_square[key] + 0.1 * g.astype(np.float64) ** 2
            step = np.divide(g, np.sqrt(mean_square[key] + 1e-16), out=np.zeros(g.shape), where=g != 0)
            before[key] -= rate * step
        expected = one.model.project({key: jnp.asarray(value, jnp.float32) for key, value in before.items()})
        for key in params:
            # Gradients near 0 are divided by their own size, which magnifies their rounding, as in Adam.
            np.testing.assert_allclose(params[key], expected[key], rtol=1e-4, atol=2e-2 * rate, err_msg=key)
            assert np.abs(np.asarray(params[key]) - np.asarray(expected[key])).mean() < 1e-4 * rate
            np.testing.assert_allclose(state.nu[key], mean_square[key], rtol=1e-3, atol=1e-9, err_msg=key)
    assert RMS_DECAY == 0.9


def test_small_gradients_are_no_slower_under_rmsprop() -> None:
    """The gradient of one of millions of strengths is small: a constant beside its square must not eat its step."""
    rms = OPTIMISERS["rmsprop"]
    large, small = ({"weights": jnp.full(3, size, jnp.float32)} for size in (1.0, 1e-5))
    steps = [rms.update(one, rms.init(one))[0]["weights"] for one in (large, small)]
    np.testing.assert_allclose(steps[1], steps[0], rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_states_of_optimisers_are_arrays_and_back(name: str) -> None:
    optimiser, params = OPTIMISERS[name], dict(student().params)
    _, state = optimiser.update(params, optimiser.init(params))
    arrays = state_arrays(state)
    again = state_from_arrays(name, {**arrays, "params/weights": np.zeros(2)})
    assert jax.tree.structure(again) == jax.tree.structure(state)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(one, other)
    if name == "adam":
        with pytest.raises(DataError, match="'count' of the optimiser 'adam' is not there"):
            state_from_arrays(name, {key: value for key, value in arrays.items() if key != "count"})


def test_a_state_of_another_optimiser_is_refused() -> None:
    states: list[FitState] = []
    run(epochs=1, on_epoch=lambda state: states.append(copied(state)))
    with pytest.raises(ConfigError, match=r"not one of train\.optimiser = 'rmsprop'"):
        run(epochs=2, optimiser="rmsprop", state=states[0])


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_immediate_learns_with_either_optimiser(optimiser: str) -> None:
    fitted = run(preset("immediate"), epochs=4, learning_rate=0.001, optimiser=optimiser)
    assert losses(fitted)[-1] < 0.95 * losses(fitted)[0]
    assert fitted.performance["steps"] == 4 * 119, "windows of one step need no filling up"


@pytest.mark.parametrize("path", ["native", "portable"])
def test_both_kinds_of_operators_serve_windows_of_one_step(path: str) -> None:
    if path == "native" and not native.available():
        pytest.skip("no native operators here")
    one, learner = student(), preset("immediate")
    blocks = [movie.require_parts().train for movie in one.cohort.recordings]
    weights = np.ones((len(one.cohort.units), 2))
    window = WindowArrays(*map(jnp.asarray, list(one.cohort.windows(1, blocks, [0, 1], weights))[30][:4]))
    start = Neurons((jnp.full((one.model.neurons, 2), 0.4),))
    memory = learner.start(one.model, 2, one.model.groups)._replace(neurons=start)
    with ops.use(path):
        result, _ = jax.jit(lambda params: learner.step(one.model, params, memory, window, one.model.groups))(
            one.params
        )
    # y = C r', r' = α r + (1 - α) relu(W r + b + relu(E u)), and its gradient for the biases, in dense matrices.
    plain = one.plain()
    u, r = np.asarray(window.inputs[0], np.float64), np.full((one.model.neurons, 2), 0.4)
    x = plain.w @ r + plain.bias[:, None] + np.maximum(plain.e @ u, 0)
    after = plain.alpha[:, None] * r + (1 - plain.alpha)[:, None] * np.maximum(x, 0)
    error = 2 * np.asarray(window.weights[0]) * (plain.c @ after - np.asarray(window.targets[0]))
    driven = (1 - plain.alpha)[:, None] * (x >= 0) * (plain.c.T @ error)
    brain = one.connectome
    sides = {
        "bias": driven.sum(axis=1),
        "weights": ((driven @ r.T)[brain.posts, brain.indices]) * np.asarray(brain.connection_signs),
        "drive": (driven * (plain.e @ u >= 0)) @ u.T,
    }
    for key, expected in sides.items():
        np.testing.assert_allclose(result.gradient[key], expected, rtol=1e-4, atol=1e-5, err_msg=key)


def test_penalties_have_the_slope_of_their_formula() -> None:
    one = student()
    l1, l2, distance = 3.0, 5.0, 7.0
    start = {"drive": one.params["drive"] + 0.1}

    def formula(params: dict) -> jax.Array:
        away = params["drive"] - start["drive"]
        w = params["weights"]
        return l1 * jnp.mean(jnp.abs(w)) + l2 * jnp.mean(w**2) + distance * jnp.mean(away**2)

    options = StepOptions(clip_norm=None, l1_weights=l1, l2_weights=l2, drive_distance=distance)
    (_, adam, *_), gradient = one_step(options, one.params, OPTIMISERS["adam"].init(one.params), 0.01, start=start)
    slope = jax.grad(formula)(one.params)
    for key in one.params:
        # After one step Adam's first moment is a tenth of the gradient.
        np.testing.assert_allclose(10 * adam.mu[key], gradient[key] + slope[key], rtol=1e-3, atol=1e-6, err_msg=key)
    assert np.abs(slope["drive"]).max() > 1e-3 and np.abs(slope["weights"]).max() > 1e-3


def test_a_penalty_on_the_distance_of_the_drive_is_measured_from_its_start() -> None:
    free, held = (run(drive_distance=value, patience=None) for value in (0.0, 1e4))
    start = student().params["drive"]

    def away(fitted: Fit) -> float:
        return float(jnp.abs(fitted.params["drive"] - start).mean())

    assert away(held) < 0.2 * away(free)


def test_groups_that_are_not_trained_do_not_move() -> None:
    fitted = run(trained=("bias", "time_constants"), epochs=2, learning_rate=0.003)
    initial = student().params
    moved = {key for key in initial if not np.array_equal(fitted.params[key], initial[key])}
    assert moved == {"bias", "log_time_constants"}
    low, high = student().model.bounds_s
    tau = np.exp(fitted.params["log_time_constants"])
    assert tau.min() >= low * 0.999 and tau.max() <= high * 1.001


def test_stopping_early_gives_back_the_best_parameters() -> None:
    states: list[FitState] = []
    fitted = run(
        params=poor_start(), epochs=40, learning_rate=0.05, final_learning_rate_fraction=1.0, patience=3,
        on_epoch=lambda state: states.append(copied(state)),
    )  # fmt: skip
    values = [row["selection"] for row in fitted.history]
    best = int(np.argmax(values))
    assert 0 < best and len(values) == best + 1 + 3 < 40
    assert same(fitted.params, states[best].params)
    assert not same(fitted.params, states[-1].params)
    assert states[-1].finished and (states[-1].best_epoch, states[-1].since_best) == (best, 3)


def test_training_that_only_does_harm_gives_back_the_start() -> None:
    fitted = run(epochs=30, learning_rate=3.0, patience=2)
    assert len(fitted.history) == 2
    assert same(fitted.params, student().params)


def test_without_a_validation_part_the_last_epoch_counts() -> None:
    movies = [replace(movie, parts=Parts((0, TRAIN), (TRAIN, TRAIN), (TRAIN, FRAMES))) for movie in
              student().cohort.recordings]  # fmt: skip
    states: list[FitState] = []
    fitted = run(cohort=Cohort.from_recordings(movies), patience=1, on_epoch=states.append)
    assert [row["validation_skill"] for row in fitted.history] == [None] * 3
    assert same(fitted.params, states[-1].params)


def test_no_epochs_gives_back_the_start() -> None:
    fitted = run(epochs=0)
    assert fitted.history == () and same(fitted.params, student().params)


@dataclass(frozen=True)
class Spy:
    """A learner that learns nothing and shows what it was given."""

    seen: Any  # of a kind that compares by identity, for JAX keeps compiled steps by their learner
    window: int = 8

    def start(self, model: Any, batch: int, trained: tuple[str, ...]) -> jax.Array:
        return jnp.zeros(())

    def step(self, model, params, memory, window, trained):
        jax.debug.callback(self.seen, memory, window.forced, window.weights, window.inputs, ordered=True)
        gradient = {key: jnp.zeros_like(params[key]) for key in params}
        return WindowResult(jnp.zeros(()), gradient, window.targets), memory + 1


class Diary:
    """Windows by epoch and batch, in the order in which they were run."""

    def __init__(self) -> None:
        self.batches: list[list[WindowArrays]] = []

    def __call__(self, number: Any, forced: Any, weights: Any, inputs: Any) -> None:
        if int(number) == 0:
            self.batches.append([])
        self.batches[-1].append(WindowArrays(*map(np.asarray, (inputs, forced, inputs, weights))))

    def joined(self) -> list[WindowArrays]:
        jax.effects_barrier()
        return [
            WindowArrays(*(np.concatenate(a) for a in zip(*(one[:4] for one in batch), strict=True)))
            for batch in self.batches
        ]


def test_inputs_are_withheld_in_the_free_running_phase_and_warm_up_is_not_scored() -> None:
    diary = Diary()
    run(Spy(diary), epochs=1, free_run_epochs=3, forced_frames=4, free_run_frames=3)
    first, *later = diary.joined()
    used = TRAIN - 1
    assert first.forced[:used].all() and not first.forced[used:].any()
    for epoch in (first, *later):
        assert not epoch.weights[:WARMUP].any() and epoch.weights[WARMUP:used].all() and not epoch.weights[used:].any()
    shifts = []
    for epoch in later:
        given = epoch.forced[:used, 0, 0]
        assert (epoch.forced[:used] == given[:, None, None]).all()
        assert given[:WARMUP].all(), "warm-up runs on recorded frames"
        matching = [
            shift for shift in range(7) if np.array_equal(given[WARMUP:], (np.arange(WARMUP, used) + shift) % 7 < 4)
        ]
        assert len(matching) == 1, "not a cycle of 4 given and 3 withheld frames"
        shifts += matching
    assert len(set(shifts)) > 1, "the same frames are withheld in every epoch"


def test_batches_hold_every_recording_once_per_epoch_in_an_order_of_the_seed() -> None:
    one = student()
    third = replace(one.cohort.recordings[0], name="movie 3", values=one.cohort.recordings[0].values + 1)
    cohort = Cohort.from_recordings([*one.cohort.recordings, third])
    first_frames = [movie.values[0] for movie in cohort.recordings]

    def order(seed: int) -> list[list[list[int]]]:
        """Recordings by epoch and batch."""
        diary = Diary()
        run(Spy(diary), cohort, batch=2, epochs=4, seed=seed)
        batches = [
            [int(np.argmin([np.abs(batch.inputs[0, :, b] - frame).sum() for frame in first_frames]))
             for b in range(batch.inputs.shape[2])]
            for batch in diary.joined()
        ]  # fmt: skip
        return [batches[k : k + 2] for k in range(0, len(batches), 2)]

    epochs = order(seed=0)
    assert len(epochs) == 4
    for epoch in epochs:
        assert sorted(member for batch in epoch for member in batch) == [0, 1, 2] and [
            len(batch) for batch in epoch
        ] == [2, 1]
    assert len({str(epoch) for epoch in epochs}) > 1, "every epoch has the same order"
    assert order(seed=0) == epochs != order(seed=1)


def test_a_batch_of_all_is_the_default_and_small_batches_learn_too() -> None:
    everything, all_of_two, single = run(), run(batch=2), run(batch=1)
    assert same(everything.params, all_of_two.params) and losses(everything) == losses(all_of_two)
    assert not same(everything.params, single.params)
    assert losses(single)[-1] < losses(single)[0]


def test_the_free_running_phase_goes_on_from_the_best_of_the_first() -> None:
    states: list[FitState] = []
    fitted = run(
        params=poor_start(), epochs=3, free_run_epochs=2, batch=1, learning_rate=0.03, final_learning_rate_fraction=1.0,
        on_epoch=lambda state: states.append(copied(state)),
    )  # fmt: skip
    assert [row["phase"] for row in fitted.history] == ["teacher-forced"] * 3 + ["free-running"] * 2
    assert np.argmax([row["selection"] for row in fitted.history[:3]]) == 0
    switch = states[2]
    assert (switch.phase, switch.epoch, int(switch.optimiser.count)) == (1, 0, 0)
    assert same(switch.params, states[0].params) and not same(states[1].params, states[0].params)
    assert not any(np.any(moment) for moment in (*switch.optimiser.mu.values(), *switch.optimiser.nu.values()))


def test_selection_by_horizon_is_the_mean_skill_over_several_frames_ahead() -> None:
    fitted = run(epochs=2, select_on="horizon")
    assert all(row["selection"] != row["validation_skill"] for row in fitted.history)
    values = [row["selection"] for row in fitted.history]
    forecaster = fitted.forecaster()
    skills = []
    weights = 1 / fitted.cohort.change_variance()
    for ahead in (1, 2, 5, 10):
        loss = reference = 0.0
        for b, movie in enumerate(fitted.cohort.recordings):
            start, stop = movie.require_parts().validation
            starts = np.unique(np.linspace(start, stop - 11, 32).astype(int))
            truth, now = movie.values[starts + ahead], movie.values[starts]
            loss += (weights[:, b] * (forecaster.horizon(movie, starts, ahead)[:, -1] - truth) ** 2).sum()
            reference += (weights[:, b] * (now - truth) ** 2).sum()
        skills.append(1 - loss / reference)
    assert max(values) == pytest.approx(np.mean(skills), rel=1e-3)
    loss = reference = 0.0
    for b, movie in enumerate(fitted.cohort.recordings):
        part = slice(*movie.require_parts().validation)
        truth, before = movie.values[part], movie.values[part.start - 1 : part.stop - 1]
        loss += (weights[:, b] * (forecaster.one_step(movie)[part] - truth) ** 2).sum()
        reference += (weights[:, b] * (before - truth) ** 2).sum()
    best = fitted.history[int(np.argmax(values))]
    assert best["validation_skill"] == pytest.approx(1 - loss / reference, rel=1e-3)
    assert best["validation_loss"] == pytest.approx(loss / reference, rel=1e-3)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    options = {"batch": 1, "free_run_epochs": 1, "epochs": 2, "patience": None}
    first, again, other = run(**options, seed=4), run(**options, seed=4), run(**options, seed=5)
    assert same(first.params, again.params) and losses(first) == losses(again)
    assert losses(first) != losses(other)


def test_progress_counts_every_window() -> None:
    seen: list[Progress] = []
    run(batch=1, epochs=2, on_progress=seen.append)
    ends = [now for now in seen if now.window == now.windows]
    assert [now.epoch for now in ends] == [0, 1] and ends[0].windows == 30
    assert all(np.isfinite(now.loss) and now.ms_per_step > 0 for now in seen)


def test_a_diverging_fit_names_group_step_and_phase() -> None:
    with pytest.raises(DivergedError, match=r"not finite in window \d+ \(model step \d+\) of epoch 0, teacher-forced"):
        run(learning_rate=1e25)
    broken = {**student().params, "bias": student().params["bias"].at[3].set(jnp.inf)}
    message = r"the gradient of .*weights.* is not finite in window 0 .*learning_rate .*spectral_radius$"
    with pytest.raises(DivergedError, match=message):
        run(params=broken)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate_scale": {"wieghts": 0.1}}, "group of train.rate_scale is 'wieghts', .*did you mean 'weights'"),
        ({"trained": ("weights", "readout")}, "no group 'readout'"),
    ],
)
def test_groups_that_the_model_lacks_are_named(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(**options)


def test_a_validation_part_too_short_for_the_horizons_is_named() -> None:
    short = [replace(movie, parts=Parts((0, 120), (120, 130), (130, FRAMES))) for movie in student().cohort.recordings]
    with pytest.raises(ConfigError, match="more than 10 validation frames, the longest validation part has 10"):
        run(cohort=Cohort.from_recordings(short), select_on="horizon")
