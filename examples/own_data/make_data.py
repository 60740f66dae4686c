"""Write the tables of a small made-up brain, in the form in which your own data may come.

Usage: ``python make_data.py [FOLDER]`` (default: the folder ``data`` beside this file). Writes
``neurons.csv``, ``edges.csv`` and one ``animal_*.csv`` per recording. Everything is generated, nothing is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

NEURONS, RECORDED, ANIMALS, FRAMES, FRAME_RATE_HZ = 80, 30, 2, 600, 3.0
FIRST_ID = 720575940600000001
"""Ids of this size do not survive a conversion to floating point numbers, so keep id columns free of empty cells."""


def make_tables(random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per neuron, and one row per connected pair; column names are those of an imaginary database."""
    ids = FIRST_ID + np.arange(NEURONS)
    neurons = pd.DataFrame(
        {
            "root_id": ids,
            "cell_type": [f"T{k % 12:02d}" for k in range(NEURONS)],
            "neuropil": random.choice(["PB", "EB", "FB", "NO"], NEURONS),
            "nt": random.choice(["ACH", "GABA", "GLUT"], NEURONS, p=[0.6, 0.2, 0.2]),
            "hemisphere": random.choice(["left", "right"], NEURONS),
        }
    )
    pre, post = np.nonzero(random.random((NEURONS, NEURONS)) < 0.12)
    counts = 1 + random.geometric(0.3, len(pre))
    edges = pd.DataFrame({"source": ids[pre], "target": ids[post], "syn_count": counts})
    return neurons, edges.query("source != target")


def simulate(neurons: pd.DataFrame, edges: pd.DataFrame, random: np.random.Generator) -> np.ndarray:
    """[frame, neuron] rates of leaky neurons on this wiring under slow input, seen through a calcium indicator."""
    position = pd.Series(np.arange(NEURONS), index=neurons.root_id)
    sign = np.where(neurons.nt == "ACH", 1.0, -1.0)
    weights = np.zeros((NEURONS, NEURONS))
    weights[position[edges.target], position[edges.source]] = edges.syn_count
    weights *= sign
    weights *= 0.7 / np.abs(np.linalg.eigvals(weights)).max()
    mixing = random.normal(size=(NEURONS, 3))
    bias = 0.5 + random.random(NEURONS)
    rates, sources, calcium = bias.copy(), np.zeros(3), np.zeros(NEURONS)
    frames = []
    for _ in range(100 + FRAMES):
        sources = 0.95 * sources + 0.3 * random.normal(size=3)
        drive = weights @ rates + bias + 0.3 * mixing @ sources + 0.3 * random.normal(size=NEURONS)
        rates = 0.6 * rates + 0.4 * np.maximum(drive, 0)
        calcium = 0.7 * calcium + 0.3 * rates
        frames.append(calcium.copy())
    return np.array(frames[100:])


def main(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    neurons, edges = make_tables(np.random.default_rng(1))
    neurons.to_csv(folder / "neurons.csv", index=False)
    edges.to_csv(folder / "edges.csv", index=False)
    for animal in range(ANIMALS):
        random = np.random.default_rng([2, animal])
        values = simulate(neurons, edges, random) * (1 + 0.05 * random.normal(size=(FRAMES, NEURONS)))
        # Each animal shows other neurons, and some frames of some neurons are missing.
        seen = np.sort(random.choice(NEURONS, RECORDED, replace=False))
        table = pd.DataFrame(values[:, seen], columns=[str(one) for one in neurons.root_id[seen]]).round(4)
        table = table.mask(random.random(table.shape) < 0.005)
        table.insert(0, "time_s", (np.arange(FRAMES) / FRAME_RATE_HZ).round(4))
        table.to_csv(folder / f"animal_{animal + 1}.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
