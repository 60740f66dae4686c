"""What `gradient_fidelity.json` holds: all rules' gradients beside the exact one, their cost, and what they learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from connfit._io import optional
from connfit.evaluation.intervals import Interval

AXES = {"equal_steps": "equal steps", "equal_seconds": "equal time"}
"""What fits have in common when they are compared, and in words."""

FAR = 10
"""Frames ahead, at most, that sentences speak of beside one frame."""

TELLING_WINDOW = 16
"""K of the rows that a summary shows of rules whose gradient depends on it."""

UNSTEADY = 1.5
"""Median time of an epoch over the fastest above which times cannot be relied on."""


@dataclass(frozen=True)
class GroupFidelity:
    """Gradients g of one group of parameters beside g* of backpropagation through time, over segments.

    Parameters
    ----------
    cosine, cosine_min
        Mean and lowest over segments.
    undefined_segments
        Segments whose g or g* is 0: they have no part in the first two.
    cosine_of_sum
        Of the gradients summed over segments.
    relative_norm, relative_error
        Means of ‖g‖/‖g*‖ and of ‖g-g*‖/‖g*‖.
    bias
        Norm of the mean error over that of the mean g*.
    spread
        Standard deviation of the error around its mean, on the same scale.
    variance_ratio
        Variance of g over segments over that of g*.
    """

    cosine: float | None = None
    cosine_min: float | None = None
    undefined_segments: float | None = None
    cosine_of_sum: float | None = None
    relative_norm: float | None = None
    relative_error: float | None = None
    bias: float | None = None
    spread: float | None = None
    variance_ratio: float | None = None


@dataclass(frozen=True)
class RuleFidelity:
    """A rule's gradients beside the exact ones, and what they cost.

    Parameters
    ----------
    rule, label
        Name, and name with K where it matters.
    by_window
        Whether its gradient depends on K.
    window, credit, carry, trace_decay
        See `connfit.training.learners.windowed.WindowedLearner`; None for a learner that has none.
    ms_per_step
        The faster of two passes over a segment, compilation left out.
    carried_bytes
        What it keeps from window to window.
    working_bytes
        What XLA allots to one window, beside arguments and results.
    """

    rule: str = ""
    label: str = ""
    by_window: bool = False
    window: int | None = None
    credit: str | None = None
    carry: str | None = None
    trace_decay: float | None = None
    groups: Mapping[str, GroupFidelity] = field(default_factory=dict)
    ms_per_step: float = 0.0
    carried_bytes: int = 0
    working_bytes: int = 0


@dataclass(frozen=True)
class Segment:
    """Frames `start` to `stop` of a recording."""

    recording: str = ""
    start: int = 0
    stop: int = 0


@dataclass(frozen=True)
class SkillDifference:
    """Skill on test of one fit minus that of another; see `connfit.evaluation.intervals.Interval`."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    blocks: int = 0
    block_frames: int = 0
    seeds: tuple[int, ...] = ()
    reason: str | None = None
    excludes_zero: bool | None = None

    @classmethod
    def of(cls, interval: Interval) -> SkillDifference:
        """Keep an interval with whether it excludes zero."""
        return cls(**asdict(interval), excludes_zero=interval.excludes_zero)

    @property
    def outcome(self) -> str | None:
        """With credit minus without: `"matters"`, `"cheap wins"` or `"cheap as good"`; None without an interval."""
        if self.excludes_zero is None or self.value is None:
            return None
        if not self.excludes_zero:
            return "cheap as good"
        return "matters" if self.value > 0 else "cheap wins"


@dataclass(frozen=True)
class TriedRate:
    """A learning rate that was tried.

    Parameters
    ----------
    validation_selection
        The best value on validation, and `epoch` the epoch that has it (-1: the start).
    """

    learning_rate: float = 0.0
    validation_selection: float | None = None
    epoch: int | None = None
    diverged: str | None = optional()


@dataclass(frozen=True)
class Curve:
    """The fit for equal steps with the chosen learning rate, epoch by epoch.

    Parameters
    ----------
    rule, label
        Name of the rule, and with its optimiser (empty in files of releases that had one optimiser).
    credit
        Whether errors give credit to earlier steps.
    seconds_per_epoch
        Of training alone, in the fastest epoch; None: no epoch was timed.
    median_over_fastest
        Of the epochs' times.
    learning_rates
        All that were tried.
    learning_rate
        The one that is best on validation.
    steps, seconds, train_loss, validation_loss, validation_skill
        Up to and at the end of each epoch.
    diverged
        Why there is no curve.
    """

    rule: str = ""
    label: str = ""
    window: int = 0
    optimiser: str = ""
    credit: bool = True
    seconds_per_epoch: float | None = None
    median_over_fastest: float | None = None
    learning_rates: tuple[TriedRate, ...] = ()
    diverged: str | None = optional()
    learning_rate: float | None = optional()
    steps: tuple[int, ...] | None = optional()
    seconds: tuple[float, ...] | None = None
    train_loss: tuple[float | None, ...] | None = optional()
    validation_loss: tuple[float | None, ...] | None = optional()
    validation_skill: tuple[float | None, ...] | None = optional()

    @property
    def name(self) -> str:
        """Of the rule with its optimiser."""
        return self.label or self.rule


@dataclass(frozen=True)
class RuleScores:
    """What the fits with one rule and optimiser end with.

    Parameters
    ----------
    epochs
        That it was given; 0: there was no time for one, and what it has is the start.
    trained
        Whether an epoch was better on validation than the start.
    chosen_epoch, learning_rate, validation_selection
        Those that are best on validation, and their value there.
    rate_at_edge
        Whether the best rate is the largest or the smallest that was tried.
    train_loss, validation_loss, validation_skill
        At that epoch; None where the start was kept.
    test
        Skill over persistence by frames ahead, mean over recordings.
    difference
        By frames ahead: skill minus that of the rule that all are compared with.
    diverged
        Why there is nothing of the above.
    """

    epochs: int = 0
    trained: bool | None = optional()
    chosen_epoch: int | None = optional()
    learning_rate: float | None = None
    rate_at_edge: bool | None = optional()
    validation_selection: float | None = None
    train_loss: float | None = None
    validation_loss: float | None = None
    validation_skill: float | None = None
    test: Mapping[int, float | None] = optional(dict)
    difference: Mapping[int, SkillDifference] = optional(dict)
    diverged: str | None = optional()


@dataclass(frozen=True)
class Contest:
    """The best rule with credit through time beside the best without, both chosen on validation.

    Parameters
    ----------
    with_credit, without_credit
        Labels.
    difference
        By frames ahead: skill of the first minus that of the second.
    """

    with_credit: str = ""
    without_credit: str = ""
    difference: Mapping[int, SkillDifference] = field(default_factory=dict)


@dataclass(frozen=True)
class RulesCompared:
    """All rules after equal steps, or after equal time.

    Parameters
    ----------
    steps, seconds
        How many, or how long.
    rules
        By label.
    credit
        None where no fit, or none without credit through time, could be chosen.
    """

    steps: int | None = optional()
    seconds: float | None = optional()
    rules: Mapping[str, RuleScores] = field(default_factory=dict)
    credit: Contest | None = None

    @property
    def horizons(self) -> tuple[int, ...]:
        """One frame, and the longest horizon up to `FAR` frames that some rule has a score of."""
        known = {h for row in self.rules.values() for h, skill in row.test.items() if skill is not None}
        far = max((h for h in known if 1 < h <= FAR), default=None)
        return tuple(h for h in (1 if 1 in known else None, far) if h is not None)

    def best(self, horizon: int) -> str:
        """Label of the rule with the highest skill on test."""
        skills = {label: skill for label, row in self.rules.items() if (skill := row.test.get(horizon)) is not None}
        return max(skills, key=lambda label: skills[label])

    def cheap(self, outcome: str) -> tuple[int, ...]:
        """List the horizons of up to `FAR` frames at which credit through time has this outcome."""
        found = self.credit.difference if self.credit is not None else {}
        return tuple(h for h, difference in found.items() if h <= FAR and difference.outcome == outcome)


@dataclass(frozen=True)
class RuleLeftOut:
    """A rule that is undefined for a run, with the reason."""

    rule: str = ""
    reason: str = ""


@dataclass(frozen=True)
class LearningCurves:
    """Fits with every rule and optimiser from one start.

    Parameters
    ----------
    reference
        Label of the rule that all are compared with.
    epochs, steps_per_epoch
        Of the fits for equal steps.
    select_on
        What learning rates and epochs are chosen by, on the validation part.
    equal_steps, equal_seconds
        Scores on test; None where every fit diverged.
    """

    left_out: tuple[RuleLeftOut, ...] = ()
    reference: str = ""
    epochs: int | None = None
    steps_per_epoch: int | None = None
    select_on: str = ""
    seed: int = 0
    curves: tuple[Curve, ...] = ()
    equal_steps: RulesCompared | None = None
    equal_seconds: RulesCompared | None = None

    @property
    def compared(self) -> dict[str, RulesCompared]:
        """Those of `AXES` that there are."""
        return {axis: at for axis in AXES if (at := getattr(self, axis)) is not None}

    @property
    def unsteady(self) -> float | None:
        """Largest median time of an epoch over the fastest, where it is above `UNSTEADY`."""
        largest = max((curve.median_over_fastest or 1.0 for curve in self.curves), default=1.0)
        return largest if largest > UNSTEADY else None


@dataclass(frozen=True)
class GradientFidelity:
    """Gradients of all rules beside those of backpropagation through time, on one model and its recordings.

    Parameters
    ----------
    connfit
        Version.
    dataset, surrogate, seed, neurons, connections
        What it was measured on.
    steps, warmup_frames
        Model steps of a segment, and its first frames, which are not scored.
    phase
        `"teacher-forced"` or `"free-running"`.
    segments
        Stretches of the training parts.
    trained
        Groups whose gradients are compared.
    parameters
        By state (`start`, `fitted`) a row per rule, the exact one (BPTT) first.
    learning_curves
        Where they were asked for.
    """

    connfit: str = ""
    dataset: str = ""
    surrogate: bool = False
    seed: int = 0
    neurons: int = 0
    connections: int = 0
    steps: int = 0
    warmup_frames: int = 0
    phase: str = ""
    segments: tuple[Segment, ...] = ()
    trained: tuple[str, ...] = ()
    parameters: Mapping[str, tuple[RuleFidelity, ...]] = field(default_factory=dict)
    learning_curves: LearningCurves | None = optional()

    @property
    def state(self) -> str:
        """The last state that was measured, which a summary is about."""
        return [*self.parameters][-1]

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of parameters."""
        return tuple(self.parameters[self.state][0].groups)

    @property
    def main_group(self) -> str:
        """The group that a summary is about: weights, where they are trained."""
        return "weights" if "weights" in self.groups else self.groups[0]

    @property
    def telling(self) -> tuple[int, ...]:
        """Rows of BPTT, D-RTRL, pp-prop, and of hybrid and truncated BPTT with K = 16, or with the largest K."""
        labels = [row.label for row in self.parameters[self.state]]
        wanted = ["bptt", "d-rtrl", "pp-prop"]
        for rule in ("hybrid", "tbptt"):
            of_rule = [label for label in labels if label.startswith(f"{rule}, ")]
            best = f"{rule}, K = {TELLING_WINDOW}"
            wanted += [best] if best in of_rule else of_rule[-1:]
        return tuple(at for at, label in enumerate(labels) if label in wanted)

    @property
    def measured(self) -> tuple[int, ...]:
        """Those of `telling`, without BPTT, whose gradient of the main group has a cosine and a bias."""
        rows = self.parameters[self.state]
        found = [(at, rows[at].groups.get(self.main_group)) for at in self.telling if rows[at].label != "bptt"]
        return tuple(at for at, group in found if group and group.cosine is not None and group.bias is not None)
