"""What a model is built from, whatever its cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connfit.connectome import Connectome
from connfit.errors import ConfigError, one_of
from connfit.models.maps import SynapticMap
from connfit.models.observation.likelihood import Likelihood
from connfit.models.readout import Readout
from connfit.models.wired_neurons import reads_several

DRIVES = ("dense", "anatomical", "none")


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelConditions:
    """What a model is built from, whatever its cell.

    Parameters
    ----------
    connectome
        Wiring and signs.
    readout
        Which neurons each unit reads; see `connfit.models.readout`.
    step_s
        Length of a step in seconds.
    drive
        `"dense"`: every unit may drive every neuron. `"anatomical"`: a region drives only the neurons
        with input synapses in it, where the source counts them (`Connectome.regions`); otherwise a
        unit drives only the neurons that it reads. `"none"`.
    bounds_s
        Smallest and largest time constant in seconds; default 0.2 and 50 steps.
    delay
        Steps by which synapses are late, beside the one step that a signal always takes.
    inputs
        Which features of external inputs act on which neurons; see `connfit.models.input_map`.
    state_forcing
        Share φ of the way by which states are moved to what was recorded before each step: 0 not at all, 1 until
        the read-out of the state is what was recorded, more (below 2) beyond it. See
        `connfit.models.forward.correct`.
    own_gains
        Whether each unit has a gain of its own for each state of its neuron, which starts from φ.
    likelihood
        What errors are scored by; None: their squares.

    Raises
    ------
    ConfigError
        If a name or a bound is not valid.
    """

    connectome: Connectome
    readout: Readout
    step_s: float
    drive: str = "dense"
    bounds_s: tuple[float, float] | None = None
    state_forcing: float = 0.0
    own_gains: bool = False
    likelihood: Likelihood | None = None
    delay: int = 0
    inputs: SynapticMap | None = None

    def __post_init__(self) -> None:
        one_of("drive", self.drive, DRIVES)
        low, high = self.time_constant_bounds
        if not 0 < low < high or self.step_s <= 0:
            raise ConfigError(
                f"time constants must have bounds 0 < low < high and a positive step, got {(low, high)} s and "
                f"{self.step_s} s"
            )
        if self.delay < 0:
            raise ConfigError(f"delay = {self.delay} must be a number of steps, 0 or more")
        if self.readout.neurons != self.connectome.n:
            raise ConfigError(
                f"the read-out is for {self.readout.neurons} neurons, the connectome has {self.connectome.n}"
            )
        if not 0 <= self.state_forcing < 2:
            raise ConfigError(
                f"state_forcing = {self.state_forcing} must be 0 or more and below 2, from where errors grow"
            )
        if self.own_gains and (self.readout.learned or reads_several(self.readout)):
            raise ConfigError(
                "gains of each unit and state (model.observation.gain = 'unit', or drift_gain above 0) need units that "
                f"are single neurons, but {_read_by_several(self.readout)}: set drift_gain = 0 and gain = 'shared', "
                "with which model.state_forcing moves what the neurons of a unit show"
            )
        if self.state_forcing and self.readout.learned:
            raise ConfigError(
                f"state_forcing = {self.state_forcing} moves neurons to what was recorded of them, but which neurons a "
                "unit reads is learned here; set one of the two to its default"
            )

    @property
    def time_constant_bounds(self) -> tuple[float, float]:
        """Smallest and largest time constant in seconds."""
        return self.bounds_s or (0.2 * self.step_s, 50 * self.step_s)


def _read_by_several(readout: Readout) -> str:
    """Say why units are no single neurons."""
    counts = np.diff(readout.matrix.indptr)
    if readout.learned:
        return "which neurons a unit reads is learned here"
    if (counts > 1).any():
        unit = int(np.argmax(counts > 1))
        return f"the unit {readout.unit_names[unit]!r} reads {counts[unit]} neurons"
    return "some of them read the same neuron"
