"""Connectomes from edge and neuron tables: formats, ids, counts, gap junctions, and every way a table can be wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.config import DataConfig, TableConnectome
from connfit.connectome import Connectome
from connfit.connectome.tables import connectome_from_tables
from connfit.datasets.loading import (
    connectome_from_config,
    load_connectome,
    load_recording,
    load_recordings,
    recordings_from_config,
)
from connfit.errors import ConfigError, ConnfitError, DataError

BIG = 720575940596125868  # above 2^53: a float would change it
FORMATS = ("csv", "csv.gz", "tsv", "parquet", "feather")


def neurons(n: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "root_id": np.arange(n, dtype=np.int64) + BIG,
            "nt": ["ACH", "GABA", "GLUT", "DA", "SER", "OCT"][:n],
            "cell_type": [f"T{k}" for k in range(n)],
            "soma_x": np.arange(n) + 0.5,
        }
    )


def edges() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "pre": np.array([0, 1, 0, 2, 3, 3], np.int64) + BIG,
            "post": np.array([1, 2, 1, 2, 0, 1], np.int64) + BIG,
            "synapses": [5, 2, 4, 1, 7, 3],
        }
    )


def write(frame: pd.DataFrame, folder: Path, name: str, ending: str) -> Path:
    path = folder / f"{name}.{ending}"
    if ending == "parquet":
        frame.to_parquet(path)
    elif ending == "feather":
        frame.to_feather(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    return path


def build(edge_table: object, neuron_table: object, **options: object) -> Connectome:
    defaults = {"id": "root_id", "transmitter": "nt", "type": "cell_type", "sign_rule": "fly-paper"}
    return connectome_from_tables("test", edge_table, neuron_table, **{**defaults, **options})


def dense(brain: Connectome) -> np.ndarray:
    return brain.matrix().toarray()


EXPECTED = np.array([[0, 0, 0, 7], [9, 0, 0, 3], [0, -2, -1, 0], [0, 0, 0, 0.0]])


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_same_brain(tmp_path: Path, ending: str) -> None:
    brain = build(write(edges(), tmp_path, "edges", ending), write(neurons(), tmp_path, "neurons", ending))
    np.testing.assert_array_equal(dense(brain), EXPECTED)
    assert brain.ids.dtype == np.int64 and brain.ids.tolist() == [BIG, BIG + 1, BIG + 2, BIG + 3]
    assert brain.neurons["type"].tolist() == ["T0", "T1", "T2", "T3"]
    assert brain.neurons["region"].tolist() == [""] * 4
    assert brain.neurons["soma_x"].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert brain.notes["edge_rows"] == 6 and brain.notes["sign_rule"] == "fly-paper"


def test_frames_text_ids_and_categories(tmp_path: Path) -> None:
    names = neurons().assign(root_id=["ADAL", "ADAR", "3e5", "007"])
    listed = edges()
    for column in ("pre", "post"):
        listed[column] = pd.Categorical([names["root_id"][k - BIG] for k in listed[column]])
    for brain in (
        build(listed, names),
        build(write(listed, tmp_path, "e", "csv"), write(names, tmp_path, "n", "csv")),
        build(write(listed, tmp_path, "e", "parquet"), write(names, tmp_path, "n", "feather")),
    ):
        np.testing.assert_array_equal(dense(brain), EXPECTED)
        assert brain.ids.tolist() == ["ADAL", "ADAR", "3e5", "007"]


def test_ids_of_one_table_may_all_look_like_numbers() -> None:
    names = neurons(3).assign(root_id=["1", "2", "x"])
    listed = pd.DataFrame({"pre": [1, 2], "post": [2, 1], "synapses": [1, 1]})
    assert build(listed, names).m == 2
    with pytest.raises(DataError, match="not in the neuron table"):
        build(pd.DataFrame({"pre": ["x"], "post": ["1"], "synapses": [1]}), neurons())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["csv", "csv.gz", "parquet", "feather"]))
def test_random_tables_equal_scipy_in_any_row_order(tmp_path_factory, seed: int, ending: str) -> None:
    rng = np.random.default_rng(seed)
    n, rows = int(rng.integers(1, 7)), int(rng.integers(1, 50))
    table = neurons(6).iloc[:n]
    ids = table["root_id"].to_numpy()
    pre, post, counts = rng.integers(0, n, rows), rng.integers(0, n, rows), rng.integers(1, 100, rows)
    listed = pd.DataFrame({"pre": ids[pre], "post": ids[post], "synapses": counts})
    folder = tmp_path_factory.mktemp("tables")
    brain = build(
        write(listed.sample(frac=1, random_state=seed % 1000), folder, "e", ending), write(table, folder, "n", ending)
    )
    expected = sp.coo_array((counts, (post, pre)), shape=(n, n)).toarray()
    np.testing.assert_array_equal(np.abs(dense(brain)), expected)
    np.testing.assert_array_equal(brain.ids, ids)
    brain.save(folder / "b.h5")
    np.testing.assert_array_equal(Connectome.load(folder / "b.h5").ids, ids)


def test_options_of_connections() -> None:
    brain = build(edges(), neurons(), self_connections="drop")
    assert dense(brain)[2, 2] == 0 and brain.notes["self_connection_rows_dropped"] == 1
    brain = build(edges(), neurons(), min_synapses=3)
    assert brain.counts.tolist() == [7, 9, 3] and brain.notes["weak_rows_dropped"] == 2
    brain = build(edges().drop(columns="synapses"), neurons(), count=None)
    assert dense(brain)[1, 0] == 2
    brain = build(edges().assign(synapses=edges()["synapses"].astype(float)), neurons())
    np.testing.assert_array_equal(dense(brain), EXPECTED)


def test_dropped_transmitters_are_counted() -> None:
    brain = build(edges(), neurons(), sign_rule={"ACH": 1, "GABA": -1, "GLUT": -1}, unknown_transmitter="drop")
    np.testing.assert_array_equal(dense(brain)[:, 3], 0)
    assert brain.notes["unknown_transmitter_rows_dropped"] == 2
    assert brain.notes["unknown_transmitter_synapses_dropped"] == 10
    assert brain.notes["unknown_transmitters"] == {"dopamine": 1}
    with pytest.raises(DataError, match=r"dopamine \(1\)"):
        build(edges(), neurons(), sign_rule="worm")


def gaps(rows: list[tuple[int, int, int]]) -> pd.DataFrame:
    chemical = edges().assign(kind="chemical")
    listed = pd.DataFrame(rows, columns=["pre", "post", "synapses"]).assign(kind="Electrical")
    listed[["pre", "post"]] += BIG
    return pd.concat([chemical, listed], ignore_index=True)


@pytest.mark.parametrize(
    "rows", [[(0, 3, 4), (2, 2, 1)], [(3, 0, 4), (0, 3, 4), (2, 2, 1)], [(0, 3, 1), (0, 3, 3), (2, 2, 1)]]
)
def test_gap_junctions_listed_once_or_twice_are_the_same(rows: list) -> None:
    brain = build(gaps(rows), neurons(), connection_type="kind", electrical="include")
    expected = np.zeros((4, 4))
    expected[0, 3] = expected[3, 0] = 4
    expected[2, 2] = 1
    got = sp.csr_array((brain.counts * brain.electrical, brain.indices, brain.indptr), shape=(4, 4)).toarray()
    np.testing.assert_array_equal(got, expected)
    assert brain.summary().electrical_connections == 2
    dropped = build(gaps(rows), neurons(), connection_type="kind")
    np.testing.assert_array_equal(dense(dropped), EXPECTED)
    assert dropped.notes["electrical_rows_dropped"] == len(rows)


def test_gap_junctions_with_two_counts_name_the_pair() -> None:
    with pytest.raises(DataError, match=f"{BIG} - {BIG + 3} has 4 junctions in one direction and 5"):
        build(gaps([(0, 3, 4), (3, 0, 5)]), neurons(), connection_type="kind", electrical="include")


def test_standard_columns_are_found_by_name_and_others_kept() -> None:
    table = neurons().rename(columns={"cell_type": "type", "nt": "transmitter"}).assign(
        region=["A", "B", "A", None], other_id=[str(BIG), "", str(BIG + 2), ""]
    )  # fmt: skip
    brain = connectome_from_tables("x", edges(), table, id="root_id", sign_rule="shiu")
    assert brain.neurons["region"].tolist() == ["A", "B", "A", ""]
    assert brain.neurons["type"].tolist() == ["T0", "T1", "T2", "T3"]
    # Whole numbers with gaps would become floats: they stay text.
    assert brain.neurons["other_id"].tolist() == [str(BIG), "", str(BIG + 2), ""]
    mapped = connectome_from_tables("x", edges(), table, id="root_id", type="region", sign_rule="shiu")
    assert mapped.neurons["type"].tolist() == ["A", "B", "A", ""] and mapped.neurons["type_source"].tolist()[0] == "T0"


@pytest.mark.parametrize(
    "options", [{"electrical": "yes"}, {"self_connections": "no"}, {"min_synapses": 0}, {"sign_rule": "none"}]
)
def test_wrong_options(options: dict) -> None:
    with pytest.raises(ConfigError):
        build(edges(), neurons(), **options)


def spoil(frame: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    frame = frame.astype({column: object})
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (0, "row 3: synapses = 0 is below 1"),
        (-2, "row 3: synapses = -2 is below 1"),
        ("", "row 3"),
        ("many", "row 3: synapses = many is not a number"),
        ("nan", "row 3: synapses = nan is not a number"),
        ("inf", "row 3: synapses = inf is not a finite number"),
        (2.5, "row 3: synapses = 2.5 is not a whole number"),
        (2**31, "row 3"),
    ],
)
def test_bad_counts_name_file_and_row(tmp_path: Path, count: object, message: str) -> None:
    path = write(spoil(edges(), 2, "synapses", count), tmp_path, "edges", "csv")
    with pytest.raises(DataError, match=message) as caught:
        build(path, neurons())
    assert "edges.csv" in str(caught.value)


@pytest.mark.parametrize("ending", ["parquet", "feather"])
@pytest.mark.parametrize("counts", [[5, None, 4, 1, 7, 3], [5, np.nan, 4, 1, 7, 3], [5, 2.5, 4, 1, 7, 3], [True] * 6])
def test_bad_counts_in_binary_tables(tmp_path: Path, ending: str, counts: list) -> None:
    path = write(edges().assign(synapses=counts), tmp_path, "edges", ending)
    with pytest.raises(DataError, match=f"edges.{ending}"):
        build(path, neurons())


@pytest.mark.parametrize(
    "value", ["7.20575940596125868e17", "720575940596125868.0", "1e18", "99999999999999999999", "", " "]
)
@pytest.mark.parametrize("column", ["pre", "post"])
def test_ids_that_went_through_floats_are_refused(tmp_path: Path, value: str, column: str) -> None:
    path = write(spoil(edges(), 1, column, value), tmp_path, "edges", "csv")
    with pytest.raises(DataError, match=r"row 2.*") as caught:
        build(path, neurons())
    assert "edges.csv" in str(caught.value) and column in str(caught.value)


@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_float_id_columns_are_refused(tmp_path: Path, ending: str) -> None:
    listed = edges()
    for frame in (listed.astype({"pre": float}), write(listed.astype({"pre": float}), tmp_path, "edges", ending)):
        with pytest.raises(DataError, match=r"floating point numbers.*2\^53"):
            build(frame, neurons())
    table = write(neurons().assign(root_id=neurons()["root_id"].astype(float)), tmp_path, "neurons", ending)
    with pytest.raises(DataError, match=rf"neurons\.{ending}.*floating point"):
        build(edges(), table)
    with pytest.raises(DataError, match=r"row 2.*missing"):
        build(write(listed.assign(pre=pd.array([BIG, None] * 3, "Int64")), tmp_path, "edges", ending), neurons())
    with pytest.raises(DataError, match="must fit into int64"):
        build(listed.assign(pre=np.full(6, 2**63, np.uint64)), neurons())


def test_unknown_ids_list_the_first_ten(tmp_path: Path) -> None:
    path = write(pd.DataFrame({"pre": np.arange(100, 112), "post": BIG, "synapses": 1}), tmp_path, "edges", "csv")
    with pytest.raises(DataError, match=r"12 ids in column 'pre'.*100, 101.*109 and 2 more") as caught:
        build(path, neurons())
    assert "edges.csv" in str(caught.value)


@pytest.mark.parametrize("ending", FORMATS)
def test_missing_columns_list_what_is_there(tmp_path: Path, ending: str) -> None:
    path = write(edges(), tmp_path, "edges", ending)
    with pytest.raises(DataError, match=r"no column 'synapse'.*'pre', 'post', 'synapses'.*Did you mean 'synapses'"):
        build(path, neurons(), count="synapse")
    table = write(neurons(), tmp_path, "neurons", ending)
    with pytest.raises(DataError, match=rf"neurons\.{ending}.*no column 'cell_typ'"):
        build(edges(), table, type="cell_typ")


def test_duplicate_ids_and_columns(tmp_path: Path) -> None:
    twice = pd.concat([neurons(), neurons()[:2]])
    with pytest.raises(DataError, match=rf"neurons\.csv.*repeat in column 'root_id': {BIG}, {BIG + 1}"):
        build(edges(), write(twice, tmp_path, "neurons", "csv"))
    path = tmp_path / "edges.csv"
    path.write_text("pre,post,synapses,synapses\n1,2,3,4\n")
    with pytest.raises(DataError, match=r"edges\.csv.*'synapses' is there 2 times"):
        build(path, neurons())
    repeated = neurons()
    repeated.columns = ["root_id", "nt", "cell_type", "cell_type"]
    with pytest.raises(DataError, match="'cell_type' is there 2 times"):
        build(edges(), repeated)


def test_connection_types_other_than_two(tmp_path: Path) -> None:
    path = write(edges().assign(kind=["chemical", "?", *["electrical"] * 4]), tmp_path, "edges", "csv")
    with pytest.raises(DataError, match=r"edges\.csv.*row 2: column 'kind' says '\?'"):
        build(path, neurons(), connection_type="kind")


@pytest.mark.parametrize("ending", FORMATS)
def test_truncated_and_foreign_files_are_named(tmp_path: Path, ending: str) -> None:
    """Cut anywhere, a file is refused by name, but for a plain text table cut at the end of a row."""
    big = pd.concat([edges()] * 200, ignore_index=True)
    path = write(big, tmp_path, "edges", ending)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for size in (0, 1, 7, *rng.integers(1, len(content) - 1, 25)):
        path.write_bytes(content[:size])
        if ending in ("csv", "tsv"):
            try:
                brain = build(path, neurons())
            except ConnfitError as error:
                assert f"edges.{ending}" in str(error)
            else:
                assert brain.counts.sum() <= big["synapses"].sum()
            continue
        with pytest.raises(DataError, match=rf"edges\.{ending}"):
            build(path, neurons())
    for foreign in (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, b"\xff\xfe\x00\x00" * 50, b"{}"):
        path.write_bytes(foreign)
        with pytest.raises(DataError, match=rf"edges\.{ending}"):
            build(path, neurons())


def test_configuration_of_own_tables(tmp_path: Path) -> None:
    own = TableConnectome(
        edges=str(write(edges(), tmp_path, "my_brain", "csv.gz")),
        neurons=str(write(neurons(), tmp_path, "neurons", "csv")),
        id="root_id",
        transmitter="nt",
    )
    brain = connectome_from_config(DataConfig(connectome=own, sign_rule="fly-paper", self_connections="drop"))
    assert brain.name == "my_brain" and dense(brain)[2, 2] == 0 and dense(brain)[1, 0] == 9
    with pytest.raises(ConfigError, match="sign_rule is not set"):
        connectome_from_config(DataConfig(connectome=own))
    with pytest.raises(DataError, match=r"neurons of|dopamine \(1\)"):
        connectome_from_config(DataConfig(connectome=own, sign_rule="worm"))
    with pytest.raises(ConfigError, match="both set"):
        connectome_from_config(DataConfig(dataset="worm", connectome=own, sign_rule="shiu"))


def test_the_demo_is_generated_without_options() -> None:
    brain = connectome_from_config(DataConfig(dataset="demo"))
    first = recordings_from_config(DataConfig(dataset="demo"))
    assert brain.n > 1000 and len(first) == 1 and first[0].parts is not None and first[0].notes["surrogate"]
    np.testing.assert_array_equal(load_recordings("demo", ["1"])[0].values, load_recording("demo/1").values)
    with pytest.raises(ConfigError, match="demo has no option 'sign_rule'"):
        connectome_from_config(DataConfig(dataset="demo", sign_rule="shiu"))
    for wrong in ("demo/x", "demo/1/2"):
        with pytest.raises(ConfigError):
            load_connectome(wrong)
        with pytest.raises(ConfigError):
            load_recording(wrong)


def test_rows_with_too_few_or_many_cells(tmp_path: Path) -> None:
    for row in ("1,2", "1,2,3,4"):
        path = tmp_path / "edges.csv"
        path.write_text(f"pre,post,synapses\n{BIG},{BIG},3\n{row}\n")
        with pytest.raises(DataError, match=r"edges\.csv.*[Rr]ow"):
            build(path, neurons())


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        build(tmp_path / "absent.csv", neurons())
    (tmp_path / "edges.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"edges\.xlsx.*not known"):
        build(tmp_path / "edges.xlsx", neurons())
    (tmp_path / "head.csv").write_text("pre,post,synapses\n")
    with pytest.raises(DataError, match=r"head\.csv.*no rows"):
        build(tmp_path / "head.csv", neurons())
    (tmp_path / "plain.csv.gz").write_text("pre,post,synapses\n1,2,3\n")
    with pytest.raises(DataError, match=r"plain\.csv\.gz"):
        build(tmp_path / "plain.csv.gz", neurons())
    with gzip.open(tmp_path / "bom.csv.gz", "wt", encoding="utf-8-sig") as file:
        edges().to_csv(file, index=False)
    np.testing.assert_array_equal(dense(build(tmp_path / "bom.csv.gz", neurons())), EXPECTED)


def test_mixed_columns_of_a_frame_are_refused() -> None:
    with pytest.raises(DataError, match=r"the edges table.*mixes types"):
        build(edges().assign(pre=[1, "a", 2.5, None, 3, 4]), neurons())
