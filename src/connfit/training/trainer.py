"""Epochs of a fit: a pass through all windows of a phase, validation, and what decides how a fit goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from connfit._system.heap import return_freed_pieces
from connfit._system.process_group import told
from connfit.config import TrainConfig
from connfit.errors import DivergedError
from connfit.models.base import Model, Params, group_of, key_of
from connfit.models.forecaster import ModelForecaster
from connfit.models.poisson_input import epoch_streams
from connfit.recordings.cohort import Cohort
from connfit.training.device_steps import DeviceSteps, ManyDevices, ModelOnDevices, OneDevice, StepProgram
from connfit.training.fed_back_units import fed_back_units
from connfit.training.firing_penalty import HostScore, Pending, counted_steps, in_history, on_host, with_firing_penalty
from connfit.training.learners.learner import Learner, WindowArrays
from connfit.training.learning_rates import Rates
from connfit.training.long_recordings import compared, stays_finite
from connfit.training.optimiser import OPTIMISERS
from connfit.training.step import StepOptions
from connfit.training.validation import Validation, check_parts_scored, validate

PHASES = ("teacher-forced", "free-running")

CHECK_EVERY = 32
"""Windows between two looks at the losses: rarely enough not to wait for the device, often enough to stop early."""


@dataclass(frozen=True, eq=False)
class FitState:
    """Everything that decides how a fit goes on. Written by checkpoints, read by resume.

    Attributes
    ----------
    params, optimiser
        Trained groups and the optimiser's moments after `epoch` epochs of phase `phase`. The next epoch
        consumes these buffers: copy what is to be kept.
    best_params
        Trained groups at the best validation so far, on the host; empty without a validation part.
    best_value, best_epoch, since_best
        That validation's value (higher is better), the row of `history` (-1: before training) and the
        epochs since the last progress (`train.patience`).
    history
        One row per epoch.
    rates
        Learning rates, given or found; None before the fit has them.
    """

    params: Params
    optimiser: optax.OptState
    best_params: dict[str, np.ndarray]
    phase: int = 0
    epoch: int = 0
    best_value: float = float("-inf")
    best_epoch: int = -1
    since_best: int = 0
    finished: bool = False
    history: tuple[dict[str, Any], ...] = ()
    rates: Rates | None = None

    def chosen_params(self) -> Params:
        """Copy the trained groups that a fit ends with: the best, or the last without a validation part."""
        return {key: jnp.array(value) for key, value in (self.best_params or self.params).items()}

    def kept_epoch(self) -> int | None:
        """Return the row of `history` that `chosen_params` are from; None: from before training."""
        return self.best_epoch if self.best_epoch >= 0 else None


@dataclass(frozen=True)
class Progress:
    """What a progress display needs, after a window or at the end of an epoch."""

    phase: str
    epoch: int
    epochs: int
    window: int
    windows: int
    loss: float | None
    validation_skill: float | None
    ms_per_step: float | None


class Comparison(NamedTuple):
    """What epochs are compared on: validation frames of a cohort, and weights of a unit's squared error in each."""

    cohort: Cohort
    unit_weights: Float[np.ndarray, "P R"]


@dataclass(eq=False)
class Trainer:
    """Runs epochs; holds what does not change between them, and the clock.

    Parameters
    ----------
    comparison
        Default: of the cohort's own.
    on_devices
        The model in blocks, where it is trained on several devices.
    """

    model: Model
    cohort: Cohort
    learner: Learner[Any]
    config: TrainConfig
    groups: tuple[str, ...]
    frozen: Params
    initial: Params
    seed: int
    on_progress: Callable[[Progress], None]
    comparison: Comparison | None = None
    on_devices: ModelOnDevices | None = None
    first_step_s: float | None = None
    steps: int = 0

    def __post_init__(self) -> None:
        self._began = time.perf_counter()
        self._seconds = 0.0
        self._timed_steps = 0
        self._compiled: set[tuple[int, int]] = set()
        # Errors are counted in units of the change from frame to frame, and per frame on average, so
        # that the loss of persistence is about 1 whatever the number of units and recordings.
        variance = self.cohort.change_variance()
        frames = max(recording.require_parts().train[1] for recording in self.cohort.recordings)
        scored = self.cohort.observations("train") / (frames * self.cohort.substeps)
        self._unit_weights, self._scored = np.nan_to_num(1 / variance) / scored, scored
        anchored = self.config.drive_distance and "drive" in self.groups
        anchor = {"drive": jnp.array(self.initial["drive"])} if anchored else None
        learner = with_firing_penalty(self.learner, self.model, self.config)
        program = StepProgram(learner, self.groups, StepOptions.of(self.config))
        self._steps: DeviceSteps = (
            OneDevice(self.model, self.frozen, anchor, program)
            if self.on_devices is None
            else ManyDevices.of(self.on_devices, self.frozen, anchor, program)
        )
        if self.comparison is None:
            self.comparison = Comparison(compared(self.cohort), self._unit_weights)
        recordings = self.cohort.recordings
        self.validates: bool = any(recording.require_parts().length("validation") for recording in recordings)
        check_parts_scored(self.cohort, self.config)
        self._fed_back = fed_back_units(self.cohort, self._batch_size)

    @property
    def _batch_size(self) -> int:
        return min(self.config.batch or len(self.cohort.recordings), len(self.cohort.training_stretches()))

    def take_clock(self, other: Trainer) -> None:
        """Share what another trainer has compiled, and the time of its first step."""
        self.first_step_s, self._compiled, self._began = other.first_step_s, other._compiled, other._began

    def ms_per_step(self) -> float | None:
        """Return the mean time of a model step in milliseconds, compilation left out."""
        return 1e3 * self._seconds / self._timed_steps if self._timed_steps else None

    def epoch(self, state: FitState) -> FitState:
        """Pass once through the training part of every recording, then validate."""
        params, optimiser, losses, seconds, timed, rate, firing = self._pass(state)
        state = replace(state, params=params, optimiser=optimiser)
        value = skill = loss = None
        if self.validates:
            value, skill = self.validate({**self.frozen, **state.params})
            loss = 1 - skill
            if value > state.best_value and not self.stays_finite({**self.frozen, **state.params}):
                value = float("-inf")
        row = {
            "epoch": len(state.history),
            "phase": PHASES[state.phase],
            "train_loss": float(np.mean(losses)),
            **firing,
            "validation_loss": loss,
            "validation_skill": skill,
            "selection": value,
            "learning_rate": rate,
            "ms_per_step": 1e3 * seconds / timed if timed else None,
            "seconds": seconds,
        }
        epoch, progress = state.epoch + 1, value is None or value > _to_beat(state)
        since = 0 if progress else state.since_best + 1
        state = replace(state, epoch=epoch, history=(*state.history, row), since_best=since)
        if value is None:
            state = replace(state, best_epoch=row["epoch"])
        elif value > state.best_value:
            best = {key: np.array(array) for key, array in state.params.items()}
            state = replace(state, best_params=best, best_value=value, best_epoch=row["epoch"])
        patience = self.config.patience
        stop = self.validates and patience is not None and state.since_best >= patience
        if not stop and epoch < self._epochs(state.phase):
            return state
        if state.phase == 0 and self.config.free_run_epochs:
            return self._next_phase(state)
        return replace(state, finished=True)

    def _next_phase(self, state: FitState) -> FitState:
        """Start the free-running phase from the best of the teacher-forced one, with fresh moments."""
        params = state.chosen_params()
        fresh = OPTIMISERS[self.config.optimiser].init(params)
        return replace(state, params=params, optimiser=fresh, phase=1, epoch=0, since_best=0)

    def _epochs(self, phase: int) -> int:
        return self.config.epochs if phase == 0 else self.config.free_run_epochs

    def _batches(self, state: FitState) -> list[list[int]]:
        """Stretches of each batch; their order is shuffled by seed and epoch alone, so that resuming repeats it."""
        count = len(self.cohort.training_stretches())
        size = self._batch_size
        order = self._random(state).permutation(count)
        return [sorted(order[k : k + size].tolist()) for k in range(0, count, size)]

    def _random(self, state: FitState) -> np.random.Generator:
        return np.random.default_rng([self.seed, state.phase, state.epoch])

    def _windows(self, state: FitState, batch: list[int]) -> Iterator[WindowArrays]:
        """Windows of some stretches of training frames; in the free-running phase most inputs are withheld."""
        items = self.cohort.training_stretches()
        members, blocks = [items[item][0] for item in batch], [items[item][1] for item in batch]
        config, substeps, k = self.config, self.cohort.substeps, self.learner.window
        cycle = (config.forced_frames + config.free_run_frames) * substeps
        shift = int(self._random(state).integers(cycle)) if state.phase == 1 else 0
        part = len(items) / len(members)
        weights, share = self._unit_weights * part, jnp.asarray(part / self._scored)
        fed_back = self._fed_back(members) if state.phase == 0 and self._fed_back else None
        windows = self.cohort.windows(k, blocks, members, weights, warmup_frames=config.warmup_frames)
        lengths, warmup = self._lengths(batch), config.warmup_frames * substeps
        for number, window in enumerate(windows):
            counted = None
            if config.firing_rate_penalty:
                counted = jnp.asarray(counted_steps(number * k, k, warmup, lengths), jnp.result_type(float))
            forced = window.forced
            if state.phase == 1:
                position = (number * k + np.arange(k) + shift) % cycle
                free = (position >= config.forced_frames * substeps) & (
                    number * k + np.arange(k) >= config.warmup_frames * substeps
                )
                forced = forced & ~free[:, None, None]
            inputs, given, targets, scored = map(jnp.asarray, (window.inputs, forced, window.targets, window.weights))
            external = None if window.external is None else jnp.asarray(window.external)
            yield WindowArrays(inputs, given, targets, scored, fed_back, external, share, counted)

    def _window_count(self, batch: list[int]) -> int:
        """Windows of a batch: as many as its longest stretch fills (its first frame may have nothing before it)."""
        return -(-max(self._lengths(batch)) // self.learner.window)

    def _lengths(self, batch: list[int]) -> list[int]:
        """Model steps of each stretch of a batch."""
        items = self.cohort.training_stretches()
        chosen = [(self.cohort.recordings[items[item][0]], items[item][1]) for item in batch]
        return [self.cohort.substeps * (stop - recording.first_predicted(start)) for recording, (start, stop) in chosen]

    def _pass(self, state: FitState) -> tuple[Params, optax.OptState, np.ndarray, float, int, float, dict[str, float]]:
        """Train on every window once.

        Returns parameters, moments, the loss of each window, seconds and steps (without windows whose
        step is compiled first), the last learning rate, and what the history says of firing rates.
        """
        steps, kind = self._step_sizes(state), jnp.result_type(float)
        params, moments = self._steps.place(state.params, state.optimiser)
        batches = self._batches(state)
        total = sum(self._window_count(members) for members in batches)
        pending: list[Pending] = []
        losses: list[float] = []
        firing: list[HostScore] = []
        done, untimed, rate = 0, 0, 0.0
        began = time.perf_counter()
        for members in batches:
            memory = self._steps.start(len(members), epoch_streams(self.seed, state.phase, state.epoch, members))
            for window in self._windows(state, members):
                rate = self._learning_rate(state, done / total)
                compiles = (state.phase, len(members)) not in self._compiled
                if compiles:
                    jax.block_until_ready(pending)
                    before = time.perf_counter()
                rates = {key: np.asarray(rate * size, kind) for key, size in steps.items()}
                params, moments, memory, loss, norms, rated = self._steps.step(params, moments, memory, window, rates)
                done += 1
                pending.append((loss, norms, rated))
                if compiles:
                    jax.block_until_ready(loss)
                    return_freed_pieces()
                    now, untimed = time.perf_counter(), untimed + 1
                    began += now - before
                    self.first_step_s = self.first_step_s or now - self._began
                    self._compiled.add((state.phase, len(members)))
                if len(pending) >= CHECK_EVERY:
                    losses += self._check(pending, state, done)
                    firing += on_host(pending)
                    pending = []
                    self._report(state, done, total, float(np.mean(losses)), began, untimed)
        losses += self._check(pending, state, done)
        firing += on_host(pending)
        jax.block_until_ready(params)
        seconds, timed = time.perf_counter() - began, (done - untimed) * self.learner.window
        self.steps += done * self.learner.window
        self._seconds += seconds
        self._timed_steps += timed
        self._report(state, done, total, float(np.mean(losses)), began, untimed)
        params, moments = self._steps.whole(params, moments)
        return params, moments, np.array(losses), seconds, timed, rate, in_history(firing)

    def validate(self, params: Params) -> Validation:
        """Score parameters by what epochs are compared by."""
        assert self.comparison is not None
        forecaster, by = _forecaster(self.model, params, self.comparison.cohort, self.on_devices), self.config.select_on
        found = validate(forecaster, self.comparison.unit_weights, horizons=by != "one_step", near=by == "near")
        return Validation(*map(float, told(found)))

    def stays_finite(self, params: Params) -> bool:
        """Return whether predictions stay finite through all training frames: validation sees too few to tell."""
        return stays_finite(_forecaster(self.model, params, self.cohort, self.on_devices))

    def _learning_rate(self, state: FitState, fraction: float) -> float:
        """Cosine from the phase's learning rate to its final fraction."""
        progress = (state.epoch + fraction) / self._epochs(state.phase)
        low = self.config.final_learning_rate_fraction
        assert state.rates is not None
        start = state.rates.learning_rate * (1.0 if state.phase == 0 else self.config.free_run_rate_fraction)
        return start * (low + (1 - low) * 0.5 * (1 + np.cos(np.pi * progress)))

    def _step_sizes(self, state: FitState) -> dict[str, float]:
        """What a learning rate of 1 moves each trained array by."""
        assert state.rates is not None
        factors = {key_of(group, state.params): factor for group, factor in state.rates.rate_scale.items()}
        return {key: state.rates.sizes[key] * factors.get(key, 1.0) for key in state.params}

    def _check(self, pending: list[Pending], state: FitState, done: int) -> list[float]:
        """Losses of the pending windows, or a DivergedError that names the first bad one."""
        losses = [float(loss) for loss, *_ in pending]
        for number, (loss, (_, norms, _)) in enumerate(zip(losses, pending, strict=True)):
            bad = [group_of(key) for key, norm in norms.items() if not np.isfinite(float(norm))]
            if not np.isfinite(loss) or bad:
                window = done - len(pending) + number
                what = f"the gradient of {', '.join(bad)}" if bad else "the loss"
                spikes = ", or widen the surrogate of spikes (lif, adaptive-lif: model.cell_options.surrogate_width)"
                raise DivergedError(
                    f"{what} is not finite in window {window} (model step {window * self.learner.window}) of epoch "
                    f"{len(state.history)}, {PHASES[state.phase]} phase. Lower train.learning_rate "
                    f"({state.rates.learning_rate if state.rates else 0:g}) or model.spectral_radius"
                    f"{spikes if self.model.neuron.spikes else ''}",
                    epoch=len(state.history),
                )
        return losses

    def _report(self, state: FitState, done: int, total: int, loss: float, began: float, untimed: int) -> None:
        last = state.history[-1] if state.history else {}
        seconds = time.perf_counter() - began
        now = Progress(
            phase=PHASES[state.phase], epoch=state.epoch, epochs=self._epochs(state.phase), window=done, windows=total,
            loss=loss, validation_skill=last.get("validation_skill"),
            ms_per_step=1e3 * seconds / (max(done - untimed, 1) * self.learner.window),
        )  # fmt: skip
        self.on_progress(now)


def _to_beat(state: FitState) -> float:
    """Return the value above which the next epoch is progress.

    Trials of learning rates lower them to the end within few epochs, which a fit that has just begun does not match:
    after trials the first phase competes with itself.
    """
    if state.phase or all(row["phase"] in PHASES for row in state.history):
        return state.best_value
    return max((row["selection"] for row in state.history if row["phase"] == PHASES[0]), default=float("-inf"))


def _forecaster(model: Model, params: Params, cohort: Cohort, on: ModelOnDevices | None) -> ModelForecaster:
    """Forecast where the model is trained."""
    return ModelForecaster(model, params, cohort, runs=None if on is None else on.runs(params, cohort.substeps))
