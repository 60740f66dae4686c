"""Answers whose every number names the file and the place that it is found in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from connfit.evaluation.study.study import FILE as STUDY
from connfit.report.questions.study_evidence import StudyEvidence
from connfit.report.traced import HOW, Quote, Traced
from connfit.report.traced import written as written_as
from connfit.report.wording import joined_span

Status = Literal["answered", "partly", "not answerable"]

_CUT = re.compile(r" and ([\d,]*\d) more\b")
"""How a list that is cut says how many names it leaves out."""


@dataclass(frozen=True)
class Answer:
    """What a run says to a question.

    Parameters
    ----------
    status
        `"partly"`: something that the question asks for is not known from this run, and the text says what.
    text
        Plain words. Each number is one of `quotes`.
    section
        Anchor of the section of the report that shows it; empty if none does.
    """

    status: Status
    text: str
    section: str = ""
    quotes: tuple[Quote, ...] = ()


@dataclass
class Evidence:
    """The JSON files of a run, and what has been quoted from them.

    Parameters
    ----------
    documents
        Name of a file, within the run directory, to its content; absent ones are left out.
    """

    documents: Mapping[str, Any]
    quotes: list[Quote] = field(default_factory=list)

    def get(self, key: str) -> Any:
        """The value at a key; None where there is none. A key without a file is of `metrics.json`."""
        name, _, pointer = full_key(key).partition("#")
        value = self.documents.get(name)
        for step in pointer.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
                value = value[int(step)]
            else:
                return None
        return value

    def study(self) -> StudyEvidence:
        """Return the study, whose quotes are recorded here."""
        return StudyEvidence(Traced(self.documents.get(STUDY), (f"{STUDY}#",), self.quotes))

    def has(self, *keys: str) -> bool:
        """Whether there is a value, not null, at every key."""
        return all(self.get(key) is not None for key in keys)

    def say(self, *keys: str, how: str = "value") -> str:
        """A number as it is written in the answer; recorded with its keys.

        Raises
        ------
        KeyError
            If a value is absent or null: a caller asks `has` first.
        """
        text = written(self, keys, how)
        self.quotes.append(Quote(text, tuple(map(full_key, keys)), how))
        return text

    def span(self, low: Sequence[str], high: Sequence[str], *, lowest: str = "value", highest: str = "value") -> str:
        """A range between the values at two keys, or at many: once where both ends are written alike."""
        ends = [(written(self, low, lowest), low, lowest), (written(self, high, highest), high, highest)]
        text = joined_span(ends[0][0], ends[1][0])
        self.quotes += [Quote(one, tuple(map(full_key, keys)), how) for one, keys, how in ends if one in text]
        return text

    def name(self, text: str, *keys: str) -> str:
        """A name that comes from the run, or a label; recorded, so that its digits are not taken for a number."""
        self.quotes.append(Quote(text, tuple(map(full_key, keys)), "name"))
        return text

    def answer(self, status: Status, *sentences: str, section: str = "") -> Answer:
        """An answer with everything that was quoted; empty sentences are left out."""
        text = " ".join(one for one in sentences if one)
        # A long list is cut: names that it left out are not in the text, and how many they are is.
        quotes = [one for one in self.quotes if one.how != "name" or one.text in text]
        cut = [Quote(count, ("metrics.json#",), "name") for count in _CUT.findall(text)]
        return Answer(status, text, section, (*quotes, *cut))


def written(evidence: Evidence, keys: Sequence[str], how: str) -> str:
    """The number that the values at keys make, as it is written: three digits, cosines four decimals, counts whole."""
    values = [evidence.get(key) for key in keys]
    for key, value in zip(keys, values, strict=True):
        if value is None or isinstance(value, str) or isinstance(value, (Mapping, list)) != (how == "count"):
            raise KeyError(f"{key} is {value!r}, no number")
    return written_as(HOW[how](values), how)


def full_key(key: str) -> str:
    """A key with its file."""
    return f"metrics.json{key}" if key.startswith("#") else key


def escaped(step: str) -> str:
    """A name as a step of a JSON pointer."""
    return step.replace("~", "~0").replace("/", "~1")


def missing(command: str, what: str) -> str:
    """Why a question is not answerable from a run that lacks a file, and what would make it."""
    return f"Not answerable from this run: {what} (run `{command}`)."
