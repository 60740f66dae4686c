"""A study as a typed result: no key of its file is lost, partial files open, workers' messages come back as sent."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from answers import check_text
from report_run import study_record

from connfit._io import as_result, json_schema, plain, write_json
from connfit.errors import DataError
from connfit.evaluation.study.agreements import Agreement, PredictionAgreement
from connfit.evaluation.study.messages import Failed, Failure, Finished, Message, Progress, Started, decoded, encoded
from connfit.evaluation.study.seed_result import SeedResult
from connfit.evaluation.study.short_form import ShortRow, ShortStudy
from connfit.evaluation.study.study import FILE, Column, Difference, Score, Study, StudyRow, UnitDifference, read_study
from connfit.report.prose import write_prose
from connfit.report.result_types import RESULTS


def lost(before: Any, after: Any, at: str = "") -> list[str]:
    """Places of a document that another does not have, or has otherwise."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [place for key in before for place in lost(before[key], after.get(key, "absent"), f"{at}/{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [place for k, (a, b) in enumerate(zip(before, after, strict=True)) for place in lost(a, b, f"{at}/{k}")]
    return [] if before == after else [at]


def test_no_key_of_a_study_is_lost() -> None:
    """The names of the keys are those that format 2 has had: users' scripts read them."""
    record = json.loads(json.dumps(study_record({"no_drive": "tie", "mean": "worse"})))
    assert lost(record, plain(as_result(record, Study))) == []
    assert lost({"rows": [{"a": 1}]}, {"rows": [{"b": 1}]}) == ["/rows/0/a"]


@pytest.mark.parametrize(
    "kind", [Study, StudyRow, Column, Score, Difference, UnitDifference, Agreement, PredictionAgreement, SeedResult,
             ShortStudy, ShortRow],
)  # fmt: skip
def test_files_that_lack_keys_open(kind: type) -> None:
    assert as_result({}, kind) == kind()
    assert is_dataclass(kind)
    assert {part.name for part in fields(kind)} <= set(json_schema(kind)["$defs"][kind.__name__]["properties"])  # pyright: ignore


def test_a_study_is_read_as_it_was_written(tmp_path: Path) -> None:
    study = as_result(study_record({"gru": "worse"}), Study)
    (tmp_path / FILE).parent.mkdir()
    write_json(tmp_path / FILE, study)
    assert read_study(tmp_path) == study
    (tmp_path / FILE).write_text('{"format": 2, "rows": [{"seeds": "three"}]}')
    with pytest.raises(DataError, match=r"rows\[0\]\.seeds.*--full` again"):
        read_study(tmp_path)
    with pytest.raises(DataError, match=r"no such file.*--full"):
        read_study(tmp_path / "elsewhere")


def test_the_outcome_names_who_is_ahead_where_units_contradict() -> None:
    assert [Difference(value=v, outcome="mixed").standing for v in (0.1, -0.1)] == ["ahead", "behind"]
    assert [Difference(value=0.1, outcome=what).standing for what in ("tie", None)] == ["tie", None]


@pytest.mark.parametrize("outcomes", [{}, {"erdos_renyi": "tie", "gru": "worse", "fixed_strengths": "tie"}])
def test_numbers_of_limits_are_those_of_the_file(outcomes: dict[str, str]) -> None:
    record = json.loads(json.dumps(study_record(outcomes)))
    record["rows"][1]["failed"] = {"1": "diverged"}
    prose = write_prose("limits/study.j2", {FILE: as_result(record, Study)})
    assert ("it beats 1 of 2 at 1 frame" in prose.text) is bool(outcomes)
    numbers = [{"text": quote.text, "keys": quote.keys, "how": quote.how} for quote in prose.quotes]
    check_text(prose.text, numbers, {FILE: record}, "limits/study.j2")


@pytest.mark.parametrize(
    "message",
    [Started("a-seed1"), Progress("a-seed1", 0.25), Finished("a-seed1"), Failed("a-seed1", Failure("no", True, 3))],
)
def test_messages_of_workers_come_back_as_they_were_sent(message: Message) -> None:
    line = encoded(message)
    assert decoded(line) == message and line.count("\n") == 1
    assert json.loads(line)["event"] == type(message).__struct_config__.tag
    with pytest.raises(msgspec.ValidationError):
        decoded('{"event": "dead", "task": "a-seed1"}')


def test_the_schema_in_the_documentation_is_that_of_the_type() -> None:
    written = Path(__file__).parents[1] / "docs" / "schema" / "study.json"
    assert json.loads(written.read_text()) == json.loads(json.dumps(json_schema(RESULTS[FILE])))
