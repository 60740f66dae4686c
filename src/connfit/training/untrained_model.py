"""The model of a configuration before training: its wiring, its start, and what a regression for it found."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
from jaxtyping import Float

from connfit._registry import Options, beside_section, section_options
from connfit.config import AUTO, OF_EACH_UNIT, InputsConfig, ModelConfig, ObservationConfig
from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.models import Readout, start_magnitudes, tie_weights
from connfit.models.base import Model, Params
from connfit.models.cells import CELLS, Cell, find_cell
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.gains import SHARED
from connfit.models.init.centred_frames import CentredFrames, observing_filters
from connfit.models.init.initial import begin
from connfit.models.init.own_time_constants import own_time_constants
from connfit.models.init.start import STARTS, StartConditions
from connfit.models.input_map import input_map
from connfit.models.maps import SynapticMap
from connfit.models.observation import observe
from connfit.models.observation.likelihood import Likelihood
from connfit.models.readout import MANY_UNITS
from connfit.models.wired_neurons import reads_several
from connfit.recordings.cohort import Cohort
from connfit.training.recipe import StartOptions

SHORT = 0.5
"""Time constant of other neurons that the drive reaches then, in frames."""


def untrained_model(
    options: ModelConfig,
    seed: int,
    connectome: Connectome,
    cohort: Cohort,
    readout: Readout,
    inputs: InputsConfig | None = None,
) -> tuple[Model, Params, dict[str, object] | None]:
    """Build the model, its parameters before training, and what a regression for them found."""
    cell, begun = find_cell(options.cell), StartOptions.of(options)
    start = STARTS.find(begun.drive_start, "model.drive_start")
    for other in STARTS.values():
        for option in other.only_here if other is not start else ():
            if getattr(options, option):
                raise ConfigError(
                    f"model.{option} = {getattr(options, option)!r} is of the start {other.name!r}, but "
                    f"model.drive_start = {options.drive_start!r}: set one of the two to its default"
                )
    if start.spiking != cell.neuron.spikes:
        right = " or ".join(other.name for other in STARTS.values() if other.spiking == cell.neuron.spikes)
        raise ConfigError(
            f"model.drive_start = {start.name!r} is for cells that send {'spikes' if start.spiking else 'rates'}, but "
            f"model.cell = {options.cell!r}: set it to {right}, or to auto"
        )
    if cohort.substeps > 1:
        for option, chosen in {"state_forcing": begun.state_forcing, "drive_start": start.single_steps}.items():
            if chosen:
                raise ConfigError(
                    f"model.{option} = {getattr(options, option)!r} needs a frame for every model step, but "
                    f"data.substeps = {cohort.substeps}: set one of the two to its default"
                )
    seen = options.observation
    neuron = observe(
        cell.with_options(**cell_options(cell, options).as_dict()), seen.indicator, step_s=cohort.step_s,
        decay_s=seen.decay_s, rise_s=seen.rise_s, bounds=seen.bounds, shared=seen.per == "all",
        drift_gain=seen.drift_gain,
    )  # fmt: skip
    conditions = ModelConditions(
        connectome=connectome, readout=readout, step_s=cohort.step_s, drive=options.drive,
        bounds_s=_seconds(options.time_constant_bounds_frames, cohort), state_forcing=begun.state_forcing,
        delay=options.delay, inputs=_input_map(inputs, connectome, cohort, readout),
        own_gains=_own_gains(seen, readout, begun.state_forcing),
        likelihood=None if seen.noise == "squared" else Likelihood(seen.noise, seen.noise_degrees),
    )  # fmt: skip
    model = ConnectomeModel.wire(conditions, neuron)
    own = begun.time_constant_frames == OF_EACH_UNIT
    given = StartConditions(
        connectome=connectome,
        readout=readout,
        weights=begun.weights,
        spectral_radius=options.spectral_radius,
        weight_spread=options.weight_spread,
        time_constant_s=_of_others(options) / cohort.frame_rate,
        unit_time_constants_s=_of_own_pasts(model, cohort) if own else None,
        hidden_time_constants_s=_seconds(options.hidden_time_constant_frames, cohort),
        mean_activity=cohort.mean_activity() if options.bias_start == "balanced" else None,
        seed=seed,
        options=_start_options(options),
    )
    found = None if start.fit is None else start.fit(model, given, cohort.training_frames())
    if options.strengths in SHARED:
        if found is None:
            radius = options.spectral_radius
            magnitudes = start_magnitudes(model, connectome, begun.weights, spectral_radius=radius, seed=seed)
        else:
            magnitudes = found.magnitudes
        model = tie_weights(model, connectome, options.strengths, magnitudes, type_column=options.type_column)
    params = begin(model, start.name, replace(given, fitted=found))
    return model, params, None if found is None else found.facts(cohort.units)


def without_idle_drive(options: ModelConfig, readout: Readout) -> ModelConfig:
    """Return options of an untrained model that predicts the same, to rounding, where a dense drive is mostly zeros.

    That is so without `drive_ridge`: a unit drives what it reads. Of many units that read a neuron each the drive of
    those neurons alone is returned; a candidate is then run in a fraction of the time and of the memory.
    """
    idle = options.drive == "dense" and not options.drive_ridge
    if idle and readout.units > MANY_UNITS and not reads_several(readout):
        return msgspec.structs.replace(options, drive="anatomical")
    return options


def _input_map(
    options: InputsConfig | None, connectome: Connectome, cohort: Cohort, readout: Readout
) -> SynapticMap | None:
    use, options = cohort.inputs, options or InputsConfig()
    if use is None:
        return None
    return input_map(connectome, readout, use.channels, len(use.lags), options.targets, shared=options.shared)


def _of_others(options: ModelConfig) -> float:
    """Time constant of the neurons that start from no unit's past, in frames."""
    asked, (low, high) = StartOptions.of(options).time_constant_frames, options.time_constant_bounds_frames
    return min(max(SHORT, low), high) if asked == OF_EACH_UNIT else asked


def _of_own_pasts(model: Model, cohort: Cohort) -> Float[np.ndarray, "P"]:
    if model.read_neurons is None or cohort.substeps > 1:
        raise ConfigError(
            f"model.time_constant_frames = {OF_EACH_UNIT!r} needs units that are single neurons, and a frame for every "
            "model step: give a number of frames"
        )
    training = [CentredFrames.of(values, weights) for values, weights in cohort.training_frames()]
    if filters := observing_filters(model.neuron, cohort.step_s):
        training = [part.before(filters) for part in training]
    return own_time_constants(training, model.state_forcing, cohort.step_s, model.bounds_s)


def _own_gains(seen: ObservationConfig, readout: Readout, phi: float) -> bool:
    """Whether gains of each unit and state stand for φ: learned, or those that an indicator asks for."""
    if seen.gain == "unit" or seen.drift_gain:
        return True
    return seen.indicator != "none" and phi != 0 and not readout.learned and not reads_several(readout)


def cell_options(cell: Cell, options: ModelConfig) -> Options:
    """Validate the options of a cell: those that section `model` has, and the others from `model.cell_options`.

    Raises
    ------
    ConfigError
        If one is unknown or wrong, or section `model` sets one of another cell.
    """
    default = ModelConfig()
    for other in CELLS.values():
        for name in set(other.options.__struct_fields__) - set(cell.options.__struct_fields__):
            if getattr(options, name, None) != getattr(default, name, None):
                raise ConfigError(
                    f"model.{name} = {getattr(options, name)!r} is of the cell {other.name!r}, but model.cell = "
                    f"{cell.name!r}: set one of the two to its default"
                )
    return section_options(cell.options, options, options.cell_options, where="model.cell_options")


def own_options(asked: ModelConfig, found: ModelConfig) -> dict[str, dict[str, object]]:
    """Return all options that the cell, and a start that is named, have beside section `model`, by their table in it.

    Parameters
    ----------
    asked, found
        The section as it was given, and with a value for all that says `"auto"`.
    """
    cell = find_cell(found.cell)
    own = {"cell_options": beside_section(cell_options(cell, found), found)}
    if asked.drive_start != AUTO:
        own["start_options"] = beside_section(_start_options(found), StartOptions.of(found))
    return own


def _start_options(options: ModelConfig) -> Options:
    begun = StartOptions.of(options)
    start = STARTS.find(begun.drive_start, "model.drive_start")
    return section_options(start.options, begun, options.start_options, where="model.start_options")


def _seconds(frames: tuple[float, float] | None, cohort: Cohort) -> tuple[float, float] | None:
    return None if frames is None else (frames[0] / cohort.frame_rate, frames[1] / cohort.frame_rate)
