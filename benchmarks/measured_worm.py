"""Fits of five worms at rest, and opponents, against measured responses to stimulation (Randi et al. 2023).

    python benchmarks/measured_worm.py [--only connectome rewire_degrees] [--seeds 0 1] [--epochs 20] [--folder FOLDER]
    python benchmarks/measured_worm.py --wiring

Each variant is fitted to the five recordings pooled, every choice by their validation frames, and scored against the
table by the same scorer (docs/measured.md). One JSON object a line for each fit; then one for each variant, fitted and
untrained, with the mean AUROC over its seeds (of a null connectome: over its draws) and that of the connectome's fits
minus it, with intervals over stimulated neurons; then the table of all opponents of the first fit. Nothing is chosen by
the measured responses. Fits that are in FOLDER already are not made again. `--wiring` fits nothing: it scores what the
wiring says by itself, in seconds. With `--drive own none` pulses also act through connections alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from connfit import config as configuration
from connfit._console import Output
from connfit._io import plain, write_json
from connfit.analysis.measured.measured_responses import MeasuredResponses, ResponseRule, place, read_measured
from connfit.analysis.measured.opponents import Opponent, Opponents
from connfit.analysis.measured.pair_scores import Truth, aurocs, score_predictor, table_facts
from connfit.analysis.measured.response_scores import Estimate, Resamples
from connfit.analysis.measured.score_run import PairTable, score_responses
from connfit.analysis.measured.wiring_predictors import distances, wiring_predictors
from connfit.connectome.nulls import NULLS
from connfit.datasets.fetch import locate
from connfit.datasets.loading import load_connectome
from connfit.datasets.worm import RESPONSES, WORM
from connfit.errors import DataError
from connfit.models.perturb import DRIVES
from connfit.models.pulse import Stimulations
from connfit.report.console_measured import print_measured
from connfit.training import runs
from connfit.training.fitted import Fit

MAIN, FITTED, UNTRAINED = "connectome", "fitted", "untrained"
RESAMPLES = 2000
VARIANTS: dict[str, dict[str, Any]] = {
    MAIN: {},
    "no gap junctions": {"data": {"electrical": "drop"}},
    "no drive": {"model": {"drive": "none"}},
    "gain per neuron": {"model": {"strengths": "gain_per_neuron"}},
    "indicator": {"model": {"observation": {"indicator": "GCaMP6s", "bounds": [0.2, 5.0]}}},
    "behaviour": {"inputs": {"channels": ["velocity", "head_angle"]}},
    **{name: {"data": {"null": name}} for name, null in NULLS.items() if null.in_studies},
}
"""Options in which a variant differs from the first."""


def options(variant: str, seed: int, epochs: int) -> configuration.Config:
    """Return the configuration of a variant."""
    own = VARIANTS[variant]
    data = {"dataset": "worm", "recordings": list(WORM.recordings), "electrical": "include", **own.get("data", {})}
    others = {name: section for name, section in own.items() if name != "data"}
    return configuration.from_dict({"data": data, "train": {"epochs": epochs}, "seed": seed, **others})


def wiring_alone(table: MeasuredResponses, resamples: int = RESAMPLES) -> None:
    """Print a line for each predictor that needs no fit."""
    brain = load_connectome("worm", electrical="include")
    placed = place(table, brain)
    truth = Truth.of(placed, ResponseRule(), distances(brain, placed.stimulated, placed.responding))
    drawn = Resamples.draw(truth.groups, repeats=resamples)
    print(json.dumps({"benchmark": "measured_worm", "table": plain(table_facts(placed, truth, table.rows, drawn))}))
    for predictor in wiring_predictors(brain, truth.stimulated, truth.responding):
        found = score_predictor(predictor, truth, drawn)
        print(json.dumps({
            "benchmark": "measured_worm", "predictor": predictor.name, "auroc": brief(found.auroc),
            "within": brief(found.auroc_within), "precision": brief(found.average_precision),
            "amplitude": brief(found.amplitude_correlation), "sign": brief(found.sign_agreement),
            "by_distance": {name: brief(of.auroc) for name, of in found.by_distance.items()},
        }))  # fmt: skip


def brief(of: Estimate | None) -> list[float | None]:
    """Return a score and its interval."""
    found = (None, None, None) if of is None else (of.value, of.low, of.high)
    return [None if one is None else round(one, 4) for one in found]


def opponents_of(fits: Mapping[tuple[str, int], Fit]) -> dict[str, Opponent]:
    """Return every fit, and its start, by variant and seed."""
    found = {}
    for (variant, seed), fit in fits.items():
        for what, params in ((FITTED, fit.params), (UNTRAINED, fit.initial_params)):
            name = f"{variant}/{what}/{seed}"
            found[name] = Opponent(name, "run", fit.model, params, fit.connectome, fit.cohort)
    return found


def print_groups(names: Iterable[str], pairs: PairTable, resamples: int, drive: str) -> None:
    """Print, for each variant, the mean AUROC over its seeds and that of the connectome's fits minus it."""
    truth = pairs.truth
    drawn = Resamples.draw(truth.groups, repeats=resamples)
    everywhere = np.ones(len(truth.responds), bool)
    known = {each.name: each.values for each in pairs.predictors}
    groups: dict[tuple[str, str], list[np.ndarray]] = {}
    for name in names:
        variant, what, _ = name.split("/")
        groups.setdefault((variant, what), []).append(aurocs(known[name], truth, everywhere, drawn)[0])
    best = np.mean(groups[MAIN, FITTED], axis=0)
    for (variant, what), each in groups.items():
        mean = np.mean(each, axis=0)
        print(json.dumps({
            "benchmark": "measured_worm", "drive": drive, "group": variant, "of": what, "seeds": len(each),
            "auroc": brief(drawn.estimate(mean)), "of_each": sorted(round(float(one[0]), 4) for one in each),
            "connectome_minus_this": brief(drawn.estimate(best - mean)),
        }), flush=True)  # fmt: skip


def fit_of(variant: str, seed: int, out: Path, epochs: int) -> tuple[Fit, float]:
    """Make the fit that a folder lacks; return it with the processor time that it took."""
    began = time.process_time()
    if not (out / "parameters.npz").exists():
        if (out / "config.json").exists():
            runs.resume(out)
        else:
            runs.start(options(variant, seed, epochs), out)
    return runs.load_fit(out), time.process_time() - began


def main() -> None:
    """Print a line for each fit, one for each variant, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], help="of the connectome and of null connectomes")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None, help="also write the table's scores into this file")
    parser.add_argument(
        "--drive", nargs="*", default=["own"], choices=list(DRIVES), help="what drives models in a pulse"
    )
    parser.add_argument("--wiring", action="store_true", help="score what needs no fit, and nothing else")
    args = parser.parse_args()
    table = read_measured(locate(WORM, [RESPONSES])[RESPONSES], name="worm")
    if args.wiring:
        wiring_alone(table)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = args.folder or Path(made)
        fits: dict[tuple[str, int], Fit] = {}
        for variant in args.only:
            for seed in args.seeds if variant == MAIN or variant in NULLS else args.seeds[:1]:
                try:
                    fitted, spent = fit_of(variant, seed, folder / f"{variant.replace(' ', '_')}-{seed}", args.epochs)
                except DataError as error:
                    print(json.dumps({"benchmark": "measured_worm", "variant": variant, "reason": str(error)}))
                    break
                fits[variant, seed] = fitted
                print(json.dumps({
                    "benchmark": "measured_worm", "variant": variant, "seed": seed, "trained": fitted.trained,
                    "parameters": sum(fitted.require_job().parameter_counts().values()),
                    "epoch": fitted.best_epoch, "fit_cpu_seconds": round(spent),
                }), flush=True)  # fmt: skip
        first = fits.get((MAIN, args.seeds[0]))
        if first is None:
            return
        others = opponents_of(fits)
        for drive in args.drive:
            how = Stimulations(drive=drive)
            _, pairs = score_responses(first, table, how, opponents=Opponents(others), resamples=1)
            print_groups(others, pairs, RESAMPLES, drive)
        scores, _ = score_responses(first, table, Stimulations(drive=args.drive[0]), resamples=RESAMPLES)
        print_measured(scores, Output())
        if args.json is not None:
            write_json(args.json, scores)


if __name__ == "__main__":
    main()
