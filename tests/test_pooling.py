"""How results of several recordings become one, field by field."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import get_args, get_type_hints

import pytest

from connfit.evaluation.calibration import Calibration
from connfit.evaluation.ceiling import Ceiling, OfUnits
from connfit.evaluation.free_run import FreeRunScores
from connfit.evaluation.held_out import HeldOutData
from connfit.evaluation.part_scores import BaselineScores, DataScores, Horizons, OneStep, PartScores, UnitSkill
from connfit.evaluation.pooling import Result, mean, nested, pool, total
from connfit.evaluation.unit_scores import Estimate


def classes_within(kind: object) -> set[type]:
    """Dataclasses that a type has among its parts, itself included."""
    if isinstance(kind, type) and is_dataclass(kind):
        return {kind}.union(*(classes_within(hint) for hint in get_type_hints(kind).values()))
    return set().union(*(classes_within(part) for part in get_args(kind)))


def test_every_field_of_a_result_says_how_it_is_pooled() -> None:
    pooled = classes_within(PartScores | BaselineScores | DataScores | HeldOutData | Ceiling) - {OfUnits}
    assert {OneStep, Estimate, FreeRunScores, UnitSkill, Calibration} <= pooled and len(pooled) > 15
    for kind in pooled:
        lacking = [one.name for one in fields(kind) if one.name != "reasons" and "pool" not in one.metadata]
        assert not lacking, f"{kind.__name__}: {lacking}"


def test_a_field_that_does_not_say_so_is_an_error() -> None:
    @dataclass(frozen=True)
    class Forgotten(Result):
        mse: float | None = mean()
        entries: int = 0

    with pytest.raises(TypeError, match="entries does not declare"):
        pool([Forgotten(), Forgotten()])
    assert pool([Forgotten(1.0)]) == Forgotten(1.0)


def test_means_sums_and_what_is_lacking() -> None:
    first = OneStep(mse=1.0, fc_corr=0.5, per_unit_skill=UnitSkill(median=0.25, units=3), scored=10)
    second = OneStep(mse=2.0, scored=30, reasons={"fc_corr": "nothing varies"})
    found = pool([first, second])
    assert (found.mse, found.scored, found.fc_corr) == (1.5, 40, 0.5)
    assert found.per_unit_skill.units == 3 and found.per_unit_skill.median == 0.25
    assert found.reasons["fc_corr"] == "mean over 1 of 2 recordings"
    assert pool([second, second]).reasons["fc_corr"] == "nothing varies"
    noted = OneStep(mse=2.0, fc_corr=0.7, skill_vs_persistence=0.1, reasons={"fc_corr": "1 of 3 units was left out"})
    assert pool([noted, noted]).reasons == {"fc_corr": "in at least one recording: 1 of 3 units was left out"}


def test_a_horizon_that_one_recording_lacks_says_so_with_the_horizons() -> None:
    whole = PartScores(horizon_skill={1: 0.5, 30: 0.25}, horizon=Horizons(40))
    short = PartScores(horizon_skill={1: 0.25, 30: None}, horizon=Horizons(10, reasons={"30": "too short"}))
    found = pool([whole, short])
    assert found.horizon_skill == {1: 0.375, 30: 0.25} and found.horizon.starts == 50
    why = "mean over 1 of 2 recordings; in at least one recording: too short"
    assert found.horizon.reasons == {"30": why}


def test_what_only_some_have_is_left_out_or_pooled() -> None:
    quiet, driven = (
        FreeRunScores(noise="none", frames=5),
        FreeRunScores(noise="drawn", runs=4, noise_frames=7, frames=6),
    )
    found = pool([quiet, driven])
    assert (found.runs, found.noise_frames, found.frames, found.noise) == (4, 7, 11, None)
    assert pool([quiet, quiet]).runs is None and "runs" not in pool([quiet, quiet]).reasons
    failed = BaselineScores(reason="too few frames")
    fitted = BaselineScores(test=PartScores(frames=3), parameters=12, chosen={"alpha": 1.0})
    both = pool([fitted, failed])
    assert both.test == fitted.test and both.parameters == 12 and both.chosen is None
    assert both.reason == "too few frames" and both.reasons["test"] == "mean over 1 of 2 recordings"


def test_results_within_results_are_pooled_as_they_say() -> None:
    @dataclass(frozen=True)
    class Inner(Result):
        count: int = total()

    @dataclass(frozen=True)
    class Outer(Result):
        inner: Inner = nested(Inner)

    assert pool([Outer(Inner(1)), Outer(Inner(2))]) == Outer(Inner(3))
