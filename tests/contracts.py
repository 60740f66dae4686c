"""What every cell, dataset, reader, preprocessing step, start and set of starting weights promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from connfit import config as configuration
from connfit._registry import read_options
from connfit.connectome import Connectome
from connfit.datasets.loading import load_connectome, load_recording, recording_names
from connfit.datasets.registry import DATASETS
from connfit.errors import ConfigError, DataError
from connfit.models import RateModel, Readout, init_params
from connfit.models.base import Model, Neurons, Params, parameter_counts
from connfit.models.cells import CELLS
from connfit.models.connectome_model import ModelConditions
from connfit.models.init.initial import begin
from connfit.models.init.start import STARTS, StartConditions
from connfit.models.init.starting_weights import WEIGHTS
from connfit.models.neuron import Neuron, as_states, filled
from connfit.models.rest import sent_by
from connfit.models.rollout import Shown, State, Stepped, advance, rollout
from connfit.models.windows import read_out, run_window, states_after
from connfit.recordings import Recording
from connfit.recordings.keyword_options import option_names
from connfit.recordings.preprocess import STEPS
from connfit.recordings.readers import READERS, find_reader
from connfit.training.learners import WindowArrays, WindowedLearner


def check_dataset(name: str) -> None:
    """It says what it is and whose, its files are known by something, and it loads by name but by no wrong one.

    A dataset without files is generated: its default connectome and first recording are made, where that is quick.
    """
    dataset = DATASETS[name]
    for fact in ("label", "organism", "licence", "citation", "source", "sizes", "folder"):
        assert getattr(dataset, fact), fact
    assert all(isinstance(size, int | float | str) for size in dataset.sizes.values())
    assert len({file.path for file in dataset.files}) == len(dataset.files)
    for file in dataset.files:
        assert file.sha256 or file.md5 or file.bytes, "something by which a file is known"
        assert file.bytes is None or file.bytes > 0
        assert file.sha256 is None or len(file.sha256) == 64
        assert file.md5 is None or len(file.md5) == 32
    assert (dataset.recording is None) == (not dataset.recordings)
    assert dataset.connectome is not None or dataset.recording is not None
    assert all(step["step"] in STEPS for step in dataset.preprocess)
    if dataset.connectome is None:
        with pytest.raises(ConfigError, match="has recordings only"):
            load_connectome(name)
    else:
        if not dataset.recordings and dataset.recordings_of is None:
            with pytest.raises(ConfigError, match="has no recordings: name those of another dataset, or files"):
                recording_names(name)
        else:
            assert dataset.recordings or DATASETS[dataset.recordings_of or ""].recordings, "something to fit it to"
        assert bool(dataset.variants) == ("variant" in option_names(dataset.connectome, skip=0))
        with pytest.raises(ConfigError, match=f"dataset {name} has no option 'nonsense'; its options are"):
            load_connectome(name, nonsense=1)
        if dataset.variants:
            with pytest.raises(ConfigError, match="variant is 'nonsense', but must be one of"):
                load_connectome(f"{name}/nonsense")
    for uid in dataset.recordings[:1]:
        with pytest.raises(ConfigError, match=f"recording is '{name}/{uid}x'.*did you mean '{name}/"):
            load_recording(f"{name}/{uid}x")
        with pytest.raises(ConfigError, match=f"dataset {name} has no option 'nonsense'"):
            load_recording(f"{name}/{uid}", nonsense=1)
    for option, value in dataset.fit.items():
        configuration.override(configuration.from_dict({"data": {}}), [f"{option}={configuration.as_json(value)}"])
    neurons = dataset.sizes.get("neurons")
    if not dataset.files and isinstance(neurons, int) and neurons <= 10_000:
        assert load_connectome(name).n == neurons
        recording = load_recording(f"{name}/{dataset.recordings[0]}")
        assert recording.name == f"{name}/{dataset.recordings[0]}" and recording.units


def check_reader(
    name: str, write: Callable[[Path, np.ndarray], object], folder: Path, options: Mapping[str, Any], units: tuple
) -> None:
    """Values come back as written, what is missing is masked or refused, and wrong files are refused by name."""
    reader = READERS[name]
    assert reader.label and "missing" in reader.options
    for end in reader.suffixes:
        assert find_reader(f"Some.File{end.upper()}") is reader
    path = folder / f"r{reader.suffixes[0]}"
    values = np.random.default_rng(0).normal(size=(30, len(units)))
    values[4, 1] = np.nan
    write(path, values)
    got = reader(path, missing="mask", **options)
    np.testing.assert_allclose(got.values, values, rtol=1e-6)
    np.testing.assert_array_equal(got.mask, np.isfinite(values))
    assert got.units == units and got.frame_rate == pytest.approx(2.0) and got.notes["file"] == path.name
    with pytest.raises(DataError, match=rf"{path.name}.*1 values are missing.*frame 4, unit"):
        reader(path, **options)
    with pytest.raises(ConfigError, match=rf"reader {name} has no option 'mising'.*did you mean 'missing'"):
        reader(path, mising="mask")
    content = path.read_bytes()
    for foreign in (b"", content[:7], b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4):
        path.write_bytes(foreign)
        with pytest.raises(DataError, match=path.name):
            reader(path, missing="mask", **options)
    path.unlink()
    with pytest.raises(DataError, match=f"{path.name}: no such file"):
        reader(path, **options)


def check_step(recording: Recording, step: dict[str, Any]) -> None:
    """The mask stays, the record repeats options and constants, and nothing flows from later parts to training."""
    apply, options = STEPS[step["step"]], {key: value for key, value in step.items() if key != "step"}
    assert apply.label
    before = recording.values.copy()
    got = apply(recording, options)
    np.testing.assert_array_equal(recording.values, before)
    (record,) = got.steps
    assert record["step"] == apply.name and isinstance(record["looks_ahead"], bool)
    assert json.loads(json.dumps(record)) == record and all(record[key] == value for key, value in options.items())
    kept = [recording.units.index(unit) for unit in got.units]
    fine = got.frames // recording.frames
    np.testing.assert_array_equal(got.mask[fine - 1 :: fine], recording.mask[:, kept])
    assert got.mask.sum() == recording.mask[:, kept].sum() and np.isfinite(got.values[got.mask]).all()
    assert np.isnan(got.values[fine - 1 :: fine][~recording.mask[:, kept]]).all()
    stop = recording.require_parts().train[1]
    altered = recording.values.copy()
    altered[stop:] = 7 + 3 * altered[stop:]
    altered[~recording.mask] = 1e9
    other = apply(replace(recording, values=altered), options)
    assert json.dumps(other.steps) == json.dumps(got.steps)
    np.testing.assert_array_equal(other.values[: stop * fine], got.values[: stop * fine])
    with pytest.raises(ConfigError, match=rf"step '{apply.name}' has no option 'nonsense'; its options are"):
        apply(recording, {"nonsense": 1})


def check_weights(name: str, brain: Connectome) -> None:
    """Magnitudes are one number of at least 0 per connection, of a seed, and of counts only where they say so."""
    weights = WEIGHTS[name]
    got = np.asarray(weights.magnitudes(brain, 3))
    assert weights.label and got.shape == (brain.m,) and np.isfinite(got).all() and (got >= 0).all() and got.any()
    np.testing.assert_array_equal(got, weights.magnitudes(brain, 3))
    order = np.random.default_rng(0).permutation(brain.m)
    moved = np.asarray(weights.magnitudes(replace(brain, counts=brain.counts[order]), 3))
    assert np.array_equal(moved, got) != weights.from_counts


def check_start(
    name: str,
    brain: Connectome,
    recording: Recording,
    *,
    drive: str = "dense",
    options: Mapping[str, Any] | None = None,
) -> None:
    """Parameters are complete, finite, within their bounds, and the same again from the same seed and frames."""
    start = STARTS[name]
    readout = Readout.by_name(brain, recording.units)
    values = np.asarray(recording.values[recording.require_parts()["train"]], np.float64)
    if start.spiking:
        conditions = ModelConditions(connectome=brain, readout=readout, step_s=1e-3, drive=drive, bounds_s=(1e-3, 1.0))
        model = CELLS["lif"].build(conditions)
    else:
        model = RateModel.from_connectome(brain, readout, step_s=1 / recording.frame_rate, drive=drive)
    given = StartConditions(
        connectome=brain, readout=readout, time_constant_s=model.step_s, mean_activity=values.mean(axis=0), seed=3,
        options=read_options(start.options, options, where="model.start_options"),
    )  # fmt: skip
    training = [(values, 1 / np.diff(values, axis=0).var(axis=0))]

    def made() -> dict[str, Any]:
        found = None if start.fit is None else start.fit(model, given, training)
        if found is not None:
            assert found.magnitudes.shape == (brain.m,)
            assert json.dumps(found.facts(recording.units))
        return begin(model, name, replace(given, fitted=found))

    params = made()
    known = {"weights", "log_time_constants", "bias", "drive", *(one.key for one in model.neuron.parameters)}
    assert start.label and set(params) == known - ({"drive"} if drive == "none" else set())
    assert params["weights"].shape == (brain.m,) and params["bias"].shape == (brain.n,)
    assert all(bool(jnp.isfinite(value).all()) for value in params.values())
    for (group, value), again, bounded in zip(
        params.items(), made().values(), model.project(params).values(), strict=True
    ):
        np.testing.assert_array_equal(value, again, err_msg=group)
        np.testing.assert_allclose(value, bounded, rtol=1e-6, err_msg=group)
    if start.fit is not None:
        with pytest.raises(ConfigError, match="finds in the training frames"):
            begin(model, name, given)
    with pytest.raises(ConfigError, match=r"option of model\.start_options is 'nonsense'"):
        read_options(start.options, {"nonsense": 1}, where="model.start_options")


def check_cell(
    name: str, brain: Connectome, recordings: tuple[Recording, ...], *, options: Mapping[str, Any] | None = None
) -> None:
    """One step is the rollout's, declared derivatives are those of autodiff, parameters are counted and bounded."""
    cell = CELLS[name]
    own = read_options(cell.options, options, where="model.cell_options")
    with pytest.raises(ConfigError, match=r"option of model\.cell_options is 'nonsense'"):
        read_options(cell.options, {"nonsense": 1}, where="model.cell_options")
    readout = Readout.by_name(brain, recordings[0].units)
    model = cell.build(ModelConditions(connectome=brain, readout=readout, step_s=0.5), **own.as_dict())
    assert cell.label and cell.does and set(model.groups) <= set(cell.groups)
    named = [option for option in own.as_dict() if option not in {one.name for one in model.neuron.parameters}]
    assert all(str(getattr(own, option)) in repr(model) for option in named)
    params = init_params(model, brain, readout, spectral_radius=0.6)
    n, p = brain.n, readout.units
    counts = parameter_counts(params)
    assert set(counts) == set(model.groups)
    expected = {"weights": brain.m, "time_constants": n, "bias": n, "drive": n * p}
    expected |= {parameter.name: n for parameter in model.neuron.parameters}
    assert counts == expected
    rng = np.random.default_rng(0)
    apart = jax.jit(lambda values: {key: model.project({key: value})[key] for key, value in values.items()})
    moved = {
        key: np.asarray(value) + 0.1 * rng.random(value.shape).astype(value.dtype) for key, value in params.items()
    }
    params = apart(moved)
    inside = jax.jit(model.project)({key: -100 * (1 + abs(np.asarray(value))) for key, value in params.items()})
    again = apart(inside)
    for key, value in inside.items():
        np.testing.assert_array_equal(value, again[key], err_msg=key)
    start = Neurons(tuple(jnp.asarray(rng.random((n, 2)), jnp.result_type(float)) for _ in model.neuron.states))
    u = jnp.asarray(rng.random((3, p, 2)), start.rates.dtype)
    given = jnp.ones(u.shape, bool)
    _check_derivatives(model, params, start, rng)
    after, step = start, jax.jit(lambda before, u, given: advance(model, params, before, u, given)[0])
    for k in range(3):
        after = step(after, u[k], given[k])
    run = jax.jit(lambda: rollout(model, params, State.of(model, start), Shown(u, given), _rates))()
    for one, other in zip(run.state.neurons.states, after.states, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    sent = jax.jit(lambda after: sent_by(model, params, after))(after)
    np.testing.assert_allclose(run.each[-1], sent, rtol=1e-5, atol=1e-6)
    assert np.abs(np.diff(run.each, axis=0)).max() > 1e-3, "a model that stays where it is shows nothing"
    _check_gradient(model, params, start, u, given, rng)


def _rates(model: Model, params: Params, kept: None, now: Stepped, also: object) -> tuple[None, jax.Array]:
    return kept, now.rates


def _check_derivatives(model: Model, params: Params, start: Neurons, rng: np.random.Generator) -> None:
    """What a cell declares of its derivatives is what forward mode finds; channels add up to the whole."""
    neuron, whole, (n, b) = model.neuron, jax.jit(model.constants)(params), start.rates.shape
    theta = {name: whole[name] for name in ("time_constants", *(one.name for one in neuron.parameters))}
    jacobian = jax.jit(neuron.jacobian)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-5, err_msg="what is derived from parameters is of the same"),
        *(jacobian(each, start.states, (start.rates,) * len(neuron.channels)) for each in (whole, theta)),
    )  # fmt: skip
    x = tuple(jnp.asarray(rng.normal(size=(n, b)), start.rates.dtype) for _ in neuron.channels)
    after = jax.jit(neuron.step)(theta, start.states, x)
    assert len(as_states(after)) == len(neuron.states)
    declared, found = (one(theta, start.states, x) for one in (jacobian, jax.jit(partial(Neuron.jacobian, neuron))))
    for name, mine, right in (
        ("A", declared.states, found.states),
        ("B", declared.inputs, found.inputs),
        *((key, (declared.parameters[key],), (found.parameters[key],)) for key in found.parameters),
    ):
        for row, other in zip(mine, right, strict=True):
            for one, two in zip(row, other, strict=True):
                assert two is not None or one is None, f"{name}: a state that counts has no derivatives"
                if two is not None:
                    np.testing.assert_allclose(filled(one, two), two, rtol=1e-4, atol=1e-5, err_msg=name)
    for reading, function in ((neuron.sent, neuron.output), (neuron.seen, neuron.observed)):

        @jax.jit
        def both(states: tuple, function: Callable = function, reading: Callable = reading) -> tuple:
            change = tuple(map(jnp.cos, states))
            _, tangent = jax.jvp(lambda *h: function(theta, h), states, change)
            return reading(theta, states).along(change), tangent

        np.testing.assert_allclose(*both(start.states), rtol=1e-4, atol=1e-6)
    assert max(float(np.abs(filled(one, x[0])).max()) for row in declared.inputs for one in row) > 0.1

    @jax.jit
    def slopes(params: Params) -> list[tuple]:
        found = []
        for parameter in model.parameters:
            stored = params[parameter.key]
            ones = jnp.ones_like(stored)
            _, by_stored = jax.jvp(lambda one, p=parameter: p.used(one, model.step_s), (stored,), (ones,))
            slope = parameter.slope(stored, model.step_s)
            found.append((ones if slope is None else slope, by_stored))
        return found

    for slope, by_stored in slopes(params):
        np.testing.assert_allclose(slope, by_stored, rtol=1e-4)

    @jax.jit
    def sums(params: Params, rates: jax.Array) -> tuple[tuple, ...]:
        out = model.outputs(rates)
        received = model.received(params, rates)
        back = model.received_adjoint(params, received)
        together = model.recurrent.apply(model.recurrent_strengths(params), out)
        return (
            ((out * out).sum(), (rates * model.outputs_adjoint(out)).sum()),
            (sum((one * one).sum() for one in received), (rates * back).sum()),
            (sum(received), together),
        )

    sent, back, channels = sums(params, start.rates)
    np.testing.assert_allclose(*sent, rtol=1e-5)
    np.testing.assert_allclose(*back, rtol=1e-4)
    np.testing.assert_allclose(*channels, rtol=1e-4, atol=1e-5, err_msg="channels add up to the whole")
    decay = np.asarray(theta["time_constants"])
    assert ((decay > 0) & (decay < 1)).all()


def _check_gradient(
    model: Model, params: Params, start: Neurons, u: jax.Array, given: jax.Array, rng: np.random.Generator
) -> None:
    """The exact rule on one window, against reverse-mode differentiation of the same window."""
    targets = jnp.asarray(rng.random(u.shape), u.dtype)
    window = WindowArrays(u, given, targets, jnp.ones(u.shape, u.dtype))

    def loss(params: Params) -> jax.Array:
        end, seen = run_window(model, params, start, u, given)
        y = read_out(model, params, states_after(model, params, seen, end))
        return ((y - targets) ** 2).sum()

    learner = WindowedLearner(len(u), "network", "none")

    @jax.jit
    def learned(params: Params) -> Any:
        memory = learner.start(model, u.shape[2], model.groups)._replace(neurons=start)
        return learner.step(model, params, memory, window, model.groups)[0]

    result = learned(params)
    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    np.testing.assert_allclose(result.loss, value, rtol=1e-5)
    for key, expected in gradient.items():
        np.testing.assert_allclose(
            result.gradient[key], expected, rtol=2e-4, atol=2e-4 * float(jnp.abs(expected).max()), err_msg=key
        )
