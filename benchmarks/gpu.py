"""Measure operators and training steps on a GPU, against cuSPARSE and the card's own bandwidth, in six minutes.

    python -m venv .venv && .venv/bin/pip install -e . "jax[cuda12]"    # all that a machine with a bare driver needs
    .venv/bin/python benchmarks/gpu.py                                  # scales 1, 0.2 and 0.05 of the fly
    .venv/bin/python benchmarks/gpu.py --scale 0.05 --budget 120        # what comes first fits into two minutes
    .venv/bin/python benchmarks/gpu.py --interpret                      # tiny, on a CPU: a rehearsal

Wiring is random, with log-normal numbers of inputs and outputs, of the adult fly's size (138,639 neurons, 15,091,983
connections) times the scale. Prints JSON, an object a line, as soon as it is measured, also into `gpu.jsonl` in the
folder that the variable OUT names:

- `card`: its name, and the bandwidth of a copy, bytes read and written per second;
- `matvec`, `rmatvec`, `window_outer`, each by `portable` (XLA), `pallas` and `cusparse` (`jax.experimental.sparse`; of
  window_outer, of which it has no more than the two sampled products): ms per call within a compiled loop, and how many
  times the floor that is, the fewest bytes that the call has to move over that bandwidth;
- `step`: a model step of D-RTRL with Adam and clipping, dense drive, windows of 16 steps, each cell by each
  implementation, and its floor;
- `gradient`: the largest difference of a window's gradients from those of the same program of portable operators on
  the CPU, over the largest entry of each group.

Each section is a process of its own with a time limit: a kernel that ends it, or hangs, costs that section alone. The
exit code is 0 if every section ran to its end, within the time, and every gradient and every product agreed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

NEURONS, CONNECTIONS, UNITS, WINDOW = 138_639, 15_091_983, 73, 16
CELLS = ("rate", "rate-calcium", "lif")
FLOAT = INDEX = 4
TINY = 0.0006
BUDGET_S = 345.0

TOLERANCE = 1e-4
"""Largest difference of a gradient or product over its largest entry. Sums of some hundred float32 products in another
order differ by 1e-6, over 16 steps by 1e-5; factors rounded to tf32 by 1e-3; a wrong term by 1e-2 and more."""

Lines: TypeAlias = Iterator[dict[str, Any]]


class Place(NamedTuple):
    """Where a section works: `wiring` is a file of `write_wiring`, `bandwidth` in bytes per ms (0: not known).

    `loop` calls make one program, which is timed `repeats` times.
    """

    scale: float
    wiring: Path
    bandwidth: float
    loop: int
    repeats: int


def write_wiring(path: Path, scale: float) -> None:
    """Draw random wiring without repeated connections and write it as CSR by postsynaptic neuron."""
    rng = np.random.default_rng(0)
    n = max(UNITS, round(NEURONS * scale))
    m = min(round(CONNECTIONS * scale), n * n // 4)
    inputs, outputs = np.cumsum(rng.lognormal(size=n)), np.cumsum(rng.lognormal(size=n))
    pairs = np.zeros(0, np.int64)
    while len(pairs) < m:
        drawn = int(1.1 * (m - len(pairs))) + n
        share = np.round(inputs * (drawn / inputs[-1])).astype(np.int64)
        rows = np.repeat(np.arange(n), np.diff(share, prepend=0))
        columns = np.minimum(np.searchsorted(outputs, rng.random(len(rows)) * outputs[-1]), n - 1)
        pairs = np.sort(np.concatenate([pairs, rows * n + columns]))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # np.unique hashes: hundreds of times slower on such numbers
    pairs = np.delete(pairs, rng.choice(len(pairs), len(pairs) - m, replace=False))
    indptr = np.searchsorted(pairs, np.arange(n + 1) * n).astype(np.int32)
    np.savez(path, indptr=indptr, indices=(pairs % n).astype(np.int32))


def card(at: Place) -> Lines:
    """Name the card and measure the bandwidth of a copy."""
    import jax
    import jax.numpy as jnp

    n = 256_000_000 if at.loop > 1 else 1_000_000
    ms = best(jax.jit(lambda x: 2 * x), (jnp.ones(n),), at.repeats)
    device = jax.devices()[0]
    yield {
        "benchmark": "card", "device": device.device_kind, "platform": device.platform, "jax": jax.__version__,
        "copy_gb_per_s": round(2 * FLOAT * n / ms / 1e6, 1),
    }  # fmt: skip


def operators(implementations: str, at: Place) -> Lines:
    """Time the operators by each implementation and compare their results with SciPy's and NumPy's."""
    import jax
    import scipy.sparse as sp

    from connfit.models import ops

    rng, wiring = np.random.default_rng(1), np.load(at.wiring)
    indptr, indices = wiring["indptr"], wiring["indices"]
    n, m = len(indptr) - 1, len(indices)
    pattern = jax.block_until_ready(jax.jit(ops.Pattern.with_columns)(ops.Pattern.of(indptr, indices, n)))
    w, v = (rng.random(size, np.float32) for size in (m, n))
    matrix = sp.csr_array((w.astype(np.float64), indices, indptr), (n, n))
    of_rows = (n, 1, 1), (n, 1, 1, 1), (n, 1, WINDOW), (n, 1, 1, WINDOW), (n, 1, WINDOW)
    window = tuple(rng.random(shape, np.float32) for shape in ((1, m, 1), *of_rows))
    some = np.arange(min(m, 1000))
    product_bytes = m * (FLOAT + INDEX) + n * (2 * FLOAT + INDEX)
    window_bytes = m * (INDEX + 3 * FLOAT) + n * ((2 + 3 * WINDOW) * FLOAT + INDEX)
    for implementation in implementations.split("+"):
        for name, turned in (("matvec", matrix), ("rmatvec", matrix.T)):
            call: Callable[..., Any] = partial(getattr(ops, name), implementation=implementation)
            if implementation == "cusparse":
                call = partial(by_cusparse, transpose=name == "rmatvec")
            found, ms = repeated(call, lambda y, of: (*of[:2], 1e-2 * y), (pattern, w, v), at)
            line = {"benchmark": name, "implementation": implementation, "n": n, "m": m}
            yield line | timed(ms, product_bytes, at) | compared({name: found}, {name: turned @ v})
        with_traces = implementation != "cusparse"
        call = partial(ops.window_outer, implementation=implementation) if with_traces else two_sampled_products
        found, ms = repeated(call, next_window, (pattern, *window), at)
        known = sums_of(some, with_traces, np.searchsorted(indptr, some, "right") - 1, indices, *window)
        agreed = compared(dict(enumerate(np.reshape(x, m)[some] for x in found)), dict(enumerate(known)))
        line = {"benchmark": "window_outer", "implementation": implementation, "n": n, "m": m, "window": WINDOW}
        yield line | timed(ms, window_bytes, at) | agreed


def by_cusparse(pattern: Any, w: Any, v: Any, *, transpose: bool) -> Any:
    """Multiply by `jax.experimental.sparse`, whose products of CSR are cuSPARSE's on a card."""
    from jax.experimental.sparse import CSR

    matrix = CSR((w, pattern.indices, pattern.indptr), shape=(pattern.rows, pattern.columns))
    return (matrix.T if transpose else matrix) @ v


def two_sampled_products(pattern: Any, *window: Any) -> tuple[Any, Any]:
    """Form both sums of `window_outer` over steps by `jax.experimental.sparse`, which has no traces."""
    import jax.numpy as jnp
    from jax.experimental.sparse import bcoo_dot_general_sampled

    *_, left, trace_left, right = window
    ends = jnp.stack([pattern.row_of(), pattern.indices], 1)
    sampled = partial(bcoo_dot_general_sampled, dimension_numbers=(((1,), (0,)), ((), ())))
    return sampled(left[:, 0], right[:, 0].T, ends), sampled(trace_left[:, 0, 0], right[:, 0].T, ends)


def next_window(found: Any, of: tuple[Any, ...]) -> tuple[Any, ...]:
    """Go on with the new trace; a number of the gradient goes into the next call, so that none can be left out."""
    pattern, trace, *factors, right = of
    gradient, kept = found
    return pattern, kept.reshape(trace.shape), *factors, right.at[0, 0, 0].add(1e-9 * gradient[0])


def sums_of(some: Any, trace_there: bool, rows: Any, indices: Any, *window: Any) -> tuple[Any, Any]:
    """Compute `window_outer` of a few connections in double precision."""
    trace, carry, decay, left, trace_left, right = (np.asarray(x, np.float64) for x in window)
    source, old = right[indices[some], 0], trace[0, some, 0] * trace_there
    now, later = (left[rows, 0] * source).sum(1), (trace_left[rows, 0, 0] * source).sum(1)
    return carry[rows, 0, 0] * old + now, decay[rows, 0, 0, 0] * old + later


def repeated(
    call: Callable[..., Any], after: Callable[..., Any], operands: tuple[Any, ...], at: Place
) -> tuple[Any, float]:
    """Return the result of a call, and its milliseconds where it is repeated within one program, as training does.

    `after` makes the next operands of a result and the last operands.
    """
    import jax
    import jax.numpy as jnp

    def run(loop: int, *operands: Any) -> Any:
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(call, *operands))

        def turn(_: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            found = call(*carry[0])
            return after(found, carry[0]), found

        return jax.lax.fori_loop(0, loop, turn, (operands, nothing))[1]

    compiled = jax.jit(run, static_argnums=0)
    ms = best(partial(compiled, at.loop), operands, at.repeats) / at.loop
    return jax.block_until_ready(compiled(1, *jax.device_put(operands))), ms


def best(run: Callable[..., Any], operands: Sequence[Any], repeats: int) -> float:
    """Return the milliseconds of the fastest call, the first one, which compiles, left out."""
    import jax

    operands, found = jax.device_put(tuple(operands)), []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(run(*operands))
        found.append(1e3 * (time.perf_counter() - began))
    return min(found[1:])


def timed(ms: float, bytes_moved: float, at: Place) -> dict[str, Any]:
    """Return milliseconds, the floor from bytes and bandwidth, and their ratio."""
    if not at.bandwidth:
        return {"ms": round(ms, 4)}
    floor = bytes_moved / at.bandwidth
    return {"ms": round(ms, 4), "floor_ms": round(floor, 4), "times_floor": round(ms / floor, 2)}


def compared(found: dict[Any, Any], known: dict[Any, Any]) -> dict[str, Any]:
    """Return the largest difference over the largest entry, and whether that is too much."""
    apart = 0.0
    for key, expected in known.items():
        expected = np.asarray(expected, np.float64)
        difference = np.abs(np.asarray(found[key], np.float64) - expected).max() / max(np.abs(expected).max(), 1e-30)
        apart = max(apart, float(difference) if np.isfinite(difference) else np.inf)
    return {"differs_by": float(f"{apart:.2e}"), "agrees": apart <= TOLERANCE}


def steps(implementation: str, at: Place) -> Lines:
    """Time training steps of each cell and compare gradients of two windows with those on the CPU."""
    import jax
    import jax.numpy as jnp
    import pandas as pd
    import scipy.sparse as sp

    import connfit as cf
    from connfit.connectome import Connectome
    from connfit.models import ops
    from connfit.models.cells import CELLS as REGISTERED
    from connfit.models.cells import find_cell
    from connfit.models.connectome_model import ModelConditions
    from connfit.training.learners import WindowArrays
    from connfit.training.optimiser import OPTIMISERS
    from connfit.training.step import StepOptions, training_step

    rng, wiring = np.random.default_rng(2), np.load(at.wiring)
    n, m = len(wiring["indptr"]) - 1, len(wiring["indices"])
    table = pd.DataFrame({"id": np.arange(n)}).assign(type="", region="", transmitter="", side="")
    signs = rng.choice(np.array([1, 1, -1], np.int8), n)
    brain = Connectome(
        "random", wiring["indptr"].astype(np.int64), wiring["indices"], np.ones(m, np.int32), signs, table
    )
    of_units = rng.permutation(2 * n) % UNITS, np.tile(np.arange(n), 2)
    names = tuple(f"unit {k}" for k in range(UNITS))
    readout = cf.Readout(sp.csr_array((np.ones(2 * n), of_units), shape=(UNITS, n)), names)
    learner = cf.WindowedLearner(WINDOW, "neuron", "trace")
    recorded = rng.random((WINDOW + 1, UNITS, 1), np.float32)
    ones = np.ones((WINDOW, UNITS, 1), np.float32)
    window = WindowArrays(recorded[:-1], ones > 0, recorded[1:], ones)
    weights, drive = rng.random(m, np.float32) * (0.5 * n / m), rng.random((n, UNITS), np.float32) / UNITS
    for cell in [name for name in CELLS if name in REGISTERED][: None if at.loop > 1 else 1]:
        with ops.use("pallas"):  # connections by column are there, as on a card
            model = find_cell(cell).build(ModelConditions(connectome=brain, readout=readout, step_s=1 / 1.2))
        start = {"weights": weights, "log_time_constants": np.zeros(n, np.float32), "bias": np.full(n, 0.1, np.float32)}
        start = jax.tree.map(np.asarray, {**start, "drive": drive, **model.own_start()})
        groups, states = model.groups, len(model.neuron.states)

        device, processor = jax.devices()[0], jax.devices("cpu")[0]
        line = {"cell": cell, "implementation": implementation, "n": n, "m": m, "units": UNITS, "window": WINDOW}
        if at.loop > 1 or implementation == "portable":  # not in a rehearsal: interpreted, they compile for long
            state = jax.device_put((start, OPTIMISERS["adam"].init(start), learner.start(model, 1, groups)), device)
            rates = {key: np.float32(1e-5) for key in start}
            found = []
            with ops.use(implementation):
                for _ in range(at.repeats + 1):
                    began = time.perf_counter()
                    for _ in range(at.loop):
                        *state, loss, _, _ = training_step(
                            model, state[0], {}, None, *state[1:], window, rates,
                            learner=learner, groups=groups, options=StepOptions(),
                        )  # fmt: skip
                    jax.block_until_ready(state)
                    found.append(1e3 * (time.perf_counter() - began) / (at.loop * WINDOW))
            trained = sum(value.size for value in start.values())
            # Per window: products, traces and gradients of connections and drive, and Adam's reads and writes.
            moved = WINDOW * m * (FLOAT + INDEX) + (m + n * UNITS) * (2 * states + 1) * FLOAT + m * INDEX
            measured = timed(min(found[1:]), (moved + 7 * FLOAT * trained) / WINDOW, at)
            yield {"benchmark": "step", **line, **measured, "finite": bool(jnp.isfinite(loss))}

        def gradients(by: str, device: Any) -> dict[str, Any]:
            memory = learner.start(model, 1, groups)  # noqa: B023
            there, params, memory, shown = jax.device_put((model, start, memory, window), device)  # noqa: B023
            with ops.use(by):
                for _ in range(2):  # the second one begins with traces
                    result, memory = window_gradients(by)(there, params, memory, shown, learner, groups)  # noqa: B023
            return jax.tree.map(np.asarray, result.gradient)

        kept = at.wiring.with_suffix(f".{cell}.npz")  # of the first section, for the others
        if not kept.exists():
            np.savez(kept, **gradients("portable", processor))
        with np.load(kept) as known:
            yield {"benchmark": "gradient", **line, **compared(gradients(implementation, device), dict(known))}


@cache
def window_gradients(implementation: str) -> Callable[..., Any]:
    """Compile the gradient of a window, once for each implementation."""
    import jax

    def take(model: Any, params: Any, memory: Any, window: Any, learner: Any, groups: Any) -> Any:
        return learner.step(model, params, memory, window, groups)

    return jax.jit(take, static_argnames=("learner", "groups"))


SECTIONS: dict[str, tuple[Callable[[Place], Lines], float]] = {
    "card": (card, 60),
    "operators, XLA": (partial(operators, "portable+cusparse"), 60),
    "operators, Pallas": (partial(operators, "pallas"), 60),
    "steps, portable": (partial(steps, "portable"), 80),
    "steps, Pallas": (partial(steps, "pallas"), 80),
}
"""What is measured, and the seconds that each may take, its start and compilation included."""


def in_this_process(section: str, at: Place, emit: Callable[[dict[str, Any]], None]) -> None:
    """Run a section here; an error is a line."""
    try:
        for line in SECTIONS[section][0](at):
            emit({"section": section, "scale": at.scale, **line})
    except Exception:
        emit({"section": section, "scale": at.scale, "failed": traceback.format_exc()[-2000:]})


def in_its_own(section: str, at: Place, seconds: float, emit: Callable[[dict[str, Any]], None]) -> None:
    """Run a section in a process of its own, whose lines are passed on as they come, and end it after so long."""
    command = [sys.executable, __file__, "--section", section, *map(str, at)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            alarm = threading.Timer(seconds, process.kill)
            alarm.start()
            assert process.stdout is not None
            for text in process.stdout:
                emit(json.loads(text))
        alarm.cancel()
        if process.returncode:
            errors.seek(0)
            late = time.monotonic() - began >= seconds
            why = f"exit code {process.returncode}: {errors.read()[-2000:]}"
            why = f"ended after its {seconds:.0f} s" if late else why
            emit({"section": section, "scale": at.scale, "failed": why})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all sections, or the one that another process was started for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, nargs="+", default=[1.0, 0.2, 0.05], help="shares of the fly's size")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds for everything")
    parser.add_argument("--interpret", action="store_true", help="tiny, in this process, for machines without a card")
    parser.add_argument("--section", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.section:
        section, scale, wiring, bandwidth, loop, repeats = options.section
        at = Place(float(scale), Path(wiring), float(bandwidth), int(loop), int(repeats))
        in_this_process(section, at, lambda line: print(json.dumps(line), flush=True))
        return 0
    began, wrong, bandwidth = time.monotonic(), 0, 0.0
    lines = open(Path(os.environ["OUT"]) / "gpu.jsonl", "w", encoding="utf-8") if os.environ.get("OUT") else None

    def emit(line: dict[str, Any]) -> None:
        nonlocal wrong, bandwidth
        wrong += "failed" in line or not line.get("agrees", True) or not line.get("finite", True)
        bandwidth = 1e6 * line.get("copy_gb_per_s", bandwidth / 1e6)
        for file in (sys.stdout, *([lines] if lines else [])):
            print(json.dumps({**line, "after_s": round(time.monotonic() - began, 1)}), file=file, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for scale in [TINY] if options.interpret else options.scale:
            wiring = Path(folder) / f"{scale}.npz"
            write_wiring(wiring, scale)
            for section, (_, limit) in SECTIONS.items():
                if section == "card" and bandwidth:
                    continue
                at = Place(scale, wiring, bandwidth, *((1, 1) if options.interpret else (8, 5)))
                left = options.budget - (time.monotonic() - began)
                if left < 10:
                    emit({"section": section, "scale": scale, "failed": f"left out: {left:.0f} s are left"})
                elif options.interpret:
                    in_this_process(section, at, emit)
                else:
                    in_its_own(section, at, min(limit, left), emit)
    if lines:
        lines.close()
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
