"""A configuration as text that a person reads: comments say where values come from, marked lines what is open."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from connfit._display import unstorable, visible
from connfit.datasets.own_files.checking import CheckedData
from connfit.datasets.own_files.user_answers import Question
from connfit.errors import DataError
from connfit.recordings.preprocess.every_recording import as_toml

MARK = "FILL IN"
"""In every line that has to be filled in before a fit."""

_PATHS = ("edges", "neurons", "files")
_LATER = {
    "train": "0.6                        # consecutive parts: train, validation, and the rest is test",
    "validation": "0.15",
}
_LONGEST = 300


def config_text(checked: CheckedData, folder: Path) -> str:
    """Write a configuration in TOML, whose paths count from a folder.

    Open questions are lines that begin with `#` and hold `MARK`; without any, the text is ready to fit.

    Raises
    ------
    DataError
        If a file has a name that no configuration can hold.
    """
    data = checked.values["data"]
    lines = ["# Written by `connfit check`. Paths count from the folder of this file; docs/runs.md has all options."]
    if checked.questions:
        lines.append(f"# Lines with {MARK} are open: nothing in the files answers them.")
    lines += ["seed = 0", "", "[data]"]
    sections = {key: value for key, value in data.items() if isinstance(value, Mapping)}
    for key, value in data.items():
        if key not in sections:
            lines += _line(f"data.{key}", value, checked.said, folder)
    lines += _open(checked.questions, "data", data)
    lines += [f"{key} = {value}" for key, value in _LATER.items()]
    for name, section in sections.items():
        lines += _table(f"data.{name}", section, checked, folder)
    rest = {question.key.rpartition(".")[0] for question in checked.questions} - {"data"}
    for name in sorted(rest):
        written = {f"data.{key}" for key in sections}
        if name not in written and not (name.endswith(".options") and name.removesuffix(".options") in written):
            lines += ["", f"[{name}]", *_open(checked.questions, name, {})]
    return "\n".join(lines) + "\n"


def _table(name: str, section: Mapping[str, Any], checked: CheckedData, folder: Path) -> list[str]:
    lines = ["", f"[{name}]"]
    inside = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            inside[key] = value
        else:
            lines += _line(f"{name}.{key}", value, checked.said, folder)
    lines += _open(checked.questions, name, section)
    for key in dict.fromkeys([*inside, "options"]):
        asked = _open(checked.questions, f"{name}.{key}", inside.get(key, {}))
        if key in inside or asked:
            lines += ["", f"[{name}.{key}]"]
            for option, value in inside.get(key, {}).items():
                lines += _line(f"{name}.{key}.{option}", value, checked.said, folder)
            lines += asked
    return lines


def _line(key: str, value: Any, said: Mapping[str, str], folder: Path) -> list[str]:
    name = key.rpartition(".")[2]
    if name in _PATHS:
        value = [_relative(each, folder) for each in value] if isinstance(value, list) else _relative(value, folder)
    comment = _comment(said.get(key, ""))
    if isinstance(value, list) and len(as_toml(value)) > 100:
        inside = [f"  {_toml(each)}," for each in value]
        return [*([f"# {comment}"] if comment else []), f"{name} = [", *inside, "]"]
    text = f"{name} = {_toml(value)}"
    if len(text) + len(comment) > 118 and comment:
        return [f"# {comment}", text]
    return [f"{text:<33} # {comment}" if comment else text]


def _open(questions: Sequence[Question], section: str, there: Mapping[str, Any]) -> list[str]:
    """A marked line for each question of a section, with what it may be."""
    lines = []
    for question in questions:
        where, _, name = question.key.rpartition(".")
        if where == section and name not in there:
            choices = f"; one of {', '.join(question.choices)}" if question.choices else ""
            lines += [f"# {MARK}: {_comment(question.text + choices)}", f'# {name} = ""']
    return lines


def _toml(value: Any) -> str:
    return as_toml(value).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    plain = visible(" ".join(text.split()))
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}..."


def _relative(path: str, folder: Path) -> str:
    if why := unstorable(path):
        raise DataError(f"the file name {json.dumps(path)} {why}", fix="Rename it")
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:  # Another drive of Windows.
        return path
