"""Configurations from plain values and back, with messages that name the option and the nearest that exists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from connfit.config.option_types import literals
from connfit.config.sections import Config
from connfit.errors import ConfigError, did_you_mean


def from_dict(values: dict[str, Any], *, source: str | Path = "configuration") -> Config:
    """Make a configuration from plain values, which are validated.

    Raises
    ------
    ConfigError
        Names the option, and the nearest one that exists.
    """
    try:
        return msgspec.convert(values, Config)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_explain(str(error))}") from error
    except UnicodeEncodeError as error:
        odd = error.object[error.start]
        raise ConfigError(f"{source}: a name or a word holds {odd!r}, which is half of a letter") from error


def to_dict(config: Config) -> dict[str, object]:
    """Return plain values, ready for JSON."""
    return msgspec.to_builtins(config)


def nearest(name: str, among: Iterable[str]) -> str:
    """Suggest the nearest of some names for a wrong one, or list what there is."""
    names = list(among)
    return did_you_mean(name, names) or f"; there are {', '.join(names)}"


def _explain(message: str) -> str:
    """Put msgspec's path in front, and the nearest option behind, of its message."""
    text, _, where = message.partition(" - at ")
    where = where.strip("`").removeprefix("$").removeprefix(".")
    unknown = re.search(r"unknown field `(.+?)`", text)
    hint = ""
    if unknown:
        hint = nearest(unknown.group(1), _section_at(filter(None, where.split("."))).__struct_fields__)
        text = f"there is no option {unknown.group(1)!r}"
    elif text.startswith("Expected `object") and where and "[" not in where:
        path = where.split(".")
        section = _section_at(path)
        if section is not _section_at(path[:-1]):
            hint = f": it is a section, with {', '.join(section.__struct_fields__)}"
    elif "enum value" in text and where:
        *sections, last = re.sub(r"\[.*?\]", "", where).split(".")
        allowed = literals(get_type_hints(_section_at(sections))[last])
        given = re.search(r"enum value '(.*)'", text)
        hint = did_you_mean(given.group(1), allowed) if given else ""
        text = f"must be one of {', '.join(map(repr, allowed))}"
    return f"{where + ': ' if where else ''}{text}{hint}"


def _section_at(path: Iterable[str]) -> Any:
    """Struct type of the section at a path, the inside of `X | None` included."""
    section: Any = Config
    for field in path:
        hint = get_type_hints(section)[field]
        kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type)]
        inside = [kind for kind in kinds if issubclass(kind, msgspec.Struct)]
        section = inside[0] if inside else section
    return section
