"""Compare with braintrace: D-RTRL on the same wiring and recording, in processes of their own.

    pip install "connfit[bench]"
    python benchmarks/peer.py                      # 5 %, 20 % and all of the fly surrogate
    python benchmarks/peer.py --random             # random wiring of those sizes
    python benchmarks/peer.py --scale 0.05         # a twentieth of it: about a minute
    python benchmarks/peer.py --brain FILE         # a connectome written by Connectome.save

The fly surrogate is made first if it is missing; without the fly's real connections the wiring is random, and each line
says so.

First both compute the gradient of the same window of a small network, all four groups of parameters; the benchmark
stops if they differ. Then each line is one process: ms per model step after the first window, seconds from the start of
the process to the end of the first window, and peak resident memory.

What differs between the two, and in whose favour:

- braintrace returns the gradient summed over a window of 16 steps and stops there. connfit goes on with clipping,
  Adam over all parameters and projection, all inside its time and its memory.
- braintrace updates the traces of all connections at every step, as its D-RTRL is formulated; connfit once per
  window, which gives the same gradient (this is what is compared first).
- connfit's time per step includes half a second that a fit spends once after its first window, divided by all steps.
- braintrace may work for any model that it can trace. connfit knows the derivatives of this one.
- braintrace's sparse products are brainevent's, by numba where that is installed (the extra `bench` does) or with
  `--backend`; connfit's are C++ ("native") or plain XLA ("portable").

Reference: Wang et al. 2026, Nature Communications, doi 10.1038/s41467-026-68453-w.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from training import CONNECTIONS, NEURONS, UNITS, WINDOW, write_brain

from connfit._system.pages import with_huge_pages

IMPLEMENTATIONS = ("native", "portable", "braintrace")
STEP_S = 1 / 1.2
MISSING = "braintrace is not installed: pip install 'connfit[bench]'"

TOLERANCE = 1e-4
"""Largest difference of a gradient over its largest entry: float32 sums of some hundred terms in another order
differ by about 1e-6; a wrong term differs by 1e-2 and more."""


class Problem(NamedTuple):
    """Random parameters, read-out and recording for a wiring (indptr, indices by postsynaptic neuron; signs)."""

    indptr: np.ndarray
    indices: np.ndarray
    signs: np.ndarray
    weights: np.ndarray
    log_time_constants: np.ndarray
    bias: np.ndarray
    drive: np.ndarray
    """[N, P]"""
    readout: tuple[np.ndarray, np.ndarray]
    """Unit and neuron of each entry; every unit is the mean over its entries."""
    values: np.ndarray
    """[frames + 1, P]"""


def problem(indptr: np.ndarray, indices: np.ndarray, signs: np.ndarray, units: int, frames: int) -> Problem:
    """Draw parameters and a recording; equal wiring gives equal numbers."""
    rng = np.random.default_rng(1)
    n, m = len(signs), len(indices)
    weights = rng.random(m, np.float32) * np.float32(0.5 * n / max(1, m))
    tau = rng.normal(0, 0.5, n).astype(np.float32)
    bias = rng.normal(0.1, 0.1, n).astype(np.float32)
    drive = rng.normal(0.5, 1, (n, units)).astype(np.float32) / units
    # Two units per neuron, as neurons with presynapses in two regions.
    readout = (rng.integers(units, size=2 * n), np.tile(np.arange(n), 2))
    return Problem(
        indptr, indices, signs, weights, tau, bias, drive, readout, rng.random((frames + 1, units), np.float32)
    )


class Braintrace:
    """The rate model as a braintrace module, compiled for D-RTRL."""

    def __init__(self, of: Problem, backend: str | None) -> None:
        import brainevent
        import brainstate
        import braintrace
        import jax
        import jax.numpy as jnp
        from brainevent.config import set_backend

        if backend is not None:
            set_backend("cpu", backend)
        n, units = of.drive.shape
        unit, neuron = (jnp.asarray(ends) for ends in of.readout)
        share = jnp.asarray(1 / np.maximum(1, np.bincount(of.readout[0], minlength=units)), jnp.float32)
        signs = jnp.asarray(of.signs, jnp.float32)
        # Rows are presynaptic in braintrace: wiring compressed by postsynaptic neuron is its CSC.
        wiring = brainevent.CSC(
            (jnp.asarray(of.weights), jnp.asarray(of.indices), jnp.asarray(of.indptr)), shape=(n, n)
        )

        class Cell(brainstate.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weights = brainstate.ParamState(wiring.data)
                self.log_time_constants = brainstate.ParamState(jnp.asarray(of.log_time_constants))
                self.bias = brainstate.ParamState(jnp.asarray(of.bias))
                self.drive = brainstate.ParamState(jnp.asarray(of.drive.T))

            def init_state(self, batch_size: int | None = None, **_: Any) -> None:
                self.rates = brainstate.HiddenState(jnp.zeros(n, jnp.float32))

            def update(self, u: jax.Array) -> jax.Array:
                r = self.rates.value
                alpha = braintrace.element_wise(
                    self.log_time_constants.value, weight_fn=lambda log_tau: jnp.exp(-STEP_S / jnp.exp(log_tau))
                )
                recurrent = braintrace.sparse_matmul(signs * r, self.weights.value, sparse_mat=wiring)
                driven = jnp.maximum(braintrace.matmul(u, self.drive.value), 0)
                x = recurrent + braintrace.element_wise(self.bias.value) + driven
                self.rates.value = alpha * r + (1 - alpha) * jnp.maximum(x, 0)
                return share * jax.ops.segment_sum(self.rates.value[neuron], unit, units)

        learner = braintrace.compile(Cell(), braintrace.D_RTRL, jnp.asarray(of.values[0]))

        def loss(u: jax.Array, y: jax.Array) -> jax.Array:
            return ((learner(u) - y) ** 2).sum()

        self._run = brainstate.transform.jit(
            lambda inputs, targets: learner.etrace_grad(inputs, targets, step_fn=loss, reduction="sum")
        )
        self._ready = jax.block_until_ready

    def gradient(self, inputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Compute the gradient of the next window, by group, and wait for it."""
        return {path[0]: value for path, value in self._ready(self._run(inputs, targets)).items()}


def compare_gradients(backend: str | None) -> dict[str, Any]:
    """Return the largest relative difference of each group's gradient over two windows of a small network."""
    import jax.numpy as jnp
    import pandas as pd
    import scipy.sparse as sp

    import connfit as cf
    from connfit.connectome import from_pairs
    from connfit.training.learners import WindowArrays

    rng, n, units = np.random.default_rng(0), 200, 7
    table = pd.DataFrame({"id": np.arange(n)}).assign(type="", region="", transmitter="", side="")
    ends = rng.integers(n, size=(2, 10 * n))
    brain = from_pairs("small", *ends, np.ones(10 * n, int), rng.choice([-1, 1], n), table)
    of = problem(brain.indptr, brain.indices, brain.signs, units, 2 * WINDOW)
    peer = Braintrace(of, backend)
    shares = sp.csr_array((np.ones(2 * n), of.readout), shape=(units, n))
    readout = cf.Readout(shares, tuple(f"unit {k}" for k in range(units)))
    model = cf.RateModel.from_connectome(brain, readout, step_s=STEP_S, drive="dense")
    groups = ("weights", "log_time_constants", "bias", "drive")
    params = {group: jnp.asarray(getattr(of, group)) for group in groups}
    learner = cf.WindowedLearner(WINDOW, "neuron", "trace")
    memory = learner.start(model, 1, model.groups)
    differences = dict.fromkeys(groups, 0.0)
    for start in (0, WINDOW):
        inputs, targets = (of.values[start + k : start + k + WINDOW] for k in (0, 1))
        shape = (WINDOW, units, 1)
        recorded, aimed = (jnp.asarray(one[..., None]) for one in (inputs, targets))
        window = WindowArrays(recorded, jnp.ones(shape, bool), aimed, jnp.ones(shape))
        result, memory = learner.step(model, params, memory, window, model.groups)
        theirs = peer.gradient(inputs, targets)
        for group in groups:
            ours, other = np.asarray(result.gradient[group]), np.asarray(theirs[group])
            apart = np.abs(ours - (other.T if group == "drive" else other)).max() / np.abs(ours).max()
            differences[group] = max(differences[group], float(apart))
    return {"benchmark": "peer", "gradients_differ_by": differences, "tolerance": TOLERANCE}


def run_braintrace(brain_file: str, backend: str | None, steps: int) -> dict[str, Any]:
    """Compute gradients of a recording, window by window, and measure; nothing of connfit is imported."""
    import h5py

    with h5py.File(brain_file) as file:
        if np.any(file["electrical"][:]):
            sys.exit(f"{brain_file}: braintrace's model here has no gap junctions; use a connectome without them")
        wiring = [file[key][:] for key in ("indptr", "indices", "signs")]
    of = problem(*wiring, UNITS, steps)
    peer = Braintrace(of, backend)
    windows = [(of.values[k : k + WINDOW], of.values[k + 1 : k + 1 + WINDOW]) for k in range(0, steps, WINDOW)]
    peer.gradient(*windows[0])
    first = time.time() - float(os.environ["CONNFIT_BENCH_BEGAN"])
    start = time.perf_counter()
    for window in windows[1:]:
        peer.gradient(*window)
    seconds = time.perf_counter() - start
    return {
        "n": len(of.signs),
        "m": len(of.indices),
        "units": UNITS,
        "window": WINDOW,
        "frames": steps,
        "steps": steps,
        "optimiser": "none",
        "ms_per_step": round(1e3 * seconds / (steps - WINDOW), 3),
        "first_step_s": round(first, 2),
        "peak_rss_bytes": _peak_rss_bytes(),
    }


def _peak_rss_bytes() -> int:
    """Return the highest resident memory of this process so far (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def run_connfit(brain_file: str, implementation: str, steps: int) -> dict[str, Any]:
    """Run the same wiring through whole training steps of connfit, D-RTRL and Adam."""
    from training import run

    return {**run(brain_file, implementation, "neuron", min(steps, 1024), steps, "rate"), "optimiser": "adam"}


def in_process(*arguments: object) -> dict[str, Any]:
    """Return what this script prints when called with `--run` in a process of its own."""
    environment = {**(with_huge_pages(os.environ) or os.environ), "CONNFIT_BENCH_BEGAN": str(time.time())}
    command = [sys.executable, __file__, "--run", *map(str, arguments)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def surrogate_file(scale: float) -> Path | None:
    """Return the fly surrogate's wiring, made first if missing; None without the fly's real connections."""
    from connfit.datasets.synthetic.fly.fly_surrogate import make_fly_surrogate
    from connfit.errors import NotAvailableError

    try:
        return make_fly_surrogate(scale).folder / "connectome.h5"
    except NotAvailableError:
        return None


def side_by_side(
    brain_file: Path, options: argparse.Namespace, peer: bool, scale: float = 1.0, wiring: str = "random"
) -> None:
    """Run each implementation on one wiring and print its line."""
    # Where a step takes a millisecond, half a second that a fit spends once would double the mean of a thousand.
    ours = options.steps or WINDOW * round(64 * min(16, max(1, 1 / scale)))
    native: dict[str, Any] | None = None
    for name in options.only:
        line: dict[str, Any] = {"benchmark": "peer", "implementation": name}
        if name == "braintrace" and not peer:
            print(json.dumps({**line, "skipped": MISSING}), flush=True)
            continue
        steps = options.peer_steps if name == "braintrace" else ours
        line |= in_process(name, brain_file, steps, options.backend or "")
        line |= {"benchmark": "peer", "wiring": wiring, "scale": scale}
        native = line if name == "native" else native
        if native is not None:
            line["ratio_to_native"] = round(line["ms_per_step"] / native["ms_per_step"], 2)
        print(json.dumps(line), flush=True)


def main() -> None:
    """Compare the gradients, then time each implementation at each scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, nargs="+", default=[0.05, 0.2, 1.0], help="shares of the fly's size")
    parser.add_argument("--random", action="store_true", help="random wiring in place of the fly surrogate's")
    parser.add_argument("--brain", type=Path, help="a connectome file, in place of the surrogate's")
    parser.add_argument(
        "--steps", type=int, help="model steps of connfit (a multiple of 16; default 1024, more on smaller brains)"
    )
    parser.add_argument("--peer-steps", type=int, default=64, help="model steps of braintrace (a multiple of 16)")
    parser.add_argument("--only", nargs="+", choices=IMPLEMENTATIONS, default=list(IMPLEMENTATIONS))
    parser.add_argument("--backend", help="brainevent's code path on CPUs: numba or jax_raw (default: its own choice)")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        name, brain_file, steps, backend = options.run
        if name == "compare":
            print(json.dumps(compare_gradients(backend or None)))
        elif name == "braintrace":
            print(json.dumps(run_braintrace(brain_file, backend or None, int(steps))))
        else:
            print(json.dumps(run_connfit(brain_file, name, int(steps))))
        return
    for key in ("steps", "peer_steps"):
        if getattr(options, key) is None:
            continue
        if getattr(options, key) < 2 * WINDOW or getattr(options, key) % WINDOW:
            parser.error(f"--{key.replace('_', '-')} must be a multiple of {WINDOW}, at least {2 * WINDOW}")
    peer = importlib.util.find_spec("braintrace") is not None
    if peer and "braintrace" in options.only:
        compared = in_process("compare", "", 0, options.backend or "")
        print(json.dumps(compared), flush=True)
        if max(compared["gradients_differ_by"].values()) > TOLERANCE:
            sys.exit("the two do not compute the same gradient: nothing to compare")
    if options.brain is not None:
        side_by_side(options.brain, options, peer, wiring=str(options.brain))
        return
    for scale in options.scale:
        with tempfile.TemporaryDirectory() as folder:
            brain_file = Path(folder) / "brain.h5"
            surrogate = None if options.random else surrogate_file(scale)
            if surrogate is None:
                write_brain(brain_file, max(UNITS, int(NEURONS * scale)), int(CONNECTIONS * scale))
            side_by_side(surrogate or brain_file, options, peer, scale, "surrogate" if surrogate else "random")


if __name__ == "__main__":
    main()
