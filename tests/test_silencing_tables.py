"""Tables of measured changes when neurons are silenced: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_measured_responses import written

from connfit.analysis.measured.measured_responses import (
    read_measured,
    renamed,
)
from connfit.errors import DataError

HEAD = "stimulated,silenced,responding,responds,amplitude\n"


def test_a_table_with_silenced_neurons_is_read(tmp_path: Path) -> None:
    text = HEAD + "n1,n2,n3,1,-0.4\nn1,,n3,1,0.5\n,n2,n3,0,0\nn1,NA,n4,0,0\nn1,type:T 1,n3,,\n"
    table = read_measured(written(tmp_path, text))
    assert table.silenced is not None and table.stimulated.tolist() == ["n1", "n1", "", "n1", "n1"]
    assert table.silenced.tolist() == ["n2", "", "n2", "", "type:T 1"]
    assert renamed(table, {"n2": "m"}).silenced.tolist() == ["m", "", "m", "", "type:T 1"]  # type: ignore[union-attr]
    # Ids above 2^53 stay what they are where cells are empty.
    big = 720575940600000001
    frame = pd.DataFrame({
        "stimulated": pd.array([big, None], "Int64"), "silenced": pd.array([None, big + 2], "Int64"),
        "responding": [big + 1, big + 1], "responds": [1, 0],
    })  # fmt: skip
    mixed = read_measured(frame)
    assert mixed.silenced is not None
    assert mixed.stimulated.tolist() == [str(big), ""] and mixed.silenced.tolist() == ["", str(big + 2)]
    empty = written(tmp_path, HEAD + "n1,,n3,1,0.5\nn1,-,n2,0,0\n", "empty.csv")
    assert read_measured(empty).silenced is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "n1,n2,n3,1,0\n,,n3,1,0\n", r"row 2: 'stimulated' and 'silenced' are both empty \(1 such rows\)"),
        (HEAD + "n1,n2,n3,1,0\nn1,,n3,1,0\nn1,n2,n3,0,0\n", r"row 3: the pair 'n1', 'n3' with 'n2' silenced is there"),
        (HEAD + "n1,n2,,1,0\n", r"row 1: the id in column 'responding' is empty"),
        (HEAD + "n1,,n3,1,0\n,,n3,1,0\n", r"row 2: the id in column 'stimulated' is empty"),
        (HEAD + "n1,#REF!,n3,1,0\nn1,n2,n3,1,0\n", r"row 1: silenced = '#REF!' says that a formula"),
        (HEAD + "1,1.5,3,1,0\n1,,4,1,0\n", r"row 1: id '1\.5' in column 'silenced' was written as a floating point"),
        ("stimulated,silence,responding,responds\nn1,n2,n3,1\n", r"column 'silence' would not be read.*'silenced'"),
    ],
)  # fmt: skip
def test_a_wrong_table_of_silencing_is_one_line_that_names_the_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_measured(written(tmp_path, text))
    assert "t.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_ids_that_went_through_floating_point_are_refused() -> None:
    frame = pd.DataFrame({"stimulated": [1, 1], "silenced": [2.0, np.nan], "responding": [3, 3], "responds": [1, 0]})
    with pytest.raises(DataError, match="column 'silenced' holds floating point numbers"):
        read_measured(frame)
