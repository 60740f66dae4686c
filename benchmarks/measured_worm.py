"""Fits of five worms at rest, and opponents, against measured responses to stimulation (Randi et al. 2023).

    python benchmarks/measured_worm.py [--only connectome rewire_degrees] [--seeds 0 1] [--epochs 20] [--folder FOLDER]
    python benchmarks/measured_worm.py --wiring

Each variant is fitted to the five recordings pooled, every choice by their validation frames, and scored against the
table by the same scorer (docs/measured.md). One JSON object a line for each fit, then the table of all opponents of the
first one. Nothing is chosen by the measured responses. Fits that are in FOLDER already are not made again. `--wiring`
fits nothing: it scores what the wiring says by itself, in seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from connfit import config as configuration
from connfit._console import Output
from connfit._io import plain, write_json
from connfit.analysis.measured.measured_responses import MeasuredResponses, ResponseRule, place, read_measured
from connfit.analysis.measured.pair_scores import Truth, score_predictor, table_facts
from connfit.analysis.measured.response_scores import Estimate, Resamples
from connfit.analysis.measured.score_run import perturb_score
from connfit.analysis.measured.wiring_predictors import distances, wiring_predictors
from connfit.connectome.nulls import NULLS
from connfit.datasets.fetch import locate
from connfit.datasets.loading import load_connectome
from connfit.datasets.worm import RESPONSES, WORM
from connfit.report.console_measured import print_measured
from connfit.training import runs

MAIN = "connectome"
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


def wiring_alone(table: MeasuredResponses, resamples: int = 2000) -> None:
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


def main() -> None:
    """Print a line for each fit, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None, help="also write the table's scores into this file")
    parser.add_argument("--wiring", action="store_true", help="score what needs no fit, and nothing else")
    args = parser.parse_args()
    table = read_measured(locate(WORM, [RESPONSES])[RESPONSES], name="worm")
    if args.wiring:
        wiring_alone(table)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = args.folder or Path(made)
        fits: dict[tuple[str, int], Path] = {}
        for variant in args.only:
            for seed in args.seeds if variant == MAIN else args.seeds[:1]:
                out = folder / f"{variant.replace(' ', '_')}-{seed}"
                began = time.process_time()
                if not (out / "parameters.npz").exists():
                    if (out / "config.json").exists():
                        runs.resume(out)
                    else:
                        runs.start(options(variant, seed, args.epochs), out)
                spent = time.process_time() - began
                fits[variant, seed] = out
                fitted = runs.load_fit(out)
                scores = perturb_score(fitted, table)
                model, untrained = scores.predictors["model"], scores.predictors.get("untrained")
                print(json.dumps({
                    "benchmark": "measured_worm", "variant": variant, "seed": seed, "trained": scores.trained,
                    "auroc": brief(model.auroc), "within": brief(model.auroc_within),
                    "untrained": brief(None if untrained is None else untrained.auroc),
                    "fitting_adds": brief(None if untrained is None else untrained.model_minus_this),
                    "sign": brief(model.sign_agreement),
                    "by_distance": {name: brief(of.auroc) for name, of in model.by_distance.items()},
                    "parameters": sum(fitted.require_job().parameter_counts().values()),
                    "epoch": fitted.best_epoch, "fit_cpu_seconds": round(spent),
                }), flush=True)  # fmt: skip
        first = fits.get((MAIN, args.seeds[0]))
        if first is None:
            return
        others = [out for (variant, seed), out in fits.items() if (variant, seed) != (MAIN, args.seeds[0])]
        scores = perturb_score(first, table, against=others)
        print_measured(scores, Output())
        if args.json is not None:
            write_json(args.json, scores)


if __name__ == "__main__":
    main()
