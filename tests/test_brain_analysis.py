"""`connfit analyze`: simulated activity against the equations, its files, its section of the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from answers import check_numbers
from pictures import only_dots
from small import FRAMES, NEURONS, UNITS, coarse_grid, student, write_files
from typer.testing import CliRunner
from valid import valid_results

import connfit
from connfit import config as configuration
from connfit._io import as_result, read_json, write_json
from connfit.analysis import fitted_brain
from connfit.analysis.analysis_options import AnalysisOptions
from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.criticality.histograms import Histogram
from connfit.analysis.criticality.power import Power
from connfit.analysis.criticality.power_law_evidence import PowerLawTest
from connfit.analysis.criticality.signature_table import GridCell
from connfit.analysis.criticality.subsampling import branching_by_sample
from connfit.analysis.dynamics.fit_stability import ModelStability, Stability, examine_stability, linear_controls
from connfit.analysis.dynamics.simulated_activity import driven_run
from connfit.analysis.findings import sentences
from connfit.analysis.fitted_brain import kept_neurons
from connfit.analysis.pipeline import analyze
from connfit.cli import app
from connfit.config import Config, DataConfig
from connfit.errors import ConfigError, DataError, DivergedError
from connfit.evaluation.evaluated import Evaluation
from connfit.models.forecaster import ModelForecaster
from connfit.recordings import Recording
from connfit.report.figures.analysis_figures import cell_of, density, fitted_density
from connfit.report.result_figures import draw_analysis
from connfit.report.run_files import RunFiles
from connfit.report.sections import analysis_section
from connfit.report.sections.analysis_section import analysis_blocks, analysis_drawings
from connfit.report.sections.limits import analysis_limits
from connfit.training import runs
from connfit.training.fitted import Fit

FEW = AnalysisOptions(repeats=20, lyapunov_steps=50, power_draws=2)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Analysis]:
    """A short fit of a user's own files, analysed."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    out = folder / "fitted"
    runs.start(configuration.read(folder / "own.toml"), out)
    write_json(out / "metrics.json", Evaluation())
    return out, analyze(out, FEW)


def within_training(recording: Recording, values: np.ndarray) -> np.ndarray:
    """The nearest values that the training part, in which all is observed, and rates have."""
    shown = recording.values[: recording.require_parts().train[1]]
    return np.clip(values, np.maximum(shown.min(axis=0), 0), shown.max(axis=0))


def test_a_driven_run_is_the_equations_with_residuals_as_noise(tmp_path: Path) -> None:
    one = student()
    recording = one.cohort.recordings[0]
    forecaster = ModelForecaster(one.model, one.params, one.cohort)
    found = driven_run(
        forecaster, recording, warmup=10, seed=(3,), neurons=np.arange(NEURONS), scratch=tmp_path / "rates"
    )
    assert found.neurons is not None and found.units.shape == (FRAMES, UNITS)
    plain, rates = one.plain(), np.asarray(found.neurons, np.float64)
    # What the last frame lies beyond the range of the training part stays, and the model sees the rest.
    inside = within_training(recording, found.units)
    assert (np.abs(found.units - inside)[[0, 1, 49, FRAMES - 2]] > 0).any()
    for t in (1, 2, 50, FRAMES - 1):
        np.testing.assert_allclose(rates[t], plain.step(rates[t - 1], inside[t - 1]), atol=1e-5)
        beyond = found.units[t - 1] - inside[t - 1]
        np.testing.assert_allclose(found.units[t], plain.c @ rates[t] + beyond + found.noise[t], atol=1e-5)
    # The noise is whole frames of the errors on the training part.
    errors = recording.values - forecaster.one_step(recording)
    errors = errors[10:120] - errors[10:120].mean(axis=0)
    apart = np.abs(found.noise[:20, None] - errors[None]).max(axis=2).min(axis=1)
    assert apart.max() < 1e-5
    np.testing.assert_allclose(found.mean, rates.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.deviation, rates.std(axis=0), atol=1e-5)
    again = driven_run(forecaster, recording, warmup=10, seed=(3,))
    np.testing.assert_array_equal(again.units, found.units)
    assert again.neurons is None


def test_substeps_hold_a_frame(tmp_path: Path) -> None:
    one = student(substeps=2)
    found = driven_run(
        ModelForecaster(one.model, one.params, one.cohort), one.cohort.recordings[0],
        warmup=10, seed=(0,), neurons=np.arange(NEURONS), scratch=tmp_path / "rates",
    )  # fmt: skip
    assert found.neurons is not None and len(found.units) == FRAMES
    plain, rates = one.plain(), np.asarray(found.neurons, np.float64)
    inside = within_training(one.cohort.recordings[0], found.units)
    twice = plain.step(plain.step(rates[4], inside[4]), inside[4])
    np.testing.assert_allclose(rates[5], twice, atol=1e-5)


def test_a_run_that_explodes_and_one_without_noise_are_refused() -> None:
    one = student()
    wild = {**one.params, "weights": one.params["weights"] * 0 + 50.0}
    with pytest.raises((DivergedError, DataError)):
        driven_run(ModelForecaster(one.model, wild, one.cohort), one.cohort.recordings[0], warmup=10, seed=(0,))
    recording = one.cohort.recordings[0]
    mask = recording.mask.copy()
    mask[: recording.require_parts().train[1]] = False
    mask[50:79] = True
    with pytest.raises(DataError, match="29 training frames have a unit that is observed and predicted, 30 are needed"):
        driven_run(
            ModelForecaster(one.model, one.params, one.cohort), replace(recording, mask=mask), warmup=10, seed=(0,)
        )


def test_radii_are_of_the_matrix_that_they_name() -> None:
    """Dense matrices, at the state of rest that the equations reach."""
    one = student()
    mean = one.cohort.mean_activity()
    # Balanced biases put hidden neurons at the corner of the relu, where rounding decides on a slope.
    params = {**one.params, "bias": one.params["bias"] + 0.05}
    found = examine_stability(one.model, params, None, mean, FEW)
    plain = one.plain(params)
    rates = np.zeros(NEURONS)
    for t in range(2256):
        # From where the units show their mean, for the loop of a start near persistence keeps what it is given.
        rates = plain.step(rates, mean if t < 256 else plain.c @ rates)
    drive = plain.e @ (plain.c @ rates)
    slope = (plain.w @ rates + plain.bias + np.maximum(drive, 0) >= 0)[:, None]
    loops = {"open": plain.w, "closed": plain.w + (drive >= 0)[:, None] * (plain.e @ plain.c)}
    assert found.radius("weights") == pytest.approx(np.abs(np.linalg.eigvals(plain.w)).max(), rel=1e-4)
    for loop, matrix in loops.items():
        jacobian = np.diag(plain.alpha) + (1 - plain.alpha)[:, None] * slope * matrix
        radius = np.abs(np.linalg.eigvals(jacobian)).max()
        assert found.radius(f"jacobian_{loop}") == pytest.approx(radius, rel=1e-3)
    assert found.lyapunov_driven is None and "no driven run" in found.reasons["lyapunov_driven"]


def test_a_run_that_grows_without_bound_is_unstable_and_not_chaotic() -> None:
    """A loop through read-out and drive above 1 has a positive exponent, without any chaos in it."""
    one = student()
    recording = one.cohort.recordings[0]
    params = {**one.params, "drive": one.params["drive"] * 1.2}
    run = driven_run(ModelForecaster(one.model, params, one.cohort), recording, warmup=10, seed=(0,))
    found = examine_stability(one.model, params, run, one.cohort.mean_activity(), FEW)
    rest = found.rest
    assert found.jacobian_closed is not None and found.jacobian_closed.radius > 1
    assert found.lyapunov_free is not None and (found.lyapunov_free.interval_per_step[0] or 0) > 0
    assert rest.mean_rate is not None and rest.mean_rate_at_first is not None and not rest.reached
    assert rest.mean_rate > 100 * rest.mean_rate_at_first > 0

    def said(after: ModelStability) -> list[str]:
        lines = sentences("stability")(Analysis(stability=Stability({}, found, after)))
        return [line for line in lines if line.startswith("Largest Lyapunov exponent")]

    assert len(said(found)) == 2 and "an instability, not chaos" in said(found)[0]
    assert not any(line.endswith("; chaos.") for line in said(found))
    # A run that stays near where it began, and in which differences grow, is chaotic.
    near = replace(found, rest=replace(rest, mean_rate=1.5 * rest.mean_rate_at_first))
    assert said(near)[0].endswith("; chaos.")
    beyond = replace(found, rest=replace(rest, mean_rate=None))
    assert "(beyond all bounds): that is an instability" in said(beyond)[0]


def test_the_linear_control_of_a_slow_signal_is_near_1() -> None:
    rng = np.random.default_rng(0)
    slow = np.zeros((4000, 3))
    for t in range(1, 4000):
        slow[t] = 0.97 * slow[t - 1] + rng.normal(size=3)
    found = linear_controls([slow], None, 1.0)
    assert found.data is not None and found.data.radius == pytest.approx(0.97, abs=0.02)
    assert found.model is None and found.reasons["model"] == "there is no driven run"
    short = linear_controls([slow[:3]], None, 1.0)
    assert short.data is None and "more than 3 pairs" in short.reasons["data"]


@pytest.mark.slow
def test_subsampling_keeps_the_branching_ratio_and_lowers_the_slope_at_lag_1() -> None:
    """Neurons that see a common process through private noise."""
    rng = np.random.default_rng(1)
    common = np.zeros(12_000)
    for t in range(1, len(common)):
        common[t] = 0.9 * common[t - 1] + rng.normal()
    neurons = (common[:, None] + 8 * rng.normal(size=(len(common), 400))).astype(np.float32)
    rows = branching_by_sample([neurons[:, :4]], [neurons], frame_rate_hz=2.0, repeats=20, seed=0)
    assert [(row.of, row.size) for row in rows] == [
        ("units", 4),
        ("neurons", 400),
        ("neurons", 40),
        ("neurons", 4),
    ]
    for row in rows:
        assert row.interval is not None and row.interval[0] - 0.01 < 0.9 < row.interval[1] + 0.01
    assert (rows[1].conventional or 0) > 0.85 and (rows[3].conventional or 1) < 0.4


def test_all_neurons_or_a_sample_that_the_disk_holds() -> None:
    every, recordings = kept_neurons(1000, [500, 500, 500], AnalysisOptions())
    assert len(every) == 1000 and recordings == 3
    whole_fly, recordings = kept_neurons(138_639, [2000, 2000], AnalysisOptions())
    assert len(whole_fly) == 138_639 and recordings == 1
    sample, recordings = kept_neurons(138_639, [4000], AnalysisOptions())
    assert len(sample) == 75_000 and (np.diff(sample) > 0).all()
    few, recordings = kept_neurons(138_639, [2000, 2000, 2000], AnalysisOptions(neurons=500, seed=1))
    assert len(few) == 500 and recordings == 3


def test_files_of_an_analysis(analysed: tuple[Path, Analysis]) -> None:
    out, analysis = analysed
    text = (out / "analysis" / "analysis.json").read_text()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read_json(out / "analysis" / "analysis.json", Analysis) == as_result(content, Analysis) == analysis
    assert Analysis.read(out) == analysis and "undecidable" in repr(analysis)
    assert list(analysis.sources) == [
        "data_units", "model_units", "model_neurons", "untrained_units", "untrained_neurons"
    ]  # fmt: skip
    assert analysis.sources["data_units"].frames == 2 * FRAMES and analysis.neurons_kept == NEURONS
    # What no threshold enters stands once for the data, and in full for surrogates.
    kinds = content["sources"]["data_units"]["reference"]["median"]
    assert "memory" not in kinds["data"] and kinds["shuffle"]["memory"]["frames"] == 2 * FRAMES
    assert not list((out / "analysis").glob(".*.part"))
    with np.load(out / "analysis" / "neurons.npz") as arrays:
        assert arrays["mean_rate"].shape == (NEURONS,) and (arrays["rate_deviation"] >= 0).all()
    short = json.loads((out / "metrics.json").read_text())
    assert short["parts"] == {} and short["analysis"]["findings"] == list(analysis.findings)
    # Rate neurons do not spike: nothing is said of it.
    assert analysis.spikes is None and "spikes" not in content and "spikes" not in short["analysis"]
    radius = short["analysis"]["radius_and_lyapunov_per_s"]["after"]["jacobian_closed"]
    assert radius == analysis.stability.after.radius("jacobian_closed") is not None
    # A start at synapse counts has their ranks, but for ties.
    assert analysis.weights.statistics is not None
    assert analysis.weights.statistics.rank_correlation_with_counts.before == pytest.approx(1, abs=1e-6)
    assert valid_results(out) == {"analysis.json", "metrics.json", "record.json"}
    draw_analysis(out)
    for name in ("eigenvalues", "branching", "weights_and_counts", "time_constants_by_group"):
        assert (out / "analysis" / f"{name}.png").stat().st_size > 5000


def test_the_section_of_the_report(analysed: tuple[Path, Analysis]) -> None:
    out, analysis = analysed
    blocks = "\n".join(analysis_blocks(analysis))
    assert "Spectral radi" in blocks and "<table" in blocks
    assert len(analysis.findings) >= 6
    assert all(line[:30] in blocks.replace("&#x27;", "'") for line in analysis.findings)
    assert {one.name for one in analysis_drawings(analysis)} >= {"branching", "eigenvalues", "weights_and_counts"}
    answers = check_numbers(out)
    for name in (
        "other_thresholds",
        "subsampling",
        "spectral_radius",
        "plausible_time_constants",
        "synapse_by_synapse",
    ):
        assert answers[name]["status"] in ("answered", "partly"), answers[name]
    assert Analysis.read(out.parent) is None and RunFiles.read(out).analysis == analysis
    assert analysis_section.write_figures(out.parent) == []


def test_power_to_see_criticality_is_written_and_traced(analysed: tuple[Path, Analysis]) -> None:
    """In the file, in the short form, in a sentence of the findings and in answers whose numbers have their keys."""
    out, analysis = analysed
    power = analysis.power
    assert power is not None and power.critical is not None
    assert power.draws == 2 and power.frames == 2 * FRAMES and power.units == UNITS
    assert power.critical.called == 0 and power.critical.interval[1] == pytest.approx(0.8419, abs=1e-3)
    assert as_result(json.loads((out / "metrics.json").read_text())["analysis"]["power"], Power) == power
    said = next(line for line in analysis.findings if line.startswith("Could this recording have shown criticality?"))
    assert "in 0 of 2 draws" in said and said.endswith("is no evidence against it.")
    answer = check_numbers(out)["null_avalanches"]
    assert "in 0 of 2 draws" in answer["answer"] and "no evidence against it" in answer["answer"]
    keys = {key for number in answer["numbers"] for key in number["keys"]}
    assert {"analysis/analysis.json#/power/critical/called", "analysis/analysis.json#/power/draws"} <= keys
    none = sentences("power")(replace(analysis, power=Power(reason="no simulations were asked for")))
    assert "was not assessed (no simulations were asked for)" in none[0] and "no evidence against it" in none[0]


@pytest.mark.slow
def test_the_command(analysed: tuple[Path, Analysis], monkeypatch: pytest.MonkeyPatch) -> None:
    out, analysis = analysed
    only_dots(monkeypatch.setattr)
    said = CliRunner().invoke(
        app, ["analyze", str(out), "--repeats", "20", "--neurons", "10", "--eigenvalues", "5", "--power-draws", "0"]
    )
    assert said.exit_code == 0, said.output
    assert "Largest Lyapunov exponent" in said.output and "a sample of 10 neurons" in said.output
    again = Analysis.read(out)
    assert again is not None and again.power is not None
    assert again.power.draws == 0 and "was not assessed" in said.output
    # Neither a sample nor fewer eigenvalues change what does not depend on them.
    assert again.sources["data_units"] == analysis.sources["data_units"]
    assert again.stability.after.weights is not None and len(again.stability.after.weights.eigenvalues) == 5
    (out / "analysis" / "analysis.json").write_text("{")
    with pytest.raises(DataError, match=r"not valid JSON .*Run `connfit analyze` again"):
        Analysis.read(out)


@pytest.mark.parametrize(
    "wrong", [{"repeats": 5}, {"eigenvalues": 0}, {"neurons": 0}, {"seed": -1}, {"power_draws": -1}]
)
def test_wrong_options_are_named(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        AnalysisOptions(**wrong)


def test_what_figures_draw() -> None:
    """Densities integrate to 1 over whole numbers, of histograms and of fitted laws."""
    value = np.arange(1, 200)
    content = {
        "fit": {"exponent": 2.0, "xmin": 1, "xmax": None},
        "comparisons": [
            {"alternative": "exponential", "parameters": {"rate": 0.1}},
            {"alternative": "lognormal", "parameters": {"mu": None, "sigma": None}},
            {"alternative": "truncated_power_law", "parameters": {"exponent": 1.5, "rate": 0.01}},
        ],
    }
    test = as_result(content, PowerLawTest)
    for name in ("power_law", "exponential", "truncated_power_law"):
        drawn = fitted_density(name, test, value.astype(float))
        # What lies beyond 200 is at most 0.5 % of the power law and 1 % of the truncated one.
        assert drawn is not None and drawn.sum() == pytest.approx(1, abs=0.02)
    exponential = fitted_density("exponential", test, value.astype(float))
    assert exponential is not None and exponential[0] == pytest.approx(1 - np.exp(-0.1), rel=1e-6)
    assert fitted_density("lognormal", test, value.astype(float)) is None
    x, y = density(Histogram((1, 2, 50), (3, 1, 4)))
    assert x[0] == 1 and y[0] == pytest.approx(3 / 8)
    cell = GridCell(sizes_stand=None, durations_stand=True, gamma_consistent=True)
    assert cell_of(cell) == 0
    assert cell_of(replace(cell, sizes_stand=True)) == 3 and cell_of(replace(cell, sizes_stand=False)) == 1


def test_signed_weights_have_the_radius_of_the_start() -> None:
    """Scaled by 2, the radius doubles, while that of an open step at rest does not."""
    one = student()
    double = {**one.params, "weights": jnp.asarray(one.params["weights"]) * 2}
    mean = one.cohort.mean_activity()
    first, second = (examine_stability(one.model, params, None, mean, FEW) for params in (one.params, double))
    assert second.radius("weights") == pytest.approx(2 * (first.radius("weights") or 0), rel=1e-4)


@pytest.mark.slow
def test_a_fit_is_analysed_without_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same numbers as from its run directory, and nothing is left on disk."""
    coarse_grid(monkeypatch.setattr)
    fit = runs.start(configuration.read(write_files(tmp_path)), tmp_path / "run")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    few = {"repeats": 20, "lyapunov_steps": 50, "power_draws": 0, "eigenvalues": 3}
    assert connfit.analyze(fit, **few) == connfit.analyze(tmp_path / "run", **few)
    assert list((tmp_path / "scratch").iterdir()) == []
    with pytest.raises(ConfigError, match=r"analysis is 'avalanche', .* did you mean 'avalanches'"):
        connfit.analyze(fit, analyses={"avalanche": {"least": 3}})


def test_a_model_whose_free_run_diverges_is_analysed_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs no free run is there; what does has the reason, in numbers, sentences and limitations."""

    tried: list[object] = []

    def diverges(forecaster: object, *_: object, **__: object) -> None:
        tried.append(forecaster)
        raise DivergedError("the free run of model stops being finite near frame 7")

    coarse_grid(monkeypatch.setattr)
    monkeypatch.setattr(fitted_brain, "driven_run", diverges)
    one = student()
    job = SimpleNamespace(connectome=one.connectome, config=Config(data=DataConfig()))
    monkeypatch.setattr(Fit, "require_job", lambda _: job)
    few = AnalysisOptions(repeats=20, lyapunov_steps=50, power_draws=0, eigenvalues=3)
    found = analyze(Fit(one.model, one.params, one.params, one.cohort, ()), few)
    assert len(tried) == 2, "each model once, however many analyses ask"
    assert found.sources["data_units"].grid and found.sources["model_units"].grid is None
    assert found.branching_by_sample == () and found.stability.after.weights is not None
    assert found.stability.after.reasons["lyapunov_driven"] == "there is no driven run"
    assert found.stability.linear_model.reasons == {"model": "there is no driven run"}
    said = "fitted model, neurons: not analysed (the free run of model stops being finite near frame 7)."
    assert any(line.endswith(said) for line in found.findings)
    (limit,) = [line for line in analysis_limits(found) if line.startswith("Avalanches were not analysed")]
    assert limit.count("near frame 7") == 4
    assert list(analysis_section.shown_sources(found)) == ["data_units"] and analysis_drawings(found)
