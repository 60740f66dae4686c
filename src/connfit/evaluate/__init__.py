"""How good a fit is: forecasts, measures, baselines and scores."""

from __future__ import annotations

from connfit.evaluate.baselines import BASELINES, Mean, Persistence, VarRidge
from connfit.evaluate.evaluation import evaluate_all, pooled_scores
from connfit.evaluate.forecast import Forecaster, Forecasts, PartForecast, RecordingForecast
from connfit.evaluate.metrics_file import read_metrics, write_metrics
from connfit.evaluate.scores import score

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
    "pooled_scores",
    "read_metrics",
    "score",
    "write_metrics",
]
