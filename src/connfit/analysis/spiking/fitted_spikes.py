"""How a fitted model spikes in its free run of the test part."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from connfit.analysis.parameters.distribution import distribution
from connfit.analysis.spiking.fitted_spikes_results import PART, Binned, FittedSpikes, IntervalVariation
from connfit.analysis.spiking.raster import SECONDS, RasterSpikes
from connfit.analysis.spiking.spike_trains import LEAST_INTERVALS, SpikeTrains, Trains
from connfit.connectome import Connectome
from connfit.errors import DataError, DivergedError
from connfit.evaluation.free_run import NO_NOISE, free_run_block
from connfit.evaluation.residual_noise import MIN_RESIDUALS, Residuals, draw_noise
from connfit.models.base import Model, Params
from connfit.models.forecaster import ModelForecaster
from connfit.models.frame_loop import CHUNK
from connfit.models.rollout import Shown, State, Stepped, rollout
from connfit.recordings import Recording

BIN_MS = 10.0
"""Bins of synchrony and of the population's rate; steps that are longer are bins of their own."""

AT_LIMIT = 0.9
"""Share of the highest rate that a neuron can have, above which it is at its limit."""

CV_EDGES = np.linspace(0, 3, 31)
PER_DECADE = 10

_AT_ONCE = 16_000_000
"""Steps times neurons that are looked at at once, in bytes."""

_OVERWHELMING = 1e6
"""Current on top of which whatever else reaches a neuron is nothing: it spikes as soon as it can."""

_WATCHED = 1000
"""Steps in which a neuron that is driven by it spikes twice, or never does."""


def fitted_spikes(
    forecaster: ModelForecaster,
    recording: Recording,
    connectome: Connectome,
    residuals: Residuals,
    *,
    warmup: int,
    seconds: float,
    neurons: int,
    seed: int,
) -> tuple[FittedSpikes, Trains]:
    """Run the test part freely, as the evaluation does first, and describe the spikes of all neurons.

    Parameters
    ----------
    residuals
        One-step errors on the training part, which drive the run.
    warmup
        Recorded frames before it.
    seconds
        Of the part that is run, at most, in whole frames.
    neurons, seed
        Of the raster: neurons at most, and the seed of which.

    Raises
    ------
    DataError
        If the part has no frames.
    DivergedError
        If the run stops being finite.
    """
    start, part_frames, used = free_run_block(recording, PART, warmup)
    if part_frames == 0:
        raise DataError(f"recording {recording.name!r} has no frames in its {PART} part")
    model, substeps = forecaster.model, forecaster.substeps
    step_ms = 1000 * model.step_s
    frames = min(part_frames, max(1, int(seconds / (substeps * model.step_s) + 1e-9)))
    bin_steps = max(1, round(BIN_MS / step_ms))
    without = _without_noise(model, residuals)
    # As many as the evaluation draws for its first run: which ones depends on how many.
    noise = None if without else np.asarray(draw_noise(residuals.frames, 1, part_frames, PART))[0, :frames]
    trains, raster = SpikeTrains(model.neurons, bin_steps), RasterSpikes(round(1000 * SECONDS / step_ms), bin_steps)
    for spikes in _spikes(forecaster, recording, start, frames, used, noise):
        trains.add(spikes)
        raster.add(spikes)
    found = trains.statistics()
    length = found.steps * model.step_s
    rates, limits = found.counts / length, 1 / (shortest_intervals(model, forecaster.params) * model.step_s)
    limit = float(np.median(limits))
    return FittedSpikes(
        recording=recording.name,
        part_frames=part_frames,
        warmup_frames=used,
        frames=frames,
        substeps=substeps,
        steps=found.steps,
        step_ms=step_ms,
        seconds=length,
        noise=NO_NOISE if without else residuals.source,
        without_noise=without,
        seed=seed,
        neurons=model.neurons,
        spikes=int(found.counts.sum()),
        silent=int(np.count_nonzero(found.counts == 0)),
        limit_hz=limit or None,
        at_limit=int(np.count_nonzero((limits > 0) & (rates > AT_LIMIT * limits))),
        at_limit_share=AT_LIMIT,
        rate_hz=distribution(rates),
        rates=_rate_histogram(rates),
        intervals=_variation(found),
        bin_ms=bin_steps * step_ms,
        bins=found.bins,
        synchrony=found.synchrony,
        raster=raster.raster(connectome, found.counts, neurons, seed, model.step_s),
    ), found


def _without_noise(model: Model, residuals: Residuals) -> str | None:
    """Why no noise is drawn; None where it is."""
    if model.drive is None and not model.forces:
        beside = "" if model.neuron.poisson is None else "; external events do"
        return f"nothing that units show reaches a neuron of this model{beside}"
    if len(residuals.frames) < MIN_RESIDUALS:
        return f"{len(residuals.frames)} training frames have a known error, {MIN_RESIDUALS} are needed to draw from"
    return None


def _spikes(
    forecaster: ModelForecaster, recording: Recording, start: int, frames: int, warmup: int,
    noise: Float[np.ndarray, "frames P"] | None,
) -> Iterator[Bool[np.ndarray, "t N"]]:  # fmt: skip
    neurons, done = forecaster.model.neurons, 0
    rows = max(1, _AT_ONCE // neurons)
    for readings, bits in forecaster.spiking_run(recording, start, frames, warmup, noise):
        if not np.isfinite(readings).all():
            raise DivergedError(f"the free run of {forecaster.name} stops being finite near frame {start + done}")
        done += len(readings)
        for at in range(0, len(bits), rows):
            yield np.unpackbits(bits[at : at + rows], axis=1, count=neurons).astype(bool)


def shortest_intervals(model: Model, params: Params) -> Float[np.ndarray, "N"]:
    """Return the steps that a neuron needs from spike to spike however it is driven; inf where it spikes but once."""
    state, current = State.at_rest(model), jnp.full((model.neurons, 1), _OVERWHELMING)
    last, shortest = np.full(model.neurons, -1), np.full(model.neurons, np.inf)
    for begin in range(0, _WATCHED, CHUNK):
        run = rollout(model, params, state, Shown.nothing(model, CHUNK), _spiking, current=current)
        state = run.state
        for now, spikes in enumerate(np.asarray(run.each), start=begin):
            spiked = np.flatnonzero(spikes)
            again = spiked[last[spiked] >= 0]
            shortest[again] = np.minimum(shortest[again], now - last[again])
            last[spiked] = now
        if np.isfinite(shortest).all():
            break
    return shortest


def _spiking(model: Model, params: Params, kept: None, now: Stepped, also: None) -> tuple[None, Bool[Array, "N"]]:
    return None, now.rates[:, 0] != 0


def _rate_histogram(rates: Float[np.ndarray, "N"]) -> Binned:
    """Bins of equal width on a logarithmic scale, from the lowest rate that is not 0 to the highest."""
    positive = rates[rates > 0]
    if not len(positive):
        return Binned()
    low, high = np.floor(PER_DECADE * np.log10(positive.min())), np.ceil(PER_DECADE * np.log10(positive.max()))
    edges = 10 ** (np.arange(low, max(high, low + 1) + 1) / PER_DECADE)
    # Powers of ten are not exact: what lies at an end is in the bin there.
    return _binned(np.clip(positive, edges[0], edges[-1]), edges)


def _variation(found: Trains) -> IntervalVariation:
    known = np.isfinite(found.cv)
    if not known.any():
        return IntervalVariation(LEAST_INTERVALS)
    cv, cv2 = (tuple(map(float, np.percentile(values[known], (25, 50, 75)))) for values in (found.cv, found.cv2))
    histogram = _binned(np.minimum(found.cv[known], CV_EDGES[-1]), CV_EDGES)
    return IntervalVariation(LEAST_INTERVALS, int(known.sum()), cv, cv2, histogram)


def _binned(values: Float[np.ndarray, "n"], edges: Float[np.ndarray, "b"]) -> Binned:
    return Binned(tuple(map(float, edges)), tuple(map(int, np.histogram(values, edges)[0])))
