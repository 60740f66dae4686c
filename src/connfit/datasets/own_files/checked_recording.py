"""What one recording holds, in numbers: rates, gaps, scale, drift, units that are flat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from connfit.config import DataConfig
from connfit.connectome import Connectome
from connfit.connectome.matching import COLUMNS, UnitMatch, match_units
from connfit.errors import ConfigError, DataError
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks
from connfit.recordings.plausibility import CAUTIONS, examined
from connfit.recordings.preprocess.step_record import unusable_units

_SAMPLE = 2_000_000
"""Values of which percentiles are taken."""


@dataclass(frozen=True, eq=False)
class CheckedRecording:
    """A recording as it was read, and what is in it.

    Parameters
    ----------
    path, format
        The file or folder, and its reader.
    recording
        As it was measured, missing values as a mask.
    missing_share
        Of all values, 0 to 1.
    empty_frames, longest_gap
        Frames in which no unit was observed, and the most of them in a row.
    low, median, high
        Percentiles 1, 50 and 99 of the observed values, over all units.
    negative_share
        Of the observed values.
    silent_units
        Units without any observed value.
    flat_units
        Units that do not vary in the training part; those of `silent_units` are none of them.
    beyond
        Share of the observed values behind the training part that lie outside of what their unit showed in it; None
        where the recording is too short to be cut.
    drifting_units
        Units of which that is more than half of the values.
    matches
        By column of the neuron table, which units are neurons of it; columns in which none is are left out.
    """

    path: Path
    format: str
    recording: Recording
    missing_share: float
    empty_frames: int
    longest_gap: int
    low: float
    median: float
    high: float
    negative_share: float
    silent_units: tuple[str, ...]
    flat_units: tuple[str, ...]
    beyond: float | None
    drifting_units: tuple[str, ...]
    matches: Mapping[str, UnitMatch] = field(default_factory=dict)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What is implausible."""
        return tuple(map(str, self.recording.notes.get(CAUTIONS, ())))

    def matched(self, connectome: Connectome) -> CheckedRecording:
        """Return the same with units that are neurons, types or regions of a connectome."""
        found = {}
        for column in COLUMNS:
            try:
                found[column] = match_units(self.recording.units, connectome, column=column)
            except DataError:
                continue
        return replace(self, matches=found)


def check_recording(path: Path, format: str, recording: Recording, data: DataConfig) -> CheckedRecording:
    """Look through a recording.

    Parameters
    ----------
    data
        How it would be cut into parts.
    """
    recording = examined(recording)
    values, mask = recording.values, recording.mask
    sample = values[:: 1 + values.size // _SAMPLE]
    observed = sample[mask[:: 1 + values.size // _SAMPLE]].astype(np.float64)
    observed = observed if len(observed) else values[mask][:_SAMPLE].astype(np.float64)
    low, median, high = np.percentile(observed, [1, 50, 99]) if len(observed) else (np.nan,) * 3
    empty, seen = ~np.asarray(mask.any(axis=1)), np.asarray(mask.any(axis=0))
    silent = tuple(recording.units[k] for k in np.flatnonzero(~seen))
    flat: tuple[str, ...] = ()
    beyond, drifting = None, ()
    try:
        cut = recording.split(train=data.train, validation=data.validation, gap=0 if recording.blocks else data.gap)
    except ConfigError:
        cut = None
    if cut is not None:
        flat = tuple(unit for unit in unusable_units(cut) if unit not in silent)
        share = _beyond(cut)
        beyond = float(np.average(share[0], weights=share[1])) if share[1].any() else None
        drifting = tuple(recording.units[k] for k in np.flatnonzero((share[0] > 0.5) & (share[1] > 0)))
    return CheckedRecording(
        path=path,
        format=format,
        recording=recording,
        missing_share=float(1 - mask.mean()),
        empty_frames=int(empty.sum()),
        longest_gap=_longest(empty),
        low=float(low),
        median=float(median),
        high=float(high),
        negative_share=float((observed < 0).mean()) if len(observed) else 0.0,
        silent_units=silent,
        flat_units=flat,
        beyond=beyond,
        drifting_units=drifting,
    )


def _longest(flags: Bool[np.ndarray, "T"]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _beyond(recording: Recording) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"]]:
    """Of each unit the share of later values outside of what the training part showed, and how many there are."""
    units = len(recording.units)
    least, most = np.full(units, np.inf), np.full(units, -np.inf)
    values, mask = recording.part("train")
    for block in frame_blocks(0, *values.shape):
        least = np.minimum(least, np.where(mask[block], values[block], np.inf).min(axis=0))
        most = np.maximum(most, np.where(mask[block], values[block], -np.inf).max(axis=0))
    outside, count = np.zeros(units), np.zeros(units)
    for part in ("validation", "test"):
        values, mask = recording.part(part)
        for block in frame_blocks(0, *values.shape):
            here, seen = values[block], mask[block]
            outside += (seen & ((here < least) | (here > most))).sum(axis=0)
            count += seen.sum(axis=0)
    return outside / np.maximum(count, 1), count
