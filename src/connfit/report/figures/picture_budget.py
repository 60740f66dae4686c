"""Figures within the page's size limit: the important ones are in it, the others are named with their files."""

from __future__ import annotations

import errno
import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

from connfit._io import write_json
from connfit._version import __version__
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.style import save_figure

MAX_IMAGE_BYTES = 6_500_000
"""Images beyond this (8.7 MB as base64) are left in the figures folder, and the report says so."""

DRAWN = "drawn.json"
"""File in the figures folder that says what its pictures show."""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
"""Why nothing more can be written: the page cannot, either, and one line says it."""

NARROW = {"horizon_skill"}
"""Figures that need half of the page's width."""


def draw_all(
    sections: Mapping[str, Iterable[Drawing]], folder: Path, *, fresh: bool = False
) -> dict[str, list[tuple[Drawing, str]]]:
    """Draw and save every figure, and make the HTML of each.

    Parameters
    ----------
    sections
        Anchor of a section to its drawings, the sections that matter most first.
    folder
        Where `name.png` and `name.svg` go: a folder in the run directory.
    fresh
        Draw everything; otherwise pictures are kept that are younger than what they show and have the same caption.

    Returns
    -------
    dict
        Anchor to each drawing with its HTML, in the order that was given.
    """
    given = [(anchor, at, drawing) for anchor, made in sections.items() for at, drawing in enumerate(made)]
    drawn = {} if fresh else _read_drawn(folder / DRAWN)
    shown: dict[str, dict[int, tuple[Drawing, str]]] = {}
    used = 0
    failed: set[str] = set()
    # Figures of the whole fit first: they must not fall to the size limit because there are many recordings.
    for anchor, at, drawing in sorted(given, key=lambda placed: placed[2].recording is not None):
        png = None if fresh else _kept(drawing, folder, drawn.get(drawing.name))
        if png is None:
            made = draw_one(drawing, folder)
            if isinstance(made, str):
                failed.add(drawing.name)
                text = f"This figure could not be drawn ({made}): {drawing.caption}"
                shown.setdefault(anchor, {})[at] = drawing, page.paragraph(text, "soft")
                continue
            png = made.read_bytes()
        fits = used + len(png) <= MAX_IMAGE_BYTES
        used += len(png) if fits else 0
        html = page.picture(png, drawing.caption, narrow=drawing.name in NARROW) if fits else _left_out(drawing)
        shown.setdefault(anchor, {})[at] = drawing, html
    folder.mkdir(parents=True, exist_ok=True)
    now = {drawing.name: _description(drawing) for _, _, drawing in given if drawing.name not in failed}
    gone = {*_read_drawn(folder / DRAWN)} - {*now}
    # Of results that are not there any more, or were made with other options. Only what is in this folder: names of the
    # file may lead elsewhere, or be none that a file can have.
    for path in folder.iterdir():
        if path.suffix in (".png", ".svg") and path.stem in gone:
            path.unlink(missing_ok=True)
    write_json(folder / DRAWN, now)
    return {anchor: [made[at] for at in sorted(made)] for anchor, made in shown.items()}


def draw_one(drawing: Drawing, folder: Path) -> Path | str:
    """Draw and save a figure; return its PNG, or why there is none, which is said: whatever matplotlib raises costs it.

    Raises
    ------
    OSError
        If nothing can be written into the folder.
    """
    try:
        return save_figure(drawing.draw(), folder, drawing.name)[0]
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        why = f"{type(error).__name__}: {error}"
        warnings.warn(f"figure {drawing.name} could not be drawn ({why})", stacklevel=2)
        return why


def _description(drawing: Drawing) -> str:
    """What a picture of this drawing is recognised by: the caption has the numbers, the version the look."""
    return f"connfit {__version__}: {drawing.caption}"


def _kept(drawing: Drawing, folder: Path, drawn: str | None) -> bytes | None:
    """The picture that is there already; None if it may be of something else."""
    png, svg = folder / f"{drawing.name}.png", folder / f"{drawing.name}.svg"
    if not drawing.sources or drawn != _description(drawing) or not png.exists() or not svg.exists():
        return None
    sources = [path for name in drawing.sources if (path := folder.parent / name).exists()]
    at = png.stat().st_mtime_ns
    return None if any(path.stat().st_mtime_ns >= at for path in sources) else png.read_bytes()


def _read_drawn(path: Path) -> dict[str, str]:
    """Pictures that were drawn before, by name; none where the file is absent or damaged: they are drawn again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _left_out(drawing: Drawing) -> str:
    text = f"Too large for this page, see figures/{drawing.name}.png: {drawing.caption}"
    return page.paragraph(text, "soft")
