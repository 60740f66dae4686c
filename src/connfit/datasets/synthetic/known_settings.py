"""How a teacher of known parameters is drawn, and through what it is recorded."""

from __future__ import annotations

from dataclasses import dataclass

from connfit.datasets.synthetic.teacher import check_radius
from connfit.errors import ConfigError, one_of
from connfit.models.neuron import Neuron
from connfit.models.observation import observe
from connfit.models.observation.observed import Observed
from connfit.models.parameter import TimeConstant

TEACHER_STRENGTHS = ("free", "gain_per_neuron", "gain_per_type_pair")
FRAME_RATE = 2.0
"""Frames per second (Hz) of all recordings of a teacher: one model step each."""


@dataclass(frozen=True)
class TeacherSettings:
    """How a teacher is drawn.

    Parameters
    ----------
    neurons
        N, sensory neurons included.
    sensory_fraction
        Share of neurons without inputs, whose activity is a stimulus that the experimenter knows.
    mean_degree
        Outgoing connections per neuron.
    strengths
        What the true weights are: synapse counts times a factor for each connection (`"free"`), for each postsynaptic
        neuron (`"gain_per_neuron"`) or for each pair of cell types (`"gain_per_type_pair"`).
    cell
        What its neurons are, as `model.cell` names it.
    own_spread
        Standard deviation of the natural log of the cell's own parameters about where fits start; of those that start
        at 0 or below, of the numbers themselves.
    weight_spread
        Standard deviation of the natural log of that factor.
    spectral_radius
        Largest absolute eigenvalue of the signed weights.
    time_constant_frames, time_constant_spread, time_constant_bounds_frames
        Median in frames, standard deviation of the natural log, and bounds in frames.
    rate_spread
        Standard deviation of the natural log of the rates about which neurons fluctuate, whose median is 1.
    stimulus_spread, stimulus_frames
        Standard deviation of the natural log of the sensory neurons' rates, and its correlation time in frames.
    indicator, decay_s, rise_s
        Through what it is recorded, as `model.observation` names it, and time constants in place of the indicator's
        own; `"none"`: what cells show is recorded.
    inputs
        Number of external channels that are drawn, each of which reaches half of the neurons that have inputs.
    input_file, input_columns
        Table that channels are read from in place of that, and which of its columns; none: all.
    input_strength, input_frames
        Standard deviation of what a channel adds to what neurons receive, per standard deviation of the channel, and
        the correlation time of drawn channels in frames.
    """

    neurons: int = 500
    sensory_fraction: float = 0.1
    mean_degree: float = 20.0
    strengths: str = "free"
    cell: str = "rate"
    own_spread: float = 0.8
    weight_spread: float = 0.5
    spectral_radius: float = 0.8
    time_constant_frames: float = 2.0
    time_constant_spread: float = 0.6
    time_constant_bounds_frames: tuple[float, float] = (0.5, 10.0)
    rate_spread: float = 0.3
    stimulus_spread: float = 0.7
    stimulus_frames: float = 3.0
    indicator: str = "none"
    decay_s: float | None = None
    rise_s: float | None = None
    inputs: int = 0
    input_file: str = ""
    input_columns: tuple[str, ...] = ()
    input_strength: float = 0.3
    input_frames: float = 3.0

    def __post_init__(self) -> None:
        one_of("strengths of the teacher", self.strengths, TEACHER_STRENGTHS)
        if self.neurons < 30:
            raise ConfigError(f"neurons = {self.neurons} must be 30 or more")
        check_radius(self.spectral_radius)
        if not 0 < self.sensory_fraction < 1:
            raise ConfigError(f"sensory_fraction = {self.sensory_fraction} must lie between 0 and 1")
        self.filters()
        if self.inputs < 0 or (self.inputs and self.input_file):
            raise ConfigError(
                f"inputs = {self.inputs} channels to draw must be 0 or more, and 0 where input_file names a table"
            )
        if self.input_columns and not self.input_file:
            raise ConfigError(f"input_columns = {self.input_columns} are of no table: name one as input_file")

    def filters(self) -> tuple[TimeConstant, ...]:
        """Return the time constants of the indicator, in their order; none without one."""
        seen = observe(
            Neuron(), self.indicator, step_s=1 / FRAME_RATE, decay_s=self.decay_s, rise_s=self.rise_s, section=""
        )
        return seen.filters if isinstance(seen, Observed) else ()
