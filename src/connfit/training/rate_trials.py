"""Short trainings from the start, by which learning rates are found; of a small brain one on each core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Lock

import jax.numpy as jnp
import msgspec

from connfit._system.side_by_side import side_by_side
from connfit.errors import DivergedError
from connfit.training.learning_rates import (
    SHORTEST,
    TRIAL,
    TRIALS,
    WITHOUT_VALIDATION,
    Rates,
    find_rates,
    parameter_sizes,
)
from connfit.training.long_recordings import tried
from connfit.training.memory import estimate_memory
from connfit.training.optimiser import OPTIMISERS
from connfit.training.trainer import FitState, Progress, Trainer

BESIDE_BYTES = 2**26
"""What trials at once may hold together: then each lies in the caches, and its kernels use one thread."""


OF_A_TRIAL = ("parameters", "moments", "gradient", "best so far", "traces", "window")
"""Parts of the estimate of memory that a trial does not share with others."""


def with_rates(trainer: Trainer, start: FitState) -> FitState:
    """Return the start with learning rates as the configuration gives them, or found by short trainings from it.

    A short training is a fit, too: where the best of them is better on validation than the start, its parameters are
    the best so far, and its epochs the first of the history.
    """
    config = trainer.config
    sizes = parameter_sizes(trainer.model, trainer.initial, trainer.cohort)
    if config.learning_rate != "auto":
        return replace(start, rates=Rates(config.learning_rate, dict(config.rate_scale), sizes))
    if not trainer.validates:
        return replace(start, rates=Rates(WITHOUT_VALIDATION, dict(config.rate_scale), sizes))
    epochs = max(SHORTEST, round(config.epochs / TRIALS))
    cohort, lock = tried(trainer.cohort, warmup_frames=config.warmup_frames), Lock()

    def tell(now: Progress) -> None:
        with lock:
            trainer.on_progress(replace(now, phase=TRIAL))

    short = replace(
        trainer, cohort=cohort, on_progress=tell,
        config=msgspec.structs.replace(config, epochs=epochs, free_run_epochs=0, patience=None),
    )  # fmt: skip
    at_once = 1 if trainer.on_devices else max(1, BESIDE_BYTES // _trial_bytes(short))
    best = start

    def trial(task: tuple[float, Mapping[str, float]], check: Callable[[], None]) -> FitState | None:
        # A trainer has a clock.
        runs = short if at_once == 1 else replace(short)
        own = {key: jnp.array(value) for key, value in start.params.items()}
        state = FitState(own, OPTIMISERS[config.optimiser].init(own), {}, rates=Rates(*task, sizes))
        try:
            while not state.finished:
                check()
                state = runs.epoch(state)
        except DivergedError:
            return None
        finally:
            if runs is not short:
                short.take_clock(runs)
        return state

    def train(tasks: Sequence[tuple[float, Mapping[str, float]]]) -> list[float]:
        nonlocal best
        values = []
        for state in side_by_side(trial, tasks, at_once):
            if state is not None and state.best_value > best.best_value:
                best = state
            values.append(float("-inf") if state is None else state.best_value)
        return values

    found = find_rates(train, trainer.groups, config.rate_scale, sizes, epochs)
    trainer.take_clock(short)
    if cohort is not trainer.cohort and best is not start:
        # A trial was watched on its own frames alone.
        params = {**trainer.frozen, **{key: jnp.array(value) for key, value in best.best_params.items()}}
        best = best if trainer.stays_finite(params) else start
    rows = () if best is start else tuple({**row, "phase": TRIAL} for row in best.history)
    return replace(
        start, rates=found, best_params=best.best_params, best_value=best.best_value, best_epoch=best.best_epoch,
        history=rows,
    )  # fmt: skip


def _trial_bytes(short: Trainer) -> int:
    """Bytes that each trial holds for itself."""
    estimate = estimate_memory(
        short.model, short.initial, short.cohort, short.learner, short.config, short.groups
    )  # fmt: skip
    return sum(estimate.parts[what] for what in OF_A_TRIAL)
