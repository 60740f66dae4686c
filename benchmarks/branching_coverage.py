"""Measure how often intervals of the branching ratio cover it: the table of branching_coverage.md.

    python benchmarks/branching_coverage.py            # about an hour on one core
    python benchmarks/branching_coverage.py --quick    # the most telling cells, about 5 minutes

A line per cell: draws with an interval, the share of them that cover m, the mean width, and the draws without an
interval, in which the slope at lag 1 does not stand out. `branching`: Poisson offspring and Poisson drive, of which
every event is observed with the probability `observed`; the mean activity is that of the whole process. `normal`,
`heavy`, `skewed`: an autoregression whose noise does not grow with its level (Gaussian, Student's t of 3 degrees,
exponential), as of signals without a true zero; with `observed` below 1, seen through as much Gaussian noise as makes
b = 0.5. Processes run for 10 time constants before the first frame that counts.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator

import numpy as np

from connfit.analysis.criticality.branching import branching_ratio
from connfit.errors import DataError

RATIOS, MEANS, FRAMES, OBSERVED = (0.8, 0.9, 0.99), (2, 20, 1000), (500, 2000), (1.0, 0.05)
Cell = tuple[str, float, float, int, float]


def branching(m: float, mean: float, frames: int, observed: float, rng: np.random.Generator) -> np.ndarray:
    """Draw events in each frame of a stationary branching process, or of a sample of it."""
    drive, now = mean * (1 - m), round(mean)
    burn_in = int(10 / (1 - m))
    out = np.empty(frames, np.int64)
    for t in range(-burn_in, frames):
        now = int(rng.poisson(m * now + drive))
        if t >= 0:
            out[t] = now
    return rng.binomial(out, observed) if observed < 1 else out


def autoregression(kind: str, m: float, frames: int, observed: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a signal whose noise does not grow with its level."""
    burn_in = int(10 / (1 - m))
    size = burn_in + frames
    noise = {
        "normal": lambda: rng.normal(size=size),
        "heavy": lambda: rng.standard_t(3, size=size),
        "skewed": lambda: rng.exponential(size=size),
    }[kind]()
    out = np.zeros(size)
    for t in range(1, size):
        out[t] = m * out[t - 1] + noise[t]
    out = out[burn_in:]
    return out + (rng.normal(0, noise.std() / (1 - m * m) ** 0.5, frames) if observed < 1 else 0)


def cells(quick: bool) -> Iterator[Cell]:
    """List kind, m, mean activity, frames and observed share."""
    if quick:
        yield from (("branching", 0.99, 2, 2000, 1.0), ("branching", 0.9, 2, 500, 1.0))
        yield from (("branching", 0.99, 20, 500, 1.0), ("normal", 0.9, 0, 500, 1.0))
        return
    for m, mean, frames, observed in itertools.product(RATIOS, MEANS, FRAMES, OBSERVED):
        yield "branching", m, mean, frames, observed
    for kind, m, observed in itertools.product(("normal", "heavy", "skewed"), (0.9, 0.99), OBSERVED):
        yield kind, m, 0, 500, observed


def measure(cell: Cell, draws: int, repeats: int) -> str:
    """Return a row of the table, in Markdown."""
    kind, m, mean, frames, observed = cell
    held, widths, none, start = 0, [], 0, time.perf_counter()
    for seed in range(draws):
        rng = np.random.default_rng((seed, frames, round(1e4 * m), round(mean), round(100 * observed)))
        if kind == "branching":
            x = branching(m, mean, frames, observed, rng)
        else:
            x = autoregression(kind, m, frames, observed, rng)
        try:
            interval = branching_ratio(x, repeats=repeats, seed=seed).interval
        except DataError:
            interval = None
        if interval is None:
            none += 1
            continue
        held += interval[0] <= m <= interval[1]
        widths.append(interval[1] - interval[0])
    share = f"{held} of {len(widths)}" + (f" ({held / len(widths):.0%})" if widths else "")
    width = f"{np.mean(widths):.3f}" if widths else "–"
    seconds = time.perf_counter() - start
    activity = f"{mean:g}" if kind == "branching" else "–"
    return f"| {kind} | {m} | {activity} | {frames} | {observed:.0%} | {share} | {width} | {none} | {seconds:.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the most telling cells only")
    parser.add_argument("--draws", type=int, default=100, help="processes in a cell")
    parser.add_argument("--repeats", type=int, default=60, help="simulations at each ratio")
    options = parser.parse_args()
    print("| noise | m | mean activity | frames | observed | hold m | mean width | no interval | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for cell in cells(options.quick):
        print(measure(cell, options.draws, options.repeats), flush=True)


if __name__ == "__main__":
    main()
