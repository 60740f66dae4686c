"""Coupling of all units through a dense drive: what a regression finds beyond the wiring, kept stable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from connfit.models.init.across_units import Unexplained, across_by_frames, across_by_units
from connfit.models.init.centred_frames import CentredFrames, Stretch
from connfit.models.init.frame_response import FrameResponse
from connfit.models.init.response import Coefficients, LinearBrain, Response
from connfit.models.readout import MANY_UNITS

ROOM = 0.25
"""Share of the way from what units grow by themselves to 1 that connections may always go."""


def coupling_of_all_units(
    brain: LinearBrain, found: Coefficients, training: Sequence[CentredFrames], ridge: float, limit: float
) -> tuple[Float[np.ndarray, "P P"], float]:
    """Ridge regression of what the start leaves unexplained of each unit on the last frame of all, in deviations.

    Units are scaled to their standard deviation, so that `ridge` counts frames; Hoerl & Kennard (1970). Halved until
    growth is above `limit` by no more than `ROOM` of what is left below 1; also returns growth. None of it is kept
    where a thirty-second is too much.
    """
    response, p = brain.response(found), len(found.own)
    squares, count = np.zeros(p), np.zeros(p, np.int64)
    for stretch in (stretch for part in training for stretch in part.stretches(0)):
        squares += ((stretch.weight > 0) * stretch.now**2).sum(axis=0)
        count += (stretch.weight > 0).sum(axis=0)
    size = np.sqrt(np.maximum(squares, np.finfo(float).tiny) / np.maximum(count, 1))
    left, shown = _unexplained(response, found), size
    if any(part.shown is not None for part in training):
        shown = np.sqrt(np.mean([part.variance_shown() for part in training], axis=0))
    across = across_by_frames(left, training, ridge, size, shown) if p > MANY_UNITS else None
    if across is None:
        across = across_by_units(left, training, ridge, size, shown)
    across *= size[:, None] / shown
    highest = limit + ROOM * max(1 - limit, 0)
    for _ in range(6):
        growth = brain.growth(found, across=across)[0]
        if growth <= highest:
            return across, growth
        across /= 2
    return 0 * across, brain.growth(found)[0]


def _unexplained(response: Response | FrameResponse, found: Coefficients) -> Unexplained:
    """Return what a start with a drive leaves of frames, given the frames before them."""
    if isinstance(response, FrameResponse):

        def left_of(stretch: Stretch) -> np.ndarray:
            kept, brought = response.along(stretch.past)
            return stretch.now - kept - brought @ found.factors - stretch.last * found.own

        return left_of
    by_lag = response.kept + np.einsum("f,flkj->lkj", found.factors, response.brought)

    def left(stretch: Stretch) -> np.ndarray:
        explained = sum(u @ g.T for u, g in zip(stretch.past, by_lag, strict=True))
        return stretch.now - explained - stretch.last * found.own

    return left
