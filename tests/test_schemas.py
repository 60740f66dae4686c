"""The JSON Schemas in docs/ are those of the results that a run directory holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_run import results
from valid import SCHEMAS, validator

from connfit._io import json_schema, plain
from connfit.evaluation.evaluated import Evaluation
from connfit.report.result_types import RESULTS


@pytest.mark.parametrize("path", [*RESULTS])
def test_the_schema_in_the_docs_is_that_of_the_type(path: str) -> None:
    written = json.loads((SCHEMAS / Path(path).name).read_text())
    assert written == json.loads(json.dumps(json_schema(RESULTS[path]))), "run `make schema`"


@pytest.mark.parametrize("path", [*RESULTS])
def test_a_schema_asks_for_the_keys_that_every_new_file_has(path: str) -> None:
    """An empty object is no result; what reads older files asks for less."""
    name = Path(path).name
    assert not validator(name).is_valid({})
    defined = json.loads((SCHEMAS / name).read_text())["$defs"]
    assert all(set(one.get("required", ())) <= set(one.get("properties", ())) for one in defined.values())


def test_keys_that_are_left_out_where_they_are_empty_are_not_asked_for() -> None:
    evaluation = json.loads((SCHEMAS / "metrics.json").read_text())["$defs"]["Evaluation"]
    assert {"parts", "baselines", "training"} < set(evaluation["required"])
    assert not {"study", "analysis", "nulls", "held_out"} & set(evaluation["required"])
    validator("metrics.json").validate(plain(Evaluation()))


def test_there_is_a_schema_of_every_result_and_no_other() -> None:
    assert {path.name for path in SCHEMAS.iterdir()} == {Path(path).name for path in RESULTS}


def test_the_schema_of_metrics_has_every_key_that_an_evaluation_writes() -> None:
    schema = json.loads((SCHEMAS / "metrics.json").read_text())
    part = schema["$defs"]["PartScores"]["properties"]
    written = plain(results()[0])
    assert isinstance(written, dict) and set(written) <= set(schema["$defs"]["Evaluation"]["properties"])
    assert {"one_step", "horizon_skill", "free_run", "calibration"} <= set(part)
    assert "squared units" in schema["$defs"]["OneStep"]["description"]
