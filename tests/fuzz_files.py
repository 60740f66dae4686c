"""Good files of every kind that connfit reads, for `fuzz` to damage."""

from __future__ import annotations

import gzip
import io
import pickle
import random
import shutil
import tarfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
from fly_files import fly_brain, write_codex, write_malecns, write_shiu
from fuzz import Kind
from fuzz_changes import as_bytes, as_toml, toml
from fuzz_connectomes import connectome_kinds
from fuzz_inputs import input_kinds
from fuzz_network import network_kinds
from fuzz_own_files import own_file_kinds
from fuzz_runs import run_kinds
from recording_files import write_arrow, write_csv, write_hdf5, write_mat, write_npz, write_nwb
from small import regional_connectome, write_files
from test_caiman import save
from test_fly_halves import write_halves
from test_fly_teacher import small_wiring
from test_matlab import write_v5, write_v73
from test_suite2p import write_plane
from test_turner import TABLE, responses
from test_worm import small as worm_tables

from connfit import config
from connfit.analysis.measured.measured_responses import read_measured
from connfit.connectome import Connectome
from connfit.connectome.signs import sign_table
from connfit.connectome.tables import connectome_from_tables
from connfit.datasets.fly_halves import halves_connectome
from connfit.datasets.flywire import codex_connectome
from connfit.datasets.loading import connectome_from_config, recordings_from_config
from connfit.datasets.malecns import malecns_connectome
from connfit.datasets.restricted_pickle import read_pickled_frame
from connfit.datasets.shiu import shiu_connectome
from connfit.datasets.synthetic.fly.fly_teacher import FlyTeacher, FlyTeacherConfig, draw_teacher
from connfit.datasets.turner_files import LABELS, read_archive, read_labels
from connfit.datasets.worm import worm_connectome
from connfit.models.perturb import parse_neuron_set
from connfit.recordings.readers import read_recording

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
RESPONSES = pd.DataFrame(
    {
        "stimulated": ["AVA", "AVA", "x/y", "é", "é"],
        "responding": ["AVB", "é", "AVA", "x/y", "AVB"],
        "observations": [3, 12, 4, 3, 3],
        "q": [0.01, 0.5, 0.04, float("nan"), 1.0],
        "mean_dff": [0.25, -0.5, float("nan"), 1e-9, 0.0],
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
    whole = (write_v5(folder / "v5.mat"), write_v73(folder / "v73.mat"))
    kinds["any.mat"] = Kind(".mat", tuple(path.read_bytes() for path in whole), read_mat)
    kinds["results.caiman.h5"] = Kind(".caiman.h5", (save(folder / "c.caiman.h5").read_bytes(),), read_recording)
    if find_spec("zarr") is not None:
        from fuzz_zarr import zarr_kinds

        kinds |= zarr_kinds(folder)
    kinds |= _planes(folder) | _tables(folder) | _datasets() | _layouts(folder) | _configurations(folder)
    (folder / "connectomes").mkdir()
    (folder / "own files").mkdir()
    kinds |= connectome_kinds(folder / "connectomes") | own_file_kinds(folder / "own files")
    return kinds | input_kinds(folder) | run_kinds(folder) | network_kinds()


def _recording(folder: Path, end: str, write: Callable[..., Path]) -> Kind:
    options = {"unit_column": "label"} if end == ".nwb" else {}
    good = write(folder / f"good{end}").read_bytes()
    return Kind(end, (good,), lambda path: read_recording(path, missing="mask", **options))


def read_mat(path: Path) -> None:
    """Read values and names of a struct in a MAT-file."""
    read_recording(path, values="s.dff", units="s.names", frame_rate=4.0, missing="mask")


def _planes(folder: Path) -> dict[str, Kind]:
    """Files of a plane folder of suite2p, each damaged while the others are whole."""
    whole = write_plane(folder / "plane0")
    kinds = {}
    for name in ("F", "Fneu", "iscell", "ops"):
        plane = folder / f"plane of {name}"
        shutil.copytree(whole, plane)

        def read(path: Path, place: Path = plane / f"{name}.npy") -> None:
            shutil.copyfile(path, place)
            read_recording(place.parent, missing="mask")

        kinds[f"suite2p/{name}"] = Kind(".npy", ((whole / f"{name}.npy").read_bytes(),), read)
    return kinds


_RECORDINGS: Mapping[str, Callable[..., Path]] = {
    ".csv": write_csv, ".npz": write_npz, ".h5": write_hdf5, ".nwb": write_nwb, ".parquet": write_arrow,
    ".feather": write_arrow, ".mat": write_mat,
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

    kinds = {f"responses{end}": Kind(end, good, read_measured) for end, good in written(RESPONSES).items()}
    kinds |= {f"edges{end}": Kind(end, good, lambda path: brain(path, NEURONS)) for end, good in written(EDGES).items()}
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


def _layouts(folder: Path) -> dict[str, Kind]:
    """Tables in the layouts of named connectomes, each damaged while the others are whole."""
    layouts: dict[str, tuple[Callable[..., Connectome], Mapping[str, Path]]] = {}
    brain = fly_brain(neurons=60, rows=300)
    for name, write, build in (
        ("codex", write_codex, codex_connectome), ("halves", write_halves, halves_connectome),
        ("shiu", write_shiu, shiu_connectome), ("malecns", write_malecns, malecns_connectome),
    ):  # fmt: skip
        (folder / name).mkdir()
        layouts[name] = build, write(brain, folder / name)
    (folder / "worm").mkdir()
    tables = dict(zip(("neurons", "connections"), worm_tables(folder / "worm"), strict=True))
    layouts["worm"] = (
        partial(worm_connectome, variant="a", unknown_transmitter="excitatory", electrical="include"),
        tables,
    )
    types = folder / "types.csv"
    types.write_text("root_id,primary_type\n" + "".join(f"{each},T{each % 7}\n" for each in brain.ids))
    layouts["codex"] = layouts["codex"][0], {**layouts["codex"][1], "types": types}
    kinds = {}
    for name, (build, paths) in layouts.items():
        for key, good in paths.items():

            def read(path: Path, key: str = key, build: Any = build, paths: Mapping[str, Path] = paths) -> None:
                build(**{**paths, key: path})

            kinds[f"{name}/{key}"] = Kind("".join(good.suffixes), (good.read_bytes(),), read)
    return kinds


def _configurations(folder: Path) -> dict[str, Kind]:
    """Configurations, with every option, and what is prepared of one; lists of neurons."""
    whole = config.to_dict(config.from_dict({"data": {"dataset": "demo"}}))
    options = "".join(f"{key} = {toml(value)}\n" for key, value in _without_nothing(whole).items())
    (folder / "own").mkdir()
    own = write_files(folder / "own")
    brain = regional_connectome()

    def prepared(path: Path) -> None:
        given = folder / "own" / f"given{path.suffix}"
        shutil.copyfile(path, given)
        data = config.read(given).data
        connectome_from_config(data)
        recordings_from_config(data)

    ids = "\n".join(str(one) for one in brain.ids[:5]).encode() + b" # five of them\n"
    return {
        "config.toml": Kind(".toml", (CONFIG.encode(), options.encode()), config.read, changed_toml),
        "config.json": Kind(".json", (config.as_json(whole).encode(),), config.read),
        "config.toml, its data": Kind(".toml", (own.read_bytes(),), prepared, changed_toml),
        "ids.txt": Kind(".txt", (ids,), lambda path: parse_neuron_set(f"file:{path}", brain)),
    }


def changed_toml(content: bytes, rng: random.Random) -> bytes:
    """As TOML, or as bytes."""
    return (as_toml if rng.random() < 0.7 else as_bytes)(content, rng)


def _without_nothing(values: Any) -> Any:
    """Tables without the values that TOML cannot write."""
    if isinstance(values, dict):
        return {key: _without_nothing(value) for key, value in values.items() if value is not None}
    return list(values) if isinstance(values, tuple) else values
