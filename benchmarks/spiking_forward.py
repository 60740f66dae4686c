"""Compare the spiking network with Brian2 and NEST, in turn: the same wiring, the same neurons and the same events.

    CONNFIT_BRIAN2_PYTHON=/path/to/python CONNFIT_NEST_PYTHON=/path/to/python python benchmarks/spiking_forward.py

Without them it times this simulator alone. In NEST neurons are the nearest that it has (`nest_lif.py`). Wiring:
`fly-783-halves` where its files are here, otherwise (or with `--random`) as many neurons with random targets. Seconds
are those of the runs: not of reading, compiling or building.
Prints one JSON object a line; spikes of Brian2 must be the same in all but few steps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from connfit.connectome import Connectome
from connfit.connectome.connectome import from_pairs
from connfit.datasets.loading import load_connectome
from connfit.errors import NotAvailableError
from connfit.models.spiking import GivenTrains, PoissonTrains, SpikingNetwork, spikes_of

HERE = Path(__file__).resolve().parent
OTHERS = {
    who: (python, script)
    for who, script in (("brian2", HERE.parent / "tests" / "brian2_lif.py"), ("nest", HERE / "nest_lif.py"))
    if (python := os.environ.get(f"CONNFIT_{who.upper()}_PYTHON"))
}
"""Simulators that are here: the Python that has each, and what that is to run."""

STEP_MS = 0.1
NEURONS, CONNECTIONS = 138_639, 15_091_983


def main() -> None:
    """Time all, in turn."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--random", action="store_true", help="random wiring of the whole fly's size")
    options.add_argument("--seconds", type=float, default=1.0, help="biological seconds")
    options.add_argument("--rate", type=float, default=150.0, help="events of stimulated neurons, Hz")
    options.add_argument("--stimulated", type=int, default=0, help="neurons; default: the sugar neurons, or 100")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--target", default="cpp_standalone", help="of Brian2: cpp_standalone, cython or numpy")
    given = options.parse_args()
    brain, stimulated = wiring(given.random, given.stimulated)
    network = SpikingNetwork.of(brain)
    steps = round(1000 * given.seconds / STEP_MS)
    trains = PoissonTrains(np.full((len(stimulated), 1), given.rate), STEP_MS, [(0, 0)])
    events = trains.draw(steps)
    spikes, _ = ours(network, stimulated, events)
    facts = {
        "benchmark": "spiking_forward", "wiring": brain.name, "n": brain.n, "m": brain.m, "step_ms": STEP_MS,
        "steps": steps, "stimulated": len(stimulated), "spikes": int(spikes.sum()),
        "mean_hz": round(spikes.sum() / brain.n / given.seconds, 4),
    }  # fmt: skip
    took: dict[str, list[np.ndarray]] = {"connfit": [], **{who: [] for who in OTHERS}}
    counts: dict[str, np.ndarray] = {}
    for _ in range(given.repeats):
        took["connfit"].append(ours(network, stimulated, events)[1])
        for who in OTHERS:
            counts[who], seconds = theirs(who, brain, stimulated, events, given.target)
            took[who].append(seconds)
    for runs in (2, 8):
        took[f"connfit, {runs} trials"] = [
            ours(network, stimulated, np.repeat(events, runs, axis=2))[1] / runs for _ in range(given.repeats)
        ]
    for name, seconds in took.items():
        if seconds:
            wall, processor = np.median(seconds, axis=0)
            line = {
                "ms_per_step": round(1e3 * wall / steps, 4), "processor_ms_per_step": round(1e3 * processor / steps, 4),
                "times_real_time": round(given.seconds / wall, 3),
            }  # fmt: skip
            print(json.dumps({**facts, "who": name, "target": given.target if name == "brian2" else "native", **line}))
    for who, found in counts.items():
        wall, processor = np.median(np.array(took[who]) / np.array(took["connfit"]), axis=0)
        same = float(np.minimum(found, spikes).sum() / max(found.sum(), spikes.sum()))
        ratio = {f"{who}_over_connfit": round(wall, 2), "in_processor_time": round(processor, 2)}
        print(json.dumps({**facts, **ratio, "spikes_in_common": round(same, 5), "its_spikes": int(found.sum())}))


def wiring(random: bool, count: int) -> tuple[Connectome, np.ndarray]:
    """The connectome, and who is stimulated."""
    rng = np.random.default_rng(0)
    if not random:
        try:
            brain = load_connectome("fly-783-halves", sign_rule="shiu", unknown_transmitter="excitatory")
        except NotAvailableError:
            print("fly-783-halves is not here: random wiring")
        else:
            table = brain.neurons
            sugar = np.flatnonzero((table["sub_class"] == "sugar/water") & (table["side"] == "left"))
            return brain, rng.choice(brain.n, count, replace=False) if count else sugar
    code = np.unique(rng.integers(0, NEURONS**2, CONNECTIONS))
    counts = rng.geometric(0.27, len(code))  # 3.7 synapses on average, as in the whole fly
    table = pd.DataFrame({"id": np.arange(NEURONS), **dict.fromkeys(("type", "region", "transmitter", "side"), "")})
    signs = np.where(rng.random(NEURONS) < 0.6, 1, -1)
    brain = from_pairs("random", code // NEURONS, code % NEURONS, counts, signs, table)
    return brain, rng.choice(NEURONS, count or 100, replace=False)


def ours(network: SpikingNetwork, stimulated: np.ndarray, events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spikes of each neuron of the first run, and seconds by the clock and of processors."""
    network.by_presynaptic  # noqa: B018  # sorted once, before anything is timed
    begin, began = time.perf_counter(), time.process_time()
    *_, last = spikes_of(network, stimulated, GivenTrains(events), len(events), STEP_MS)
    return last.counts[:, 0], np.array([time.perf_counter() - begin, time.process_time() - began])


def theirs(
    who: str, brain: Connectome, stimulated: np.ndarray, events: np.ndarray, target: str
) -> tuple[np.ndarray, np.ndarray]:
    """The same of another simulator."""
    python, script = OTHERS[who]
    step, of = np.nonzero(events[:, :, 0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(
            folder / "in.npz", neurons=brain.n, step_ms=STEP_MS, steps=len(events), pre=brain.indices,
            post=brain.posts, weights_mv=0.275 * brain.connection_signs * brain.counts, stimulated=stimulated,
            event_step=step, event_of=of, target=target, directory=str(folder / "standalone"),
        )  # fmt: skip
        subprocess.run([python, script, folder / "in.npz", folder / "out.npz"], check=True, stdout=subprocess.DEVNULL)
        found = np.load(folder / "out.npz")
        return np.bincount(found["neuron"], minlength=brain.n), np.array([found["seconds"], found["cpu_seconds"]])


if __name__ == "__main__":
    main()
