"""Tables of measured responses: what is read, refused, left out and counted."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from small import teacher

from connfit.analysis.measured.measured_responses import (
    ResponseRule,
    place,
    read_measured,
)
from connfit.errors import ConfigError, DataError

GOOD = "stimulated,responding,observations,mean_dff,q\n"


def written(folder: Path, text: str, name: str = "t.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_table_is_read_with_what_was_not_tested(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "A,B,4,0.1,0.01\nA,C,2,0.2,0.001\nB,A,9,,0.5\nB,C,9,0.3,NA\n")
    table = read_measured(path)
    assert (table.name, table.rows) == ("t", 4) and table.observations is not None and table.amplitude is not None
    np.testing.assert_array_equal(table.response(ResponseRule()), [1, np.nan, 0, np.nan])
    np.testing.assert_array_equal(table.response(ResponseRule(min_observations=1)), [1, 1, 0, np.nan])
    np.testing.assert_array_equal(table.response(ResponseRule(q_below=0.005)), [0, np.nan, 0, np.nan])
    assert np.isnan(table.amplitude[2])
    frame = pd.read_csv(path)
    again = read_measured(frame, name="t")
    np.testing.assert_array_equal(again.response(ResponseRule()), table.response(ResponseRule()))


def test_a_table_can_say_in_words_who_responds(tmp_path: Path) -> None:
    path = written(
        tmp_path, "stimulated,responding,responds,half_1,half_2\n1,2,yes,1,2\n1,3,No,1,1\n2,1,,0,0\n2,3,1,3,4\n"
    )
    table = read_measured(path)
    np.testing.assert_array_equal(table.response(ResponseRule()), [1, 0, np.nan, 1])
    assert table.halves is not None and table.halves.shape == (4, 2) and table.amplitude is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "A,B,4,0.1,0.01\nA,B,4,0.1,0.9\n", r"row 2: the pair 'A', 'B' is there already"),
        (GOOD + "A,B,4,0.1,1.2\n", r"row 1: q = 1\.2 does not lie between 0 and 1"),
        (GOOD + "A,B,4,0.1,0.1\nA,C,4,x,0.1\n", r"row 2: mean_dff = x is not a number"),
        (GOOD + "A,B,4,inf,0.1\n", r"row 1: mean_dff = inf is not finite"),
        (GOOD + "A,B,0,0.1,0.1\n", r"row 1: observations = 0\.0 is below 1"),
        (GOOD + "A,B,1.5,0.1,0.1\n", r"observations = 1\.5 is not a whole number"),
        (GOOD + "A,,4,0.1,0.1\n", r"row 1: the id in column 'responding' is empty"),
        ("stimulated,responding\nA,B\n", r"neither a column 'q' nor a column 'responds'"),
        ("stimulated,responding,q,responds\nA,B,0.1,1\n", r"contradict each other"),
        ("stimulated,responding,responds\nA,B,maybe\n", r"row 1: responds = maybe is none of"),
        ("stimulated,responding,q,half_1\nA,B,0.1,1\n", r"'half_1' and no other half"),
        ("stimulated,responding,q,amplitude,mean_dff\nA,B,0.1,1,1\n", r"both columns 'amplitude' and 'mean_dff'"),
        ("stimulated,respondng,q\nA,B,0.1\n", r"no column 'responding'.*Did you mean 'respondng'"),
        (GOOD, r"no rows"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_one_line_that_names_the_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_measured(written(tmp_path, text))
    assert "t.csv" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("cell", [[0.01], {"q": 0.01}, b"0.01", date(2026, 1, 1)], ids=str)
def test_a_column_that_holds_neither_words_nor_numbers_is_named(cell: object, tmp_path: Path) -> None:
    feather.write_feather(pa.table({"stimulated": ["A"], "responding": ["B"], "q": [cell]}), tmp_path / "r.feather")
    with pytest.raises(DataError, match=r"r\.feather.*column 'q' holds (list|struct|binary|date32)"):
        read_measured(tmp_path / "r.feather")


@pytest.mark.parametrize("wrong", [{"q_below": 0.0}, {"q_below": 1.0}, {"min_observations": 0}])
def test_impossible_rules_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ResponseRule(**wrong)  # type: ignore[arg-type]  # numbers


def test_unknown_neurons_and_own_responses_are_left_out_and_counted() -> None:
    brain, _ = teacher()
    frame = pd.DataFrame(
        [("n0", "n1", 0.01), ("n0", "<b>", 0.1), ("ZZ", "n1", 0.2), ("n3", "n3", 0.0), ("n2", "n0", 0.9)],
        columns=["stimulated", "responding", "q"],
    )
    placed = place(read_measured(frame), brain)
    assert placed.unknown == ("ZZ", "<b>") and (placed.lost.rows, placed.own_rows) == (2, 1)
    assert list(placed.stimulated) == [0, 2] and list(placed.responding) == [1, 0]
    with pytest.raises(DataError, match=r"no neurons 'n99'.*Did you mean"):
        place(read_measured(frame.iloc[:1].assign(stimulated="n99")), brain)
