"""Texts of the report: Jinja templates over the typed results of a run, in which every number is traced to its key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2

from connfit.evaluation.study.row_names import row_name
from connfit.evaluation.study.study import FILE as STUDY
from connfit.report import wording
from connfit.report.questions.study_evidence import StudyEvidence
from connfit.report.traced import NAME, Quote, Traced, derived, known, labelled, untraced

_CUT = re.compile(r" and ([\d,]*\d) more\b")
"""How a list that is cut says how many names it leaves out."""


@dataclass(frozen=True)
class Prose:
    """A text with where its numbers come from.

    Parameters
    ----------
    paragraphs
        Plain words; a blank line of the template separates two. Each number is one of `quotes`.
    quotes
        The numbers, and names that have digits.
    settings
        What the template set with `{% set NAME = ... %}`.
    """

    paragraphs: tuple[str, ...]
    quotes: tuple[Quote, ...]
    settings: Mapping[str, Any]

    @property
    def text(self) -> str:
        """All paragraphs as one."""
        return " ".join(self.paragraphs)


def write_prose(template: str, documents: Mapping[str, object], **given: object) -> Prose:
    """Render a template of `report/templates`.

    Parameters
    ----------
    template
        Its file, as `"questions/unseen_frames.j2"`.
    documents
        Contents of the files of a run, typed or plain, by their path in the run directory. In templates
        `metrics` is `metrics.json`, `file("study/study.json")` any of them, and `study` its rows by name.
    given
        Further values by name; those that are not `Traced` must not be numbers of the run.
    """
    quotes: list[Quote] = []

    def file(name: str) -> Traced:
        return Traced(documents.get(name), (f"{name}#",), quotes)

    def named(text: object, *of: Traced) -> str:
        """A name or a label, recorded so that its digits are not taken for a number."""
        words = " ".join(str(text).split())
        quotes.append(Quote(words, tuple(key for value in of for key in value._keys), NAME))
        return words

    def span(low: Traced, high: Traced) -> str:
        """A range between two values; once where both ends are written alike."""
        ends = low.write(), high.write()
        return wording.joined_span(*ends)

    variables = {
        "file": file, "metrics": file("metrics.json"), "documents": tuple(documents), "named": named, "span": span,
        "study": StudyEvidence(file(STUDY)), **given,
    }  # fmt: skip
    module = environment().get_template(template).make_module(variables)
    paragraphs = tuple(" ".join(block.split()) for block in re.split(r"\n\s*\n", str(module)) if block.strip())
    text = " ".join(paragraphs)
    cut = [Quote(count, ("metrics.json#",), NAME) for count in _CUT.findall(text)]
    settings = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return Prose(paragraphs, (*quoted(quotes, text), *cut), settings)


def quoted(quotes: Sequence[Quote], text: str) -> list[Quote]:
    """Return the quotes that a text has, each at most as often as it is there."""
    kept: list[Quote] = []
    for quote in quotes:
        if kept.count(quote) < text.count(quote.text):
            kept.append(quote)
    return kept


@cache
def environment() -> jinja2.Environment:
    """Return the environment of the templates: names that are not defined are errors, HTML is escaped in `.html.j2`."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("connfit.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: bool(name) and ".html" in str(name),
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value.write() if isinstance(value, Traced) else value,
    )
    for how in ("percent", "cosine", "size", "count"):
        made.filters[how] = lambda value, how=how: derived(how, value)
    for how in ("lowest", "highest", "sum", "mebibytes"):
        made.filters[how] = lambda values, how=how: derived(how, *values)
    made.filters |= {
        "plain": untraced,
        "likelier": _likelier,
        "known": lambda values: [value for value in values if known(value)],
        "listed": _listed,
        "first_of": lambda names, between=", ": wording.first_of(list(names), between=between),
        "spoken": lambda name: labelled(str(name).replace("_", " "), name),
        "row_name": lambda name: labelled(row_name(str(name)), name),
        "pretty": lambda name: wording.pretty(str(name)),
        "capital": wording.capital,
        "row_label": lambda name: row_name(str(name)),
        "plural": lambda count, many="s", single="": single if untraced(count) == 1 else many,
    }
    made.tests |= {"known": known, "match": lambda text, pattern: re.fullmatch(pattern, str(text)) is not None}
    made.globals |= {"frames_ahead": wording.frames_ahead, "half": _half, "why": _why}
    return made


def _likelier(share: Traced) -> Traced:
    """A share, or what is left of the whole where that is more, in percent."""
    return derived("likelier", share)


def _half(count: Traced) -> float:
    return untraced(count) / 2


def _why(result: Traced, name: str) -> str:
    """Why a number of a result is not defined."""
    reason = result.reasons[name]
    return reason.write() if reason else "it was not computed"


def _listed(names: Sequence[object]) -> str:
    return wording.listed([name.write() if isinstance(name, Traced) else str(name) for name in names])
