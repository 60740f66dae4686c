"""Activity of all neurons, recorded or not, as each fit of an ensemble infers it from the recordings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from connfit.analysis.record_next.ensemble import Ensemble
from connfit.errors import DivergedError
from connfit.models.base import Model, Params
from connfit.models.rollout import Stepped
from connfit.recordings import Recording
from connfit.training.fitted import Fit

MOST_NUMBERS = 2**26
"""Numbers that the activity of all members may have: 256 MB. Of large brains fewer frames are kept."""

MOST_FRAMES = 1_000
SETTLE_SHARE = 0.1
"""First share of a recording that is run but not kept: unrecorded neurons start from a guess."""


def ensemble_activity(ensemble: Ensemble) -> Float[np.ndarray, "K T N"]:
    """Run every member over the training recordings and keep what would be observed of each neuron.

    Recorded units are given; all other neurons run on what the model says. Frames are evenly spaced, and as many as
    `MOST_FRAMES` and `MOST_NUMBERS` allow, over all recordings.

    Raises
    ------
    DivergedError
        If the activity of a member is not finite.
    """
    recordings = ensemble.cohort.recordings
    most = min(MOST_FRAMES, MOST_NUMBERS // (len(ensemble.members) * ensemble.connectome.n))
    each = max(2, most // len(recordings))
    found = []
    for name, member in zip(ensemble.names, ensemble.members, strict=True):
        activity = np.concatenate([_activity(member, recording, each) for recording in recordings])
        if not np.isfinite(activity).all():
            raise DivergedError(f"{name}: the activity of its neurons is not finite over the recordings")
        found.append(activity)
    return np.stack(found)


def _activity(fit: Fit, recording: Recording, most: int) -> Float[np.ndarray, "T N"]:
    blocks = list(_blocks(recording))
    frames = sum(block.frames - 1 for block in blocks)
    first = int(SETTLE_SHARE * frames)
    wanted = np.unique(np.linspace(first, frames - 1, min(most, frames - first)).astype(int))
    parts, done = [], 0
    for block in blocks:
        count = block.frames - 1
        inside = wanted[(wanted >= done) & (wanted < done + count)] - done
        if len(inside):
            parts.append(_kept(fit, block, inside))
        done += count
    return np.concatenate(parts)


def _blocks(recording: Recording) -> Iterator[Recording]:
    if not recording.blocks:
        yield recording
        return
    for first, stop in recording.stretches(0, recording.frames):
        if stop - first > 1:
            yield replace(recording.frames_only(slice(first, stop)), blocks=())


def _kept(fit: Fit, block: Recording, wanted: Int[np.ndarray, "t"]) -> Float[np.ndarray, "t N"]:
    # The last row is scrap: what no row is wanted of goes there.
    rows = np.full(block.frames - 1, len(wanted))
    rows[wanted] = np.arange(len(wanted))
    nothing = jnp.zeros((len(wanted) + 1, fit.model.neurons), fit.params["bias"].dtype)
    kept = fit.forecaster().follow(block, block.frames - 1, _keep_observed, nothing, rows)
    return np.asarray(kept)[:-1]


def _keep_observed(
    model: Model, params: Params, kept: Float[Array, "r N"], now: Stepped, row: Int[Array, ""]
) -> tuple[Float[Array, "r N"], None]:
    observed = model.neuron.observed(model.constants(params), now.neurons.states)
    return kept.at[row].set(observed[:, 0]), None
