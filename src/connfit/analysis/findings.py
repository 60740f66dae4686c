"""Findings of an analysis in words: templates over its numbers, each rule stated where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import jinja2

from connfit.analysis.criticality.judgement import JUDGED, LEVEL

if TYPE_CHECKING:
    from connfit.analysis.brain_analysis import Analysis

SURROGATES = {"shuffle": "time-shuffled", "phase_together": "phase-randomised"}
"""Surrogates that are compared over the whole table, in words."""


def sentences(template: str) -> Callable[[Analysis], tuple[str, ...]]:
    """Return what makes findings of an analysis by a template of `analysis/templates`: one a paragraph."""

    def write(analysis: Analysis) -> tuple[str, ...]:
        text = _environment().get_template(f"{template}.j2").render(analysis=analysis)
        return tuple(" ".join(block.split()) for block in re.split(r"\n\s*\n", text) if block.strip())

    return write


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("connfit.analysis"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"to": _to, "number": lambda value: "not defined" if value is None else f"{value:.3f}"}
    made.globals |= {"span": _span, "surrogates": SURROGATES, "judged": JUDGED, "level": LEVEL}
    return made


def _to(value: float, form: str) -> str:
    return format(value, form)


def _span(low: float, high: float, form: str) -> str:
    """A range; one number where both ends are written alike."""
    first, last = format(low, form), format(high, form)
    return first if first == last else f"{first} to {last}"
