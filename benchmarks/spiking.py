"""Time a spiking brain of the fly's size: steps forward, and of D-RTRL with clipping and Adam, over spike density.

    python benchmarks/spiking.py                  # all of it: some minutes and up to 3 GB
    python benchmarks/spiking.py --neurons 20000  # a smaller brain with as many connections per neuron
    python benchmarks/spiking.py --poisson 500    # with external events of 1 mV, so many per second onto each neuron

Random wiring, integrate-and-fire cells in steps of 1 ms, regions as read-outs that are scored once a window. What the
neurons get decides how many spike; the density is measured. Each density is a process of its own with the large pages
that the command line sets up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Array

from connfit._system.heap import peak_rss_bytes
from connfit._system.pages import SETTING
from connfit.config import TrainConfig
from connfit.connectome import Connectome
from connfit.models import Readout
from connfit.models.base import Neurons, Params
from connfit.models.cells.integrate_fire import LIF
from connfit.models.compiled_step import for_run
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.windows import run_steps, run_window
from connfit.training.learners import WindowArrays, WindowedLearner
from connfit.training.optimiser import OPTIMISERS
from connfit.training.step import StepOptions, training_step

NEURONS, DEGREE, REGIONS = 138_639, 109, 50
INPUTS = (1.2, 1.26, 1.31, 1.38, 1.65)
"""Mean input of a neuron in each step, in millivolts: 0.03 to 3 % of the neurons spike in a step."""

SETTLE, REPEATS = 6, 6
"""Windows before those that are timed, and these."""


def brain_of(neurons: int) -> Connectome:
    """Wire every neuron to `DEGREE` others at random."""
    rng = np.random.default_rng(0)
    spread = neurons // DEGREE
    indices = (np.arange(DEGREE) * spread + rng.integers(spread, size=(neurons, DEGREE))).astype(np.int32).ravel()
    table = pd.DataFrame({"id": [str(k) for k in range(neurons)]}).assign(type="", region="", transmitter="", side="")
    counts = rng.integers(1, 5, len(indices)).astype(np.int32)
    indptr = np.arange(0, len(indices) + 1, DEGREE, dtype=np.int32)
    signs = np.where(rng.random(neurons) < 0.3, -1, 1)
    return Connectome("random", indptr, indices, counts, signs, table, notes={"random": True})


def training_times(
    model: ConnectomeModel,
    params: Params,
    keys: Sequence[str],
    groups: tuple[str, ...],
    window: WindowArrays,
    windows: int,
) -> tuple[list[float], Neurons]:
    """Return the seconds of windows of D-RTRL with clipping and Adam, after `SETTLE` others, and the neurons then."""
    learner, trained = WindowedLearner(len(window.inputs), "neuron", "trace"), {key: params[key] for key in keys}
    frozen = {key: value for key, value in params.items() if key not in keys}
    moments, memory = OPTIMISERS["adam"].init(trained), learner.start(model, 1, groups)
    rates, times = {key: np.float32(0.0) for key in keys}, []  # so that neurons spike as often as at the start
    for _ in range(SETTLE + windows):
        began = time.perf_counter()
        trained, moments, memory, loss, *_ = training_step(
            model, trained, frozen, None, moments, memory, window, rates, learner=learner, groups=groups,
            options=StepOptions.of(TrainConfig()),
        )  # fmt: skip
        jax.block_until_ready((trained, memory, loss))
        times.append(time.perf_counter() - began)
    return times[SETTLE:], memory.neurons


def measure(neurons: int, steps: int, mean_input: float, poisson_hz: float) -> dict[str, float]:
    """Return density of spikes, ms per step forward and in training, and the peak of memory."""
    rng, brain = np.random.default_rng(1), brain_of(neurons)
    own = rng.integers(REGIONS, size=neurons)
    shares = 1 / np.bincount(own, minlength=REGIONS)[own]
    matrix = sp.csr_array((shares, (own, np.arange(neurons))), shape=(REGIONS, neurons))
    readout = Readout(matrix, tuple(f"r{k}" for k in range(REGIONS)))
    given = ModelConditions(
        connectome=brain, readout=readout, step_s=1e-3, drive="none", delay=1, bounds_s=(1e-3, 100.0)
    )
    cell = LIF(poisson_hz=poisson_hz)
    mean_input -= 0.0 if cell.poisson is None else cell.poisson.mean(given.step_s)
    model = ConnectomeModel.wire(given, cell)
    params = {
        "weights": jnp.asarray(0.1 * brain.counts, jnp.float32),
        "log_time_constants": jnp.full(neurons, np.log(0.1), jnp.float32),
        "bias": jnp.asarray(rng.normal(mean_input, 0.1, neurons), jnp.float32), **model.own_start(),
    }  # fmt: skip
    scored = np.zeros((steps, REGIONS, 1), np.float32)
    scored[-1] = 1 / REGIONS
    zero = jnp.zeros_like(scored)
    window = WindowArrays(zero, zero > 0, zero + 5, jnp.asarray(scored))

    @jax.jit
    def forward(model: ConnectomeModel, params: Params, start: Neurons) -> Neurons:
        return run_window(model, params, start, window.inputs, window.forced)[0]

    @jax.jit
    def lay_out(model: ConnectomeModel, params: Params, start: Neurons) -> Array:
        return for_run(model, params, start, 10_000).recurrent.pattern.by_column.laid_out.weights

    @jax.jit
    def spikes(model: ConnectomeModel, params: Params, start: Neurons) -> Array:
        steps = window.inputs, window.forced, None, None
        return run_steps(model, params, start, steps, lambda after, seen, also: after.sent.mean())[1]

    state, times = model.rest(), []
    for _ in range(SETTLE + REPEATS):
        began = time.perf_counter()
        state = jax.block_until_ready(forward(model, params, state))
        times.append(time.perf_counter() - began)
    density = float(spikes(model, params, state).mean())
    copies = []
    for _ in range(REPEATS):  # into the order of the neurons that send, as a run begins where that pays
        began = time.perf_counter()
        jax.block_until_ready(lay_out(model, params, state))
        copies.append(time.perf_counter() - began)

    groups = tuple(group for group in model.groups if group != "refractory")
    learned, _ = training_times(model, params, [key for key in params if key != "refractory"], groups, window, REPEATS)
    per_step = 1e3 / steps
    return {
        "density_percent": 100 * density, "forward_ms": per_step * min(times[SETTLE:]),
        "training_ms": per_step * min(learned), "copy_ms": 1e3 * min(copies), "peak_gb": peak_rss_bytes() / 1e9,
    }  # fmt: skip


def main() -> None:
    """Print a line for each density."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=NEURONS)
    parser.add_argument("--window", type=int, default=100, help="steps of a window")
    parser.add_argument("--poisson", type=float, default=0.0, help="external events per second of each neuron")
    parser.add_argument("--input", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.input is not None:
        print(json.dumps(measure(options.neurons, options.window, options.input, options.poisson)))
        return
    print(f"{options.neurons:,} neurons, {options.neurons * DEGREE:,} connections, windows of {options.window} steps")
    print(f"{'spikes %':>9} {'forward ms':>11} {'D-RTRL ms':>10} {'copy ms':>8} {'peak GB':>8}")
    environment = {**os.environ, "GLIBC_TUNABLES": SETTING}
    for given in INPUTS:
        size = ["--neurons", str(options.neurons), "--window", str(options.window), "--poisson", str(options.poisson)]
        command = [sys.executable, __file__, *size, "--input", str(given)]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        if ran.returncode:
            raise SystemExit(ran.stderr)
        found = json.loads(ran.stdout.splitlines()[-1])
        row = "{density_percent:9.3f} {forward_ms:11.2f} {training_ms:10.2f} {copy_ms:8.1f} {peak_gb:8.2f}"
        print(row.format(**found), flush=True)


if __name__ == "__main__":
    main()
