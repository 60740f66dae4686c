"""Cells: all of them keep their contract, their options are their own, and every table of pieces is listed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contracts import check_cell
from small import teacher
from typer.testing import CliRunner

import connfit
from connfit._registry import REGISTRIES, registries
from connfit.cli import app
from connfit.config import ModelConfig
from connfit.models.cells import CELLS
from connfit.models.cells.rate import Rate
from connfit.models.neuron import Jacobian

SOURCE = Path(connfit.__file__).parent


@pytest.mark.parametrize("name", list(CELLS))
def test_every_cell_keeps_its_contract(name: str) -> None:
    check_cell(name, *teacher())


def test_a_wrong_slope_breaks_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Rate.jacobian

    def wrong(self: Rate, *at: Any) -> Jacobian:
        found = right(self, *at)
        return found._replace(inputs=((0.9 * found.inputs[0][0],),))

    monkeypatch.setattr(Rate, "jacobian", wrong)
    with pytest.raises(AssertionError):
        check_cell("rate", *teacher())


def test_the_default_is_registered_and_a_cell_does_not_change_its_options_unseen() -> None:
    assert ModelConfig().cell in CELLS
    rate = CELLS["rate"]
    for option, value in rate.options.defaults().items():
        assert getattr(ModelConfig(), option) == value, "the section and the cell have one default"
    assert replace(rate, name="other").row == "other"


def test_every_registry_is_listed() -> None:
    table = re.compile(r"^([A-Z_]+): Registry\[.*\] = Registry\(", re.MULTILINE)
    made = {name for path in SOURCE.rglob("*.py") for name in table.findall(path.read_text(encoding="utf-8"))}
    assert "CELLS" in made and made <= {place.partition(":")[2] for place in REGISTRIES.values()}
    assert made == {REGISTRIES[kind].partition(":")[2] for kind in registries()}


def test_a_kind_may_be_named_as_its_entry_points_are() -> None:
    names = {registry.short_name: kind for kind, registry in registries().items()}
    assert {"rules": "learning rules", "nulls": "null connectomes", "cells": "cells"}.items() <= names.items()
    listed = [CliRunner().invoke(app, ["list", kind, "--json"]).output for kind in ("rules", "learning rules")]
    assert listed[0] == listed[1] and "d-rtrl" in listed[0]
