"""Wiring of a surrogate brain: regions on a map, heavy-tailed degrees, local connections, signs by cell type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from connfit.connectome import Connectome, from_pairs
from connfit.errors import ConfigError

TRANSMITTERS = ("acetylcholine", "GABA", "glutamate")
TRANSMITTER_SIGNS = {"acetylcholine": 1, "GABA": -1, "glutamate": -1}
FIRST_ID = 720_575_940_600_000_000
"""Ids are above 2^53, as the adult fly's are, so that reading them as floats would be noticed."""


@dataclass(frozen=True)
class WiringConfig:
    """Statistics of the wiring; the defaults are near those of insect brains.

    Parameters
    ----------
    neurons, regions
        Numbers N of neurons and P of regions.
    mean_degree
        Outgoing connections per neuron, before some are added or removed to meet `reciprocity` (at most 8 %).
    degree_spread
        Standard deviation of the natural log of outgoing and of incoming connections.
    reciprocity
        Fraction of connections whose reverse exists too (adult fly: 0.138).
    locality
        Distance over which outputs into other regions fall by a factor e, in distances between neighbouring regions.
    region_spread
        Standard deviation of the natural log of region sizes.
    synapses_median, synapses_spread
        Median and standard deviation of the natural log of synapses per connection, before rounding up to at least 1.
    transmitter_fractions
        Fractions of neurons with acetylcholine, GABA and glutamate.
    neurons_per_type
        Mean size of a cell type; all neurons of a type share region and transmitter.
    """

    neurons: int = 2000
    regions: int = 20
    mean_degree: float = 30.0
    degree_spread: float = 0.6
    reciprocity: float = 0.14
    locality: float = 1.5
    region_spread: float = 0.4
    synapses_median: float = 2.5
    synapses_spread: float = 0.8
    transmitter_fractions: tuple[float, float, float] = (0.65, 0.20, 0.15)
    neurons_per_type: float = 5.0

    def __post_init__(self) -> None:
        if self.regions < 2 or self.neurons < 10 * self.regions:
            raise ConfigError(
                f"a surrogate needs 2 regions or more and 10 neurons per region, "
                f"got neurons = {self.neurons}, regions = {self.regions}"
            )
        densest = self.neurons / self.regions / 2
        if not 1 <= self.mean_degree <= densest:
            raise ConfigError(
                f"mean_degree = {self.mean_degree} must lie between 1 and half a region's neurons, {densest:.4g}"
            )
        if not 0 <= self.reciprocity < 0.5:
            raise ConfigError(f"reciprocity = {self.reciprocity} must lie in 0..0.5")
        fractions = self.transmitter_fractions
        if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
            raise ConfigError(f"transmitter_fractions = {fractions} must be fractions that sum to 1")


def make_wiring(config: WiringConfig, rng: np.random.Generator, *, name: str) -> Connectome:
    """Draw a connectome.

    Neurons are stored region by region. A neuron sends at least half of its outputs, on average, into its own
    `region` and the rest into at most two others, near ones more often.
    """
    positions = _region_map(config.regions, rng)
    region_of = _assign_regions(config, rng)
    type_of, transmitter = _types(config, region_of, rng)
    arbor = _arbors(config, positions, region_of, rng)
    pre, post = _connections(config, region_of, arbor, rng)
    pre, post = _set_reciprocity(config, pre, post, region_of, arbor, rng)
    counts = np.maximum(
        1, np.rint(rng.lognormal(np.log(config.synapses_median), config.synapses_spread, len(pre)))
    ).astype(np.int64)
    table = pd.DataFrame(
        {
            "id": FIRST_ID + rng.choice(50_000_000, config.neurons, replace=False).astype(np.int64),
            "type": type_of,
            "region": [f"R{k + 1:02d}" for k in region_of],
            "transmitter": transmitter,
            "side": np.where(positions[region_of, 0] < 0, "left", "right"),
        }
    )
    signs = np.array([TRANSMITTER_SIGNS[word] for word in transmitter], dtype=np.int8)
    notes = {
        "surrogate": True,
        "source": "generated, not measured",
        "sign_rule": "acetylcholine +1, GABA -1, glutamate -1",
    }
    return from_pairs(name, pre, post, counts, signs, table, notes=notes)


def _region_map(regions: int, rng: np.random.Generator) -> Float[np.ndarray, "P 2"]:
    """Centres of the regions on a jittered grid with unit spacing, left of 0 and right of 0."""
    columns = 2 * int(np.ceil(np.sqrt(regions) / 2))
    grid = np.stack([np.arange(regions) % columns, np.arange(regions) // columns], axis=1).astype(float)
    return grid - [(columns - 1) / 2, 0.0] + rng.uniform(-0.2, 0.2, (regions, 2))


def _assign_regions(config: WiringConfig, rng: np.random.Generator) -> Int[np.ndarray, "N"]:
    """Region of each neuron, ascending; log-normal sizes, none below a third of the mean."""
    share = np.maximum(rng.lognormal(0.0, config.region_spread, config.regions), 1 / 3)
    edges = np.rint(np.cumsum(share) / share.sum() * config.neurons).astype(np.int64)
    return np.repeat(np.arange(config.regions), np.diff(edges, prepend=0))


def _types(
    config: WiringConfig, region_of: Int[np.ndarray, "N"], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cell type and transmitter of each neuron."""
    sizes = np.bincount(region_of, minlength=config.regions)
    types_in = np.maximum(1, np.rint(sizes / config.neurons_per_type)).astype(np.int64)
    within = np.floor(rng.random(config.neurons) * types_in[region_of]).astype(np.int64)
    names = np.array([f"R{k + 1:02d}-t{i + 1:03d}" for k, i in zip(region_of, within, strict=True)])
    unique, index, members = np.unique(names, return_inverse=True, return_counts=True)
    # Cutting the cumulated sizes of shuffled types meets the fractions to within one type.
    order = rng.permutation(len(unique))
    middle = (np.cumsum(members[order]) - members[order] / 2) / config.neurons
    chosen = np.empty(len(unique), np.int64)
    chosen[order] = np.searchsorted(np.cumsum(config.transmitter_fractions)[:-1], middle)
    return names, np.array(TRANSMITTERS)[chosen[index]]


def _arbors(
    config: WiringConfig, positions: Float[np.ndarray, "P 2"], region_of: Int[np.ndarray, "N"], rng: np.random.Generator
) -> Float[np.ndarray, "N P"]:
    """Fraction of each neuron's outputs that goes to each region: its own most, none to two others the rest."""
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    kernel = np.exp(-distance / config.locality)
    np.fill_diagonal(kernel, 0)
    others = np.minimum(rng.choice(3, config.neurons, p=(0.2, 0.4, 0.4)), config.regions - 1)
    # Gumbel noise on log-weights: the largest are a weighted draw without replacement.
    noisy = np.log(np.maximum(kernel[region_of], 1e-300)) + rng.gumbel(size=(config.neurons, config.regions))
    ranked = np.argsort(-noisy, axis=1)[:, :2]
    share = rng.uniform(0.2, 0.35, (config.neurons, 2)) * (np.arange(2) < others[:, None])
    share *= np.minimum(1, 0.5 / np.maximum(share.sum(axis=1, keepdims=True), 0.5))
    arbor = np.zeros((config.neurons, config.regions))
    np.put_along_axis(arbor, ranked, share, axis=1)
    arbor[np.arange(config.neurons), region_of] = 1 - share.sum(axis=1)
    return arbor


def _connections(
    config: WiringConfig, region_of: Int[np.ndarray, "N"], arbor: Float[np.ndarray, "N P"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, "M"], Int[np.ndarray, "M"]]:
    """Distinct connections without self-connections: log-normal out-degrees, targets by log-normal popularity."""
    n = config.neurons
    sizes = np.bincount(region_of, minlength=config.regions)
    degree = rng.lognormal(0.0, config.degree_spread, n)
    room = (arbor > 0) @ sizes / 3
    for _ in range(20):  # capping the largest lowers the mean, so scale and cap in turn
        degree = np.minimum(degree * (config.mean_degree / degree.mean()), room)
    degree = np.maximum(1, np.rint(degree)).astype(np.int64)
    popularity = np.concatenate([[0.0], np.cumsum(rng.lognormal(0.0, config.degree_spread, n))])
    edges = np.concatenate([[0], np.cumsum(sizes)])

    pre = np.repeat(
        np.arange(n), 2 * degree
    )  # popular targets are drawn repeatedly; twice as many draws leave about enough
    cumulative = np.cumsum(arbor, axis=1)
    staircase = cumulative / cumulative[:, -1:] + np.arange(n)[:, None]
    region = np.searchsorted(staircase.ravel(), pre + rng.random(len(pre)), side="right") - pre * config.regions
    region = np.clip(region, 0, config.regions - 1)
    low, high = popularity[edges[region]], popularity[edges[region + 1]]
    post = np.searchsorted(popularity, low + rng.random(len(pre)) * (high - low), side="right") - 1
    post = np.clip(post, edges[region], edges[region + 1] - 1)

    key = (pre * n + post)[pre != post]
    first = np.sort(np.unique(key, return_index=True)[1])
    pre, post = key[first] // n, key[first] % n
    start = np.searchsorted(pre, np.arange(n))
    kept = np.arange(len(pre)) - start[pre] < degree[pre]
    return pre[kept], post[kept]


def _set_reciprocity(
    config: WiringConfig,
    pre: Int[np.ndarray, "M"],
    post: Int[np.ndarray, "M"],
    region_of: Int[np.ndarray, "N"],
    arbor: Float[np.ndarray, "N P"],
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, "M2"], Int[np.ndarray, "M2"]]:
    """Add reverse connections (only into regions that the neuron reaches), or remove some, to meet the reciprocity."""
    n = config.neurons
    mutual = np.isin(post * n + pre, pre * n + post)
    # With k reverses added, (mutual + 2 k) / (m + k) is the reciprocity; with k < 0, -k pairs lose one direction.
    change = round((config.reciprocity * len(pre) - mutual.sum()) / (2 - config.reciprocity))
    if change >= 0:
        candidates = np.flatnonzero(~mutual & (arbor[post, region_of[pre]] > 0))
        chosen = rng.choice(candidates, min(change, len(candidates)), replace=False)
        return np.concatenate([pre, post[chosen]]), np.concatenate([post, pre[chosen]])
    candidates = np.flatnonzero(mutual & (pre < post))
    removed = rng.choice(candidates, min(-change, len(candidates)), replace=False)
    kept = np.ones(len(pre), bool)
    kept[removed] = False
    return pre[kept], post[kept]
