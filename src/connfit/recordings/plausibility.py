"""Cautions on what is implausible in a recording. The values are used as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from connfit.errors import first_ten
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks

CAUTIONS = "cautions"
"""Key of the notes of a recording, or of a connectome, under which its cautions are."""

TIMES = "the frame times"
"""Beginning of a caution on the unit of time."""

SLOWEST_HZ, FASTEST_HZ = 0.01, 1000.0

_FAR = 20
"""Ranges of all other values of a unit that a value must lie away from them to be implausible."""

_OTHER_SCALE = 1e4
"""Times that the spread of a unit must exceed, or fall short of, the median spread to be implausible."""

_LONG = 0.1
"""Share of a recording over which a unit must keep a value to be implausible."""

_FEW_VALUES = 10
"""Values beside one that is kept below which nothing is concluded."""

_SAMPLE = 1000
"""Frames that are compared where two things may hold the same values."""

_BLOCK = 1 << 16
"""Frames that are compared at once."""

_FEW_FRAMES = 20
"""Frames below which constant stretches and repeated frames say nothing."""


def with_cautions(notes: Mapping[str, object], cautions: Iterable[str]) -> dict[str, object]:
    """Return notes with further cautions, each of them once."""
    known = notes.get(CAUTIONS, ())
    every = [*dict.fromkeys([*(known if isinstance(known, list | tuple) else ()), *cautions])]
    return {**notes, CAUTIONS: every} if every else dict(notes)


def examined(recording: Recording) -> Recording:
    """Return a recording as it was measured with cautions in its notes; one that was preprocessed as it is."""
    if recording.steps:
        return recording
    return replace(recording, notes=with_cautions(recording.notes, implausible(recording)))


def implausible(recording: Recording) -> list[str]:
    """Describe what is implausible: the frame rate, values far from all others, other scales, stretches without change.

    Parameters
    ----------
    recording
        As it was measured: preprocessing changes all of it.
    """
    found = []
    doubted = any(str(caution).startswith(TIMES) for caution in recording.notes.get(CAUTIONS, ()))
    if not doubted and not SLOWEST_HZ <= recording.frame_rate <= FASTEST_HZ:
        found.append(f"{recording.frame_rate:.4g} frames/s are implausible: check the frame rate, which is in Hz")
    spreads, far, still = np.full(len(recording.units), np.nan), [], []
    for column, unit in enumerate(recording.units):
        values = recording.values[recording.mask[:, column], column].astype(np.float64)
        if not len(values) or np.ptp(values) == 0:
            continue
        spreads[column] = np.subtract(*np.percentile(values, [90, 10])) or values.std()
        lone = _far_value(values)
        if lone is not None:
            far.append(f"{unit} ({lone:g})")
            values = values[values != lone]
        longest = _longest_still(values)
        if len(values) >= _FEW_FRAMES and longest >= max(_FEW_FRAMES, _LONG * len(values)):
            still.append(f"{unit} ({longest} of {len(values)} frames)")
    if far:
        found.append(f"units with values far from all their others, which may stand for missing: {first_ten(far)}")
    usual = np.nanmedian(spreads) if np.isfinite(spreads).any() else np.nan
    odd = np.isfinite(spreads) & ((spreads > _OTHER_SCALE * usual) | (spreads * _OTHER_SCALE < usual))
    if odd.any() and len(spreads) > 2:
        units = (recording.units[k] for k in np.flatnonzero(odd))
        found.append(f"units of another scale than most ({_OTHER_SCALE:g} times and more): {first_ten(units)}")
    if still:
        found.append(f"units that keep one value for long: {first_ten(still)}")
    if recording.frames == len(recording.units) >= _FEW_FRAMES:
        found.append(f"there are as many frames as units ({recording.frames}): values must be [time, unit]")
    copies = same_values((unit, recording.values[:, k : k + 1]) for k, unit in enumerate(recording.units))
    if copies:
        found.append(f"units with the same values: {first_ten(f'{one} and {other}' for one, other in copies)}")
    repeated = _repeated_frames(recording)
    if len(repeated):
        found.append(
            f"{len(repeated)} frames are equal to the frame before in every unit (frame {repeated[0]}, from 0, is the "
            "first): lost frames may have been filled up"
        )
    return found


def same_values(named: Iterable[tuple[str, np.ndarray]]) -> list[tuple[str, str]]:
    """List pairs of names with the same values [time, ...], which vary; of long ones a sample of frames is compared."""
    seen: dict[tuple[tuple[int, ...], bytes], str] = {}
    found = []
    for name, values in named:
        sample = values[:: 1 + len(values) // _SAMPLE]
        if np.isfinite(sample).any() and np.nanmax(sample) > np.nanmin(sample):
            first = seen.setdefault((values.shape, np.ascontiguousarray(sample).tobytes()), name)
            if first != name:
                found.append((first, name))
    return found


def negative_share(values: Float[np.ndarray, "T P"], mask: Bool[np.ndarray, "T P"]) -> float:
    """Return which share of the observed values is below 0."""
    blocks = frame_blocks(0, *values.shape)
    negative = sum(np.count_nonzero(values[block][mask[block]] < 0) for block in blocks)
    return negative / max(np.count_nonzero(mask), 1)


def _far_value(values: Float[np.ndarray, "n"]) -> float | None:
    """Find the one value, be it there once or often, that lies far from all others; None where there is none."""
    for lone in (values.max(), values.min()):
        others = values[values != lone]
        least, most = others.min(), others.max()
        if min(abs(lone - least), abs(lone - most)) > _FAR * (most - least) and len(np.unique(others)) >= _FEW_VALUES:
            return float(lone)
    return None


def _longest_still(values: Float[np.ndarray, "n"]) -> int:
    """Count the values of the longest stretch without change, but for a floor on which a signal rests.

    Rates, counts and deconvolved activity rest on a floor that other values come near to, or leave a few times only.
    That of a dead detector lies apart.
    """
    changes = np.flatnonzero(np.diff(values) != 0) + 1
    edges = np.concatenate([[0], changes, [len(values)]])
    lengths, starts = np.diff(edges), edges[:-1]
    floor = values.min()
    above = values[values > floor]
    if len(above) < _FEW_VALUES or above.min() - floor <= max(np.ptp(above), float((values % 1 == 0).all())):
        lengths = np.where(values[starts] == floor, 1, lengths)
    return int(lengths.max())


def _repeated_frames(recording: Recording) -> np.ndarray:
    """Find frames equal to the one before in every unit, of which at least two are no whole numbers, as counts are."""
    found = [np.zeros(0, int)]
    for start in range(0, recording.frames - 1 if recording.frames >= _FEW_FRAMES else 0, _BLOCK):
        values, mask = (array[start : start + _BLOCK + 1] for array in (recording.values, recording.mask))
        both = mask[1:] & mask[:-1]
        same = ((values[1:] == values[:-1]) | ~both).all(axis=1)
        fractions = (both & np.isfinite(values[1:]) & (np.floor(values[1:]) != values[1:])).sum(axis=1)
        found.append(start + 1 + np.flatnonzero(same & (fractions > 1)))
    return np.concatenate(found)
