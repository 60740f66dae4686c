"""Write the files of one tutorial, as a laboratory would have them. All of it is generated, nothing is measured.

Usage: ``python make_files.py {worm,regions,larva,stimulus,spiking} [FOLDER]`` (default: the working directory). `worm`
takes pynwb.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

RATE_HZ = 2.0
WARM_UP = 100


@dataclass(frozen=True)
class Brain:
    """A made-up brain: a table of neurons, and signed weights [post, pre] at a spectral radius of 0.8."""

    neurons: pd.DataFrame
    counts: np.ndarray
    weights: np.ndarray

    @classmethod
    def make(cls, random: np.random.Generator, neurons: pd.DataFrame, probability: float) -> Brain:
        """Connect neurons at random, with synapse counts and the signs of their transmitters."""
        size = len(neurons)
        counts = np.where(random.random((size, size)) < probability, 1 + random.geometric(0.25, (size, size)), 0)
        np.fill_diagonal(counts, 0)
        weights = counts * np.where(neurons.transmitter == "GABA", -1.0, 1.0)
        return cls(neurons, counts, weights * (0.8 / np.abs(np.linalg.eigvals(weights)).max()))

    def edges(self, pre: str, post: str, count: str) -> pd.DataFrame:
        """One row per connected pair, under the titles that a database would use."""
        ids = self.neurons.id.to_numpy()
        posts, pres = np.nonzero(self.counts)
        return pd.DataFrame({pre: ids[pres], post: ids[posts], count: self.counts[posts, pres]})

    def activity(self, random: np.random.Generator, frames: int, pushed: np.ndarray | float = 0.0) -> np.ndarray:
        """[frame, neuron] calcium of leaky neurons under slow hidden input, pushed by [frame, neuron] further input."""
        size = len(self.neurons)
        mixing, bias = random.normal(size=(size, 3)), 0.5 + random.random(size)
        rates, calcium, hidden, seen = bias.copy(), bias.copy(), np.zeros(3), []
        extra = np.broadcast_to(np.asarray(pushed, float), (frames, size))
        for step in range(WARM_UP + frames):
            hidden = 0.93 * hidden + 0.3 * random.normal(size=3)
            drive = self.weights @ rates + bias + 0.3 * mixing @ hidden + 0.2 * random.normal(size=size)
            drive += extra[max(step - WARM_UP, 0)]
            rates = 0.5 * rates + 0.5 * np.maximum(drive, 0)
            calcium = 0.6 * calcium + 0.4 * rates
            seen.append(calcium.copy())
        found = np.array(seen[WARM_UP:])
        return found + 0.05 * found.std(axis=0) * random.normal(size=found.shape)


def write_worm(folder: Path) -> None:
    """Write `edges.csv`, `neurons.csv`, and `animal.nwb` with names of neurons in a column of its table of ROIs."""
    from datetime import UTC, datetime

    import pynwb

    random = np.random.default_rng(1)
    names = [f"{kind}{side}" for kind in ("AVA", "AVB", "AVD", "AVE", "AIB", "AIY", "AIZ", "RIA", "RIB", "RIM", "RMD",
             "RME", "SMD", "SIB", "ASE", "ASH", "AWA", "AWC", "URX", "OLQ") for side in "LR"]  # fmt: skip
    table = pd.DataFrame({"id": names, "type": [name[:-1] for name in names]})
    table["transmitter"] = random.choice(["acetylcholine", "glutamate", "GABA"], len(names), p=[0.5, 0.3, 0.2])
    brain = Brain.make(random, table, 0.12)
    table.to_csv(folder / "neurons.csv", index=False)
    brain.edges("pre", "post", "synapses").to_csv(folder / "edges.csv", index=False)
    values = brain.activity(random, 600)
    chosen = np.sort(random.choice(len(names), 18, replace=False))
    values = (values / values.mean(axis=0) - 1)[:, chosen]

    file = pynwb.NWBFile(
        session_description="SURROGATE: a generated worm", identifier="animal",
        session_start_time=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    file.subject = pynwb.file.Subject(subject_id="1", species="Caenorhabditis elegans", age="P3D", sex="O")
    device = file.create_device(name="microscope")
    channel = pynwb.ophys.OpticalChannel(name="green", description="GCaMP", emission_lambda=510.0)
    plane = file.create_imaging_plane(
        name="head", optical_channel=channel, description="head ganglia", device=device, excitation_lambda=488.0,
        indicator="GCaMP6s", location="head", imaging_rate=RATE_HZ,
    )  # fmt: skip
    ophys = file.create_processing_module(name="ophys", description="calcium")
    rois = pynwb.ophys.PlaneSegmentation(description="neurons", imaging_plane=plane, name="neurons")
    rois.add_column(name="cell_name", description="name of the neuron")
    for number in chosen:
        rois.add_roi(pixel_mask=[(0, 0, 1.0)], cell_name=names[number])
    segmentation = pynwb.ophys.ImageSegmentation()
    segmentation.add_plane_segmentation(rois)
    ophys.add(segmentation)
    traces = pynwb.ophys.DfOverF()
    ophys.add(traces)
    region = rois.create_roi_table_region(description="all", region=list(range(len(chosen))))
    series = pynwb.ophys.RoiResponseSeries(
        name="traces", data=values.astype(np.float32), rois=region, unit="dF/F", rate=RATE_HZ
    )
    traces.add_roi_response_series(series)
    with pynwb.NWBHDF5IO(str(folder / "animal.nwb"), "w") as io:
        io.write(file)


REGIONS = ("pallium", "habenula", "thalamus", "tectum", "pretectum", "hypothalamus", "cerebellum", "hindbrain")


def fish(random: np.random.Generator) -> Brain:
    """A brain of 120 neurons in eight regions."""
    size = 120
    table = pd.DataFrame({"id": [f"fish{k:04d}" for k in range(size)]})
    table["type"] = [f"T{k % 15:02d}" for k in range(size)]
    table["region"] = [REGIONS[k % len(REGIONS)] for k in range(size)]
    table["transmitter"] = random.choice(["glutamate", "GABA"], size, p=[0.7, 0.3])
    return Brain.make(random, table, 0.06)


def write_regions(folder: Path) -> None:
    """Write `synapses.csv`, `cells.csv`, `signs.csv`, and raw fluorescence of eight regions in two fish."""
    random = np.random.default_rng(2)
    brain = fish(random)
    brain.neurons.rename(columns={"id": "cell", "region": "brain_area"}).to_csv(folder / "cells.csv", index=False)
    brain.edges("from_cell", "to_cell", "n_synapses").to_csv(folder / "synapses.csv", index=False)
    (folder / "signs.csv").write_text("transmitter,sign\nglutamate,1\nGABA,-1\n", encoding="utf-8")
    of_region = np.array([[place == region for place in brain.neurons.region] for region in REGIONS], float)
    of_region /= of_region.sum(axis=1, keepdims=True)
    for number in (1, 2):
        values = brain.activity(random, 500) @ of_region.T
        bleaching = 0.6 + 0.4 * np.exp(-np.arange(500)[:, None] / 300)
        table = pd.DataFrame(400 * values * bleaching, columns=list(REGIONS)).round(3)
        table.insert(0, "time_s", np.arange(500) / RATE_HZ)
        table.to_csv(folder / f"fish_{number}.csv", index=False)


def write_larva(folder: Path) -> None:
    """Write `edges.csv`, `neurons.csv`, a suite2p folder and `names.csv`, which says which ROI is which neuron."""
    random = np.random.default_rng(3)
    size, rois, frames = 60, 30, 500
    table = pd.DataFrame(
        {"id": [f"larva{k:03d}" for k in range(size)], "type": [f"T{k % 12:02d}" for k in range(size)]}
    )
    table["transmitter"] = random.choice(["acetylcholine", "GABA"], size, p=[0.7, 0.3])
    brain = Brain.make(random, table, 0.1)
    table.to_csv(folder / "neurons.csv", index=False)
    brain.edges("pre", "post", "synapses").to_csv(folder / "edges.csv", index=False)
    plane = folder / "larva1" / "suite2p" / "plane0"
    plane.mkdir(parents=True, exist_ok=True)
    values = 100 + 80 * brain.activity(random, frames)[:, :rois].T
    neuropil = 60 + 5 * random.normal(size=(rois, frames)).cumsum(axis=1) / np.sqrt(np.arange(1, frames + 1))
    np.save(plane / "F.npy", (values + 0.7 * neuropil).astype(np.float32))
    np.save(plane / "Fneu.npy", neuropil.astype(np.float32))
    is_cell = np.column_stack([np.arange(rois) < 25, np.full(rois, 0.9)])
    np.save(plane / "iscell.npy", is_cell.astype(np.float64))
    settings = {"fs": RATE_HZ, "nplanes": 1, "tau": 1.0}
    np.save(plane / "ops.npy", np.array(settings, dtype=object), allow_pickle=True)
    named = pd.DataFrame({"roi": range(22), "unit": table.id[:22]})
    named.to_csv(folder / "names.csv", index=False)


def write_stimulus(folder: Path) -> None:
    """Write `edges.csv`, `neurons.csv`, and `animal.csv` whose columns `light` and `speed` are inputs."""
    random = np.random.default_rng(4)
    brain, frames = fish(random), 700
    brain.neurons.to_csv(folder / "neurons.csv", index=False)
    brain.edges("pre", "post", "synapses").to_csv(folder / "edges.csv", index=False)
    light = (np.arange(frames) // 15 % 4 == 1) * random.choice([0.5, 1.0, 1.5], frames // 15 + 1)[
        np.arange(frames) // 15
    ]
    sees = (brain.neurons.region == "tectum").to_numpy()
    values = brain.activity(random, frames, 1.2 * light[:, None] * sees)
    active = np.flatnonzero(values[: frames // 2].std(axis=0) > 0.05)  # a silent neuron has nothing to fit
    chosen = np.sort(random.choice(active, 24, replace=False))
    table = pd.DataFrame(values[:, chosen], columns=brain.neurons.id.to_numpy()[chosen]).round(5)
    table.insert(0, "time_s", np.arange(frames) / RATE_HZ)
    table["light"] = light
    table["speed"] = (0.5 * values[:, :10].mean(axis=1) + 0.1 * random.normal(size=frames)).round(5)
    table.to_csv(folder / "animal.csv", index=False)


TYPES, OF_A_TYPE, STEPS = 8, 25, 100


def make_odours(frames: int, random: np.random.Generator) -> np.ndarray:
    """Return [frames, 2] how strong two odours are."""
    odours, now = np.zeros((frames, 2)), np.zeros(2)
    for frame in range(frames):
        now = 0.8 * now + 0.6 * random.normal(size=2)
        odours[frame] = np.maximum(now, 0)
    return odours


def spike(
    receive: Callable[[np.ndarray], np.ndarray],
    current: np.ndarray,
    smells: np.ndarray,
    odours: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """Return [frames, neurons] spikes of leaky integrate-and-fire neurons in `STEPS` steps of 1 ms per frame.

    Parameters
    ----------
    receive
        What each neuron receives from those that spike, in millivolts.
    current, smells
        [neurons] and [neurons, 2] what else each gets in a step: always, and of each odour.
    """
    size = len(current)
    keeps_v, keeps_g = np.exp(-1 / 20), np.exp(-1 / 5)
    passes = 5 / (20 - 5) * (keeps_v - keeps_g)
    v, g, spikes = np.zeros(size), np.zeros(size), np.zeros((len(odours), size))
    for step in range(STEPS * len(odours)):
        spiking = v > 7
        spikes[step // STEPS] += spiking
        free = ~spiking  # for 2.2 ms, which is a step without moving
        x = receive(spiking) + current + smells @ odours[step // STEPS]
        x += 0.8 * random.normal(size=size)
        v, g = np.where(free, keeps_v * v + passes * g, 0), np.where(free, keeps_g * g + x, 0)
    return spikes


def write_spiking(folder: Path) -> None:
    """Write `edges.csv`, `neurons.csv`, and `animal.csv`: rates of types of a spiking brain at 10 Hz, and two odours.

    Leaky integrate-and-fire neurons in steps of 1 ms, with weights of their own, a current, noise, and odours that two
    of the types smell. Written down here, and nothing of connfit.
    """
    random = np.random.default_rng(5)
    size, frames = TYPES * OF_A_TYPE, 600
    of_type = np.arange(size) % TYPES
    inhibitory = np.isin(of_type, [2, 5])
    table = pd.DataFrame({"id": [f"cell{k:03d}" for k in range(size)], "type": [f"type{k}" for k in of_type]})
    table["transmitter"] = np.where(inhibitory, "GABA", "acetylcholine")
    meet = random.random((TYPES, TYPES)) < 0.35
    probability = 0.6 * meet[np.ix_(of_type, of_type)]
    counts = np.where(random.random((size, size)) < probability, random.integers(1, 7, (size, size)), 0)
    np.fill_diagonal(counts, 0)
    brain = Brain(table, counts, counts * np.where(inhibitory, -0.275, 0.275) * random.lognormal(0, 0.5, counts.shape))
    table.to_csv(folder / "neurons.csv", index=False)
    brain.edges("pre", "post", "synapses").to_csv(folder / "edges.csv", index=False)
    odours = make_odours(frames, random)
    smells = 0.9 * np.column_stack([of_type == 0, of_type == 4])
    current = random.normal(1.3, 0.2, size)
    spikes = spike(lambda spiking: brain.weights[:, spiking].sum(axis=1), current, smells, odours, random)
    seconds = np.arange(frames) * STEPS / 1000
    rates = {f"type{k}": spikes[:, of_type == k].mean(axis=1) / (STEPS / 1000) for k in range(TYPES)}
    recorded = pd.DataFrame({"time_s": seconds, **rates, "apple": odours[:, 0], "vinegar": odours[:, 1]})
    recorded.round(5).to_csv(folder / "animal.csv", index=False)


WRITE = {
    "worm": write_worm, "regions": write_regions, "larva": write_larva, "stimulus": write_stimulus,
    "spiking": write_spiking,
}  # fmt: skip


def main(which: str, folder: Path) -> None:
    """Write the files of one tutorial."""
    folder.mkdir(parents=True, exist_ok=True)
    WRITE[which](folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "."))
