"""Figures at the widths of a journal's columns: SVG and PDF whose text stays text, none of it too small to read."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator

from connfit._io import replacing
from connfit.report.figures.style import look, without_mathtext

WIDTHS_MM = (85, 114, 174)
"""One column, one and a half, and two of most journals."""

SMALLEST = 5.0
"""Points: text below is not accepted by journals."""

_SHRINK = 0.72
"""How far text and lines shrink with a figure; beyond, only the room between them does."""

_TALLER = 3
"""How often a figure may grow where something is cut."""

_CUT = "is cut"

_MM = 1 / 25.4


@contextmanager
def vector_text() -> Iterator[None]:
    """Write text as text, which programs for drawing can edit, in place of outlines."""
    settings: Any = {"svg.fonttype": "none", "pdf.fonttype": 42, "font.sans-serif": ["DejaVu Sans", "Arial"]}
    with look(), matplotlib.rc_context(settings):
        yield


def fit_to_width(figure: Figure, millimetres: float) -> list[str]:
    """Bring a figure to a width, and return the labels that touch each other or are cut there.

    Parameters
    ----------
    figure
        As it was drawn for the report; it is changed.
    """
    with vector_text(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        without_mathtext(figure)
        width, height = figure.get_size_inches()
        ratio = millimetres * _MM / width
        factor = min(max(ratio, _SHRINK), 1.0) if ratio < 1 else 1.0
        figure.set_size_inches(millimetres * _MM, height * factor)
        _shrink(figure, factor)
        _lay_out_all(figure)
        if crowded(figure):
            _fewer_ticks(figure)
            _lay_out_all(figure)
        for _ in range(_TALLER):
            if not any(text.endswith(_CUT) for text in crowded(figure)):
                break
            figure.set_size_inches(figure.get_figwidth(), 1.15 * figure.get_figheight())
            _lay_out_all(figure)
        # What was laid out stays: doing it again for each file takes most of the time.
        figure.set_layout_engine("none")
        return crowded(figure)


def save_vector(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write `name.svg` and `name.pdf`; the same figure gives the same files."""
    svg, pdf = folder / f"{name}.svg", folder / f"{name}.pdf"
    with vector_text(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        with replacing(svg) as vector:
            FigureCanvasSVG(figure).print_svg(vector, metadata={"Date": None, "Creator": "connfit"})
        with replacing(pdf) as page:
            FigureCanvasPdf(figure).print_pdf(page, metadata={"CreationDate": None, "Creator": "connfit"})
    return svg, pdf


def crowded(figure: Figure) -> list[str]:
    """Return pairs of texts that lie on each other, and texts beyond the edge, of a figure that was drawn."""
    whole = figure.get_window_extent().padded(2)
    texts = [text for text in _texts(figure) if text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    touching = [
        f"{one!r} and {other!r}"
        for (one, first), (other, second) in combinations(boxes, 2)
        if first.shrunk(0.97, 0.85).overlaps(second.shrunk(0.97, 0.85))
    ]
    cut = [
        f"{text!r} {_CUT}"
        for text, box in boxes
        if box.x0 < whole.x0 or box.x1 > whole.x1 or box.y0 < whole.y0 or box.y1 > whole.y1
    ]
    labels = [text for text in texts if text not in {own for legend in _legends(figure) for own in legend.get_texts()}]
    frames = [legend.get_window_extent().shrunk(0.97, 0.97) for legend in _legends(figure)]
    covered = [
        f"{text.get_text()!r} and a legend"
        for text in labels
        if any(frame.overlaps(text.get_window_extent().shrunk(0.97, 0.85)) for frame in frames)
    ]
    return [*touching, *cut, *covered]


def _texts(figure: Figure) -> Iterator[Text]:
    """Every text that is seen."""
    for axes in figure.axes:
        hidden = [axis for axis in (axes.xaxis, axes.yaxis) if not axes.axison or not axis.get_visible()]
        for axis in (axes.xaxis, axes.yaxis):
            if axis in hidden:
                continue
            low, high = sorted(axis.get_view_interval())
            for tick in _ticks(axis):
                if low <= tick.get_loc() <= high and tick.label1.get_visible():
                    yield tick.label1
            yield axis.label
        titles = (axes.title, axes._left_title, axes._right_title)  # pyright: ignore[reportAttributeAccessIssue]
        yield from (text for text in (*titles, *axes.texts) if text.get_visible())
    for legend in _legends(figure):
        yield from legend.get_texts()
    yield from figure.texts


def _ticks(axis: Axis) -> list[Tick]:
    return [*axis.get_major_ticks(), *axis.get_minor_ticks()]


def _legends(figure: Figure) -> list[Legend]:
    of_axes = [legend for axes in figure.axes if (legend := axes.get_legend()) is not None]
    return [*figure.legends, *of_axes]


def _shrink(figure: Figure, factor: float) -> None:
    """Shrink text and lines with the figure, text never below what can be read."""
    of_ticks: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = axis.get_ticklabels()
            if labels:
                size = _size(labels[0], factor)
                axis.set_tick_params(which="both", labelsize=size, width=0.8 * factor, pad=3.5 * factor)
            # Not one by one: ticks that are made later are as large as these.
            of_ticks |= {label for tick in _ticks(axis) for label in (tick.label1, tick.label2)}
        for spine in axes.spines.values():
            spine.set_linewidth(spine.get_linewidth() * factor)
    for text in figure.findobj(Text):
        if text not in of_ticks:
            text.set_fontsize(_size(text, factor))
    for line in figure.findobj(Line2D):
        line.set_linewidth(line.get_linewidth() * factor)
        line.set_markersize(line.get_markersize() * factor)
    for marks in figure.findobj(Collection):
        marks.set_linewidth((factor * np.atleast_1d(marks.get_linewidth())).tolist())
    for legend in _legends(figure):
        _lay_out(legend, legend._ncols)  # pyright: ignore[reportAttributeAccessIssue]


def _lay_out(legend: Legend, columns: int) -> None:
    """Lay a legend out anew, by the size that its texts have now: matplotlib does so only when it makes one."""
    texts, inner, title = legend.get_texts(), cast("Any", legend), legend.get_title()
    if not texts:
        return
    size = texts[0].get_fontsize()
    inner._fontsize, inner._ncols = size, columns
    inner.prop.set_size(size)
    inner._init_legend_box(legend.legend_handles, [text.get_text() for text in texts])
    inner._legend_box.set_offset(inner._findoffset)
    inner.set_title(title.get_text() if title.get_visible() else None)
    for text in legend.get_texts():
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]


def _size(text: Text, factor: float) -> float:
    return max(SMALLEST, float(text.get_fontsize()) * factor)


def _lay_out_all(figure: Figure) -> None:
    """Find the places of everything, and break what is too long for its place."""
    figure.draw_without_rendering()
    # Wrapped lines move the axes, whose titles then have other room.
    for _ in range(2):
        if _wrap(figure) | _narrow_legends(figure):
            figure.draw_without_rendering()


def _fewer_ticks(figure: Figure) -> None:
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        locator = axis.get_major_locator()
        if isinstance(locator, MaxNLocator):
            locator.set_params(nbins=3)
        elif isinstance(locator, LogLocator):
            locator.set_params(subs=(1.0,), numticks=4)


def _wrap(figure: Figure) -> bool:
    """Break titles and labels that are longer than their axes; whether any was."""
    changed = False
    for axes in figure.axes:
        box = axes.get_window_extent()
        room = _room(figure, axes)
        titles = (axes.title, axes._left_title, axes._right_title)  # pyright: ignore[reportAttributeAccessIssue]
        for text, most in [*((title, room) for title in titles), (axes.xaxis.label, room)]:
            changed |= _broken(text, text.get_window_extent().width, most)
        changed |= _broken(axes.yaxis.label, axes.yaxis.label.get_window_extent().height, box.height)
    for text in figure.texts:
        extent, upright = text.get_window_extent(), text.get_rotation() == 90
        whole = figure.bbox.height if upright else figure.bbox.width
        changed |= _broken(text, extent.height if upright else extent.width, 0.98 * whole)
    return changed


def _room(figure: Figure, axes: Axes) -> float:
    """Width for a title: to the left edge of the next axes in its row, or to the edge of the figure."""
    box = axes.get_window_extent()
    beside = [
        other.get_window_extent().x0
        for other in figure.axes
        if other is not axes and other.get_window_extent().x0 > box.x1 and _same_row(other, axes)
    ]
    return max(box.width, (min(beside) if beside else figure.bbox.x1) - box.x0) - 4


def _same_row(one: Axes, other: Axes) -> bool:
    first, second = one.get_window_extent(), other.get_window_extent()
    return first.y0 < second.y1 and second.y0 < first.y1


def _broken(text: Text, length: float, room: float) -> bool:
    words = text.get_text()
    if not words.strip() or length <= room or " " not in words:
        return False
    longest = max(map(len, words.split("\n")))
    letters = max(8, int(longest * room / length))
    text.set_text("\n".join(part for line in words.split("\n") for part in textwrap.wrap(line, letters) or [""]))
    return text.get_text() != words


def _narrow_legends(figure: Figure) -> bool:
    """Take a column away from legends that are wider than the figure; whether any was."""
    changed = False
    for legend in _legends(figure):
        columns = legend._ncols  # pyright: ignore[reportAttributeAccessIssue]
        if columns > 1 and legend.get_window_extent().width > figure.bbox.width:
            _lay_out(legend, columns // 2)
            changed = True
    return changed
