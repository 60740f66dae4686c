"""Labels of a figure that lie on each other, and labels and legends beyond its edge."""

from __future__ import annotations

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def overlapping(figure: Figure) -> list[str]:
    """Pairs of tick labels, axis labels and titles that touch, and what of these and of legends is not all shown."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found, shown = [], figure.get_window_extent()
    for axes in figure.axes:
        if not axes.axison:
            continue
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            found.append(axis.label)
        found += [axes.title, axes._left_title, axes._right_title]  # pyright: ignore[reportAttributeAccessIssue]
    texts = [text for text in found if text.get_text() and text.get_visible()]
    boxes = {text: text.get_window_extent() for text in texts}
    wrong = [
        f"{first.get_text()!r} and {second.get_text()!r}"
        for first, second in combinations(texts, 2)
        if boxes[first].shrunk(0.98, 0.9).overlaps(boxes[second].shrunk(0.98, 0.9))
    ]
    whole = shown.padded(2)
    legends = [*figure.legends, *(legend for axes in figure.axes if (legend := axes.get_legend()) is not None)]
    boxes |= {text: text.get_window_extent() for legend in legends for text in legend.get_texts()}
    cut = [
        text.get_text()
        for text, box in boxes.items()
        if box.x0 < whole.x0 or box.x1 > whole.x1 or box.y0 < whole.y0 or box.y1 > whole.y1
    ]
    return [*wrong, *(f"{text!r} is cut" for text in cut)]
