"""Real worms, observation and behaviour: fits of single animals and of all at once, beside the best baseline of each.

    python benchmarks/observed_worms.py [--variants gains] [--pooled] [--out DIR] [--seeds 1]

A variant is what section `model.observation` says. Each recording, and with `--pooled` all of them at once, finds its
own recipe and learning rates and is trained; validation frames choose everything, the variant that is to be used
included (`validation`). Printed are a JSON object for each fit, and tables of the skill over persistence of the test
part, all units pooled, at 1, 2, 5 and 10 frames: of the fit, of the baseline with the highest test skill (AR, VAR, VAR
around AR, LDS and GRU, linear ones also with the inputs), and their difference with its 95 % interval. `below` marks a
difference that is below zero by more than half the width of its interval. With `--out` fits are kept in DIR, and read
from there when they are there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from connfit import config as configuration
from connfit.evaluation.against_strongest import PartErrors
from connfit.evaluation.baselines import chosen_baselines, with_their_inputs
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.forecasts import Forecaster
from connfit.evaluation.intervals import paired_difference
from connfit.evaluation.predictions import predictions
from connfit.evaluation.scores import score_and_forecast
from connfit.evaluation.scratch import scratch
from connfit.recordings import Recording
from connfit.training.fitted import Fit
from connfit.training.problem import prepare
from connfit.training.runs import load_fit
from connfit.training.validation import validate

WORMS = ("2022-07-26-31", "2022-07-26-38", "2022-07-27-31", "2022-07-27-38", "2022-08-02-38")
BEHAVIOUR = ["velocity", "angular_velocity", "head_angle", "worm_curvature", "reversal_vec"]
BASELINES = ("ar", "var_ridge", "var_around_ar", "lds", "gru")
AHEAD = (1, 2, 5, 10)
POOLED = "all"

VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "gains": {"gain": "unit"},
    "indicator": {"indicator": "GCaMP6s", "bounds": [0.2, 5.0]},
    "indicator, gains": {"indicator": "GCaMP6s", "bounds": [0.2, 5.0], "gain": "unit"},
    "indicator, gains, student-t": {
        "indicator": "GCaMP6s", "bounds": [0.2, 5.0], "gain": "unit", "noise": "student-t",
    },
    "indicator, gains, drift": {"indicator": "GCaMP6s", "bounds": [0.2, 5.0], "gain": "unit", "drift_gain": 0.02},
    "indicator per neuron, gains": {"indicator": "GCaMP6s", "bounds": [0.2, 5.0], "gain": "unit", "per": "neuron"},
    "student-t": {"noise": "student-t"},
}  # fmt: skip


def errors_on_test(forecaster: Forecaster, recording: Recording, config: configuration.EvaluateConfig) -> PartErrors:
    """Return the errors of a forecaster on the test part."""
    with scratch(None, in_memory=True) as store:
        last, _ = predictions(Persistence(), recording, (), config, store)
        scored = score_and_forecast(
            forecaster, recording, config, ahead_of=("test",), store=store, persistence=last
        )  # fmt: skip
        return PartErrors.of(scored)


def skill(errors: PartErrors, ahead: int) -> float:
    """Return the skill over persistence of all units pooled."""
    squared, reference = errors.units[ahead].pooled
    return float(1 - squared.sum() / reference.sum())


def fitted(args: argparse.Namespace, recordings: list[str], variant: str, seed: int) -> Fit:
    """Fit a variant to recordings, or read the fit."""
    name = recordings[0] if len(recordings) == 1 else POOLED
    folder = None if args.out is None else args.out / f"{variant.replace(', ', '-').replace(' ', '-')}-{name}-{seed}"
    if folder is not None and (folder / "parameters.npz").is_file():
        return load_fit(folder)
    values = {
        "data": {"dataset": "worm", "recordings": recordings},
        "inputs": {"channels": BEHAVIOUR},
        "model": {**args.model, "observation": VARIANTS[variant]},
        "train": {"epochs": args.epochs, **args.train},
        "seed": seed,
    }
    fit = prepare(configuration.from_dict(values)).fit()
    if folder is not None:
        fit.save(folder)
    return fit


def facts(fit: Fit) -> dict[str, object]:
    """Return what was chosen, and the values on validation by which variants are to be compared."""
    job = fit.require_job()
    weights = np.nan_to_num(1 / job.cohort.change_variance())
    return {
        "validation": {
            name: validate(forecaster, weights, horizons=True).value
            for name, forecaster in (("start", fit.initial_forecaster()), ("fit", fit.forecaster()))
        },
        "chosen": dict(job.recipe.chosen),
        "epoch": fit.best_epoch,
        "rate": None if fit.rates is None else fit.rates.learning_rate,
        "parameters": job.parameter_counts(),
    }


def beside_best(ours: PartErrors, baselines: Mapping[str, PartErrors]) -> Iterator[dict[str, object]]:
    """Compare errors with those of the baseline of highest skill, at each horizon."""
    for ahead in AHEAD:
        best = max(baselines, key=lambda name: skill(baselines[name], ahead))
        found = paired_difference([[ours.pooled]], [[baselines[best].pooled]], ahead)
        assert found.value is not None and found.low is not None and found.high is not None
        yield {
            "ahead": ahead, "fit": skill(ours, ahead), "baseline": best, "best": skill(baselines[best], ahead),
            "difference": found.value, "low": found.low, "high": found.high,
            "below": found.value < -(found.high - found.low) / 2,
        }  # fmt: skip


def table(title: str, rows: Mapping[str, list[dict[str, object]]]) -> str:
    """Draw the comparisons of all recordings, and their means."""
    lines = [title, "", "| recording | " + " | ".join(f"{ahead} frames" for ahead in AHEAD) + " |"]
    lines.append("| --- " * (1 + len(AHEAD)) + "|")
    for name, row in rows.items():
        cells = [
            "{fit:.3f}; {baseline} {best:.3f}; {difference:+.3f} [{low:+.3f}, {high:+.3f}]".format(**at)
            + (" below" if at["below"] else "")
            for at in row
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    means = []
    for k in range(len(AHEAD)):
        ours, theirs = (np.mean([row[k][of] for row in rows.values()]) for of in ("fit", "best"))
        means.append(f"{ours:.3f}; {theirs:.3f}")
    lines.append("| mean | " + " | ".join(means) + " |")
    never = sum(not any(at["below"] for at in row) for row in rows.values())
    above = sum(bool(row[0]["difference"] > 0) for row in rows.values())  # type: ignore[operator]
    lines += ["", f"never below: {never} of {len(rows)}; above the best at one frame: {above} of {len(rows)}", ""]
    return "\n".join(lines)


def main() -> None:
    """Fit, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", nargs="*", default=list(WORMS))
    parser.add_argument("--variants", nargs="*", default=["gains"], choices=list(VARIANTS))
    parser.add_argument("--pooled", action="store_true", help="also one fit of all recordings")
    parser.add_argument("--no-single", action="store_true", help="no fits of single recordings")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--model", type=json.loads, default={}, help="further options of section model, as JSON")
    parser.add_argument("--train", type=json.loads, default={}, help="further options of section train, as JSON")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--baselines", nargs="*", default=list(BASELINES), help="to compare with (a GRU takes longest)")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    groups = [] if args.no_single else [[name] for name in args.recordings]
    groups += [args.recordings] if args.pooled else []
    baselines: dict[str, dict[str, PartErrors]] = {}
    tables: dict[str, dict[str, list[dict[str, object]]]] = {}
    for names in groups:
        for variant in args.variants:
            for seed in range(args.seeds):
                fit = fitted(args, names, variant, seed)
                which = "all at once" if len(names) > 1 else "one by one"
                print(json.dumps({"recordings": names, "variant": variant, "seed": seed, **facts(fit)}), flush=True)
                for name, recording in zip(names, fit.cohort.recordings, strict=True):
                    config = fit.require_job().config.evaluate
                    if name not in baselines:
                        makers = chosen_baselines(with_their_inputs(args.baselines, [recording]), config)
                        baselines[name] = {
                            made: errors_on_test(make(recording, config), recording, config)
                            for made, make in makers.items()
                        }
                    ours = errors_on_test(fit.forecaster(), recording, config)
                    rows = list(beside_best(ours, baselines[name]))
                    tables.setdefault(f"{variant}, {which}, seed {seed}", {})[name] = rows
    for title, rows in tables.items():
        print(table(title, rows))


if __name__ == "__main__":
    main()
