"""All scores of a run as one tidy table: a row for each predictor, part, recording, measure and horizon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import pandas as pd

from connfit.evaluation.evaluated import MODEL, UNTRAINED, Evaluation
from connfit.evaluation.part_scores import ModelScores, PartScores
from connfit.evaluation.squared_errors import ONE_STEP
from connfit.evaluation.unit_scores import Estimate
from connfit.recordings import PART_NAMES

ALL = ""
"""In the column `recording`: the mean over the recordings of the fit."""

_HORIZONS = ("horizon_skill", "horizon_median_unit")


class _Measure(NamedTuple):
    path: tuple[str, ...]
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def tidy_scores(run: str, evaluation: Evaluation) -> pd.DataFrame:
    """Tabulate the scores of a run.

    Parameters
    ----------
    run
        Its name, for the column `run`.

    Returns
    -------
    DataFrame
        `run`, `part`, `recording` (empty: mean over the recordings of the fit), `predictor`, `measure` (its path in a
        part of `metrics.json`), `horizon` (frames ahead; missing where a measure has none), `value`, `low` and `high`
        (95 % interval), and `reason`, why a value is missing.
    """
    rows = [
        (run, part, recording, predictor, *_named(found))
        for recording, predictor, part, scores in _parts(evaluation)
        for found in _measures(scores)
    ]
    columns = ["run", "part", "recording", "predictor", "measure", "horizon", "value", "low", "high", "reason"]
    numbers = dict.fromkeys(("value", "low", "high"), float)
    return pd.DataFrame(rows, columns=columns).astype({**numbers, "horizon": "Int64"})


def _parts(evaluation: Evaluation) -> Iterator[tuple[str, str, str, PartScores]]:
    """Recording, predictor, part and scores."""
    yield from _of(ALL, evaluation)
    for name, scores in evaluation.recordings.items():
        yield from _of(name, scores)
    if evaluation.held_out is not None:
        yield from _of("held out: all", evaluation.held_out)
        for name, scores in evaluation.held_out.recordings.items():
            yield from _of(f"held out: {name}", scores)
    for name, null in evaluation.nulls.items():
        for part in PART_NAMES:
            if (scores := getattr(null, part)) is not None:
                yield ALL, f"null {name}", part, scores


def _of(recording: str, scores: ModelScores) -> Iterator[tuple[str, str, str, PartScores]]:
    by_part = {MODEL: scores.parts, UNTRAINED: scores.at_initialisation or {}}
    for name, baseline in scores.baselines.items():
        by_part[name] = {part: baseline.part(part) for part in (*PART_NAMES, "held_out") if getattr(baseline, part)}
    for predictor, parts in by_part.items():
        for part, of in parts.items():
            yield recording, predictor, part, of


def _named(found: _Measure) -> tuple[str, int | None, float | None, float | None, float | None, str]:
    name, horizon = ".".join(found.path), None
    if found.path[0] in _HORIZONS:
        name, horizon = found.path[0], int(found.path[1])
    elif found.path[0] == "one_step":
        horizon = ONE_STEP
    return name, horizon, found.value, found.low, found.high, found.reason


def _measures(result: Any, path: tuple[str, ...] = ()) -> Iterator[_Measure]:
    """Every number of a result, and every one that is missing for a reason."""
    reasons: Mapping[str, str] = getattr(result, "reasons", {})
    for declared in fields(result):
        item, here = getattr(result, declared.name), (*path, declared.name)
        if declared.name == "reasons":
            continue
        if isinstance(item, Mapping):
            of = declared.metadata.get("reasons_in")
            why = getattr(result, of).reasons if of else reasons
            for key, value in item.items():
                yield from _value(value, (*here, str(key)), why.get(str(key), ""))
        else:
            yield from _value(item, here, reasons.get(declared.name, ""))


def _value(item: Any, path: tuple[str, ...], reason: str) -> Iterator[_Measure]:
    if isinstance(item, Estimate):
        yield _Measure(path, item.value, item.low, item.high, item.reasons.get("value", ""))
    elif is_dataclass(item):
        yield from _measures(item, path)
    elif isinstance(item, int | float) and not isinstance(item, bool):
        yield _Measure(path, item, reason=reason)
    elif item is None and reason:
        yield _Measure(path, None, reason=reason)
