"""What own past, inputs, other units and the wiring explain: a table, a sentence and a figure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.explained import WIRING, Contribution, Explained
from connfit.evaluation.unit_scores import Estimate
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.style import DATA, MODEL, QUIET, WIDTH, look, new_figure
from connfit.report.wording import listed, number, pretty, with_interval

LABELS = {"own_past": "own past", "inputs": "inputs", "other_units": "other units", WIRING: "wiring"}


def explained_blocks(evaluation: Evaluation) -> list[str]:
    """Return words and a table; nothing of a run that was evaluated without."""
    found = evaluation.explained
    if not found.sources:
        return [page.paragraph(f"What explains the recording is not known: {found.reason}.")] if found.reason else []
    rows = [[*_named(name, of), *map(_written, (of.alone, of.added, of.missed))] for name, of in found.sources.items()]
    header = ["source", "who stands for it", "alone", "joins those above", "is taken from all"]
    caption = (
        "Skill over persistence one frame ahead, test part, with 95 % intervals; "
        f"all together {_written(found.together)}"
    )
    return [
        page.paragraph(" ".join(explained_in_words(found))),
        page.table(header, rows, caption=caption),
        page.paragraph(
            "Of the baselines that know the same, the one that errs least on validation stands for it. Predicted "
            "changes are added up with weights that are fitted on validation and not negative. A source that gains "
            "nothing may know what another knows, too. That a model on the wiring gains does not say that it takes "
            "this wiring: null connectomes do (connfit evaluate --full).",
            "soft small",
        ),
        *([page.paragraph(f"Not in it: {found.reason}.", "soft small")] if found.reason else []),
    ]


def explained_in_words(found: Explained) -> list[str]:
    """State which sources add to those before them, and what the wiring knows alone."""
    adds = [LABELS[name] for name, of in found.sources.items() if _sign(of.added) > 0]
    said = [
        f"Added in this order, {listed(adds)} {'gain' if len(adds) > 1 else 'gains'} skill."
        if adds
        else "Added in this order, no source gains skill that its interval tells from nothing."
    ]
    wiring = found.sources.get(WIRING)
    if wiring is not None and wiring.missed.value is not None:
        words = {
            1: "knows what no other source does",
            0: "adds nothing that can be told from chance",
            -1: "costs skill",
        }
        said.append(
            f"Beside all other sources the model on the wiring {words[_sign(wiring.missed)]}: "
            f"{_written(wiring.missed)} of skill."
        )
    return said


def explained_drawings(evaluation: Evaluation) -> Iterator[Drawing]:
    """Draw how skill grows with each source, and what is missed without it."""
    if not evaluation.explained.sources:
        return
    caption = (
        "Left: skill over persistence one frame ahead on the test part, as sources join from top to bottom; bars are "
        "what each one gains, lines their 95 % intervals, circles what it reaches alone. Right: what is missed when "
        "one source is taken from all."
    )
    yield Drawing("explained", caption, None, lambda: explained_figure(evaluation.explained))


def explained_figure(found: Explained) -> Figure:
    """Draw the figure of `explained_drawings`."""
    with look():
        figure = new_figure(0.9 + 0.42 * len(found.sources), WIDTH)
        left, right = figure.subplots(1, 2, width_ratios=[1.6, 1], sharey=True)
        _joined(left, found)
        for at, (name, of) in enumerate(found.sources.items()):
            _bar(right, at, 0.0, of.missed, MODEL if name == WIRING else QUIET)
        right.set_xlabel("skill missed without it")
        for axes in (left, right):
            axes.axvline(0, color="#888888", lw=0.8, zorder=0)
            axes.xaxis.set_major_locator(MaxNLocator(4))
        left.set_yticks(range(len(found.sources)), [LABELS[name] for name in found.sources])
        left.set_ylim(len(found.sources) - 0.4, -0.6)
        right.tick_params(axis="y", length=0)
        return figure


def _joined(axes: Axes, found: Explained) -> None:
    reached = 0.0
    for at, (name, of) in enumerate(found.sources.items()):
        _bar(axes, at, reached, of.added, MODEL if name == WIRING else QUIET)
        before, reached = reached, reached + (of.added.value or 0.0)
        if at:
            axes.plot([before, before], [at - 1 + 0.31, at - 0.31], color="#888888", lw=0.8)
        if of.alone.value is not None:
            label = "alone" if not at else None
            axes.plot(of.alone.value, at, "o", mfc="none", mec=DATA, ms=4.5, mew=1.0, label=label)
    axes.set_xlabel("skill over persistence")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def _bar(axes: Axes, at: int, start: float, gain: Estimate, colour: str) -> None:
    if gain.value is None:
        return
    axes.barh(at, gain.value, left=start, height=0.62, color=colour, alpha=0.75)
    if gain.interval:
        ends = start + np.array(gain.interval)
        axes.plot(ends, [at, at], color=DATA, lw=1.2)


def _named(name: str, of: Contribution) -> tuple[str, str]:
    if name == WIRING:
        return LABELS[name], "the fitted model"
    return LABELS[name], "differs between recordings" if of.predictor is None else pretty(of.predictor)


def _written(of: Estimate) -> str:
    return with_interval(of.value, of.interval) if of.interval else number(of.value)


def _sign(of: Estimate) -> int:
    """1 or -1 where the interval leaves zero out, 0 where it does not or is not known."""
    if of.interval is None:
        return 0
    return 1 if of.interval[0] > 0 else -1 if of.interval[1] < 0 else 0
