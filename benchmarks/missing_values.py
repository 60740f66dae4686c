"""Measure how much of their skill baselines keep where values are missing.

    python benchmarks/missing_values.py [--quick] [--dataset worm] [--baselines ar var_ridge]

Entries of every recording are blanked: 2, 15 and 40 % at random, and 15 % in blocks of consecutive frames (of single
units, and of whole frames). Each baseline is fitted to the recording with gaps and scored one step ahead on the test
part: on the remaining entries, over persistence on the same entries, which is the last observed value there. The share
is that skill over the skill without gaps; both are means over the recordings. With gaps persistence is weaker too, so a
share can exceed 1; the mean squared error on the remaining entries, over that of the same baseline without gaps on the
same entries, stands beside it. A baseline that loses to persistence without gaps has no skill to keep: it gets no
share, and must not become worse. Results: missing_values.md.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from connfit import config as configuration
from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.scores import score
from connfit.recordings import Recording, hold_last
from connfit.training.problem import prepare
from connfit.training.recipe import FALLBACK, Recipe

PATTERNS = {"2 %": 0.80, "15 %": 0.65, "40 %": 0.40, "15 % in blocks": 0.65}
"""Share of the skill without gaps that has to be left."""

LINEAR = ("ar", "var_ridge", "var_around_ar", "reduced_rank", "lds")


def blanked(recording: Recording, pattern: str, seed: int = 0) -> Recording:
    """Blank entries of a recording, depending on the pattern and the seed alone."""
    rng = np.random.default_rng(seed)
    frames, units = recording.values.shape
    share = float(pattern.split(" ")[0]) / 100
    seen = np.ones((frames, units), bool)
    if "blocks" not in pattern:
        seen = rng.random((frames, units)) >= share
    while "blocks" in pattern and seen.mean() > 1 - share:
        first, length, unit = rng.integers(frames), rng.integers(5, 40), rng.integers(units + units // 5)
        if unit >= units:
            seen[first : first + max(2, length // 4)] = False
        else:
            seen[first : first + length, unit] = False
    seen &= recording.mask
    return replace(recording, values=np.where(seen, recording.values, np.nan).astype(np.float32), mask=seen)


def errors(predicted: np.ndarray, recording: Recording, mask: np.ndarray) -> tuple[float, float]:
    """Sum squared errors of a prediction and of persistence over the entries of `mask` in the test part."""
    held = np.concatenate(
        [np.full((1, len(recording.units)), np.nan), hold_last(recording.values, recording.mask)[:-1]]
    )
    scored = mask & np.isfinite(predicted) & np.isfinite(held)
    scored[: recording.require_parts()["test"].start] = False
    values = recording.values.astype(np.float64)
    return float(((values - predicted)[scored] ** 2).sum()), float(((values - held)[scored] ** 2).sum())


def measure(recordings: list[Recording], name: str, free_runs: bool) -> None:
    """Print one row of the table per pattern."""
    config = EvaluateConfig(free_run_runs=4)
    whole = {one.name: BASELINES[name](one, config).one_step(one) for one in recordings}
    sums = [errors(whole[one.name], one, one.mask) for one in recordings]
    full = float(np.mean([1 - ours / theirs for ours, theirs in sums]))
    for pattern, floor in PATTERNS.items():
        skills, ratios, correlations = [], [], []
        for one in recordings:
            gappy = blanked(one, pattern)
            model = BASELINES[name](gappy, config)
            ours, theirs = errors(model.one_step(gappy), gappy, gappy.mask)
            skills.append(1 - ours / theirs)
            ratios.append(ours / errors(whole[one.name], one, gappy.mask)[0])
            if free_runs:
                correlations.append(score(model, gappy, config, ahead_of=("test",))["test"].free_run.fc_corr)
        share = f"{np.mean(skills) / full:7.0%}" if full > 0 else f"{'none':>7}"
        enough = np.mean(skills) >= (floor * full if full > 0 else full)
        fc = f"{np.mean([np.nan if one is None else one for one in correlations]):8.3f}" if free_runs else ""
        print(
            f"{name:14} {pattern:16} {full:7.3f} {np.mean(skills):7.3f} {share} (floor {floor:.0%}) "
            f"{np.mean(ratios):8.3f}{fc}{'' if enough else '   BELOW'}",
            flush=True,
        )


def main() -> None:
    """Read the options, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one recording of each dataset, no free runs")
    parser.add_argument("--dataset", nargs="+", default=["worm", "demo"])
    parser.add_argument("--baselines", nargs="+", default=list(LINEAR), choices=sorted(BASELINES))
    options = parser.parse_args()
    for dataset in options.dataset:
        data = {"dataset": dataset, **({} if options.quick else {"recordings": ["all"]})}
        config = configuration.from_dict({"data": data})
        recordings = list(prepare(config, Recipe(FALLBACK)).cohort.recordings)  # no start is needed
        print(f"\n{dataset}: {len(recordings)} recordings")
        print(f"{'baseline':14} {'missing':16} {'without':>7} {'with':>7} {'kept':>7} {'':12} {'MSE x':>8} free-run FC")
        for name in options.baselines:
            measure(recordings, name, not options.quick)


if __name__ == "__main__":
    main()
