"""Wiring of the fly surrogate: all real connections that are at hand, and generated ones for what is missing.

The neurons are those of the adult fly's brain, the real connections those within a hemisphere with 5 synapses or
more. Generated ones are added until the published totals are met (`connfit.datasets.synthetic.fly.fly_generate`).
Which is which is known for every connection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Int

from connfit.connectome import Connectome
from connfit.connectome.order import ordered
from connfit.connectome.regions import RegionSynapses
from connfit.connectome.signs import assign_signs
from connfit.connectome.table_files import read_table
from connfit.datasets.fetch import locate
from connfit.datasets.fly_facts import CLASSIFICATION, NEURONS
from connfit.datasets.fly_halves import CONNECTIONS, rows_of
from connfit.datasets.fly_halves import NAME as SOURCE
from connfit.datasets.fly_neurons import read_fly_neurons, region_notes
from connfit.datasets.fly_regions import FLYWIRE_NEUROPILS
from connfit.datasets.shiu import read_completeness
from connfit.datasets.synthetic.fly.fly_draw import contains
from connfit.datasets.synthetic.fly.fly_generate import Pairs, Totals, kinds_of, missing_strong, missing_weak
from connfit.datasets.synthetic.fly.fly_parts import sub_brain
from connfit.datasets.synthetic.fly.fly_places import label_codes, regions_by_side, side_codes
from connfit.datasets.synthetic.fly.fly_statistics import WiringStatistics, wiring_statistics
from connfit.errors import ConfigError, DataError, first_ten

NAME = "fly-surrogate"
COMPLETENESS_SOURCE, COMPLETENESS = "shiu-783", "Completeness_783.csv"

_NEURONS, _STRONG, _WEAK = range(3)


@dataclass(frozen=True, eq=False)
class FlyWiring:
    """A surrogate of the fly's wiring.

    Parameters
    ----------
    connectome
        All connections. Synapses by region are approximate: see `make_fly_wiring`.
    real
        [M] True for real connections, False for generated ones, in the connectome's order.
    statistics
        Of the real part, the generated part and the whole.
    """

    connectome: Connectome
    real: Bool[np.ndarray, "M"]
    statistics: WiringStatistics


def make_fly_wiring(scale: float = 1.0, seed: int = 0) -> FlyWiring:
    """Generate the surrogate of the fly's wiring; the same scale and seed give the same wiring.

    Strong connections of a smaller brain are those of the whole one; the weak ones are drawn anew.

    Parameters
    ----------
    scale
        Fraction of the neurons; 1 is the whole brain, less a sub-brain of whole neuropils
        (`connfit.datasets.synthetic.fly.fly_parts.sub_brain`).
    seed
        Not negative.

    Raises
    ------
    ConfigError
        If scale or seed are out of range.
    NotAvailableError
        If the tables and real connections of the dataset `fly-783-halves` are not here.
    """
    paths = source_files()
    neurons = read_fly_neurons(paths[NEURONS], paths[CLASSIFICATION])
    complete = read_completeness(paths[COMPLETENESS])[0]
    row = pd.Index(neurons["id"]).get_indexer(pd.Index(complete))
    if (row < 0).any():
        raise DataError(
            f"{int((row < 0).sum())} ids are not in the neuron table: {first_ten(complete[row < 0].tolist())}",
            path=paths[COMPLETENESS],
            fix="Use both tables of the same snapshot",
        )
    neurons = neurons.iloc[row].reset_index(drop=True)
    edges = read_table(paths[CONNECTIONS], "connections", columns=("pre", "post", "syn_count"))
    pre, post = (rows_of(edges, end, neurons["id"].to_numpy(), paths[NEURONS]) for end in ("pre", "post"))
    return wiring_from_real(neurons, pre, post, edges.counts("syn_count"), Totals(), scale=scale, seed=seed)


def source_files() -> dict[str, Path]:
    """Locate the real data that the surrogate is made from: path inside its dataset -> path on this machine.

    Raises
    ------
    NotAvailableError
        If a file is not here and cannot be downloaded.
    """
    files = locate(SOURCE, [NEURONS, CLASSIFICATION, CONNECTIONS])
    return files | locate(COMPLETENESS_SOURCE, [COMPLETENESS])


def wiring_from_real(
    neurons: pd.DataFrame,
    pre: Int[np.ndarray, "R"],
    post: Int[np.ndarray, "R"],
    counts: Int[np.ndarray, "R"],
    totals: Totals,
    *,
    scale: float = 1.0,
    seed: int = 0,
) -> FlyWiring:
    """Complete real connections by generated ones.

    Outputs of a neuron lie in its output neuropil, inputs in its input neuropil, on the side of the postsynaptic
    neuron (of the presynaptic one where that has none).

    Parameters
    ----------
    neurons
        Table as of `connfit.datasets.fly_neurons.read_fly_neurons`, of all neurons of the brain.
    pre, post
        [R] rows in `neurons` of the real connections, all pairs within a hemisphere that are strong.
    counts
        [R] their synapses, at least `totals.threshold`.
    totals
        Totals to be met by the whole brain.
    scale, seed
        As in `make_fly_wiring`.

    Raises
    ------
    ConfigError
        If the totals contradict the real connections, or scale or seed are out of range.
    DataError
        If a real connection repeats or has fewer synapses than the threshold.
    """
    if seed < 0:
        raise ConfigError(f"seed = {seed} must not be negative")
    n = len(neurons)
    neurons, position = ordered(neurons, "local")
    part, keep = sub_brain(neurons, scale)
    real = _sorted_pairs(position[pre] * n + position[post], counts, totals.threshold)
    kinds = kinds_of(neurons, real, _stream(seed, _NEURONS))
    made, numbers = missing_strong(real, kinds, totals, _stream(seed, _STRONG))
    strong = _merged(real, made)
    loops = np.arange(n, dtype=np.int64) * (n + 1)
    self_rate = float(contains(real.keys, loops).sum()) / max(1, len(real.keys))
    weak = missing_weak(strong, kinds, totals, self_rate, keep, _stream(seed, _WEAK))

    indptr, indices, synapses, is_real = _rows(strong, weak, real.keys, keep)
    table = neurons.iloc[np.flatnonzero(keep)].reset_index(drop=True)
    regions, unplaced = _regions(table, indptr, indices, synapses)
    signs = assign_signs(table["transmitter"].tolist(), "fly-paper", unknown="excitatory")
    notes = {
        "surrogate": True,
        "source": (
            f"neurons and {int(is_real.sum())} connections of FlyWire, snapshot 783 "
            f"(doi:10.1038/s41586-024-07558-y, CC-BY-4.0); {int((~is_real).sum())} connections generated"
        ),
        "sub_brain": part,
        "scale": scale,
        "seed": seed,
        "connections_real": int(is_real.sum()),
        "connections_generated": int((~is_real).sum()),
        "missing_strong_connections": numbers,
        "neurons_without_real_connections": int((~kinds.known & keep).sum()),
        "neurons_with_weak_connections_only": int((kinds.silent & keep).sum()),
        "regions": "approximate: outputs in the output neuropil of a neuron, inputs in its input neuropil",
        **unplaced,
        **region_notes(table),
        **signs.notes(),
        "order": "local",
    }
    connectome = Connectome(NAME, indptr, indices, synapses, signs.values, table, notes=notes, regions=regions)
    statistics = wiring_statistics(connectome, is_real, threshold=totals.threshold)
    return FlyWiring(connectome, is_real, replace(statistics, scale=scale, seed=seed, sub_brain=part))


def _stream(seed: int, step: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, step))))


def _sorted_pairs(keys: Int[np.ndarray, "R"], counts: Int[np.ndarray, "R"], threshold: int) -> Pairs:
    order = np.argsort(keys)
    keys, counts = keys[order], np.asarray(counts)[order].astype(np.int32)
    if (np.diff(keys) == 0).any():
        raise DataError(f"{int((np.diff(keys) == 0).sum())} real connections are listed twice")
    if (counts < threshold).any():
        raise DataError(f"{int((counts < threshold).sum())} real connections have fewer than {threshold} synapses")
    return Pairs(keys, counts)


def _merged(first: Pairs, other: Pairs) -> Pairs:
    keys = np.concatenate([first.keys, other.keys])
    order = np.argsort(keys, kind="stable")
    return Pairs(keys[order], np.concatenate([first.counts, other.counts])[order])


def _rows(
    strong: Pairs, weak: Pairs, real_keys: Int[np.ndarray, "R"], keep: Bool[np.ndarray, "N"]
) -> tuple[Int[np.ndarray, "n+1"], Int[np.ndarray, "M"], Int[np.ndarray, "M"], Bool[np.ndarray, "M"]]:
    """Compressed rows by postsynaptic neuron of the connections between the neurons `keep`, and which are real."""
    n, kept = len(keep), int(keep.sum())
    place = np.cumsum(keep) - 1
    pre, post = np.divmod(strong.keys, n)
    inside = keep[pre] & keep[post]
    is_real = contains(real_keys, strong.keys[inside])
    keys = np.concatenate([strong.keys[inside], weak.keys])
    pre, post = np.divmod(keys, n)
    keys = place[post] * kept + place[pre]
    del pre, post
    order = np.argsort(keys, kind="stable")
    synapses = np.concatenate([strong.counts[inside], weak.counts.astype(np.int32)])[order]
    real = np.concatenate([is_real, np.zeros(len(weak.keys), bool)])[order]
    keys = keys[order]
    indptr = np.searchsorted(keys, np.arange(kept + 1) * kept).astype(np.int32)
    return indptr, (keys % kept).astype(np.int32), synapses, real


def _regions(
    table: pd.DataFrame,
    indptr: Int[np.ndarray, "n+1"],
    pre: Int[np.ndarray, "M"],
    counts: Int[np.ndarray, "M"],
) -> tuple[RegionSynapses, dict[str, int]]:
    """Synapses of each neuron by region, and how many lie in none."""
    n, regions = len(table), len(FLYWIRE_NEUROPILS)
    side = side_codes(table)
    targets, outputs = label_codes(table)
    post = np.repeat(np.arange(n, dtype=np.int32), np.diff(indptr))
    # -1, the last column, is for connections between two neurons without a side.
    where = np.where(side[post] >= 0, side[post], side[pre])
    found, unplaced = {}, {}
    for key, labels, neuron in (("outputs", outputs, pre), ("inputs", targets, post)):
        region = regions_by_side(labels)[neuron, where]
        placed = region >= 0
        at = region[placed].astype(np.int64) * n + neuron[placed]
        totals = np.bincount(at, weights=counts[placed], minlength=regions * n).reshape(regions, n)
        found[key] = sp.csr_array(totals.astype(np.int64))
        unplaced[f"synapses_without_region_{key}"] = int(counts[~placed].sum(dtype=np.int64))
    return RegionSynapses(FLYWIRE_NEUROPILS, found["outputs"], found["inputs"]), unplaced
