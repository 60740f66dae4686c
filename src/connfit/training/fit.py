"""Fit a model to recordings: two phases, learning rates, early stopping, states that resume exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from connfit._system import process_group
from connfit._system.devices import device_count
from connfit._system.heap import return_freed_pieces
from connfit._system.stages import stage
from connfit.config import TrainConfig
from connfit.errors import ConfigError, one_of
from connfit.models.base import GROUPS, Model, Params, key_of
from connfit.recordings.cohort import Cohort
from connfit.training.device_steps import ModelOnDevices
from connfit.training.fitted import Fit
from connfit.training.learners.learner import Learner
from connfit.training.optimiser import OPTIMISERS, is_state_of
from connfit.training.rate_trials import with_rates
from connfit.training.trainer import FitState, Progress, Trainer


def train(
    model: Model,
    params: Params,
    cohort: Cohort,
    learner: Learner[Any],
    config: TrainConfig | None = None,
    *,
    trained: tuple[str, ...] | None = None,
    seed: int = 0,
    state: FitState | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_epoch: Callable[[FitState], None] | None = None,
) -> Fit:
    """Fit the trained groups of `params` to the training part of every recording.

    Parameters
    ----------
    model, params
        The model and all its parameters before training.
    cohort
        Recordings with parts; those of one batch are run side by side.
    learner
        Where gradients come from, for example `connfit.training.learners.WindowedLearner`.
    trained
        Groups to train; default: all that the model has.
    state
        A state to go on from, as given to `on_epoch` earlier: the result is the same, bit for bit,
        as if the fit had not been interrupted.
    on_progress, on_epoch
        Called after each window, and after each epoch with the state to checkpoint.

    Raises
    ------
    DivergedError
        When a loss or a gradient is not finite; names step, group and what to try.
    ConfigError
        When options contradict each other.
    """
    config = config or TrainConfig()
    groups = model.groups if trained is None else trained
    absent = [group for group in groups if group not in model.groups]
    if absent:
        raise ConfigError(f"the model has no group {absent[0]!r}; it has {', '.join(model.groups)}")
    for group in config.rate_scale:
        one_of("a group of train.rate_scale", group, {**dict.fromkeys(GROUPS), **dict.fromkeys(model.groups)})
    if state is not None and not is_state_of(config.optimiser, state.optimiser):
        raise ConfigError(f"the state to go on from is not one of train.optimiser = {config.optimiser!r}")
    params = initial = {key: jnp.asarray(value) for key, value in process_group.told(params).items()}
    keys = [key_of(group, params) for group in groups]
    frozen = {key: value for key, value in params.items() if key not in keys}
    devices = device_count(config.devices)
    trainer = Trainer(
        model, cohort, learner, config, tuple(groups), frozen, initial, seed, on_progress or (lambda _: None),
        on_devices=ModelOnDevices.of(model, params, learner, devices) if devices > 1 else None,
    )  # fmt: skip
    if state is None:
        own = {key: jnp.array(params[key]) for key in keys}
        state = FitState(own, OPTIMISERS[config.optimiser].init(own), {}, phase=0 if config.epochs else 1)
        if config.epochs + config.free_run_epochs == 0 or not keys:
            state = replace(state, finished=True)
            if on_epoch is not None:
                on_epoch(state)
        else:
            if trainer.validates:
                untrained = {key: np.asarray(params[key]) for key in keys}
                state = replace(state, best_params=untrained, best_value=trainer.validate(params).value)
                return_freed_pieces()
            with stage("learning rates"), process_group.lost_processes():
                state = with_rates(trainer, state)
    while not state.finished:
        with stage("training"), process_group.lost_processes():
            state = trainer.epoch(state)
        if on_epoch is not None and (state.finished or state.epoch % config.checkpoint_every == 0):
            on_epoch(state)
    performance = {"ms_per_step": trainer.ms_per_step(), "first_step_s": trainer.first_step_s, "steps": trainer.steps}
    params = {**frozen, **state.chosen_params()}
    return Fit(model, params, initial, cohort, state.history, performance, state.rates, state.kept_epoch())
