"""What a start leaves unexplained of each unit, regressed on the last frame of all units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int

from connfit.models.init.centred_frames import CentredFrames, Stretch
from connfit.models.init.response import LAGS
from connfit.recordings.frame_blocks import frame_blocks

Unexplained = Callable[[Stretch], Float[np.ndarray, "t P"]]
"""What is left of frames, given the frames before them."""


def across_by_units(
    left_of: Unexplained,
    training: Sequence[CentredFrames],
    ridge: float,
    size: Float[np.ndarray, "P"],
    shown: Float[np.ndarray, "P"],
) -> Float[np.ndarray, "P P"]:
    """Return a ridge regression of what is left on the last frame, by matrices of all pairs of units."""
    p = len(size)
    patterns, member = same_frames(training)
    across = np.empty((p, p))
    for some in frame_blocks(0, len(patterns), p * p // 100):
        gram, product = np.zeros((some.stop - some.start, p, p)), np.zeros((p, p))
        for stretch in (stretch for part in training for stretch in part.stretches(LAGS)):
            z = stretch.last / shown
            product += z.T @ np.where(stretch.weight > 0, left_of(stretch) / size, 0)
            for number, pattern in enumerate((stretch.weight[:, patterns[some]] > 0).T):
                here = z if pattern.all() else z[pattern]
                gram[number] += here.T @ here
        for number, each in enumerate(gram, some.start):
            alike = member == number
            across[alike] = np.linalg.solve(each + ridge * np.eye(p), product[:, alike]).T
    return across


def across_by_frames(
    left_of: Unexplained,
    training: Sequence[CentredFrames],
    ridge: float,
    size: Float[np.ndarray, "P"],
    shown: Float[np.ndarray, "P"],
) -> Float[np.ndarray, "P P"] | None:
    """Return a ridge regression of what is left on the last frame, by matrices of frames; None if those are not fewer.

    (ZᵀZ + ρ)⁻¹Zᵀ = Zᵀ(ZZᵀ + ρ)⁻¹: Saunders, Gammerman & Vovk (1998) ICML. In the precision of a model's numbers.

    Parameters
    ----------
    left_of
        What is to be explained of frames, given those before them.
    ridge
        In frames, of units scaled by `size`, and by `shown` as they drive.
    """
    if sum(len(part.values) for part in training) >= len(size):
        return None
    stretches = [stretch for part in training for stretch in part.stretches(LAGS)]
    z = np.concatenate([stretch.last / shown for stretch in stretches]).astype(np.float32)
    observed = np.concatenate([stretch.weight > 0 for stretch in stretches])
    left = np.concatenate([left_of(stretch) / size for stretch in stretches]).astype(np.float32)
    left = np.where(observed, left, 0)
    gram, across = (z @ z.T).astype(np.float64), np.empty((len(size), len(size)), np.float32)
    patterns, member = same_frames(training)
    for number, unit in enumerate(patterns):
        at, alike = np.flatnonzero(observed[:, unit]), np.flatnonzero(member == number)
        penalised = gram[np.ix_(at, at)]
        penalised[np.diag_indices(len(at))] += ridge
        weights = scipy.linalg.solve(penalised, left[np.ix_(at, alike)], assume_a="pos", overwrite_a=True)
        across[alike] = weights.T.astype(np.float32) @ z[at]
    return across


def same_frames(training: Sequence[CentredFrames]) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "P"]]:
    """Return one unit of each group that was observed in the same frames, and the group of each unit.

    Frames are packed and hashed block by block: those of all units at once would be another recording.
    """
    digests = [blake2b(digest_size=16) for _ in training[0].mean]
    for stretch in (stretch for part in training for stretch in part.stretches(LAGS)):
        packed = np.ascontiguousarray(np.packbits(stretch.weight > 0, axis=0).T)
        for digest, observed in zip(digests, packed, strict=True):
            digest.update(observed)
    groups = [digest.digest() for digest in digests]
    number = {group: k for k, group in enumerate(dict.fromkeys(groups))}
    member = np.array([number[group] for group in groups])
    return np.unique(member, return_index=True)[1], member
