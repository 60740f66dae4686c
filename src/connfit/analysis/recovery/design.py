"""What is varied: one thing at a time about a base case, so that each curve shows one cause."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from connfit.analysis.recovery.student import Training
from connfit.datasets.synthetic.known_settings import TeacherSettings
from connfit.errors import ConfigError, one_of
from connfit.models.cells import find_cell

STRENGTHS = ("free", "gain_per_neuron", "gain_per_type_pair", "known")
"""What a student learns of the weights: all of them, gains on the synapse counts, or nothing since it is given them."""

ALL_OF_IT, RATES, NO_INDICATOR, NO_INPUTS = "all", "rates", "no_indicator", "no_inputs"
KNOWS = (ALL_OF_IT, RATES, NO_INDICATOR, NO_INPUTS)
"""What a student knows of how its teacher is recorded and driven: indicator and external inputs; that rates themselves
are recorded, without the indicator; all but the indicator, whose recording it takes for rates; all but the inputs."""


@dataclass(frozen=True)
class Setting:
    """What teachers and students are like.

    Parameters
    ----------
    frames
        Training frames.
    recorded
        Fraction of the neurons (sensory ones apart, which always are) that are recorded.
    process_noise
        Private noise of the teacher; see `KnownTeacher.play`.
    observation_noise
        Noise of the measurement, in units of each neuron's standard deviation.
    strengths
        One of `STRENGTHS`.
    teacher_strengths
        See `TeacherSettings`.
    state_forcing
        φ; see `RateModel`. With an indicator gains of each neuron start from it.
    knows
        One of `KNOWS`.
    """

    frames: int = 4000
    recorded: float = 1.0
    process_noise: float = 0.5
    observation_noise: float = 0.0
    strengths: str = "free"
    teacher_strengths: str = "free"
    state_forcing: float = 1.0
    knows: str = ALL_OF_IT

    def __post_init__(self) -> None:
        one_of("knows", self.knows, KNOWS)
        one_of("strengths of a student", self.strengths, STRENGTHS)
        one_of("strengths of a teacher", self.teacher_strengths, STRENGTHS)
        if self.frames < 50:
            raise ConfigError(f"frames = {self.frames} must be 50 or more")
        if not 0 < self.recorded <= 1:
            raise ConfigError(f"recorded = {self.recorded} must be a fraction of the neurons above 0 and at most 1")
        for name in ("process_noise", "observation_noise"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} = {value} must be finite and 0 or more")
        if not 0 <= self.state_forcing < 2:
            raise ConfigError(f"state_forcing = {self.state_forcing} must be 0 or more and below 2")

    @property
    def has_regression(self) -> bool:
        """Whether the student is a regression of each neuron on recorded activity, which can be solved directly."""
        return self.recorded == 1 and self.strengths == "free" and self.state_forcing == 1


@dataclass(frozen=True)
class Condition(Setting):
    """One teacher and one student.

    Parameters
    ----------
    seed
        Of the teacher's wiring, parameters and noise, and of the student.
    """

    seed: int = 0


@dataclass(frozen=True)
class Design:
    """Which conditions are run.

    Parameters
    ----------
    neurons
        N of the teachers, sensory neurons included.
    cell
        What neurons of teachers and students are, as `model.cell` names it.
    indicator, decay_s, rise_s, inputs, input_file, input_columns
        Through what teachers are recorded, and which external inputs they have; see `TeacherSettings`.
    frames, recorded, process_noise, observation_noise, strengths
        What each is set to, one at a time. The base case has `base_frames` and `base_noise`, all neurons recorded, no
        measurement noise and free strengths.
    seeds
        Teachers: each condition is run with each.
    training
        See `Training`.
    """

    neurons: int = 500
    cell: str = "rate"
    indicator: str = "none"
    decay_s: float | None = None
    rise_s: float | None = None
    inputs: int = 0
    input_file: str = ""
    input_columns: tuple[str, ...] = ()
    frames: tuple[int, ...] = (250, 1000, 4000, 16000)
    recorded: tuple[float, ...] = (1.0, 0.5, 0.1)
    process_noise: tuple[float, ...] = (0.1, 0.5)
    observation_noise: tuple[float, ...] = (0.0, 0.3)
    strengths: tuple[str, ...] = STRENGTHS
    base_frames: int = 4000
    base_noise: float = 0.5
    seeds: int = 2
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        find_cell(self.cell)
        if self.seeds < 1:
            raise ConfigError(f"seeds = {self.seeds} must be 1 or more")
        for name in ("frames", "recorded", "process_noise", "observation_noise", "strengths"):
            if not getattr(self, name):
                raise ConfigError(f"there is no value for {name}: give one or more")
        for strengths in self.strengths:
            one_of("strengths of a student", strengths, STRENGTHS)
        self.teacher()

    def teacher(self, strengths: str = "free") -> TeacherSettings:
        """Say how its teachers are drawn, whose weights are of one kind."""
        return TeacherSettings(
            neurons=self.neurons, cell=self.cell, strengths=strengths, indicator=self.indicator, decay_s=self.decay_s,
            rise_s=self.rise_s, inputs=self.inputs, input_file=self.input_file, input_columns=self.input_columns,
        )  # fmt: skip

    @property
    def has_indicator(self) -> bool:
        """Whether teachers are recorded through an indicator."""
        return bool(self.teacher().filters())

    @property
    def has_inputs(self) -> bool:
        """Whether teachers have external inputs."""
        return bool(self.inputs or self.input_file)

    def has_regression(self, condition: Setting) -> bool:
        """Whether the student of a condition is a regression that is written down here: of rates without inputs."""
        rates = self.cell == "rate" and (not self.has_indicator or condition.knows == RATES)
        return condition.has_regression and rates and not self.has_inputs

    def with_base(self) -> Design:
        """Move the base case to the nearest of the values, in frames (by ratio) and in noise."""
        frames = min(self.frames, key=lambda value: abs(math.log(max(value, 1) / self.base_frames)))
        noise = min(self.process_noise, key=lambda value: abs(value - self.base_noise))
        return replace(self, base_frames=frames, base_noise=noise)

    def curves(self) -> dict[str, tuple[Condition, ...]]:
        """List the conditions of each curve in their order, with seed 0. The base case is part of most."""
        base = Condition(self.base_frames, process_noise=self.base_noise)
        few = replace(base, recorded=min(self.recorded))

        def over(name: str, base: Condition = base) -> list[Condition]:
            return [replace(base, **{name: value}) for value in sorted(getattr(self, name))]

        curves = {name: over(name) for name in ("frames", "recorded", "process_noise", "observation_noise")}
        if few.recorded < 1:
            curves["process_noise_few_recorded"] = over("process_noise", few)
        if max(self.observation_noise) > 0:
            half = replace(base, observation_noise=max(self.observation_noise), state_forcing=0.5)
            curves["observation_noise_half_forced"] = [half]
        for name, there, others in (
            ("indicator", self.has_indicator, (RATES, NO_INDICATOR)), ("inputs", self.has_inputs, (NO_INPUTS,)),
        ):  # fmt: skip
            if there:
                curves[name] = [base, *(replace(base, knows=what) for what in others)]
        # Gains are recovered from a teacher that has them.
        teachers = {name: name if name.startswith("gain") else "free" for name in self.strengths}
        curves["strengths"] = [replace(base, strengths=own, teacher_strengths=of) for own, of in teachers.items()]
        if few.recorded < 1:
            curves["strengths_few_recorded"] = [
                replace(few, strengths=own, teacher_strengths=of) for own, of in teachers.items()
            ]
            # The same teachers with more parameters than they need.
            gains = [name for name in teachers if name.startswith("gain")]
            curves["free_student_of_gains"] = [replace(few, teacher_strengths=name) for name in gains]
        return {name: tuple(dict.fromkeys(conditions)) for name, conditions in curves.items() if conditions}

    def conditions(self) -> tuple[Condition, ...]:
        """List all conditions, each once, one seed after the other."""
        curves = self.curves().values()
        distinct = dict.fromkeys(condition for curve in curves for condition in curve)
        return tuple(replace(condition, seed=seed) for seed in range(self.seeds) for condition in distinct)

    def seconds(self) -> float:
        """Estimate the time on two cores of the year 2026: the fits, and compiling one program per shape."""
        conditions = self.conditions()
        shapes = {
            (c.recorded, c.strengths, c.state_forcing, c.seed, c.knows, min(c.frames // 500, 8)) for c in conditions
        }
        share = self.neurons / 500
        fits = sum(
            self.training.updates * 1e-3 * (0.8 + 0.35 * share * min(max(c.frames // 500, 1), 8)) for c in conditions
        )
        regressions = sum(share * (1 + c.frames / 1000) for c in conditions if self.has_regression(c))
        return 15 + fits + 4 * len(shapes) + regressions


def quick_design() -> Design:
    """Return a design that takes about a minute: a smaller brain, fewer conditions, one seed."""
    return Design(
        neurons=200,
        frames=(250, 1000, 4000),
        recorded=(1.0, 0.1),
        process_noise=(0.5,),
        observation_noise=(0.0,),
        strengths=("free", "gain_per_neuron"),
        seeds=1,
        training=Training(updates=500, learning_rate=2e-2),
    )
