"""External Poisson events: what they are, whoever asks for them, and that all who run a model have the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from cell_oracles import by_autodiff, case
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_connectome
from plain_events import events
from plain_spikes import FRAMES, NEURONS, STEP_S, SUBSTEPS, PlainSpikes, Spiking, spiking
from scipy import stats
from test_cell_gradients import assert_same, run

from connfit.config import TrainConfig
from connfit.errors import ConfigError
from connfit.models import Readout, ops
from connfit.models.base import Neurons
from connfit.models.blocks import cut_model
from connfit.models.cells.integrate_fire import LIF
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.frame_loop import CHUNK
from connfit.models.init.balanced_start import fit_balance
from connfit.models.init.start import StartConditions
from connfit.models.ops import native
from connfit.models.ops.poisson_counts import poisson_counts
from connfit.models.perturb import HeldNeurons, simulate_perturbed
from connfit.models.poisson_input import RECORDING, TRAINING, Clock, PoissonInput, stream_of
from connfit.models.rollout import Shown, State, Stepped, rollout
from connfit.models.windows import run_window
from connfit.training.checkpoints import read_state, write_state
from connfit.training.fit import FitState, train
from connfit.training.fitted import Fit
from connfit.training.learners import WindowedLearner, preset

HZ, WEIGHT = 60.0, 2.5
NATIVE = pytest.mark.skipif(not native.has("connfit_poisson_counts"), reason=f"no compiled kernels: {native.why_not()}")


def with_events(of: Spiking) -> Spiking:
    """It with external events."""
    neuron = replace(of.model.neuron, poisson_hz=HZ, poisson_weight=WEIGHT)
    return replace(of, model=replace(of.model, neuron=neuron))


def counted(clock: Clock, first: int, neurons: int, per_step: float) -> np.ndarray:
    levels = PoissonInput(per_step, 1.0).thresholds(1.0)
    return np.asarray(poisson_counts(clock.stream, clock.step, jnp.uint32(first), neurons, levels))


@NATIVE
@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4), st.integers(0, 2**32 - 1), st.integers(0, 2**31),
    st.integers(1, 40), st.sampled_from([1e-12, 0.02, 0.3, 2.0, 10.0]),
)  # fmt: skip
def test_native_and_portable_code_draw_the_events_of_the_hash(
    streams: list[int], step: int, first: int, neurons: int, per_step: float
) -> None:
    clock = Clock.at(np.array(streams), step, len(streams))
    expected = [events(one, np.array([step]), first + np.arange(neurons), per_step)[0] for one in streams]
    for which in ("native", "portable"):
        with ops.use(which):
            np.testing.assert_array_equal(counted(clock, first, neurons, per_step), np.stack(expected, axis=1))


@NATIVE
def test_events_that_threads_share_are_those_of_one() -> None:
    clock = Clock.at(np.arange(3), 9, 3)
    with ops.use("native"):
        found = counted(clock, 5, 40_001, 0.7)
    np.testing.assert_array_equal(found[:, 1], events(1, np.array([9]), 5 + np.arange(40_001), 0.7)[0])


@pytest.mark.parametrize("per_step", [0.004, 0.1, 1.0, 10.0])
def test_events_are_poisson_and_independent_of_each_other(per_step: float) -> None:
    """Of 400 neurons, 500 steps and four streams. A normal number is beyond 4.5 once in 150,000."""
    neurons, steps = 400, 500
    streams = [stream_of(TRAINING, 1, 0, 0, 0), stream_of(TRAINING, 1, 0, 0, 1), stream_of(TRAINING, 2, 0, 0, 0), 0]
    clock = Clock.at(np.array(streams), 0, 4)
    levels = PoissonInput(per_step, 1.0).thresholds(1.0)

    def draw(clock: Clock, _: None) -> tuple[Clock, jax.Array]:
        return clock.after_step(), poisson_counts(clock.stream, clock.step, jnp.uint32(0), neurons, levels)

    runs = np.asarray(jax.jit(lambda: jax.lax.scan(draw, clock, None, steps)[1])(), float)
    n, mean = runs.size, per_step
    assert abs(runs.mean() - mean) < 4.5 * np.sqrt(mean / n)
    spread = np.sqrt((mean + 2 * mean**2) / n)  # of the variance of Poisson numbers
    assert abs(runs.var() - mean) < 4.5 * spread
    pmf = stats.poisson.pmf(np.arange(40), mean)
    usual = np.flatnonzero(n * pmf > 10)
    seen = np.bincount(runs.astype(int).ravel(), minlength=40)[usual]
    squares = ((seen - n * pmf[usual]) ** 2 / (n * pmf[usual])).sum()
    assert stats.chi2.sf(squares, len(usual)) > 1e-5
    # Sums over time, and over neurons, vary as sums of independent numbers: no neuron and no step is special.
    for sums, of in ((runs.sum(axis=0), steps), (runs.sum(axis=1), neurons)):
        ratio = sums.var() / (of * mean)
        assert abs(ratio - 1) < 4.5 * np.sqrt((2 + 1 / (of * mean)) / sums.size)
    z = (runs - mean) / np.sqrt(mean)
    lags = [(1, 0), (2, 0), (64, 0), (0, 1), (0, 2), (0, 8), (1, 1), (1, 7)]
    pairs = [(z[dt:, dn:], z[: steps - dt, : neurons - dn]) for dt, dn in lags]
    pairs += [(z[:, :, a], z[:, :, b]) for a in range(4) for b in range(a)]
    for one, other in pairs:
        assert abs((one * other).mean()) < 4.5 / np.sqrt(one.size)


def test_numbers_of_a_poisson_input() -> None:
    for hz, weight in ((3.0, 2.0), (900.0, -0.5)):
        one = PoissonInput(hz, weight)
        chances = one.thresholds(0.01) / 2**32
        assert (np.diff(chances) < 0).all()
        assert chances.sum() == pytest.approx(0.01 * hz, abs=1e-8)  # the mean, as a sum over tails
        squares = ((2 * np.arange(len(chances)) + 1) * chances).sum()
        assert squares - chances.sum() ** 2 == pytest.approx(0.01 * hz, abs=1e-6)
        assert one.mean(0.01) == pytest.approx(0.01 * hz * weight)
    assert len({stream_of(RECORDING, name, run) for name in ("a", "b", "") for run in range(3)}) == 9


def test_what_cannot_be_is_refused_by_name() -> None:
    brain = random_connectome(np.random.default_rng(0), 8, 2)
    readout = Readout(sp.csr_array(np.eye(1, 8)), ("u",))
    given = ModelConditions(connectome=brain, readout=readout, step_s=1e-3, bounds_s=(1e-3, 1.0))
    assert ConnectomeModel.wire(given, LIF(poisson_hz=1e4)).rest().clock is not None
    with pytest.raises(ConfigError, match=r"poisson_hz = 20000 is 20 events in a step of 1 ms.* 10000 at most"):
        ConnectomeModel.wire(given, LIF(poisson_hz=2e4))
    for options in ({"poisson_hz": -1.0}, {"poisson_hz": float("nan")}, {"poisson_weight": 0.0}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            LIF(**options)
    model = ConnectomeModel.wire(given, LIF(poisson_hz=5.0))
    with pytest.raises(ConfigError, match=r"a clock of external events: start from"):
        State.of(model, model.rest()._replace(clock=None))


def test_without_events_there_is_no_clock_and_nothing_is_hashed() -> None:
    of = spiking("lif")
    assert of.model.rest().clock is None and of.model.rest().on_stream(3).clock is None

    def program(one: Spiking) -> str:
        nothing, light, start = np.zeros((4, 3, 1)), np.zeros((4, 1, 1)), one.model.rest()
        window = jax.make_jaxpr(lambda p: run_window(one.model, p, start, nothing, nothing > 0, None, light))
        return str(window(one.params))

    with ops.use("portable"):
        assert "u32" not in program(of) and "u32" in program(with_events(of))


def test_gradients_are_those_of_a_plain_scan_with_the_same_events(float64: None) -> None:
    """Within windows; across them too in `test_cell_gradients`."""
    one = case("lif, events", delay=1)
    assert one.received is not None and one.received.max() > 2 * 0.25 and (one.received == 0).any()
    assert_same(run(WindowedLearner(4, "network", "none"), one), by_autodiff(one, 4))


def test_windows_of_any_length_have_the_same_events(float64: None) -> None:
    of = with_events(spiking("adaptive-lif"))
    nothing, light = np.zeros((24, 3, 2)), np.zeros((24, 1, 2))
    window = jax.jit(lambda start, u, light: run_window(of.model, of.params, start, u, u > 0, None, light))

    def cut(steps: int) -> tuple[Neurons, np.ndarray]:
        now, received = of.model.rest(2).on_stream(np.array([4, 5]), 2**32 - 10), []
        for at in range(0, 24, steps):
            now, seen = window(now, nothing[at : at + steps], light[at : at + steps])
            received.append(np.asarray(seen.received[0]))
        return now, np.concatenate(received)

    whole, received = cut(24)
    for steps in (8, 3):
        end, other = cut(steps)
        np.testing.assert_allclose(other, received, rtol=1e-12)
        np.testing.assert_array_equal(end.clock.step, whole.clock.step)
    assert whole.clock.step.tolist() == [14, 14], "it starts again at 2^32"
    bare = run_window(of.model, of.params, of.model.rest(2)._replace(clock=None), nothing[:1], nothing[:1] > 0)[1]
    added = (received[0] - bare.received[0][0]) / WEIGHT
    expected = [events(stream, np.array([2**32 - 10]), np.arange(NEURONS), HZ * STEP_S)[0] for stream in (4, 5)]
    np.testing.assert_allclose(added, np.stack(expected, axis=1), atol=1e-12)
    assert added.max() > 0


def test_predictions_are_those_of_a_network_stepped_by_hand(float64: None) -> None:
    """With the events of the recording's frames, also where they come before it."""
    of = with_events(spiking("lif"))
    movie = of.cohort.recordings[0]
    limits = of.forecaster.limits(movie)
    lit = np.asarray(of.forecaster.shown(movie, slice(0, FRAMES)).external)[:, 0, 0]
    steps = np.arange(-CHUNK, FRAMES * SUBSTEPS)
    currents = WEIGHT * events(stream_of(RECORDING, "movie", 0), steps % 2**32, np.arange(NEURONS), HZ * STEP_S)
    plain, found = PlainSpikes(of), []
    for step, current in zip(steps, currents, strict=True):
        frame = max(step, 0) // SUBSTEPS
        shown = np.clip(movie.values[frame], limits.low[:, 0], limits.high[:, 0])
        plain.step(shown, light=lit[frame], current=current)
        if step >= 0 and step % SUBSTEPS == SUBSTEPS - 1:
            found.append(plain.shown + movie.values[frame] - shown)
    np.testing.assert_allclose(of.forecaster.one_step(movie)[1:], np.array(found)[:-1], rtol=1e-5)
    other = of.forecaster.one_step(replace(movie, name="another"))
    assert np.nanstd(other - of.forecaster.one_step(movie)) > 0.5


def test_a_free_run_has_the_events_of_its_frames(float64: None) -> None:
    of = with_events(spiking("lif", drive="none"))
    movie, start, warmup, frames = of.cohort.recordings[0], 30, 4, 6
    got = of.forecaster.free_run(movie, start, frames, warmup)
    limits, last = of.forecaster.limits(movie), movie.values[start - 1]
    beyond = last - np.clip(last, limits.low[:, 0], limits.high[:, 0])
    lit = np.asarray(of.forecaster.shown(movie, slice(0, FRAMES)).external)[:, 0, 0]
    steps = np.arange((start - warmup - 1) * SUBSTEPS, (start - 1 + frames) * SUBSTEPS)
    currents = WEIGHT * events(stream_of(RECORDING, "movie", 0), steps, np.arange(NEURONS), HZ * STEP_S)
    plain, found = PlainSpikes(of), []
    for step, current in zip(steps, currents, strict=True):
        plain.step(None, light=lit[step // SUBSTEPS], current=current)
        found.append(plain.shown + beyond)
    np.testing.assert_allclose(got, np.array(found)[SUBSTEPS - 1 :: SUBSTEPS][warmup:], rtol=1e-5)


def test_forecasts_side_by_side_are_those_of_one_after_the_other() -> None:
    of = with_events(spiking("lif"))
    forecaster, movie = of.forecaster, of.cohort.recordings[0]
    other = replace(movie, name="other")
    starts = np.array([3, 8, 20, 40])
    together = forecaster.one_step_and_horizon_of([movie, other], [starts, starts], 4)
    for (one_step, ahead), recording in zip(together, (movie, other), strict=True):
        np.testing.assert_allclose(forecaster.one_step(recording)[1:], one_step[1:], rtol=1e-4)
        alone = [forecaster.horizon(recording, np.array([start]), 4)[0] for start in starts]
        np.testing.assert_allclose(alone, ahead, rtol=1e-4)
        # One frame ahead is one frame ahead.
        np.testing.assert_allclose(ahead[:, 0], one_step[starts + 1], rtol=1e-4)
    assert np.abs(together[0][0][1:] - together[1][0][1:]).max() > 1, "each recording has its own events"


def test_each_free_run_but_the_first_has_events_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    of = with_events(spiking("lif"))
    forecaster, movie = of.forecaster, of.cohort.recordings[0]
    runs, quiet = forecaster.free_runs(movie, 30, 12, 5, np.zeros((3, 12, 3), np.float32))
    np.testing.assert_allclose(runs[0, 0], runs[1, 0], atol=15)  # all share the warm-up
    assert all(np.abs(runs[a] - runs[b]).max() > 1 for a, b in ((0, 1), (0, 2), (1, 2)))
    again = forecaster.free_run(movie, 30, 12, 5, np.zeros((2, 12, 3), np.float32))
    np.testing.assert_allclose(again, runs[:2], rtol=1e-4)
    assert np.abs(forecaster.free_run(movie, 30, 12, 5) - quiet).max() == 0
    monkeypatch.setattr("connfit.models.tracks.MOST_RATES", forecaster.model.neurons)  # one at a time
    alone = forecaster.free_run(movie, 30, 12, 5, np.zeros((3, 12, 3), np.float32))
    np.testing.assert_allclose(alone, runs, rtol=1e-4)


def test_a_perturbed_run_and_its_twin_have_the_same_events() -> None:
    of = with_events(spiking("lif"))
    start, mean = of.model.rest().on_stream(11), of.cohort.mean_activity()
    same = simulate_perturbed(of.model, of.params, HeldNeurons(), 200, start, mean=mean)
    np.testing.assert_array_equal(same.perturbed, same.baseline)
    silenced = HeldNeurons(np.array([2]), np.zeros(1))
    one = simulate_perturbed(of.model, of.params, silenced, 200, start, mean=mean)
    np.testing.assert_array_equal(one.baseline, same.baseline)
    elsewhere = simulate_perturbed(of.model, of.params, silenced, 200, of.model.rest().on_stream(12), mean=mean)
    assert np.abs(elsewhere.baseline - one.baseline).max() > 0.1
    from_rest = simulate_perturbed(of.model, of.params, silenced, 200, of.model.rest(), mean=mean)
    assert np.isfinite(from_rest.perturbed).all()


def test_blocks_know_the_numbers_of_their_neurons() -> None:
    one = case("lif, events")
    blocks = cut_model(one.model, one.params, 3)
    firsts = [int(blocks.of_block(k)[0].first_neuron) for k in range(3)]
    assert firsts == blocks.rows.bounds[:3].tolist() and firsts[1] > 0
    assert cut_model(case("lif").model, one.params, 3).of_block(1)[0].first_neuron is None


def _kept(model: Any, params: Any, kept: None, now: Stepped, also: None) -> tuple[None, Any]:
    return None, now.rates[:, 0]


def test_a_balanced_start_makes_up_for_the_mean_of_events() -> None:
    rng, n = np.random.default_rng(0), 60
    brain = random_connectome(rng, n, 8)
    readout = Readout(sp.csr_array(np.full((1, n), 1 / n)), ("a",))
    given = ModelConditions(connectome=brain, readout=readout, step_s=1e-3, drive="none", bounds_s=(1e-3, 1.0))
    frames = 8 * rng.gamma(20, 1 / 20, (200, 1))
    found, rates = {}, {}
    for hz in (0.0, 1600.0):  # a mean of 2.4 mV, more than steps of the start would make up for
        model = ConnectomeModel.wire(given, LIF(poisson_hz=hz, poisson_weight=1.5))
        conditions = StartConditions(connectome=brain, readout=readout, time_constant_s=0.1)
        found[hz] = one = fit_balance(model, conditions, [(frames, np.ones(1))])
        params = {
            "weights": one.magnitudes, "log_time_constants": jnp.zeros(n), **model.own_start(),
            "base": jnp.asarray(one.base), "response": jnp.asarray(one.response), "bias": one.bias,
        }  # fmt: skip
        params = {key: jnp.asarray(value, jnp.float32) for key, value in params.items()}
        start = State.of(model, model.rest().on_stream(99))  # none of the events that it was found with
        each = rollout(model, params, start, Shown.nothing(model, 8000), _kept).each
        rates[hz] = np.asarray(each)[1000:].mean() * 1000
    assert found[0.0].rate_hz.mean() == pytest.approx(8, rel=0.1)
    assert rates[1600.0] == pytest.approx(8, rel=0.15)
    np.testing.assert_allclose(found[1600.0].magnitudes, found[0.0].magnitudes, rtol=1e-6)
    less = float((found[0.0].bias - found[1600.0].bias).mean())
    # What fluctuates needs less on average than what is constant.
    assert 2.4 < less < 3.2


def test_a_fit_that_goes_on_has_the_events_of_a_whole_one(tmp_path: Path) -> None:
    of = with_events(spiking("lif", drive="none"))
    config = TrainConfig(epochs=2, learning_rate=0.02, warmup_frames=2, select_on="one_step")
    groups = tuple(group for group in of.model.groups if group != "refractory")

    def fitted(seed: int = 0, **given: Any) -> Fit:
        learner = preset("d-rtrl", window=2 * SUBSTEPS)
        return train(of.model, of.params, of.cohort, learner, config, trained=groups, seed=seed, **given)

    def note(state: FitState) -> None:
        if state.epoch == 1:
            write_state(tmp_path / "state.npz", state, "adam")

    whole = fitted(on_epoch=note)
    rest = fitted(state=read_state(tmp_path / "state.npz"))
    losses, again, others = ([row["train_loss"] for row in one.history] for one in (whole, rest, fitted(1)))
    assert len(losses) == 2 and losses == again
    for key, value in whole.params.items():
        np.testing.assert_array_equal(rest.params[key], value)
    assert abs(losses[0] - others[0]) > 1e-3 * losses[0], "other seeds have other events"
