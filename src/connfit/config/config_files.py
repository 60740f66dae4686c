"""Configurations as files and as assignments on a command line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from connfit._system.paths import user_path
from connfit.config.plain_values import from_dict, nearest, to_dict
from connfit.config.sections import Config
from connfit.errors import ConfigError


def read(path: str | Path) -> Config:
    """Read a TOML or JSON file; relative paths in it are relative to its folder.

    Raises
    ------
    ConfigError
        If the file is absent, not TOML or JSON, or has an unknown or wrong option.
    """
    path = user_path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such configuration file")
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{path}: tables or lists lie too deep in each other") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not valid {'JSON' if path.suffix == '.json' else 'TOML'} ({error})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold a table of options")
    return anchor_paths(from_dict(values, source=path), path.parent)


def override(config: Config, assignments: Iterable[str]) -> Config:
    """Apply `section.key=value` assignments; values are JSON, or text where they are not.

    Raises
    ------
    ConfigError
        Names the assignment and the nearest option that exists.
    """
    values = to_dict(config)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: write it as section.key=value, for example train.epochs=20")
        *sections, last = key.strip().split(".")
        place: dict[str, Any] = values
        is_open = False
        for section in sections:
            if is_open:
                place.setdefault(section, {})
            is_open |= section in _OPEN
            if not isinstance(place.get(section), dict):
                raise ConfigError(f"--set {assignment}: there is no section {section!r}{nearest(section, place)}")
            place = place[section]
        if last not in place and not is_open:
            raise ConfigError(f"--set {assignment}: there is no option {last!r}{nearest(last, place)}")
        try:
            place[last] = json.loads(text)
        except RecursionError as error:
            raise ConfigError(f"--set {key}: lists lie too deep in each other") from error
        except ValueError as error:
            if text.lstrip().startswith(("[", "{")):
                raise ConfigError(
                    f"--set {assignment}: lists and tables are JSON here, and this is none ({error}); for example "
                    """'evaluate.horizons=[1, 5]' or 'data.preprocess=[{"step": "scale"}]', quoted for the shell"""
                ) from error
            place[last] = text
        config = from_dict(values, source=f"--set {assignment}")
    return config


_OPEN = (
    "rate_scale", "null_options", "baseline_options", "start_options", "cell_options", "rule_options", "options",
    "targets", "crop_s", "crop_frames",
)  # fmt: skip
"""Options whose keys are not known here: whoever reads them checks them."""


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the options, as `section.key`, in which two configurations differ, with the value of each.

    Lists are tuples, and a table without entries is none: earlier versions did not write it.
    """
    values, others = dict(flat(before)), dict(flat(now))
    keys = dict.fromkeys([*values, *others])
    return [(key, values.get(key), others.get(key)) for key in keys if values.get(key) != others.get(key)]


def flat(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Return every option of plain values as `section.key` with its value; tables without entries are left out."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", _listed(value)


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def as_json(value: Any) -> str:
    """Write a value in the form that `override` reads."""
    return json.dumps(value)


def anchor_paths(config: Config, folder: Path) -> Config:
    """Make relative file names absolute, so that a run does not depend on where it was started."""

    def absolute(name: str) -> str:
        return str((folder / name).resolve()) if name else name

    data = config.data
    if data.connectome is not None:
        own = data.connectome
        data = replace(
            data, connectome=replace(own, edges=absolute(own.edges), neurons=own.neurons and absolute(own.neurons))
        )
    if data.recording_files is not None:
        files = tuple(absolute(name) for name in data.recording_files.files)
        beside = tuple(absolute(name) for name in data.recording_files.input_files)
        epochs = tuple(absolute(name) for name in data.recording_files.epoch_files)
        table = data.recording_files.unit_table
        own = replace(
            data.recording_files, files=files, input_files=beside, epoch_files=epochs,
            unit_table=None if table is None else absolute(table),
        )  # fmt: skip
        data = replace(data, recording_files=own)
    if data.saved is not None:
        data = replace(data, saved=absolute(data.saved))
    if data.sign_rule is not None and data.sign_rule.lower().endswith(".csv"):
        data = replace(data, sign_rule=absolute(data.sign_rule))
    return replace(config, data=data)
