"""Connectomes in SONATA's files of edges and nodes (HDF5).

Dai et al. 2020, PLoS Comput. Biol. 16:e1007696; https://github.com/AllenInstitute/sonata.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pandas as pd

from connfit._io import DAMAGE, require_file
from connfit._registry import Options
from connfit._system.hdf5_guard import check_written, opened
from connfit.connectome.columns import NamedTable
from connfit.connectome.formats.connectome_format import FORMATS, ConnectomeFormat, WiringTables
from connfit.connectome.memory_tables import table_of_frame
from connfit.errors import DataError, first_ten, one_of, unreadable

_AGAIN = "Copy or write it again"
_COUNT, _WEIGHT = "nsyns", "syn_weight"


class SonataOptions(Options, frozen=True):
    """Of SONATA files.

    Parameters
    ----------
    population
        Population of edges. Default: the only one.
    size
        Attribute that says how large a connection is: `"nsyns"`, a number of synapses, or `"syn_weight"`, negative for
        inhibition. Default: the first of them that every group of edges has; without either each edge is one synapse.
    """

    population: str | None = None
    size: Literal["nsyns", "syn_weight"] | None = None


def read_sonata(edges: Path, neurons: Path | None, options: SonataOptions) -> WiringTables:
    """Read edges within one population of nodes; attributes of nodes become columns of the neuron table.

    Raises
    ------
    DataError
        If the file cannot be used, or edges join two populations.
    """
    path = require_file(edges)
    try:
        with opened(path) as file:
            found = _edges(file, path, options)
    except DAMAGE as error:
        raise unreadable(error, "truncated, damaged or no SONATA edges", path=path, fix=_AGAIN) from error
    frame, population = found
    nodes = None
    if neurons is not None:
        place = require_file(neurons)
        try:
            with opened(place) as file:
                nodes = NamedTable(table_of_frame(_nodes(file, place, population), "nodes"), str(place))
        except DAMAGE as error:
            raise unreadable(error, "truncated, damaged or no SONATA nodes", path=place, fix=_AGAIN) from error
    columns = {"pre": "pre", "post": "post", "id": "id"}
    columns |= {"count": _COUNT} if _COUNT in frame else {"weight": _WEIGHT} if _WEIGHT in frame else {}
    return WiringTables(
        NamedTable(table_of_frame(frame, "edges"), str(path)), nodes, columns, {"sonata_population": population}
    )


def _only(group: h5py.Group, wanted: str | None, what: str, path: Path) -> str:
    names = list(group.keys())
    if wanted is not None:
        return one_of(f"{path}: options.population", wanted, names)
    if len(names) != 1:
        raise DataError(
            f"there are {len(names)} populations of {what}: {first_ten(names)}",
            path=path,
            fix="Name one with options.population" if what == "edges" else "Keep one in the file",
        )
    return names[0]


def _group(parent: h5py.File | h5py.Group, name: str, path: Path) -> h5py.Group:
    found = parent.get(name)
    if not isinstance(found, h5py.Group):
        raise DataError(f"there is no group {name!r}", path=path, fix="Name a file of SONATA's")
    return found


def _array(group: h5py.Group, name: str, path: Path) -> np.ndarray:
    data = group.get(name)
    if not isinstance(data, h5py.Dataset):
        raise DataError(f"there is no dataset {group.name}/{name}", path=path, fix="Name a file of SONATA's")
    if data.ndim != 1 or data.dtype.kind not in "iuf":
        problem = f"{group.name}/{name} holds {data.dtype} of shape {data.shape}"
        raise DataError(problem, path=path, fix="It must be a list of numbers")
    return np.asarray(check_written(data, path)[:])


def _edges(file: h5py.File, path: Path, options: SonataOptions) -> tuple[pd.DataFrame, str]:
    everything = _group(file, "edges", path)
    population = _group(everything, _only(everything, options.population, "edges", path), path)
    ends, of = {}, set()
    for column, key in (("pre", "source_node_id"), ("post", "target_node_id")):
        ends[column] = _array(population, key, path).astype(np.int64)
        of.add(_text(population[key].attrs.get("node_population", "")))
    if len(of) > 1:
        raise DataError(
            f"edges go from {' to '.join(map(repr, sorted(of)))}: neurons of two populations",
            path=path,
            fix="Name edges within one population",
        )
    if len(ends["pre"]) != len(ends["post"]):
        problem = f"there are {len(ends['pre'])} sources and {len(ends['post'])} targets"
        raise DataError(problem, path=path, fix=_AGAIN)
    frame = pd.DataFrame(ends)
    groups = {name: _group(population, name, path) for name in population.keys() if name.isdigit()}
    sizes = [options.size] if options.size else [_COUNT, _WEIGHT]
    size = next((key for key in sizes if groups and all(key in group for group in groups.values())), None)
    if options.size and size is None:
        raise DataError(f"edges have no attribute {options.size!r}", path=path, fix="Leave options.size out")
    if size is not None:
        number = _array(population, "edge_group_id", path)
        index = _array(population, "edge_group_index", path).astype(np.int64)
        if {len(number), len(index)} != {len(frame)}:
            problem = f"edge_group_id and edge_group_index have {len(number)} and {len(index)} values"
            raise DataError(problem, path=path, fix=f"There must be one for each of the {len(frame)} edges")
        values = np.full(len(frame), np.nan)
        for name, group in groups.items():
            mine = number == int(name)
            stored = _array(group, size, path)
            if mine.any() and (index[mine].min() < 0 or index[mine].max() >= len(stored)):
                problem = f"edge_group_index goes beyond the {len(stored)} values of {population.name}/{name}/{size}"
                raise DataError(problem, path=path, fix=_AGAIN)
            values[mine] = stored[index[mine]]
        frame[size] = values
    return frame, next(iter(of))


def _nodes(file: h5py.File, path: Path, wanted: str) -> pd.DataFrame:
    everything = _group(file, "nodes", path)
    name = wanted if wanted in everything else _only(everything, None, "nodes", path)
    population = _group(everything, name, path)
    count = len(_array(population, "node_type_id", path))
    ids = _array(population, "node_id", path) if "node_id" in population else np.arange(count)
    frame = pd.DataFrame({"id": ids.astype(np.int64)})
    groups = [_group(population, key, path) for key in population.keys() if key.isdigit()]
    if len(groups) != 1:
        return frame
    # With one group its rows are the nodes, in the order that node_group_index gives.
    index = _array(population, "node_group_index", path).astype(np.int64)
    if {len(ids), len(index)} != {count}:
        problem = f"there are {count} nodes, {len(ids)} ids and {len(index)} places in a group"
        raise DataError(problem, path=path, fix=_AGAIN)
    for key, data in groups[0].items():
        if not isinstance(data, h5py.Dataset) or data.shape != (count,) or key in frame:
            continue
        values = np.asarray(check_written(data, path)[:])
        if index.min(initial=0) < 0 or index.max(initial=-1) >= count:
            raise DataError("node_group_index goes beyond the nodes", path=path, fix=_AGAIN)
        words = values.dtype.kind in "OS"
        frame[key] = np.array([_text(value) for value in values], object)[index] if words else values[index]
    return frame


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


FORMATS.register(
    ConnectomeFormat(name="sonata", label="SONATA edges and nodes", place=40, read=read_sonata, options=SonataOptions)
)
