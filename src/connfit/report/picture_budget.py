"""Figures within the page's size limit: the important ones are in it, the others are named with their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from connfit.report import page
from connfit.report.drawings import Drawing
from connfit.report.style import save_figure

MAX_IMAGE_BYTES = 6_500_000
"""Images beyond this (8.7 MB as base64) are left in the figures folder, and the report says so."""

NARROW = {"horizon_skill"}
"""Figures that need half of the page's width."""


def draw_all(sections: Mapping[str, Iterable[Drawing]], folder: Path) -> dict[str, list[tuple[Drawing, str]]]:
    """Draw and save every figure, and make the HTML of each.

    Parameters
    ----------
    sections
        Anchor of a section to its drawings, the sections that matter most first.
    folder
        Where `name.png` and `name.svg` go.

    Returns
    -------
    dict
        Anchor to each drawing with its HTML, in the order that was given.
    """
    given = [(anchor, at, one) for anchor, made in sections.items() for at, one in enumerate(made)]
    shown: dict[str, dict[int, tuple[Drawing, str]]] = {}
    used = 0
    # Figures of the whole fit first: they must not fall to the size limit because there are many recordings.
    for anchor, at, drawing in sorted(given, key=lambda one: one[2].recording is not None):
        png = save_figure(drawing.draw(), folder, drawing.name)[0].read_bytes()
        fits = used + len(png) <= MAX_IMAGE_BYTES
        used += len(png) if fits else 0
        html = page.picture(png, drawing.caption, narrow=drawing.name in NARROW) if fits else _left_out(drawing)
        shown.setdefault(anchor, {})[at] = drawing, html
    return {anchor: [made[at] for at in sorted(made)] for anchor, made in shown.items()}


def _left_out(drawing: Drawing) -> str:
    text = f"Too large for this page, see figures/{drawing.name}.png: {drawing.caption}"
    return page.paragraph(text, "soft")
