"""Measure time and memory of the analyses of activity and connections at the adult fly's size.

    python benchmarks/analysis.py                # 138,639 neurons, 2,000 frames: two minutes
    python benchmarks/analysis.py --scale 0.05   # a twentieth of the neurons

One process, one JSON line. Activity is made first and is not measured: an autoregression of all neurons with common
and private noise, in a file of single-precision numbers that is mapped into memory, as `connfit analyze` maps the
rates that it simulates. Measured is what that command does with them: events at nine thresholds per neuron and three
on the population, of the activity and of two surrogates, avalanches in three bins each with all their fits, branching
ratios with intervals, and fluctuations. The aim is 120 s and 4 GB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NEURONS, FRAMES = 138_639, 2_000
LIMIT_SECONDS, LIMIT_BYTES = 120, 4_000_000_000


def make(path: Path, neurons: int, frames: int) -> None:
    """Write activity of neurons with time constants around 10 frames that share a part of their noise."""
    import numpy as np

    rng = np.random.default_rng(0)
    decay = np.exp(-1 / rng.uniform(2, 20, neurons)).astype(np.float32)
    shared = rng.uniform(0, 0.3, neurons).astype(np.float32)
    out = np.memmap(path, np.float32, "w+", shape=(frames, neurons))
    now = np.zeros(neurons, np.float32)
    for t in range(frames):
        now = decay * now + rng.standard_normal(neurons, np.float32) + shared * np.float32(rng.standard_normal())
        out[t] = np.maximum(now, 0)
    out.flush()


def run(path: str, neurons: int, frames: int) -> dict[str, Any]:
    """Analyse and measure."""
    import numpy as np

    from connfit.analysis.analysis_options import AnalysisOptions
    from connfit.analysis.criticality.signature_table import Source, examine_source
    from connfit.analysis.criticality.subsampling import branching_by_sample
    from connfit.training.runs import peak_rss_bytes

    before = peak_rss_bytes()
    values = np.memmap(path, np.float32, "r", shape=(frames, neurons))
    seconds: dict[str, float] = {}
    options = AnalysisOptions()
    start = time.perf_counter()
    source = Source("neurons", [values], ("median",), ("shuffle", "phase_together"))
    found = examine_source(source, options, 1.2)
    seconds["signs_of_criticality"] = time.perf_counter() - start
    start = time.perf_counter()
    branching_by_sample([np.asarray(values[:, :73])], [values], frame_rate_hz=1.2, repeats=options.repeats, seed=0)
    seconds["branching_by_sample"] = time.perf_counter() - start
    total = sum(seconds.values())
    return {
        "benchmark": "analysis",
        "n": neurons,
        "frames": frames,
        "cells": len(found.grid or ()),
        "seconds": round(total, 1),
        "parts": {key: round(value, 1) for key, value in seconds.items()},
        "peak_rss_bytes": peak_rss_bytes(),
        "before_bytes": before,
        "within_limits": total <= LIMIT_SECONDS and peak_rss_bytes() <= LIMIT_BYTES,
    }


def main() -> None:
    """Make activity, analyse it in a process of its own and print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the fly's neurons")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        path, neurons, frames = options.run
        print(json.dumps(run(path, int(neurons), int(frames))))
        return
    neurons = max(100, int(NEURONS * options.scale))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "activity.dat"
        make(path, neurons, options.frames)
        command = [sys.executable, __file__, "--run", str(path), str(neurons), str(options.frames)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
