"""The recordings among a user's files: which reader, which options, and what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from connfit.datasets.loading import SHARED
from connfit.datasets.own_files.sorting import SortedFiles
from connfit.datasets.own_files.user_answers import Answers, Question
from connfit.errors import ConfigError, ConnfitError, UnclearError, did_you_mean
from connfit.recordings import Recording
from connfit.recordings.empty_units import empty_units_of
from connfit.recordings.readers import find_reader


@dataclass
class FoundRecordings:
    """Options of `data.recording_files`, and what was read with them.

    Parameters
    ----------
    values
        Options of the section, with absolute paths.
    said
        By option, how its value came about.
    recordings
        Path, format and recording of each file that could be read.
    """

    values: dict[str, Any] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    recordings: list[tuple[Path, str, Recording]] = field(default_factory=list)


def read_recordings(files: SortedFiles, answers: Answers) -> FoundRecordings:
    """Read each recording, values that are missing as a mask; what a reader cannot know is asked, once for all files.

    Raises
    ------
    ConnfitError
        If a file that was named itself cannot be used, or an option is of no reader of the files.
    """
    found = FoundRecordings()
    readers = {path: find_reader(path, answers.format or "auto") for path in files.recordings}
    known = {option for reader in readers.values() for option in reader.options}
    for option in answers.options:
        if readers and option not in known:
            raise ConfigError(
                f"no reader of these files has an option {option!r}, but {', '.join(sorted(known))}"
                f"{did_you_mean(option, known)}"
            )
    kept: list[tuple[Path, dict[str, Any]]] = []
    for path, reader in readers.items():
        options = {option: value for option, value in answers.options.items() if option in reader.options}
        if answers.kind is not None and "kind" in reader.options:
            options["kind"] = answers.kind
        masked = {"missing": "mask"} if "missing" in reader.options else {}
        try:
            try:
                recording = reader(path, **options, **masked)
            except UnclearError as error:
                if error.option != "frame_rate" or answers.frame_rate is None:
                    raise
                options["frame_rate"] = answers.frame_rate
                recording = reader(path, **options, **masked)
        except UnclearError as error:
            key = f"data.recording_files.{'' if error.option in SHARED else 'options.'}{error.option}"
            if not any(ask.key == key for ask in found.questions):
                found.questions.append(Question(error.option, key, str(error), error.choices))
            kept.append((path, options))
            continue
        except ConnfitError as error:
            if path in files.named:
                raise
            found.left_out.append((path, str(error).removeprefix(f"{path}: ")))
            continue
        options |= _lacking(recording, options)
        kept.append((path, options))
        found.recordings.append((path, reader.name, recording))
    _name_apart(kept, found)
    found.values = _section([path for path, _ in kept], [options for _, options in kept])
    if answers.format is not None:
        found.values["format"] = answers.format
    _say(found)
    return found


def _lacking(recording: Recording, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options for values that are missing: a unit without any is left out, and all others stay complete."""
    if recording.mask[:, recording.mask.any(axis=0)].all():
        return {} if recording.mask.all() else {"empty_units": "drop", **options}
    return {"missing": "mask"}


def _name_apart(kept: Sequence[tuple[Path, dict[str, Any]]], found: FoundRecordings) -> None:
    """Give recordings of one name the name of their folder, too."""
    repeated = {name for name, times in Counter(each.name for _, _, each in found.recordings).items() if times > 1}
    options_of = dict(kept)
    taken: set[str] = {recording.name for _, _, recording in found.recordings} - repeated
    for number, (path, format, recording) in enumerate(found.recordings):
        if recording.name not in repeated:
            continue
        name, number_of_name = f"{path.resolve().parent.name}-{recording.name}", 2
        while name in taken:
            name, number_of_name = f"{path.resolve().parent.name}-{recording.name}-{number_of_name}", number_of_name + 1
        taken.add(name)
        options_of[path]["name"] = name
        found.recordings[number] = (path, format, replace(recording, name=name))
        found.said["data.recording_files.each"] = "names that would be the same have the folder's in front"


def _section(paths: Sequence[Path], options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Options that all files share in the section, others in `each`."""
    values: dict[str, Any] = {"files": [str(path.resolve()) for path in paths]}
    every = dict.fromkeys(key for each in options for key in each)
    missing = any(each.get("missing") == "mask" for each in options)
    empty = any(each.get("empty_units") == "drop" for each in options)
    shared = {
        key: options[0].get(key) for key in every if all(each.get(key) == options[0].get(key) for each in options)
    }
    if missing:
        shared["missing"] = "mask"
    if empty:
        shared["empty_units"] = "drop"
    inside = {key: value for key, value in shared.items() if key not in SHARED and value is not None}
    values |= {key: value for key, value in shared.items() if key in SHARED and value is not None}
    if inside:
        values["options"] = inside
    apart = [{key: value for key, value in each.items() if key not in shared} for each in options]
    if any(apart):
        values["each"] = apart
    return values


def _say(found: FoundRecordings) -> None:
    lacking = {path.name: float(1 - recording.mask.mean()) for path, _, recording in found.recordings}
    if found.values.get("missing") == "mask":
        most = max(lacking, key=lambda name: lacking[name])
        found.said["data.recording_files.missing"] = (
            f"values are missing, in {most} {lacking[most]:.2%}: they are not scored"
        )
    if found.values.get("empty_units") == "drop":
        units = Counter(path.name for path, _, recording in found.recordings for _ in empty_units_of(recording))
        named = ", ".join(f"{count} of {name}" for name, count in units.most_common(3)) or "those of these files"
        found.said["data.recording_files.empty_units"] = f"units without any value are left out: {named}"
    for option in ("frame_rate", "kind"):
        if option in found.values:
            found.said[f"data.recording_files.{option}"] = "given"
