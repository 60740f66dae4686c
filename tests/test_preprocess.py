"""Preprocessing: constants from the training part only, no look ahead where none is promised, exact inverses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.errors import ConfigError, ConnfitError, DataError
from connfit.recordings import Parts, Recording
from connfit.recordings.preprocess import STEPS, preprocess, scale, to_substeps, unscale, unscale_values

RATE = 2.0
# Every step with options that suit positive traces of 120 frames.
CASES: dict[str, dict] = {
    "delta_f_over_f": {"step": "delta_f_over_f", "percentile": 20.0},
    "delta_f_over_f, running": {"step": "delta_f_over_f", "window_s": 10.0},
    "running_baseline": {"step": "running_baseline", "window_s": 10.0},
    "high_pass": {"step": "high_pass", "cutoff_hz": 0.05},
    "high_pass, order 2 from zero": {"step": "high_pass", "cutoff_hz": 0.1, "order": 2, "start": "zero"},
    "high_pass, zero-phase": {"step": "high_pass", "cutoff_hz": 0.05, "direction": "zero-phase"},
    "remove_bleaching": {"step": "remove_bleaching"},
    "remove_bleaching, divide": {"step": "remove_bleaching", "mode": "divide"},
    "scale": {"step": "scale"},
    "scale, percentile": {"step": "scale", "method": "percentile", "low": 5.0, "high": 95.0},
    "scale, range": {"step": "scale", "method": "range"},
    "scale, signed": {"step": "scale", "nonnegative": False},
    "deconvolve": {"step": "deconvolve", "tau_s": 1.5},
    "smooth": {"step": "smooth", "tau_s": 2.0},
    "smooth, gaussian": {"step": "smooth", "method": "gaussian", "sigma_s": 1.0},
    "select": {"step": "select", "drop": ["b"]},
    "resample, to the same": {"step": "resample", "rate_hz": 2.0},
    "to_substeps": {"step": "to_substeps", "substeps": 3},
}
every_step = pytest.mark.parametrize("step", list(CASES.values()), ids=list(CASES))


def made(seed: int = 0, frames: int = 120, missing: float = 0.0, **changes: object) -> Recording:
    """Three positive, slowly varying traces."""
    rng = np.random.default_rng(seed)
    noise = scipy.signal.lfilter([1], [1, -0.8], rng.normal(size=(frames, 3)), axis=0)
    values = 60 + 3 * noise + 10 * np.exp(-np.arange(frames)[:, None] / 40)
    mask = rng.random(values.shape) >= missing
    mask[:3] = True
    values[~mask] = np.nan
    recording = Recording("r", values, ("a", "b", "c"), RATE, kind="fluorescence", value_units="counts", mask=mask)
    return replace(recording.split(train=0.5, validation=0.2, gap=2), **changes)


def constants(recording: Recording) -> str:
    return json.dumps(recording.steps)


@every_step
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.2]))
def test_nothing_from_validation_and_test_reaches_the_training_part(step: dict, seed: int, missing: float) -> None:
    recording = made(seed, missing=missing)
    stop = recording.parts.train[1]
    altered = recording.values.copy()
    altered[stop:] = 100 * np.random.default_rng(seed).gamma(2, size=altered[stop:].shape)
    altered[~recording.mask] = np.nan
    one, two = preprocess(recording, [step]), preprocess(replace(recording, values=altered), [step])
    assert constants(one) == constants(two)
    train = one.parts["train"]
    np.testing.assert_array_equal(one.values[train], two.values[train])


@every_step
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.2]))
def test_steps_that_do_not_look_ahead_depend_on_no_later_frame(step: dict, seed: int, missing: float) -> None:
    recording = made(seed, missing=missing)
    # Behind the training part, so that constants are the same.
    now = int(np.random.default_rng(seed).integers(recording.parts.train[1], recording.frames - 1))
    altered = recording.values.copy()
    altered[now + 1 :] += 50
    one, two = preprocess(recording, [step]), preprocess(replace(recording, values=altered), [step])
    fine = one.frames // recording.frames
    same = np.array_equal(one.values[: (now + 1) * fine], two.values[: (now + 1) * fine], equal_nan=True)
    # A step that says it looks ahead may differ within the part, and the test below shows that it does.
    assert same or one.steps[-1]["looks_ahead"]


@pytest.mark.parametrize("name", ["high_pass, zero-phase", "smooth, gaussian", "deconvolve"])
def test_steps_that_look_ahead_say_so_and_stay_within_their_part(name: str) -> None:
    recording = made(1)
    altered = recording.values.copy()
    edge = recording.parts.test[0]
    altered[edge + 5] -= 25
    one, two = preprocess(recording, [CASES[name]]), preprocess(replace(recording, values=altered), [CASES[name]])
    assert one.steps[-1]["looks_ahead"]
    assert not np.array_equal(one.values[edge : edge + 5], two.values[edge : edge + 5])
    np.testing.assert_array_equal(one.values[:edge], two.values[:edge])


@every_step
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_values_that_were_not_observed_influence_nothing(step: dict, seed: int) -> None:
    recording = made(seed, missing=0.2)
    garbage = np.where(recording.mask, recording.values, 1e9)
    one, two = preprocess(recording, [step]), preprocess(replace(recording, values=garbage), [step])
    assert constants(one) == constants(two)
    np.testing.assert_array_equal(one.values, two.values)
    assert np.isfinite(one.values[one.mask]).all()
    if step["step"] != "to_substeps":
        assert np.isnan(one.values[~one.mask]).all()


@every_step
def test_every_step_leaves_its_input_alone_and_records_itself(step: dict) -> None:
    recording = made(3)
    before = recording.values.copy()
    got = preprocess(recording, [step])
    np.testing.assert_array_equal(recording.values, before)
    assert recording.steps == () and len(got.steps) == 1 and got.steps[0]["step"] == step["step"]
    assert json.loads(json.dumps(got.steps[0])) == got.steps[0]
    assert all(got.steps[0][key] == value for key, value in step.items())
    assert isinstance(got.steps[0]["looks_ahead"], bool)
    assert got.values.dtype == recording.values.dtype
    single = replace(recording, values=recording.values.astype(np.float32))
    assert preprocess(single, [step]).values.dtype == np.float32


NEEDS_PARTS = {"delta_f_over_f", "remove_bleaching", "scale", "deconvolve"}


@every_step
def test_steps_with_constants_need_parts(step: dict) -> None:
    recording = made(parts=None)
    if step["step"] in NEEDS_PARTS and "window_s" not in step:
        with pytest.raises(ConfigError, match="no parts yet"):
            preprocess(recording, [step])
    else:
        assert preprocess(recording, [step]).steps


@every_step
def test_no_step_follows_the_resampling_but_selection(step: dict) -> None:
    fine = to_substeps(made(), 2)
    if step["step"] in ("select", "to_substeps"):
        return
    with pytest.raises(ConfigError, match="to_substeps must be the last step"):
        preprocess(fine, [step])


@given(st.integers(0, 2**32 - 1), st.sampled_from(["std", "percentile", "range"]), st.booleans())
def test_scaling_is_undone_exactly_and_sets_what_it_says(seed: int, method: str, nonnegative: bool) -> None:
    recording = made(seed, missing=0.1)
    got = scale(recording, method=method, nonnegative=nonnegative)
    train, _ = got.part("train")
    size = {
        "std": np.nanstd(train, axis=0),
        "percentile": np.diff(np.nanpercentile(train, [1, 99], axis=0), axis=0)[0],
        "range": np.nanmax(train, axis=0) - np.nanmin(train, axis=0),
    }[method]
    np.testing.assert_allclose(size, 1, rtol=1e-9)
    floor = np.nanmin(train, axis=0) if method == "range" else np.nanpercentile(train, 1, axis=0)
    np.testing.assert_allclose(floor if nonnegative else np.nanmean(train, axis=0), 0, atol=1e-9)
    back = unscale(got)
    np.testing.assert_allclose(back.values, recording.values, rtol=1e-10)
    assert back.value_units == "counts" and got.value_units == "counts, scaled"
    chosen = preprocess(got, [{"step": "select", "units": ["c", "a"]}, {"step": "to_substeps", "substeps": 2}])
    np.testing.assert_allclose(unscale(chosen).values[1::2], recording.values[:, [2, 0]], rtol=1e-10)
    forecast = np.random.default_rng(seed).normal(size=(2, 4, 2))
    np.testing.assert_allclose(
        unscale_values(forecast, got.steps[-1], ["b", "c"]),
        forecast * np.array(got.steps[-1]["scale"])[1:] + np.array(got.steps[-1]["offset"])[1:],
    )


def test_what_cannot_be_undone() -> None:
    with pytest.raises(ConfigError, match="was not scaled"):
        unscale(made())
    with pytest.raises(ConfigError, match="'smooth' followed the scaling"):
        unscale(preprocess(made(), [{"step": "scale"}, {"step": "smooth", "tau_s": 1.0}]))
    with pytest.raises(ConfigError, match="no constants for the units z"):
        unscale_values(np.zeros((1, 1)), scale(made()).steps[-1], ["z"])
    with pytest.raises(ConfigError, match="not a scaling"):
        unscale_values(np.zeros((1, 1)), {"step": "smooth"}, ["a"])


def flat_unit(level: float) -> Recording:
    recording = made()
    values = recording.values.copy()
    values[: recording.parts.train[1], 1] = level
    return replace(recording, values=values)


@pytest.mark.parametrize("level", [0.0, 5.0, 1e6])
@pytest.mark.parametrize("method", ["std", "percentile", "range"])
def test_a_unit_that_does_not_vary_is_named_or_dropped(level: float, method: str) -> None:
    recording = flat_unit(level)
    with pytest.raises(DataError, match=r"that do not vary in the training part .*: b \(1 of 3\).*constant='drop'"):
        scale(recording, method=method)
    got = scale(recording, method=method, constant="drop")
    assert got.units == ("a", "c") and got.steps[-1]["dropped"] == ["b"] and got.steps[-1]["units"] == ["a", "c"]
    alone = scale(recording.select_units(["a", "c"]), method=method)
    np.testing.assert_allclose(got.values, alone.values, rtol=1e-12, atol=1e-12)
    with pytest.raises(DataError, match="no unit is left"):
        scale(recording.select_units(["b"]), constant="drop")


@every_step
@pytest.mark.parametrize("level", [0.0, 7.0])
def test_a_constant_unit_never_becomes_nan(step: dict, level: float) -> None:
    recording = flat_unit(level)
    values = recording.values.copy()
    values[:, 1] = level
    try:
        got = preprocess(replace(recording, values=values), [step])
    except DataError as error:
        assert ": b" in str(error)
    else:
        assert np.isfinite(got.values[got.mask]).all()


@every_step
def test_a_unit_missing_in_training_is_named_or_handled(step: dict) -> None:
    recording = made()
    mask = recording.mask.copy()
    mask[: recording.parts.train[1], 2] = False
    try:
        got = preprocess(replace(recording, mask=mask), [step])
    except DataError as error:
        assert "no observed value in the training part: c" in str(error)
        assert step["step"] in NEEDS_PARTS
    else:
        assert np.isfinite(got.values[got.mask]).all()


def test_delta_f_over_f_by_hand() -> None:
    values = np.array([[1.0], [2], [3], [4], [5], [50], [60], [70], [80], [90]])
    recording = Recording("r", values, ("a",), 1.0, parts=Parts((0, 5), (5, 6), (6, 10)))
    got = preprocess(recording, [{"step": "delta_f_over_f", "percentile": 50.0}])
    np.testing.assert_allclose(got.values, values / 3 - 1)
    assert got.kind == "dff" and got.steps[0]["baseline"] == [3.0]
    got = preprocess(recording, [{"step": "delta_f_over_f", "percentile": 0.0, "window_s": 3.0}])
    np.testing.assert_allclose(got.values[:, 0], values[:, 0] / np.r_[1, 1, 1, 2, 3, 4, 5, 50, 60, 70] - 1)
    with pytest.raises(DataError, match="baseline F0 that is not positive: a"):
        preprocess(replace(recording, values=values - 3), [{"step": "delta_f_over_f"}])


def test_running_baseline_by_hand() -> None:
    values = np.array([[3.0], [1], [2], [5], [6]])
    got = preprocess(
        Recording("r", values, ("a",), 2.0), [{"step": "running_baseline", "window_s": 1.0, "percentile": 0}]
    )
    np.testing.assert_allclose(got.values[:, 0], [0, 0, 1, 3, 1])


def test_high_pass_removes_drift_and_keeps_fast_activity() -> None:
    t = np.arange(2000) / RATE
    drift, fast = 5 + 0.002 * t + np.sin(2 * np.pi * 0.0005 * t), np.sin(2 * np.pi * 0.3 * t)
    recording = Recording("r", (drift + fast)[:, None], ("a",), RATE).split()
    for options in ({}, {"direction": "zero-phase"}):
        got = preprocess(recording, [{"step": "high_pass", "cutoff_hz": 0.01, **options}]).values[:, 0]
        assert np.abs(got[300:-300] - fast[300:-300]).max() < 0.2
    # Source for the oracle: the published pipeline, forward only from rest.
    sos = scipy.signal.butter(1, 0.01, btype="highpass", fs=RATE, output="sos")
    got = preprocess(recording, [{"step": "high_pass", "cutoff_hz": 0.01, "start": "zero"}])
    np.testing.assert_allclose(got.values[:, 0], scipy.signal.sosfilt(sos, drift + fast), rtol=1e-12)


def test_high_pass_starts_without_a_transient() -> None:
    recording = Recording("r", np.full((50, 1), 1000.0), ("a",), RATE)
    np.testing.assert_allclose(
        preprocess(recording, [{"step": "high_pass", "cutoff_hz": 0.05, "order": 3}]).values, 0, atol=1e-6
    )


@pytest.mark.parametrize("mode", ["subtract", "divide"])
def test_bleaching_is_found_on_the_training_part_and_continued(mode: str) -> None:
    t = np.arange(600) / RATE
    curve = 4 * np.exp(-t / 80.0) + 6
    signal = np.sin(2 * np.pi * 0.11 * t)
    values = curve + 0.5 * signal if mode == "subtract" else curve * (1 + 0.05 * signal)
    recording = Recording("r", values[:, None], ("a",), RATE).split(train=0.6, validation=0.1)
    got = preprocess(recording, [{"step": "remove_bleaching", "mode": mode}])
    expected = 6 + 0.5 * signal if mode == "subtract" else 10 * (1 + 0.05 * signal)
    np.testing.assert_allclose(got.values[:, 0], expected, atol=0.15)
    assert got.steps[0]["time_constant_s"][0] == pytest.approx(80, rel=0.15)
    assert got.steps[0]["amplitude"][0] == pytest.approx(4, rel=0.1)


def test_a_rising_trace_is_not_bleaching() -> None:
    recording = Recording("r", np.linspace(1, 2, 100)[:, None], ("a",), RATE).split()
    got = preprocess(recording, [{"step": "remove_bleaching"}])
    np.testing.assert_array_equal(got.values, recording.values)
    assert got.steps[0]["amplitude"] == [0.0]


def test_exponential_smoothing_by_hand_and_over_gaps() -> None:
    values = np.array([[1.0], [2], [np.nan], [4], [0]])
    recording = Recording("r", values, ("a",), 1.0, mask=np.isfinite(values))
    got = preprocess(recording, [{"step": "smooth", "tau_s": 2.0}]).values[:, 0]
    a = np.exp(-0.5)
    second = a * 1 + (1 - a) * 2
    fourth = a**2 * second + (1 - a**2) * 4
    np.testing.assert_allclose(got, [1, second, np.nan, fourth, a * fourth], equal_nan=True)


def test_gaussian_smoothing_keeps_a_constant_to_the_edges() -> None:
    recording = made(missing=0.3)
    level = replace(recording, values=np.where(recording.mask, 3.0, np.nan))
    got = preprocess(level, [{"step": "smooth", "method": "gaussian", "sigma_s": 2.0}])
    np.testing.assert_allclose(got.values[got.mask], 3.0)


def test_deconvolution_finds_events() -> None:
    rng = np.random.default_rng(0)
    events = (rng.random(800) < 0.05) * rng.uniform(1, 2, 800)
    calcium = scipy.signal.lfilter([1], [1, -0.8], events)
    tau = -1 / (RATE * np.log(0.8))
    recording = Recording("r", (5 + calcium + 0.1 * rng.normal(size=800))[:, None], ("a",), RATE).split(
        train=0.6, validation=0.2
    )
    for options in ({"tau_s": tau}, {}):
        got = preprocess(recording, [{"step": "deconvolve", **options}])
        assert (got.values >= 0).all() and got.kind == "rate"
        assert np.corrcoef(got.values[:, 0], events)[0, 1] > 0.85
        # Sparse: most frames hold no activity at all.
        assert np.mean(got.values == 0) > 0.5
        assert got.steps[0]["baseline"][0] == pytest.approx(5, abs=0.3)
        assert got.steps[0]["decay_per_frame"][0] == pytest.approx(0.8, abs=0.06)
        for part in (got.parts.train, got.parts.validation, got.parts.test):
            assert got.values[part[0], 0] == 0


def test_deconvolution_that_cannot_be_done_is_named() -> None:
    rng = np.random.default_rng(0)
    alternating = (-1.0) ** np.arange(200)[:, None] + 0.01 * rng.normal(size=(200, 1))
    with pytest.raises(DataError, match=r"no decay that can be estimated: a.*tau_s"):
        preprocess(Recording("r", alternating, ("a",), RATE).split(), [{"step": "deconvolve"}])
    with pytest.raises(DataError, match="24 training frames are too few"):
        preprocess(made(frames=40).split(train=0.6), [{"step": "deconvolve"}])


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_substeps_hold_the_frame_before_and_show_no_later_one(seed: int, substeps: int) -> None:
    recording = made(seed, frames=20, missing=0.2)
    fine = to_substeps(recording, substeps)
    assert fine.frames == 20 * substeps and fine.frame_rate == RATE * substeps
    np.testing.assert_array_equal(fine.values[substeps - 1 :: substeps], recording.values)
    np.testing.assert_array_equal(fine.mask[substeps - 1 :: substeps], recording.mask)
    assert fine.mask.sum() == recording.mask.sum()
    assert fine.duration_s == pytest.approx(recording.duration_s)
    for part in ("train", "validation", "test"):
        coarse = recording.parts[part]
        assert fine.parts[part] == slice(coarse.start * substeps, coarse.stop * substeps)
    for step in range(fine.frames):
        frame = (step + 1) // substeps - 1
        expected = recording.values[frame] if frame >= 0 else np.full(3, np.nan)
        np.testing.assert_array_equal(fine.values[step], expected)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("scale", "must be a table with the key 'step'"),
        ({"cutoff_hz": 1}, "must be a table with the key 'step'"),
        ({"step": "highpass"}, r"preprocess\[1\].step is 'highpass'.*did you mean 'high_pass'"),
        ({"step": "high_pass", "cutoff": 0.1}, "no option 'cutoff'.*did you mean 'cutoff_hz'"),
        ({"step": "high_pass"}, "'high_pass' needs cutoff_hz"),
        ({"step": "high_pass", "cutoff_hz": 1.0}, "below half the frame rate, 1 Hz"),
        ({"step": "high_pass", "cutoff_hz": "0.1"}, "cutoff_hz = '0.1' must be a finite number"),
        ({"step": "high_pass", "cutoff_hz": 0}, "cutoff_hz = 0 must be above 0"),
        ({"step": "high_pass", "cutoff_hz": 0.1, "order": 1.5}, "order = 1.5 must be a whole number"),
        ({"step": "high_pass", "cutoff_hz": 0.1, "direction": "both"}, "direction is 'both'"),
        ({"step": "high_pass", "cutoff_hz": 0.1, "start": "warm"}, "start is 'warm'"),
        ({"step": "smooth", "sigma_s": 1.0}, "needs tau_s and not sigma_s"),
        ({"step": "smooth", "method": "gaussian"}, "needs sigma_s and not tau_s"),
        ({"step": "smooth", "tau_s": float("nan")}, "tau_s = nan must be a finite number"),
        ({"step": "scale", "method": "max"}, "method is 'max'"),
        ({"step": "scale", "low": 60.0, "high": 50.0}, "low = 60 must be below high = 50"),
        ({"step": "scale", "low": -1.0}, "low = -1 must be at least 0"),
        ({"step": "scale", "nonnegative": "no"}, "nonnegative = 'no' must be true or false"),
        ({"step": "scale", "constant": "keep"}, "constant is 'keep'"),
        ({"step": "delta_f_over_f", "percentile": 101}, "percentile = 101 must be at least 0 and at most 100"),
        ({"step": "delta_f_over_f", "window_s": -1}, "window_s = -1 must be above 0"),
        ({"step": "remove_bleaching", "mode": "fit"}, "mode is 'fit'"),
        ({"step": "to_substeps", "substeps": 0}, "substeps = 0 must be a whole number, 1 or more"),
        ({"step": "select"}, "either units or drop"),
        ({"step": "select", "units": "a"}, "must be a list"),
        ({"step": "select", "units": []}, "leaves no unit"),
        ({"step": "select", "drop": ["a", "b", "c"]}, "leaves no unit"),
        ({"step": "select", "units": ["z"]}, "no units named z"),
    ],
)
def test_wrong_steps_say_what_is_right(step: object, message: str) -> None:
    with pytest.raises(ConnfitError, match=message):
        preprocess(made(), [{"step": "scale"}, step])


def test_steps_apply_in_order_and_names_are_those_of_the_functions() -> None:
    assert all(name == step.name == step.apply.__name__ for name, step in STEPS.items())
    got = preprocess(
        made(), [{"step": "high_pass", "cutoff_hz": 0.05}, {"step": "scale"}, {"step": "to_substeps", "substeps": 2}]
    )
    assert [one["step"] for one in got.steps] == ["high_pass", "scale", "to_substeps"]
    assert preprocess(made(), []).steps == ()
