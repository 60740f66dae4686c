"""Evaluate a fit and write `metrics.json` and `forecasts.npz` into its run directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluate import evaluate_all, write_metrics
from connfit.train import Fit


def evaluate_fit(fitted: Fit, config: EvaluateConfig | None = None) -> tuple[dict[str, Any], Any]:
    """Scores of the fitted model, the untrained one and the baselines; see `connfit.evaluate.evaluate_all`."""
    return evaluate_all(fitted.forecaster(), fitted.initial_forecaster(), None, fitted.cohort.recordings, config)


def evaluate_run(fitted: Fit, out: str | Path) -> dict[str, Any]:
    """Evaluate the fit of a run directory with the options of its configuration.

    Returns
    -------
    dict
        What was written to `metrics.json`.

    Raises
    ------
    DataError
        If the directory is not a run.
    """
    from connfit import __version__
    from connfit import config as configuration

    out = Path(out)
    config = configuration.read(out / "config.json")
    try:
        record = json.loads((out / "record.json").read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"damaged ({error})", path=out / "record.json") from error
    scores, forecasts = evaluate_fit(fitted, config.evaluate)
    metrics = {
        "connfit": __version__,
        "dataset": config.data.dataset or record["connectome"]["name"],
        "seed": config.seed,
        "surrogate": bool(record["connectome"]["notes"].get("surrogate", False)),
        "parameters": record["parameters"],
        **scores,
        "performance": fitted.performance,
    }
    forecasts.save(out / "forecasts.npz")
    write_metrics(out / "metrics.json", metrics)
    return metrics
