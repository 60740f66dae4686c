"""`connfit analyze`: what the fitted brain of a run directory does, as `analysis/analysis.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from connfit import config as configuration
from connfit._io import as_result, plain, present, replacing_together, write_arrays, write_json
from connfit._system.claim import claims
from connfit._typing import JSON
from connfit.analysis.analyses import ANALYSES, Analyzer
from connfit.analysis.analysis_options import BINS, REFERENCE, AnalysisOptions
from connfit.analysis.brain_analysis import FILE, FOLDER, Analysis
from connfit.analysis.criticality.signature_table import FLOORS, LEAST
from connfit.analysis.fitted_brain import MODELS, FittedBrain
from connfit.connectome import Connectome
from connfit.errors import ConnfitError
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.evaluation.evaluated import FILE as METRICS
from connfit.training.checkpoints import check_wiring
from connfit.training.fitted import Fit
from connfit.training.runs import load_fit


def analyze(
    run: Fit | str | Path,
    options: AnalysisOptions | None = None,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
    **changes: Any,
) -> Analysis:
    """Analyse a fitted brain by all of `ANALYSES`.

    Parameters
    ----------
    run
        A fit, or the run directory of a finished one. That gets `analysis/analysis.json` and `analysis/neurons.npz`,
        and a short form in its `metrics.json`, if there is one, as `analysis`.
    options, **changes
        See `AnalysisOptions`; the changes are its fields.
    on_stage
        Called with what is being done.

    Raises
    ------
    ConnfitError
        If there is no finished fit, or an option is wrong.
    """
    options = replace(options or AnalysisOptions(), **changes)
    own = {name: ANALYSES[name].options_of(options.analyses) for name in (*ANALYSES, *options.analyses)}
    if isinstance(run, Fit):
        job = run.require_job()
        with TemporaryDirectory() as folder:
            brain = FittedBrain(run, job.connectome, job.config, options, Path(folder), on_stage)
            return analyze_brain(brain, own)
    return _analyze_run(Path(run), options, own, on_stage)


@claims("folder")
def _analyze_run(
    folder: Path, options: AnalysisOptions, own: Mapping[str, Any], on_stage: Callable[[str], None]
) -> Analysis:
    """Analyse the fit of a run directory, and write what was found there."""
    on_stage("reading the run")
    metrics = folder / METRICS
    if present(metrics):
        read_evaluation(folder)  # A damaged one is known before anything is computed.
    fit, connectome = load_fit(folder), Connectome.load(folder / "connectome.h5")
    check_wiring(connectome, fit.connectome, folder / "connectome.h5")
    out = folder / FOLDER
    out.mkdir(parents=True, exist_ok=True)
    brain = FittedBrain(fit, connectome, configuration.read(folder / "config.json"), options, out, on_stage)
    analysis = analyze_brain(brain, own)
    units = "Hz" if fit.model.neuron.spikes else fit.cohort.recordings[0].value_units
    short = [metrics] if present(metrics) else []
    with replacing_together(out / "neurons.npz", *short, out / FILE) as (neurons, *beside, record):
        write_arrays(neurons, _rates(brain), {"order": "connectome.h5", "units": units})
        for path in beside:
            write_json(path, replace(read_evaluation(folder), analysis=in_short(analysis)))
        write_json(record, analysis)
    return analysis


def analyze_brain(brain: FittedBrain, own: Mapping[str, Any]) -> Analysis:
    """Run every analysis; `own` has the options of each by name."""
    from connfit._version import __version__

    made: dict[str, Any] = {}
    analyses: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    with brain:
        for name, analyzer in ANALYSES.items():
            if not analyzer.applies(brain.fit):
                continue
            brain.tell(analyzer.label)
            try:
                result = _examined(brain, analyzer, own[name])
            except ConnfitError as error:
                if analyzer.key:
                    raise
                left_out[name] = str(error)
                continue
            brain.results[name] = result
            if analyzer.key:
                made[analyzer.key] = result
            else:
                analyses[name] = plain(result, name)
    cohort = brain.fit.cohort
    analysis = Analysis(
        connfit=__version__,
        dataset=brain.config.data.dataset or brain.connectome.name,
        surrogate=any(bool(data.notes.get("surrogate")) for data in (brain.connectome, *cohort.recordings)),
        seed=brain.config.seed,
        options=brain.options,
        frame_rate_hz=brain.frame_rate_hz,
        neurons=brain.fit.model.neurons,
        neurons_kept=len(brain.watched),
        recordings=tuple(recording.name for recording in cohort.recordings),
        recordings_of_neurons=brain.recordings_of_neurons,
        reference_threshold=str(REFERENCE),
        bins=BINS,
        fewest_avalanches=LEAST,
        floors=FLOORS,
        analyses=analyses,
        analyses_left_out=left_out,
        **made,
    )
    findings, left_out = _findings(analysis)
    # As it is read from its file: what does not fit the types is seen here.
    return as_result(plain(replace(analysis, findings=findings, analyses_left_out=left_out), FILE), Analysis)


def _findings(analysis: Analysis) -> tuple[tuple[str, ...], dict[str, str]]:
    """Sentences of every analysis, and what was left out; one of another package that fails costs its own sentences."""
    said: list[str] = []
    left_out = dict(analysis.analyses_left_out)
    for name, analyzer in ANALYSES.items():
        try:
            said += analyzer.findings(analysis)
        except Exception as error:
            if analyzer.key:
                raise
            left_out[name] = f"its findings failed ({type(error).__name__}: {error})"
    return tuple(said), left_out


def _examined(brain: FittedBrain, analyzer: Analyzer, own: Any) -> Any:
    if "free_run" in analyzer.needs:
        brain.runs("model")
    result = analyzer.examine(brain, **own.as_dict())
    if not isinstance(result, analyzer.result):
        raise TypeError(
            f"the analysis {analyzer.name!r} returns {type(result).__name__}, not {analyzer.result.__name__}"
        )
    return result


def in_short(analysis: Analysis) -> Mapping[str, JSON]:
    """Return what goes into `metrics.json` as `analysis`."""
    short: dict[str, JSON] = {}
    for analyzer in ANALYSES.values():
        short |= analyzer.in_short(analysis)
    return {**short, "findings": analysis.findings}


def _rates(brain: FittedBrain) -> dict[str, np.ndarray]:
    """What analyses found of each neuron; mean and deviation of rates over the first recording's free runs."""
    arrays = dict(brain.of_neurons)
    for model in MODELS:
        for run in brain.made(model)[:1]:
            suffix = "" if model == "model" else "_untrained"
            arrays[f"mean_rate{suffix}"] = run.mean.astype(np.float32)
            arrays[f"rate_deviation{suffix}"] = run.deviation.astype(np.float32)
    return arrays
