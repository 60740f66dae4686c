"""Measure false alarms and power of the verdict "consistent with criticality": the table of criticality_power.md.

    python benchmarks/criticality_power.py            # half an hour on one core
    python benchmarks/criticality_power.py --quick    # 2,000 frames, 3 draws of each kind: a minute

A line per kind of activity and length: draws called consistent with criticality, and what the others are called.
`critical`: branching with m = 1 and 0.3 spontaneous events per frame, each event in a random unit; `nearly critical`:
m = 0.999; `subcritical`: m = 0.98, 0.95 or 0.9 with a mean of 20 events; `counts`: events of the units as they are;
`noise`: each unit shows its events in Gaussian noise of 0.3 standard deviations. `phase`: critical draws with noise,
phases randomised alike in all units; `shuffle`: critical draws, each unit's frames shuffled; `poisson`: independent
events; `network`: a linear network with spectral radius 0.98 and common noise.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from connfit.analysis.criticality.judgement import JUDGED
from connfit.analysis.criticality.power import WORD, word_of
from connfit.analysis.criticality.surrogates import make_surrogate

BRANCHING = {
    "critical": (1.0, 0.3),
    "nearly critical": (0.999, 0.3),
    "subcritical 0.98": (0.98, 0.4),
    "subcritical 0.95": (0.95, 1.0),
    "subcritical 0.9": (0.9, 2.0),
}
KINDS = (
    *(f"{name}, {seen}" for name in BRANCHING for seen in ("counts", "noise")),
    "phase",
    "shuffle",
    "poisson",
    "network",
)


def events(m: float, drive: float, frames: int, units: int, rng: np.random.Generator) -> np.ndarray:
    """Draw events of a branching process after 1,000 frames, each in a random unit."""
    share = rng.gamma(4, 1, units)
    share, now, out = share / share.sum(), 0, np.empty((frames, units))
    for t in range(-1000, frames):
        now = int(rng.poisson(m * now + drive))
        if t >= 0:
            out[t] = rng.multinomial(now, share)
    return out


def noisy(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of 0.3 standard deviations."""
    return values + rng.normal(0, 0.3 * max(float(values.std()), 1e-3), values.shape)


def draw(kind: str, frames: int, units: int, seed: int) -> np.ndarray:
    """Draw a recording [time, unit] of one of `KINDS`."""
    rng = np.random.default_rng((seed, frames, units, sum(kind.encode())))
    if kind == "poisson":
        return rng.poisson(0.1, (frames, units)).astype(np.float64)
    if kind == "network":
        weights = rng.normal(size=(units, units)) / units**0.5
        weights = 0.5 * weights / np.abs(np.linalg.eigvals(weights)).max() + 0.5 * np.eye(units)
        weights *= 0.98 / np.abs(np.linalg.eigvals(weights)).max()
        now, out = np.zeros(units), np.empty((frames, units))
        for t in range(-500, frames):
            now = weights @ now + rng.normal(size=units) + 0.3 * rng.normal()
            if t >= 0:
                out[t] = now
        return out
    name = kind.partition(", ")[0] if kind not in ("phase", "shuffle") else "critical"
    values = events(*BRANCHING[name], frames, units, rng)
    if kind == "phase":
        return make_surrogate(noisy(values, rng), "phase_together", seed)
    if kind == "shuffle":
        return make_surrogate(values, "shuffle", seed)
    return noisy(values, rng) if kind.endswith("noise") else values


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 frames and 3 draws")
    parser.add_argument("--draws", type=int, default=20, help="recordings of each kind and length")
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 3000, 6000, 12000])
    parser.add_argument("--units", type=int, default=40)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS, metavar="KIND")
    options = parser.parse_args()
    lengths, draws = ([2000], 3) if options.quick else (options.frames, options.draws)
    print("| activity | frames | units | called | others | seconds |\n| --- | --- | --- | --- | --- | --- |")
    for frames in lengths:
        for kind in options.kinds:
            start, words = time.perf_counter(), dict.fromkeys(JUDGED, 0)
            for seed in range(draws):
                values = draw(kind, frames, options.units, seed)
                words[word_of([values], None, seed)] += 1
            others = ", ".join(f"{word} {number}" for word, number in words.items() if number and word != WORD)
            seconds = time.perf_counter() - start
            print(
                f"| {kind} | {frames} | {options.units} | {words[WORD]} of {draws} | {others} | {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
