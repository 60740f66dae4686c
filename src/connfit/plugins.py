"""What a package that adds pieces to connfit imports: registries, what they register, and what pieces are made of.

A piece is made with its class (`Baseline`, `Null`, `Cell`, ...) and named by an entry point of its kind;
CONTRIBUTING.md lists the groups. Within one session, `BASELINES.register(Baseline(...))` adds it as well. Its options
are the fields of a subclass of `Options`:

>>> from connfit.plugins import Options
>>> class Toy(Options, frozen=True):
...     decay: float = 0.9
>>> Toy().as_dict()
{'decay': 0.9}
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from connfit._registry import Options, PluginWarning

if TYPE_CHECKING:
    from connfit.analysis.analyses import ANALYSES, Analyzer
    from connfit.analysis.fitted_brain import FittedBrain
    from connfit.connectome.formats import FORMATS, ConnectomeFormat, WiringTables
    from connfit.connectome.nulls import NULLS, Null
    from connfit.connectome.nulls.redraw import as_null
    from connfit.datasets.registry import DATASETS, DataFile, Dataset
    from connfit.evaluation.baselines import BASELINES, Baseline
    from connfit.evaluation.forecasts import Forecaster
    from connfit.export.exported_run import ExportedRun
    from connfit.export.formats import EXPORTS, ExportFormat
    from connfit.models.base import Model
    from connfit.models.cells import CELLS, Cell
    from connfit.models.connectome_model import ConnectomeModel, ModelConditions
    from connfit.models.init.start import STARTS, Start, StartConditions
    from connfit.models.init.starting_weights import WEIGHTS, StartingWeights
    from connfit.models.neuron import Neuron
    from connfit.models.observation import INDICATORS, Indicator
    from connfit.models.parameter import Parameter, TimeConstant
    from connfit.recordings.preprocess import STEPS, Step
    from connfit.recordings.readers import READERS, Reader
    from connfit.training.learners import RULES, Learner, LearningRule, WindowArrays, WindowResult

__all__ = [
    "ANALYSES",
    "BASELINES",
    "CELLS",
    "DATASETS",
    "EXPORTS",
    "FORMATS",
    "INDICATORS",
    "NULLS",
    "READERS",
    "RULES",
    "STARTS",
    "STEPS",
    "WEIGHTS",
    "Analyzer",
    "Baseline",
    "Cell",
    "ConnectomeFormat",
    "ConnectomeModel",
    "DataFile",
    "Dataset",
    "ExportFormat",
    "ExportedRun",
    "FittedBrain",
    "Forecaster",
    "Indicator",
    "Learner",
    "LearningRule",
    "Model",
    "ModelConditions",
    "Neuron",
    "Null",
    "Options",
    "Parameter",
    "PluginWarning",
    "Reader",
    "Start",
    "StartConditions",
    "StartingWeights",
    "Step",
    "TimeConstant",
    "WindowArrays",
    "WindowResult",
    "WiringTables",
    "as_null",
]

_HOMES = {
    "analysis.analyses": ("ANALYSES", "Analyzer"),
    "analysis.fitted_brain": ("FittedBrain",),
    "connectome.formats": ("FORMATS", "ConnectomeFormat", "WiringTables"),
    "connectome.nulls": ("NULLS", "Null"),
    "connectome.nulls.redraw": ("as_null",),
    "datasets.registry": ("DATASETS", "DataFile", "Dataset"),
    "evaluation.baselines": ("BASELINES", "Baseline"),
    "evaluation.forecasts": ("Forecaster",),
    "export.exported_run": ("ExportedRun",),
    "export.formats": ("EXPORTS", "ExportFormat"),
    "models.base": ("Model",),
    "models.cells": ("CELLS", "Cell"),
    "models.observation": ("INDICATORS", "Indicator"),
    "models.connectome_model": ("ConnectomeModel", "ModelConditions"),
    "models.neuron": ("Neuron",),
    "models.parameter": ("Parameter", "TimeConstant"),
    "models.init.start": ("STARTS", "Start", "StartConditions"),
    "models.init.starting_weights": ("WEIGHTS", "StartingWeights"),
    "recordings.preprocess": ("STEPS", "Step"),
    "recordings.readers": ("READERS", "Reader"),
    "training.learners": ("RULES", "Learner", "LearningRule", "WindowArrays", "WindowResult"),
}
"""Modules of the names, imported when one is used: a registry loads the pieces of a package while it is imported."""

_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'connfit.plugins' has no attribute {name!r}")
    value = getattr(import_module(f"connfit.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
