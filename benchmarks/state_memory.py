"""Print what a compiled training step holds, by XLA's own account, for cells of one and more states; nothing is run.

    python benchmarks/state_memory.py                 # the adult fly's size: about a minute, 1 GB
    python benchmarks/state_memory.py --scale 0.1 --cells rate two-channel --drives none

Of each drive and cell a JSON line: bytes of arguments (parameters, moments, traces, states, wiring) and of everything
else, and how much that is more than for the first cell. D-RTRL, windows of 16 steps, Adam.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.sparse as sp

import connfit as cf
from connfit.models.cells import find_cell
from connfit.models.connectome_model import ModelConditions
from connfit.training.learners.learner import WindowArrays
from connfit.training.optimiser import OPTIMISERS
from connfit.training.step import StepOptions, training_step

NEURONS, CONNECTIONS, UNITS, WINDOW = 138_639, 15_091_983, 73, 16


def wiring(neurons: int, connections: int) -> cf.Connectome:
    """Return a connectome of this size, each neuron with the next ones before it."""
    degree = np.full(neurons, connections // neurons)
    degree[: connections % neurons] += 1
    indptr = np.concatenate([[0], np.cumsum(degree)])
    row = np.repeat(np.arange(neurons), degree)
    indices = (row + 1 + np.arange(connections) - indptr[row]) % neurons
    order = np.lexsort((indices, row))
    table = pd.DataFrame({"id": np.arange(neurons)}).assign(type="", region="", transmitter="", side="")
    signs = np.where(np.arange(neurons) % 3 == 2, -1, 1).astype(np.int8)
    counts = np.ones(connections, np.int32)
    return cf.Connectome("regular", indptr, indices[order].astype(np.int32), counts, signs, table)


def held(brain: cf.Connectome, cell: str, drive: str, dtype: str) -> tuple[int, int]:
    """Return the bytes of a step's arguments, and of what it holds beside them."""
    units = np.random.default_rng(1).integers(UNITS, size=2 * brain.n)
    shares = sp.csr_array((np.ones(2 * brain.n), (units, np.tile(np.arange(brain.n), 2))), shape=(UNITS, brain.n))
    readout = cf.Readout(shares, tuple(f"unit {k}" for k in range(UNITS)))
    model = find_cell(cell).build(ModelConditions(connectome=brain, readout=readout, step_s=1 / 1.2, drive=drive))
    number = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    params: dict[str, Any] = {
        "weights": number((brain.m,)),
        "log_time_constants": number((brain.n,)),
        "bias": number((brain.n,)),
        **{key: number(value.shape) for key, value in model.own_start().items()},
    }
    if model.drive is not None:
        params["drive"] = number(model.drive.strengths_shape)
    learner = cf.WindowedLearner(WINDOW, "neuron", "trace", trace_dtype=dtype)
    memory = jax.eval_shape(lambda: learner.start(model, 1, model.groups))
    one = number((WINDOW, UNITS, 1))
    window = WindowArrays(one, jax.ShapeDtypeStruct(one.shape, bool), one, one, jnp.zeros(0, jnp.int32))
    found = training_step.lower(
        model, params, {}, None, jax.eval_shape(OPTIMISERS["adam"].init, params), memory, window,
        {key: number(()) for key in params}, learner=learner, groups=model.groups, options=StepOptions(),
    ).compile().memory_analysis()  # fmt: skip
    return found.argument_size_in_bytes, found.temp_size_in_bytes


def main() -> None:
    """Compile a step of each cell and drive, and print what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the fly's neurons and connections")
    parser.add_argument("--cells", nargs="+", default=["rate", "rate-calcium", "adaptive-rate"])
    parser.add_argument("--drives", nargs="+", default=["none", "dense"], choices=["none", "dense", "anatomical"])
    parser.add_argument("--trace-dtype", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    brain = wiring(max(UNITS, int(NEURONS * options.scale)), int(CONNECTIONS * options.scale))
    for drive in options.drives:
        first: tuple[int, int] | None = None
        for cell in options.cells:
            arguments, beside = held(brain, cell, drive, options.trace_dtype)
            first = first or (arguments, beside)
            line = {
                "benchmark": "state_memory",
                "cell": cell,
                "drive": drive,
                "trace_dtype": options.trace_dtype,
                "n": brain.n,
                "m": brain.m,
                "window": WINDOW,
                "argument_bytes": arguments,
                "beside_bytes": beside,
                f"more_argument_bytes_than_{options.cells[0]}": arguments - first[0],
                f"more_bytes_than_{options.cells[0]}": arguments + beside - sum(first),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
