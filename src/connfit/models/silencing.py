"""How responses to a pulse change when other neurons are silent, seen as recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from connfit.errors import ConfigError
from connfit.models.base import Model, Params
from connfit.models.held_rates import NO_SPIKES, TrainingRange, silent_rates
from connfit.models.perturb import settled
from connfit.models.pulse import (
    Stimulations,
    add_neurons,
    grew_without_bound,
    pulse_inputs,
    side_by_side,
    summed,
)
from connfit.models.rollout import Held


def silencing_changes(
    model: Model,
    params: Params,
    stimulated: Sequence[Int[np.ndarray, "k"]],
    silenced: Sequence[Int[np.ndarray, "k"]],
    stimulations: Stimulations,
    *,
    unit_of_strength: float,
    mean: Float[np.ndarray, "P"],
    seen: TrainingRange,
    silence_at: str = "floor",
    watched: Int[np.ndarray, "W"] | None = None,
) -> Float[np.ndarray, "S W"]:
    """Silence neurons while others are stimulated and return what that changes, as read-outs see it.

    Runs start as those of `connfit.models.pulse.pulse_responses`. From the onset of the pulse to the end of the window
    the silenced neurons are held at the rate that `connfit simulate --silence` holds them at; the run with the same
    pulse and nobody silenced is taken off. Each of these is made once per batch, beside the runs that need it.

    Parameters
    ----------
    stimulated
        Positions of the neurons that get the pulse, by experiment; none: at rest.
    silenced
        Positions of the neurons that are silent, by experiment. Of a neuron that is in both, silence wins.
    stimulations, unit_of_strength, mean, watched
        As of `connfit.models.pulse.pulse_responses`.
    seen
        What units showed during training, see `connfit.models.held_rates.silent_rates`.
    silence_at
        One of `connfit.models.held_rates.SILENCE_AT`; cells that spike are silent without spikes.

    Returns
    -------
    changes
        Mean over the window, in the units of the recording: of calcium where the cell has it, else of the rate.

    Raises
    ------
    ConfigError
        If a neuron is out of range, or the model's cells cannot be held at a rate.
    DivergedError
        If activity grows without bound.
    """
    rows = np.arange(model.neurons) if watched is None else np.asarray(watched)
    for what, sites in (("stimulated", stimulated), ("silenced", silenced), ("watched", [rows])):
        every = np.concatenate([np.zeros(0, int), *sites])
        if len(every) and not 0 <= every.min() <= every.max() < model.neurons:
            raise ConfigError(f"{what} neurons must lie in 0..{model.neurons - 1}")
    pulses = [tuple(np.asarray(members).tolist()) for members in stimulated]
    pulse, window = stimulations.steps(model.step_s)
    start = settled(model, params, mean, drive=stimulations.drive)
    real = params["bias"].dtype
    rates = silent_rates(seen, start.rates, NO_SPIKES if model.neuron.spikes else silence_at)
    silent = jnp.asarray(rates[:, None], real)
    strength = pulse_inputs(model, params, stimulations, unit_of_strength)
    given = mean if stimulations.drive == "mean" else np.zeros(model.units)
    width = max(side_by_side(model, len(pulses) + len(set(pulses)) - 1) + 1, 2)
    found = np.zeros((len(pulses), len(rows)))
    for batch in _batches(pulses, width):
        alone = {pulsed: column for column, pulsed in enumerate(dict.fromkeys(pulses[each] for each in batch))}
        columns = len(alone) + np.arange(len(batch))
        current, held = np.zeros((model.neurons, width)), np.zeros((model.neurons, width), bool)
        for pulsed, column in alone.items():
            current[list(pulsed), column] = strength[list(pulsed)]
        for each, column in zip(batch, columns, strict=True):
            current[list(pulses[each]), column] = strength[list(pulses[each])]
            held[silenced[each], column] = True
        total = summed(
            model, params, start.neurons, current, pulse, window, given, stimulations.drive == "own", add_neurons,
            model.neurons, Held(jnp.asarray(held), silent),
        )[rows]  # fmt: skip
        change = (total[:, columns] - total[:, [alone[pulses[each]] for each in batch]]) / window
        if not np.isfinite(change).all():
            raise grew_without_bound(window)
        found[batch] = change.T
    return found


def _batches(pulses: Sequence[tuple[int, ...]], width: int) -> Iterator[list[int]]:
    """Numbers of the experiments that run side by side with their runs of nobody silenced: `width` runs at most."""
    batch: list[int] = []
    alone: set[tuple[int, ...]] = set()
    for each in sorted(range(len(pulses)), key=lambda each: pulses[each]):
        if batch and len(batch) + 1 + len(alone | {pulses[each]}) > width:
            yield batch
            batch, alone = [], set()
        batch.append(each)
        alone.add(pulses[each])
    if batch:
        yield batch
