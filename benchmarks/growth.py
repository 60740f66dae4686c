"""Measure how training grows with the brain: 0.75 to 100 million connections, long recordings, several side by side.

    python benchmarks/growth.py                       # 6 GB of memory, 1 GB on the disk, about ten minutes
    python benchmarks/growth.py --largest 3           # a minute
    python benchmarks/growth.py --figure docs         # and draw docs/growth.png
    python benchmarks/growth.py --lines FILE --figure docs   # draw what was printed earlier

Random brains of rate neurons with 100 connections each (100 million belong to 1 million neurons), 73 recorded units and
a dense drive, which so grows in proportion; D-RTRL in windows of 16 steps, clipping and Adam. Each line is one fit in a
process of its own, on native operators: seconds to make the brain (its file, some rows at a time), seconds from the
start of the process to the end of the first window, ms per model step after it, peak resident memory, and the estimate
that connfit has before it trains. `length`: one brain, recordings of T frames, the same number of steps. `batch`: the
same brain, recordings side by side. Then the slope of ms per step against connections, both logarithms, with the 95 %
interval of the regression. Of repeated runs the fastest counts, and of memory the largest. The benchmark fails if the
slope is not 1.0 give or take 0.07, if memory or time of a step grow with T by more than 2 %, or if B recordings take
B times as long as one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from training import UNITS, in_own_process

SIZES = (0.75, 1.5, 3.0, 7.5, 15.0, 30.0, 60.0, 100.0)
"""Million connections."""

PER_NEURON = 100
LENGTHS = (256, 1024, 4096)
BATCHES = (1, 2, 4, 8)
SLOPE, GROWTH = 0.07, 0.02
WORK = 5e8
"""Connections times windows of a run, so that each takes seconds; at least `FEWEST` windows."""

FEWEST, WINDOW = 16, 16


def make(path: Path, connections: int) -> dict[str, Any]:
    """Make a brain in a process of its own, and measure."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--make", path, connections]
    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE)
    return {
        "made_s": round(time.perf_counter() - began, 1),
        "making_bytes": json.loads(done.stdout),
        "file_bytes": path.stat().st_size,
    }


def measured(brain_file: Path, frames: int, steps: int, recordings: int = 1) -> dict[str, Any]:
    """Fit in a process of its own."""
    line = in_own_process(brain_file, "native", "neuron", frames, steps, recordings=recordings)
    over = round(line["estimate_bytes"] / line["peak_rss_bytes"], 3)
    return {**line, "benchmark": "growth", "estimate_over_peak": over}


def steps_of(connections: int, least: int = 0) -> int:
    """Return how many model steps a run of so many connections takes."""
    return max(WINDOW * FEWEST, WINDOW * round(WORK / connections), least)


def runs(sizes: Iterable[float], at: float, repeats: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a line for each fit."""
    for millions in sizes:
        connections = round(1e6 * millions)
        path = folder / f"{millions:g}.h5"
        made = make(path, connections)
        for _ in range(repeats):
            steps = steps_of(connections)
            yield {**measured(path, min(256, steps), steps), **made, "what": "size"}
        if millions == at:
            for _ in range(repeats):
                for frames in LENGTHS:
                    line = measured(path, frames, steps_of(connections, LENGTHS[-1]))
                    yield {**line, "what": "length"}
            for _ in range(repeats):
                for recordings in BATCHES:
                    line = measured(path, 256, steps_of(connections), recordings)
                    yield {**line, "what": "batch"}
        path.unlink()


def best(lines: Iterable[dict[str, Any]], what: str, by: str) -> dict[int, dict[str, Any]]:
    """Return the fastest run of each size, length or batch, with the largest peak of its repeats, in their order."""
    found: dict[int, dict[str, Any]] = {}
    for line in lines:
        if line["what"] != what:
            continue
        other = found.get(line[by], line)
        peak = max(line["peak_rss_bytes"], other["peak_rss_bytes"])
        found[line[by]] = {**min(line, other, key=lambda each: each["ms_per_step"]), "peak_rss_bytes": peak}
    return dict(sorted(found.items()))


def slope_of(sizes: dict[int, dict[str, Any]]) -> dict[str, Any] | None:
    """Fit ms per step = c M^slope; None for less than three sizes."""
    import numpy as np
    from scipy import stats

    if len(sizes) < 3:
        return None
    found = stats.linregress(np.log(list(sizes)), np.log([line["ms_per_step"] for line in sizes.values()]))
    half = found.stderr * stats.t.ppf(0.975, len(sizes) - 2)
    return {
        "benchmark": "growth",
        "slope": round(found.slope, 3),
        "low": round(found.slope - half, 3),
        "high": round(found.slope + half, 3),
        "sizes": len(sizes),
    }


def wrong(lines: list[dict[str, Any]]) -> list[str]:
    """Print the slope and the ratios, and say what is not as it must be."""
    found: list[str] = []
    slope = slope_of(best(lines, "size", "m"))
    if slope is not None:
        print(json.dumps(slope), flush=True)
        if abs(slope["slope"] - 1) > SLOPE:
            found.append(f"ms per step grows as M to the power of {slope['slope']}")
    for what, by in (("length", "frames"), ("batch", "recordings")):
        several = best(lines, what, by)
        for number, line in several.items():
            first = several[min(several)]
            if line is first:
                continue
            ratios = {key: line[key] / first[key] for key in ("ms_per_step", "peak_rss_bytes")}
            rounded = {f"{key}_ratio": round(ratio, 4) for key, ratio in ratios.items()}
            print(json.dumps({"benchmark": "growth", "what": what, by: number, **rounded}), flush=True)
            if what == "batch" and ratios["ms_per_step"] >= number:
                found.append(f"{number} recordings take {ratios['ms_per_step']:.1f} times as long as one")
            if what == "length":
                grown = {key: ratio for key, ratio in ratios.items() if ratio > 1 + GROWTH}
                found += [f"{key} grows by {ratio - 1:.1%} with {number} frames" for key, ratio in grown.items()]
    return found


def draw(lines: list[dict[str, Any]], folder: Path) -> None:
    """Draw time and memory against connections."""
    import numpy as np
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    from connfit.report.figures.style import MODEL, QUIET, look, new_figure, save_figure

    sizes, slope = best(lines, "size", "m"), slope_of(best(lines, "size", "m"))
    m = np.array(list(sizes), float)
    ms, peak, estimate, first = (
        np.array([line[key] for line in sizes.values()])
        for key in ("ms_per_step", "peak_rss_bytes", "estimate_bytes", "first_step_s")
    )
    with look():
        figure = new_figure(3.2)
        left, right = figure.subplots(1, 2)
        left.plot(m / 1e6, ms, "o", color=MODEL, markersize=4, label="ms per model step")
        left.plot(m / 1e6, 1e3 * first, "^", color=QUIET, markersize=4, label="to the end of the first window")
        if slope is not None:
            middle = np.exp(np.mean(np.log(ms)) - slope["slope"] * np.mean(np.log(m)))
            name = f"slope {slope['slope']:.2f} ({slope['low']:.2f} to {slope['high']:.2f})"
            left.plot(m / 1e6, middle * m ** slope["slope"], "-", color=MODEL, linewidth=0.9, label=name)
        left.set_ylabel("milliseconds")
        left.set_title("Time", loc="left")
        right.plot(m / 1e6, peak / 1e9, "o", color=MODEL, markersize=4, label="measured")
        right.plot(m / 1e6, estimate / 1e9, "-", color=QUIET, linewidth=0.9, label="estimated before training")
        right.set_ylabel("peak resident memory (GB)")
        right.set_title("Memory", loc="left")
        for axes in (left, right):
            axes.set(xlabel="million connections", xscale="log", yscale="log")
            axes.xaxis.set_major_locator(FixedLocator(list(m / 1e6)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.25, linewidth=0.5)
            axes.legend(loc="best", fontsize=7)
        for of in (right.yaxis.set_major_formatter, right.yaxis.set_minor_formatter):
            of(FuncFormatter(lambda y, _: f"{y:g}"))
        save_figure(figure, folder, "growth")


def main() -> None:
    """Print a JSON line for each fit, the slope and the ratios; draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=float, default=SIZES[-1], help="million connections; larger are left out")
    parser.add_argument("--at", type=float, default=3.0, help="size of the brain of `length` and `batch`")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each fit")
    parser.add_argument("--figure", type=Path, help="folder for growth.png and growth.svg")
    parser.add_argument("--lines", type=Path, help="read these lines, printed earlier, instead of measuring")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        from connfit import write_random_connectome
        from connfit._system.heap import peak_rss_bytes

        path, connections = options.make
        write_random_connectome(path, max(UNITS, int(connections) // PER_NEURON), int(connections))
        print(json.dumps(peak_rss_bytes()))
        return
    lines: list[dict[str, Any]] = []
    if options.lines is not None:
        read = (json.loads(line) for line in options.lines.read_text(encoding="utf-8").splitlines())
        lines = [line for line in read if "n" in line]
    else:
        with tempfile.TemporaryDirectory() as folder:
            sizes = [size for size in SIZES if size <= options.largest]
            for line in runs(sizes, options.at, options.repeats, Path(folder)):
                lines.append(line)
                print(json.dumps(line), flush=True)
    found = wrong(lines)
    if options.figure is not None:
        draw(lines, options.figure)
    if found:
        sys.exit("; ".join(found))


if __name__ == "__main__":
    main()
