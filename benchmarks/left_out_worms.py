"""Each neuron of five worms predicted from all others, by fits beside a ridge regression, an MLP and the ceiling.

    python benchmarks/left_out_worms.py [--groups alone "held out" pooled] [--epochs 20] [--seed 0] [--folder FOLDER]

`alone`: a fit to the worm itself; `held out`: a fit to the other four, so that the model has seen nothing of the
animal; `pooled`: one fit to all five. Every choice is made on validation frames, scores are of the test part
(docs/methods.md, "Each unit from the others"): skill over the unit's training mean, and correlation over time. The
regression and the MLP are fitted to the animal's own first frames in each group. One JSON object a line for each worm,
with medians over its units; then a table for each group, with medians over the units of all worms and 95 % intervals
over animals with their units. Fits that are in FOLDER already are not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from connfit import config as configuration
from connfit.config import EvaluateConfig
from connfit.datasets.worm import WORM
from connfit.evaluation.ceiling import noise_of, recording_ceilings
from connfit.evaluation.left_out_intervals import OverUnits
from connfit.evaluation.left_out_unit import CEILING, PREDICTORS, LeftOut, left_out_scores, pool_left_out
from connfit.recordings import Recording
from connfit.training import runs
from connfit.training.fitted import Fit

ALONE, HELD_OUT, POOLED = "alone", "held out", "pooled"
GROUPS = (ALONE, HELD_OUT, POOLED)


def fit_to(recordings: list[str], held_out: list[str], out: Path, epochs: int, seed: int) -> Fit:
    """Fit some worms, or load the fit that a folder has."""
    if not (out / "parameters.npz").exists():
        data = {"dataset": "worm", "recordings": recordings, "held_out": held_out}
        runs.start(configuration.from_dict({"data": data, "train": {"epochs": epochs}, "seed": seed}), out)
    return runs.load_fit(out)


def scored(group: str, folder: Path, epochs: int, seed: int) -> Iterator[tuple[Fit, Recording]]:
    """Yield each worm with the fit that predicts it."""
    every = list(WORM.recordings)
    if group == POOLED:
        fit = fit_to(every, [], folder / f"pooled-{seed}", epochs, seed)
        yield from ((fit, recording) for recording in fit.cohort.recordings)
        return
    for worm in every:
        name = f"{group.replace(' ', '_')}-{worm.rpartition('/')[2]}-{seed}"
        others = [one for one in every if one != worm]
        if group == ALONE:
            fit = fit_to([worm], [], folder / name, epochs, seed)
            yield fit, fit.cohort.recordings[0]
        else:
            fit = fit_to(others, [worm], folder / name, epochs, seed)
            yield fit, fit.cohort.held_out[0]


def medians(found: LeftOut) -> dict[str, dict[str, float | None]]:
    """Return the median unit of each predictor."""
    there = {name: getattr(found, name) for name in (*PREDICTORS, CEILING)}
    return {
        name: {"skill": of.skill_interval.median, "r": of.r_interval.median}
        for name, of in there.items()
        if of is not None
    }


def written(of: OverUnits) -> str:
    """Return a median with its interval."""
    ends = "" if of.low is None or of.high is None else f" ({of.low:.3f} to {of.high:.3f})"
    return "-" if of.median is None else f"{of.median:.3f}{ends}"


def print_table(group: str, found: LeftOut) -> None:
    """Print medians over all units, with intervals, and how the model differs from the others."""
    print(f"\n{group}: {found.units} units; skill, correlation, skill of the model minus this")
    for name in (*PREDICTORS, CEILING):
        of = getattr(found, name)
        if of is None:
            print(f"{name:10} {found.reasons.get(name, '')}")
            continue
        lead = getattr(found, f"model_minus_{name}", None)
        minus = "" if lead is None or lead.median is None else f"{lead.median:.3f} ({lead.low:.3f} to {lead.high:.3f})"
        print(f"{name:10} {written(of.skill_interval):26} {written(of.r_interval):26} {minus}", flush=True)


def main() -> None:
    """Print a line for each worm and a table for each group."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", nargs="*", default=list(GROUPS), choices=GROUPS)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    config = EvaluateConfig()
    with tempfile.TemporaryDirectory() as made:
        for group in args.groups:
            each = []
            began = time.process_time()
            for fit, recording in scored(group, args.folder or Path(made), args.epochs, args.seed):
                noise = noise_of(recording_ceilings(recording, config))
                found = left_out_scores(fit.forecaster(), fit.initial_forecaster(), recording, config, noise=noise)
                each.append(found)
                spent = round(time.process_time() - began)
                print(json.dumps({
                    "benchmark": "left_out_worms", "group": group, "worm": recording.name, "units": found.units,
                    "epoch": fit.best_epoch, "cpu_seconds": spent, **medians(found), "reasons": dict(found.reasons),
                }), flush=True)  # fmt: skip
                began = time.process_time()
            print_table(group, pool_left_out(each))


if __name__ == "__main__":
    main()
