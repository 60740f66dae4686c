"""Make what pages take as given, in the working directory: runs of a small generated brain, and measured responses.

Called by `run_blocks.py`. The fits are as quick as fits can be: what pages show of them is how they are used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import connfit as cf

NEURONS = ["AVAL", "AVAR", "AVBL", "AVBR", *(f"N{k:02d}" for k in range(20))]
RECORDED = NEURONS[4:14]
OPTIONS = {
    "drive_start": "persistence", "time_constant_frames": 0.5, "weights": "counts", "own_shrinkage": 0,
    "drive_ridge": 0, "state_forcing": 0, "weight_spread": 0.5, "epochs": 2, "free_run_epochs": 0,
    "learning_rate": 0.01, "warmup_frames": 5,
}  # fmt: skip


def make_data() -> tuple[cf.Connectome, cf.Recording]:
    """A brain and a recording of some of its neurons."""
    random = np.random.default_rng(0)
    neurons = pd.DataFrame({"id": NEURONS, "type": [name.rstrip("LR") for name in NEURONS]})
    neurons["transmitter"] = random.choice(["acetylcholine", "gaba"], len(NEURONS))
    pre, post = np.nonzero(random.random((len(NEURONS), len(NEURONS))) < 0.2)
    ids = np.array(NEURONS)
    edges = pd.DataFrame({"pre": ids[pre], "post": ids[post], "synapses": 1 + random.geometric(0.3, len(pre))})
    neurons.to_csv("neurons.csv", index=False)
    edges.to_csv("edges.csv", index=False)
    brain = cf.connectome_from_tables("made", "edges.csv", "neurons.csv", sign_rule="fly-paper")
    values = 3 + np.cumsum(random.normal(size=(300, len(RECORDED))), axis=0) * 0.1
    return brain, cf.Recording("animal", values.astype(np.float32), tuple(RECORDED), 3.0)


def main() -> None:
    """Write `runs/worm`, `runs/s0` to `runs/s3` and `responses.csv`."""
    brain, recording = make_data()
    for seed, name in enumerate(["s0", "s1", "s2", "s3", "worm"]):
        cf.fit(brain, recording, seed=seed, progress=False, **OPTIONS).save(Path("runs") / name)
    random = np.random.default_rng(1)
    pairs = [(a, b) for a in NEURONS[:8] for b in RECORDED if a != b]
    table = pd.DataFrame(pairs, columns=["stimulated", "responding"])
    table.assign(q=random.random(len(pairs)) ** 3, amplitude=random.normal(size=len(pairs))).to_csv(
        "responses.csv", index=False
    )


if __name__ == "__main__":
    main()
