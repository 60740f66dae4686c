"""Measure time and memory of making null connectomes, and how well the rewired ones are mixed.

    python benchmarks/nulls.py                 # the adult fly's size: 138,639 neurons, 15,091,983 connections
    python benchmarks/nulls.py --scale 0.01    # a hundredth of it
    python benchmarks/nulls.py --brain FILE    # a connectome written by Connectome.save

Each line is one null in a process of its own: seconds without opening the connectome, peak resident memory, and the
share of the original connections that remain (of rewired ones also half way: the same if they are mixed), beside
about what chance would leave. Random wiring gets 78 random regions, as many as the fly has neuropils.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from training import CONNECTIONS, NEURONS, write_brain

REGIONS = 78
MEASURED = (
    "swaps_per_connection",
    "rounds",
    "kept_share",
    "kept_share_half_way",
    "kept_share_expected",
    "self_connections_kept",
)


def run(brain_file: str, name: str, seed: int) -> dict[str, Any]:
    """Make one null and measure."""
    import numpy as np

    import connfit as cf
    from connfit.connectome.nulls import make_null
    from connfit.training.runs import peak_rss_bytes

    brain = cf.Connectome.load(brain_file)
    if brain.notes.get("random"):
        region = np.random.default_rng(2).integers(REGIONS, size=brain.n)
        brain = replace(brain, neurons=brain.neurons.assign(region=[f"region {k}" for k in region]))
    before = peak_rss_bytes()
    start = time.perf_counter()
    null = make_null(brain, name, seed)
    seconds = time.perf_counter() - start
    said = null.notes["null"]
    return {
        "benchmark": "nulls",
        "null": name,
        "n": brain.n,
        "m": brain.m,
        "seconds": round(seconds, 2),
        "peak_rss_bytes": peak_rss_bytes(),
        "peak_rss_bytes_before": before,
        **{key: round(said[key], 6) for key in MEASURED if key in said},
    }


def main() -> None:
    """Make every requested null and print a JSON line for each."""
    from connfit.connectome.nulls import NULLS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the fly's neurons and connections")
    parser.add_argument("--brain", type=Path, help="a connectome file, instead of random wiring")
    parser.add_argument("--only", nargs="+", choices=list(NULLS), default=list(NULLS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        brain_file, name, seed = options.run
        print(json.dumps(run(brain_file, name, int(seed))))
        return
    with tempfile.TemporaryDirectory() as folder:
        brain_file = options.brain
        if brain_file is None:
            brain_file = Path(folder) / "brain.h5"
            write_brain(brain_file, max(1, int(NEURONS * options.scale)), int(CONNECTIONS * options.scale))
        for name in options.only:
            command = [sys.executable, __file__, "--run", str(brain_file), name, str(options.seed)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
