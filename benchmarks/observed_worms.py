"""What an observation model adds on real worms: single fits, every choice by validation frames.

    python benchmarks/observed_worms.py [--recordings 2022-07-27-38] [--variants plain gains]

For each recording and variant of `model.observation`, the recipe and learning rates are found anew and the model is
trained. One JSON object a line: the value on validation by which variants are to be compared (mean skill over
persistence 1 to 10 frames ahead), and skill on test frames at 1, 2, 5 and 10 frames, of the fit and of its start. Units
count by the variance of their change from frame to frame in training, so a number is near, but not, that of
`metrics.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import numpy as np

from connfit import config as configuration
from connfit.models.base import INNOVATION_GAINS, Params
from connfit.models.forecaster import ModelForecaster
from connfit.training.problem import Job, prepare
from connfit.training.validation import validate

AHEAD = np.array([1, 2, 5, 10])

VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "gains": {"gain": "unit"},
    "indicator": {"indicator": "GCaMP6s", "bounds": [0.2, 5.0]},
    "indicator, gains": {"indicator": "GCaMP6s", "bounds": [0.2, 5.0], "gain": "unit"},
    "indicator, gains, student-t": {
        "indicator": "GCaMP6s", "bounds": [0.2, 5.0], "gain": "unit", "noise": "student-t",
    },
    "indicator, gains, drift": {"indicator": "GCaMP6s", "bounds": [0.2, 5.0], "gain": "unit", "drift_gain": 0.02},
    "indicator per neuron, gains": {"indicator": "GCaMP6s", "bounds": [0.2, 5.0], "gain": "unit", "per": "neuron"},
    "student-t": {"noise": "student-t"},
}  # fmt: skip


def test_skill(job: Job, params: Params) -> list[float]:
    """Return pooled skill over persistence on test frames."""
    cohort = job.cohort
    forecaster, weights = ModelForecaster(job.model, params, cohort), np.nan_to_num(1 / cohort.change_variance())
    errors = np.zeros((2, len(AHEAD)))
    for member, recording in enumerate(cohort.recordings):
        start, stop = recording.require_parts().test
        whole = replace(recording, parts=None)
        starts = np.arange(start - 1, stop - AHEAD[-1])
        _, forecast = forecaster.one_step_and_horizon(whole, starts, int(AHEAD[-1]))
        at = starts[:, None] + AHEAD
        seen = recording.mask[at] * recording.mask[starts][:, None] * weights[cohort.columns[member], member]
        truth, now = np.nan_to_num(recording.values[at]), np.nan_to_num(recording.values[starts])[:, None]
        errors += [(seen * (guess - truth) ** 2).sum(axis=(0, 2)) for guess in (forecast[:, AHEAD - 1], now)]
    return [round(float(skill), 4) for skill in 1 - errors[0] / errors[1]]


def main() -> None:
    """Print a line for each recording and variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", nargs="*", default=["2022-07-27-38", "2022-08-02-38"])
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS))
    parser.add_argument("--model", type=json.loads, default={}, help="further options of section model, as JSON")
    parser.add_argument("--epochs", type=int, default=100)
    args = parser.parse_args()
    for recording in args.recordings:
        for variant in args.variants:
            began = time.perf_counter()
            config = configuration.from_dict(
                {
                    "data": {"dataset": "worm", "recordings": [recording]},
                    "model": {**args.model, "observation": VARIANTS[variant]},
                    "train": {"epochs": args.epochs},
                }
            )
            job = prepare(config)
            ready = time.perf_counter() - began
            fitted = job.fit()
            weights = np.nan_to_num(1 / job.cohort.change_variance())
            value = {
                name: validate(ModelForecaster(job.model, params, job.cohort), weights, horizons=True).value
                for name, params in (("start", job.params), ("fit", fitted.params))
            }
            row: dict[str, object] = {
                "benchmark": "observed_worms", "recording": recording, "variant": variant, "validation": value,
                "test_start": test_skill(job, job.params), "test": test_skill(job, fitted.params),
                "chosen": dict(job.recipe.chosen), "epoch": fitted.best_epoch,
                "parameters": job.parameter_counts(),
                "rate": None if fitted.rates is None else fitted.rates.learning_rate,
                "moved_log_time_constants": float(
                    np.std(np.asarray(fitted.params["log_time_constants"] - job.params["log_time_constants"]))
                ),
            }  # fmt: skip
            for name in ("indicator_decay", "indicator_rise"):
                if f"log_{name}" in fitted.params:
                    row[name] = np.exp(np.asarray(fitted.params[f"log_{name}"])).mean().item()
            if job.model.own_gains:
                gains = np.asarray(fitted.params[INNOVATION_GAINS])
                row["gains"] = np.percentile(gains, [10, 50, 90], axis=1).T.round(3).tolist()
            row["seconds"] = {"start": round(ready), "all": round(time.perf_counter() - began)}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
