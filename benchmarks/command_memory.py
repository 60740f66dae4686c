"""Compare the peak memory of whole `connfit fit` commands, with evaluation and report, with what they say before.

    python benchmarks/command_memory.py                  # a few minutes each on two cores
    python benchmarks/command_memory.py --long           # also 200,000 frames
    python benchmarks/command_memory.py --only 1000000x100  # or 2000x10000: recordings that are much longer and wider
    python benchmarks/command_memory.py --only 20000x50  # one of them

Recordings and wiring are random numbers. The demo is run too, and the worm where `CONNFIT_DATA` says where its files
are. Fails where a peak is more than `TOLERANCE` from the estimate, or where the peaks of recordings of 50 units, less
the recording itself, differ by more.
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

import numpy as np
import scipy.sparse as sp

TOLERANCE = 0.1
SIZES = ((2_000, 50, 200), (20_000, 50, 200), (100, 500, 1_000))
LONG = (200_000, 50, 200)
LARGE = ((1_000_000, 100, 300), (2_000, 10_000, 12_000))
"""Frames, units, neurons."""

PARTNERS = 50
"""Units that a unit of a wide recording is driven by; of few units all others are."""

CONFIG = """seed = 3
[data]
sign_rule = "fly-paper"
[data.connectome]
edges = "edges.csv"
neurons = "neurons.csv"
transmitter = "transmitter"
[data.recording_files]
files = ["movie.npz"]
[train]
epochs = 1
"""


def write_project(folder: Path, frames: int, units: int, neurons: int) -> Path:
    """Write random wiring, a noisy recurrent recording and a configuration."""
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(neurons, size=(20 * neurons, 2)), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    rows = (f"n{pre},n{post},{1 + (pre + post) % 19}" for pre, post in pairs.tolist())
    (folder / "edges.csv").write_text("pre,post,synapses\n" + "\n".join(rows) + "\n")
    rows = (f"n{k},{'gaba' if k % 3 == 0 else 'acetylcholine'}" for k in range(neurons))
    (folder / "neurons.csv").write_text("id,transmitter\n" + "\n".join(rows) + "\n")
    if units <= 1_000:
        mixing = 0.5 * rng.normal(size=(units, units)) / np.sqrt(units)
    else:
        mixing = sp.random_array((units, units), density=PARTNERS / units, rng=rng, format="csr")
        mixing.data = 0.5 * rng.normal(size=mixing.nnz) / np.sqrt(PARTNERS)
    values, now = np.zeros((frames, units), np.float32), np.zeros(units)
    for t in range(frames):
        now = 0.8 * now + 0.2 * np.tanh(mixing @ now) + 0.3 * rng.normal(size=units)
        values[t] = now
    np.savez(folder / "movie.npz", values=values, units=np.array([f"n{k}" for k in range(units)]), frame_rate=2.0)
    (folder / "own.toml").write_text(CONFIG)
    return folder / "own.toml"


def measured(arguments: list[str], out: Path) -> tuple[int, int, float]:
    """Run a command; return its peak, what it estimated, and seconds."""
    began = time.perf_counter()
    # Large arrays go beside the run, so that a temporary folder in memory would not count.
    process = subprocess.Popen(
        [sys.executable, "-m", "connfit", *arguments, "--out", str(out)], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"connfit {' '.join(arguments)} failed with status {status}")
    estimate = json.loads((out / "record.json").read_text())["memory_estimate_bytes"]["total"]
    return usage.ru_maxrss * 1024, estimate, time.perf_counter() - began


def main() -> None:
    """Run all sizes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="200,000 frames too")
    parser.add_argument("--only", help="one size, as 20000x50, or demo or worm")
    options = parser.parse_args()
    sizes = {f"{frames}x{units}": (frames, units, neurons) for frames, units, neurons in (*SIZES, LONG, *LARGE)}
    usual = [f"{frames}x{units}" for frames, units, _ in (*SIZES, *([LONG] if options.long else []))]
    names = [*usual, "demo", *(["worm"] if os.environ.get("CONNFIT_DATA") else [])]
    chosen = [options.only] if options.only else names
    wrong, beyond = [], {}
    print(f"{'frames x units':16} {'peak GB':>8} {'estimate':>9} {'ratio':>6} {'minutes':>8}")
    for name in chosen:
        with tempfile.TemporaryDirectory() as temporary:
            folder, recording = Path(temporary), 0
            if name in sizes:
                frames, units, _ = sizes[name]
                source, recording = str(write_project(folder, *sizes[name])), 5 * frames * units
                arguments = ["fit", source]
            else:
                arguments = ["demo"] if name == "demo" else ["fit", name]
                arguments += ["--set", "train.epochs=1"]
            peak, estimate, seconds = measured(arguments, folder / "out")
        print(
            f"{name:16} {peak / 1e9:8.3f} {estimate / 1e9:9.3f} {estimate / peak:6.2f} {seconds / 60:8.1f}", flush=True
        )
        if name.endswith("x50"):
            beyond[name] = peak - recording
        if abs(estimate / peak - 1) > TOLERANCE:
            wrong.append(f"{name}: the estimate is {estimate / peak - 1:+.0%} off")
    if beyond and max(beyond.values()) > (1 + TOLERANCE) * min(beyond.values()):
        wrong.append(f"beyond the recording, peaks differ: {beyond}")
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
