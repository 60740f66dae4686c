"""Compare memory against the length of the recording: backpropagation through time and connfit's rules.

    python benchmarks/bptt_memory.py                   # a tenth of the adult fly's size
    python benchmarks/bptt_memory.py --scale 0.05 --steps 64 256 1024
    python benchmarks/bptt_memory.py --figure docs     # also draws docs/bptt_memory.svg and .png

Each line is one process, one after the other: the gradient of all parameters for a recording of T steps, and the peak
resident memory beyond that of the same process before its first step (imports, wiring and parameters).

d-rtrl, hybrid
    connfit, windows of 16 steps: the gradient of every window is at hand when the window ends.
bptt (connfit)
    connfit's own window of T steps: it keeps the activity of neurons and units at every step, nothing per connection.
bptt (autodiff)
    `jax.grad` through a `lax.scan` of connfit's model and sparse products.
bptt (plain JAX)
    `jax.grad` through a `lax.scan` of the model as one would write it: the sparse product gathers rates and sums by
    segments, of which autodiff keeps a number per connection and step.

The line through the two longest runs of a rule is extrapolated to the fly's size and 2,000 frames. A rule's remaining
memory has a part that grows with the connections and one that does not (compilation); a run at a tenth of the size
separates them, to some 0.2 GB (a few per cent of small peaks, times ten; a larger --scale narrows it). That half of
the figure is dashed and labelled as an extrapolation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from training import CONNECTIONS, NEURONS, UNITS, WINDOW, write_brain

RULES = ("d-rtrl", "hybrid", "bptt (connfit)", "bptt (autodiff)", "bptt (plain JAX)")
FRAMES = 2_000
"""Frames of one recording of the fly."""


def run(brain_file: str, rule: str, steps: int) -> dict[str, Any]:
    """Compute the gradient of a recording of `steps` steps by one rule, and measure peak memory."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import scipy.sparse as sp

    import connfit as cf
    from connfit.models.base import Neurons
    from connfit.models.forward import step as model_step
    from connfit.training.learners import WindowArrays
    from connfit.training.runs import peak_rss_bytes

    brain = cf.Connectome.load(brain_file)
    rng = np.random.default_rng(1)
    n, m = brain.n, brain.m
    units = (rng.integers(UNITS, size=2 * n), np.tile(np.arange(n), 2))
    readout = cf.Readout(
        sp.csr_array((np.ones(2 * n), units), shape=(UNITS, n)), tuple(f"unit {k}" for k in range(UNITS))
    )
    model = cf.RateModel.from_connectome(brain, readout, step_s=1 / 1.2, drive="dense")
    pre, post, signs = (jnp.asarray(one) for one in (brain.indices, brain.posts, brain.signs))
    del brain
    params = {
        "weights": jnp.asarray(rng.random(m, np.float32) * np.float32(0.5 * n / m)),
        "log_time_constants": jnp.zeros(n),
        "bias": jnp.full(n, 0.1),
        "drive": jnp.asarray(rng.random((n, UNITS), np.float32) / UNITS),
    }
    values = jnp.asarray(rng.random((steps + 1, UNITS, 1), np.float32))

    def window(start: int, length: int) -> WindowArrays:
        shape = (length, UNITS, 1)
        inputs, targets = (values[start + k : start + k + length] for k in (0, 1))
        return WindowArrays(inputs, jnp.ones(shape, bool), targets, jnp.ones(shape))

    def plain_step(params: dict, rates: jax.Array, given: jax.Array) -> jax.Array:
        alpha = model.decay(params)[:, None]
        recurrent = jax.ops.segment_sum(params["weights"][:, None] * (signs[:, None] * rates)[pre], post, n)
        x = recurrent + params["bias"][:, None] + jnp.maximum(params["drive"] @ given, 0)
        return alpha * rates + (1 - alpha) * jnp.maximum(x, 0)

    def scanned_loss(params: dict, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        def forward(rates: jax.Array, now: tuple) -> tuple[jax.Array, jax.Array]:
            if rule == "bptt (plain JAX)":
                rates = plain_step(params, rates, now[0])
            else:
                rates = model_step(model, params, Neurons((rates,)), now[0], None)[0].rates
            error = model.readout.apply(model.readout_strengths(params), rates) - now[1]
            return rates, (error**2).sum()

        return jax.lax.scan(forward, jnp.zeros((n, 1)), (inputs, targets))[1].sum()

    jax.block_until_ready((model, params, values, pre, post, signs))
    before = peak_rss_bytes()
    if rule in ("bptt (autodiff)", "bptt (plain JAX)"):
        jax.block_until_ready(jax.jit(jax.grad(scanned_loss))(params, values[:-1], values[1:]))
    else:
        length = steps if rule == "bptt (connfit)" else WINDOW
        learner = cf.WindowedLearner(
            length, "neuron" if rule == "d-rtrl" else "network", "none" if length == steps else "trace"
        )
        advance = jax.jit(learner.step, static_argnums=4, donate_argnums=2)
        memory = learner.start(model, 1, model.groups)
        for start in range(0, steps, length):
            result, memory = jax.block_until_ready(advance(model, params, memory, window(start, length), model.groups))
            del result
    return {
        "benchmark": "bptt_memory",
        "rule": rule,
        "n": n,
        "m": m,
        "units": UNITS,
        "window": WINDOW if rule in RULES[:2] else steps,
        "steps": steps,
        "peak_rss_bytes": peak_rss_bytes(),
        "before_bytes": before,
    }


def training_bytes(line: dict[str, Any]) -> int:
    """Return the peak memory beyond what was there before the first step."""
    return line["peak_rss_bytes"] - line["before_bytes"]


def extrapolated(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """A rule's memory at the fly's size: without any step, and for each step; from runs of two sizes.

    Neurons and connections grow by the same factor from size to size.
    """
    size = max(line["m"] for line in lines)
    small = next(line for line in lines if line["m"] < size)
    (t0, y0), (t1, y1) = sorted((line["steps"], training_bytes(line)) for line in lines if line["m"] == size)[-2:]
    if lines[0]["rule"] in RULES[:2]:
        # Nothing grows with the recording: the most that any run took.
        slope, fixed = 0.0, max(training_bytes(line) for line in lines if line["m"] == size)
    else:
        slope = (y1 - y0) / (t1 - t0)
        fixed = y1 - slope * t1
    fixed_small = training_bytes(small) - slope * small["steps"] * small["m"] / size
    per_connection = (fixed - fixed_small) / (size - small["m"])
    at_zero = fixed + per_connection * (CONNECTIONS - size)
    per_step = slope * CONNECTIONS / size
    return {
        "benchmark": "bptt_memory",
        "rule": lines[0]["rule"],
        "extrapolated": True,
        "n": NEURONS,
        "m": CONNECTIONS,
        "steps": FRAMES,
        "bytes_per_step": round(per_step),
        "bytes_without_steps": round(at_zero),
        "bytes": round(at_zero + per_step * FRAMES),
    }


def draw(lines: list[dict[str, Any]], folder: Path) -> None:
    """Draw memory against steps: measured on the left, extrapolated to the fly's size on the right."""
    import numpy as np

    from connfit.report.figures.style import MODEL, QUIET, SPARE, look, new_figure, save_figure

    colours = dict(zip(RULES, (QUIET, MODEL, SPARE[0], SPARE[3], SPARE[2]), strict=True))
    markers = dict(zip(RULES, ("o", "s", "^", "D", "v"), strict=True))
    size = max(line["m"] for line in lines)
    n = max(line["n"] for line in lines)
    left_end = min(line["steps"] for line in lines)
    with look():
        figure = new_figure(3.2)
        left, right = figure.subplots(1, 2)
        for rule in RULES:
            own = sorted((line for line in lines if line["rule"] == rule), key=lambda line: line["steps"])
            if not own:
                continue
            style = {"color": colours[rule], "label": rule}
            measured = [(line["steps"], training_bytes(line) / 1e9) for line in own if line["m"] == size]
            left.plot(*zip(*measured, strict=True), marker=markers[rule], markersize=4, **style)
            end = extrapolated(own)
            steps = np.geomspace(left_end, FRAMES, 50)
            gigabytes = (end["bytes_without_steps"] + end["bytes_per_step"] * steps) / 1e9
            right.plot(steps, gigabytes, linestyle="--", **style)
            right.plot(FRAMES, gigabytes[-1], marker=markers[rule], markersize=4, fillstyle="none", color=colours[rule])
            shown = f"{gigabytes[-1]:.2g}" if gigabytes[-1] < 10 else f"{gigabytes[-1]:.0f}"
            # Lines that nearly coincide keep their numbers apart.
            aside = (6, 4 if rule in ("hybrid", "bptt (connfit)") else -4)
            right.annotate(f"{shown} GB", (FRAMES, gigabytes[-1]), aside, textcoords="offset points", va="center")
        left.set_title(f"Measured\n{n:,} neurons, {size:,} connections", loc="left")
        right.set_title(f"Extrapolated\n{NEURONS:,} neurons, {CONNECTIONS:,} connections", loc="left")
        for axes in (left, right):
            axes.set(xlabel="steps T of the recording", xscale="log", yscale="log")
            axes.grid(alpha=0.25, linewidth=0.5)
        lengths = sorted({line["steps"] for line in lines})
        left.set_xticks(lengths, [f"{steps:,}" for steps in lengths])
        left.set_xticks([], minor=True)
        right.set_xticks([100, 1000, FRAMES], ["100", "1,000", f"{FRAMES:,}"])
        left.set_ylabel("memory of training (GB)")
        right.set_xlim(left_end, FRAMES * 2.5)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(RULES), fontsize=7)
        save_figure(figure, folder, "bptt_memory")


def main() -> None:
    """Run every rule at every length, print a JSON line for each and for each extrapolation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.1, help="share of the fly's neurons and connections")
    parser.add_argument("--steps", type=int, nargs="+", default=[64, 128, 256, 512], help="multiples of 16")
    parser.add_argument("--only", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--figure", type=Path, help="folder for bptt_memory.svg and bptt_memory.png")
    parser.add_argument("--lines", type=Path, help="draw these lines, printed earlier, instead of measuring")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        brain_file, rule, steps = options.run
        print(json.dumps(run(brain_file, rule, int(steps))))
        return
    if any(steps % WINDOW or steps < 2 * WINDOW for steps in options.steps):
        parser.error(f"--steps must be multiples of {WINDOW}, at least {2 * WINDOW}")
    if len(options.steps) < 2:
        parser.error("--steps needs two lengths or more: a line is drawn through the longest two")
    lines: list[dict[str, Any]] = []
    if options.lines is not None:
        read = (json.loads(line) for line in options.lines.read_text(encoding="utf-8").splitlines())
        lines = [line for line in read if "extrapolated" not in line]
    else:
        with tempfile.TemporaryDirectory() as folder:
            brain_file = Path(folder) / "brain.h5"
            for scale, lengths in ((options.scale / 10, options.steps[:1]), (options.scale, options.steps)):
                write_brain(brain_file, max(UNITS, int(NEURONS * scale)), int(CONNECTIONS * scale))
                for rule in options.only:
                    for steps in lengths:
                        command = [sys.executable, __file__, "--run", str(brain_file), rule, str(steps)]
                        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                        lines.append(json.loads(done.stdout.splitlines()[-1]))
                        print(json.dumps(lines[-1]), flush=True)
    for rule in options.only:
        print(json.dumps(extrapolated([line for line in lines if line["rule"] == rule])), flush=True)
    if options.figure is not None:
        draw(lines, options.figure)


if __name__ == "__main__":
    main()
