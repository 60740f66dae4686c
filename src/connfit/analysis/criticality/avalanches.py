"""Neuronal avalanches: cascades of events between silent bins (Beggs & Plenz 2003)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from connfit.analysis.criticality.events import EventCounts
from connfit.errors import ConfigError


@dataclass(frozen=True)
class AvalancheBins:
    """How avalanches were cut out of a recording.

    Parameters
    ----------
    cut
        Avalanches that were left out because they run into the start, the end or an unobserved frame.
    bin_frames
        Frames in a bin.
    floor
        Events per bin that count as silence.
    active
        Share of bins in an avalanche, cut ones included.
    frames_left_out
        Frames at the end that do not fill a bin.
    """

    cut: int = 0
    bin_frames: int = 1
    floor: float = 0.0
    active: float = 0.0
    frames_left_out: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Avalanches(AvalancheBins):
    """Avalanches that began and ended within the recording.

    Parameters
    ----------
    sizes
        Events of each.
    durations
        Bins of each.
    starts
        First bin of each.
    profile
        What sizes are sums of, for every bin of the recording.
    """

    sizes: Int[np.ndarray, "K"]
    durations: Int[np.ndarray, "K"]
    starts: Int[np.ndarray, "K"]
    profile: Int[np.ndarray, "bins"]

    @property
    def count(self) -> int:
        """Number of whole avalanches."""
        return len(self.sizes)


def find_avalanches(
    events: EventCounts,
    bin_frames: int = 1,
    *,
    floor: float = 0.0,
    floor_percentile: float | None = None,
    excess: bool = False,
) -> Avalanches:
    """Find avalanches: runs of bins with more than `floor` events, between bins with no more.

    Parameters
    ----------
    events
        Events in each frame.
    bin_frames
        Bin width in frames. Exponents may depend on it; try several.
    floor
        Events per bin that still count as silence. Needed for large populations, which never fall silent.
    floor_percentile
        Instead: the floor is this percentile of events per bin (Poil et al. 2012 use the median).
    excess
        Sizes count events above the floor only. Sizes that include what lies below it grow like durations, which
        makes another exponent (Villegas et al. 2019).

    Returns
    -------
    Avalanches
        Those at an end of the recording or next to an unobserved bin are left out and counted.

    References
    ----------
    Beggs & Plenz (2003) J. Neurosci. 23:11167, doi 10.1523/JNEUROSCI.23-35-11167.2003;
    Poil, Hardstone, Mansvelder & Linkenkaer-Hansen (2012) J. Neurosci. 32:9817, doi 10.1523/JNEUROSCI.5990-11.2012;
    Villegas, di Santo, Burioni & Muñoz (2019) Phys. Rev. E 100:012133, doi 10.1103/PhysRevE.100.012133.
    """
    frames = len(events.counts)
    if not 1 <= bin_frames <= frames:
        raise ConfigError(f"bin_frames is {bin_frames}, but must lie between 1 and the {frames} frames")
    bins = frames // bin_frames
    counts = events.counts[: bins * bin_frames].reshape(bins, bin_frames).sum(axis=1)
    observed = events.observed[: bins * bin_frames].reshape(bins, bin_frames).all(axis=1)
    if floor_percentile is not None:
        if floor != 0 or not 0 < floor_percentile < 100:
            raise ConfigError("floor_percentile must lie between 0 and 100 and cannot be given together with floor")
        if observed.any():
            floor = float(np.percentile(counts[observed], floor_percentile))
    if not (np.isfinite(floor) and floor >= 0):
        raise ConfigError(f"floor is {floor}, but must be 0 or more events")
    active = (counts > floor) & observed
    edges = np.diff(np.concatenate([[0], active.astype(np.int8), [0]]))
    first, after = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    # A bin beyond either end is as unknown as one that was not observed.
    known = np.concatenate([[False], observed, [False]])
    whole = known[first] & known[after + 1]
    profile = np.ceil(np.maximum(counts - floor, 0)).astype(np.int64) if excess else counts
    sums = np.concatenate([[0], np.cumsum(profile)])
    return Avalanches(
        sizes=(sums[after] - sums[first])[whole],
        durations=(after - first)[whole],
        starts=first[whole],
        profile=profile,
        cut=int((~whole).sum()),
        bin_frames=bin_frames,
        floor=floor,
        active=float(active.mean()),
        frames_left_out=frames - bins * bin_frames,
    )
