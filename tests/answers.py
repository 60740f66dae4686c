"""Checks of `questions.json`, for runs of every kind: each number of an answer is found where it says it is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connfit.report.questions.questions import answer_all, write_answers
from connfit.report.questions.report_numbers import report_numbers
from connfit.report.run_files import RunFiles

DIGITS = re.compile(r"\d")
HOW: dict[str, Callable[[list[Any]], float]] = {
    "value": lambda given: given[0],
    "cosine": lambda given: given[0],
    "percent": lambda given: 100 * given[0],
    "sum": sum,
    "ratio": lambda given: given[0] / given[1],
    "lowest": min,
    "highest": max,
    "count": lambda given: len(given[0]),
    "mebibytes": lambda given: sum(given) / 1_048_576,
}
"""As docs/runs.md says it."""


def answers_of(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Content of `questions.json`, and the files that its keys point into, read again from disk."""
    run = RunFiles.read(folder)
    measured = report_numbers(run)
    answers = answer_all({**run.documents(), "questions.json": {"measured": measured}})
    write_answers(folder / "questions.json", answers, measured)
    content = json.loads((folder / "questions.json").read_text())
    documents = {name: json.loads((folder / name).read_text()) for name in run.documents() if name != "history.csv"}
    return content["questions"], {**documents, "history.csv": run.history, "questions.json": content}


def at(documents: dict[str, Any], key: str) -> Any:
    """The value at a file and a JSON pointer (RFC 6901)."""
    name, pointer = key.split("#")
    value = documents[name]
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def number_of(text: str) -> float:
    """A number as it is written."""
    return float(text.replace("−", "-").replace(",", "").removesuffix(" %"))


def check_numbers(folder: Path) -> dict[str, dict[str, Any]]:
    """Answers by name, after every number in them was found in the files, three digits of it at least."""
    rows, documents = answers_of(folder)
    for row in rows:
        check_text(row["answer"], row["numbers"], documents, row["name"])
    return {row["name"]: row for row in rows}


def check_text(text: str, numbers: list[dict[str, Any]], documents: dict[str, Any], name: str) -> None:
    """Find every number of a text in the files, as far as it is written, and nothing else that has digits."""
    left = re.sub(r"`[^`]*`", "", text)
    # Longest first: "1" must not take a digit out of "10 frames".
    for number in sorted(numbers, key=lambda one: -len(one["text"])):
        assert number["text"] in text, name
        left = left.replace(number["text"], "", 1)
        if number["how"] == "name":
            continue
        given = [at(documents, key) for key in number["keys"]]
        expected = HOW[number["how"]](given)
        # Half a unit of the third digit.
        assert number_of(number["text"]) == pytest.approx(expected, rel=5.1e-3, abs=1e-12), (name, number)
    assert not DIGITS.search(left), f"{name}: {left!r} has numbers that come from nowhere"
