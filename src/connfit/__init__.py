"""connfit: whole-brain models whose wiring is a connectome, fitted to recorded activity.

A connectome and recordings go in; a fitted, evaluated and reported model comes out:

>>> import connfit as cf
>>> brain = cf.load_connectome("demo")  # or cf.connectome_from_tables(...)
>>> brain
<Connectome 'demo': neurons 2,000 (65% excitatory), connections 60,449, synapses 209,655, regions 20, data SURROGATE>
>>> recording = cf.load_recording("demo/1")  # or cf.read_recording(...)
>>> recording.frames, len(recording.units), recording.frame_rate
(600, 20, 1.2)
>>> fit = cf.fit(brain, recording, epochs=10)  # doctest: +SKIP
>>> cf.evaluate(fit)  # doctest: +SKIP
>>> cf.analyze(fit)  # doctest: +SKIP

`Fit` has tables of its parameters, predictions and `save`; `compare` sets fits side by side, `plot` draws. The stages
of `fit` are there by themselves: `preprocess`, `match_units`, `Cohort.from_recordings`, `Readout`,
`RateModel.from_connectome`, `init_params`, `tie_weights`, `WindowedLearner`, `train`. Arrays are [time, unit],
connectivity is [post, pre], time constants are in seconds. Every mistake in data or options is a `ConnfitError` that
names it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from connfit._system.devices import jax_refusals
from connfit._version import __version__

if TYPE_CHECKING:
    from connfit.analysis.brain_analysis import Analysis
    from connfit.analysis.load_results import load_analysis, load_evaluation, load_study
    from connfit.analysis.measured.measured_responses import MeasuredResponses, ResponseRule, read_measured
    from connfit.analysis.measured.score_run import perturb_score
    from connfit.analysis.measured.scored_responses import ScoredResponses
    from connfit.analysis.pipeline import analyze
    from connfit.analysis.record_next import Ensemble, RecordNext, RecordNextOptions, record_next
    from connfit.config import Config, DataConfig, EvaluateConfig, LearnerConfig, ModelConfig, TrainConfig
    from connfit.connectome import Connectome
    from connfit.connectome.formats import read_connectome
    from connfit.connectome.formats.in_memory import connectome_from_graph, connectome_from_matrix
    from connfit.connectome.matching import match_units
    from connfit.connectome.nulls import make_null
    from connfit.connectome.random_wiring import write_random_connectome
    from connfit.connectome.tables import connectome_from_tables
    from connfit.datasets.loading import list_datasets, load_connectome, load_recording, load_recordings
    from connfit.errors import ConnfitError
    from connfit.evaluation.compare_fits import compare
    from connfit.evaluation.evaluate_run import evaluate, evaluate_run
    from connfit.evaluation.evaluated import Evaluation
    from connfit.evaluation.study.study import Study
    from connfit.models import RateModel, Readout, init_params, start_magnitudes, tie_weights
    from connfit.models.pulse import Stimulations
    from connfit.recordings.cohort import Cohort
    from connfit.recordings.inputs import Inputs
    from connfit.recordings.labelled_arrays import recording_from_frame, recording_from_xarray
    from connfit.recordings.preprocess import preprocess
    from connfit.recordings.readers import read_recording
    from connfit.recordings.recording import Parts, Recording
    from connfit.report import plot, write_report
    from connfit.training.fit import train
    from connfit.training.fit_brain import fit, prepare_fit
    from connfit.training.fitted import Fit
    from connfit.training.learners import WindowedLearner, preset
    from connfit.training.runs import load_fit, resume

__all__ = [
    "Analysis",
    "Cohort",
    "Config",
    "Connectome",
    "ConnfitError",
    "DataConfig",
    "Ensemble",
    "EvaluateConfig",
    "Evaluation",
    "Fit",
    "Inputs",
    "LearnerConfig",
    "MeasuredResponses",
    "ModelConfig",
    "Parts",
    "RateModel",
    "Readout",
    "RecordNext",
    "RecordNextOptions",
    "Recording",
    "ResponseRule",
    "ScoredResponses",
    "Stimulations",
    "Study",
    "TrainConfig",
    "WindowedLearner",
    "__version__",
    "analyze",
    "compare",
    "connectome_from_graph",
    "connectome_from_matrix",
    "connectome_from_tables",
    "evaluate",
    "evaluate_run",
    "fit",
    "init_params",
    "list_datasets",
    "load_analysis",
    "load_connectome",
    "load_evaluation",
    "load_fit",
    "load_recording",
    "load_recordings",
    "load_study",
    "make_null",
    "match_units",
    "perturb_score",
    "plot",
    "prepare_fit",
    "preprocess",
    "preset",
    "read_connectome",
    "read_measured",
    "read_recording",
    "record_next",
    "recording_from_frame",
    "recording_from_xarray",
    "resume",
    "start_magnitudes",
    "tie_weights",
    "train",
    "write_random_connectome",
    "write_report",
]

_HOME = {
    "read_measured": "connfit.analysis.measured.measured_responses",
    "perturb_score": "connfit.analysis.measured.score_run",
    "Stimulations": "connfit.models.pulse",
    "ScoredResponses": "connfit.analysis.measured.scored_responses",
    "ResponseRule": "connfit.analysis.measured.measured_responses",
    "MeasuredResponses": "connfit.analysis.measured.measured_responses",
    "Analysis": "connfit.analysis.brain_analysis",
    "Cohort": "connfit.recordings.cohort",
    "Config": "connfit.config",
    "Connectome": "connfit.connectome",
    "ConnfitError": "connfit.errors",
    "DataConfig": "connfit.config",
    "Ensemble": "connfit.analysis.record_next",
    "EvaluateConfig": "connfit.config",
    "Evaluation": "connfit.evaluation.evaluated",
    "Fit": "connfit.training.fitted",
    "LearnerConfig": "connfit.config",
    "ModelConfig": "connfit.config",
    "Parts": "connfit.recordings.recording",
    "RateModel": "connfit.models",
    "Readout": "connfit.models",
    "Inputs": "connfit.recordings.inputs",
    "RecordNext": "connfit.analysis.record_next",
    "RecordNextOptions": "connfit.analysis.record_next",
    "Recording": "connfit.recordings.recording",
    "Study": "connfit.evaluation.study.study",
    "TrainConfig": "connfit.config",
    "WindowedLearner": "connfit.training.learners",
    "analyze": "connfit.analysis.pipeline",
    "compare": "connfit.evaluation.compare_fits",
    "connectome_from_graph": "connfit.connectome.formats.in_memory",
    "connectome_from_matrix": "connfit.connectome.formats.in_memory",
    "connectome_from_tables": "connfit.connectome.tables",
    "evaluate": "connfit.evaluation.evaluate_run",
    "evaluate_run": "connfit.evaluation.evaluate_run",
    "fit": "connfit.training.fit_brain",
    "init_params": "connfit.models",
    "list_datasets": "connfit.datasets.loading",
    "load_analysis": "connfit.analysis.load_results",
    "load_connectome": "connfit.datasets.loading",
    "load_evaluation": "connfit.analysis.load_results",
    "load_fit": "connfit.training.runs",
    "load_recording": "connfit.datasets.loading",
    "load_recordings": "connfit.datasets.loading",
    "load_study": "connfit.analysis.load_results",
    "make_null": "connfit.connectome.nulls",
    "match_units": "connfit.connectome.matching",
    "prepare_fit": "connfit.training.fit_brain",
    "preprocess": "connfit.recordings.preprocess",
    "preset": "connfit.training.learners",
    "read_connectome": "connfit.connectome.formats",
    "read_recording": "connfit.recordings.readers",
    "recording_from_frame": "connfit.recordings.labelled_arrays",
    "recording_from_xarray": "connfit.recordings.labelled_arrays",
    "record_next": "connfit.analysis.record_next",
    "resume": "connfit.training.runs",
    "start_magnitudes": "connfit.models",
    "tie_weights": "connfit.models",
    "train": "connfit.training.fit",
    "write_random_connectome": "connfit.connectome.random_wiring",
    "write_report": "connfit.report",
}
"""Module of each public name. They are imported when they are first used, so that the command line starts at once."""


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(_module(_HOME[name]), name)
    elif name == "plot":
        value = _module("connfit.report.plot")
    else:
        try:
            return _module(f"connfit.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"connfit.{name}":
                raise
            raise AttributeError(f"module 'connfit' has no attribute {name!r}") from None
    globals()[name] = value
    return value


def _module(name: str) -> Any:
    with jax_refusals():
        return import_module(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
