"""What a start is, what it may look at, and the table of starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Array, Float

from connfit._registry import Entry, Options, Registry
from connfit.connectome import Connectome
from connfit.models.base import Model, Params
from connfit.models.readout import Readout

Training = Sequence[tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "P"]]]
"""Training frames of each recording, NaN where nothing was observed, and the weight of each unit's squared error."""


class FittedStart(Protocol):
    """What a start found in the training frames."""

    @property
    def magnitudes(self) -> Float[Array, "M"]:
        """Magnitudes of free weights, for gains to multiply."""
        ...

    def facts(self, units: Sequence[str]) -> dict[str, object]:
        """Return what was found, ready for JSON."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class StartConditions:
    """What parameters may start from, beside the model.

    Parameters
    ----------
    connectome, readout
        Of the model.
    time_constant_s
        In seconds, within the bounds of the model.
    unit_time_constants_s
        [P] of the neurons that units read, one each, in place of it; None: it is that of all.
    weights, spectral_radius, weight_spread, hidden_time_constants_s, mean_activity, seed
        See `connfit.models.init_params`.
    options
        Of the start, of its class of options; None: their defaults.
    fitted
        What the start found in the training frames, if it looks at them.
    """

    connectome: Connectome
    readout: Readout
    time_constant_s: float
    weights: str = "counts"
    spectral_radius: float | None = 0.1
    weight_spread: float = 0.0
    hidden_time_constants_s: tuple[float, float] | None = None
    unit_time_constants_s: Float[np.ndarray, "P"] | None = None
    mean_activity: Float[np.ndarray, "P"] | None = None
    seed: int = 0
    options: Options | None = None
    fitted: FittedStart | None = None


@dataclass(frozen=True, kw_only=True)
class Start(Entry):
    """A registered start of a model's parameters.

    Parameters
    ----------
    name
        `model.drive_start` in configurations.
    label
        In words.
    parameters
        Function of a model and `StartConditions` that returns the parameters before training, within their bounds.
    fit
        Function of a model with free weights, `StartConditions` and training frames, called first; what it returns
        becomes `StartConditions.fitted`. None: the start does not look at activity.
    options
        Their class. Those that section `model` has are taken from there, others from `model.start_options`.
    only_here
        Options of section `model` that are an error with any other start.
    single_steps
        Whether it needs a frame for every model step.
    automatic
        Whether a recipe may choose it.
    spiking
        Whether it is for cells that send spikes; others are for cells that send rates.
    searched
        Options of section `model` that a recipe searches for this start, one stage after the other.
    """

    parameters: Callable[[Model, StartConditions], Params]
    fit: Callable[[Model, StartConditions, Training], FittedStart] | None = None
    options: type[Options] = Options
    only_here: tuple[str, ...] = ()
    single_steps: bool = False
    automatic: bool = False
    spiking: bool = False
    searched: tuple[tuple[str, ...], ...] = (("state_forcing",), ("time_constant_frames",), ("weights",))


STARTS: Registry[Start] = Registry("start", Start, room="connfit.models.init", group="connfit.starts")
"""Starts by name."""
