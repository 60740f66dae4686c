"""What a process with eight devices computes: run as a script with names of cases, it prints a line of JSON for each.

XLA makes several devices of a processor only where that is asked for before it starts, so tests run this in a process
of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

COUNT = "--xla_force_host_platform_device_count=8"

RULES: dict[str, dict[str, Any]] = {
    "d-rtrl": {"credit": "neuron", "carry": "trace"},
    "hybrid": {"credit": "network", "carry": "trace"},
    "tbptt": {"credit": "network", "carry": "none"},
    "pp-prop": {"credit": "neuron", "carry": "factorised"},
    "history": {"credit": "network", "carry": "history", "history": 6},
}


def ask(*cases: str, timeout: float = 500) -> dict[str, Any]:
    """Return what a process with eight devices answers for each case."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {COUNT}"
    ended = subprocess.run(
        [sys.executable, __file__, *cases], env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True,
        timeout=timeout,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    return dict(json.loads(line) for line in ended.stdout.splitlines())


def case_of(cell: str, kind: str) -> Any:
    """A model with parameters, and a window of what it is shown."""
    import jax.numpy as jnp

    from connfit.models import tie_weights

    if cell == "observed":
        from test_observation import case as observed

        one = observed(kind)
    else:
        from cell_oracles import case
        from test_cell_gradients import KINDS

        known = {**KINDS, "gains": {"delay": 1}, "learned": {}, "own": {}}
        one = case(cell, **known[kind])
    if kind == "gains":
        tied = tie_weights(one.model, one.brain, "gain_per_neuron", one.params["weights"])
        params = {"gains": jnp.ones(tied.recurrent.strengths_shape), **one.params}
        del params["weights"]
        one = replace(one, model=tied, params=params)
    if kind == "learned":
        from networks import random_problem

        one = random_problem(3, drive="anatomical", learned_readout=True, electrical=3)
    return one


def followed(cell: str, kind: str, devices: int) -> dict[str, float]:
    """How much the readings of runs in blocks differ from those of one device, in units of the largest."""
    import numpy as np

    from connfit.models.poisson_input import Clock
    from connfit.models.rollout import Limits, Shown
    from connfit.models.track_runs import WholeRuns
    from connfit.training.device_steps import ModelOnDevices
    from connfit.training.learners import WindowedLearner

    one = case_of(cell, kind)
    model, params, window = one.model, one.params, one.window
    external = None if window.external is None else np.asarray(window.external)
    shown = Shown(np.asarray(window.inputs), np.asarray(window.forced), external)
    steps, units, runs = shown.values.shape
    high = np.full((units, 1), np.quantile(shown.values, 0.9))
    limits = Limits(np.full((units, 1), -np.inf), np.repeat(high, runs, axis=1))
    places = np.full((steps, runs), 64)
    places[: 2 * runs].flat[: 2 * runs] = np.arange(runs, 3 * runs)
    width = 3 * runs
    last = Shown(np.repeat(shown.values[:1], 3, axis=2), np.ones((1, units, width), bool))
    found = []
    here = ModelOnDevices.of(model, params, WindowedLearner(4, **RULES["hybrid"]), devices)
    for way in (WholeRuns(model, params, 2), here.runs(params, 2)):
        state = way.settled(shown.part(slice(0, 1)), limits, Clock.at(3, 100, runs))
        shelf = way.shelf(state, np.arange(runs))
        state, read = way.follow(state, shown, limits)
        state, shelf, again = way.follow_and_shelve(state, shown, limits, shelf, places)
        alone = way.ahead(shelf, last, Shown.nothing(model, 5, width), Limits(limits.low, high))
        found.append({key: np.asarray(v) for key, v in (("shown", read), ("shelved", again), ("ahead", alone))})
    whole, many = found
    assert all(whole[key].shape == many[key].shape and np.ptp(whole[key]) > 0 for key in whole)
    return {key: float(np.abs(whole[key] - many[key]).max() / np.abs(whole[key]).max()) for key in whole}


def gradients(cell: str, kind: str, rule: str, devices: int) -> dict[str, list[float]]:
    """For each group, how much the gradients of all windows differ from those of one device, and their size.

    They are Adam's first moment, which is linear in them: without clipping, and with rates of 0, it is their mean.
    Of cells that spike, with a penalty on firing rates, and what is said of these.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np
    from networks import pieces

    from connfit.training.device_steps import ManyDevices, ModelOnDevices, OneDevice, StepProgram
    from connfit.training.learners import WindowedLearner
    from connfit.training.learners.firing_rates import FiringPenalty
    from connfit.training.optimiser import OPTIMISERS
    from connfit.training.step import StepOptions

    one = case_of(cell, kind)
    window = one.window
    if kind == "own":
        units = np.array([0, 2])
        forced = window.forced | ~np.isin(np.arange(window.forced.shape[1]), units)[:, None]
        window = window._replace(forced=forced, fed_back=units)
    learner = WindowedLearner(4, **RULES[rule])
    if one.model.neuron.spikes:
        learner = replace(learner, firing=FiringPenalty(weight=3.0, low=0.35, high=0.4, mean_s=4.0))
        steps, _, batch = window.inputs.shape
        window = window._replace(counted=(np.arange(steps * batch).reshape(steps, batch) % 5 > 0).astype(float))
    groups = one.model.groups
    options = StepOptions(clip_norm=None, l1_weights=0.1, l2_weights=0.2, drive_distance=0.3)
    program = StepProgram(learner, groups, options)
    anchor = {"drive": 0.9 * one.params["drive"]}
    here = ModelOnDevices.of(one.model, one.params, learner, devices)
    both = OneDevice(one.model, {}, anchor, program), ManyDevices.of(here, {}, anchor, program)
    found = []
    for steps in both:
        params = {key: jnp.array(value) for key, value in one.params.items()}
        params, moments = steps.place(params, OPTIMISERS["adam"].init(params))
        memory, norms = steps.start(window.inputs.shape[2], getattr(one, "streams", None)), []
        for piece in pieces(window, 4):
            params, moments, memory, loss, norm, firing = steps.step(
                params, moments, memory, piece, {key: np.zeros(()) for key in params}
            )
            norms.append({"loss": loss, **norm, **({} if firing is None else firing._asdict())})
        params, moments = steps.whole(params, moments)
        assert moments.count == len(norms)
        found.append(
            {f"mean {k}": np.asarray(v) for k, v in moments.mu.items()}
            | {k: np.asarray(v) for k, v in params.items()}
            | {f"norm {k}": np.array([float(each[k]) for each in norms]) for k in norms[0]}
        )
    one_device, many = found
    assert set(one_device) == set(many) and all(one_device[k].shape == many[k].shape for k in many)
    jax.clear_caches()
    size = {k: float(np.abs(v).max()) for k, v in one_device.items()}
    return {k: [float(np.abs(v - many[k]).max()) / (size[k] or 1.0), size[k]] for k, v in one_device.items()}


def estimated(devices: int) -> dict[str, Any]:
    """What the estimate says of each part in blocks, the bytes of the arrays that are there, and its words."""
    import jax
    import jax.numpy as jnp
    from small import student

    from connfit.config import TrainConfig
    from connfit.training.device_steps import ManyDevices, ModelOnDevices, StepProgram
    from connfit.training.learners import preset
    from connfit.training.memory import estimate_memory
    from connfit.training.optimiser import OPTIMISERS
    from connfit.training.step import StepOptions

    def size(tree: Any) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))

    one = student()
    learner, groups = preset("d-rtrl", window=8), one.model.groups
    estimate = estimate_memory(one.model, one.params, one.cohort, learner, TrainConfig(devices=devices), groups)
    here = ModelOnDevices.of(one.model, one.params, learner, devices)
    steps = ManyDevices.of(here, {}, None, StepProgram(learner, groups, StepOptions()))
    given = {key: jnp.array(value) for key, value in one.params.items()}
    params, moments = steps.place(given, OPTIMISERS["adam"].init(given))
    assert not given  # used up: nothing is held twice
    held = {
        "wiring in blocks": size(here.model.recurrent), "parameters in blocks": size(params),
        "moments in blocks": size((moments.mu, moments.nu)), "traces in blocks": size(steps.start(2).traces),
    }  # fmt: skip
    parts = {what: [estimate.parts[what], there] for what, there in held.items()}
    return {"parts": parts, "report": estimate.report()}


def small_fit(rule: str, devices: int, **options: Any) -> Any:
    """A short fit of the student."""
    from small import student

    from connfit.config import TrainConfig
    from connfit.training.fit import train
    from connfit.training.learners import preset

    usual = {"epochs": 3, "learning_rate": 0.01, "warmup_frames": 5, "select_on": "one_step"}
    own = {key: options.pop(key) for key in ("state", "on_epoch") if key in options}
    one = student()
    config = TrainConfig(**{**usual, **options, "devices": devices})
    return train(one.model, one.params, one.cohort, preset(rule, window=8), config, **own)


def losses(rule: str, devices: int, epochs: int) -> list[float]:
    """Loss of each window of a fit, and its validation skill after each epoch; operators are the native ones."""
    from connfit.models import tracks
    from connfit.models.ops import native
    from connfit.training.trainer import Trainer

    if devices > 1:
        tracks.WholeRuns = None  # epochs are compared where the blocks are

    found: list[float] = []
    check = Trainer._check

    def noting(self: Trainer, *given: Any) -> list[float]:
        each = check(self, *given)
        found.extend(each)
        return each

    Trainer._check = noting
    try:
        fitted = small_fit(rule, devices, epochs=epochs, patience=None)
    finally:
        Trainer._check = check
    assert native.available()
    return [*found, *(row["validation_skill"] for row in fitted.history)]


def resumed(first: int, then: int, folder: str) -> list[float]:
    """What a fit on `first` devices ends with if it goes on on `then` from its checkpoint after an epoch."""
    import numpy as np

    from connfit.training.checkpoints import read_state, write_state

    class Stop(Exception):
        pass

    file = Path(folder) / f"{first}-{then}.npz"

    def stop(state: Any) -> None:
        write_state(file, state, "adam")
        raise Stop

    try:
        small_fit("hybrid", first, on_epoch=stop)
    except Stop:
        fitted = small_fit("hybrid", then, state=read_state(file))
    params = {key: np.asarray(value, float) for key, value in fitted.params.items()}
    return [row["train_loss"] for row in fitted.history] + [
        float(number) for key in sorted(params) for number in params[key].ravel()
    ]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import jax

    assert jax.device_count() == 8
    for name in sys.argv[1:]:
        what, *options = name.split(":")
        answer: Any
        if what == "gradients":
            cell, kind, rule, devices = options
            with jax.enable_x64(True):
                answer = gradients(cell, kind, rule, int(devices))
        elif what == "followed":
            with jax.enable_x64(True):
                answer = followed(options[0], options[1], int(options[2]))
        elif what == "memory":
            answer = estimated(int(options[0]))
        elif what == "losses":
            answer = losses(options[0], int(options[1]), int(options[2]))
        else:
            answer = resumed(int(options[0]), int(options[1]), options[2])
        print(json.dumps([name, answer]), flush=True)
