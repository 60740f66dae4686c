"""Free runs block by block: the noise that drives them, and room for what it makes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from connfit.evaluation.forecasts import Noise, Runs, SharingForecaster
from connfit.evaluation.scratch import Stored
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks


def noise_blocks(noise: Stored) -> Iterator[tuple[slice, Float[np.ndarray, "runs t P"]]]:
    """Yield blocks of frames of the noise of all runs, in double precision and free to be changed."""
    runs, frames, units = noise.shape
    for at in frame_blocks(0, frames, max(runs, 1) * units):
        yield at, np.array(noise[:, at], np.float64)


def room_for_runs(noise: Stored) -> tuple[Runs, Runs]:
    """Return arrays for free runs with the noise and without."""
    return np.empty(noise.shape), np.empty(noise.shape[1:])


def one_free_run(
    forecaster: SharingForecaster, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None
) -> Runs:
    """Return the one of a forecaster's `free_runs` that is asked for."""
    if noise is None:
        return np.asarray(
            forecaster.free_runs(recording, start, frames, warmup, np.zeros((0, frames, len(recording.units))))[1]
        )
    return np.asarray(forecaster.free_runs(recording, start, frames, warmup, noise)[0])
