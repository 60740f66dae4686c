"""Good files of every kind that connfit reads, for `fuzz` to damage."""

from __future__ import annotations

import gzip
import io
import pickle
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
from fuzz import Kind
from report_run import complete_run
from test_fly_teacher import small_wiring
from test_recording_readers import write_csv, write_hdf5, write_npz, write_nwb
from test_turner import TABLE, responses

from connfit import config
from connfit._io import as_result, plain, write_json
from connfit.analysis.brain_analysis import Analysis
from connfit.connectome import Connectome
from connfit.connectome.signs import sign_table
from connfit.connectome.tables import connectome_from_tables
from connfit.datasets.restricted_pickle import read_pickled_frame
from connfit.datasets.synthetic.fly.fly_teacher import FlyTeacher, FlyTeacherConfig, draw_teacher
from connfit.datasets.turner_files import LABELS, read_archive, read_labels
from connfit.recordings.readers import read_recording
from connfit.report.assemble import texts
from connfit.report.run_files import ANALYSIS, RunFiles

NEURONS = pd.DataFrame(
    {
        "id": [720575940600000000 + k for k in range(6)],
        "type": ["AVA", "AVB", "a b", "", "x/y", "é"],
        "region": ["R1", "R1", "R2", "R2", "NA", "R3"],
        "transmitter": ["acetylcholine", "gaba", "acetylcholine", "gaba", "acetylcholine", "acetylcholine"],
    }
)
EDGES = pd.DataFrame(
    {
        "pre": NEURONS["id"].to_numpy()[[0, 1, 2, 3, 4, 5, 0]],
        "post": NEURONS["id"].to_numpy()[[1, 2, 3, 4, 5, 0, 3]],
        "synapses": [3, 1, 10, 4, 7, 2, 1],
        "kind": ["chemical", "electrical", "chemical", "chemical", "chemical", "chemical", "chemical"],
    }
)
CONFIG = """seed = 3
[data]
dataset = "demo"
preprocess = [{ step = "scale" }]
[model]
weights = "counts"
[train]
epochs = 4
learning_rate = 0.01
[evaluate]
horizons = [1, 2]
"""


def all_kinds(folder: Path) -> Mapping[str, Kind]:
    """Every kind by name, its good files made in a folder."""
    kinds = {f"recording{end}": _recording(folder, end, write) for end, write in _RECORDINGS.items()}
    kinds["recording.csv.gz"] = Kind(".csv.gz", (gzip.compress(kinds["recording.csv"].good[0]),), read_recording)
    kinds |= _tables(folder) | _datasets() | _configurations() | _run(folder)
    return kinds


def _recording(folder: Path, end: str, write: Callable[..., Path]) -> Kind:
    options = {"unit_column": "label"} if end == ".nwb" else {}
    good = write(folder / f"good{end}").read_bytes()
    return Kind(end, (good,), lambda path: read_recording(path, missing="mask", **options))


_RECORDINGS: Mapping[str, Callable[..., Path]] = {
    ".csv": write_csv, ".npz": write_npz, ".h5": write_hdf5, ".nwb": write_nwb
}  # fmt: skip


def _tables(folder: Path) -> dict[str, Kind]:
    """Edge and neuron tables in each of their formats, a connectome of our own, and a table of signs."""

    def feathers(table: pd.DataFrame) -> tuple[bytes, ...]:
        made = []
        for compression in ("uncompressed", "lz4"):
            stream = io.BytesIO()
            feather.write_feather(pa.Table.from_pandas(table, preserve_index=False), stream, compression=compression)
            made.append(stream.getvalue())
        return tuple(made)

    def written(table: pd.DataFrame) -> dict[str, tuple[bytes, ...]]:
        text = table.to_csv(index=False).encode()
        parquet = io.BytesIO()
        table.to_parquet(parquet)
        return {
            ".csv": (text,), ".csv.gz": (gzip.compress(text),), ".tsv": (table.to_csv(index=False, sep="\t").encode(),),
            ".parquet": (parquet.getvalue(),), ".feather": feathers(table),
        }  # fmt: skip

    def brain(edges: object, neurons: object) -> Connectome:
        return connectome_from_tables(
            "fuzz", edges, neurons, connection_type="kind", sign_rule="fly-paper", unknown_transmitter="excitatory"
        )  # type: ignore[arg-type]

    kinds = {f"edges{end}": Kind(end, good, lambda path: brain(path, NEURONS)) for end, good in written(EDGES).items()}
    kinds |= {
        f"neurons{end}": Kind(end, good, lambda path: brain(EDGES, path)) for end, good in written(NEURONS).items()
    }
    brain(EDGES, NEURONS).save(folder / "brain.h5")
    kinds["connectome.h5"] = Kind(".h5", ((folder / "brain.h5").read_bytes(),), Connectome.load)
    draw_teacher(small_wiring(), FlyTeacherConfig(burn_in_s=1.0), 0).save(folder / "teacher.h5")
    kinds["teacher.h5"] = Kind(".h5", ((folder / "teacher.h5").read_bytes(),), FlyTeacher.load)
    kinds["signs.csv"] = Kind(".csv", (b"transmitter,sign\nacetylcholine,1\ngaba,-1\n",), sign_table)
    return kinds


def _datasets() -> dict[str, Kind]:
    """Files of named datasets that come in forms of their own."""
    table = responses(40)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in {
            "data/ito_responses/ito_2018-11-03_5.pkl": pickle.dumps(table, 4),
            f"data/{LABELS}": TABLE.encode(),
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return {
        "frame.pkl": Kind(
            ".pkl",
            tuple(pickle.dumps(table, protocol) for protocol in (2, 4, 5)),
            lambda path: read_pickled_frame(path.read_bytes(), path),
        ),
        "turner.tar.gz": Kind(".tar.gz", (archive.getvalue(),), read_archive),
        "labels.csv": Kind(".csv", (TABLE.encode(),), lambda path: read_labels(path, path)),
    }


def _configurations() -> dict[str, Kind]:
    as_json = config.as_json(config.to_dict(config.from_dict({"data": {"dataset": "demo"}}))).encode()
    return {
        "config.toml": Kind(".toml", (CONFIG.encode(),), config.read),
        "config.json": Kind(".json", (as_json,), config.read),
    }


def _run(folder: Path) -> dict[str, Kind]:
    """Files of a run directory, each damaged while the others are whole."""

    whole = complete_run(folder / "whole")
    (whole / "analysis").mkdir()
    analysis = example(Analysis)
    analysis["stability"]["matrices"] = {"weights": "of the weights"}
    write_json(whole / ANALYSIS, analysis)
    kinds = {}
    for name in (
        "metrics.json", "record.json", "config.json", "history.csv", "forecasts.npz", "parameters.npz",
        "parameters_initial.npz", "connectome.h5", "analysis/analysis.json",
        "gradient_fidelity.json", "study/study.json", "recovery/recovery.json",
        "simulations/silence-id-n1/perturbation.json", "simulations/silence-id-n1/perturbation.npz",
    ):  # fmt: skip

        def read(path: Path, name: str = name) -> None:
            run = folder / "run"
            if not run.exists():
                shutil.copytree(whole, run)
            try:
                shutil.copyfile(path, run / name)
                texts(RunFiles.read(run))
            finally:
                shutil.copyfile(whole / name, run / name)

        content = (whole / name).read_bytes()
        kinds[f"run/{name}"] = Kind(Path(name).suffix, (content,), read)
    return kinds


def example(kind: Any) -> Any:
    """A value of a type, with something in every table and list of it."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return example(inside[0])
    if origin in (Union, UnionType):
        return example(next(of for of in inside if of is not NoneType))
    if origin is Literal:
        return inside[0]
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        made = {of.name: example(hints[of.name]) for of in fields(kind)}
        try:
            as_result(made, kind)
        except msgspec.ValidationError:
            return plain(kind())  # Options have ranges, and defaults within them.
        return made
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {name: example(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}
    if origin is tuple:
        return [example(of) for of in inside if of is not Ellipsis]
    if origin in (list, Sequence):
        return [example(inside[0])]
    if origin in (dict, Mapping):
        return {str(example(inside[0])): example(inside[1])}
    return {int: 1, float: 0.5, bool: False, str: "data_units"}.get(kind, 1)
