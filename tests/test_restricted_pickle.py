"""Pickled tables: the same as pandas reads, from any pandas, and no pickle gets anything run."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bounded import outcomes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connfit.datasets import restricted_pickle
from connfit.datasets.restricted_pickle import read_pickled_frame
from connfit.errors import DataError

DTYPES = ("float64", "float32", "int64", "int16", "uint8", "bool", ">f8", ">i4")


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    kinds = draw(st.lists(st.sampled_from(DTYPES[:6]), min_size=columns, max_size=columns))
    table = pd.DataFrame({k: (100 * rng.random(rows)).astype(kind) for k, kind in enumerate(kinds)}, index=range(rows))
    if draw(st.booleans()):
        table.index = draw(st.permutations(range(rows))) if rows else table.index
    if draw(st.booleans()):
        table.index = np.sqrt(np.arange(rows))
    table.index.name = draw(st.sampled_from([None, "label", 3]))
    return table


@settings(max_examples=60, deadline=None)
@given(frames(), st.integers(2, 5))
def test_reads_what_pandas_writes(table: pd.DataFrame, protocol: int) -> None:
    found = read_pickled_frame(pickle.dumps(table, protocol), "x.pkl")
    pd.testing.assert_frame_equal(found, table, check_index_type=False, check_column_type=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_number_types_and_memory_orders(dtype: str, protocol: int) -> None:
    values = np.arange(12).reshape(3, 4).astype(dtype)
    labels = np.unique(np.array([0, 7, 86], np.uint16))
    for table in (pd.DataFrame(values, labels), pd.DataFrame(np.asfortranarray(values[:, [3, 1]]), labels, [3, 1])):
        found = read_pickled_frame(pickle.dumps(table, protocol), "x.pkl")
        np.testing.assert_array_equal(found.to_numpy(), table.to_numpy())
        assert found.index.tolist() == [0, 7, 86] and found.columns.tolist() == table.columns.tolist()
        assert found.dtypes.iloc[0] == np.dtype(dtype).newbyteorder("=")


# A pickle written by hand, to name modules that are not installed.


class Name:
    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Reduce:
    def __init__(self, function: Any, arguments: tuple, state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state


class New(Reduce):
    """As `copyreg.__newobj__`: made without calling `__init__`."""


class Writer(pickle._Pickler):
    dispatch = pickle._Pickler.dispatch.copy()

    def save_name(self, one: Name) -> None:
        self.write(pickle.GLOBAL + f"{one.module}\n{one.name}\n".encode())

    def save_reduce_of(self, one: Reduce) -> None:
        self.save(one.function)
        self.save(one.arguments)
        self.write(pickle.NEWOBJ if isinstance(one, New) else pickle.REDUCE)
        self.memoize(one)
        if one.state is not None:
            self.save(one.state)
            self.write(pickle.BUILD)

    dispatch[Name] = save_name
    dispatch[Reduce] = save_reduce_of
    dispatch[New] = save_reduce_of


def write(one: Any, protocol: int = 4) -> bytes:
    import io

    file = io.BytesIO()
    Writer(file, protocol).dump(one)
    return file.getvalue()


def array(values: np.ndarray, package: str = "numpy.core", content: Any = None) -> Reduce:
    """As NumPy 1 writes an array at protocol 4."""
    fortran = values.ndim > 1 and values.flags.f_contiguous
    code, order = values.dtype.str[1:], values.dtype.str[0]
    dtype = Reduce(Name("numpy", "dtype"), (code, 0, 1), (3, order, None, None, None, -1, -1, 0))
    state = (1, values.shape, dtype, fortran, values.tobytes("A") if content is None else content)
    return Reduce(Name(f"{package}.multiarray", "_reconstruct"), (Name("numpy", "ndarray"), (0,), b"b"), state)


def index(module: str, name: str, **stored: Any) -> Reduce:
    new_index = Name(f"{module.rpartition('.')[0]}.base", "_new_Index")
    return Reduce(new_index, (Name(module, name), {"name": None, **stored}))


def old_frame(
    values: np.ndarray, labels: np.ndarray, *, manager: str = "pandas.core.internals.managers", key: str = "_data"
) -> New:
    """As pandas 0.20 to 1.2 wrote a DataFrame of floats: [row, column] values, stored transposed."""
    columns = index("pandas.core.indexes.range", "RangeIndex", start=0, stop=values.shape[1], step=1)
    rows = index("pandas.core.indexes.numeric", "UInt64Index", data=array(labels.astype(np.uint64)))
    block = array(values.T)
    where = Reduce(Name("builtins", "slice"), (0, values.shape[1], 1))
    axes = [columns, rows]
    extra = {"0.14.1": {"axes": axes, "blocks": [{"values": block, "mgr_locs": where}]}}
    blocks = New(Name(manager, "BlockManager"), (), (axes, [block], [columns], extra))
    state = {key: blocks, "_typ": "dataframe", "_metadata": []}
    return New(Name("pandas.core.frame", "DataFrame"), (), state)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize(
    ("manager", "key"),
    [
        ("pandas.core.internals", "_data"),
        ("pandas.core.internals.managers", "_data"),
        ("pandas.core.internals.managers", "_mgr"),
    ],
)
def test_layout_of_old_pandas(manager: str, key: str, protocol: int) -> None:
    values = np.random.default_rng(0).random((3, 5))
    content = write(old_frame(values, np.array([0, 3, 86]), manager=manager, key=key), protocol)
    assert b"UInt64Index" in content and b"numpy.core" in content
    found = read_pickled_frame(content, "x.pkl")
    np.testing.assert_array_equal(found.to_numpy(), values)
    assert found.index.tolist() == [0, 3, 86] and found.columns.tolist() == list(range(5))


def test_text_labels_and_mixed_types_of_pandas_1() -> None:
    labels = array(np.array(["", ""], object), content=["AL_R", "FB"])
    rows = index("pandas.core.indexes.base", "Index", data=labels)
    columns = index("pandas.core.indexes.numeric", "Int64Index", data=array(np.array([4, 5, 6])))
    unpickle = Name("pandas._libs.internals", "_unpickle_block")
    floats = Reduce(unpickle, (array(np.array([[1.5, 2.5]])), Reduce(Name("builtins", "slice"), (1, 2, 1)), 2))
    whole = Reduce(unpickle, (array(np.array([[1, 2], [3, 4]])), array(np.array([0, 2])), 2))
    manager = Reduce(Name("pandas.core.internals.managers", "BlockManager"), ((floats, whole), [columns, rows]))
    frame = New(Name("pandas.core.frame", "DataFrame"), (), {"_mgr": manager, "attrs": {}, "_flags": {}})
    found = read_pickled_frame(write(frame), "x.pkl")
    assert found.to_numpy().tolist() == [[1, 1.5, 3], [2, 2.5, 4]]
    assert found.index.tolist() == ["AL_R", "FB"] and found.columns.tolist() == [4, 5, 6]
    assert [one.kind for one in found.dtypes] == ["i", "f", "i"]


class Attack:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 5])
def test_nothing_is_run(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "harmed"
    command = f"touch {victim}"
    attacks = {
        "system": Attack(os.system, command),
        "eval": Attack(eval, f"__import__('os').system({command!r})"),
        "exec": Attack(exec, f"import os; os.system({command!r})"),
        "getattr": Attack(getattr, Attack(__import__, "os"), "system"),
    }
    for name, attack in attacks.items():
        table = pd.DataFrame({0: [1.0]})
        table.attrs["x"] = attack
        for content in (
            pickle.dumps(attack, protocol),
            pickle.dumps(table, protocol),
            pickle.dumps([attack], protocol),
        ):
            with pytest.raises(
                DataError, match=rf"x\.pkl: the pickle holds \S*(\.{name}|__import__), .*nothing in it was"
            ):
                read_pickled_frame(content, "x.pkl")
    assert not victim.exists()
    # The same pickles do harm when they are read the usual way, so the test can fail.
    pickle.loads(pickle.dumps(attacks["eval"], protocol))
    assert victim.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"), ("posix", "system"), ("nt", "system"), ("subprocess", "Popen"), ("builtins", "eval"),
        ("__builtin__", "eval"), ("builtins", "getattr"), ("builtins", "slice.__class__"), ("numpy", "load"),
        ("numpy", "dtype.__class__"), ("pandas", "read_pickle"), ("pandas", "eval"), ("copyreg", "_reconstructor"),
        ("numpy.core.multiarray", "scalar"), ("pandas.core.indexes.base", "os"), ("no_such_module", "x"),
    ],
)  # fmt: skip
def test_names_that_are_not_needed_are_refused(module: str, name: str) -> None:
    for one in (Name(module, name), Reduce(Name(module, name), ("true",)), [Name(module, name)]):
        with pytest.raises(DataError, match=f"holds {module}.{name}, which"):
            read_pickled_frame(write(one), "x.pkl")
    # INST, the opcode of the oldest protocols, names a class too.
    with pytest.raises(DataError, match=f"holds {module}.{name}, which"):
        read_pickled_frame(b"(S'true'\ni" + f"{module}\n{name}\n".encode() + b".", "x.pkl")


def test_a_pickle_cannot_change_what_names_stand_for() -> None:
    good = pickle.dumps(pd.DataFrame({0: [1.0, 2.0]}), 4)
    for module, name in restricted_pickle._ALLOWED:
        target = restricted_pickle._ALLOWED[module, name]
        before = {key: getattr(target, key) for key in dir(target) if key.startswith("__set") or key == "numpy"}
        for state in ({"numpy": 1, "__setstate__": 2}, (None, {"numpy": 1, "__setstate__": 2})):
            content = write([Name(module, name), 0])[:2] + pickle.GLOBAL + f"{module}\n{name}\n".encode()
            content += pickle.dumps(state, 4)[11:-1] + pickle.BUILD + pickle.STOP
            with pytest.raises(DataError):
                read_pickled_frame(content, "x.pkl")
        assert {key: getattr(target, key) for key in before} == before
    assert read_pickled_frame(good, "x.pkl")[0].tolist() == [1, 2]


def broken(**changes: Any) -> bytes:
    """An old frame of two rows and three columns with one thing wrong."""
    values, labels = np.ones((2, 3)), np.array([1, 2])
    frame = old_frame(values, labels)
    manager = frame.state["_data"]
    axes, _, _, extra = manager.state
    block = extra["0.14.1"]["blocks"][0]
    if "columns" in changes:
        axes[0] = index("pandas.core.indexes.range", "RangeIndex", start=0, stop=changes["columns"], step=1)
    if "rows" in changes:
        axes[1] = changes["rows"]
    block.update({key: one for key, one in changes.items() if key in block})
    return write(frame)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (broken(columns=4), "columns without values"),
        (broken(columns=1 << 40), "1099511627776 columns"),
        (broken(columns="3"), "not made of whole numbers"),
        (broken(mgr_locs=Reduce(Name("builtins", "slice"), (0, 2, 1))), r"shape \(3, 2\) for 2 columns"),
        (broken(mgr_locs=array(np.array([0, 1, 1]))), "columns without values"),
        (broken(mgr_locs=array(np.array([0, 1, 9]))), "block without columns"),
        (broken(mgr_locs=[0, 1, 2]), "block without columns"),
        (broken(values=np.ones(3).tolist()), "columns that are not numbers"),
        (broken(values=array(np.array([[""]], object), content=["a"])), "columns that are not numbers"),
        (broken(values=array(np.ones((3, 2)), content=b"123")), "truncated, damaged"),
        (broken(values=array(np.ones((3, 2)), content="123")), "array without content"),
        (broken(rows=array(np.ones(2))), "without two axes"),
        (broken(rows=index("pandas.core.indexes.base", "Index", data=array(np.ones((1, 2))))), "more than one level"),
        (broken(rows=index("pandas.core.indexes.base", "Index", data=[1, 2])), "index of an unknown layout"),
        (
            broken(rows=index("pandas.core.indexes.base", "Index", data=array(np.zeros(2, object), content=[[], 1]))),
            "holds list, neither text nor number",
        ),
        (write(Reduce(Name("numpy", "dtype"), ("M8[ns]", 0, 1))), "type 'M8"),
        (write(Reduce(Name("numpy", "dtype"), ("V8", 0, 1))), "type 'V8'"),
        (write({"a": 1}), "kind dict, not a table"),
        (pickle.dumps(pd.Series([1.0]), 4), "Series"),
        # Text has a type of its own since pandas 3.
        (pickle.dumps(pd.DataFrame({0: ["text"]}), 4), "holds pandas|columns that are not numbers"),
        (pickle.dumps(pd.DataFrame({0: [[1], {}]}), 4), "columns that are not numbers"),
        (write(New(Name("pandas.core.frame", "DataFrame"), ())), "not a table"),
        (b"", "truncated, damaged"),
        (b"label,0,1\n1,2,3\n", "truncated, damaged"),
        (b"\x80\x04Pname\n.", "reference to something outside"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_pickled_frame(content, "ito_1.pkl")
    assert "ito_1.pkl" in str(caught.value)


def doubled(times: int, first: bytes = b")") -> bytes:
    """A tuple of two of a tuple of two of ... (hashing or printing it takes 2^times steps)."""
    return first + b"".join(b"q%ch%c\x86" % (k, k) for k in range(times))


def shared_columns(blocks: int) -> bytes:
    """A frame each of whose columns is a block with the same 80 kB of values."""
    unpickle = Name("pandas._libs.internals", "_unpickle_block")
    values = array(np.ones((1, 10_000)))
    made = tuple(Reduce(unpickle, (values, Reduce(Name("builtins", "slice"), (k, k + 1, 1)), 2)) for k in range(blocks))
    axes = [index("pandas.core.indexes.range", "RangeIndex", start=0, stop=size, step=1) for size in (blocks, 10_000)]
    manager = Reduce(Name("pandas.core.internals.managers", "BlockManager"), (made, axes))
    return write(New(Name("pandas.core.frame", "DataFrame"), (), {"_mgr": manager, "attrs": {}}))


SMALL = {
    "byte array": b"\x96" + (1_100_000_000).to_bytes(8, "little"),
    "bytes": b"\x8e" + (1 << 40).to_bytes(8, "little") + b"x",
    "text": b"\x8d" + (1 << 40).to_bytes(8, "little") + b"x",
    "number": b"\x8b\xff\xff\xff\x7f1",
    "negative length": b"\x8b\xff\xff\xff\xff1",
    "frame": b"\x80\x05\x95" + (1 << 50).to_bytes(8, "little") + b".",
    "memo": b"]r\xff\xff\xff\x0f.",
    "digits": b"L" + b"9" * 100_000 + b"L\n.",
    "nested key": b"}" + doubled(60) + b"Ks.",
    "nested set": b"\x8f(" + doubled(60) + b"\x90.",
    "nested type": b"cnumpy\ndtype\n" + doubled(60) + b"\x85R.",
    "nested name": b"cpandas\nIndex\n" + doubled(60) + b"\x93.",
    "colliding keys": b"}(" + b"".join(
        b"\x8a\x0e" + (k * (2**61 - 1)).to_bytes(14, "little") + b"N" for k in range(60_000)
    ) + b"u.",
    "nested lists": b"]" * 130_000 + b"a" * 129_999 + b".",
    "copies of copies": b"]" + b"2a" * 100_000 + b".",
    "text encoded again and again": b"c_codecs\nencode\nq\x00X" + (10**6).to_bytes(4, "little") + b"a" * 10**6
    + b"X\x06\x00\x00\x00latin1\x86q\x01" + b"h\x00h\x01R" * 50_000 + b".",
    "no rows": broken(columns=1 << 22, rows=index("pandas.core.indexes.range", "RangeIndex", stop=0)),
    "shared values": shared_columns(3000),
    "only instructions": b"\x80\x04" + b"N0" * 10**6 + b".",
    "only numbers": b"\x80\x04" + b"K\x01" * 10**6 + b".",
}  # fmt: skip


def read_frame(path: Path) -> None:
    read_pickled_frame(path.read_bytes(), path)


def test_a_small_pickle_takes_neither_memory_nor_time(tmp_path: Path) -> None:
    paths = []
    for name, content in SMALL.items():
        paths.append(tmp_path / f"{name}.pkl")
        paths[-1].write_bytes(content)
    for path, said in zip(paths, outcomes("test_restricted_pickle:read_frame", paths), strict=True):
        assert path.name in said and "\n" not in said, path


@pytest.mark.parametrize("action", ["ignore", "error"])
def test_text_with_an_escape_that_there_is_not_is_damaged(action: str) -> None:
    """Whether or not the caller wants to hear of Python's warning."""
    content = b"S'a\\e'\n."
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(DataError, match=r"x\.pkl.*damaged"):
            read_pickled_frame(content, "x.pkl")


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 5), st.floats(0, 1, exclude_max=True), st.one_of(st.none(), st.integers(0, 255)))
@example(2, 0.0625, 92)  # an escape that no string has
def test_damaged_files_give_a_message(protocol: int, place: float, byte: int | None) -> None:
    """Cut off, or with one byte changed: an error of ours, or a table, nothing else."""
    content = bytearray(pickle.dumps(pd.DataFrame(np.ones((2, 3)), [1, 2]), protocol))
    at = int(place * len(content))
    if byte is None:
        with pytest.raises(DataError):
            read_pickled_frame(bytes(content[:at]), "x.pkl")
        return
    content[at] = byte
    try:
        found = read_pickled_frame(bytes(content), "x.pkl")
    except DataError:
        return
    assert isinstance(found, pd.DataFrame)
