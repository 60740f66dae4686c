"""Simulated activity of units and neurons: free runs driven by the model's own residuals, neurons on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from connfit._io import naming
from connfit.errors import DataError, DivergedError
from connfit.evaluation.baselines.residual_gaps import fill_draws
from connfit.evaluation.residual_noise import MIN_RESIDUALS, Residuals, residuals_of
from connfit.models.base import Model, Neurons, Params
from connfit.models.forecaster import ModelForecaster
from connfit.models.poisson_input import SIMULATION, stream_of
from connfit.models.rest import sent_by, settle, started
from connfit.models.rollout import State, Stepped, rollout
from connfit.recordings import Recording

CHUNK = 16
"""Frames per call: [16, 138,639] rates are 9 MB."""

BURN_IN = 250
"""Frames before the first that counts, in which the state takes on the statistics of a driven run."""


@dataclass(frozen=True, eq=False)
class DrivenRun:
    """A free run driven by residuals.

    Parameters
    ----------
    units
        [T, p] prediction plus noise of the recording's units: what stands beside the data.
    kept, watched
        File of the activity of the kept neurons, and how many they are; None if none are kept.
    mean, deviation
        [N] mean and standard deviation over frames of every neuron's rate; of cells that spike in Hz.
    start
        States before the first frame that counts.
    noise
        [T, P] what was added to the prediction of each of the model's units at each frame.
    """

    units: Float[np.ndarray, "T p"]
    kept: Path | None
    watched: int
    mean: Float[np.ndarray, "N"]
    deviation: Float[np.ndarray, "N"]
    start: Neurons
    noise: Float[np.ndarray, "T P"]

    @property
    def neurons(self) -> Float[np.ndarray, "T n"] | None:
        """[T, n] rates of the kept neurons after each frame; of cells that spike, their spikes in each frame.

        It is opened anew each time, so that pages that were read need not stay.
        """
        if self.kept is None:
            return None
        return np.memmap(self.kept, np.float32, "r", shape=(len(self.units), self.watched))


def driven_run(
    forecaster: ModelForecaster,
    recording: Recording,
    *,
    warmup: int,
    seed: Sequence[int],
    neurons: Int[np.ndarray, "n"] | None = None,
    scratch: Path | None = None,
    residuals: Residuals | None = None,
) -> DrivenRun:
    """Run the model alone for as many frames as the recording has, with its own one-step errors as noise.

    Whole frames of the one-step residuals of the recording's training part are drawn with replacement, added to the
    prediction of each frame and fed back, as in the evaluation (`connfit.evaluation.free_run`): a stable model without
    noise comes to rest. External inputs are those of the recording, if free runs are given them; before it begins,
    their mean. The rates of neurons go to a file chunk by chunk, so that memory does not grow with the run.

    Parameters
    ----------
    forecaster
        The model with its parameters.
    recording
        Whose length, units and residuals to take.
    warmup
        Frames of the training part that give no residuals.
    seed
        Of the draws.
    neurons, scratch
        Neurons to keep, and the file for them.
    residuals
        The one-step errors, where they are known.

    Raises
    ------
    DataError
        If there are too few residuals.
    DivergedError
        If rates stop being finite.
    """
    model, params, held = forecaster.model, forecaster.params, forecaster.cohort.substeps
    spikes = model.neuron.spikes
    columns, limits = forecaster.columns(recording), forecaster.limits(recording)
    known = residuals or residuals_of(forecaster.one_step(recording), recording, warmup)
    errors = known.frames
    if len(errors) < MIN_RESIDUALS or np.isinf(errors).any():
        raise DataError(
            f"recording {recording.name!r}: {len(errors)} training frames have a unit that is observed and "
            f"predicted, {MIN_RESIDUALS} are needed to draw noise from"
        )
    frames = recording.frames
    drawn = np.random.default_rng(tuple(seed)).integers(len(errors), size=BURN_IN + frames)
    drawn_noise = fill_draws(errors, drawn[None], np.random.default_rng((*seed, 1)))[0]
    noise = forecaster.noise(recording, drawn_noise[:, :, None])
    # As if the units of the recording had shown their mean for long, and showed it once more.
    mean = forecaster.cohort.mean_activity()
    begin = started(model, params, None).on_stream(stream_of(SIMULATION, *seed))
    state = State.of(model, settle(model, params, begin, inputs=mean, steps=256).neurons)
    state = state._replace(reading=jnp.asarray(mean, state.rates.dtype)[:, None], shown=jnp.asarray(noise.units[0]))
    watched = np.zeros(0, np.int64) if neurons is None else neurons
    kept = scratch if len(watched) else None
    if kept is not None:
        kept.unlink(missing_ok=True)
    units = np.empty((frames, len(columns)), np.float32)
    total, squares = np.zeros(model.neurons), np.zeros(model.neurons)
    start, origin = state.neurons, np.zeros(model.neurons)
    for at in [*range(0, BURN_IN, CHUNK), *range(BURN_IN, BURN_IN + frames, CHUNK)]:
        stop = min(at + CHUNK, BURN_IN if at < BURN_IN else BURN_IN + frames)
        if at == BURN_IN:
            start = state.neurons
            origin = origin if spikes else np.asarray(sent_by(model, params, start)[:, 0], np.float64)
        run = rollout(
            model, params, state, forecaster.alone(recording, at - BURN_IN, stop - at), _reading_and_rates,
            noise=noise.part(slice(at, stop)), limits=limits, substeps=held,
        )  # fmt: skip
        state, (reading, rates) = run.state, run.each
        # Whole numbers of spikes.
        rates = np.rint(np.asarray(rates) * held) if spikes else np.asarray(rates)
        if not np.isfinite(rates).all():
            raise DivergedError(f"the free run of {forecaster.name} stops being finite near frame {at - BURN_IN}")
        if at < BURN_IN:
            continue
        now = slice(at - BURN_IN, stop - BURN_IN)
        units[now] = np.asarray(reading)[:, columns, 0]
        # Sums around the first state: rates that hardly vary keep their digits.
        apart = rates - origin
        total += apart.sum(axis=0)
        squares += (apart * apart).sum(axis=0)
        if kept is not None:
            # Not by a mapped file: where the disk is full, that ends the interpreter.
            with naming(kept), kept.open("ab") as file:
                file.write(np.ascontiguousarray(rates[:, watched], np.float32).data)
    mean_apart = total / frames
    deviation = np.sqrt(np.maximum(squares / frames - mean_apart**2, 0))
    per_s = 1 / (held * model.step_s) if spikes else 1.0
    return DrivenRun(
        units, kept, len(watched), per_s * (origin + mean_apart), per_s * deviation, start,
        np.asarray(noise.values[BURN_IN:, :, 0]),
    )  # fmt: skip


def _reading_and_rates(
    model: Model, params: Params, kept: None, now: Stepped, also: None
) -> tuple[None, tuple[Float[Array, "P 1"], Float[Array, "N"]]]:
    return None, (now.reading, now.rates[:, 0])
