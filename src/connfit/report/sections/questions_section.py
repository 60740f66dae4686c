"""The section of the report that answers the thirty questions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from connfit.report import page
from connfit.report.questions.answer import Answer
from connfit.report.questions.questions import Question

STATUSES = {"answered": "answered", "partly": "answered in part", "not answerable": "not answerable from this run"}


def blocks(answers: Sequence[tuple[Question, Answer]], anchors: Collection[str]) -> list[str]:
    """Return questions by group, each with its answer and a link to the section that shows it.

    Parameters
    ----------
    anchors
        Of the sections that the page has.
    """
    counts = {status: sum(answer.status == status for _, answer in answers) for status in STATUSES}
    summed = ", ".join(f"{counts[status]} {words}" for status, words in STATUSES.items() if counts[status])
    made = [
        page.paragraph(
            f"What sceptical readers ask of a fitted whole-brain model: {summed}. Every number is in the run's files; "
            "questions.json says where.",
            "soft",
        )
    ]
    rows: dict[str, list[str]] = {}
    for number, (question, answer) in enumerate(answers, start=1):
        rows.setdefault(question.group, []).append(_row(number, question, answer, anchors))
    for group, lines in rows.items():
        first = 1 + sum(len(rows[before]) for before in list(rows)[: list(rows).index(group)])
        made += [page.heading(group), f'<ol class="questions" start="{first}">{"".join(lines)}</ol>']
    return made


def _row(number: int, question: Question, answer: Answer, anchors: Collection[str]) -> str:
    kind = "open" if answer.status == "not answerable" else answer.status
    status = f'<span class="status {kind}">{page.escaped(STATUSES[answer.status])}</span>'
    see = f" {page.link('See details.', answer.section)}" if answer.section in anchors else ""
    return (
        f'<li id="question-{number}"><p class="ask">{number}. {page.escaped(question.text)}</p>'
        f"<p>{status} · {page.with_code(answer.text)}{see}</p></li>"
    )
