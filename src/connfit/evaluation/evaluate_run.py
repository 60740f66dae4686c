"""Evaluate a fit and write `metrics.json` and `forecasts.npz` into its run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from connfit.errors import ConfigError, DataError, first_ten
from connfit.evaluation.fit_evaluation import evaluate
from connfit.evaluation.metrics_file import write_metrics
from connfit.recordings import PART_NAMES
from connfit.training.fitted import Fit


def evaluate_run(
    fitted: Fit, out: str | Path, *, nulls: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Evaluate the fit of a run directory with the options of its configuration.

    Parameters
    ----------
    nulls
        By name: scores of models that were fitted to null connectomes
        (`connfit.evaluation.evaluate.pooled_scores`), each with what it is, in words, as `what`. Written as the key
        `nulls`.

    Returns
    -------
    dict
        What was written to `metrics.json`.

    Raises
    ------
    DataError
        If the directory is not a run.
    """
    from connfit import config as configuration
    from connfit._version import __version__

    out = Path(out)
    config = configuration.read(out / "config.json")
    try:
        record = json.loads((out / "record.json").read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"damaged ({error})", path=out / "record.json") from error
    evaluation = evaluate(fitted, config.evaluate)
    training = fitted.training_record()
    metrics = {
        "connfit": __version__,
        "dataset": config.data.dataset or record["connectome"]["name"],
        "seed": config.seed,
        "surrogate": bool(record["connectome"]["notes"].get("surrogate", False)),
        "parameters": {
            group: count if group in training.changed else 0 for group, count in record["parameters"].items()
        },
        "parameters_available": record["parameters"],
        "training": asdict(training),
        **_scored(fitted, config.train.warmup_frames, evaluation.metrics),
        **({} if nulls is None else {"nulls": nulls}),
        "performance": fitted.performance,
    }
    evaluation.forecasts.save(out / "forecasts.npz")
    write_metrics(out / "metrics.json", metrics)
    return metrics


def _scored(fitted: Fit, warmup_frames: int, scores: Mapping[str, Any]) -> dict[str, Any]:
    """The scores, with `observations` that count what is scored, and all that was observed beside it as `observed`."""
    cohort = fitted.cohort
    counts = {part: cohort.scored(part, warmup_frames=warmup_frames) for part in PART_NAMES}
    recordings = {
        recording.name: {
            **scores["recordings"][recording.name],
            "observations": {part: counts[part][member] for part in PART_NAMES},
        }
        for member, recording in enumerate(cohort.recordings)
    }
    return {
        **scores,
        "observations": {part: sum(counts[part]) for part in PART_NAMES},
        "observed": scores["observations"],
        "recordings": recordings,
    }


def compare_with_nulls(out: str | Path, null_runs: Sequence[str | Path]) -> dict[str, Any]:
    """Put the scores of runs on null connectomes beside those of a run on the real one.

    Parameters
    ----------
    out
        An evaluated run.
    null_runs
        Evaluated runs with `data.null` set that do not differ from it otherwise (the seed may).

    Returns
    -------
    dict
        What was written to `metrics.json`, with the key `nulls`: by name and seed, the scores of each; `vacuous` says
        so where a null connectome is the real one (signs shuffled where all are equal).

    Raises
    ------
    DataError
        If a directory holds no evaluated run.
    ConfigError
        If a run is not of a null connectome, or was fitted or scored in another way.
    """
    out = Path(out)
    metrics, config = _evaluated(out)
    if config["data"]["null"] is not None:
        raise ConfigError(
            f"{out} is itself a run on a null connectome ({config['data']['null']}): give the real one first"
        )
    nulls: dict[str, Any] = {}
    fingerprint = _fingerprint(out)
    for folder in map(Path, null_runs):
        scores, other = _evaluated(folder)
        null = other["data"]["null"]
        if null is None:
            raise ConfigError(f"{folder} is not a run on a null connectome: set data.null for its fit")
        different = _differences(config, other)
        if different:
            raise ConfigError(f"{folder} was not made like {out}: {first_ten(different)} differ")
        record = json.loads((folder / "record.json").read_text())
        notes = record["connectome"]["notes"].get("null", {})
        # Fingerprints are of wiring, counts, signs and recordings: equal ones leave nothing to compare.
        same = record.get("data_fingerprint") is not None and record["data_fingerprint"] == fingerprint
        nulls[f"{null}, seed {other['seed']}"] = {
            **scores["parts"],
            "what": f"preserves {notes.get('preserves', '?')}; destroys {notes.get('destroys', '?')}",
            "run": str(folder),
            **({"vacuous": "its connectome is the real one"} if same else {}),
            **({"held_out": scores["held_out"]["parts"]} if "parts" in scores.get("held_out", {}) else {}),
        }
    metrics = {**metrics, "nulls": nulls}
    write_metrics(out / "metrics.json", metrics)
    return metrics


def _fingerprint(folder: Path) -> str | None:
    """Of the data of a run; None where that was not recorded."""
    path = folder / "record.json"
    return json.loads(path.read_text()).get("data_fingerprint") if path.exists() else None


def _evaluated(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores and configuration of an evaluated run."""
    try:
        return json.loads((folder / "metrics.json").read_text()), json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"not an evaluated run ({error})",
            path=folder,
            fix=f"Fit and evaluate it first: `connfit evaluate {folder}`",
        ) from error


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Options in which two configurations differ, those left out that two comparable runs may differ in.

    Tables without entries are in no file of an earlier version.
    """
    free = {("data", "null"), ("data", "null_options"), ("train", "checkpoint_every"), ("train", "check_memory")}
    return [
        f"{section}.{key}"
        for section in ("data", "model", "learner", "train", "evaluate")
        for key in one[section]
        if (section, key) not in free and one[section][key] != other[section].get(key, {})
    ]
