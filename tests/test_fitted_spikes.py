"""How a fitted model spikes: which run that is, what is said of it, and where it is shown."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from odd_names import odd_brain, odd_movies
from small import OPTIONS, student
from typer.testing import CliRunner
from valid import valid_results

import connfit as cf
from connfit import cli
from connfit._io import as_result
from connfit.analysis import pipeline
from connfit.analysis.analyses import ANALYSES
from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.perturbation_results import Perturbation
from connfit.analysis.spiking.fitted_spikes import fitted_spikes, shortest_intervals
from connfit.analysis.spiking.fitted_spikes_results import FittedSpikes
from connfit.analysis.spiking.raster import RasterSpikes
from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.evaluation.evaluate_run import evaluate_run
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.residual_noise import Residuals, draw_noise, residuals_of
from connfit.export.report_tables import _tables
from connfit.models.connectome_model import ConnectomeModel
from connfit.models.forecaster import ModelForecaster
from connfit.models.rollout import Shown, State, Stepped, rollout
from connfit.recordings import Recording
from connfit.report.assemble import texts
from connfit.report.run_files import RunFiles, Simulation
from connfit.report.sections import analysis_section
from connfit.report.sections.fitted_spikes_section import fitted_spikes_blocks, fitted_spikes_drawings
from connfit.report.sections.perturbation_section import blocks

SUBSTEPS, FRAMES, SECONDS = 10, 40, 4
SPIKES = {
    **OPTIONS, "cell": "lif", "substeps": SUBSTEPS, "drive_start": "balance", "preprocess": (), "epochs": 1,
    "free_run_epochs": 0, "preset": "d-rtrl", "window": SUBSTEPS, "baselines": ["mean"],
}  # fmt: skip
REGIONS = ("<b>&", "$x_1$", "C", "D\x1b[31m", "")


@pytest.fixture(scope="module")
def spiking() -> Iterator[cf.Fit]:
    """A quick fit of neurons that spike, in steps of 10 ms, to ten frames a second of units with odd names."""
    brain = odd_brain()
    places = [REGIONS[k % len(REGIONS)] for k in range(brain.n)]
    brain = replace(brain, neurons=brain.neurons.assign(region=places))
    movie = odd_movies()[0]
    yield cf.fit(brain, replace(movie, values=20 * movie.values, frame_rate=10.0), progress=False, **SPIKES)


@pytest.fixture(scope="module")
def analysed(spiking: cf.Fit, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Analysis]:
    """Its run directory, evaluated and analysed."""
    out = tmp_path_factory.mktemp("spiking") / "run"
    spiking.save(out)
    evaluate_run(spiking, out)
    with pytest.MonkeyPatch.context() as patch:
        # The others take all of the time, and say of spikes what they say of rates.
        patch.setattr(pipeline, "ANALYSES", {"spikes": ANALYSES["spikes"]})
        return out, pipeline.analyze(out, analyses={"spikes": {"neurons": 20}})


def spikes_of(
    forecaster: ModelForecaster, recording: Recording, start: int, frames: int, warmup: int,
    noise: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Readings and spikes of a spiking run."""
    readings, bits = zip(*forecaster.spiking_run(recording, start, frames, warmup, noise), strict=True)
    spikes = np.unpackbits(np.concatenate(bits), axis=1, count=forecaster.model.neurons)
    return np.concatenate(readings), spikes.astype(bool)


def _rates(model: object, params: object, kept: None, now: Stepped, also: None) -> tuple[None, object]:
    return None, now.rates[:, 0]


def test_spikes_are_those_of_a_run_of_single_steps(spiking: cf.Fit) -> None:
    """Nothing is fed back here, so that frames are nothing but so many steps."""
    assert isinstance(spiking.model, ConnectomeModel)
    alone = replace(spiking.model, drive=None)
    forecaster = replace(spiking.forecaster(), model=alone)
    recording = forecaster.cohort.recordings[0]
    _, found = spikes_of(forecaster, recording, 1, 4, 0)
    single = rollout(
        alone, forecaster.params, State.at_rest(alone), Shown.nothing(alone, 4 * SUBSTEPS), _rates,
        limits=forecaster.limits(recording),
    )  # fmt: skip
    np.testing.assert_array_equal(found, np.asarray(single.each) != 0)
    assert 0 < found.mean() < 0.5


def test_the_run_is_the_first_free_run_that_is_scored(spiking: cf.Fit, analysed: tuple[Path, Analysis]) -> None:
    out, analysis = analysed
    found = analysis.spikes
    assert found is not None and found.reason is None
    recording = spiking.cohort.recordings[0]
    start, warmup = recording.require_parts().test[0], OPTIONS["free_run_warmup"]
    assert (found.frames, found.part_frames, found.warmup_frames) == (FRAMES, FRAMES, warmup)
    assert (found.steps, found.step_ms, found.seconds) == (FRAMES * SUBSTEPS, pytest.approx(10), pytest.approx(SECONDS))
    assert found.noise == "training residuals" and found.recording == recording.name
    brain = spiking.forecaster()
    one_step = brain.one_step(recording)
    noise = draw_noise(residuals_of(one_step, recording, warmup).frames, 1, FRAMES, "test")[0]
    readings, spikes = spikes_of(brain, recording, start, FRAMES, warmup, np.asarray(noise))
    scored = Forecasts.load(out / "forecasts.npz").recordings[recording.name].parts["test"].free_run
    np.testing.assert_allclose(readings, np.asarray(scored[:]), rtol=1e-4, atol=1e-4)
    # What is said of it is what the spikes are, counted here once more.
    counts = spikes.sum(axis=0)
    assert found.spikes == counts.sum() > 100 and found.silent == (counts == 0).sum()
    assert (
        found.rate_hz.mean == pytest.approx(counts.mean() / SECONDS) and found.rate_hz.maximum == counts.max() / SECONDS
    )
    assert sum(found.rates.number) == (counts > 0).sum() and found.rates.edges[0] <= counts[counts > 0].min() / SECONDS
    with np.load(out / "analysis" / "neurons.npz") as arrays:
        np.testing.assert_allclose(arrays["spike_rate_hz"], counts / SECONDS)
        known = np.isfinite(arrays["interval_cv"])
        assert found.intervals.neurons == known.sum() == sum(found.intervals.histogram.number)
        assert known.any() and found.intervals.cv is not None
        assert found.intervals.cv[1] == pytest.approx(np.median(arrays["interval_cv"][known]))
    raster = found.raster
    assert raster.spiking == (counts > 0).sum() and len(raster.rows) == min(20, raster.spiking)
    ids = list(spiking.connectome.ids)
    for row in raster.rows:
        np.testing.assert_array_equal(row.steps, np.flatnonzero(spikes[: raster.steps, ids.index(row.id)]))
    np.testing.assert_array_equal(raster.population, spikes[: raster.steps].sum(axis=1))


def test_fewer_seconds_are_the_beginning(spiking: cf.Fit) -> None:
    recording = spiking.cohort.recordings[0]
    frames = np.random.default_rng(0).normal(size=(50, len(recording.units)))
    given = {"warmup": 5, "neurons": 5, "seed": 1}
    of = spiking.forecaster(), recording, spiking.connectome, Residuals(frames, "errors", 50)
    (long, _), (short, trains) = (fitted_spikes(*of, **given, seconds=seconds) for seconds in (60, 0.45))
    assert (short.frames, short.steps, short.part_frames) == (4, 4 * SUBSTEPS, long.part_frames)
    assert short.noise == "errors" and trains.counts.sum() == short.spikes < long.spikes
    assert short.raster.population == long.raster.population[: short.raster.steps]
    assert len(short.raster.rows) == 5 < short.raster.spiking


def test_noise_reaches_neurons_through_the_drive(spiking: cf.Fit) -> None:
    recording, brain = spiking.cohort.recordings[0], spiking.forecaster()
    driven = replace(brain, params={**brain.params, "drive": np.full_like(brain.params["drive"], 0.1)})
    errors = 20 * np.random.default_rng(0).normal(size=(50, len(recording.units)))
    given = {"warmup": 5, "seconds": 2.0, "neurons": 5, "seed": 0}
    loud, quiet = (
        fitted_spikes(driven, recording, spiking.connectome, Residuals(size * errors, "errors", 50), **given)[1].counts
        for size in (1, 0)
    )
    assert (loud != quiet).any()


def test_neurons_at_the_limit_spike_as_soon_as_the_cell_lets_them(spiking: cf.Fit) -> None:
    """A current that no threshold resists: every neuron is at its limit, which the cell is asked for otherwise."""
    recording, brain = spiking.cohort.recordings[0], spiking.forecaster()
    given = {"warmup": 0, "neurons": 5, "seed": 0, "seconds": 2.0}
    nothing = Residuals(np.zeros((0, len(recording.units))), "none", 0)
    for bias, silent, at_limit in ((1e5, 0, brain.model.neurons), (-1e5, brain.model.neurons, 0)):
        params = {**brain.params, "bias": np.full(brain.model.neurons, bias, np.float32)}
        found, _ = fitted_spikes(replace(brain, params=params), recording, spiking.connectome, nothing, **given)
        assert (found.silent, found.at_limit) == (silent, at_limit)
        assert found.noise == "none" and found.rate_hz.mean is not None
        assert not silent or (found.intervals.cv is None and found.synchrony.chi is None and not found.raster.rows)
    # The refractory time of 2.2 ms ends within a step of 10 ms; in the next one a current arrives, and then it acts.
    assert set(shortest_intervals(brain.model, brain.params)) == {2.0}
    long = {**brain.params, "refractory": np.full(brain.model.neurons, 0.055, np.float32)}
    assert set(shortest_intervals(brain.model, long)) == {7.0}, "held for 5 steps"


def test_analysis_report_and_tables_show_it(analysed: tuple[Path, Analysis]) -> None:
    out, analysis = analysed
    found = analysis.spikes
    assert found is not None
    assert "analysis.json" in valid_results(out) and Analysis.read(out) == analysis
    (said,) = [line for line in analysis.findings if line.startswith("Spikes of the fitted model in 4 s")]
    assert "40 neurons" in said and "Synchrony in bins of 10 ms" in said
    short = json.loads((out / "metrics.json").read_text())["analysis"]["spikes"]
    assert short["mean_rate_hz"] == found.rate_hz.mean and short["seconds"] == pytest.approx(SECONDS)
    run = RunFiles.read(out)
    (section,) = [section for section in texts(run)[1] if section.anchor == "spikes"]
    assert section.title == "How the fitted model spikes" and len(section.drawings) == 2
    shown = "\n".join([*section.blocks, *section.after])
    for words in (
        "4.00 s in 400 steps of 10.0 ms",
        "40 of 40 frames",
        "seed 0",
        f"{found.silent:,} ({found.silent / 40:.1%})",
    ):
        assert words in shown, words
    (table,) = [table for block in section.after for table in _tables("spikes", block)]
    assert table.rows[0] == ["", "fitted model", "what it is read against"] and len(table.rows) == 11
    assert dict(row[:2] for row in table.rows[1:])["neurons, spikes"] == f"40, {found.spikes:,}"


def test_figures_name_odd_groups(analysed: tuple[Path, Analysis], monkeypatch: pytest.MonkeyPatch) -> None:
    out, analysis = analysed
    monkeypatch.setattr(analysis_section, "analysis_drawings", lambda _: [])
    assert analysis.spikes is not None and analysis.spikes.raster.sorted_by == "region"
    assert {row.group for row in analysis.spikes.raster.rows} <= set(REGIONS)
    written = {path.name for path in analysis_section.write_figures(out)}
    assert written == {"spike_raster.png", "spike_statistics.png"}
    raster = fitted_spikes_drawings(analysis)[0].draw()
    labels = [label.get_text() for label in raster.axes[0].get_yticklabels()]
    assert "$x_1$" in labels and "D\\x1b[31m" in labels and "(none)" in labels
    rates = fitted_spikes_drawings(analysis)[1].draw()
    rates.canvas.draw()
    low, high = rates.axes[0].get_xlim()
    shown = [label for label in rates.axes[0].get_xticklabels() if low <= label.get_position()[0] <= high]
    assert len(shown) >= 2 and all(float(label.get_text()) > 0 for label in shown)


def test_a_simulated_experiment_is_in_spikes(analysed: tuple[Path, Analysis], monkeypatch: pytest.MonkeyPatch) -> None:
    """Stimulated neurons spike at the rate that was asked for, silenced ones not at all; rates are in Hz."""
    out, _ = analysed
    monkeypatch.setattr("connfit.cli.simulate_command.draw_again", lambda _: None)  # an analysis of spikes alone
    brain = Connectome.load(out / "connectome.h5")
    first, second, third = (str(brain.ids[k]) for k in (20, 21, 22))
    options = ["--stimulate", f"id:{first}=20", "--silence", f"id:{second}", "--inject", f"id:{third}=0.4"]
    ran = CliRunner().invoke(
        cli.app, ["simulate", str(out), *options, "--readout", f"id:{first}", "--seconds", "2", "--name", "spikes"]
    )
    assert ran.exit_code == 0, ran.output
    folder = out / "simulations" / "spikes"
    assert "perturbation.json" in {Path(name).name for name in valid_results(out)}
    done = as_result(json.loads((folder / "perturbation.json").read_text()), Perturbation)
    assert (done.rate_units, done.input_units) == ("Hz", "mV of synaptic current in each step")
    assert (done.silence_at, done.silence_at_in_words, done.steps) == ("no-spikes", "no spikes", 2 * 10 * SUBSTEPS)
    with (folder / "perturbation_neurons.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert [float(rows[name]["perturbed"]) for name in (first, second)] == pytest.approx([20, 0])
    assert {rows[name]["role"] for name in (first, second, third)} == {"stimulated", "silenced", "injected"}
    # Counts of spikes in a second: whole numbers.
    rates = np.array([float(row["baseline"]) for row in rows.values()])
    np.testing.assert_allclose(rates, rates.round(), atol=1e-4)
    assert rates.max() > 1
    with np.load(folder / "perturbation.npz") as arrays:
        np.testing.assert_allclose(arrays["set_perturbed"], 20, rtol=1e-6)
    assert "held at 20 Hz (1 neuron, unperturbed" in ran.output and "given +0.4 mV of synaptic current" in ran.output
    text = "".join(blocks({"spikes": Simulation(done, {}, {})}))
    assert "set of neurons: mean from 1 to 2 s after the onset (Hz)" in text
    ran = CliRunner().invoke(cli.app, ["simulate", str(out), *options, "--silence-at", "floor"])
    assert "--silence-at is 'floor', but neurons of this fit spike" in str(ran.exception)


def test_a_raster_ends_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch, spiking: cf.Fit) -> None:
    """In full bins, of which the population's rate is known whole."""
    from connfit.analysis.spiking import raster

    spikes = np.random.default_rng(1).random((1000, 40)) < 0.1
    kept = RasterSpikes(700, 10)
    for piece in np.split(spikes, (3, 450)):
        kept.add(piece)
    whole = kept.raster(spiking.connectome, spikes.sum(axis=0), 40, 0, 0.01)
    assert whole.steps == 700 and sum(len(row.steps) for row in whole.rows) == spikes[:700].sum()
    monkeypatch.setattr(raster, "SHOWN_SPIKES", 500)
    fewer = kept.raster(spiking.connectome, spikes.sum(axis=0), 40, 0, 0.01)
    assert fewer.steps % 10 == 0 and spikes[: fewer.steps].sum() <= 500 < spikes[: fewer.steps + 10].sum()
    assert fewer.population == whole.population[: fewer.steps // 10]


def test_a_model_that_sends_rates_has_none_of_it() -> None:
    one = student()
    fit = cf.Fit(one.model, one.params, one.params, one.cohort, ())
    assert not ANALYSES["spikes"].applies(fit) and ANALYSES["weights"].applies(fit)
    with pytest.raises(ConfigError, match="cell Rate do not spike"):
        next(fit.forecaster().spiking_run(one.cohort.recordings[0], 1, 1, 0))
    analysis = Analysis()
    assert fitted_spikes_drawings(analysis) == fitted_spikes_blocks(analysis) == []
    assert ANALYSES["spikes"].findings(analysis) == () and ANALYSES["spikes"].in_short(analysis) == {}
    why = Analysis(spikes=FittedSpikes(reason="it diverges"))
    assert ANALYSES["spikes"].findings(why) == ("Spikes of the fitted model were not analysed (it diverges).",)
    assert "it diverges" in fitted_spikes_blocks(why)[0] and fitted_spikes_drawings(why) == []
