"""Time the sparse operators, native against portable, on random wiring of the fly's size or a given connectome.

    python benchmarks/operators.py            # N = 138,639, M = 15,091,983
    python benchmarks/operators.py --small    # a hundredth of it
    python benchmarks/operators.py --brain FILE --native-only                    # a connectome of Connectome.save
    python benchmarks/operators.py --brain FILE --order shuffled --native-only   # its neurons in random order

Prints one JSON object per line and operator: milliseconds per call within a compiled loop (best and median of several
loops), and how many times slower the portable operators are. The last two lines show what neuron order is worth: the
same connections, near each other in memory or not.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from connfit.models import ops

FULL = (138_639, 15_091_983)
SMALL = (13_864, 150_920)
LOOP = 8
Step: TypeAlias = Callable[[Callable, Any, Any], Any]


def random_pattern(n: int, m: int, seed: int = 0) -> ops.Pattern:
    """Draw random wiring with log-normal numbers of inputs and outputs."""
    rng = np.random.default_rng(seed)
    share = np.cumsum(rng.lognormal(size=n))
    indptr = np.concatenate([[0], np.round(share / share[-1] * m).astype(np.int64)])
    outputs = np.cumsum(rng.lognormal(size=n))
    indices = np.minimum(np.searchsorted(outputs, rng.random(m) * outputs[-1]), n - 1)
    rows = np.repeat(np.arange(n), np.diff(indptr))
    return ops.Pattern.of(indptr, indices[np.lexsort((indices, rows))], n)


def pattern_of(path: Path, order: str) -> ops.Pattern:
    """Return the wiring of a connectome file, its neurons as stored, by id, or shuffled."""
    from connfit.connectome import Connectome

    brain = Connectome.load(path)
    place = np.arange(brain.n)
    if order == "id":
        place[np.argsort(brain.neurons["id"].to_numpy())] = np.arange(brain.n)
    elif order == "shuffled":
        place = np.random.default_rng(0).permutation(brain.n)
    rows, columns = place[brain.posts], place[brain.indices]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=brain.n))])
    return ops.Pattern.of(indptr, columns[np.lexsort((columns, rows))], brain.n)


def cases(pattern: ops.Pattern) -> Iterator[tuple[str, dict, Step, Any, Any]]:
    """Yield name, settings, one step of a loop, what stays the same in it, and its state at the start."""
    number = count()
    n, m = pattern.rows, pattern.nnz

    def draw(*shape: int) -> jax.Array:
        return jax.random.uniform(jax.random.key(next(number)), shape, jnp.float32)

    def product(operator: Callable, w: jax.Array, x: jax.Array) -> jax.Array:
        return 1e-2 * operator(w, x)

    def sampled(operator: Callable, left: jax.Array, state: tuple) -> tuple:
        right, _ = state
        gradient = operator(left, right)
        return right.at[0, 0].add(gradient[0]), gradient

    def window(operator: Callable, fixed: tuple, state: tuple) -> tuple:
        right, trace, _ = state
        gradient, trace = operator(trace, *fixed, right)
        return right.at[0, 0, 0].add(gradient[0]), trace, gradient

    w = draw(m)
    for batch in (1, 3, 8, 15, 16):
        for name in ("matvec", "rmatvec"):
            yield name, {"batch": batch}, product, w, draw(n, batch)
    for k in (1, 8, 16, 32):
        yield "sampled_outer", {"window": k}, sampled, draw(n, k), (draw(n, k), jnp.zeros(m))
        for states, trace in ((1, "float32"), (1, "bfloat16"), (2, "float32"), (3, "float32")):
            fixed = (draw(n, 1, states), 0.3 * draw(n, 1, states, states), draw(n, 1, k), draw(n, 1, states, k))
            state = (draw(n, 1, k), jnp.zeros((states, m, 1), trace), jnp.zeros(m))
            yield "window_outer", {"window": k, "trace": trace, "states": states}, window, fixed, state


def times(
    name: str, implementation: str, step: Step, pattern: ops.Pattern, fixed: Any, state: Any, repeats: int
) -> list:
    """Time calls within a compiled loop of LOOP, as in training: milliseconds per call, `repeats` times."""
    operator = getattr(ops, name)

    @partial(jax.jit, donate_argnums=2)
    def run(pattern: ops.Pattern, fixed: Any, state: Any) -> Any:
        bound = partial(operator, pattern, implementation=implementation)
        return jax.lax.fori_loop(0, LOOP, lambda _, state: step(bound, fixed, state), state)

    state = jax.block_until_ready(run(pattern, fixed, jax.tree.map(jnp.copy, state)))
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        state = jax.block_until_ready(run(pattern, fixed, state))
        found.append(1e3 * (time.perf_counter() - start) / LOOP)
    return found


def main() -> None:
    """Print one JSON object per line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a hundredth of the connections")
    parser.add_argument("--repeats", type=int, default=5, help="timed loops of each native operator")
    parser.add_argument("--native-only", action="store_true", help="skip the slow portable operators")
    parser.add_argument("--brain", type=Path, help="a connectome file, in place of random wiring")
    parser.add_argument("--order", choices=("stored", "id", "shuffled"), default="stored", help="of its neurons")
    options = parser.parse_args()
    pattern = random_pattern(*(SMALL if options.small else FULL))
    if options.brain is not None:
        pattern = pattern_of(options.brain, options.order)
    n, m = pattern.rows, pattern.nnz
    for name, settings, step, fixed, state in cases(pattern):
        line = {"benchmark": name, "implementation": "native", "n": n, "m": m, **settings}
        line |= {
            "wiring": "random" if options.brain is None else f"{options.brain}, {options.order}",
            "cores": os.cpu_count(),
        }
        fast = times(name, "native", step, pattern, fixed, state, options.repeats)
        line |= {"ms": round(min(fast), 3), "median_ms": round(float(np.median(fast)), 3)}
        if not options.native_only:
            slow = min(times(name, "portable", step, pattern, fixed, state, 1))
            line |= {"portable_ms": round(slow, 3), "ratio_to_portable": round(slow / min(fast), 2)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
