"""What is varied: one thing at a time about a base case, so that each curve shows one cause."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from connfit.analysis.recovery.student import Training
from connfit.errors import ConfigError, one_of

STRENGTHS = ("free", "gain_per_neuron", "gain_per_type_pair", "known")
"""What a student learns of the weights: all of them, gains on the synapse counts, or nothing since it is given them."""


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
        φ; see `RateModel`.
    """

    frames: int = 4000
    recorded: float = 1.0
    process_noise: float = 0.5
    observation_noise: float = 0.0
    strengths: str = "free"
    teacher_strengths: str = "free"
    state_forcing: float = 1.0

    def __post_init__(self) -> None:
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
        if self.seeds < 1:
            raise ConfigError(f"seeds = {self.seeds} must be 1 or more")
        for name in ("frames", "recorded", "process_noise", "observation_noise", "strengths"):
            if not getattr(self, name):
                raise ConfigError(f"there is no value for {name}: give one or more")
        for strengths in self.strengths:
            one_of("strengths of a student", strengths, STRENGTHS)

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
        shapes = {(c.recorded, c.strengths, c.state_forcing, c.seed, min(c.frames // 500, 8)) for c in conditions}
        share = self.neurons / 500
        fits = sum(
            self.training.updates * 1e-3 * (0.8 + 0.35 * share * min(max(c.frames // 500, 1), 8)) for c in conditions
        )
        regressions = sum(share * (1 + c.frames / 1000) for c in conditions if c.has_regression)
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
