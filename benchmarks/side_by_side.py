"""Compare validating recordings side by side with one after the other, in turn, on the demo's four recordings.

    python benchmarks/side_by_side.py

Prints one JSON object. Fails where it gains less than `LEAST` times, or where the values differ by more than rounding.
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

import connfit as cf
from connfit.models.forecaster import ModelForecaster
from connfit.training import validation

LEAST = 1.2
ROUNDS, REPEATS = 6, 5


def main() -> None:
    """Time both, in turn, and print the medians."""
    recordings = [cf.load_recording(f"demo/{number}") for number in range(1, 5)]
    job = cf.prepare_fit(cf.load_connectome("demo"), recordings, drive_start="persistence", state_forcing=1.0)
    forecaster = ModelForecaster(job.model, job.params, job.cohort)
    weights = np.ones((len(job.cohort.units), len(recordings)))
    together = validation.MOST_PREDICTED
    took: dict[int, list[float]] = {together: [], 1: []}
    values: dict[int, Any] = {}
    for most in took:  # compiled before anything is timed
        validation.MOST_PREDICTED = most
        values[most] = validation.validate(forecaster, weights, horizons=True)
    for _ in range(ROUNDS):
        for most, seconds in took.items():
            validation.MOST_PREDICTED = most
            began = time.perf_counter()
            for _ in range(REPEATS):
                validation.validate(forecaster, weights, horizons=True)
            seconds.append((time.perf_counter() - began) / REPEATS)
    side_by_side, in_turn = (1e3 * float(np.median(took[most])) for most in (together, 1))
    line = {
        "benchmark": "validation", "recordings": len(recordings), "n": job.model.neurons, "m": job.model.connections,
        "side_by_side_ms": round(side_by_side, 1), "one_by_one_ms": round(in_turn, 1),
        "ratio": round(in_turn / side_by_side, 2),
    }  # fmt: skip
    print(json.dumps(line))
    np.testing.assert_allclose(values[together], values[1], rtol=1e-4)
    if line["ratio"] < LEAST:
        raise SystemExit(f"side by side is {line['ratio']} times as fast, less than {LEAST}")


if __name__ == "__main__":
    main()
