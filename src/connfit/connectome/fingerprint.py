"""What tells two connectomes apart: a digest of wiring, signs, and names of neurons."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from connfit.connectome.connectome import Connectome

if TYPE_CHECKING:
    from hashlib import _Hash


def add_connectome(digest: _Hash, brain: Connectome) -> None:
    """Add wiring, signs, ids and regions to a digest."""
    mixed = () if brain.mixed_signs is None else (brain.mixed_signs,)
    for array in (brain.indptr, brain.indices, brain.counts, brain.signs, brain.electrical, *mixed):
        digest.update(np.ascontiguousarray(array).data)
    for column in ("id", "region"):
        digest.update("\n".join(brain.neurons[column].astype(str)).encode())


def connectome_fingerprint(brain: Connectome) -> str:
    """Compute the SHA-256 over wiring, signs, ids and regions: equal connectomes, equal fingerprint."""
    digest = hashlib.sha256()
    add_connectome(digest, brain)
    return digest.hexdigest()
