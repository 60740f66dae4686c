"""Means and standard deviations of units in the training part, and values on the scale that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks

Block = tuple[Float[np.ndarray, "t P"], Bool[np.ndarray, "t P"]]
"""Consecutive frames of standardised values, 0 where there is none, and which were observed."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Consecutive frames that are read when they are needed: of a long recording a block is held, never all of it.

    Parameters
    ----------
    frames, units
        How many.
    read
        Returns the frames `first` to `last - 1`.
    """

    frames: int
    units: int
    read: Callable[[int, int], Block]

    @classmethod
    def held(cls, z: Float[np.ndarray, "t P"], seen: Bool[np.ndarray, "t P"]) -> Stretch:
        """Return one whose frames are in memory."""
        return cls(len(z), z.shape[1], lambda first, last: (z[first:last], seen[first:last]))

    def __len__(self) -> int:
        return self.frames

    def blocks(self, before: int = 0) -> Iterator[Block]:
        """Yield all frames after the first `before` in blocks, each with as many frames before it."""
        for at in frame_blocks(min(before, self.frames), self.frames, self.units):
            yield self.read(at.start - before, at.stop)

    @cached_property
    def whole(self) -> bool:
        """Whether everything was observed."""
        return all(bool(seen.all()) for _, seen in self.blocks())


@dataclass(frozen=True, eq=False)
class Scaling:
    """The scale on which a baseline is fitted.

    Parameters
    ----------
    means
        [P] in the recording's units; NaN for a unit that the training part never shows.
    stds
        [P]; 1 for a unit that does not vary.
    """

    means: Float[np.ndarray, "P"]
    stds: Float[np.ndarray, "P"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"]) -> Scaling:
        """Measure the observed values."""
        # Without a frame there is one block, which is empty.
        blocks = list(frame_blocks(0, max(len(values), 1), values.shape[1]))
        return cls.of_blocks(lambda: ((values[at], mask[at]) for at in blocks))

    @classmethod
    def of_blocks(cls, blocks: Callable[[], Iterable[Block]]) -> Scaling:
        """Measure the observed values of blocks of frames, which are read twice."""
        total, count, largest = None, 0, 0.0
        for values, mask in blocks():
            x = np.where(mask, values, 0.0).astype(np.float64)
            total, count = added(total, x), count + mask.sum(axis=0)
            largest = np.maximum(largest, np.abs(x).max(axis=0, initial=0.0))
        means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        squares = None
        for values, mask in blocks():
            x = np.where(mask, values, 0.0).astype(np.float64)
            squares = added(squares, np.where(mask, x - np.nan_to_num(means), 0.0) ** 2)
        stds = np.sqrt(squares / np.maximum(count, 1))
        return cls(means, np.where(stds > 1e-10 * largest, stds, 1.0))

    @property
    def known(self) -> Bool[np.ndarray, "P"]:
        """Units that the training part shows."""
        return np.isfinite(self.means)

    def standardise(self, values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"]) -> Block:
        """Return standardised values, 0 where there is none, and which were observed.

        A unit that the training part never shows counts as observed at 0 throughout.
        """
        seen = mask & self.known
        z = np.where(seen, (np.where(seen, values, 0.0) - np.nan_to_num(self.means)) / self.stds, 0.0)
        return z, seen | ~self.known

    def restore(self, z: Float[np.ndarray, "*t P"]) -> Float[np.ndarray, "*t P"]:
        """Return values in the recording's units; NaN for a unit without a mean."""
        return z * self.stds + self.means


def added(total: Float[np.ndarray, "P"] | None, x: Float[np.ndarray, "t P"]) -> Float[np.ndarray, "P"]:
    """Add the sum over frames to that of the frames before, as if all were summed at once; None: there are none."""
    return x.sum(axis=0) if total is None else np.concatenate([total[None], x]).sum(axis=0)


def pooled_means(recordings: Sequence[Recording], units: Sequence[str]) -> Float[np.ndarray, "P"]:
    """Return means of `units` over the training parts of all recordings that have them; NaN for a unit of none."""
    total, count = np.zeros(len(units)), np.zeros(len(units))
    for recording in recordings:
        own = [k for k, unit in enumerate(units) if unit in set(recording.units)]
        columns, summed = [recording.units.index(units[k]) for k in own], None
        for at in frame_blocks(*recording.require_parts().train, len(recording.units)):
            values, mask = recording.values[at][:, columns], recording.mask[at][:, columns]
            summed = added(summed, np.where(mask, values, 0.0).astype(np.float64))
            count[own] += mask.sum(axis=0)
        total[own] += 0.0 if summed is None else summed
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
