"""One rollout: against its equations in NumPy, the learner's window, and everybody who runs a model."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import Problem, dense_matrices, random_connectome
from small import first_fast
from test_state_forcing import NEURONS, RECORDED, SHARED, SINGLE, UNITS, problem

import connfit
from connfit.analysis.dynamics import simulated_activity
from connfit.analysis.dynamics.lyapunov import lyapunov_exponent
from connfit.analysis.dynamics.stability import jacobian_spectrum
from connfit.analysis.recovery.student import Student
from connfit.config import EvaluateConfig
from connfit.connectome import Connectome
from connfit.evaluation.free_run import free_runs
from connfit.evaluation.left_out_unit import left_out_scores
from connfit.evaluation.squared_errors import prediction_errors
from connfit.models import RateModel, Readout, windows
from connfit.models import rollout as rollout_module
from connfit.models.base import Neurons
from connfit.models.cells.rate import Rate
from connfit.models.forecaster import ModelForecaster
from connfit.models.perturb import HeldNeurons, settled, simulate_perturbed
from connfit.models.rest import settle
from connfit.models.rollout import Held, Limits, Noise, Shown, State, advance, readings, rollout
from connfit.models.windows import read_out, run_window, states_after  # fmt: skip
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.training.fitted import Fit
from connfit.training.learners import WindowedLearner
from connfit.training.validation import validate

STEPS, RUNS = 20, 2
FRAMES = 60
SOURCE = Path(connfit.__file__).parent


@dataclass(frozen=True, eq=False)
class Equations:
    """A run in NumPy, a step at a time."""

    w: np.ndarray
    e: np.ndarray
    c: np.ndarray
    alpha: np.ndarray
    bias: np.ndarray
    phi: float

    def run(
        self, rates: np.ndarray, reading: np.ndarray, shows: np.ndarray, values: np.ndarray, given: np.ndarray,
        noise: np.ndarray, noisy: np.ndarray, limits: np.ndarray, held: np.ndarray, held_rates: np.ndarray,
        *, forcing: bool = True, substeps: int = 1,
    ) -> np.ndarray:  # fmt: skip
        """[K, P] readings of one run; entries of `held_rates` count where `held`."""
        rates, beyond, out = np.where(held, held_rates, rates), np.zeros(len(self.c)), []
        for t in range(len(values)):
            seen, u = given[t] | shows, np.where(given[t], values[t], reading)
            inside = np.clip(u, *limits)
            beyond = np.where(seen, u - inside, beyond)
            for _ in range(substeps):
                if forcing and seen.any():
                    rates = rates + self.phi * np.linalg.pinv(self.c[seen]) @ (inside - self.c @ rates)[seen]
                drive = self.e @ np.where(seen, inside, self.c @ rates)
                x = self.w @ rates + self.bias + np.maximum(drive, 0)
                rates = self.alpha * rates + (1 - self.alpha) * np.maximum(x, 0)
                rates = np.where(held, held_rates, rates)
            reading = self.c @ rates + beyond + noise[t]
            shows = noisy[t]
            out.append(reading)
        return np.array(out)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("reads", "phi", "forcing", "substeps"),
    [(SHARED, 0.0, True, 3), (SINGLE, 0.6, True, 1), (SHARED, 1.5, True, 1), (SHARED, 1.5, False, 1)],
    ids=["substeps", "neurons", "regions", "background"],
)
def test_a_run_is_the_equations(reads: np.ndarray, phi: float, forcing: bool, substeps: int) -> None:
    """Recorded values inside and outside their range with gaps, own predictions plus noise, and held neurons."""
    rng = np.random.default_rng(0)
    brain = random_connectome(np.random.default_rng(3), NEURONS, 4, electrical=4)
    readout = Readout(sp.csr_array(reads), tuple(f"u{k}" for k in range(UNITS)))
    model = RateModel.from_connectome(brain, readout, step_s=0.6, drive="dense", state_forcing=phi)
    params = model.project(
        {
            "weights": jnp.asarray(rng.random(brain.m) * 0.3),
            "log_time_constants": jnp.asarray(rng.normal(0, 0.7, NEURONS)),
            "bias": jnp.asarray(rng.normal(0.3, 0.3, NEURONS)),
            "drive": jnp.asarray(rng.normal(0.2, 0.5, (NEURONS, UNITS))),
        }
    )
    w, e, c = (np.asarray(one) for one in dense_matrices(Problem(brain, readout, model, params, None), params))  # type: ignore[arg-type]
    plain = Equations(w, e, c, np.asarray(model.decay(params)), np.asarray(params["bias"]), phi)
    shape = (STEPS, UNITS, RUNS)
    values, noise = rng.normal(0.5, 0.5, shape), 0.3 * rng.normal(size=shape)
    given, noisy = rng.random(shape) < 0.4, rng.random(shape) < 0.7
    limits = np.stack([np.full(UNITS, 0.1), rng.uniform(0.5, 1, UNITS)])
    held = np.zeros((NEURONS, RUNS), bool)
    held[[0, 4, 9], 1] = True
    held_rates, start = rng.random(NEURONS), rng.random((NEURONS, RUNS))
    reading, shows = rng.normal(0.5, 0.5, (UNITS, RUNS)), rng.random((UNITS, RUNS)) < 0.5
    found = rollout(
        model, params, State.of(model, jnp.asarray(start))._replace(reading=reading, shown=shows),
        Shown(values, given), readings, noise=Noise(noise, noisy), limits=Limits(*limits[:, :, None]),
        held=Held(jnp.asarray(held), jnp.asarray(held_rates)[:, None]), forcing=forcing, substeps=substeps,
    )  # fmt: skip
    for run in range(RUNS):
        expected = plain.run(
            start[:, run], reading[:, run], shows[:, run], values[..., run], given[..., run], noise[..., run],
            noisy[..., run], limits, held[:, run], held_rates, forcing=forcing, substeps=substeps,
        )  # fmt: skip
        np.testing.assert_allclose(found.each[..., run], expected, rtol=1e-9, atol=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("reads", "phi", "fed_back"),
    first_fast(
        [(SINGLE, 1.5, None), (SHARED, 0.6, [1, 4]), (SHARED, 1.5, []), (SHARED, 0.0, None), (SINGLE, 0.6, [1, 4])], 3
    ),
    ids=["all fed back", "regions, some fed back", "none fed back", "no forcing", "some fed back"],
)
def test_a_learners_window_is_a_rollout(reads: np.ndarray, phi: float, fed_back: list[int] | None) -> None:
    """Both take the same step, however much of the drive is computed for all steps at once."""
    model, params, window = problem(phi, reads=reads)
    given = jnp.asarray(window.forced)
    if fed_back is not None:
        given |= ~jnp.isin(jnp.arange(UNITS), jnp.asarray(fed_back, int))[:, None]
    inputs, start = jnp.asarray(window.inputs), jnp.full((NEURONS, RUNS), 0.3)
    some = None if fed_back is None else jnp.asarray(fed_back, int)
    end, forward = run_window(model, params, Neurons((start,)), inputs, given, some)
    run = rollout(model, params, State.of(model, start), Shown(inputs, given), readings)
    np.testing.assert_allclose(end.rates, run.state.rates, rtol=1e-12, atol=1e-14)
    after = states_after(model, params, forward, end)
    np.testing.assert_allclose(read_out(model, params, after), run.each, rtol=1e-12, atol=1e-14)


@lru_cache(maxsize=4)
def fitted(drive: str = "dense", phi: float = 0.6) -> tuple[Connectome, Fit]:
    """A model with smooth rates, so that whatever a step leaves out is seen, and a recording with a gap."""
    model, params, _ = problem(phi, drive)
    rng = np.random.default_rng(1)
    params = {key: jnp.asarray(value, jnp.float32) for key, value in params.items()}
    params["weights"] *= 0.5
    values = 1 + 0.5 * rng.random((FRAMES, UNITS)) + 0.5 * np.sin(np.arange(FRAMES) / 4)[:, None]
    mask = np.ones(values.shape, bool)
    mask[5:8, 2] = False
    recording = Recording("r", values.astype(np.float32), tuple(f"u{k}" for k in range(UNITS)), 1 / 0.6, mask=mask)
    cohort = Cohort.from_recordings([recording.split(train=0.6, validation=0.2)])
    brain = random_connectome(np.random.default_rng(3), NEURONS, 4)
    return brain, Fit(replace(model, neuron=Rate(nonlinearity="softplus")), params, params, cohort, ())


def forecaster() -> ModelForecaster:
    return fitted()[1].forecaster()


def recording() -> Recording:
    return fitted()[1].cohort.recordings[0]


def noise(frames: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(2).normal(size=(2, frames, UNITS))


def exponent(given: bool | None) -> np.ndarray:
    fit, steps = fitted()[1], 14
    inputs = None if given is None else np.random.default_rng(3).normal(0.5, 0.3, (steps, UNITS))
    forced = None if given is None else np.full((steps, UNITS), given)
    return lyapunov_exponent(
        fit.model, fit.params, np.full(NEURONS, 0.5), steps=steps - 2, inputs=inputs, forced=forced, transient=2,
        blocks=2,
    ).growth  # fmt: skip


def jacobian(loop: str) -> object:
    fit = fitted()[1]
    rates, inputs = np.random.default_rng(4).random((2, NEURONS))
    found = jacobian_spectrum(fit.model, fit.params, rates, inputs=inputs[:UNITS], loop=loop, k=NEURONS)
    return found.radius, found.state["change"]


def perturbed(drive: str) -> np.ndarray:
    fit = fitted()[1]
    held = HeldNeurons(np.array([2, 7]), np.array([3.0, 0.0]))
    found = simulate_perturbed(
        fit.model, fit.params, held, 12, np.full(NEURONS, 0.5), mean=np.ones(UNITS), drive=drive
    )  # fmt: skip
    return found.perturbed


def driven() -> np.ndarray:
    return simulated_activity.driven_run(forecaster(), recording(), warmup=2, seed=(0,)).units


def window() -> np.ndarray:
    _, fit = fitted()
    learner, data = WindowedLearner(8), problem(0.6)[2]
    part = type(data)(*(jnp.asarray(one[:8]) for one in data[:4]))
    memory = learner.start(fit.model, RUNS, fit.model.groups)
    return np.asarray(learner.step(fit.model, fit.params, memory, part, fit.model.groups)[0].predictions)


def student() -> np.ndarray:
    _, fit = fitted("none")
    recorded = np.isin(np.arange(NEURONS), RECORDED)
    one = Student(recorded, fit.cohort, fit.model, fit.params, fit.model.groups)
    return one.predict(fit.params, np.random.default_rng(5).random((10, NEURONS)))


def evaluated_free_run() -> object:
    return free_runs(forecaster(), recording(), "test", None, EvaluateConfig(free_run_warmup=4))[0].run


def scored_left_out() -> object:
    return left_out_scores(forecaster(), None, recording(), EvaluateConfig(free_run_warmup=4)).per_unit.model.skill


FORCING, DRIVE, HELD = "state forcing", "the drive", "held rates"
CONSUMERS: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "predictions one frame ahead": (lambda: forecaster().one_step(recording())[1:], (FORCING, DRIVE)),
    "forecasts": (lambda: forecaster().horizon(recording(), np.array([0, 20]), 3), (FORCING, DRIVE)),
    "both in one pass": (
        lambda: forecaster().one_step_and_horizon(recording(), np.array([9]), 3)[1], (FORCING, DRIVE),
    ),
    "free run": (lambda: forecaster().free_run(recording(), 20, 6, 9), (FORCING, DRIVE)),
    "free run with noise": (lambda: forecaster().free_run(recording(), 20, 6, 9, noise(6)), (FORCING, DRIVE)),
    "free runs": (lambda: forecaster().free_runs(recording(), 20, 6, 9, noise(6))[0], (FORCING, DRIVE)),
    "left-out unit": (lambda: forecaster().left_out(recording(), np.arange(UNITS), 20, 26, 9), (FORCING, DRIVE)),
    "scores of left-out units": (scored_left_out, (FORCING, DRIVE)),
    "scored free run": (evaluated_free_run, (FORCING, DRIVE)),
    "prediction errors": (
        lambda: prediction_errors(forecaster(), recording(), "test", EvaluateConfig()).squared_error, (FORCING, DRIVE),
    ),
    "untrained model": (lambda: fitted()[1].initial_forecaster().one_step(recording())[1:], (FORCING, DRIVE)),
    "validation": (lambda: validate(forecaster(), np.ones((UNITS, 1)), horizons=True), (FORCING, DRIVE)),
    "driven activity": (driven, (FORCING, DRIVE)),
    "exponent of a free run": (lambda: exponent(None), (DRIVE,)),
    "exponent on given activity": (lambda: exponent(True), (FORCING, DRIVE)),
    "exponent of a driven run": (lambda: exponent(False), (FORCING, DRIVE)),
    "open Jacobian": (lambda: jacobian("open"), (FORCING, DRIVE)),
    "closed Jacobian": (lambda: jacobian("closed"), (FORCING, DRIVE)),
    "run to rest": (
        lambda: settle(fitted()[1].model, fitted()[1].params, inputs=np.ones(UNITS), steps=5).rates,
        (DRIVE,),
    ),
    "start of a perturbation": (
        lambda: settled(fitted()[1].model, fitted()[1].params, np.ones(UNITS), steps=5).rates, (DRIVE,),
    ),
    "perturbation": (lambda: perturbed("own"), (DRIVE, HELD)),
    "perturbation at the mean": (lambda: perturbed("mean"), (DRIVE, HELD)),
    "learner's window": (window, (FORCING, DRIVE)),
    "student of a known teacher": (student, (FORCING,)),
}  # fmt: skip


def ignoring(what: str | None) -> Callable:
    """The step of every run, without one of its parts."""

    def mutated(model: RateModel, params: dict, rates: jax.Array, *args: object, **options: object) -> object:
        if what == FORCING:
            options["forcing"] = False
        if what == HELD:
            options["held"] = None
        if what == DRIVE:
            model = replace(model, drive=None)
        return advance(model, params, rates, *args, **options)  # type: ignore[arg-type]

    return mutated


@pytest.fixture(scope="module")
def outcomes() -> dict[str | None, dict[str, np.ndarray]]:
    """What everybody finds with the whole step, and without each of its parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated_activity, "BURN_IN", 4)
        patch.setattr(simulated_activity, "MIN_RESIDUALS", 2)
        found: dict[str | None, dict[str, np.ndarray]] = {}
        for what in (None, FORCING, DRIVE, HELD):
            for module in (rollout_module, windows):
                patch.setattr(module, "advance", ignoring(what))
            rollout_module._rollout.clear_cache()  # what is compiled already would not know
            found[what] = {}
            for name, (consumer, parts) in CONSUMERS.items():
                if what is None or what in parts:
                    leaves = [np.ravel(one) for one in jax.tree.leaves(consumer())]
                    found[what][name] = np.concatenate(leaves).astype(float)
    rollout_module._rollout.clear_cache()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), [(name, part) for name, (_, parts) in CONSUMERS.items() for part in parts])
def test_everybody_who_runs_a_model_goes_through_the_rollout(name: str, part: str, outcomes: dict) -> None:
    """A step that leaves out a part of the dynamics changes what each of them finds."""
    whole, without = outcomes[None][name], outcomes[part][name]
    assert np.nanmax(np.abs(whole - without)) > 1e-3


def test_nobody_else_steps_a_model() -> None:
    """The equations of a step are taken from `forward` by `rollout` alone; so is what a neuron does."""
    steps = {"step", "correct"}
    taken, used = {}, {}
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "models.forward" not in text and "neuron.step" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module == "connfit.models.forward":
                if names := steps & {one.name for one in node.names}:
                    taken[path.stem] = names
            if isinstance(node, ast.Attribute) and ast.unparse(node).endswith("neuron.step"):
                used[path.stem] = True
    # Many steps in one call have the derivatives of single ones.
    assert taken == {"rollout": steps, "compiled_run": {"step"}}
    # A teacher of known parameters steps by itself: what a fit recovers is not made by what it is fitted with.
    # A user's own neuron is tried for one step before anything is built from it.
    assert set(used) == {"compiled_step", "windows", "known_teacher", "checked_neuron"}


def test_few_lengths_and_any_forcing_are_one_program() -> None:
    model, params = problem(0.5)[:2]
    start, rng = State.at_rest(model), np.random.default_rng(2)
    shown = Shown(rng.normal(size=(40, UNITS, 1)), rng.random((40, UNITS, 1)) < 0.7)
    whole = rollout(model, params, start, shown, readings)
    programs = rollout_module._rollout._cache_size()
    state, parts = start, []
    for frames in (slice(0, 21), slice(21, 38), slice(38, 40)):
        run = rollout(model, params, state, shown.part(frames), readings)
        state = run.state
        parts.append(np.asarray(run.each))
    assert rollout_module._rollout._cache_size() == programs + 1  # 40, 21 and 17 frames are one, 2 another
    assert [len(part) for part in parts] == [21, 17, 2]
    # The same steps in another program: the compiler may add in another order.
    np.testing.assert_allclose(np.concatenate(parts), whole.each, rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.rates, whole.state.rates, rtol=0, atol=1e-12)
    other = rollout(replace(model, state_forcing=0.9), params, start, shown, readings)
    assert rollout_module._rollout._cache_size() == programs + 1
    assert np.abs(np.asarray(other.each) - np.asarray(whole.each)).max() > 1e-3
