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


def gradients(cell: str, kind: str, rule: str, devices: int) -> dict[str, list[float]]:
    """For each group, how much the gradients of all windows differ from those of one device, and their size.

    They are Adam's first moment, which is linear in them: without clipping, and with rates of 0, it is their mean.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np
    from networks import pieces

    from connfit.models import tie_weights
    from connfit.training.device_steps import ManyDevices, ModelOnDevices, OneDevice, StepProgram
    from connfit.training.learners import WindowedLearner
    from connfit.training.optimiser import OPTIMISERS
    from connfit.training.step import StepOptions

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
    window = one.window
    if kind == "own":
        units = np.array([0, 2])
        forced = window.forced | ~np.isin(np.arange(window.forced.shape[1]), units)[:, None]
        window = window._replace(forced=forced, fed_back=units)
    learner = WindowedLearner(4, **RULES[rule])
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
            params, moments, memory, loss, norm, _ = steps.step(
                params, moments, memory, piece, {key: np.zeros(()) for key in params}
            )
            norms.append({"loss": loss, **norm})
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
    from connfit.models.ops import native
    from connfit.training.trainer import Trainer

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
        elif what == "losses":
            answer = losses(options[0], int(options[1]), int(options[2]))
        else:
            answer = resumed(int(options[0]), int(options[1]), options[2])
        print(json.dumps([name, answer]), flush=True)
