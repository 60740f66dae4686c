"""The neuron table of FlyWire from its exports: ids, transmitters, anatomical classes and neuropils with a side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Int

from connfit.connectome.columns import NamedTable
from connfit.connectome.regions import RegionSynapses
from connfit.connectome.table_files import read_table
from connfit.datasets.fly_regions import FLYWIRE_NEUROPILS
from connfit.errors import DataError, first_ten

if TYPE_CHECKING:
    from connfit._typing import JSON

CLASSES = ("flow", "super_class", "class", "sub_class", "hemilineage")
_SUFFIX = {"left": "_L", "right": "_R"}
_NOT_A_REGION = ("", "NO_CONS", "UNASGD")
_UNPAIRED = frozenset(name for name in FLYWIRE_NEUROPILS if not name.endswith(("_L", "_R")))
_PAIRED = frozenset(name[:-2] for name in FLYWIRE_NEUROPILS if name.endswith(("_L", "_R")))
_LACKING = 0.1  # Tables of different snapshots share fewer ids; a few neurons without a class are no mistake.
_TYPE_COLUMNS = ("primary_type", "type", "cell_type", "hemibrain_type")


def read_fly_neurons(neurons: Path, classification: Path, types: Path | None = None) -> pd.DataFrame:
    """Read one table of the neurons of FlyWire.

    A neuron's region is the neuropil of its outputs: the second of the two labels of `group`, or its only one, with
    the hemisphere of the neuron's `side`. Eight neuropils lie on the midline and have no hemisphere (EB, FB, GNG, NO,
    OCG, PB, PRW, SAD). The labels `NO_CONS` and `UNASGD` name no region, nor does that of a paired neuropil where
    the side is not left or right: the region is then empty (`region_notes` counts).

    Parameters
    ----------
    neurons
        CSV with the columns `root_id`, `group` (`input.output`, without hemisphere), `nt_type`.
    classification
        CSV with `root_id`, `flow`, `super_class`, `class`, `sub_class`, `hemilineage`, `side`, in any order.
    types
        CSV with `root_id` and a column of cell types (`primary_type`); without it types are empty.

    Returns
    -------
    pd.DataFrame
        In the order of `neurons`: `id` (int64), `type`, `region`, `transmitter` (ACH, GABA, ...), `side` (left, right,
        center), `group` as in the source, `group_input` and `group_output` (regions), and the columns of
        `classification`. Text, empty where not known.

    Raises
    ------
    DataError
        If a table lacks a column, ids repeat or differ between the tables, or a label is not a known neuropil.

    References
    ----------
    Dorkenwald et al. 2024, doi:10.1038/s41586-024-07558-y; Schlegel et al. 2024, doi:10.1038/s41586-024-07686-5.
    """
    table = read_table(neurons, "neurons", columns=("root_id", "group", "nt_type"), integers=("root_id",))
    classes = read_table(classification, "classification", columns=("root_id", *CLASSES, "side"), integers=("root_id",))
    ids = table.unique_ids("root_id", whole=True)
    row = _rows_of(ids, classes.unique_ids("root_id", whole=True))
    if np.mean(row < 0) > _LACKING:
        raise DataError(
            f"{int(np.sum(row < 0))} of the {len(ids)} neurons of {neurons} are not in it: "
            f"{first_ten(ids[row < 0].tolist())}",
            path=classification,
            fix="Use both tables of the same snapshot",
        )
    columns = {key: _text_at(classes, key, row) for key in (*CLASSES, "side")}
    group = _text(table, "group")
    side = columns.pop("side")
    labels = group.str.split(".", n=1)
    first, last = labels.str[0], labels.str[-1]
    _check_labels(first, last, neurons)
    frame = {
        "id": pd.Series(ids),
        "type": _cell_types(types, ids) if types is not None else pd.Series([""] * len(ids), dtype="str"),
        "region": _with_side(last, side),
        "transmitter": _text(table, "nt_type"),
        "side": side,
        "group": group,
        "group_input": _with_side(first, side),
        "group_output": _with_side(last, side),
        **columns,
    }
    return pd.DataFrame({key: column.reset_index(drop=True) for key, column in frame.items()})


def region_notes(neurons: pd.DataFrame) -> dict[str, JSON]:
    """Count why neurons of such a table have no region.

    Parameters
    ----------
    neurons
        Rows of `read_fly_neurons`.

    Returns
    -------
    dict[str, JSON]
        Numbers of neurons without a region: by label, and of paired neuropils without a side; and of those that the
        table of classes did not have.
    """
    last = neurons["group"].str.split(".", n=1).str[-1].to_numpy(object)
    empty = neurons["region"].to_numpy(object) == ""
    unlabelled = np.isin(last, _NOT_A_REGION)
    labels, counts = np.unique(last[unlabelled].astype(str), return_counts=True)
    return {
        "neurons_without_region": int(empty.sum()),
        "neurons_by_label_without_region": {
            str(name) or "(empty)": int(count) for name, count in zip(labels, counts, strict=True)
        },
        "neurons_of_paired_neuropils_without_side": int(np.sum(empty & ~unlabelled)),
        "neurons_without_classification": int(np.sum(neurons["flow"].to_numpy(object) == "")),
    }


def regions_by_label(
    neurons: pd.DataFrame, indptr: Int[np.ndarray, "N+1"], indices: Int[np.ndarray, "M"], counts: Int[np.ndarray, "M"]
) -> RegionSynapses:
    """Place synapses in regions where the source does not: every synapse at the label of its neuron.

    All output synapses of a neuron count for its `group_output`, all its input synapses for its `group_input`; those
    of neurons without a label count nowhere. An approximation: neurons have synapses in several neuropils.

    Parameters
    ----------
    neurons
        Rows of `read_fly_neurons`.
    indptr, indices, counts
        Connections as in `connfit.connectome.Connectome`.

    Returns
    -------
    RegionSynapses
        Of the neuropils that have synapses, in alphabetical order.
    """
    made = np.bincount(indices, weights=counts, minlength=len(neurons)).astype(np.int64)
    sums = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    received = sums[indptr[1:]] - sums[indptr[:-1]]
    sides = {"group_output": made, "group_input": received}
    used = {key: neurons[key].where((totals > 0), "").to_numpy(object) for key, totals in sides.items()}
    names = tuple(sorted({*used["group_output"], *used["group_input"]} - {""}))
    matrices = []
    for key, totals in sides.items():
        row = pd.Index(names).get_indexer(pd.Index(used[key]))
        at = np.flatnonzero(row >= 0)
        matrices.append(sp.csr_array((totals[at], (row[at], at)), shape=(len(names), len(neurons))))
    return RegionSynapses(names, *matrices)


def _rows_of(ids: Int[np.ndarray, "N"], listed: Int[np.ndarray, "K"]) -> Int[np.ndarray, "N"]:
    """[N] row of each id among `listed`, -1 where it is not there."""
    return np.asarray(pd.Index(listed).get_indexer(pd.Index(ids)))


def _text(table: NamedTable, column: str) -> pd.Series:
    """A column as text, empty where the source has nothing; without a Python object per value."""
    return table.words(column).to_pandas().astype("str")


def _check_labels(first: pd.Series, last: pd.Series, path: Path) -> None:
    known = {*_PAIRED, *_UNPAIRED, *_NOT_A_REGION}
    unknown = ~(first.isin(known) & last.isin(known)).to_numpy()
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        label = first.iloc[row] if first.iloc[row] not in known else last.iloc[row]
        raise DataError(
            f"row {row + 1}: {label!r} in column 'group' is not a neuropil ({int(unknown.sum())} such rows)",
            path=path,
            fix=f"Known labels, without hemisphere: {', '.join(sorted(known - {''}))}",
        )


def _with_side(label: pd.Series, side: pd.Series) -> pd.Series:
    """Names of regions from labels without a hemisphere and the sides of their neurons; empty where there is none."""
    pairs = pd.MultiIndex.from_arrays([label.to_numpy(object), side.to_numpy(object)])
    codes, distinct = pairs.factorize()
    names = ["" if label in _NOT_A_REGION else _region(label, where) for label, where in distinct]
    return pd.Series(np.array(names, object)[codes] if len(codes) else [], dtype="str")


def _region(label: str, side: str) -> str:
    if label in _UNPAIRED:
        return label
    return label + _SUFFIX[side] if side in _SUFFIX else ""


def _cell_types(path: Path, ids: Int[np.ndarray, "N"]) -> pd.Series:
    """[N] cell type of each neuron, empty for those that the table does not have."""
    table = read_table(path, "cell types")
    column = next((name for name in _TYPE_COLUMNS if name in table.columns), None)
    if column is None:
        raise DataError(
            f"there is no column of cell types; the columns are {', '.join(map(repr, table.columns))}",
            path=path,
            fix=f"Name it {_TYPE_COLUMNS[0]!r}",
        )
    table.require(["root_id", column])
    row = _rows_of(ids, table.unique_ids("root_id", whole=True))
    return _text_at(table, column, row)


def _text_at(table: NamedTable, column: str, row: Int[np.ndarray, "N"]) -> pd.Series:
    """A column as text in rows of a table; empty where the row is -1."""
    values = np.append(_text(table, column).to_numpy(object), "")
    return pd.Series(values[row], dtype="str")
