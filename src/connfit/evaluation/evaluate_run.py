"""Evaluate a fit and write `metrics.json` and `forecasts.npz` into its run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from connfit import config as configuration
from connfit._io import as_result, present, read_json, replacing_together, write_json
from connfit._system.claim import claims
from connfit._system.paths import user_path
from connfit._version import __version__
from connfit.config import EvaluateConfig
from connfit.errors import ConfigError, DataError, first_ten
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.evaluated import FILE, Evaluation, NullScores, Training
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.observation_found import observation_found
from connfit.recordings import PART_NAMES
from connfit.training.fitted import Fit
from connfit.training.recorded import Recorded, read_record
from connfit.training.run_record import RECORD
from connfit.training.runs import check_same_fit

NOT_EVALUATED = "Run `connfit evaluate` on the run directory first"
STUDY, ANALYSIS = "study/study.json", "analysis/analysis.json"
"""Results of which `metrics.json` has a short form."""


def evaluate(fit: Fit, config: EvaluateConfig | None = None) -> Evaluation:
    """Score a fitted model, the untrained one and the baselines on every part of every recording.

    Parameters
    ----------
    config
        Default: section `evaluate` of the options of the fit.
    """
    if config is None and fit.job is not None:
        config = fit.job.config.evaluate
    return _evaluated_fit(fit, config, None)


def _evaluated_fit(fit: Fit, config: EvaluateConfig | None, save_to: Path | None) -> Evaluation:
    evaluation, forecasts = evaluate_all(
        fit.forecaster(), fit.initial_forecaster(), None, fit.cohort.recordings, config,
        held_out=fit.cohort.held_out, save_to=save_to,
    )  # fmt: skip
    object.__setattr__(evaluation, "forecasts", forecasts)
    return evaluation


@claims("out")
def evaluate_run(fit: Fit, out: str | Path, *, nulls: Mapping[str, NullScores] | None = None) -> Evaluation:
    """Evaluate the fit of a run directory with the options of its configuration.

    Parameters
    ----------
    nulls
        By name: scores of models that were fitted to null connectomes
        (`connfit.evaluation.evaluate.pooled_scores`), each with what it is, in words. Default: those of the run's
        last evaluation; what a study and an analysis added to it stays in any case.

    Returns
    -------
    Evaluation
        What was written to `metrics.json`.

    Raises
    ------
    DataError
        If the directory is not a run, or one of another fit.
    """
    out = Path(out)
    config = configuration.read(out / "config.json")
    record = read_record(out)
    check_same_fit(fit, out)
    before = _last_evaluation(out)
    with replacing_together(out / "forecasts.npz", out / FILE) as (forecasts, scores):
        evaluation = _evaluated_fit(fit, config.evaluate, forecasts)
        training, connectome = as_result(asdict(fit.training_record()), Training), record.connectome
        evaluation = replace(
            _scored(fit, config.train.warmup_frames, evaluation),
            connfit=__version__,
            dataset=config.data.dataset or connectome.name,
            seed=config.seed,
            surrogate=bool(connectome.notes.get("surrogate", False)),
            parameters={name: count if name in training.changed else 0 for name, count in record.parameters.items()},
            parameters_available=record.parameters,
            training=training,
            observation=observation_found(fit),
            nulls=before.nulls if nulls is None else nulls,
            performance=fit.performance,
            study=before.study if (out / STUDY).exists() else None,
            analysis=before.analysis if (out / ANALYSIS).exists() else None,
        )
        write_json(scores, evaluation)
    object.__setattr__(evaluation, "forecasts", Forecasts.load(out / "forecasts.npz"))
    return evaluation


def _last_evaluation(out: Path) -> Evaluation:
    """What `metrics.json` holds; an empty one where there is none that can be read."""
    try:
        return read_evaluation(out)
    except DataError:
        return Evaluation()


def _scored(fit: Fit, warmup_frames: int, evaluation: Evaluation) -> Evaluation:
    """The scores, with `observations` that count what is scored, and all that was observed beside it as `observed`."""
    counts = {part: fit.cohort.scored(part, warmup_frames=warmup_frames) for part in PART_NAMES}
    recordings = {
        recording.name: replace(
            evaluation.recordings[recording.name],
            observations={part: counts[part][member] for part in PART_NAMES},
        )
        for member, recording in enumerate(fit.cohort.recordings)
    }
    observations = {part: sum(counts[part]) for part in PART_NAMES}
    return replace(evaluation, observations=observations, observed=evaluation.observations, recordings=recordings)


def read_evaluation(folder: str | Path) -> Evaluation:
    """Read the scores of an evaluated run.

    Raises
    ------
    DataError
        If there are none, or the file is damaged.
    """
    return read_json(user_path(folder) / FILE, Evaluation, fix=NOT_EVALUATED)


@claims("out")
def compare_with_nulls(out: str | Path, null_runs: Sequence[str | Path]) -> Evaluation:
    """Add the scores of runs on null connectomes to those of a run on the real one.

    Parameters
    ----------
    out
        An evaluated run.
    null_runs
        Evaluated runs with `data.null` set that do not differ from it otherwise (the seed may).

    Returns
    -------
    Evaluation
        What was written to `metrics.json`, with `nulls` by name and seed. `vacuous` says so where a null connectome is
        the real one (signs shuffled where all are equal).

    Raises
    ------
    DataError
        If a directory holds no evaluated run.
    ConfigError
        If a run is not of a null connectome, or was fitted or scored in another way.
    """
    out = Path(out)
    evaluation, config = evaluated_run(out)
    if config["data"]["null"] is not None:
        raise ConfigError(
            f"{out} is itself a run on a null connectome ({config['data']['null']}): give the real one first"
        )
    nulls: dict[str, NullScores] = {}
    fingerprint = _record(out).data_fingerprint
    for folder in map(Path, null_runs):
        scores, other = evaluated_run(folder)
        null = other["data"]["null"]
        if null is None:
            raise ConfigError(f"{folder} is not a run on a null connectome: set data.null for its fit")
        different = _differences(config, other)
        if different:
            raise ConfigError(f"{folder} was not made like {out}: {first_ten(different)} differ")
        record = _record(folder)
        notes = record.connectome.null
        # Fingerprints are of wiring, counts, signs and recordings: equal ones leave nothing to compare.
        same = record.data_fingerprint is not None and record.data_fingerprint == fingerprint
        nulls[f"{null}, seed {other['seed']}"] = NullScores(
            **scores.parts,
            held_out=scores.held_out.parts if scores.held_out else {},
            what=f"preserves {notes.get('preserves', '?')}; destroys {notes.get('destroys', '?')}",
            run=str(folder),
            vacuous="its connectome is the real one" if same else None,
        )
    evaluation = replace(evaluation, nulls=nulls)
    write_json(out / FILE, evaluation)
    return evaluation


def _record(folder: Path) -> Recorded:
    """How a run was made; empty where that was not recorded."""
    return read_record(folder) if present(folder / RECORD) else Recorded()


def evaluated_run(folder: Path) -> tuple[Evaluation, dict[str, Any]]:
    """Read the scores and the configuration of an evaluated run.

    Raises
    ------
    DataError
        If the folder holds none.
    """
    fix = f"Fit and evaluate it first: `connfit evaluate {folder}`"
    try:
        config = configuration.to_dict(configuration.read(folder / "config.json"))
        return read_json(folder / FILE, Evaluation), config
    except (DataError, ConfigError) as error:
        raise DataError(f"not an evaluated run ({error})", path=folder, fix=fix) from error


def _differences(config: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Options in which two configurations differ, those left out that two comparable runs may differ in."""
    free = ("seed", "data.null", "data.saved", "train.checkpoint_every", "train.check_memory", "train.devices")
    return [
        key
        for key, *_ in configuration.differences(config, other)
        if key not in free and not key.startswith("data.null_options.")
    ]
