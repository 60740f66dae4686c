"""Page faults of temporary arrays of the fly's size, by what the C library is told.

    python benchmarks/huge_pages.py

Prints one JSON object per line. `tunables` is what the command line does (`connfit._system.pages`); the others are what
a running program could do instead.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import time

NEURONS, WINDOW, CONNECTIONS, UNITS, PASSES = 138_639, 16, 15_000_000, 73, 30
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX = -1, -2, -3, -4  # of malloc.h
LARGEST = 2**31 - 1
SETTINGS = {
    "default": [(MMAP_THRESHOLD, 2 << 20)],
    "tunables": [(MMAP_THRESHOLD, 2 << 20)],
    "largest threshold": [(MMAP_THRESHOLD, 32 << 20), (TRIM_THRESHOLD, LARGEST), (TOP_PAD, 64 << 20)],
    "no maps": [(MMAP_MAX, 0), (TRIM_THRESHOLD, LARGEST), (TOP_PAD, 64 << 20)],
}


def measure(how: str) -> None:
    """Run in a process of its own: update weights with a gradient, and transpose a window, again and again."""
    for option, value in SETTINGS[how]:
        ctypes.CDLL(None).mallopt(option, value)
    import jax
    import jax.numpy as jnp

    @jax.jit
    def forward(rates: jax.Array, drive: jax.Array, units: jax.Array) -> tuple[jax.Array, ...]:
        steady = jnp.maximum(jnp.maximum(drive @ units, 0) + rates, 0)
        return steady, steady.T, jnp.cumsum(steady, 1)

    @jax.jit
    def update(weights: jax.Array, gradient: jax.Array, moments: jax.Array) -> tuple[jax.Array, jax.Array]:
        moments = 0.9 * moments + gradient
        return jnp.maximum(weights - 1e-3 * moments, 0), moments

    gradient_of = jax.jit(lambda weights, steady: weights * steady[0, 0])
    rates, drive, units = jnp.zeros((NEURONS, WINDOW)), jnp.ones((NEURONS, UNITS)), jnp.ones((UNITS, WINDOW))
    weights, moments = jnp.ones(CONNECTIONS), jnp.zeros(CONNECTIONS)
    for number in range(PASSES + 3):
        if number == 3:
            before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        steady, *others = forward(rates, drive, units)
        weights, moments = update(weights, gradient_of(weights, steady), moments)
        jax.block_until_ready((weights, moments, others))
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    line = {
        "benchmark": "huge_pages", "implementation": how, "faults": (after.ru_minflt - before.ru_minflt) // PASSES,
        "cpu_ms": round(1e3 * seconds / PASSES, 1), "ms": round(1e3 * (time.perf_counter() - began) / PASSES, 1),
        "peak_rss_bytes": 1024 * after.ru_maxrss,
    }  # fmt: skip
    print(json.dumps(line), flush=True)


def main() -> None:
    """Measure each setting in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SETTINGS, help="in this process")
    only = parser.parse_args().only
    if only:
        measure(only)
        return
    for how in SETTINGS:
        own = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"} if how == "tunables" else {}
        environment = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"} | own
        subprocess.run([sys.executable, __file__, "--only", how], env=environment, check=True)


if __name__ == "__main__":
    main()
