"""Connectome tables that are wrong though they can be read: right, one clear error, or one caution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from test_silent_errors import BODY

from connfit.connectome.table_files import read_table
from connfit.connectome.tables import connectome_from_tables
from connfit.errors import ConfigError, DataError, DataWarning
from connfit.recordings.readers import read_recording

NEURONS = "id,type,region,transmitter\n1,A,R1,ACH\n2,B,R2,GABA\n"
EDGES = "pre,post,synapses\n1,2,5\n2,1,4\n"
BIG = 720575940612345000
TABLES: dict[str, tuple[str, str, str]] = {
    **{f"a region {word!r}": (EDGES, NEURONS.replace("R1", word), "empty") for word in ("n/a", "-", "", "#N/A", " ")},
    **{
        f"a region {word!r}": (EDGES, NEURONS.replace("R1", word), f"says '{word}', which counts as empty")
        for word in ("NA", "None", "null")
    },
    "a NUL byte": (EDGES, NEURONS.replace("R1", "R\0"), "error: holds NUL"),
    "a failed formula": (EDGES, NEURONS.replace("R1", "#REF!"), "error: formula of a spreadsheet failed"),
    "regions that look alike": (EDGES, NEURONS.replace("R2", "R1\u200b"), "look the same"),
    **{
        f"a count {count!r}": (f'pre,post,synapses\n1,2,"{count}"\n', NEURONS, "error: row 1")
        for count in ("-3", "0", "2.5", "nan", "3e9", "1e30", "1,000", "")
    },
    "counts that sum to more than 2^31": (
        "pre,post,synapses\n1,2,2000000000\n1,2,2000000000\n",
        NEURONS,
        "error: int32",
    ),
    "every row twice": ("pre,post,synapses\n" + "1,2,5\n2,1,4\n1,1,7\n" * 2, NEURONS, "more than once"),
    "an id of a spreadsheet": (EDGES, NEURONS.replace("2,B", "1.23E+17,B"), "error: as a spreadsheet shows"),
    "an id with separators": (EDGES, NEURONS.replace("2,B", '"1,234",B'), "error: as a spreadsheet shows"),
    "ids that lost digits": (
        f"pre,post,synapses\n{BIG},{BIG + 1000},5\n",
        f"id,type,region,transmitter\n{BIG},A,R1,ACH\n{BIG + 1000},B,R2,GABA\n",
        "lost their last digits",
    ),
    "semicolons": (EDGES.replace(",", ";"), NEURONS, "error: separated by ';'"),
    "no header": (EDGES.partition("\n")[2], NEURONS, "error: no column 'pre'"),
    "a comment": ("# made by hand\n" + EDGES, NEURONS, "error: begins with a comment"),
    "carriage returns": (EDGES.replace("\n", "\r"), NEURONS, "right"),
    "blank lines": (EDGES.replace("\n", "\n\n"), NEURONS, "right"),
    "a byte order mark": ("\ufeff" + EDGES, "\ufeff" + NEURONS, "right"),
    "an open quote": (EDGES, NEURONS.replace(",ACH", ',"ACH') + "3,C,R3,ACH\n", "error: goes on over further rows"),
    "a header twice": (EDGES, NEURONS.replace("type", "region"), "error: more than once: 'region'"),
}


@pytest.mark.parametrize("case", list(TABLES))
def test_wrong_tables(tmp_path: Path, case: str) -> None:
    edges, neurons, outcome = TABLES[case]
    (tmp_path / "edges.csv").write_bytes(edges.encode())
    (tmp_path / "neurons.csv").write_bytes(neurons.encode())

    def build() -> object:
        brain = connectome_from_tables("b", tmp_path / "edges.csv", tmp_path / "neurons.csv", sign_rule="fly-paper")
        return brain.neurons["region"].tolist(), brain.counts.tolist(), brain.notes.get("cautions")

    if outcome.startswith("error: "):
        with pytest.raises(DataError, match=outcome.removeprefix("error: ")):
            build()
    elif outcome in ("right", "empty"):
        assert build() == (["R1" if outcome == "right" else "", "R2"], [4, 5], None)
    else:
        with pytest.warns(DataWarning, match=outcome) as said:
            *_, cautions = build()
        assert cautions == [str(said[0].message)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_tables_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    for name, text in (("r.csv", "time_s,\u00e9\n" + BODY), ("n.csv", NEURONS.replace("R1", "\u00e9"))):
        (tmp_path / name).write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=r"r\.csv: .*UTF-8"):
        read_recording(tmp_path / "r.csv")
    with pytest.raises(DataError, match=r"n\.csv: .*UTF-8"):
        read_table(tmp_path / "n.csv", "neurons")


def test_codes_beyond_the_words_of_a_column_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "neurons.feather"
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["A", "B"]))
    feather.write_feather(pa.table({"region": words}), path, compression="uncompressed")
    content, codes = path.read_bytes(), np.array([0, 1], np.int32).tobytes()
    before, _, behind = content.rpartition(codes)
    path.write_bytes(before + np.array([0, 7], np.int32).tobytes() + behind)
    with pytest.raises(DataError, match=r"neurons\.feather: truncated or damaged"):
        read_table(path, "neurons").text("region")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("transmitter,sign\nACH,0\n", "must be .1 or -1"),
        ("transmitter,sign\nACH,\uff11\n", "must be .1 or -1"),
        ("transmitter,sign,sign\nACH,1,-1\n", "transmitter,sign once"),
        ("transmitter;sign\nACH;1\n", "not a sign table"),
    ],
)
def test_wrong_tables_of_signs(tmp_path: Path, rule: str, message: str) -> None:
    (tmp_path / "signs.csv").write_text(rule, encoding="utf-8")
    edges, neurons = (pd.DataFrame({"pre": [1], "post": [2], "synapses": [5]}), pd.DataFrame({"id": [1, 2]}))
    with pytest.raises(DataError, match=rf"signs\.csv: .*{message}"):
        connectome_from_tables("b", edges, neurons, sign_rule=tmp_path / "signs.csv", unknown_transmitter="drop")
    with pytest.raises(ConfigError, match="to itself"):
        connectome_from_tables("b", edges, neurons, post="pre", sign_rule="shiu")


def test_a_misspelt_transmitter_is_said_where_the_unknown_is_allowed() -> None:
    edges = pd.DataFrame({"pre": [1], "post": [2], "synapses": [5]})
    neurons = pd.DataFrame({"id": [1, 2], "transmitter": ["acetylcholne", "dopamine"]})
    with pytest.warns(DataWarning, match="'acetylcholne' of 1 neurons counts as unknown; did you mean 'acetylcholine'"):
        connectome_from_tables("b", edges, neurons, sign_rule="worm", unknown_transmitter="drop")
