"""From a file of each format to report.html by the command line, with the configuration that `connfit check` wrote."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import networkx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pytest
import scipy.io
import xarray as xr
from recording_files import write_nwb, write_zarr
from small import FRAME_RATE, raw_movies, search_little, teacher, write_files
from typer.testing import CliRunner

from connfit import cli
from connfit import config as configuration
from connfit.config import Config
from connfit.datasets.loading import connectome_from_config

QUICK = (
    "--epochs", "1", "--set", "train.free_run_epochs=0", "--set", 'evaluate.baselines=["ar"]',
    "--set", "model.drive_start=persistence", "--set", "model.weights=counts", "--set", "model.state_forcing=0.5",
    "--set", "model.time_constant_frames=1",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """How one library writes a recording, and what it does not write.

    Parameters
    ----------
    write
        Writes values [time, unit] with names into a folder, beside the tables.
    answers
        Options of `connfit check` that say the rest.
    """

    write: Callable[[Path, np.ndarray, tuple[str, ...]], None]
    answers: tuple[str, ...] = ()


def timed(values: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(values, columns=list(names))
    frame.insert(0, "time_s", np.arange(len(values)) / FRAME_RATE)
    return frame


def to_csv(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    timed(values, names).to_csv(folder / "fish.csv.gz", index=False)


def to_csv_without_times(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    pd.DataFrame(values, columns=list(names)).to_csv(folder / "fish.csv", index=False)


def to_csv_in_milliseconds(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    frame = timed(values, names)
    frame["time_s"] *= 1000
    frame.to_csv(folder / "fish.csv", index=False)


def to_parquet(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    timed(values, names).set_index("time_s").to_parquet(folder / "fish.parquet")


def to_feather(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    feather.write_feather(pa.Table.from_pandas(timed(values, names), preserve_index=False), folder / "fish.feather")


def to_npz(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    np.savez(folder / "fish.npz", values=values, units=np.array(names), frame_rate=FRAME_RATE)


def to_hdf5(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    with h5py.File(folder / "fish.h5", "w") as file:
        file["dff"] = values
        file.create_dataset("neuron", data=list(names), dtype=h5py.string_dtype())


def to_netcdf(folder: Path, values: np.ndarray, names: tuple[str, ...], engine: str = "h5netcdf") -> None:
    clock = xr.Variable("time", np.arange(len(values)) * 1000 / FRAME_RATE, {"units": "ms"})
    array = xr.DataArray(values, dims=("time", "neuron"), coords={"time": clock, "neuron": list(names)}, name="dff")
    array.T.to_netcdf(folder / "fish.nc", engine=engine)


def to_classic_netcdf(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    to_netcdf(folder, values, names, "scipy")


def to_zarr(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    pytest.importorskip("zarr")
    write_zarr(folder / "fish.zarr", values, names, np.arange(len(values)) / FRAME_RATE)


def to_xarray_zarr(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    """Version 2 in an archive."""
    zarr = pytest.importorskip("zarr")
    coords = {"time": np.arange(len(values)) / FRAME_RATE, "neuron": list(names)}
    array = xr.DataArray(values, dims=("time", "neuron"), coords=coords, name="dff")
    with zarr.storage.ZipStore(folder / "fish.zarr.zip", mode="w") as store, warnings.catch_warnings():
        # It writes metadata twice.
        warnings.simplefilter("ignore")
        array.to_dataset().to_zarr(store, zarr_format=2, consolidated=False)


def to_matlab(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    cells = np.array([*names], object).reshape(-1, 1)
    scipy.io.savemat(
        folder / "fish.mat", {"dff": values.T, "raw": values.T * 3, "units": cells, "frame_rate": FRAME_RATE}
    )


def to_matlab_73(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    """As MATLAB lays out HDF5: axes turned round, text as codes behind references, a header of 512 bytes."""
    with h5py.File(folder / "fish.mat", "w", userblock_size=512) as file:
        file["dff"] = values.T
        file["dff"].attrs["MATLAB_class"] = np.bytes_("double")
        file["frame_rate"] = np.array([[FRAME_RATE]])
        file["frame_rate"].attrs["MATLAB_class"] = np.bytes_("double")
        places = []
        for number, name in enumerate(names):
            place = file.create_dataset(
                f"#refs#/{number}", data=np.array([[ord(letter)] for letter in name], np.uint16)
            )
            place.attrs["MATLAB_class"] = np.bytes_("char")
            place.attrs["MATLAB_int_decode"] = np.int32(2)
            places.append(place.ref)
        file.create_dataset("units", data=np.array([places], h5py.ref_dtype), dtype=h5py.ref_dtype)
        file["units"].attrs["MATLAB_class"] = np.bytes_("cell")
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    with (folder / "fish.mat").open("r+b") as raw:
        raw.write(head)


def to_nwb(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    """With another series, and units named by a column."""
    pytest.importorskip("pynwb")
    write_nwb(folder / "fish.nwb", values, names, np.arange(len(values)) / FRAME_RATE, more=True)


def to_suite2p(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    plane = folder / "fish" / "suite2p" / "plane0"
    plane.mkdir(parents=True)
    ops = {"fs": FRAME_RATE, "neucoeff": 0.7, "nplanes": 1}
    cells = np.ones((len(names), 2))
    for name, array in {"F": 100 + values.T, "Fneu": 0 * values.T, "iscell": cells, "ops": ops}.items():
        np.save(plane / f"{name}.npy", array, allow_pickle=True)
    pd.DataFrame({"roi": range(len(names)), "unit": names}).to_csv(plane / "names.csv", index=False)


def to_caiman(folder: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    with h5py.File(folder / "fish.caiman.hdf5", "w") as file:
        file["estimates/F_dff"], file["estimates/idx_components"] = values.T, np.arange(len(names))
        file["params/data/fr"] = FRAME_RATE
    pd.DataFrame({"roi": range(len(names)), "unit": names}).to_csv(folder / "names.csv", index=False)


CASES: Mapping[str, Case] = {
    "csv": Case(to_csv),
    "nwb": Case(to_nwb, ("--option", "series=DfOverF/traces", "--option", "unit_column=label")),
    "csv without times": Case(to_csv_without_times, ("--frame-rate", str(FRAME_RATE))),
    "csv in milliseconds": Case(to_csv_in_milliseconds, ("--option", "time_unit=ms")),
    "parquet": Case(to_parquet),
    "feather": Case(to_feather),
    "npz": Case(to_npz),
    "hdf5 without times": Case(to_hdf5, ("--frame-rate", str(FRAME_RATE))),
    "netcdf 4": Case(to_netcdf),
    "netcdf 3": Case(to_classic_netcdf),
    "zarr 3": Case(to_zarr),
    "zarr 2 of xarray": Case(to_xarray_zarr),
    "matlab v5": Case(to_matlab, ("--option", "values=dff")),
    "matlab v7.3": Case(to_matlab_73),
    "suite2p": Case(to_suite2p, ("--option", "unit_table=names.csv")),
    "caiman": Case(to_caiman, ("--option", "unit_table=names.csv")),
}
ALWAYS = ("csv", "nwb")


def run(*arguments: object) -> str:
    """What a command says; it must succeed."""
    ran = CliRunner().invoke(cli.app, [*map(str, arguments)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.output


def fitted(config: Path, out: Path) -> Config:
    """Fit a configuration as it is, but for how long; returns what was fitted."""
    run("fit", config, "--out", out, *QUICK)
    assert (out / "report.html").stat().st_size > 50_000
    return configuration.read(out / "config.json")


@pytest.mark.usefixtures("dots")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow) for name in CASES]
)
def test_every_format_goes_from_file_to_report(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search_little(monkeypatch, values=1)
    folder = tmp_path / "data"
    folder.mkdir()
    write_files(folder).unlink()
    for movie in folder.glob("*.npz"):
        movie.unlink()
    movie = raw_movies()[0]
    CASES[name].write(folder, movie.values.astype(float), movie.units)
    config = tmp_path / "config.toml"
    if name == "nwb":
        asked = run("check", folder, "--sign-rule", "fly-paper", *CASES[name].answers[:2])
        assert "--option unit_column=VALUE" in asked and "label)" in asked
    said = run("check", folder, "--sign-rule", "fly-paper", *CASES[name].answers, "--write", config)
    assert "ready to fit" in said and f"{len(movie.units)} of {len(movie.units)} units match" in said
    job = fitted(config, tmp_path / "run")
    assert job.data.recording_files is not None
    assert config.read_text(encoding="utf-8") and configuration.read(config).data.sign_rule == "fly-paper"


@dataclass(frozen=True)
class Wiring:
    """The teacher's wiring, as databases and libraries give it.

    Parameters
    ----------
    names
        [N] of the neurons.
    pre, post, counts
        [M] numbers of neurons, and synapses.
    signs
        [N] 1 or -1.
    """

    names: list[str]
    pre: np.ndarray
    post: np.ndarray
    counts: np.ndarray
    signs: np.ndarray

    @property
    def transmitters(self) -> np.ndarray:
        return np.where(self.signs > 0, "acetylcholine", "gaba")

    @property
    def matrix(self) -> np.ndarray:
        """Signed weights [post, pre]."""
        weights = np.zeros((len(self.names),) * 2)
        weights[self.post, self.pre] = self.counts * self.signs[self.pre]
        return weights


def to_graphml(folder: Path, brain: Wiring) -> None:
    graph = networkx.DiGraph()
    for name, word in zip(brain.names, brain.transmitters, strict=True):
        graph.add_node(name, transmitter=str(word))
    for pre, post, count in zip(brain.pre, brain.post, brain.counts, strict=True):
        graph.add_edge(brain.names[pre], brain.names[post], synapses=int(count))
    networkx.write_graphml(graph, folder / "brain.graphml")


def to_edge_list(folder: Path, brain: Wiring) -> None:
    array = brain.matrix.T
    graph = networkx.relabel_nodes(
        networkx.from_numpy_array(array, create_using=networkx.DiGraph), dict(enumerate(brain.names))
    )
    networkx.write_weighted_edgelist(graph, folder / "brain.edgelist")


def to_neuprint(folder: Path, brain: Wiring) -> None:
    """As `fetch_adjacencies` returns it, a row for each region."""
    edges = {"bodyId_pre": brain.pre + 10_000, "bodyId_post": brain.post + 10_000, "roi": "LH", "weight": brain.counts}
    pd.DataFrame(edges).to_csv(folder / "connections.csv", index=False)
    cells = {"bodyId": np.arange(len(brain.names)) + 10_000, "type": brain.names, "predictedNt": brain.transmitters}
    pd.DataFrame(cells).to_csv(folder / "neurons.csv", index=False)


def to_cave(folder: Path, brain: Wiring) -> None:
    """A row for each synapse, and ids of 18 digits."""
    root, every = 720575940596125868, np.repeat(np.arange(len(brain.pre)), brain.counts.astype(int))
    ends = {"pre_pt_root_id": root + brain.pre[every], "post_pt_root_id": root + brain.post[every], "size": 9}
    feather.write_feather(pa.Table.from_pandas(pd.DataFrame(ends), preserve_index=False), folder / "synapses.feather")
    cells = {"pt_root_id": root + np.arange(len(brain.names)), "cell_type": brain.names, "top_nt": brain.transmitters}
    pd.DataFrame(cells).to_parquet(folder / "cells.parquet")


def to_codex(folder: Path, brain: Wiring) -> None:
    edges = {"pre_root_id": brain.pre + 7, "post_root_id": brain.post + 7, "syn_count": brain.counts}
    pd.DataFrame(edges).to_csv(folder / "connections.csv.gz", index=False)
    cells = {"root_id": np.arange(len(brain.names)) + 7, "primary_type": brain.names, "nt_type": brain.transmitters}
    pd.DataFrame(cells).to_csv(folder / "neurons.csv.gz", index=False)


def to_sonata(folder: Path, brain: Wiring) -> None:
    with h5py.File(folder / "edges.h5", "w") as file:
        edges = file.create_group("edges/b")
        for key, ids in (("source_node_id", brain.pre), ("target_node_id", brain.post)):
            edges.create_dataset(key, data=ids.astype(np.uint64)).attrs["node_population"] = "b"
        edges["edge_type_id"] = edges["edge_group_id"] = np.zeros(len(brain.pre), int)
        edges["edge_group_index"], edges["0/nsyns"] = np.arange(len(brain.pre)), brain.counts.astype(int)
        edges["0/syn_weight"] = brain.counts * brain.signs[brain.pre]
    with h5py.File(folder / "nodes.h5", "w") as file:
        nodes = file.create_group("nodes/b")
        nodes["node_type_id"] = nodes["node_group_id"] = np.zeros(len(brain.names), int)
        nodes["node_group_index"] = np.arange(len(brain.names))
        nodes["0/model_name"] = np.array(brain.names, h5py.string_dtype())


def to_npy(folder: Path, brain: Wiring) -> None:
    np.save(folder / "W.npy", brain.matrix)
    (folder / "names.txt").write_text("\n".join(brain.names), encoding="utf-8")


def to_text(folder: Path, brain: Wiring) -> None:
    np.savetxt(folder / "weights.txt", brain.matrix)
    (folder / "centres.txt").write_text("".join(f"{name} 0.5 1.5 -2\n" for name in brain.names), encoding="utf-8")


def to_mat(folder: Path, brain: Wiring) -> None:
    scipy.io.savemat(folder / "W.mat", {"W": brain.matrix, "names": np.array(brain.names, object)})


RULE, ROWS = ("--sign-rule", "fly-paper"), ("--wiring-option", "rows=post")
WIRINGS: Mapping[str, tuple[Callable[[Path, Wiring], None], tuple[str, ...]]] = {
    "graphml": (to_graphml, RULE),
    "weighted edge list with signs": (to_edge_list, ()),
    "neuprint": (to_neuprint, RULE),
    "cave": (to_cave, RULE),
    "codex": (to_codex, RULE),
    "sonata": (to_sonata, ("--wiring-option", "size=syn_weight", "--column", "type=model_name")),
    "matrix of numpy": (to_npy, ROWS),
    "matrix in text, as of TVB": (to_text, ROWS),
    "matrix of matlab": (to_mat, ROWS),
}


@pytest.mark.slow
@pytest.mark.usefixtures("dots")
@pytest.mark.parametrize("name", WIRINGS)
def test_every_format_of_wiring_goes_from_file_to_report(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_little(monkeypatch, values=1)
    brain, _ = teacher()
    folder = tmp_path / "data"
    folder.mkdir()
    write, answers = WIRINGS[name]
    names = brain.neurons["id"].astype(str).tolist()
    write(folder, Wiring(names, brain.indices.astype(int), brain.posts.astype(int), brain.counts, brain.signs))
    movie = raw_movies()[0]
    to_csv(folder, movie.values.astype(float), movie.units)
    config = tmp_path / "config.toml"
    said = run("check", folder, *answers, "--write", config)
    assert "ready to fit" in said and f"{len(movie.units)} of {len(movie.units)} units match" in said
    read = connectome_from_config(configuration.read(config).data)
    np.testing.assert_allclose(np.sort(read.matrix().data), np.sort(brain.matrix(brain.counts).data), rtol=1e-6)
    fitted(config, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.usefixtures("dots")
def test_a_weighted_matrix_of_70_regions_goes_from_file_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_little(monkeypatch, values=1)
    rng = np.random.default_rng(0)
    names = tuple(f"R{k:02d}" for k in range(70))
    weights = rng.uniform(0.09, 1.0, (70, 70)) * (1 - np.eye(70))
    pd.DataFrame(weights, names, names).to_csv(tmp_path / "regions.csv")
    state, seen = np.zeros(70), []
    for _ in range(200):
        state = 0.8 * state + 0.004 * weights @ state + rng.normal(size=70)
        seen.append(state)
    to_csv(tmp_path, np.array(seen), names)
    config = tmp_path / "config.toml"
    answers = ("--wiring-option", "rows=post", "--unknown-transmitter", "excitatory")
    said = run("check", tmp_path / "regions.csv", tmp_path / "fish.csv.gz", *answers, "--write", config)
    assert "ready to fit" in said and "70 of 70 units match" in said
    fitted(config, tmp_path / "run")
    # Nobody counted synapses.
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8").lower()
    assert "synaps" not in page.replace("min_synapses", "")
