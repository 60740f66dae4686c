"""Typed results: written as strict JSON, read back as they were, and described by a schema."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import connfit
from connfit._io import as_result, json_schema, optional, plain, read_json, replacing, write_json
from connfit.errors import DataError
from connfit.report.traced import Quote, Traced, known


@dataclass(frozen=True)
class Inner:
    value: float | None = None
    reasons: Mapping[str, str] = optional(dict)


@dataclass(frozen=True)
class Outer:
    inner: Inner | None = None
    by_horizon: Mapping[int, float | None] = field(default_factory=dict)
    note: str | None = optional()


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    result = Outer(Inner(0.1 + 0.2, {"value": "why"}), {1: 0.5, 10: None})
    write_json(tmp_path / "r.json", result)
    assert read_json(tmp_path / "r.json", Outer) == result
    assert as_result(json.loads((tmp_path / "r.json").read_text()), Outer) == result


def test_an_optional_field_is_left_out_and_any_other_is_null() -> None:
    assert plain(Outer(Inner())) == {"inner": {"value": None}, "by_horizon": {}}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.float32("nan")])
def test_what_is_not_finite_is_refused_with_its_key(bad: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"r\.json\.by_horizon\.3 is"):
        write_json(tmp_path / "r.json", Outer(by_horizon={3: bad}))
    assert not (tmp_path / "r.json").exists()


def test_a_damaged_file_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"inner": {"value": "high"}}')
    with pytest.raises(DataError, match=r"r\.json: .*\$\.inner\.value"):
        read_json(tmp_path / "r.json", Outer)
    (tmp_path / "r.json").write_text('{"inner": {')
    with pytest.raises(DataError, match="not valid JSON"):
        read_json(tmp_path / "r.json", Outer)


def test_keys_of_other_releases_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"inner": {"value": 1, "later": 2}, "removed": [1]}')
    assert read_json(tmp_path / "r.json", Outer) == Outer(Inner(1.0))


def test_the_schema_names_every_field() -> None:
    schema = json.loads(json.dumps(json_schema(Outer)))
    assert set(schema["$defs"]["Outer"]["properties"]) == {"inner", "by_horizon", "note"}


@pytest.mark.parametrize("typed", [True, False])
def test_a_traced_number_names_its_key(typed: bool) -> None:
    result = Outer(Inner(0.25), {1: 0.5})
    quotes: list[Quote] = []
    root = Traced(result if typed else plain(result), ("metrics.json#",), quotes)
    assert root.inner.value.write() == "0.250"
    assert (root.by_horizon["1"] / root.inner.value).write() == "2.00"
    assert quotes == [
        Quote("0.250", ("metrics.json#/inner/value",)),
        Quote("2.00", ("metrics.json#/by_horizon/1", "metrics.json#/inner/value"), "ratio"),
    ]
    assert not known(root.note.nothing.below)
    with pytest.raises(KeyError, match="no number"):
        root.by_horizon["9"].write()


def test_a_name_that_a_result_does_not_have_is_an_error() -> None:
    with pytest.raises(AttributeError, match="vlaue"):
        Traced(Outer(Inner(1.0)), ("metrics.json#",), []).inner.vlaue.write()


def test_a_file_that_cannot_be_finished_leaves_the_old_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_json(path, Outer())
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="half way"), replacing(path) as temporary:
        temporary.write_text("{")
        assert temporary.name.startswith(f".r.json.{os.getpid()}-") and temporary.name.endswith(".part")
        raise RuntimeError("half way")
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_nothing_else_writes_under_another_name() -> None:
    """Unfinished files are swept by their name, which `replacing` gives."""
    sources = Path(connfit.__file__).parent
    own = re.compile(r"name \+ \"\.part\"|temporary\.replace\(")
    other = [path.name for path in sources.rglob("*.py") if own.search(path.read_text(encoding="utf-8"))]
    assert not other
