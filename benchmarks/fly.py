"""Measure time and memory of fits of the adult fly's whole brain, each in a process of its own.

    connfit data make fly-surrogate                # once: about 5 minutes
    python benchmarks/fly.py                       # scale 1: about 10 minutes
    python benchmarks/fly.py --scale 0.05 --only one-fly long-recording

Each line is one fit as `connfit fit` runs it, from the start of the process: seconds until the data are read and
matched and the parameters have their start, and until the first parameter update; ms per model step and fly after
that; peak resident memory, checkpoints included, and the estimate that `connfit fit` gave. A fit of one fly makes about
120 windows, as passes of 500 frames or as one of 1,900. The benchmark fails if memory is off its estimate by more than
10 %, or grows by more than 2 % with the number of frames.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from connfit._system.pages import with_huge_pages

LIMIT_OF_ESTIMATE, LIMIT_OF_GROWTH = 0.10, 0.02
D_RTRL, HYBRID = {"preset": "d-rtrl"}, {"preset": "hybrid"}
FITS: dict[str, dict[str, Any]] = {
    "one-fly": {"learner": D_RTRL},
    "long-recording": {"learner": D_RTRL, "frames": 1900},
    "four-flies": {"learner": D_RTRL, "flies": 4},
    "bfloat16": {"learner": {**D_RTRL, "trace_dtype": "bfloat16"}},
    "four-flies-bfloat16": {"learner": {**D_RTRL, "trace_dtype": "bfloat16"}, "flies": 4},
    "anatomical-drive": {"learner": D_RTRL, "drive": "anatomical"},
    "hybrid": {"learner": HYBRID},
    "halves": {"learner": D_RTRL, "dataset": "fly-783-halves"},
}


def run(name: str, scale: float) -> dict[str, Any]:
    """Fit and measure, in this process."""
    from connfit import config as configuration
    from connfit.datasets.registry import DATASETS
    from connfit.training import runs

    began = float(os.environ["CONNFIT_BENCH_BEGAN"])
    options = {"frames": 500, "flies": 1, "drive": "dense", "dataset": "fly-surrogate", **FITS[name]}
    data = {
        "dataset": options["dataset"],
        "recordings": [str(k + 1) for k in range(options["flies"])],
        "train": options["frames"] / 2000,
        "validation": 0.04,
        **({"scale": scale} if options["dataset"] == "fly-surrogate" else {}),
    }
    # Dataset defaults, as in `connfit fit`, then what is measured here. The start is set, not searched: the benchmark
    # measures the fit.
    config = configuration.override(
        configuration.from_dict({"data": data, "learner": options["learner"]}),
        [
            *(f"{key}={configuration.as_json(value)}" for key, value in DATASETS[options["dataset"]].fit.items()),
            f"model.drive={options['drive']}",
            "model.drive_start=regression",
            "model.state_forcing=1.5",
            "model.time_constant_frames=1",
            "model.weights=input_fraction",
            "model.own_shrinkage=0",
            "model.drive_ridge=0",
            "train.learning_rate=0.03",
            f"train.epochs={4 * 500 // options['frames']}",
            f"train.batch={options['flies']}",
            "train.checkpoint_every=2",
        ],
    )
    seconds: dict[str, float] = {}
    jobs: list[runs.Job] = []

    def prepared(job: runs.Job) -> None:
        seconds["prepared_s"] = round(time.time() - began, 2)
        jobs.append(job)

    with tempfile.TemporaryDirectory() as folder:
        fitted = runs.start(config, Path(folder) / "run", on_prepared=prepared)
    ms = fitted.performance["ms_per_step"]
    measured, said = fitted.performance["peak_rss_bytes"], jobs[0].memory().total
    return {
        "benchmark": "fly",
        "fit": name,
        "scale": scale,
        "neurons": jobs[0].model.neurons,
        "connections": jobs[0].connectome.m,
        "flies": options["flies"],
        "training_frames": options["frames"],
        **seconds,
        "first_step_s": round(seconds["prepared_s"] + fitted.performance["first_step_s"], 2),
        "ms_per_step": round(ms, 2),
        "ms_per_step_and_fly": round(ms / options["flies"], 2),
        "peak_rss_bytes": measured,
        "estimate_over_peak": round(said / measured, 3),
    }


def main() -> None:
    """Run every fit and print a JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of the surrogate")
    parser.add_argument("--only", nargs="+", choices=list(FITS), default=list(FITS))
    parser.add_argument("--run", choices=list(FITS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(options.run, options.scale)))
        return
    lines: dict[str, dict[str, Any]] = {}
    wrong: list[str] = []
    for name in options.only:
        environment = {**(with_huge_pages(os.environ) or os.environ), "CONNFIT_BENCH_BEGAN": str(time.time())}
        command = [sys.executable, __file__, "--run", name, "--scale", str(options.scale)]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
        line = lines[name] = json.loads(done.stdout)
        print(json.dumps(line), flush=True)
        if abs(line["estimate_over_peak"] - 1) > LIMIT_OF_ESTIMATE:
            wrong.append(f"{name}: the estimate of memory is {line['estimate_over_peak']} of what was measured")
    if {"one-fly", "long-recording"} <= lines.keys():
        growth = lines["long-recording"]["peak_rss_bytes"] / lines["one-fly"]["peak_rss_bytes"] - 1
        print(json.dumps({"benchmark": "fly", "memory_growth_with_frames": round(growth, 4)}))
        if growth > LIMIT_OF_GROWTH:
            wrong.append(f"peak memory grows by {growth:.1%} from 500 to 1,900 training frames")
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
