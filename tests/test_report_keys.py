"""Every field of `Evaluation`, which is all that tables and sentences can ask for, is filled by a real run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from small import write_files

from connfit import config as configuration
from connfit._io import as_result
from connfit.evaluation.evaluate_run import evaluate_run, read_evaluation
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.part_scores import PartScores
from connfit.training import runs

OPTIONAL = {
    "analysis": "connfit analyze",
    "chosen": "baselines that choose something",
    "fc_between_animals": "several recordings",
    "fc_corr_error": "runs with noise",
    "held_out": "a baseline on animals that were not held out",
    "lacking": "recordings without a ceiling among others",
    "noise_frames": "runs with noise",
    "nulls": "connfit compare",
    "observation": "a model of observation",
    "parameters": "a baseline on its own recording",
    "per_unit": "one recording, not several",
    "noise_variance": "one recording, not several",
    "reason": "what could not be computed",
    "reasons": "what is not defined, with why",
    "runs": "runs with noise",
    "std_ratio_second_half": "runs without noise",
    "study": "connfit evaluate --full",
    "test": "a baseline on its own recording",
    "train": "a baseline on its own recording",
    "trials": "recordings with repeated trials",
    "units_without_noise": "units with too few errors",
    "validation": "a baseline on its own recording",
}
"""Fields that a good run may lack, and who or what fills them."""

OPTIONAL_WITHIN = {("left_out_unit", "frames"): "parts that are longer than what is scored"}
"""The same of fields that are required elsewhere."""


def unset(result: object, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Paths of all that is None or empty without a reason beside it."""
    if isinstance(result, Mapping):
        return set().union(*(unset(value, (*path, str(name))) for name, value in result.items()))
    if not is_dataclass(result) or isinstance(result, type):
        return set()
    if getattr(result, "reason", None):
        return set()
    found: set[tuple[str, ...]] = set()
    reasons = getattr(result, "reasons", {})
    for field in fields(result):
        value = getattr(result, field.name)
        if field.name in reasons or (field.name == "horizon_skill" and isinstance(result, PartScores)):
            continue
        if value is None or value in ((), {}):
            found.add((*path, field.name))
        found |= unset(value, (*path, field.name))
    return found


def lacking(evaluation: Evaluation) -> set[str]:
    found = (path for path in unset(evaluation) if path[-1] not in OPTIONAL and path[-2:] not in OPTIONAL_WITHIN)
    return {"/".join(path) for path in found}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run on one recording with another one held out, trained for one epoch and evaluated."""
    folder = tmp_path_factory.mktemp("keys")
    config = configuration.override(
        configuration.read(write_files(folder)),
        ['data.held_out=["movie2"]', "train.epochs=1", "train.free_run_epochs=0", "evaluate.horizons=[1,2,5]"],
    )
    out = folder / "run"
    evaluate_run(runs.start(config, out), out)
    yield out


def test_every_field_is_filled_by_a_real_run(made: Path) -> None:
    evaluation = read_evaluation(made)
    assert evaluation.held_out is not None and evaluation.held_out.recordings
    assert list(evaluation.part("test").horizon_skill) == [1, 2, 5]
    assert not lacking(evaluation), "nobody fills these"


@pytest.mark.parametrize(
    "path",
    [
        "parts/test/one_step/skill_vs_persistence",
        "parts/test/horizon_median_unit/2/low",
        "baselines/ar/test/horizon_median_unit",
        "parts/test/one_step/per_unit_skill/above_both",
        "against_strongest",
        "held_out/parts/held_out/free_run/fc_corr",
        "held_out/baselines/ar/held_out/horizon_median_unit",
        "data/fc_corr_train_vs_test",
        "training/best_epoch",
    ],
)
def test_a_field_that_nobody_fills_is_found(path: str, made: Path) -> None:
    metrics = json.loads((made / "metrics.json").read_text())
    parent: Any = metrics
    *steps, last = path.split("/")
    for step in steps:
        parent = parent[step]
    del parent[last]
    assert path in lacking(as_result(metrics, Evaluation))
