"""Write the tables of a small made-up brain, in the form in which your own data may come.

Usage: ``python make_data.py [FOLDER]`` (default: the folder ``data`` beside this file). Writes
``neurons.csv``, ``edges.csv``, one ``animal_*.csv`` per recording, and ``stimulations.csv``: who responds when one
neuron at a time is stimulated. Everything is generated, nothing is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm

NEURONS, RECORDED, ANIMALS, FRAMES, FRAME_RATE_HZ = 80, 30, 2, 600, 3.0
STIMULATED, TRIALS, PULSE_FRAMES, WINDOW_FRAMES = 25, 6, 2, 30
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


def weights_of(neurons: pd.DataFrame, edges: pd.DataFrame) -> np.ndarray:
    """[post, pre] weights: synapse counts with the sign of the transmitter, at a spectral radius of 0.7."""
    position = pd.Series(np.arange(NEURONS), index=neurons.root_id)
    sign = np.where(neurons.nt == "ACH", 1.0, -1.0)
    weights = np.zeros((NEURONS, NEURONS))
    weights[position[edges.target], position[edges.source]] = edges.syn_count
    weights *= sign
    return weights * (0.7 / np.abs(np.linalg.eigvals(weights)).max())


def simulate(neurons: pd.DataFrame, edges: pd.DataFrame, random: np.random.Generator) -> np.ndarray:
    """[frame, neuron] rates of leaky neurons on this wiring under slow input, seen through a calcium indicator."""
    weights = weights_of(neurons, edges)
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


def stimulate(neurons: pd.DataFrame, edges: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """One row per stimulated and watched neuron: mean change of calcium over trials, and its false discovery rate."""
    weights, bias = weights_of(neurons, edges), np.ones(NEURONS)
    chosen = np.sort(random.choice(NEURONS, STIMULATED, replace=False))
    rates = np.repeat(np.linalg.solve(np.eye(NEURONS) - weights, bias)[:, None], STIMULATED + 1, axis=1)
    rates = np.maximum(rates, 0)
    calcium, total = rates.copy(), np.zeros_like(rates)
    for frame in range(200 + WINDOW_FRAMES):
        drive = weights @ rates + bias[:, None]
        if 200 <= frame < 200 + PULSE_FRAMES:  # at rest by then; the last run has no pulse
            drive[chosen, np.arange(STIMULATED)] += 2.0
        rates = 0.6 * rates + 0.4 * np.maximum(drive, 0)
        calcium = 0.7 * calcium + 0.3 * rates
        total += (frame >= 200) * calcium
    change = ((total[:, :-1] - total[:, -1:]) / WINDOW_FRAMES).T
    noise = np.abs(change).mean()
    trials = change + 2 * noise * random.normal(size=(TRIALS, *change.shape))
    source, target = np.nonzero(chosen[:, None] != np.arange(NEURONS))
    measured = trials[:, source, target]
    p = 2 * norm.sf(np.abs(measured.mean(axis=0)) * np.sqrt(TRIALS) / (2 * noise))
    return pd.DataFrame(
        {
            "stimulated": neurons.root_id.to_numpy()[chosen[source]],
            "responding": neurons.root_id.to_numpy()[target],
            "observations": TRIALS,
            "q": false_discovery_control(p).round(6),
            "amplitude": measured.mean(axis=0).round(6),
            "half_1": measured[::2].mean(axis=0).round(6),
            "half_2": measured[1::2].mean(axis=0).round(6),
        }
    )


def main(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    neurons, edges = make_tables(np.random.default_rng(1))
    neurons.to_csv(folder / "neurons.csv", index=False)
    edges.to_csv(folder / "edges.csv", index=False)
    stimulate(neurons, edges, np.random.default_rng(3)).to_csv(folder / "stimulations.csv", index=False)
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
