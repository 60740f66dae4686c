"""How good a fit is: forecasts, measures, baselines and scores."""

from __future__ import annotations

from connfit.evaluate.baselines import BASELINES, Mean, Persistence, VarRidge
from connfit.evaluate.errors import PredictionErrors, prediction_errors
from connfit.evaluate.evaluation import evaluate_all, pooled_scores
from connfit.evaluate.forecast import Forecaster, Forecasts, PartForecast, RecordingForecast
from connfit.evaluate.intervals import Interval, paired_difference, skill_interval
from connfit.evaluate.metrics_file import read_metrics, write_metrics
from connfit.evaluate.scores import score
from connfit.evaluate.strongest import strongest_baseline
from connfit.evaluate.unit_intervals import PairedUnits, median_unit_interval, paired_units

__all__ = [
    "BASELINES",
    "Forecaster",
    "Forecasts",
    "Interval",
    "Mean",
    "PairedUnits",
    "PartForecast",
    "Persistence",
    "PredictionErrors",
    "RecordingForecast",
    "VarRidge",
    "evaluate_all",
    "median_unit_interval",
    "paired_difference",
    "paired_units",
    "pooled_scores",
    "prediction_errors",
    "read_metrics",
    "score",
    "skill_interval",
    "strongest_baseline",
    "write_metrics",
]
