"""Data that were given in Python: cut and preprocessed as those of a configuration, and kept in a folder of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from connfit._io import read_arrays, write_arrays
from connfit.config import DataConfig
from connfit.connectome import Connectome
from connfit.datasets.registry import DATASETS
from connfit.errors import ConfigError, DataError, did_you_mean, first_ten, one_of
from connfit.recordings import Inputs, Parts, Recording
from connfit.recordings.preprocess.every_recording import preprocess_all
from connfit.recordings.stretches import crop, select_epochs

if TYPE_CHECKING:
    from connfit._typing import JSON

CONNECTOME, RECORDINGS = "connectome.h5", "recordings.npz"

SOURCE_OPTIONS = (
    "dataset", "recordings", "connectome", "recording_files", "scale", "variant", "order", "min_synapses", "sign_rule",
    "unknown_transmitter", "electrical", "self_connections",
)  # fmt: skip
"""Options that say where data are and how they are read."""

CUT_OPTIONS = ("train", "validation", "gap", "crop_s", "crop_frames", "epochs")
"""Options that say how recordings without parts are cut."""


OWN_FILES: Sequence[Mapping[str, JSON]] = (MappingProxyType({"step": "scale", "method": "std", "margin": 2.0}),)
"""Preprocessing of files of the user's own that say nothing of it: rates are never negative, and units vary alike."""


@dataclass(frozen=True, eq=False)
class GivenData:
    """Data that were given in Python, before units were matched.

    Parameters
    ----------
    connectome
        Before a null connectome took its place.
    recordings, held_out
        Cut into parts and preprocessed.
    """

    connectome: Connectome
    recordings: tuple[Recording, ...]
    held_out: tuple[Recording, ...] = ()

    def save(self, folder: Path) -> None:
        """Write everything into a folder, to be read as `data.saved`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.connectome.save(folder / CONNECTOME)
        arrays, facts = {}, []
        for number, recording in enumerate((*self.recordings, *self.held_out)):
            arrays[f"{number}.values"], arrays[f"{number}.mask"] = recording.values, recording.mask
            inputs = recording.inputs
            if inputs is not None:
                arrays[f"{number}.inputs"], arrays[f"{number}.inputs_mask"] = inputs.values, inputs.mask
            facts.append(
                {
                    "name": recording.name,
                    "units": list(recording.units),
                    "frame_rate": float(recording.frame_rate),
                    "kind": recording.kind,
                    "value_units": recording.value_units,
                    **({"blocks": recording.blocks} if recording.blocks else {}),
                    "parts": msgspec.to_builtins(recording.require_parts()),
                    "steps": _plain([dict(step) for step in recording.steps]),
                    "notes": _plain(dict(recording.notes)),
                    **({} if inputs is None else {"inputs": {"channels": inputs.channels, "units": inputs.units}}),
                }
            )
        write_arrays(folder / RECORDINGS, arrays, {"recordings": facts})


def prepare_recordings(config: DataConfig, recordings: Sequence[Recording]) -> tuple[Recording, ...]:
    """Cut and preprocess recordings that were given in Python, unless that is done already.

    A recording with parts keeps them. Without `preprocess`, one that was preprocessed is left as it is; any other gets
    the steps that suit its dataset (`OWN_FILES` if it is of none), as a run of the command line does.
    """
    cuts, steps_of = [], []
    for recording in cut_out(config, recordings):
        cut = recording
        if recording.parts is None:
            cut = recording.split(train=config.train, validation=config.validation, gap=config.gap)
        steps = config.preprocess
        if steps is None:
            steps = () if recording.steps else _steps_of_its_dataset(recording)
        cuts.append(cut)
        steps_of.append(steps)
    return preprocess_all(cuts, steps_of)


def cut_out(config: DataConfig, recordings: Sequence[Recording]) -> list[Recording]:
    """Return the stretches of recordings that a configuration names, `data.crop_s` and `crop_frames` before `epochs`.

    Raises
    ------
    ConfigError
        If a stretch is not there, or a recording of a name.
    """
    found = list(recordings)
    for option, argument in (("crop_s", "seconds"), ("crop_frames", "frames")):
        given = getattr(config, option)
        if given is None:
            continue
        names = [recording.name for recording in found]
        if isinstance(given, dict):
            _check_names(given, names, config.held_out, option)
        by_name = given if isinstance(given, dict) else dict.fromkeys(names, given)
        for position, recording in enumerate(found):
            own = by_name.get(recording.name, by_name.get(recording.name.rpartition("/")[2]))
            if own is not None:
                found[position] = crop(recording, **{argument: own})
    if config.epochs:
        found = [select_epochs(recording, config.epochs) for recording in found]
    return found


def _check_names(given: Mapping[str, object], names: Sequence[str], held_out: Sequence[str], option: str) -> None:
    """Raise a ConfigError for a name of a table of stretches that no recording has."""
    short = [name.rpartition("/")[2] for name in (*names, *held_out)]
    others = {*held_out, *short}
    if others >= {*names, *short[: len(names)]}:
        return  # The held-out recordings alone: the others have been asked for.
    for name in given:
        if name not in {*names, *others}:
            raise ConfigError(
                f"data.{option} names {name!r}, which is no recording{did_you_mean(name, names)}; there are "
                f"{first_ten([*names, *held_out])}"
            )


def _steps_of_its_dataset(recording: Recording) -> Sequence[Mapping[str, object]]:
    dataset, _, uid = recording.name.partition("/")
    known = dataset in DATASETS and uid in DATASETS[dataset].recordings
    return DATASETS[dataset].preprocess if known else OWN_FILES


def saved_connectome(config: DataConfig) -> Connectome:
    """Read the connectome in the folder `data.saved`.

    Raises
    ------
    ConfigError
        If options are set that were applied before the data were saved.
    """
    assert config.saved is not None
    default = DataConfig()
    for option in (*SOURCE_OPTIONS, *CUT_OPTIONS):
        if getattr(config, option) != getattr(default, option):
            raise ConfigError(
                f"data.{option} = {getattr(config, option)!r} does not apply to data.saved, whose data were read, cut "
                "and preprocessed before they were saved: remove one of the two"
            )
    return Connectome.load(Path(config.saved) / CONNECTOME)


def saved_recordings(config: DataConfig, *, held_out: bool) -> tuple[Recording, ...]:
    """Read recordings in the folder `data.saved`: those that `data.held_out` names, or all others.

    Raises
    ------
    DataError
        If the file is absent or damaged.
    """
    assert config.saved is not None
    path = Path(config.saved) / RECORDINGS
    arrays, meta = read_arrays(path)
    try:
        recordings = {
            facts["name"]: Recording(
                values=arrays[f"{number}.values"],
                mask=arrays[f"{number}.mask"],
                **{
                    **facts,
                    "units": tuple(facts["units"]),
                    "parts": msgspec.convert(facts["parts"], Parts),
                    "steps": tuple(facts["steps"]),
                    "blocks": tuple(tuple(block) for block in facts.get("blocks", ())),
                    "inputs": _saved_inputs(arrays, number, facts.get("inputs")),
                },
            )
            for number, facts in enumerate(meta["recordings"])
        }
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise DataError(f"damaged, or not written by connfit ({error!r})", path=path) from error
    if held_out:
        return tuple(recordings[one_of("recording in data.held_out", name, recordings)] for name in config.held_out)
    return tuple(recording for name, recording in recordings.items() if name not in config.held_out)


def _saved_inputs(
    arrays: Mapping[str, np.ndarray], number: int, facts: Mapping[str, Sequence[str]] | None
) -> Inputs | None:
    if facts is None:
        return None
    values, mask = arrays[f"{number}.inputs"], arrays[f"{number}.inputs_mask"]
    return Inputs(values, tuple(facts["channels"]), tuple(facts["units"]), mask)


def _plain(value: object) -> object:
    """Values of steps and notes as JSON has them; what JSON does not know as text."""

    def plain(other: object) -> object:
        if isinstance(other, Mapping):
            return dict(other)
        return other.tolist() if isinstance(other, np.ndarray | np.generic) else str(other)

    return msgspec.to_builtins(value, enc_hook=plain)
