"""Look of all figures: fonts, sizes and colours that colour-blind readers can tell apart."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, Formatter, FuncFormatter, LogFormatterMathtext, LogFormatterSciNotation

from connfit._display import visible
from connfit._io import replacing, replacing_together
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
    # Names of units and regions are shown as they are: "$" is a letter.
    "text.parse_math": False,
    "text.usetex": False,
}

SUPERSCRIPTS = str.maketrans("0123456789-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻")


@contextmanager
def look() -> Iterator[None]:
    """Draw with the settings of connfit, and leave the user's as they were."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Make an empty figure (inches) that belongs to no window and no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def colour_of(name: str, among: tuple[str, ...]) -> str:
    """Return the colour of a baseline; the same in every figure."""
    return _own_colour(name) or SPARE[_without_colour(among).index(name) % len(SPARE)]


def line_of(name: str, among: tuple[str, ...]) -> str | tuple[int, tuple[float, ...]]:
    """Return the line of a baseline: dashed where its colour is that of an earlier one."""
    repeated = _own_colour(name) is None and _without_colour(among).index(name) >= len(SPARE)
    return (0, (4.0, 1.5)) if repeated else "-"


def _own_colour(name: str) -> str | None:
    return BASELINES[name].colour if name in BASELINES else None


def _without_colour(among: tuple[str, ...]) -> list[str]:
    return [name for name in among if _own_colour(name) is None]


class PlainPowers(LogFormatterSciNotation):
    """Labels of logarithmic axes as text, 10⁻³, for mathtext is not parsed."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Label one tick."""
        text = super().__call__(x, pos).replace(r"\mathdefault", "").replace(r"\times", "×").replace("$", "")
        return re.sub(r"\^\{([^}]*)\}", lambda power: power[1].translate(SUPERSCRIPTS), text).strip("{}")


class _Visible(Formatter):
    """Labels of another formatter, as they can be shown."""

    def __init__(self, labels: Formatter) -> None:
        self.labels = labels

    def __call__(self, x: float, pos: int | None = None) -> str:
        return drawable(self.labels(x, pos))

    def format_ticks(self, values: list[float]) -> list[str]:
        return [drawable(label) for label in self.labels.format_ticks(values)]


LONGEST = 60
"""Letters of a name beyond which there is no room for it beside a figure."""

_LONG_WORD = re.compile(rf"\S{{{LONGEST + 1},}}")


def drawable(name: str) -> str:
    """Return a name as it can be drawn: letters that cannot be shown as escapes, the middle of a long one left out."""
    text = visible(name)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 20]}…{text[-19:]}"


def without_mathtext(figure: Figure) -> None:
    """Draw every text of a figure as it is, and letters that cannot be drawn as escapes."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        for ticks in (axis.major, axis.minor):
            given = ticks.formatter
            if isinstance(given, LogFormatterMathtext) and not isinstance(given, PlainPowers):
                plain = PlainPowers(base=given._base, labelOnlyBase=given.labelOnlyBase)  # pyright: ignore[reportAttributeAccessIssue]
            elif isinstance(given, FuncFormatter | FixedFormatter):
                plain = _Visible(given)
            else:
                continue
            plain.set_axis(axis)
            ticks.formatter = plain
    for text in figure.findobj(Text):
        lines = text.get_text().split("\n")
        text.set_text("\n".join(_LONG_WORD.sub(lambda word: drawable(word[0]), visible(line)) for line in lines))
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]


def empty(axes: Axes, text: str) -> None:
    """Explain why a panel is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#555555", wrap=True)


def save_one(figure: Figure, path: Path) -> None:
    """Write a figure to one file, PNG (200 dpi) or SVG by its ending; the same figure gives the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with look(), warnings.catch_warnings(), replacing(path) as unfinished:
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        without_mathtext(figure)
        figure.dpi = 200
        if path.suffix.lower() == ".png":
            FigureCanvasAgg(figure).print_png(unfinished, metadata={"Software": None})
        else:
            FigureCanvasSVG(figure).print_svg(unfinished, metadata={"Date": None, "Creator": "connfit"})


def save_figure(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write `name.png` (200 dpi) and `name.svg` into a folder; the same figure gives the same files.

    The PNG comes last: where it is, both are whole and of this figure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    with look(), warnings.catch_warnings(), replacing_together(svg, png) as (vector, raster):
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        without_mathtext(figure)
        # Not `savefig`, which draws everything twice: once for the layout, which drawing makes by itself.
        figure.dpi = 200
        FigureCanvasAgg(figure).print_png(raster, metadata={"Software": None})
        # What was laid out for the PNG stays: doing it again takes a third of all drawing.
        figure.set_layout_engine("none")
        FigureCanvasSVG(figure).print_svg(vector, metadata={"Date": None, "Creator": "connfit"})
    return png, svg
