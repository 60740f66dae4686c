"""What a run says to a question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from connfit.report.sections.value_ranges import ReportNumbers
from connfit.report.traced import Quote

Status = Literal["answered", "partly", "not answerable"]


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


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question as `questions.json` has it; `numbers`: where each number of the answer comes from."""

    number: int = 0
    name: str = ""
    group: str = ""
    question: str = ""
    status: str = ""
    answer: str = ""
    numbers: tuple[Quote, ...] = ()


@dataclass(frozen=True)
class Questions:
    """The content of `questions.json`: all questions, and numbers that the report itself computed for them."""

    questions: tuple[AnsweredQuestion, ...] = ()
    measured: ReportNumbers = field(default_factory=ReportNumbers)
