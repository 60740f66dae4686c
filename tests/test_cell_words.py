"""Numbers in the cells of text tables: each the nearest there is, whatever version of pandas is installed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connfit.connectome.cell_words import numbers_of
from connfit.connectome.columns import NamedTable
from connfit.connectome.edge_sizes import real_numbers
from connfit.recordings.readers import read_recording


@given(st.lists(st.floats(allow_nan=False)), st.booleans())
def test_numbers_are_those_that_were_written(numbers: list[float], gap: bool) -> None:
    words = [repr(number) for number in numbers] + gap * [""]
    np.testing.assert_array_equal(numbers_of(words), numbers + gap * [np.nan])


@given(st.decimals(allow_nan=False, allow_infinity=False, places=25))
def test_digits_beyond_those_of_a_float_round_to_the_nearest(number: Decimal) -> None:
    assert numbers_of([str(number)]).tolist() == [float(number)]


@pytest.mark.parametrize("word", ["", "1_000", "0x10", "45e 3", "1,5", "١", "1d5", "1 2", "--1", "true", "\ud800"])
def test_what_other_programs_do_not_read_is_no_number(word: str) -> None:
    found = numbers_of(["0.5", word, "-2e3"])
    np.testing.assert_array_equal(found, [0.5, np.nan, -2000.0])


def test_times_and_weights_of_csv_files_are_those_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    times, weights = np.cumsum(rng.uniform(0.4, 0.4000001, 500)), rng.normal(size=500)
    pd.DataFrame({"time_s": times, "a": rng.normal(size=500)}).to_csv(tmp_path / "r.csv", index=False)
    np.testing.assert_array_equal(read_recording(tmp_path / "r.csv").times, times)
    table = NamedTable(pa.table({"weight": [repr(float(weight)) for weight in weights]}), "e.csv")
    np.testing.assert_array_equal(real_numbers(table, "weight"), weights)
