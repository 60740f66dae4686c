"""The memory that a fit says it needs: against XLA's own account, and what happens where it is too much."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import random_connectome
from small import first_fast

from connfit.config import TrainConfig
from connfit.errors import ConfigError
from connfit.models import RateModel, Readout, ops, tie_weights
from connfit.models.cells import CELLS
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.input_map import input_map
from connfit.models.observation import observe
from connfit.models.observation.likelihood import Likelihood
from connfit.models.ops import native
from connfit.recordings import Parts, Recording
from connfit.recordings.cohort import Cohort
from connfit.training import memory
from connfit.training.learners import WindowedLearner
from connfit.training.learners.learner import WindowArrays
from connfit.training.memory import check_memory, estimate_memory
from connfit.training.optimiser import OPTIMISERS
from connfit.training.step import StepOptions, training_step

NATIVE = pytest.mark.skipif(not native.available(), reason=f"no compiled kernels: {native.why_not()}")

NEURONS, UNITS, FEATURES = 3000, 12, 40


def problem(
    recordings: int, drive: str = "dense", strengths: str = "free", state_forcing: float = 0.0
) -> tuple[RateModel, dict, Cohort]:
    rng = np.random.default_rng(0)
    brain = random_connectome(rng, NEURONS, 60)
    brain = replace(brain, neurons=brain.neurons.assign(type=[f"t{k % 20}" for k in range(NEURONS)]))
    rows = np.arange(NEURONS) % UNITS
    names = tuple(f"u{k}" for k in range(UNITS))
    readout = Readout(sp.csr_array((np.ones(NEURONS), (rows, np.arange(NEURONS))), shape=(UNITS, NEURONS)), names)
    parts = Parts((0, 30), (30, 40), (40, 50))
    movies = [
        Recording(f"movie {k}", rng.random((50, UNITS), np.float32), names, 1.0, parts=parts) for k in range(recordings)
    ]
    model = RateModel.from_connectome(brain, readout, step_s=1.0, drive=drive, state_forcing=state_forcing)
    if strengths != "free":
        model = tie_weights(model, brain, strengths, jnp.ones(brain.m))
    params = {key: jnp.zeros(size) for key, size in sizes(model).items()}
    return model, params, Cohort.from_recordings(movies)


def sizes(model: RateModel) -> dict[str, Any]:
    n = model.neurons
    found = {model.recurrent_group: model.recurrent.strengths_shape, "log_time_constants": n, "bias": n}
    return found if model.drive is None else {**found, "drive": model.drive.strengths_shape}


def compiled_bytes(
    model: RateModel, params: dict, learner: WindowedLearner, batch: int, optimiser: str = "adam"
) -> int:
    """What a step holds beside its arguments, and those of its arguments that the estimate counts."""
    zero = jnp.zeros((learner.window, UNITS, batch))
    window = WindowArrays(zero, zero > 0, zero, zero, jnp.zeros(0, jnp.int32))
    if model.inputs is not None:
        window = window._replace(external=jnp.zeros((learner.window, FEATURES, batch)))
    memory_before = learner.start(model, batch, model.groups)
    analysis = training_step.lower(
        model, params, {}, None, OPTIMISERS[optimiser].init(params), memory_before, window,
        {key: jnp.float32(1.0) for key in params},
        learner=learner, groups=model.groups, options=StepOptions(optimiser=optimiser),
    ).compile().memory_analysis()  # fmt: skip
    return analysis.temp_size_in_bytes + analysis.argument_size_in_bytes


@pytest.mark.parametrize(
    ("recordings", "drive", "options", "strengths", "state_forcing"),
    [
        (1, "dense", {}, "free", 1.5),
        pytest.param(4, "dense", {}, "free", 1.5, marks=pytest.mark.slow),
        (4, "none", {"credit": "neuron"}, "free", 1.5),
        pytest.param(1, "dense", {}, "free", 0.0, marks=pytest.mark.slow),
        (4, "dense", {"trace_dtype": "bfloat16"}, "free", 0.0),
        (1, "none", {"carry": "history", "history": 32}, "free", 0.0),
        (2, "anatomical", {"carry": "none"}, "free", 0.0),
        (4, "dense", {"carry": "factorised"}, "free", 0.0),
        (1, "none", {}, "gain_per_neuron", 0.0),
        (2, "none", {}, "gain_per_type_pair", 0.0),
        pytest.param(1, "none", {"carry": "none"}, "gain_per_type_pair", 0.0, marks=pytest.mark.slow),
    ],
)
def test_the_estimate_is_what_a_compiled_step_holds(
    recordings: int, drive: str, options: dict, strengths: str, state_forcing: float
) -> None:
    model, params, cohort = problem(recordings, drive, strengths, state_forcing)
    learner = WindowedLearner(16, **options)
    estimate = estimate_memory(model, params, cohort, learner, TrainConfig(), model.groups)
    held = sum(estimate.parts[part] for part in ("parameters", "moments", "gradient", "traces", "window"))
    # Also among the arguments: the wiring on the device, the window's data, signs and read-out.
    # XLA reuses buffers in ways that change with shapes; a quarter of a step is some 5 % of a whole fit.
    assert held + estimate.parts["wiring"] == pytest.approx(
        compiled_bytes(model, params, learner, recordings), rel=0.25
    )


@pytest.mark.parametrize(
    ("cell", "recordings", "drive", "options"),
    [
        ("rate-calcium", 1, "none", {}),
        pytest.param("lif", 1, "none", {"credit": "neuron"}, marks=NATIVE),
        pytest.param("lif", 4, "dense", {"credit": "neuron"}, marks=[NATIVE, pytest.mark.slow]),
        pytest.param("adaptive-lif", 4, "none", {"credit": "neuron"}, marks=[NATIVE, pytest.mark.slow]),
        pytest.param("adaptive-rate", 4, "dense", {}, marks=pytest.mark.slow),
        pytest.param("two-channel", 1, "none", {"carry": "history"}, marks=pytest.mark.slow),
        pytest.param("two-channel", 4, "dense", {"carry": "factorised"}, marks=pytest.mark.slow),
        pytest.param("two-channel", 2, "anatomical", {"carry": "none"}, marks=pytest.mark.slow),
    ],
)
def test_the_estimate_knows_further_states_and_channels(cell: str, recordings: int, drive: str, options: dict) -> None:
    model, params, cohort = problem(recordings, drive)
    model = replace(model, neuron=CELLS[cell].neuron())
    params |= model.own_start()
    learner = WindowedLearner(16, **options)
    estimate = estimate_memory(model, params, cohort, learner, TrainConfig(), model.groups)
    held = sum(estimate.parts[part] for part in ("parameters", "moments", "gradient", "traces", "window", "wiring"))
    assert held == pytest.approx(compiled_bytes(model, params, learner, recordings), rel=0.25)


@NATIVE
def test_a_second_state_costs_its_traces_and_nothing_of_a_window_but_in_blocks(monkeypatch) -> None:
    """Blocks save more than a window; what remains above one state, which JAX before 0.10 holds in less, is little."""
    model, params, _ = problem(1, "none")
    model = replace(model, neuron=CELLS["rate"].neuron(nonlinearity="softplus"))  # which is not compiled as a whole
    two = replace(model, neuron=CELLS["rate-calcium"].neuron())
    learner, wiring, window = WindowedLearner(16, "neuron"), model.recurrent.pattern.nnz, 4 * 16 * NEURONS

    def held(numbers_at_once: int) -> int:
        monkeypatch.setattr(native, "_NUMBERS_AT_ONCE", numbers_at_once)
        jax.clear_caches()  # of what was traced with another number
        return compiled_bytes(two, params | two.own_start(), learner, 1)

    in_blocks = held(10_000)
    assert in_blocks < held(1 << 40) - 1.3 * window
    # A plane of traces; parameter, moments and state of the calcium; two more traces of each of three parameters.
    arguments = 4 * (wiring + 8 * NEURONS)
    most = 0.4 if jax.__version_info__ >= (0, 10) else 1.3
    assert in_blocks - compiled_bytes(model, params, learner, 1) - arguments < most * window


@pytest.mark.parametrize(
    ("indicator", "recordings", "options"),
    [("order-1", 1, {}), pytest.param("order-2", 2, {"carry": "none"}, marks=pytest.mark.slow)],
)
def test_the_estimate_knows_an_indicator_gains_and_inputs(indicator: str, recordings: int, options: dict) -> None:
    """Of many features, whose weights and traces are more than those of all connections are."""
    brain = random_connectome(np.random.default_rng(0), NEURONS, 10)
    names = tuple(f"u{k}" for k in range(UNITS))
    readout = Readout(sp.csr_array(np.eye(UNITS, NEURONS)), names)
    channels = tuple(f"input {k}" for k in range(FEATURES // 2))
    given = ModelConditions(
        connectome=brain, readout=readout, step_s=1.0, drive="none", state_forcing=0.5, own_gains=True,
        inputs=input_map(brain, readout, channels, 2), likelihood=Likelihood("student-t"),
    )  # fmt: skip
    times = {"rise_s": 0.5} if indicator == "order-2" else {}
    model = ConnectomeModel.wire(given, observe(CELLS["rate"].neuron(), indicator, step_s=1.0, decay_s=2.0, **times))
    assert model.inputs is not None
    params = {
        **{key: jnp.zeros(size) for key, size in sizes(model).items()}, **model.own_start(),
        "inputs": jnp.zeros(model.inputs.strengths_shape),
    }  # fmt: skip
    params = model.with_gains(params)
    learner = WindowedLearner(16, **options)
    _, _, cohort = problem(recordings)
    estimate = estimate_memory(model, params, cohort, learner, TrainConfig(), model.groups)
    if learner.carry == "trace":
        assert estimate.parts["traces"] == 4 * recordings * len(model.neuron.states) * (brain.m + NEURONS * FEATURES)
    held = sum(estimate.parts[part] for part in ("parameters", "moments", "gradient", "traces", "window", "wiring"))
    assert held == pytest.approx(compiled_bytes(model, params, learner, recordings), rel=0.25)


@pytest.mark.parametrize(
    "learner",
    first_fast([WindowedLearner(16), WindowedLearner(1, "neuron", "none"), WindowedLearner(16, "none", "none")], 1),
)
def test_rmsprop_remembers_half_as_much(learner: WindowedLearner) -> None:
    model, params, cohort = problem(1)
    adam, rmsprop = (
        estimate_memory(model, params, cohort, learner, TrainConfig(optimiser=name), model.groups)
        for name in ("adam", "rmsprop")
    )
    assert rmsprop.parts["moments"] == adam.parts["moments"] / 2 == adam.parts["gradient"]
    assert {**adam.parts, "moments": 0} == {**rmsprop.parts, "moments": 0}
    saved = adam.total - rmsprop.total
    jax.clear_caches()  # of what was traced for native code, in which Adam is given all gradients at once
    with ops.use("portable"):
        held = compiled_bytes(model, params, learner, 1) - compiled_bytes(model, params, learner, 1, "rmsprop")
    jax.clear_caches()
    assert held == pytest.approx(saved, rel=0.05)


def test_the_estimate_counts_what_is_trained_and_does_not_grow_with_frames() -> None:
    model, params, cohort = problem(1)
    learner = WindowedLearner(16)

    def parts(groups: tuple = model.groups, learner: WindowedLearner = learner) -> dict:
        return dict(estimate_memory(model, params, cohort, learner, TrainConfig(), groups).parts)

    m = model.connections
    assert parts()["moments"] == 2 * 4 * (m + NEURONS * UNITS + 2 * NEURONS)
    assert parts(groups=("bias",))["moments"] == 2 * 4 * NEURONS
    assert parts(groups=("bias",))["traces"] == 0
    assert parts()["traces"] == 4 * (m + NEURONS * UNITS)
    assert parts(learner=WindowedLearner(16, trace_dtype="bfloat16"))["traces"] == 2 * (m + NEURONS * UNITS)
    assert parts(learner=WindowedLearner(16, carry="none"))["traces"] == 0
    assert parts(learner=WindowedLearner(32))["window"] == 2 * parts()["window"]
    longer = Cohort.from_recordings([
        Recording("long", np.tile(cohort.recordings[0].values, (40, 1)), cohort.units, 1.0,
                  parts=Parts((0, 1200), (1200, 1600), (1600, 2000)))
    ])  # fmt: skip
    long = dict(estimate_memory(model, params, longer, learner, TrainConfig(), model.groups).parts)
    assert {key: value for key, value in long.items() if key != "recordings"} == {
        key: value for key, value in parts().items() if key != "recordings"
    }
    # Of a long recording only blocks are copied.
    assert parts()["recordings"] == 5 * 5 * 50 * UNITS
    million = replace(longer.recordings[0], values=np.broadcast_to(np.float32(1), (10**6, UNITS)), mask=None)
    held = estimate_memory(model, params, replace(longer, recordings=(million,)), learner, TrainConfig(), model.groups)
    assert held.parts["recordings"] == 5 * 10**6 * UNITS + memory.BLOCK


def test_a_fit_that_does_not_fit_stops_with_advice() -> None:
    model, params, cohort = problem(4)
    learner = WindowedLearner(16)
    estimate = estimate_memory(model, params, cohort, learner, TrainConfig(), model.groups)
    check_memory(estimate, free=estimate.total)
    with pytest.raises(
        ConfigError, match=r"needs about .* GB and the machine has .*train.batch = 1 \(saves .*bfloat16"
    ):
        check_memory(estimate, free=estimate.total - 1)
    alone = estimate_memory(
        model, params, cohort, WindowedLearner(16, carry="none"), TrainConfig(batch=1), model.groups
    )
    with pytest.raises(ConfigError) as stopped:
        check_memory(alone, free=0)
    assert "train.batch = 1" not in str(stopped.value) and "bfloat16" not in str(stopped.value)


def test_a_run_checks_before_it_makes_its_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from small import write_files

    from connfit.config import override, read
    from connfit.training import runs

    monkeypatch.setattr(memory, "memory_limit", lambda: 10**4)
    config = override(read(write_files(tmp_path)), ["train.epochs=0", "train.free_run_epochs=0"])
    with pytest.raises(ConfigError, match=r"train\.check_memory = false"):
        runs.start(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    runs.start(override(config, ["train.check_memory=false"]), tmp_path / "out")
    assert (tmp_path / "out" / "parameters.npz").exists()


def test_the_limit_is_more_than_what_this_process_holds() -> None:
    jax.block_until_ready(jnp.ones(10))
    assert memory.memory_limit() > 10**8
