"""Compare spiking training with braintrace: D-RTRL of the same integrate-and-fire cells on the same wiring.

    pip install "connfit[bench]"
    python benchmarks/spiking_peer.py                  # the fly's size: some minutes and up to 4 GB
    python benchmarks/spiking_peer.py --neurons 20000

First both compute the gradient of the same two windows of a small network; the benchmark stops if they differ. Then
each is one process on the random wiring of `spiking.py`: ms per step of 1 ms after the first window, and the peak of
memory. Both learn weights, bias, threshold and the time over which activity is seen; there is no refractory time.

What differs, and in whose favour:

- braintrace returns the gradient summed over a window and stops there. connfit goes on with clipping, Adam and
  projection, inside its time and memory.
- braintrace updates the traces of all connections at every step, as its D-RTRL is formulated; connfit once a window.
- braintrace may work for any cell that it can trace; connfit has compiled code for this one.

Reference: Wang et al. 2026, Nature Communications, doi 10.1038/s41467-026-68453-w.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from typing import Any, NamedTuple

import numpy as np
from spiking import DEGREE, NEURONS, REGIONS, brain_of, training_times

from connfit._system.heap import peak_rss_bytes
from connfit._system.pages import with_huge_pages

STEP_S, SYNAPSE_S, MEMBRANE_S, WIDTH_MV, THRESHOLD_MV, QUANTUM_MV = 1e-3, 5e-3, 20e-3, 7.0, 7.0, 0.1
KEYS = ("weights", "bias", "log_time_constants")
GROUPS = ("weights", "bias", "time_constants")
WINDOW, PEER_WINDOW = 100, 20
TOLERANCE = 1e-4
"""Largest difference of a gradient over its largest entry, as in `peer.py`."""


class Problem(NamedTuple):
    """Wiring (by postsynaptic neuron; signs of the presynaptic), parameters, and what is to be read."""

    indptr: np.ndarray
    indices: np.ndarray
    signs: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    log_time_constants: np.ndarray
    region: np.ndarray
    """Of each neuron; a region reads the mean of its neurons."""


def problem(neurons: int, regions: int, mean_input: float) -> tuple[Any, Problem]:
    """Draw a brain and its parameters; equal numbers for everybody."""
    rng, brain = np.random.default_rng(1), brain_of(neurons)
    return brain, Problem(
        brain.indptr, brain.indices, brain.signs,
        (QUANTUM_MV * brain.counts).astype(np.float32),
        rng.normal(mean_input, 0.1, neurons).astype(np.float32),
        np.full(neurons, np.log(0.1), np.float32),
        rng.integers(regions, size=neurons),
    )  # fmt: skip


def targets_of(steps: int, regions: int) -> np.ndarray:
    """Draw what regions should have shown."""
    return np.random.default_rng(2).normal(5, 2, (steps, regions)).astype(np.float32)


class Braintrace:
    """The integrate-and-fire cell as a braintrace module, compiled for D-RTRL."""

    def __init__(self, of: Problem, regions: int) -> None:
        import brainevent
        import brainstate
        import braintrace
        import jax
        import jax.numpy as jnp

        n = len(of.signs)
        share = jnp.asarray(1 / np.maximum(1, np.bincount(of.region, minlength=regions)), jnp.float32)
        region, signs = jnp.asarray(of.region), jnp.asarray(of.signs, jnp.float32)
        wiring = brainevent.CSC(
            (jnp.asarray(of.weights), jnp.asarray(of.indices), jnp.asarray(of.indptr)), shape=(n, n)
        )
        alpha, beta = np.exp(-STEP_S / MEMBRANE_S), np.exp(-STEP_S / SYNAPSE_S)
        kappa = SYNAPSE_S / (SYNAPSE_S - MEMBRANE_S) * (beta - alpha)

        @jax.custom_jvp
        def spike(above: jax.Array) -> jax.Array:
            return (above > 0).astype(above.dtype)

        @spike.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            above = primals[0]
            slope = jnp.maximum(1 - jnp.abs(above / WIDTH_MV), 0) / WIDTH_MV
            return spike(above), slope * tangents[0]

        class Cell(brainstate.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weights = brainstate.ParamState(wiring.data)
                self.bias = brainstate.ParamState(jnp.asarray(of.bias))
                self.log_time_constants = brainstate.ParamState(jnp.asarray(of.log_time_constants))

            def init_state(self, batch_size: int | None = None, **_: Any) -> None:
                zeros = jnp.zeros(n, jnp.float32)
                self.potential, self.current, self.rate = (brainstate.HiddenState(zeros) for _ in range(3))

            def update(self, _: jax.Array) -> jax.Array:
                v, g, r = self.potential.value, self.current.value, self.rate.value
                z = spike(v - THRESHOLD_MV)
                gamma = braintrace.element_wise(
                    self.log_time_constants.value, weight_fn=lambda log_tau: jnp.exp(-STEP_S / jnp.exp(log_tau))
                )
                x = braintrace.sparse_matmul(signs * z, self.weights.value, sparse_mat=wiring)
                x = x + braintrace.element_wise(self.bias.value)
                self.potential.value = (alpha * v + kappa * g) * (1 - z)
                self.current.value = beta * g * (1 - z) + x
                self.rate.value = gamma * r + (1 - gamma) * z / STEP_S
                return share * jax.ops.segment_sum(self.rate.value, region, regions)

        learner = braintrace.compile(Cell(), braintrace.D_RTRL, jnp.zeros(1))

        def loss(_: jax.Array, target: jax.Array) -> jax.Array:
            return ((learner(jnp.zeros(1)) - target) ** 2).sum()

        self._run = brainstate.transform.jit(
            lambda inputs, targets: learner.etrace_grad(inputs, targets, step_fn=loss, reduction="sum")
        )
        self._ready = jax.block_until_ready

    def gradient(self, targets: np.ndarray) -> dict[str, Any]:
        """Compute the gradient of the next window, by group, and wait for it."""
        nothing = np.zeros((len(targets), 1), np.float32)
        return {path[0]: value for path, value in self._ready(self._run(nothing, targets)).items()}


def model_of(brain: Any, of: Problem, regions: int) -> tuple[Any, dict[str, Any]]:
    """Return connfit's model of the same cells, and its parameters."""
    import jax.numpy as jnp
    import scipy.sparse as sp

    from connfit.models import Readout
    from connfit.models.cells.integrate_fire import LIF
    from connfit.models.connectome_model import ConnectomeModel, ModelConditions

    n = len(of.signs)
    shares = 1 / np.maximum(1, np.bincount(of.region, minlength=regions))[of.region]
    readout = Readout(
        sp.csr_array((shares, (of.region, np.arange(n))), shape=(regions, n)), tuple(f"r{k}" for k in range(regions))
    )
    given = ModelConditions(
        connectome=brain, readout=readout, step_s=STEP_S, drive="none", delay=0, bounds_s=(1e-3, 100.0)
    )
    neuron = LIF(
        starts=(("refractory", 0.0), ("synapse", SYNAPSE_S), ("membrane", MEMBRANE_S)), surrogate_width=WIDTH_MV
    )
    model = ConnectomeModel.wire(given, neuron)
    return model, {**model.own_start(), **{group: jnp.asarray(getattr(of, group)) for group in KEYS}}


def compare_gradients() -> dict[str, Any]:
    """Return the largest relative difference of each group's gradient over windows of a small network."""
    import jax.numpy as jnp

    from connfit.training.learners import WindowArrays, WindowedLearner

    regions, steps = 7, 40
    brain, of = problem(10 * DEGREE, regions, 1.6)
    model, params = model_of(brain, of, regions)
    peer, learner = Braintrace(of, regions), WindowedLearner(steps, "neuron", "trace")
    memory, targets = learner.start(model, 1, GROUPS), targets_of(3 * steps, regions)
    differences, spikes = dict.fromkeys(KEYS, 0.0), 0.0
    for start in range(0, 3 * steps, steps):
        aimed = jnp.asarray(targets[start : start + steps, :, None])
        zero = jnp.zeros_like(aimed)
        result, memory = learner.step(
            model, params, memory, WindowArrays(zero, zero > 0, aimed, jnp.ones_like(aimed)), GROUPS
        )
        theirs = peer.gradient(targets[start : start + steps])
        spikes += float(memory.neurons.states[3].mean())
        for group in KEYS:
            ours, other = np.asarray(result.gradient[group]), np.asarray(theirs[group])
            differences[group] = max(differences[group], float(np.abs(ours - other).max() / np.abs(ours).max()))
    return {"hz": spikes / 3, "gradients_differ_by": differences, "tolerance": TOLERANCE}


def run_braintrace(neurons: int, mean_input: float, windows: int) -> dict[str, Any]:
    """Compute gradients window by window, and measure."""
    _, of = problem(neurons, REGIONS, mean_input)
    peer, targets = Braintrace(of, REGIONS), targets_of(PEER_WINDOW, REGIONS)
    peer.gradient(targets)
    began = time.perf_counter()
    for _ in range(windows):
        peer.gradient(targets)
    return _measured(PEER_WINDOW, windows, time.perf_counter() - began)


def run_connfit(neurons: int, mean_input: float, windows: int) -> dict[str, Any]:
    """Take whole training steps, Adam and clipping included, and measure."""
    import jax.numpy as jnp

    from connfit.training.learners import WindowArrays

    brain, of = problem(neurons, REGIONS, mean_input)
    model, params = model_of(brain, of, REGIONS)
    aimed = jnp.asarray(targets_of(WINDOW, REGIONS)[..., None])
    zero = jnp.zeros_like(aimed)
    window = WindowArrays(zero, zero > 0, aimed, jnp.ones_like(aimed))
    times, neurons_then = training_times(model, params, KEYS, GROUPS, window, windows)
    return {"hz": float(neurons_then.states[3].mean()), **_measured(WINDOW, windows, sum(times))}


def _measured(window: int, windows: int, seconds: float) -> dict[str, float]:
    steps = window * windows
    return {
        "window": window, "steps": steps, "ms_per_step": 1e3 * seconds / steps, "peak_gb": peak_rss_bytes() / 1e9
    }  # fmt: skip


def in_process(what: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what this script prints for one of them, in a process of its own."""
    command = [sys.executable, __file__, "--run", what, "--neurons", str(options.neurons)]
    command += ["--input", str(options.input), "--windows", str(options.windows)]
    environment = with_huge_pages(os.environ) or os.environ
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Compare the gradients, then time both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=NEURONS)
    parser.add_argument("--input", type=float, default=1.26, help="mean input of a neuron in each step, in millivolts")
    parser.add_argument("--windows", type=int, default=4, help="that are timed")
    parser.add_argument("--run", choices=("compare", "connfit", "braintrace"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if importlib.util.find_spec("braintrace") is None:
        sys.exit("braintrace is not installed: pip install 'connfit[bench]'")
    if options.run:
        size = options.neurons, options.input, options.windows
        runs = {
            "compare": compare_gradients, "connfit": lambda: run_connfit(*size),
            "braintrace": lambda: run_braintrace(*size),
        }  # fmt: skip
        print(json.dumps(runs[options.run]()))
        return
    compared = in_process("compare", options)
    print(json.dumps(compared), flush=True)
    if max(compared["gradients_differ_by"].values()) > TOLERANCE:
        sys.exit("the two do not compute the same gradient: nothing to compare")
    found = {}
    for name in ("connfit", "braintrace"):
        found[name] = in_process(name, options)
        print(json.dumps({"implementation": name, "neurons": options.neurons, **found[name]}), flush=True)
    print(f"braintrace takes {found['braintrace']['ms_per_step'] / found['connfit']['ms_per_step']:.1f} times as long")


if __name__ == "__main__":
    main()
