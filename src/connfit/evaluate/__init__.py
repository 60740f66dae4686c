"""How good a fit is: forecasts, measures, baselines and scores."""

from __future__ import annotations

from connfit.evaluate.baselines import BASELINES, Mean, Persistence, VarRidge
from connfit.evaluate.forecast import Forecaster, Forecasts, PartForecast, RecordingForecast
from connfit.evaluate.metrics_file import read_metrics, write_metrics
from connfit.evaluate.scores import evaluate_all, score

__all__ = [
    "BASELINES",
    "Forecaster",
    "Forecasts",
    "Mean",
    "PartForecast",
    "Persistence",
    "RecordingForecast",
    "VarRidge",
    "evaluate_all",
    "read_metrics",
    "score",
    "write_metrics",
]
