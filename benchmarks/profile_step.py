"""Profile a whole-brain training step piece by piece against the memory's bandwidth.

    python benchmarks/profile_step.py --brain FILE                    # a connectome of Connectome.save
    python benchmarks/profile_step.py --brain FILE --order shuffled   # its neurons in random order
    python benchmarks/profile_step.py                                 # random wiring of the adult fly's size
    python benchmarks/profile_step.py --brain FILE --recordings 4     # the pieces of four recordings side by side

Prints one JSON object per line. First the bandwidth of this machine: bytes that a compiled sum of two long arrays reads
and writes per second. Then each piece by itself: milliseconds per call (best of several), its share of one model step
of D-RTRL and of the hybrid rule with Adam and a dense drive, and its floor: the fewest bytes that it has to move
through memory, divided by the bandwidth. Last the whole step, and what no piece explains. profile_step.md lists what
was tried to make the step faster.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from connfit._system.pages import VARIABLE, with_huge_pages

UNITS, WINDOW = 73, 16
FLOAT = INDEX = 4


class Piece(NamedTuple):
    """A part of the training step: how to run it, how often a window does, and the bytes that it cannot avoid."""

    name: str
    per_window: int
    bytes: float
    run: Callable[..., Any]
    operands: tuple[Any, ...]
    donated: tuple[int, ...] = ()
    only: str | None = None


def bandwidth(repeats: int) -> float:
    """Measure bytes per second of `x += y` on arrays of 256 MB, both cores at work."""
    import jax
    import jax.numpy as jnp

    n = 64_000_000
    add = jax.jit(jnp.add, donate_argnums=0)  # a new array would be cleared by the system first
    x, y = jnp.ones(n), jnp.ones(n)
    return 3 * FLOAT * n / best(add, (x, y), (0,), repeats)


def best(function: Callable[..., Any], operands: tuple[Any, ...], donated: tuple[int, ...], repeats: int) -> float:
    """Time the fastest call. Donated operands are replaced by the first results, which take their memory."""
    import jax

    operands = tuple(operands)
    found = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        results = jax.block_until_ready(function(*operands))
        found.append(time.perf_counter() - began)
        if donated:
            new = list(operands)
            for place, result in zip(donated, results, strict=False):
                new[place] = result
            operands = tuple(new)
    return min(found[2:])


def pieces(pattern: Any, recordings: int) -> list[Piece]:
    """List the parts of a step for this wiring."""
    import jax
    import jax.numpy as jnp

    from connfit.models import ops
    from connfit.training.one_pass_adam import move_by_adam, sum_of_squares
    from connfit.training.optimiser import OPTIMISERS

    n, m, k, p, b = pattern.rows, pattern.nnz, WINDOW, UNITS, recordings
    optimiser = OPTIMISERS["adam"]
    key = iter(jax.random.split(jax.random.key(0), 16))

    def draw(*shape: int) -> jax.Array:
        return jax.random.uniform(next(key), shape, jnp.float32)

    weights, drive = draw(m), draw(n, p)
    column, window = draw(n, b), draw(n, b, k)
    outer = (draw(n, b, 1), 0.9 * draw(n, b, 1, 1), window, draw(n, b, 1, k))

    @partial(jax.jit, donate_argnums=(0, 1))
    def adam(params: Any, state: Any, gradient: Any) -> tuple[Any, Any]:
        norm = jnp.sqrt(sum(map(sum_of_squares, gradient.values())))
        rates = {key: jnp.float32(1e-6) for key in params}
        return move_by_adam(params, state, gradient, jnp.minimum(1.0, 1.0 / norm), rates, {"weights": 0.0})

    def with_trace(operator: Callable[..., Any]) -> Callable[..., Any]:
        @partial(jax.jit, donate_argnums=0)
        def run(trace: Any, *rest: Any) -> tuple[Any, Any]:
            gradient, trace = operator(trace, *rest)
            return trace, gradient

        return run

    wiring = (INDEX + FLOAT) * m + INDEX * n
    params = {"weights": jnp.array(weights), "drive": jnp.array(drive)}
    gradient = {key: 0.1 * value for key, value in params.items()}
    return [
        Piece("matvec", k, wiring + 2 * FLOAT * n * b, jax.jit(partial(ops.matvec, pattern)), (weights, column)),
        Piece(
            "rmatvec", k, wiring + 2 * FLOAT * n * b, jax.jit(partial(ops.rmatvec, pattern)), (weights, column),
            only="hybrid",
        ),
        Piece(
            "window_outer", 1, (INDEX + (1 + 2 * b) * FLOAT) * m + 4 * k * FLOAT * n * b,
            with_trace(partial(ops.window_outer, pattern)), (jnp.zeros((1, m, b)), *outer, window), (0,),
        ),
        Piece(
            "dense_outer", 1, (1 + 2 * b) * FLOAT * n * p + 3 * k * FLOAT * n * b,
            with_trace(ops.dense_outer), (jnp.zeros((1, n, b, p)), *outer, draw(p, b, k)), (0,),
        ),
        Piece(
            "drive of the window", 1, FLOAT * n * (p + k * b), jax.jit(lambda e, u: e @ u), (drive, draw(p, k * b)),
        ),
        Piece(
            "Adam, clipping, projection", 1, 8 * FLOAT * (m + n * p),
            adam, (params, optimiser.init(params), gradient), (0, 1),
        ),
    ]  # fmt: skip


def whole_step(pattern: Any, credit: str, windows: int) -> float:
    """Time one model step of the compiled training step on random numbers."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import scipy.sparse as sp

    from connfit.models.cells.rate import Rate
    from connfit.models.connectome_model import ConnectomeModel
    from connfit.models.maps import DenseMap, SparseMap
    from connfit.models.ops import Pattern
    from connfit.training.learners import WindowedLearner
    from connfit.training.learners.learner import WindowArrays
    from connfit.training.optimiser import OPTIMISERS
    from connfit.training.step import StepOptions, training_step

    n, m = pattern.rows, pattern.nnz
    rng = np.random.default_rng(0)
    rows = rng.integers(UNITS, size=2 * n)
    readout = sp.csr_array((np.full(2 * n, UNITS / (2 * n)), (rows, np.tile(np.arange(n), 2))), shape=(UNITS, n))
    model = ConnectomeModel(
        neuron=Rate(),
        recurrent=SparseMap(pattern),
        signs=jnp.ones(n),
        drive=DenseMap(n, UNITS),
        readout=SparseMap(Pattern.of(readout.indptr, readout.indices, n)),
        fixed_readout=jnp.asarray(readout.data, jnp.float32),
        junctions=None,
        electrical=False,
        step_s=1.0,
        bounds_s=(0.1, 50.0),
    )
    params = {
        "weights": jnp.asarray(rng.random(m, np.float32) * np.float32(0.1 * n / m)),
        "log_time_constants": jnp.zeros(n),
        "bias": jnp.zeros(n),
        "drive": jnp.asarray(rng.random((n, UNITS), np.float32) / UNITS),
    }
    learner = WindowedLearner(WINDOW, credit, "trace")
    groups = ("weights", "time_constants", "bias", "drive")
    adam, memory = OPTIMISERS["adam"].init(params), learner.start(model, 1, groups)
    shape = (WINDOW, UNITS, 1)
    values = jnp.asarray(rng.random(shape, np.float32))
    window = WindowArrays(values, jnp.ones(shape, bool), values, jnp.ones(shape), jnp.zeros(0, jnp.int32))
    began = 0.0
    for number in range(windows + 2):
        if number == 2:
            jax.block_until_ready(params)
            began = time.perf_counter()
        rates = {key: jnp.float32(1e-6) for key in params}
        params, adam, memory, *_ = training_step(
            model, params, {}, None, adam, memory, window, rates, learner=learner, groups=groups,
            options=StepOptions(),
        )  # fmt: skip
    jax.block_until_ready(params)
    return (time.perf_counter() - began) / windows / WINDOW


def main() -> None:
    """Print one JSON object per line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brain", type=Path, help="a connectome file, in place of random wiring")
    parser.add_argument("--order", choices=("stored", "id", "shuffled"), default="stored", help="of its neurons")
    parser.add_argument("--small", action="store_true", help="random wiring of a hundredth of the connections")
    parser.add_argument("--recordings", type=int, default=1, help="side by side; the whole step is that of one")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    from operators import FULL, SMALL, pattern_of, random_pattern

    pattern = (
        random_pattern(*(SMALL if options.small else FULL))
        if options.brain is None
        else pattern_of(options.brain, options.order)
    )
    rate = bandwidth(options.repeats)
    where = {
        "benchmark": "profile_step", "recordings": options.recordings, "n": pattern.rows, "m": pattern.nnz,
        "units": UNITS, "window": WINDOW,
        "wiring": "random" if options.brain is None else f"{options.brain}, {options.order}", "cores": os.cpu_count(),
    }  # fmt: skip
    print(json.dumps({**where, "bandwidth_gb_per_s": round(rate / 1e9, 1)}), flush=True)
    explained = {"d-rtrl": 0.0, "hybrid": 0.0}
    for piece in pieces(pattern, options.recordings):
        seconds = best(piece.run, piece.operands, piece.donated, options.repeats)
        per_step = 1e3 * seconds * piece.per_window / WINDOW
        for rule in explained:
            explained[rule] += per_step if piece.only in (None, rule) else 0
        line = {
            "piece": piece.name, "rule": piece.only or "both", "ms_per_call": round(1e3 * seconds, 2),
            "ms_per_step": round(per_step, 2), "floor_ms_per_call": round(1e3 * piece.bytes / rate, 2),
            "times_floor": round(seconds * rate / piece.bytes, 2),
        }  # fmt: skip
        print(json.dumps({**where, **line}), flush=True)
    if options.recordings > 1:
        return
    for rule, credit in (("d-rtrl", "neuron"), ("hybrid", "network")):
        whole = 1e3 * whole_step(pattern, credit, options.repeats)
        line = {"piece": "whole step", "rule": rule, "ms_per_step": round(whole, 2)}
        print(json.dumps({**where, **line, "not_in_a_piece_ms": round(whole - explained[rule], 2)}), flush=True)


if __name__ == "__main__":
    environment = with_huge_pages(os.environ)
    if environment is not None and VARIABLE not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # as the command line runs
    main()
