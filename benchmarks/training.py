"""Measure time and memory of training steps on a random brain: native against portable, short against long recordings.

    python benchmarks/training.py                 # the adult fly's size: 138,639 neurons, 15,091,983 connections
    python benchmarks/training.py --scale 0.01    # a hundredth of it
    python benchmarks/training.py --only native-neuron --cells rate rate-calcium   # a second state per neuron

Each line is one run in a process of its own, always of the same number of steps: ms per model step after the first
window, seconds from the start of the process to the end of the first window, and peak resident memory. Credit
"neuron" is D-RTRL, "network" the hybrid rule. Recording and wiring are random numbers; the fit means nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

from connfit._system.pages import with_huge_pages

NEURONS, CONNECTIONS, UNITS, WINDOW = 138_639, 15_091_983, 73, 16
COMBINATIONS = ("native-neuron", "native-network", "portable-neuron")
TOLERANCE = 0.02
"""Allowed growth of peak memory between recordings of different lengths run for the same number of steps."""


def write_brain(path: Path, neurons: int, connections: int) -> None:
    """Write random wiring with log-normal in-degrees as a connectome file."""
    from connfit import write_random_connectome

    write_random_connectome(path, neurons, connections)


def run(
    brain_file: str,
    implementation: str,
    credit: str,
    frames: int,
    steps: int,
    cell: str,
    devices: int = 1,
    recordings: int = 1,
) -> dict[str, Any]:
    """Fit random recordings side by side for a number of steps, in as many passes as that takes, and measure."""
    units = UNITS
    began = float(os.environ["CONNFIT_BENCH_BEGAN"])
    import jax.numpy as jnp
    import numpy as np
    import scipy.sparse as sp

    import connfit as cf
    from connfit.models import ops
    from connfit.models.cells import find_cell
    from connfit.models.connectome_model import ModelConditions
    from connfit.recordings import Parts
    from connfit.training.memory import estimate_memory
    from connfit.training.runs import peak_rss_bytes

    brain = cf.Connectome.load(brain_file)
    rng = np.random.default_rng(1)
    rows = rng.integers(units, size=2 * brain.n)
    shares = sp.csr_array((np.ones(2 * brain.n), (rows, np.tile(np.arange(brain.n), 2))), shape=(units, brain.n))
    names = tuple(f"unit {k}" for k in range(units))
    readout = cf.Readout(shares, names)
    parts = Parts((0, frames + 1), (frames + 1, frames + 1), (frames + 1, frames + 4))
    cohort = cf.Cohort.from_recordings(
        [
            cf.Recording(f"random {k}", rng.random((frames + 4, units), np.float32), names, 1.2, parts=parts)
            for k in range(recordings)
        ]
    )
    model = find_cell(cell).build(ModelConditions(connectome=brain, readout=readout, step_s=cohort.step_s))
    params = {
        "weights": jnp.asarray(rng.random(brain.m, np.float32) * (0.1 / brain.m * brain.n)),
        "log_time_constants": jnp.zeros(brain.n),
        "bias": jnp.zeros(brain.n),
        "drive": jnp.asarray(rng.random((brain.n, units), np.float32) / units),
        **model.own_start(),
    }
    n, m = brain.n, brain.m
    del brain
    start = time.time()
    with ops.use(implementation):
        learner = cf.WindowedLearner(WINDOW, credit, "trace")
        epochs = max(1, steps // frames)
        config = cf.TrainConfig(epochs=epochs, warmup_frames=0, learning_rate=1e-5, devices=devices)
        estimate = estimate_memory(model, params, cohort, learner, config, model.groups)
        fitted = cf.train(model, params, cohort, learner, config)
    return {
        "benchmark": "training",
        "implementation": implementation,
        "credit": credit,
        "cell": cell,
        "n": n,
        "m": m,
        "units": units,
        "window": WINDOW,
        "frames": frames,
        "recordings": recordings,
        "steps": fitted.performance["steps"],
        "ms_per_step": round(fitted.performance["ms_per_step"], 3),
        "first_step_s": round(start - began + fitted.performance["first_step_s"], 2),
        "peak_rss_bytes": peak_rss_bytes(),
        "estimate_bytes": estimate.total,
    }


def in_own_process(
    brain_file: Path, implementation: str, credit: str, frames: int, steps: int, cell: str = "rate", recordings: int = 1
) -> dict[str, Any]:
    """Do `run` in a process of its own, with large pages, as the command line runs."""
    settings = brain_file, implementation, credit, frames, steps, cell, recordings
    environment = {**(with_huge_pages(os.environ) or os.environ), "CONNFIT_BENCH_BEGAN": str(time.time())}
    command = [sys.executable, __file__, "--run", *map(str, settings)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def main() -> None:
    """Run every combination, print a JSON line for each, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the fly's neurons and connections")
    parser.add_argument("--frames", type=int, nargs="+", default=[64, 1024])
    parser.add_argument("--steps", type=int, default=1024, help="model steps of each run, whatever its frames")
    parser.add_argument("--only", nargs="+", choices=COMBINATIONS, default=list(COMBINATIONS))
    parser.add_argument("--cells", nargs="+", default=["rate"], help="kinds of neurons; the first is compared with")
    parser.add_argument("--run", nargs=7, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        brain_file, implementation, credit, frames, steps, cell, recordings = options.run
        found = run(brain_file, implementation, credit, int(frames), int(steps), cell, recordings=int(recordings))
        print(json.dumps(found))
        return
    neurons, connections = max(UNITS, int(NEURONS * options.scale)), int(CONNECTIONS * options.scale)
    uneven: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        brain_file = Path(folder) / "brain.h5"
        write_brain(brain_file, neurons, connections)
        lines: dict[tuple[str, str, int], dict] = {}
        for cell, combination in product(options.cells, options.only):
            for frames in options.frames:
                implementation, credit = combination.split("-")
                line = in_own_process(brain_file, implementation, credit, frames, options.steps, cell)
                lines[cell, combination, frames] = line
                fast = lines.get((cell, f"native-{credit}", frames), line)
                if fast is not line:
                    line["ratio_to_native"] = round(line["ms_per_step"] / fast["ms_per_step"], 2)
                plain = lines[options.cells[0], combination, frames]
                if plain is not line:
                    line[f"ratio_to_{options.cells[0]}"] = round(line["ms_per_step"] / plain["ms_per_step"], 2)
                    line[f"more_bytes_than_{options.cells[0]}"] = line["peak_rss_bytes"] - plain["peak_rss_bytes"]
                first = lines[cell, combination, options.frames[0]]
                if first is not line:
                    ratio = line["peak_rss_bytes"] / first["peak_rss_bytes"]
                    line[f"memory_ratio_to_{first['frames']}_frames"] = round(ratio, 4)
                    uneven += [line] if ratio > 1 + TOLERANCE else []
                print(json.dumps(line), flush=True)
    if uneven:
        sys.exit(f"peak memory grows with the number of frames by more than {TOLERANCE:.0%}: {json.dumps(uneven)}")


if __name__ == "__main__":
    main()
