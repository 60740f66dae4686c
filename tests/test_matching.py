"""Matching recorded units to neurons: nothing is lost in silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connfit.connectome import Connectome, from_pairs
from connfit.connectome.matching import match_units
from connfit.errors import ConfigError, DataError


def brain(ids: object = ("AVAL", "AVAR", "VB2", "RIH", "rih")) -> Connectome:
    n = len(ids)  # type: ignore[arg-type]
    table = pd.DataFrame(
        {"id": ids, "type": ["AVA", "AVA", "VB", "RIH", "RIH"][:n], "region": ["head", "head", "cord", "", ""][:n]}
    )
    return from_pairs("b", [0], [1], [1], np.ones(n, int), table.assign(transmitter="", side=""))


def test_ids_match_one_neuron_each() -> None:
    got = match_units(["RIH", "unlabelled-003@x", "AVAL", "VB02"], brain())
    assert got.matched == ("RIH", "AVAL") and got.columns == (0, 2)
    assert [one.tolist() for one in got.neurons] == [[3], [0]]
    assert got.unmatched == ("unlabelled-003@x", "VB02")
    assert got.neurons_without_unit.tolist() == [1, 2, 4]
    report = got.report()
    assert "2 of 4 units match the neuron table's id (2 of 5 neurons recorded)" in report
    assert "1 traces have no name" in report and "no neuron for 1 units, which are not fitted: VB02" in report
    assert "'VB02': did you mean 'VB2'?" in report


def test_types_and_regions_match_many_neurons() -> None:
    got = match_units(["head", "AVA"], brain(), column="region")
    assert got.neurons[0].tolist() == [0, 1] and got.unmatched == ("AVA",)
    got = match_units(["AVA", "RIH"], brain(), column="type")
    assert [one.tolist() for one in got.neurons] == [[0, 1], [3, 4]] and got.neurons_without_unit.tolist() == [2]


def test_an_empty_name_matches_no_neuron() -> None:
    assert match_units(["", "head"], brain(), column="region").unmatched == ("",)


def test_integer_ids_are_compared_as_text() -> None:
    big = 720575940596125868
    got = match_units([str(big + 1), str(float(big))], brain(np.arange(3) + big))
    assert got.matched == (str(big + 1),) and got.neurons[0].tolist() == [1]


def test_case_is_explicit() -> None:
    with pytest.raises(DataError, match="none of the 1 units"):
        match_units(["aval"], brain())
    assert match_units(["aval"], brain(), case="ignore").neurons[0].tolist() == [0]
    with pytest.raises(DataError, match="could be any of RIH, rih"):
        match_units(["Rih"], brain(), case="ignore")
    with pytest.raises(DataError, match="differ only in case"):
        match_units(["AVAL", "aval"], brain(), case="ignore")
    assert match_units(["Ava"], brain(), column="type", case="ignore").neurons[0].tolist() == [0, 1]


def test_policies_and_options() -> None:
    with pytest.raises(DataError, match=r"no neuron for 1 units, which are not fitted: X.*unmatched_units = 'report'"):
        match_units(["AVAL", "X"], brain(), unmatched="error")
    with pytest.raises(DataError, match=r"none of the 1 units \(X\).*column 'id' of connectome 'b' \(AVAL"):
        match_units(["X"], brain())
    for options in ({"column": "side"}, {"case": "lower"}, {"unmatched": "drop"}):
        with pytest.raises(ConfigError):
            match_units(["AVAL"], brain(), **options)


@given(st.lists(st.sampled_from(["AVAL", "AVAR", "VB2", "RIH", "rih", "x", "y", "aval"]), unique=True, min_size=1))
def test_every_unit_and_every_neuron_is_accounted_for(units: list[str]) -> None:
    try:
        got = match_units(units, brain())
    except DataError:
        assert not set(units) & set(brain().ids)
        return
    assert sorted(got.matched + got.unmatched) == sorted(units)
    covered = np.concatenate(got.neurons)
    assert sorted([*covered, *got.neurons_without_unit]) == list(range(5))
    assert [units[k] for k in got.columns] == list(got.matched) == brain().ids[covered].tolist()
