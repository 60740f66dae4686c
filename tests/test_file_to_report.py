"""From a file of each format to report.html by the command line, with the configuration that `connfit check` wrote."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pytest
import scipy.io
import xarray as xr
from recording_files import write_nwb, write_zarr
from small import FRAME_RATE, raw_movies, search_little, write_files
from typer.testing import CliRunner

from connfit import cli
from connfit import config as configuration
from connfit.config import Config

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
