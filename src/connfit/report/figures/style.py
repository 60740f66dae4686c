"""Look of all figures: fonts, sizes and colours that colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from connfit.evaluation.baselines import BASELINES

# Okabe & Ito (2008), "Color Universal Design": distinguishable with any common colour blindness.
DATA = "#000000"
MODEL = "#D55E00"
INITIAL = "#999999"
QUIET = "#0072B2"
SPARE = ("#CC79A7", "#56B4E9", "#8C6D1F", "#5B4A8A")
MARKERS = ("s", "^", "D", "v", "P", "X")

WIDTH = 7.2
"""Inches: the width of a page in two columns."""

_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.2,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    # Text as outlines: an SVG looks the same where the font is not installed.
    "svg.fonttype": "path",
    "svg.hashsalt": "connfit",
    "image.interpolation": "nearest",
}


@contextmanager
def look() -> Iterator[None]:
    """Draw with the settings of connfit, and leave the user's as they were."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure (inches) that belongs to no window and no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def colour_of(name: str, among: tuple[str, ...]) -> str:
    """The colour of a baseline; the same in every figure."""
    return _own_colour(name) or SPARE[_without_colour(among).index(name) % len(SPARE)]


def line_of(name: str, among: tuple[str, ...]) -> str | tuple[int, tuple[float, ...]]:
    """The line of a baseline: dashed where its colour is that of an earlier one."""
    repeated = _own_colour(name) is None and _without_colour(among).index(name) >= len(SPARE)
    return (0, (4.0, 1.5)) if repeated else "-"


def _own_colour(name: str) -> str | None:
    return BASELINES[name].colour if name in BASELINES else None


def _without_colour(among: tuple[str, ...]) -> list[str]:
    return [name for name in among if _own_colour(name) is None]


def empty(axes: Axes, text: str) -> None:
    """Say why a panel is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#555555", wrap=True)


def save_figure(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write `name.png` (200 dpi) and `name.svg` into a folder; the same figure gives the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    with look():
        # Not `savefig`, which draws everything twice: once for the layout, which drawing makes by itself.
        figure.dpi = 200
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
        # What was laid out for the PNG stays: doing it again takes a third of all drawing.
        figure.set_layout_engine("none")
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": "connfit"})
    return png, svg
