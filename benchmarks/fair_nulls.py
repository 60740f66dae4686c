"""Test whether a null connectome can lose by tuning or win by luck, on SURROGATE brains in which wiring cannot matter.

``python benchmarks/fair_nulls.py [--brains 10] [--kinds no-recurrence rewired]`` makes small brains and recordings, and
fits and studies each as a user would (`connfit fit`, `connfit evaluate DIR --full`), every row with a recipe of its
own. It counts the intervals of "real minus null" that exclude zero. In both kinds no wiring is better in truth than
another, so 5 % of nominal 95 % intervals should:

``no-recurrence``
    The teacher's neurons do not influence each other: each follows a slow input that all share, and its own.
``rewired``
    The teacher has recurrent connections, but the wiring called real is a degree-preserving rewiring of them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from connfit.evaluation.study.study import Difference

NEURONS, RECORDED, FRAMES, FRAME_RATE_HZ = 80, 30, 800, 2.0
NULLS = ("shuffle_signs", "shuffle_counts", "rewire_degrees", "erdos_renyi")


def make_brain(folder: Path, kind: str, seed: int) -> Path:
    """Write tables, one recording and a configuration; return the path of the configuration."""
    random = np.random.default_rng([seed, 7])
    names = np.array([f"n{k:03d}" for k in range(NEURONS)])
    excitatory = random.random(NEURONS) < 0.7
    pre, post = np.nonzero((random.random((NEURONS, NEURONS)) < 0.1) & ~np.eye(NEURONS, dtype=bool))
    counts = 1 + random.geometric(0.3, len(pre))
    weights = np.zeros((NEURONS, NEURONS))
    if kind == "rewired":
        weights[post, pre] = counts * np.where(excitatory[pre], 1.0, -1.0)
        weights *= 0.6 / np.abs(np.linalg.eigvals(weights)).max()
    values = simulate(weights, random)
    if kind == "rewired":
        pre, post = rewire(pre, post, random)
    seen = np.sort(random.choice(NEURONS, RECORDED, replace=False))
    pd.DataFrame({"id": names, "transmitter": np.where(excitatory, "ACH", "GABA")}).to_csv(
        folder / "neurons.csv", index=False
    )
    pd.DataFrame({"pre": names[pre], "post": names[post], "synapses": counts}).to_csv(folder / "edges.csv", index=False)
    np.savez(folder / "animal.npz", values=values[:, seen], units=names[seen], frame_rate=FRAME_RATE_HZ)
    config = {
        "data": {
            "connectome": {"edges": "edges.csv", "neurons": "neurons.csv"},
            "recording_files": {"files": ["animal.npz"]},
            "sign_rule": "fly-paper",
        },
        "evaluate": {"free_run_warmup": 50, "free_run_runs": 2},
        "seed": seed,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"


def simulate(weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Simulate [frame, neuron] leaky rates under slow input, partly shared, with measurement noise."""
    mixing, keep = 0.3 * random.normal(size=(NEURONS, 2)), random.uniform(0.5, 0.9, NEURONS)
    shared, own, rates, frames = np.zeros(2), np.zeros(NEURONS), np.full(NEURONS, 1.0), []
    for _ in range(100 + FRAMES):
        shared = 0.9 * shared + 0.4 * random.normal(size=2)
        own = 0.8 * own + 0.3 * random.normal(size=NEURONS)
        drive = 1.0 + weights @ (rates - 1.0) + mixing @ shared + own
        rates = keep * rates + (1 - keep) * np.maximum(drive, 0)
        frames.append(rates + 0.02 * random.normal(size=NEURONS))
    return np.array(frames[100:])


def rewire(pre: np.ndarray, post: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Swap the ends of pairs of connections, which keeps every degree, ten times per connection."""
    post = post.copy()
    there = set(zip(pre.tolist(), post.tolist(), strict=True))
    for a, b in random.integers(len(pre), size=(10 * len(pre), 2)):
        one, two = (int(pre[a]), int(post[b])), (int(pre[b]), int(post[a]))
        if a == b or one[0] == one[1] or two[0] == two[1] or one in there or two in there:
            continue
        there -= {(int(pre[a]), int(post[a])), (int(pre[b]), int(post[b]))}
        there |= {one, two}
        post[a], post[b] = post[b], post[a]
    return pre, post


def study(config: Path, folder: Path, seeds: int) -> dict[str, Difference]:
    """Fit and study one brain; return differences one frame ahead by row."""
    from connfit import config as configuration
    from connfit.evaluation.evaluate_run import evaluate_run
    from connfit.evaluation.study.run_study import StudyOptions, run_study
    from connfit.training import runs

    fitted = runs.start(configuration.read(config), folder)
    evaluate_run(fitted, folder)
    found = run_study(folder, StudyOptions(seeds=seeds, rows=NULLS))
    return {row.name: row.difference_at(1) for row in found.compared("null")}


def main() -> None:
    """Print a line per brain and one per kind, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brains", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the first brain, to go on where a run ended")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--kinds", nargs="+", default=["no-recurrence", "rewired"], choices=["no-recurrence", "rewired"]
    )
    options = parser.parse_args()
    for kind in options.kinds:
        cases: list[tuple[float, bool]] = []
        for seed in range(options.first, options.first + options.brains):
            with tempfile.TemporaryDirectory() as place:
                config = make_brain(Path(place), kind, 100 * seed)
                rows = study(config, Path(place) / "run", options.seeds)
            cases += [(of.value, bool(of.excludes_zero)) for of in rows.values()]
            shown = {name: [round(number, 4) for number in (of.value, of.low, of.high)] for name, of in rows.items()}
            print(
                json.dumps({"benchmark": "fair_nulls", "kind": kind, "brain": seed, "real_minus_null": shown}),
                flush=True,
            )
        out = [value for value, leaves_out in cases if leaves_out]
        print(
            json.dumps(
                {
                    "benchmark": "fair_nulls", "kind": kind, "intervals": len(cases), "exclude_zero": len(out),
                    "share": round(len(out) / max(1, len(cases)), 3), "in_favour_of_real": sum(v > 0 for v in out),
                }
            ),
            flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
