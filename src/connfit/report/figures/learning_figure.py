"""Which learning rule is best: curves of training, and skill on test after equal steps and after equal time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from connfit.analysis.gradients.gradient_results import (
    AXES,
    Curve,
    GradientFidelity,
    LearningCurves,
    RulesCompared,
    RuleScores,
    SkillDifference,
)
from connfit.report.figures.study_figures import EDGE
from connfit.report.figures.style import DATA, WIDTH, empty, look, new_figure
from connfit.report.prose import write_prose
from connfit.report.run_files import GRADIENT
from connfit.report.wording import frames_ahead, number
from connfit.training.learners import RULES

VARIANTS = {"hybrid-pp": "#E69F00", "d-rtrl, bf16": "#56B4E9"}
"""Colours of what gradients are compared of beside the registered rules."""

AHEAD = ("#000000", "#0072B2")
"""Colours of one frame, and of some frames ahead."""

HEADER = ("rule", "epochs", "learning rate", "training loss", "validation")


def rule_colour(name: str, default: str = DATA) -> str:
    """Return the colour of a learning rule, the same in all figures on gradients and learning."""
    return VARIANTS.get(name) or (RULES[name].colour if name in RULES else None) or default


def learning_verdict(curves: LearningCurves) -> tuple[str, ...]:
    """Return which rule is best on test, and whether credit through time matters, in sentences."""
    return write_prose("sections/learning_verdict.j2", {GRADIENT: GradientFidelity(learning_curves=curves)}).paragraphs


def amount(at: RulesCompared) -> str:
    """Describe how many steps, or how many seconds of training, every rule had."""
    return f"{at.steps:,} steps" if at.seconds is None else f"{at.seconds:.3g} s of training"


def learning_figure(curves: LearningCurves) -> Figure:
    """Draw training loss against steps and seconds, and skill on test minus that of the rule to compare with."""
    compared = {axis: at for axis, at in curves.compared.items() if any(row.difference for row in at.rules.values())}
    rows = [label for at in [*compared.values()][:1] for label, row in at.rules.items() if row.difference]
    with look():
        heights = [2.7, *([0.19 * len(rows) + 1.0] if compared else [])]
        figure = new_figure(sum(heights), WIDTH)
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        _losses(parts[0], curves.curves)
        if compared:
            panels = parts[1].subplots(1, len(compared), sharey=True, sharex=True, squeeze=False)[0]
            limit = _limit([row for at in compared.values() for row in at.rules.values()])
            for axes, (axis, at) in zip(panels, compared.items(), strict=True):
                _differences(axes, at, rows, limit)
                seconds = "" if axis == "equal_steps" else f" ({at.seconds:.3g} s)"
                axes.set_title(f"after {AXES[axis]}{seconds}", loc="left")
            colours = {curve.name: rule_colour(curve.rule) for curve in curves.curves}
            panels[0].set_yticks(np.arange(len(rows)), rows)
            panels[0].set_ylim(len(rows) - 0.5, -0.5)
            for label, text in zip(rows, panels[0].get_yticklabels(), strict=True):
                text.set_color(colours[label])
            parts[1].supxlabel(f"skill on test minus that of {curves.reference}", fontsize=8.5)
            panels[-1].legend(
                handles=[
                    Line2D([], [], color=colour, marker=marker, ms=4, lw=1.2, label=frames_ahead(h))
                    for h, marker, colour in zip(next(iter(compared.values())).horizons, "os", AHEAD, strict=False)
                ],
                loc="upper left", bbox_to_anchor=(1.0, 1.0),
            )  # fmt: skip
        return figure


def _losses(part: SubFigure, curves: Sequence[Curve]) -> None:
    panels = part.subplots(1, 2, sharey=True)
    drawn = [curve for curve in curves if curve.diverged is None and curve.seconds]
    for axes, key, label in zip(panels, ("steps", "seconds"), ("steps", "seconds of training"), strict=True):
        for curve in drawn:
            plain = not curve.label.startswith("immediate, K")
            style = "-" if curve.optimiser == curves[0].optimiser else "--"
            axes.plot(
                getattr(curve, key), curve.train_loss, color=rule_colour(curve.rule), ls=style,
                lw=1.2 if plain else 2.4, alpha=1 if plain else 0.45, label=curve.name,
            )  # fmt: skip
        axes.set_xlabel(label)
    if not drawn:
        empty(panels[0], "every fit diverged")
        return
    losses = np.array([loss for curve in drawn for loss in curve.train_loss or ()], float)
    # One rule that starts badly must not press all others flat.
    low, high = float(losses.min()), float(np.quantile(losses, 0.9))
    margin = 0.05 * (high - low) or 0.01
    panels[0].set_ylim(low - margin, min(float(losses.max()), 2 * high - low) + margin)
    if len({curve.seconds[-1] for curve in drawn if curve.seconds}) > 1:
        panels[1].set_xscale("log")
    panels[0].set_ylabel("training loss")
    part.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")


def _limit(rows: Iterable[RuleScores]) -> float:
    """Half width of the panels: one rule that is far off must not hide the others."""
    sizes = [
        abs(gap.value) if gap.low is None or gap.high is None else max(abs(gap.low), abs(gap.high))
        for row in rows
        for gap in row.difference.values()
        if gap.value is not None
    ]
    if not sizes or max(sizes) == 0:
        return 1.0
    return float(min(max(sizes), max(EDGE * np.median(sizes), 1e-6)))


def _differences(axes: Axes, at: RulesCompared, rows: Sequence[str], limit: float) -> None:
    axes.axvline(0, color="#888888", lw=0.8, zorder=0)
    for place, label in enumerate(rows):
        found = at.rules.get(label, RuleScores())
        if not found.difference:
            axes.text(0, place, "diverged" if found.diverged else "–", ha="center", va="center")
            continue
        for nth, (h, marker) in enumerate(zip(at.horizons, "os", strict=False)):
            gap = found.difference.get(h)
            if gap is None or gap.value is None:
                continue
            where, colour = place + 0.3 * (nth - 0.5), AHEAD[nth]
            filled = colour if gap.excludes_zero else "white"
            if abs(gap.value) > limit:
                side = 1 if gap.value > 0 else -1
                axes.plot(side * limit, where, ">" if side > 0 else "<", ms=4, mfc=filled, mec=colour, mew=1)
                axes.text(0.9 * side * limit, where, number(gap.value), ha="right" if side > 0 else "left",
                          va="center", fontsize=6.5)  # fmt: skip
                continue
            if gap.low is not None and gap.high is not None:
                low, high = np.clip([gap.low, gap.high], -1.1 * limit, 1.1 * limit)
                axes.plot([low, high], [where, where], color=colour, lw=1.2, solid_capstyle="butt")
            axes.plot(gap.value, where, marker, ms=3.5, mfc=filled, mec=colour, mew=1)
    axes.set_xlim(-1.1 * limit, 1.1 * limit)
    axes.locator_params(axis="x", nbins=5)


def learning_table(at: RulesCompared) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of what each rule ends with after equal steps or equal time."""
    scored = at.horizons
    compared = scored if any(row.difference for row in at.rules.values()) else ()
    header = [*HEADER, *(f"test, {frames_ahead(h)}" for h in scored)]
    header += [f"difference, {frames_ahead(h)}" for h in compared]
    cells = []
    for label, row in at.rules.items():
        if row.diverged:
            cells.append([label, str(row.epochs), "diverged", *["–"] * (len(header) - 3)])
            continue
        chosen = row.validation_selection
        cells.append([
            label,
            f"{row.epochs}{' (start kept)' if row.trained is False else ''}",
            number(row.learning_rate) + (" (edge)" if row.rate_at_edge else ""),
            number(row.train_loss),
            # Files of earlier releases have no other score on validation.
            number(row.validation_skill if chosen is None and row.trained is None else chosen),
            *(number(row.test.get(h)) for h in scored),
            *(_interval(row.difference.get(h)) for h in compared),
        ])  # fmt: skip
    return header, cells


def _interval(gap: SkillDifference | None) -> str:
    if gap is None or gap.value is None:
        return "–"
    if gap.low is None or gap.high is None:
        return f"{gap.value:+.3f}"
    return f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]{'*' if gap.excludes_zero else ''}"
