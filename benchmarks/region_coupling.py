"""Regress region recordings on a wiring's coupling between regions, without any fit: what of a wiring can they show?

    python benchmarks/region_coupling.py                  # the fly surrogate at scale 0.05, all 18 flies
    python benchmarks/region_coupling.py --flies 3
    python benchmarks/region_coupling.py --own 1 --delay 1  # one own frame, and coupling that is a frame late

A model of neurons that is read out and driven by region couples region l to region k by G = C W E: W the wiring, C the
read-out, E the drive that makes the neurons of a region show its activity. So before any fit one can ask how well the G
of a wiring predicts: each region's activity h frames ahead is regressed on its own last two frames (two numbers per
region; `--own 1`: one) and on G u of the same two frames (`--delay 0` or `1`: of the last or the one before it), of
excitatory and inhibitory connections separately. Fitted on the training parts of all flies, scored as skill over
persistence on their validation parts; test parts are not read.

Rows: no coupling; the real wiring; the same with the hidden teacher's own weights; null connectomes; and all regions on
all regions, a vector autoregression of two frames, the best that any coupling could do here. Where a null predicts as
well as the teacher's own weights, recordings of regions hardly distinguish it from the real wiring: what it shuffles
averages out.

One JSON object per line.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from connfit.config import DataConfig
from connfit.connectome import Connectome
from connfit.connectome.nulls import make_null
from connfit.datasets.fetch import cache_root
from connfit.datasets.loading import load_connectome, recordings_from_config
from connfit.datasets.registry import DATASETS
from connfit.datasets.synthetic.fly.fly_teacher import FlyTeacher
from connfit.models import Readout, persistence_drive
from connfit.recordings import Recording

HORIZONS = (1, 2, 5)
HALF_INPUT = 100
"""Synapses onto a neuron at which a synapse has half its strength: as the teacher of the surrogate has it."""
NULLS = ("shuffle_signs", "shuffle_counts", "rewire_degrees", "rewire_within_regions", "erdos_renyi")
RIDGE = 30.0


class Moments(NamedTuple):
    """Sums over frames and flies for one horizon: regressors are all units at the last frame and the one before.

    Attributes
    ----------
    inputs
        [P, 2P, 2P] products of regressors, over the flies that have unit k.
    products
        [P, 2P] products of regressors with unit k ahead.
    square, change
        [P] squares of unit k ahead, and of its change: the error of persistence.
    """

    inputs: np.ndarray
    products: np.ndarray
    square: np.ndarray
    change: np.ndarray


def standardised(recordings: Sequence[Recording], units: Sequence[str], part: str) -> list[np.ndarray]:
    """Standardise [T, P] of each fly by its training part; NaN for units that it lacks."""
    found = []
    for recording in recordings:
        columns = [units.index(unit) for unit in recording.units]
        train, values = recording.part("train")[0], recording.part(part)[0]
        z = np.full((len(values), len(units)), np.nan)
        z[:, columns] = (values - train.mean(axis=0)) / train.std(axis=0)
        found.append(z)
    return found


def moments(flies: Sequence[np.ndarray], ahead: int) -> Moments:
    """Sum over all flies; a unit that a fly lacks counts as 0 among its regressors."""
    p = flies[0].shape[1]
    inputs, products = np.zeros((p, 2 * p, 2 * p)), np.zeros((p, 2 * p))
    square, change = np.zeros(p), np.zeros(p)
    for z in flies:
        has, z = ~np.isnan(z).any(axis=0), np.nan_to_num(z)
        x, y, last = np.concatenate([z[1:-ahead], z[: -ahead - 1]], axis=1), z[1 + ahead :], z[1:-ahead]
        inputs[has] += x.T @ x
        products[has] += (y.T @ x)[has]
        square[has] += (y**2).sum(axis=0)[has]
        change[has] += ((y - last) ** 2).sum(axis=0)[has]
    return Moments(inputs, products, square, change)


def couplings(brain: Connectome, readout: sp.csr_array, drive: sp.csr_array, weights: np.ndarray) -> list[np.ndarray]:
    """Return G [P, P] of excitatory and of inhibitory connections."""
    found = []
    for sign in (1, -1):
        signed = weights * (brain.connection_signs == sign) * sign
        wiring = sp.csr_array((signed, brain.indices, brain.indptr), shape=(brain.n, brain.n))
        found.append((readout @ (wiring @ drive)).toarray())
    return found


def skill(
    train: Moments, test: Moments, coupling: Sequence[np.ndarray], own: int = 2, delays: Sequence[int] = (0, 1)
) -> float:
    """Return the skill over persistence of own frames and of coupled input, whose factors all units share."""
    p, shared = len(train.square), len(delays) * len(coupling)
    designs = np.zeros((p, 2 * p, own * p + shared))
    for k in range(p):
        for frame in range(own):
            designs[k, frame * p + k, own * k + frame] = 1
        for number, (g, delay) in enumerate((g, delay) for g in coupling for delay in delays):
            designs[k, delay * p : (delay + 1) * p, own * p + number] = g[k]
    normal = np.einsum("kia,kij,kjb->ab", designs, train.inputs, designs, optimize=True)
    right = np.einsum("kia,ki->a", designs, train.products)
    return _skill(test, designs @ np.linalg.lstsq(normal, right, rcond=None)[0])


def full_skill(train: Moments, test: Moments) -> float:
    """Return the same of all units on all units."""
    ridge = RIDGE * np.eye(train.inputs.shape[1])
    return _skill(test, np.linalg.solve(train.inputs + ridge, train.products[:, :, None])[:, :, 0])


def _skill(test: Moments, coefficients: np.ndarray) -> float:
    errors = test.square - 2 * np.einsum("ki,ki->k", coefficients, test.products)
    errors += np.einsum("ki,kij,kj->k", coefficients, test.inputs, coefficients)
    return float(1 - errors.sum() / test.change.sum())


class Fly(NamedTuple):
    """The surrogate: wiring, recordings, all regions of these, read-out C, and the pattern E of an active region."""

    brain: Connectome
    recordings: Sequence[Recording]
    units: tuple[str, ...]
    readout: sp.csr_array
    drive: sp.csr_array

    def counted(self, wired: Connectome) -> list[np.ndarray]:
        """Return the coupling of a wiring whose weights follow from synapse counts."""
        received = np.bincount(wired.posts, wired.counts, wired.n)
        weights = wired.counts / (received[wired.posts] + HALF_INPUT)
        return couplings(wired, self.readout, self.drive, weights)


def load_fly(scale: float, flies: int, **parts: float) -> Fly:
    """Load the first flies of the surrogate, preprocessed as for a fit."""
    names = tuple(str(k) for k in range(1, flies + 1))
    steps = tuple(dict(step) for step in DATASETS["fly-surrogate"].preprocess)
    config = DataConfig(dataset="fly-surrogate", scale=scale, recordings=names, preprocess=steps, **parts)
    recordings, brain = recordings_from_config(config), load_connectome("fly-surrogate", scale=scale)
    units = tuple(sorted({unit for recording in recordings for unit in recording.units}))
    readout = Readout.by_anatomy(brain, units)
    return Fly(brain, recordings, units, sp.csr_array(readout.matrix), sp.csr_array(persistence_drive(readout)))


def main() -> None:
    """Print one JSON object per line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.05)
    parser.add_argument("--flies", type=int, default=18)
    parser.add_argument("--seeds", type=int, default=3, help="of each null connectome")
    parser.add_argument("--own", type=int, choices=(1, 2), default=2, help="own last frames of each region")
    parser.add_argument("--delay", type=int, choices=(0, 1), help="frames by which coupling is late; default: both")
    options = parser.parse_args()
    fly = load_fly(options.scale, options.flies)
    recordings, units = fly.recordings, fly.units
    size = np.array([np.mean([one.part("train")[0].std(axis=0)[one.units.index(unit)] for one in recordings
                              if unit in one.units]) for unit in units])  # fmt: skip
    by_horizon = {
        h: tuple(moments(standardised(recordings, units, part), h) for part in ("train", "validation"))
        for h in HORIZONS
    }
    delays = (0, 1) if options.delay is None else (options.delay,)

    def say(wiring: str, seed: int | None, coupling: list[np.ndarray] | None) -> None:
        scaled = None if coupling is None else [g * size / size[:, None] for g in coupling]
        skills = {
            str(h): round(full_skill(*both) if scaled is None else skill(*both, scaled, options.own, delays), 4)
            for h, both in by_horizon.items()
        }
        about = {"benchmark": "region_coupling", "surrogate": True, **vars(options)}
        print(json.dumps({**about, "wiring": wiring, "seed": seed, "validation_skill": skills}), flush=True)

    say("none: each region by itself", None, [])
    say("real", None, fly.counted(fly.brain))
    place = next(cache_root().glob(f"fly-surrogate/{options.scale:g}-0-*/teacher.h5"), None)
    if place is not None:
        weights = FlyTeacher.load(Path(place)).weights
        say("real, with the teacher's own strengths", None, couplings(fly.brain, fly.readout, fly.drive, weights))
    for name in NULLS:
        for seed in range(options.seeds):
            say(name, seed, fly.counted(make_null(fly.brain, name, seed)))
    say("all regions on all regions", None, None)


if __name__ == "__main__":
    main()
