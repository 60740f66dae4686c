"""Connectomes and recordings by name, by path, or from a configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from connfit.config import DataConfig
from connfit.connectome import Connectome
from connfit.data.hdf5 import read_hdf5_recording
from connfit.data.nwb import read_nwb_recording
from connfit.data.registry import DATASETS, get_dataset
from connfit.data.tables import connectome_from_tables
from connfit.data.text import read_csv_recording, read_npz_recording
from connfit.data.worm import load_worm_connectome, load_worm_recording
from connfit.errors import ConfigError, DataError, one_of
from connfit.preprocess import apply_steps
from connfit.recording import Recording

READERS: Mapping[str, Callable[..., Recording]] = {
    "csv": read_csv_recording,
    "npz": read_npz_recording,
    "hdf5": read_hdf5_recording,
    "nwb": read_nwb_recording,
}
_ENDINGS = {".csv": "csv", ".csv.gz": "csv", ".npz": "npz", ".h5": "hdf5", ".hdf5": "hdf5", ".nwb": "nwb"}


def list_datasets() -> tuple[str, ...]:
    """Names of all datasets."""
    return tuple(DATASETS)


def load_connectome(name: str, **options: Any) -> Connectome:
    """The connectome of a named dataset.

    Parameters
    ----------
    name
        `"worm"`, `"worm/<variant>"` or `"demo"`.
    **options
        Of the dataset: for `worm` see `connfit.data.worm.load_worm_connectome`; for `demo`: `seed`.

    Raises
    ------
    ConfigError
        If there is no such dataset or option.
    NotAvailableError
        If its files are not here and cannot be downloaded.
    """
    dataset, _, variant = name.partition("/")
    get_dataset(dataset)
    if dataset == "demo":
        one_of("dataset", name, ["demo"])
        return _demo(**_checked(_demo, options, "dataset demo"))[0]
    if variant:
        options = {"variant": variant, **options}
    return load_worm_connectome(**_checked(load_worm_connectome, options, f"dataset {dataset}"))


def load_recording(name: str, **options: Any) -> Recording:
    """One recording of a named dataset, for example `"worm/2022-07-26-38"`.

    Parameters
    ----------
    name
        `<dataset>/<recording>`.
    **options
        Of the dataset: for `worm` see `connfit.data.worm.load_worm_recording`.

    Raises
    ------
    ConfigError
        If there is no such recording or option; the names that there are are listed.
    NotAvailableError
        If its file is not here and cannot be downloaded.
    """
    dataset, _, uid = name.partition("/")
    if dataset == "demo":
        recordings = _demo(**_checked(_demo, options, "dataset demo"))[1]
        by_name = {one.name.removeprefix("demo/"): one for one in recordings}
        return by_name[one_of("recording", uid, by_name)] if uid else recordings[0]
    known = get_dataset(dataset).recordings
    one_of("recording", name, [f"{dataset}/{one}" for one in known])
    return load_worm_recording(uid, **_checked(load_worm_recording, options, f"dataset {dataset}", without=("uid",)))


def load_recordings(dataset: str, which: str | Sequence[str] = "all", **options: Any) -> tuple[Recording, ...]:
    """Several recordings of a dataset.

    Parameters
    ----------
    dataset
        Name of the dataset.
    which
        `"all"`, or names with or without the dataset's: `["2022-07-26-38", "worm/2022-07-26-31"]`.
    **options
        As for `load_recording`.
    """
    names = [which] if isinstance(which, str) else list(which)
    if dataset == "demo":
        recordings = _demo(**_checked(_demo, options, "dataset demo"))[1]
        if names == ["all"]:
            return recordings
        by_name = {one.name.removeprefix("demo/"): one for one in recordings}
        return tuple(by_name[one_of("recording", one.removeprefix("demo/"), by_name)] for one in names)
    if names == ["all"]:
        names = list(get_dataset(dataset).recordings)
    full = [one if one.startswith(f"{dataset}/") else f"{dataset}/{one}" for one in names]
    if len(set(full)) != len(full):
        raise ConfigError(f"a recording is named twice: {', '.join(full)}")
    return tuple(load_recording(one, **options) for one in full)


def read_recording(path: str | Path, format: str = "auto", **options: Any) -> Recording:
    """Read a recording from a file.

    Parameters
    ----------
    path
        The file.
    format
        `"csv"`, `"npz"`, `"hdf5"`, `"nwb"`, or `"auto"`: by the file name's ending.
    **options
        Of the reader, for example `frame_rate` (Hz) or `missing`.

    Raises
    ------
    DataError
        If the file cannot be used.
    ConfigError
        If the reader has no such option.
    """
    path = Path(path)
    if format == "auto":
        ending = next((one for one in sorted(_ENDINGS, key=len, reverse=True) if path.name.lower().endswith(one)), None)
        if ending is None:
            raise DataError(
                "the format is not known by this file name",
                path=path,
                fix=f"Name it with format = one of {', '.join(READERS)}",
            )
        format = _ENDINGS[ending]
    reader = READERS[one_of("format", format, READERS)]
    return reader(path, **_checked(reader, options, f"reader {format}", without=("path",)))


def connectome_from_config(config: DataConfig) -> Connectome:
    """The connectome that a configuration names: a dataset's, or one from the user's own tables.

    Raises
    ------
    ConfigError
        If the configuration names neither or both, or lacks a sign rule for the user's own tables.
    """
    common: dict[str, Any] = {"electrical": config.electrical, "self_connections": config.self_connections}
    if config.unknown_transmitter is not None:
        common["unknown_transmitter"] = config.unknown_transmitter
    if config.sign_rule is not None:
        common["sign_rule"] = config.sign_rule
    if config.connectome is None:
        if config.dataset is None:
            raise ConfigError(
                "data.dataset is not set: name a dataset, or give data.connectome with an edge table and a neuron table"
            )
        if config.dataset == "demo":
            given = [key for key in ("variant", "sign_rule", "unknown_transmitter") if getattr(config, key) is not None]
            if given or config.electrical != "drop" or config.self_connections != "keep":
                raise ConfigError(
                    f"the dataset demo is generated and has no options; remove {', '.join(given) or 'them'}"
                )
            return _demo()[0]
        if config.variant is not None:
            common["variant"] = config.variant
        return load_connectome(config.dataset, **common)
    if config.dataset is not None:
        raise ConfigError(f"data.dataset = {config.dataset!r} and data.connectome are both set: keep one")
    if config.sign_rule is None:
        raise ConfigError(
            "data.sign_rule is not set: for a connectome of your own choose 'fly-paper', 'shiu', 'worm' "
            "or a CSV file transmitter,sign"
        )
    own = config.connectome
    columns = {
        key: getattr(own, key)
        for key in ("pre", "post", "count", "id", "type", "region", "transmitter", "side", "connection_type")
    }
    return connectome_from_tables(Path(own.edges).name.split(".")[0], own.edges, own.neurons, **columns, **common)


def recordings_from_config(config: DataConfig) -> tuple[Recording, ...]:
    """The recordings that a configuration names, cut into parts and then preprocessed.

    They are cut first, for the constants of preprocessing come from the training part only.
    `preprocess=None` means the steps that suit the dataset (none for the user's own files).

    Raises
    ------
    ConfigError
        If the configuration names no recordings, or both a dataset's and files.
    """
    if config.recording_files is not None:
        files = config.recording_files
        if config.recordings:
            raise ConfigError("data.recordings and data.recording_files are both set: keep one")
        if not files.files:
            raise ConfigError("data.recording_files.files is empty: name at least one file")
        recordings = tuple(_read_with(path, files.frame_rate, files.kind, files.missing) for path in files.files)
    elif config.dataset is not None:
        which: str | Sequence[str] = "all" if "all" in config.recordings else config.recordings
        if not config.recordings:
            known = get_dataset(config.dataset).recordings
            recordings = (
                load_recordings(config.dataset, known[:1]) if known else load_recordings(config.dataset, "all")[:1]
            )
        else:
            recordings = load_recordings(config.dataset, which)
    else:
        raise ConfigError("there is no recording: set data.dataset or data.recording_files")
    cut = [one.split(train=config.train, validation=config.validation, gap=config.gap) for one in recordings]
    return tuple(apply_steps(one, preprocessing_steps(config)) for one in cut)


def preprocessing_steps(config: DataConfig) -> tuple[dict[str, Any], ...]:
    """The steps that a configuration stands for: its own, or those that suit the dataset."""
    if config.preprocess is not None:
        return config.preprocess
    if config.recording_files is not None or config.dataset is None:
        return ()
    return tuple(dict(step) for step in get_dataset(config.dataset).preprocess)


def _read_with(path: str, frame_rate: float | None, kind: str, missing: str) -> Recording:
    """Read a file with those of the options that its reader has."""
    options = {"frame_rate": frame_rate, "kind": kind, "missing": missing}
    ending = next((one for one in sorted(_ENDINGS, key=len, reverse=True) if path.lower().endswith(one)), None)
    if ending is not None and _ENDINGS[ending] == "hdf5":
        options = {"frame_rate": frame_rate, "missing": missing}
    return read_recording(path, **options)


@lru_cache(maxsize=1)
def _demo(seed: int = 0) -> tuple[Connectome, tuple[Recording, ...]]:
    from connfit.data.surrogate import make_demo

    return make_demo(seed)


def _checked(
    function: Callable[..., Any], options: Mapping[str, Any], what: str, *, without: Sequence[str] = ()
) -> dict[str, Any]:
    """The options, if the function has them all."""
    allowed = [one for one in inspect.signature(function).parameters if one not in without]
    for option in options:
        if option not in allowed:
            near = get_close_matches(option, allowed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{what} has no option {option!r}; its options are {', '.join(allowed)}{hint}")
    return dict(options)
