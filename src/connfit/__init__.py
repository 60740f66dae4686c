"""connfit: whole-brain models whose wiring is a connectome, fitted to recorded activity.

A connectome and recordings go in; a fitted, evaluated and reported model comes out:

>>> import connfit as cf
>>> brain = cf.load_connectome("demo")  # or cf.connectome_from_tables(...)
>>> brain.n, brain.m
(2000, 60449)
>>> recording = cf.load_recording("demo/1").split(train=0.6, validation=0.15)  # or cf.read_recording(...)
>>> recording.frames, len(recording.units), recording.frame_rate
(600, 20, 1.2)

From there: `Cohort`, `Readout`, `RateModel.of`, `initial_parameters`, `fit` and `evaluate_fit`, as in the
README; or the command `connfit fit`. Arrays are [time, unit], connectivity is [post, pre], time
constants are in seconds. Every mistake in data or options is a `ConnfitError` that names it.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from connfit._version import __version__

if TYPE_CHECKING:
    from connfit.config import Config, EvaluateConfig, LearnerConfig, ModelConfig, TrainConfig
    from connfit.connectome import Connectome
    from connfit.connectome.matching import match_units
    from connfit.connectome.tables import connectome_from_tables
    from connfit.datasets.loading import list_datasets, load_connectome, load_recording, load_recordings
    from connfit.errors import ConnfitError
    from connfit.evaluation.evaluate_run import evaluate_fit, evaluate_run
    from connfit.models import RateModel, Readout, initial_parameters, share_strengths, start_magnitudes
    from connfit.recordings import Recording
    from connfit.recordings.cohort import Cohort
    from connfit.recordings.preprocess import apply_steps
    from connfit.recordings.readers import read_recording
    from connfit.training.fit import Fit, fit
    from connfit.training.learners import Windowed, preset

__all__ = [
    "Cohort",
    "Config",
    "Connectome",
    "ConnfitError",
    "EvaluateConfig",
    "Fit",
    "LearnerConfig",
    "ModelConfig",
    "RateModel",
    "Readout",
    "Recording",
    "TrainConfig",
    "Windowed",
    "__version__",
    "apply_steps",
    "connectome_from_tables",
    "evaluate_fit",
    "evaluate_run",
    "fit",
    "initial_parameters",
    "list_datasets",
    "load_connectome",
    "load_recording",
    "load_recordings",
    "match_units",
    "preset",
    "read_recording",
    "share_strengths",
    "start_magnitudes",
]

_HOME = {
    "Cohort": "connfit.recordings.cohort",
    "Config": "connfit.config",
    "Connectome": "connfit.connectome",
    "ConnfitError": "connfit.errors",
    "EvaluateConfig": "connfit.config",
    "Fit": "connfit.training.fit",
    "LearnerConfig": "connfit.config",
    "ModelConfig": "connfit.config",
    "RateModel": "connfit.models",
    "Readout": "connfit.models",
    "Recording": "connfit.recordings.recording",
    "TrainConfig": "connfit.config",
    "Windowed": "connfit.training.learners",
    "apply_steps": "connfit.recordings.preprocess",
    "connectome_from_tables": "connfit.connectome.tables",
    "evaluate_fit": "connfit.evaluation.evaluate_run",
    "evaluate_run": "connfit.evaluation.evaluate_run",
    "fit": "connfit.training.fit",
    "initial_parameters": "connfit.models",
    "list_datasets": "connfit.datasets.loading",
    "load_connectome": "connfit.datasets.loading",
    "load_recording": "connfit.datasets.loading",
    "load_recordings": "connfit.datasets.loading",
    "match_units": "connfit.connectome.matching",
    "preset": "connfit.training.learners",
    "read_recording": "connfit.recordings.readers",
    "share_strengths": "connfit.models",
    "start_magnitudes": "connfit.models",
}
"""Module of each public name. They are imported when they are first used, so that the command line starts at once."""


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    if any(module.name == name for module in iter_modules(__path__)):
        return import_module(f"connfit.{name}")
    raise AttributeError(f"module 'connfit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
