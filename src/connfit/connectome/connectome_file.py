"""Connectomes in HDF5 files."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Int

from connfit._io import replacing
from connfit._system.hdf5_guard import check_written, opened
from connfit._system.hdf5_writing import created
from connfit._system.paths import user_path
from connfit.connectome.regions import RegionSynapses
from connfit.errors import DataError, unreadable

if TYPE_CHECKING:
    from connfit.connectome import Connectome

FORMAT_VERSION = 3
_OLDEST_FORMAT = 2

COPY_AGAIN = "Build or copy it again"
_DAMAGE = (
    OSError, KeyError, IndexError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError, OverflowError
)  # fmt: skip
"""What damaged files make h5py, NumPy and SciPy raise."""


def write_connectome(brain: Connectome, path: str | Path) -> None:
    """Write a connectome to one HDF5 file; see `connfit.connectome.Connectome.save`."""
    # What older releases would misread says that it is newer.
    newer = brain.weighted or brain.mixed_signs is not None
    version = FORMAT_VERSION if newer else _OLDEST_FORMAT
    with _written(path, version, brain.name, brain.neurons, brain.notes) as file:
        for key in ("indptr", "indices", "counts", "signs"):
            file.create_dataset(key, data=getattr(brain, key))
        file.create_dataset("electrical", data=brain.electrical.view(np.uint8))
        if brain.mixed_signs is not None:
            file.create_dataset("mixed_signs", data=brain.mixed_signs)
        if brain.regions is not None:
            brain.regions.write(file.create_group("regions"))


def write_by_rows(
    path: str | Path,
    name: str,
    indptr: Int[np.ndarray, "N+1"],
    rows: Iterable[tuple[Int[np.ndarray, "m"], Int[np.ndarray, "m"]]],
    signs: Int[np.ndarray, "N"],
    neurons: pd.DataFrame,
    *,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write a connectome of chemical connections, which come some rows at a time: they are never held all at once.

    Parameters
    ----------
    name, indptr, signs, neurons, notes
        As in `connfit.connectome.Connectome`.
    rows
        `indices` and `counts` of some whole rows, of those after them, and so on. `Connectome.load` validates them.

    Raises
    ------
    DataError
        If they are not as many as `indptr` says.
    """
    m = int(indptr[-1])
    with _written(path, _OLDEST_FORMAT, name, neurons, notes or {}) as file:
        file.create_dataset("indptr", data=indptr.astype(np.int32))
        file.create_dataset("signs", data=signs.astype(np.int8))
        indices, counts, electrical = (
            file.create_dataset(key, (m,), kind)
            for key, kind in (("indices", np.int32), ("counts", np.int32), ("electrical", np.uint8))
        )
        done = 0
        for pre, sizes in rows:
            at, done = slice(done, done + len(pre)), done + len(pre)
            if done > m:
                break
            indices[at], counts[at], electrical[at] = pre, sizes, np.zeros(len(pre), np.uint8)
        if done != m:
            raise DataError(f"connectome {name!r}: {done} connections or more were given, indptr says {m}")


@contextmanager
def _written(
    path: str | Path, version: int, name: str, neurons: pd.DataFrame, notes: Mapping[str, Any]
) -> Iterator[h5py.File]:
    """A new file that has all but the wiring."""
    with replacing(user_path(path)) as temporary, created(temporary) as file:
        file.attrs["connfit_connectome"] = version
        file.attrs["name"] = name
        # A dataset, for HDF5 attributes end at 64 KiB.
        file.create_dataset("notes", data=json.dumps(dict(notes), default=_plain), dtype=h5py.string_dtype())
        _write_table(file.create_group("neurons"), neurons)
        yield file


def _write_table(table: h5py.Group, neurons: pd.DataFrame) -> None:
    # Numbered, for a column name may hold a slash, which HDF5 would read as a path.
    for k, column in enumerate(neurons.columns):
        values = neurons[column]
        missing = values.isna().to_numpy()
        if values.dtype.kind in "iufb" and not missing.any():
            data = table.create_dataset(str(k), data=values.to_numpy())
        elif values.dtype.kind == "f":
            data = table.create_dataset(str(k), data=values.to_numpy(np.float64, na_value=np.nan))
        else:
            text = values.astype(object).where(~missing, "").map(str)
            codes, distinct = pd.factorize(np.asarray(text, object))
            # Words are stored once, for a class or a side is that of thousands of neurons.
            data = table.create_dataset(str(k), data=codes.astype(np.int32))
            table.create_dataset(f"{k} words", data=distinct, dtype=h5py.string_dtype())
        data.attrs["column"] = str(column)


def read_parts(path: Path) -> tuple[dict[str, Any], mmap.mmap]:
    """Read what `write_connectome` wrote: the arguments of `Connectome` as stored, and the pages of large ones.

    Raises
    ------
    DataError
        If the file is not a connectome of a version that this release reads.
    """
    try:
        with opened(path) as file:
            version = file.attrs.get("connfit_connectome")
            if version is None:
                raise DataError("not a connfit connectome", path=path, fix="Write it with Connectome.save")
            if version not in range(_OLDEST_FORMAT, FORMAT_VERSION + 1):
                raise DataError(
                    f"written in format {version}, this release reads format {_OLDEST_FORMAT} to {FORMAT_VERSION}",
                    path=path,
                    fix="Build it again",
                )
            with open(path, "rb") as raw:
                pages = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
            arrays = {
                key: _mapped(_stored(file, key), pages)
                for key in (
                    *("indptr", "indices", "counts", "signs", "electrical"),
                    *(("mixed_signs",) if "mixed_signs" in file else ()),
                )
            }
            columns = {}
            numbered = [key for key in file["neurons"] if key.isdigit()]  # pyright: ignore[reportGeneralTypeIssues]
            for key in sorted(numbered, key=int):
                data = _stored(file, f"neurons/{key}")
                columns[data.attrs["column"]] = _words(file, key, data[:])
            neurons = pd.DataFrame(columns)
            regions = _read_regions(file) if "regions" in file else None
            name, notes = str(file.attrs["name"]), json.loads(str(_stored(file, "notes").asstr()[()]))
    except _DAMAGE as error:
        raise unreadable(error, "damaged or truncated connectome file", path=path, fix=COPY_AGAIN) from error
    return {"name": name, "neurons": neurons, "notes": notes, "regions": regions, **arrays}, pages


def _plain(value: object) -> object:
    """NumPy values in notes as plain ones; anything else as text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _stored(file: h5py.File, key: str) -> h5py.Dataset:
    data = file[key]
    if not isinstance(data, h5py.Dataset):
        raise KeyError(f"{key} is not a dataset")
    return check_written(data, Path(file.filename))


def _read_regions(file: h5py.File) -> RegionSynapses:
    names = tuple(str(name) for name in _stored(file, "regions/names").asstr()[:])
    shape = (len(names), len(_stored(file, "signs")))

    def counts(key: str) -> sp.csr_array:
        parts = [_stored(file, f"regions/{key}/{part}")[:] for part in ("data", "indices", "indptr")]
        matrix = sp.csr_array(tuple(parts), shape=shape)
        matrix.check_format(full_check=True)
        return matrix

    return RegionSynapses(names, counts("outputs"), counts("inputs"))


def _words(file: h5py.File, key: str, values: np.ndarray) -> np.ndarray | pd.Series:
    """The values of a column of the neuron table: as stored, or the words that they are codes of."""
    if f"{key} words" not in file["neurons"]:  # pyright: ignore[reportOperatorIssue]
        return values
    words = np.array(_stored(file, f"neurons/{key} words").asstr()[:], object)
    if len(values) and not 0 <= values.min() <= values.max() < len(words):
        raise ValueError(f"column {key} of the neuron table has words that are not there")
    return pd.Series(words[values] if len(words) else [], dtype="str")


def _mapped(dataset: h5py.Dataset, pages: mmap.mmap) -> np.ndarray:
    """A contiguous dataset in place in the mapped file; small or empty ones are read."""
    offset, size = dataset.id.get_offset(), int(np.prod(dataset.shape))
    if offset is None or size < 4096:
        return dataset[:]
    return np.frombuffer(pages, dataset.dtype, size, offset)
