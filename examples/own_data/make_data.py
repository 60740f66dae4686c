"""Write the tables of a small made-up brain, in the form in which your own data may come.

Usage: ``python make_data.py [FOLDER]`` (default: the folder ``data`` beside this file). Writes
``neurons.csv``, ``edges.csv``, one ``animal_*.csv`` per recording, ``stimulations.csv``: who responds when one neuron
at a time is stimulated, and ``silencings.csv``: whose response to the stimulation of one cell type changes when one
neuron at a time is silenced. Everything is generated, nothing is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm

NEURONS, RECORDED, ANIMALS, FRAMES, FRAME_RATE_HZ = 80, 30, 2, 600, 3.0
STIMULATED, SILENCED, TRIALS, PULSE_FRAMES, WINDOW_FRAMES = 25, 25, 6, 2, 30
DRIVEN_TYPE = "T03"
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


def respond(neurons: pd.DataFrame, edges: pd.DataFrame, pulses: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """[neuron, run] mean calcium from the onset on, with what is added to each neuron's drive, and who is silent."""
    weights, bias = weights_of(neurons, edges), np.ones(NEURONS)
    rates = np.repeat(np.linalg.solve(np.eye(NEURONS) - weights, bias)[:, None], pulses.shape[1], axis=1)
    rates = np.maximum(rates, 0)
    calcium, total = rates.copy(), np.zeros_like(rates)
    for frame in range(200 + WINDOW_FRAMES):
        drive = weights @ rates + bias[:, None]
        if 200 <= frame < 200 + PULSE_FRAMES:  # at rest by then
            drive += pulses
        rates = 0.6 * rates + 0.4 * np.maximum(drive, 0)
        if frame >= 200:
            rates[silent] = 0
        calcium = 0.7 * calcium + 0.3 * rates
        total += (frame >= 200) * calcium
    return total / WINDOW_FRAMES


def measure(change: np.ndarray, kept: np.ndarray, random: np.random.Generator) -> dict[str, object]:
    """What noisy trials show of changes [experiment, neuron], of those that are kept."""
    noise = np.abs(change).mean()
    trials = change + 2 * noise * random.normal(size=(TRIALS, *change.shape))
    measured = trials[:, kept]
    p = 2 * norm.sf(np.abs(measured.mean(axis=0)) * np.sqrt(TRIALS) / (2 * noise))
    return {
        "observations": TRIALS,
        "q": false_discovery_control(p).round(6),
        "amplitude": measured.mean(axis=0).round(6),
        "half_1": measured[::2].mean(axis=0).round(6),
        "half_2": measured[1::2].mean(axis=0).round(6),
    }


def stimulate(neurons: pd.DataFrame, edges: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """One row per stimulated and watched neuron: mean change of calcium over trials, and its false discovery rate."""
    chosen = np.sort(random.choice(NEURONS, STIMULATED, replace=False))
    pulses = np.zeros((NEURONS, STIMULATED + 1))  # the last run has no pulse
    pulses[chosen, np.arange(STIMULATED)] = 2.0
    means = respond(neurons, edges, pulses, np.zeros(pulses.shape, bool))
    kept = chosen[:, None] != np.arange(NEURONS)
    source, target = np.nonzero(kept)
    ids = neurons.root_id.to_numpy()
    found = measure((means[:, :-1] - means[:, -1:]).T, kept, random)
    return pd.DataFrame({"stimulated": ids[chosen[source]], "responding": ids[target], **found})


def silence(neurons: pd.DataFrame, edges: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """One row per silenced and watched neuron: how the response to one stimulus changes."""
    driven = (neurons.cell_type == DRIVEN_TYPE).to_numpy()
    chosen = np.sort(random.choice(np.flatnonzero(~driven), SILENCED, replace=False))
    silent = np.zeros((NEURONS, SILENCED + 1), bool)  # in the last run nobody is silent
    silent[chosen, np.arange(SILENCED)] = True
    means = respond(neurons, edges, np.repeat(2.0 * driven[:, None], SILENCED + 1, axis=1), silent)
    kept = (chosen[:, None] != np.arange(NEURONS)) & ~driven
    source, target = np.nonzero(kept)
    ids = neurons.root_id.to_numpy()
    found = measure((means[:, :-1] - means[:, -1:]).T, kept, random)
    who = {"stimulated": f"type:{DRIVEN_TYPE}", "silenced": ids[chosen[source]], "responding": ids[target]}
    return pd.DataFrame({**who, **found})


def main(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    neurons, edges = make_tables(np.random.default_rng(1))
    neurons.to_csv(folder / "neurons.csv", index=False)
    edges.to_csv(folder / "edges.csv", index=False)
    stimulate(neurons, edges, np.random.default_rng(3)).to_csv(folder / "stimulations.csv", index=False)
    silence(neurons, edges, np.random.default_rng(4)).to_csv(folder / "silencings.csv", index=False)
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
