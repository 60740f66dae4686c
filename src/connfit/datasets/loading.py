"""Connectomes and recordings by name, by path, or from a configuration."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from connfit.config import DataConfig, FileRecordings
from connfit.connectome import Connectome
from connfit.connectome.formats import read_connectome
from connfit.connectome.formats.connectome_format import COLUMNS
from connfit.datasets.fetch import first_uses
from connfit.datasets.given_data import OWN_FILES, cut_out, prepare_recordings, saved_connectome, saved_recordings
from connfit.datasets.registry import DATASETS
from connfit.errors import ConfigError, DataWarning, UnitsError, one_of
from connfit.recordings import Recording
from connfit.recordings.keyword_options import checked_options, option_names
from connfit.recordings.preprocess.every_recording import choose_units, preprocess_all
from connfit.recordings.readers import find_reader
from connfit.recordings.readers.epoch_table import read_epochs
from connfit.recordings.readers.input_table import read_input_table
from connfit.recordings.sessions import join_sessions
from connfit.recordings.unit_table import name_by_table, read_unit_table

if TYPE_CHECKING:
    from connfit._typing import JSON

_CONNECTOME_OPTIONS = (
    "variant", "scale", "order", "min_synapses", "sign_rule", "unknown_transmitter", "electrical", "self_connections",
)  # fmt: skip

SHARED = ("frame_rate", "kind", "missing", "empty_units", "time_unit")
"""Options of readers that the section `data.recording_files` has itself."""

UNPUBLISHED = "files_without_published_checksum"
"""Note of a connectome or a recording, which `record.json` has: path to by what its content is known."""


def list_datasets() -> tuple[str, ...]:
    """List the names of all datasets."""
    return tuple(DATASETS)


def load_connectome(name: str, **options: Any) -> Connectome:
    """Load the connectome of a named dataset.

    Parameters
    ----------
    name
        `"worm"`, `"fly-783-halves"`, ... (`list_datasets`), or `"worm/<variant>"` to name one of several.
    **options
        Of the dataset: the parameters of its function in `DATASETS`, for example `min_synapses`.

    Raises
    ------
    ConfigError
        If there is no such dataset or option.
    NotAvailableError
        If its files are not here and cannot be downloaded.
    """
    dataset, slash, variant = name.partition("/")
    load = DATASETS[dataset].connectome
    if load is None:
        raise ConfigError(f"dataset {dataset!r} has recordings only: name a connectome as data.dataset")
    if slash:
        options = {"variant": variant, **options}
    with first_uses() as unpublished:
        brain = load(**checked_options(load, options, f"dataset {dataset}", skip=0))
    return replace(brain, notes={**brain.notes, UNPUBLISHED: dict(unpublished)}) if unpublished else brain


def load_recording(name: str, **options: Any) -> Recording:
    """Load one recording of a named dataset, for example `"worm/2022-07-26-38"`.

    Parameters
    ----------
    name
        `<dataset>/<recording>`.
    **options
        Of the dataset: the further parameters of its function in `DATASETS`.

    Raises
    ------
    ConfigError
        If there is no such recording or option; the names that there are are listed.
    NotAvailableError
        If its file is not here and cannot be downloaded.
    """
    name_of_dataset, _, uid = name.partition("/")
    dataset = DATASETS[name_of_dataset]
    if dataset.recording is None:
        suited = f"; those of {dataset.recordings_of!r} suit it" if dataset.recordings_of else ""
        raise ConfigError(f"dataset {dataset.name!r} has no recordings{suited}")
    one_of("recording", name, [f"{dataset.name}/{known}" for known in dataset.recordings])
    with first_uses() as unpublished:
        read = dataset.recording(uid, **checked_options(dataset.recording, options, f"dataset {dataset.name}"))
    return replace(read, notes={**read.notes, UNPUBLISHED: dict(unpublished)}) if unpublished else read


def load_recordings(dataset: str, which: str | Sequence[str] = "all", **options: Any) -> tuple[Recording, ...]:
    """Load several recordings of a dataset.

    Parameters
    ----------
    dataset
        Name of the dataset. If it has no recordings of its own, those that suit it are meant
        (`fly-783-halves`: those of `fly-surrogate`).
    which
        `"all"`, or names with or without a dataset's: `["2022-07-26-38", "worm/2022-07-26-31"]`.
    **options
        As for `load_recording`.
    """
    names = recording_names(dataset, [which] if isinstance(which, str) else which)
    return tuple(load_recording(name, **options) for name in names)


def recording_names(dataset: str, which: Sequence[str] = ()) -> tuple[str, ...]:
    """List the full names `<dataset>/<recording>` of recordings of a dataset, or of the one whose recordings suit it.

    Parameters
    ----------
    which
        `["all"]`, or names with or without the dataset's. Nothing: the first.

    Raises
    ------
    ConfigError
        If there are no recordings, or one is named twice.
    """
    facts = DATASETS[dataset]
    source = facts if facts.recordings or facts.recordings_of is None else DATASETS[facts.recordings_of]
    known = source.recordings
    if not known:
        raise ConfigError(f"dataset {dataset!r} has no recordings: name those of another dataset, or files")
    names = list(known[:1] if not which else known if list(which) == ["all"] else which)
    full = tuple(name if name.partition("/")[0] in DATASETS else f"{source.name}/{name}" for name in names)
    if len(set(full)) != len(full):
        raise ConfigError(f"a recording is named twice: {', '.join(full)}")
    return full


def connectome_from_config(config: DataConfig) -> Connectome:
    """Read the connectome that a configuration names: a dataset's, or one from the user's own tables.

    Raises
    ------
    ConfigError
        If the configuration names neither or both, or lacks a sign rule for the user's own tables.
    """
    if config.saved is not None:
        return saved_connectome(config)
    if config.connectome is None:
        if config.dataset is None:
            raise ConfigError(
                "data.dataset is not set: name a dataset, or give data.connectome with an edge table and a neuron table"
            )
        return load_connectome(config.dataset, **_given(config, _CONNECTOME_OPTIONS))
    if config.dataset is not None:
        raise ConfigError(f"data.dataset = {config.dataset!r} and data.connectome are both set: keep one")
    own = config.connectome
    columns = {key: getattr(own, key) for key in COLUMNS}
    common = _given(config, [option for option in _CONNECTOME_OPTIONS if option not in ("variant", "scale")])
    for option in ("variant", "scale"):
        if getattr(config, option) is not None:
            raise ConfigError(f"data.{option} is an option of named datasets; remove it")
    with warnings.catch_warnings():
        # Its notes have them; a fit prints them.
        warnings.simplefilter("ignore", DataWarning)
        return read_connectome(
            own.edges, own.neurons, format=own.format, options=own.options, columns=columns, **common
        )


def recordings_from_config(config: DataConfig, inputs: Sequence[str] = ()) -> tuple[Recording, ...]:
    """Read the recordings that a configuration names to train on, cut into parts and then preprocessed.

    They are cut first, for the constants of preprocessing come from the training part only.
    `preprocess=None` means the steps that suit the dataset (`OWN_FILES` for the user's own files).

    Parameters
    ----------
    inputs
        External inputs that a dataset is asked for, by name.

    Raises
    ------
    ConfigError
        If the configuration names no recordings, or both a dataset's and files, or one that is held out as well.
    """
    if config.saved is not None:
        return prepare_recordings(config, saved_recordings(config, held_out=False))
    if config.recording_files is None:
        return _prepared(config, _load(config, _training_names(config), inputs))
    recordings = [recording for recording in own_recordings(config) if recording.name not in config.held_out]
    if not recordings:
        raise ConfigError("data.held_out names every file of data.recording_files: nothing is left to train on")
    return _prepared(config, recordings)


def held_out_from_config(config: DataConfig, inputs: Sequence[str] = ()) -> tuple[Recording, ...]:
    """Read the recordings of animals that are held out of the fit; none if the configuration names none.

    They are cut into parts and preprocessed like all others: the constants of preprocessing come from
    their own first frames (the part called train, though nothing is trained on it), for without them
    their values could not be put on the scale of the model. They are scored on their test part.

    Raises
    ------
    ConfigError
        If a name is unknown or repeats.
    """
    if not config.held_out:
        return ()
    if len(set(config.held_out)) != len(config.held_out):
        raise ConfigError(f"data.held_out names a recording twice: {', '.join(config.held_out)}")
    if config.saved is not None:
        return prepare_recordings(config, saved_recordings(config, held_out=True))
    if config.recording_files is None:
        return _prepared(config, _load(config, _held_out_names(config), inputs))
    files = {recording.name: recording for recording in own_recordings(config)}
    return _prepared(config, [files[one_of("recording in data.held_out", name, files)] for name in config.held_out])


def _training_names(config: DataConfig) -> tuple[str, ...]:
    """Full names of the recordings of a dataset that are trained on: "all" means all that are not held out."""
    if config.dataset is None:
        raise ConfigError("there is no recording: set data.dataset or data.recording_files")
    names, held_out = recording_names(config.dataset, config.recordings), _held_out_names(config)
    kept = tuple(name for name in names if name not in held_out)
    if list(config.recordings) == ["all"]:
        if not kept:
            raise ConfigError(f"data.held_out names every recording of {config.dataset!r}: nothing is left to train on")
        return kept
    for name in names:
        if name in held_out:
            raise ConfigError(
                f"recording {name!r} is named in data.recordings (or is the first, which is the default) and in "
                "data.held_out: it cannot be both trained on and held out"
            )
    return names


def _held_out_names(config: DataConfig) -> tuple[str, ...]:
    """Full names of the recordings of a dataset that are held out."""
    if not config.held_out or config.dataset is None:
        return ()
    if list(config.held_out) == ["all"]:
        raise ConfigError("data.held_out = ['all'] leaves nothing to train on: name recordings")
    return recording_names(config.dataset, config.held_out)


def _load(config: DataConfig, names: Sequence[str], inputs: Sequence[str]) -> list[Recording]:
    """Recordings of datasets, with the inputs that are asked for.

    The scale of a surrogate, too, decides which one a name stands for.
    """
    loaded = []
    for name in names:
        load = DATASETS[name.partition("/")[0]].recording
        options = [option for option in ("scale",) if load is not None and option in option_names(load)]
        given = _given(config, options)
        if inputs and load is not None and "inputs" in option_names(load):
            given["inputs"] = tuple(inputs)
        loaded.append(load_recording(name, **given))
    return loaded


def raw_recordings(config: DataConfig, inputs: Sequence[str] = ()) -> tuple[Recording, ...]:
    """Read the recordings to train on as they are: those of a dataset or files neither cut nor preprocessed.

    Raises
    ------
    ConfigError
        If the configuration names none.
    """
    if config.saved is not None:
        return saved_recordings(config, held_out=False)
    if config.recording_files is not None:
        return own_recordings(config)
    return tuple(_load(config, _training_names(config), inputs))


def own_recordings(config: DataConfig) -> tuple[Recording, ...]:
    """Read all recordings of the user's own files as they are: neither cut nor preprocessed.

    Raises
    ------
    ConfigError
        If the configuration names none, or a reader has no such option.
    DataError
        If a file cannot be used.
    """
    files = config.recording_files
    if files is None or config.recordings:
        raise ConfigError("data.recordings and data.recording_files are both set: keep one")
    if not files.files:
        raise ConfigError("data.recording_files.files is empty: name at least one file")
    steps = preprocessing_steps(config)
    each = files.each or ({},) * len(files.files)
    read = [_read_file(path, files, own, steps) for path, own in zip(files.files, each, strict=True)]
    if files.unit_table is not None:
        names = read_unit_table(files.unit_table, files.unit_names)
        read = [
            name_by_table(recording, names, repeated=files.repeated_units, path=files.unit_table) for recording in read
        ]
    elif files.unit_names is not None:
        raise ConfigError("data.recording_files.unit_names is a column of unit_table: set that too")
    for option in ("input_files", "epoch_files"):
        count = len(getattr(files, option))
        if count not in (0, len(read)):
            raise ConfigError(
                f"data.recording_files.{option} names {count} files for {len(read)} recordings: name one for each, in "
                "the same order"
            )
    if files.input_files:
        read = [
            read_input_table(path, recording, resample=files.resample, missing=files.missing)
            for path, recording in zip(files.input_files, read, strict=True)
        ]
    if files.epoch_files:
        read = [read_epochs(path, recording) for path, recording in zip(files.epoch_files, read, strict=True)]
    if files.animals:
        of = {name: [] for name in files.animals}
        for name, recording in zip(files.animals, read, strict=True):
            of[name].append(recording)
        read = [join_sessions(name, sessions) for name, sessions in of.items()]
    return tuple(read)


def _prepared(config: DataConfig, recordings: Sequence[Recording]) -> tuple[Recording, ...]:
    """Recordings cut into parts and then preprocessed: constants come from the first part only."""
    steps = preprocessing_steps(config)
    cut = {"train": config.train, "validation": config.validation, "gap": config.gap}
    chosen = cut_out(config, recordings)
    return preprocess_all([recording.split(**cut) for recording in chosen], [steps] * len(recordings))


def preprocessing_steps(config: DataConfig) -> tuple[dict[str, JSON], ...]:
    """Return the steps that a configuration stands for: its own, those that suit the dataset, or `OWN_FILES`."""
    if config.preprocess is not None:
        return config.preprocess
    if config.saved is not None:
        return ()
    if config.recording_files is not None or config.dataset is None:
        return tuple(dict(step) for step in OWN_FILES)
    source = recording_names(config.dataset, config.recordings)[0].partition("/")[0]
    return tuple(dict(step) for step in DATASETS[source].preprocess)


def _given(config: DataConfig, options: Sequence[str]) -> dict[str, Any]:
    """Those options of a configuration that differ from their defaults, so that a reader without them is not asked."""
    defaults = DataConfig()
    given = {option: getattr(config, option) for option in options}
    return {option: value for option, value in given.items() if value != getattr(defaults, option)}


def _read_file(
    path: str, config: FileRecordings, own: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]
) -> Recording:
    """Read a file with the options of a configuration; one that is set and that its reader lacks is an error.

    Missing values of units that the first of the steps leave out are none.

    Except for what the values are: a reader without the option `kind` is told that by the file.

    Parameters
    ----------
    own
        What the configuration has for this file alone.
    """
    for name in SHARED:
        if name in config.options:
            raise ConfigError(f"data.recording_files.options.{name}: give it as data.recording_files.{name}")
    reader, defaults = find_reader(path, str(own.get("format", config.format))), FileRecordings(files=())
    options = {**config.options, **{name: value for name, value in own.items() if name not in ("format", *SHARED)}}
    if config.inputs:
        options["inputs"] = config.inputs
    for name in SHARED:
        value = own.get(name, getattr(config, name))
        if name == "kind" and (value is None or name not in reader.options):
            continue
        if name in reader.options:
            options[name] = value
        elif value != getattr(defaults, name):
            options[name] = value  # Which the reader refuses.
    try:
        recording = reader(path, **options)
    except UnitsError as error:
        recording = reader(path, **{**options, "missing": "mask", "empty_units": None})
        if set(error.units) & set(choose_units(recording, steps)[0].units):
            raise
    kind = own.get("kind", config.kind)
    if kind not in (None, recording.kind):
        warnings.warn(f"{path}: data.recording_files.kind = {kind!r} is not used; the file says it", stacklevel=2)
    return recording
