"""How near the gradients of the learning rules come to those of backpropagation through time, and what each costs.

Everything is measured on the user's own model and recordings, in segments short enough for backpropagation through
time (BPTT). Every rule starts a segment from rest, as a fit starts an epoch, with parameters that do not move, and its
gradient is the sum over its windows; BPTT's is the same sum in one window.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from connfit._io import finite
from connfit.analysis.gradients.gradient_results import GroupFidelity, RuleFidelity, Segment
from connfit.config import LearnerConfig
from connfit.errors import ConfigError, first_ten
from connfit.models.base import Model, Params, key_of
from connfit.recordings.cohort import Cohort
from connfit.training.learners import RULES, WHOLE, Learner, WindowArrays, WindowedLearner, preset
from connfit.training.learners.window_memory import window_arrays
from connfit.training.memory import LIBRARIES, memory_limit

WINDOWS = (1, 4, 16, 64)
ANY_WINDOW = 16
"""K at which rules are run whose gradient does not depend on it."""


@dataclass(frozen=True)
class Rule:
    """A learning rule with a name.

    Parameters
    ----------
    by_window
        Whether its gradient depends on K.
    """

    name: str
    learner: Learner[Any]
    by_window: bool = True

    @property
    def label(self) -> str:
        """Name, and K where it matters."""
        return f"{self.name}, K = {self.learner.window}" if self.by_window else self.name


def rules_to_compare(steps: int, windows: Sequence[int] | None = None, *, trace_decay: float = 0.9) -> tuple[Rule, ...]:
    """List every registered rule, once or for each K; traces in bfloat16 too, and for each K hybrid with factors.

    Parameters
    ----------
    steps
        Model steps T of a segment.
    windows
        K of the rules that depend on it; default: those of 1, 4, 16 and 64 that are below T.

    Raises
    ------
    ConfigError
        If a window is longer than a segment.
    """
    if windows is None:
        windows = [k for k in WINDOWS if k < steps]
    wrong = [k for k in windows if not 1 <= k <= steps]
    if wrong:
        raise ConfigError(
            f"windows of {first_ten(wrong)} steps: a window must have 1 to {steps} steps, as a segment has"
        )
    some = min(ANY_WINDOW, steps)
    given = LearnerConfig(trace_decay=trace_decay)
    fixed: list[Rule] = []
    turning: list[Rule] = []
    for rule in RULES.values():
        if rule.window == WHOLE:
            continue
        if rule.by_window:
            turning += [Rule(rule.name, rule.learner(k, given=given)) for k in windows]
            continue
        learner = rule.learner(some, given=given)
        fixed.append(Rule(rule.name, learner, by_window=False))
        if isinstance(learner, WindowedLearner) and learner.carry == "trace":
            fixed.append(Rule(f"{rule.name}, bf16", replace(learner, trace_dtype="bfloat16"), by_window=False))
    light = [Rule("hybrid-pp", WindowedLearner(k, "network", "factorised", trace_decay=trace_decay)) for k in windows]
    return (*fixed, *turning, *light)


def choose_segments(cohort: Cohort, frames: int, segments: int) -> tuple[Segment, ...]:
    """Spread segments evenly over the training parts, recording by recording in turn.

    Raises
    ------
    ConfigError
        If a training part is shorter than a segment.
    """
    if segments < 1 or frames < 2:
        raise ConfigError(f"{segments} segments of {frames} frames: there must be 1 segment of 2 frames or more")
    parts = [(max(r.require_parts().train[0], 1), r.require_parts().train[1]) for r in cohort.recordings]
    short = [r.name for r, (a, b) in zip(cohort.recordings, parts, strict=True) if b - a < frames]
    if short:
        longest = min(b - a for a, b in parts)
        raise ConfigError(
            f"segments of {frames} frames are longer than the training part of {first_ten(short)}: "
            f"--frames {longest} is the most"
        )
    return tuple(
        Segment(recording.name, first, first + frames)
        for member, (recording, (start, stop)) in enumerate(zip(cohort.recordings, parts, strict=True))
        for first in np.linspace(start, stop - frames, len(range(member, segments, len(parts)))).astype(int).tolist()
    )


def check_steps_fit(model: Model, params: Params, steps: int, segments: int, *, free: int | None = None) -> None:
    """Raise an error if BPTT needs more memory than is free.

    Raises
    ------
    ConfigError
        Says how many steps would fit.
    """
    free = memory_limit() if free is None else free
    size = sum(value.size * value.dtype.itemsize for value in params.values())
    fixed = LIBRARIES + 4 * model.connections + (segments + 6) * size
    each = window_arrays("none", model, 1) * model.neurons * params["bias"].dtype.itemsize
    if fixed + steps * each > free:
        fits = max((free - fixed) // each, 0)
        advice = f"--frames for {fits} model steps would fit" if fits > 1 else "fewer --segments, or fewer neurons"
        raise ConfigError(
            f"BPTT over {steps} steps of {model.neurons:,} neurons needs about {(fixed + steps * each) / 1e9:.2f} GB "
            f"with the gradients of {segments} segments, and {free / 1e9:.2f} GB are free: {advice}"
        )


def gradient_fidelity(
    model: Model,
    params: Params,
    cohort: Cohort,
    rules: Sequence[Rule],
    segments: Sequence[Segment],
    *,
    warmup_frames: int = 20,
    free_run: tuple[int, int] | None = None,
    trained: tuple[str, ...] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> tuple[RuleFidelity, ...]:
    """Compare each rule's gradient with BPTT's, at fixed parameters; see `gradient_fidelities`.

    Returns
    -------
    tuple of RuleFidelity
        One per rule, BPTT first.
    """
    found = gradient_fidelities(
        model, {"": params}, cohort, rules, segments, warmup_frames=warmup_frames, free_run=free_run, trained=trained,
        on_progress=on_progress,
    )  # fmt: skip
    return found[""]


def gradient_fidelities(
    model: Model,
    params: Mapping[str, Params],
    cohort: Cohort,
    rules: Sequence[Rule],
    segments: Sequence[Segment],
    *,
    warmup_frames: int = 20,
    free_run: tuple[int, int] | None = None,
    trained: tuple[str, ...] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> dict[str, tuple[RuleFidelity, ...]]:
    """Compare each rule's gradient with BPTT's at several sets of parameters; a rule is compiled once for all of them.

    Parameters
    ----------
    params
        By name, of equal shapes.
    segments
        Stretches of equal length; see `choose_segments`.
    warmup_frames
        Frames at the start of a segment that are not scored, as in a fit.
    free_run
        After the warm-up, so many recorded frames and then so many on the model's own predictions, in turn, as in the
        free-running phase of a fit. None: teacher-forced.
    trained
        Groups whose gradients are compared; default: all.

    Returns
    -------
    dict
        By name of the parameters: one `RuleFidelity` per rule, BPTT first.
    """
    frames = segments[0].stop - segments[0].start
    if not 0 <= warmup_frames < frames:
        raise ConfigError(f"warmup_frames = {warmup_frames} must be below the {frames} frames of a segment")
    groups = trained or model.groups
    feeding = _Feeding.of(cohort, segments, warmup_frames, free_run)
    bptt = Rule("bptt", preset("bptt", window=frames * cohort.substeps), by_window=False)
    exact: dict[str, list[dict[str, np.ndarray]]] = {at: [] for at in params}
    rows: dict[str, list[RuleFidelity]] = {at: [] for at in params}
    for rule in (bptt, *rules):
        if on_progress is not None:
            on_progress(rule.label)
        runner = _Runner.of(model, next(iter(params.values())), rule.learner, feeding, segments[0], groups)
        dials = [getattr(rule.learner, key, None) for key in ("window", "credit", "carry", "trace_decay")]
        for at, values in params.items():
            comparisons: dict[str, _Comparison] = {}
            for number, segment in enumerate(segments):
                gradient = runner.gradient(values, feeding.windows(rule.learner.window, segment))
                if rule is bptt:
                    exact[at].append(gradient)
                for key, value in gradient.items():
                    comparisons.setdefault(key, _Comparison()).add(value, exact[at][number][key])
            once = feeding.windows(rule.learner.window, segments[0])
            rows[at].append(RuleFidelity(
                rule.name, rule.label, rule.by_window, *dials,
                groups={group: comparisons[key_of(group, comparisons)].fidelity() for group in groups},
                ms_per_step=min(runner.milliseconds(values, once) for _ in range(2)) / (frames * cohort.substeps),
                carried_bytes=runner.carried_bytes, working_bytes=runner.working_bytes,
            ))  # fmt: skip
    return {at: tuple(found) for at, found in rows.items()}


@dataclass(frozen=True, eq=False)
class _Feeding:
    """Windows of segments as a fit makes them, on the device."""

    cohort: Cohort
    unit_weights: Float[np.ndarray, "P B"]
    warmup_frames: int
    free_run: tuple[int, int] | None
    fed_back: Int[Array, "W"] | None
    members: dict[str, int]

    @classmethod
    def of(
        cls, cohort: Cohort, segments: Sequence[Segment], warmup_frames: int, free_run: tuple[int, int] | None
    ) -> _Feeding:
        everything, unobserved = set(range(len(cohort.units))), set[int]()
        members = {recording.name: member for member, recording in enumerate(cohort.recordings)}
        for member in {members[segment.recording] for segment in segments}:
            observed = cohort.recordings[member].mask.all(axis=0)
            unobserved |= everything - set(cohort.columns[member][observed].tolist())
        # As in a fit: with few units that ever lack an input, only those feed the model's predictions back.
        few = free_run is None and 2 * len(unobserved) <= len(everything)
        fed_back = jnp.asarray(sorted(unobserved), jnp.int32) if few else None
        return cls(cohort, np.nan_to_num(1 / cohort.change_variance()), warmup_frames, free_run, fed_back, members)

    def windows(self, steps: int, segment: Segment) -> list[WindowArrays]:
        found = self.cohort.windows(
            steps, [(segment.start, segment.stop)], [self.members[segment.recording]], self.unit_weights,
            warmup_frames=self.warmup_frames,
        )  # fmt: skip
        windows = []
        for number, window in enumerate(found):
            recorded = self._recorded(number * steps + np.arange(steps))
            given = window._replace(forced=window.forced & recorded[:, None, None])
            external = None if given.external is None else jnp.asarray(given.external)
            windows.append(
                WindowArrays(*map(jnp.asarray, given[:4]))._replace(fed_back=self.fed_back, external=external)
            )
        return windows

    def _recorded(self, position: Int[np.ndarray, "K"]) -> Bool[np.ndarray, "K"]:
        """Whether steps at these positions of a segment see the recording."""
        if self.free_run is None:
            return np.ones(len(position), bool)
        after = position // self.cohort.substeps - self.warmup_frames
        forced, free = self.free_run
        return (after < 0) | (after % (forced + free) < forced)


@dataclass(frozen=True, eq=False)
class _Runner:
    """A compiled rule."""

    model: Model
    learner: Learner[Any]
    groups: tuple[str, ...]
    step: Any

    @classmethod
    def of(
        cls,
        model: Model,
        params: Params,
        learner: Learner[Any],
        feeding: _Feeding,
        segment: Segment,
        groups: tuple[str, ...],
    ) -> _Runner:
        def step(model: Model, params: Params, memory: Any, window: WindowArrays) -> Any:
            result, memory = learner.step(model, params, memory, window, groups)
            return result.gradient, memory

        first = feeding.windows(learner.window, segment)[0]
        lowered = jax.jit(step, donate_argnums=2).lower(model, params, learner.start(model, 1, groups), first)
        return cls(model, learner, groups, lowered.compile())

    def gradient(self, params: Params, windows: list[WindowArrays]) -> dict[str, np.ndarray]:
        memory = self.learner.start(self.model, 1, self.groups)
        total: Params = {}
        for window in windows:
            gradient, memory = self.step(self.model, params, memory, window)
            total = {key: total[key] + value for key, value in gradient.items()} if total else gradient
        return {key: np.asarray(value) for key, value in total.items()}

    def milliseconds(self, params: Params, windows: list[WindowArrays]) -> float:
        """Time of one pass over a segment, without summing gradients."""
        memory = jax.block_until_ready(self.learner.start(self.model, 1, self.groups))
        gradient: Params = {}
        before = time.perf_counter()
        for window in windows:
            gradient, memory = self.step(self.model, params, memory, window)
        jax.block_until_ready((gradient, memory))
        return 1e3 * (time.perf_counter() - before)

    @property
    def carried_bytes(self) -> int:
        memory = jax.eval_shape(lambda: self.learner.start(self.model, 1, self.groups))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(memory))

    @property
    def working_bytes(self) -> int:
        return int(self.step.memory_analysis().temp_size_in_bytes)


@dataclass
class _Comparison:
    """Gradients of one group beside the exact ones, segment by segment."""

    products: list[tuple[float, float, float, float]] = field(default_factory=list)
    total: Float[np.ndarray, "n"] = field(default_factory=lambda: np.zeros(0))
    exact_total: Float[np.ndarray, "n"] = field(default_factory=lambda: np.zeros(0))

    def add(self, gradient: np.ndarray, exact: np.ndarray) -> None:
        g, e = gradient.ravel().astype(np.float64), exact.ravel().astype(np.float64)
        self.products.append((float(g @ e), float(g @ g), float(e @ e), float((g - e) @ (g - e))))
        self.total = self.total + g if self.total.size else g
        self.exact_total = self.exact_total + e if self.exact_total.size else e

    @np.errstate(divide="ignore", invalid="ignore")
    def fidelity(self) -> GroupFidelity:
        dots, squares, exact, errors = map(np.array, zip(*self.products, strict=True))
        cosine = dots / np.sqrt(squares * exact)
        n, defined = len(cosine), np.isfinite(cosine)
        mean, exact_mean = self.total / n, self.exact_total / n
        bias, reference = mean - exact_mean, exact_mean @ exact_mean
        around = max(errors.mean() - bias @ bias, 0.0) * n / max(n - 1, 1)
        values = {
            "cosine": cosine[defined].mean() if defined.any() else np.nan,
            "cosine_min": cosine[defined].min() if defined.any() else np.nan,
            "undefined_segments": n - defined.sum(),
            "cosine_of_sum": mean @ exact_mean / np.sqrt((mean @ mean) * reference),
            "relative_norm": np.sqrt(squares / exact).mean(),
            "relative_error": np.sqrt(errors / exact).mean(),
            "bias": np.sqrt((bias @ bias) / reference),
            "spread": np.sqrt(around / reference) if n > 1 else np.nan,
            "variance_ratio": (squares.mean() - mean @ mean) / (exact.mean() - reference) if n > 1 else np.nan,
        }
        return GroupFidelity(**{key: finite(float(value)) for key, value in values.items()})
