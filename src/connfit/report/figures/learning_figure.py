"""Which learning rule is best: curves of training, and skill on test after equal steps and after equal time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from connfit.analysis.gradients.learning_verdict import AXES, ahead, horizons_spoken_of
from connfit.report.figures.study_figures import EDGE
from connfit.report.figures.style import DATA, WIDTH, empty, look, new_figure
from connfit.report.sections.comparison import number
from connfit.training.learners import RULES

VARIANTS = {"hybrid-pp": "#E69F00", "d-rtrl, bf16": "#56B4E9"}
"""Colours of what gradients are compared of beside the registered rules."""

AHEAD = ("#000000", "#0072B2")
"""Colours of one frame, and of some frames ahead."""

HEADER = ("rule", "epochs", "learning rate", "training loss", "validation")


def rule_colour(name: str, default: str = DATA) -> str:
    """The colour of a learning rule, the same in all figures on gradients and learning."""
    return VARIANTS.get(name) or (RULES[name].colour if name in RULES else None) or default


def label_of(curve: Mapping[str, Any]) -> str:
    """Name of a rule with its optimiser; of the rule alone in files of releases that had one optimiser."""
    return curve.get("label", curve["rule"])


def learning_figure(curves: Mapping[str, Any]) -> Figure:
    """Training loss against steps and seconds; below, skill on test minus that of the rule that is compared with.

    Parameters
    ----------
    curves
        The key `learning_curves` of `gradient_fidelity.json`.
    """
    compared = {axis: curves[axis] for axis in AXES if _has_differences(curves.get(axis))}
    rows = (
        [label for label, row in next(iter(compared.values()))["rules"].items() if "difference" in row]
        if compared
        else []
    )
    with look():
        heights = [2.7, *([0.19 * len(rows) + 1.0] if compared else [])]
        figure = new_figure(sum(heights), WIDTH)
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        _losses(parts[0], curves["curves"])
        if compared:
            panels = parts[1].subplots(1, len(compared), sharey=True, sharex=True, squeeze=False)[0]
            limit = _limit([row for at in compared.values() for row in at["rules"].values()])
            for axes, (axis, at) in zip(panels, compared.items(), strict=True):
                _differences(axes, at, rows, limit)
                seconds = "" if axis == "equal_steps" else f" ({at['seconds']:.3g} s)"
                axes.set_title(f"after {AXES[axis]}{seconds}", loc="left")
            colours = {label_of(curve): rule_colour(curve["rule"]) for curve in curves["curves"]}
            panels[0].set_yticks(np.arange(len(rows)), rows)
            panels[0].set_ylim(len(rows) - 0.5, -0.5)
            for label, text in zip(rows, panels[0].get_yticklabels(), strict=True):
                text.set_color(colours[label])
            parts[1].supxlabel(f"skill on test minus that of {curves['reference']}", fontsize=8.5)
            panels[-1].legend(
                handles=[
                    Line2D([], [], color=colour, marker=marker, ms=4, lw=1.2, label=ahead(h))
                    for h, marker, colour in zip(_horizons(compared), "os", AHEAD, strict=False)
                ],
                loc="upper left", bbox_to_anchor=(1.0, 1.0),
            )  # fmt: skip
        return figure


def _losses(part: Any, curves: list[Mapping[str, Any]]) -> None:
    panels = part.subplots(1, 2, sharey=True)
    first = curves[0].get("optimiser") if curves else None
    drawn = [curve for curve in curves if "diverged" not in curve and curve.get("seconds")]
    for axes, key, label in zip(panels, ("steps", "seconds"), ("steps", "seconds of training"), strict=True):
        for curve in drawn:
            plain = not curve["label"].startswith("immediate, K") if "label" in curve else True
            style = "-" if curve.get("optimiser") == first else "--"
            axes.plot(
                curve[key], curve["train_loss"], color=rule_colour(curve["rule"]), ls=style,
                lw=1.2 if plain else 2.4, alpha=1 if plain else 0.45, label=label_of(curve),
            )  # fmt: skip
        axes.set_xlabel(label)
    if not drawn:
        empty(panels[0], "every fit diverged")
        return
    losses = np.concatenate([curve["train_loss"] for curve in drawn])
    # One rule that starts badly must not press all others flat.
    low, high = float(losses.min()), float(np.quantile(losses, 0.9))
    margin = 0.05 * (high - low) or 0.01
    panels[0].set_ylim(low - margin, min(float(losses.max()), 2 * high - low) + margin)
    if len({curve["seconds"][-1] for curve in drawn}) > 1:
        panels[1].set_xscale("log")
    panels[0].set_ylabel("training loss")
    part.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")


def _has_differences(at: Mapping[str, Any] | None) -> bool:
    return at is not None and any(row.get("difference") for row in at["rules"].values())


def _horizons(compared: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return horizons_spoken_of(next(iter(compared.values())))


def _limit(rows: list[Mapping[str, Any]]) -> float:
    """Half width of the panels: one rule that is far off must not hide the others."""
    sizes = [
        max(abs(one["low"]), abs(one["high"])) if one["low"] is not None else abs(one["value"])
        for row in rows
        for one in (row.get("difference") or {}).values()
        if one["value"] is not None
    ]
    if not sizes or max(sizes) == 0:
        return 1.0
    return float(min(max(sizes), max(EDGE * np.median(sizes), 1e-6)))


def _differences(axes: Axes, at: Mapping[str, Any], rows: list[str], limit: float) -> None:
    axes.axvline(0, color="#888888", lw=0.8, zorder=0)
    for place, label in enumerate(rows):
        found = at["rules"].get(label, {})
        if not found.get("difference"):
            axes.text(0, place, "diverged" if found.get("diverged") else "–", ha="center", va="center")
            continue
        for nth, (h, marker) in enumerate(zip(horizons_spoken_of(at), "os", strict=False)):
            one = found["difference"].get(h)
            if one is None or one["value"] is None:
                continue
            where, colour = place + 0.3 * (nth - 0.5), AHEAD[nth]
            filled = colour if one["excludes_zero"] else "white"
            if abs(one["value"]) > limit:
                side = 1 if one["value"] > 0 else -1
                axes.plot(side * limit, where, ">" if side > 0 else "<", ms=4, mfc=filled, mec=colour, mew=1)
                axes.text(0.9 * side * limit, where, number(one["value"]), ha="right" if side > 0 else "left",
                          va="center", fontsize=6.5)  # fmt: skip
                continue
            if one["low"] is not None:
                low, high = np.clip([one["low"], one["high"]], -1.1 * limit, 1.1 * limit)
                axes.plot([low, high], [where, where], color=colour, lw=1.2, solid_capstyle="butt")
            axes.plot(one["value"], where, marker, ms=3.5, mfc=filled, mec=colour, mew=1)
    axes.set_xlim(-1.1 * limit, 1.1 * limit)
    axes.locator_params(axis="x", nbins=5)


def learning_table(at: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and cells: what each rule ends with after equal steps or equal time.

    Parameters
    ----------
    at
        The key `equal_steps` or `equal_seconds` of learning curves.
    """
    rules = at["rules"]
    scored = horizons_spoken_of(at)
    header = [*HEADER, *(f"test, {ahead(h)}" for h in scored)]
    if any(row.get("difference") for row in rules.values()):
        header += [f"difference, {ahead(h)}" for h in scored]
    cells = []
    for label, row in rules.items():
        if row.get("diverged"):
            cells.append([label, str(row["epochs"]), "diverged", *["–"] * (len(header) - 3)])
            continue
        rate = number(row.get("learning_rate")) + (" (edge)" if row.get("rate_at_edge") else "")
        untrained = row.get("trained") is False
        one = [
            label,
            f"{row['epochs']}{' (start kept)' if untrained else ''}",
            rate,
            number(row["train_loss"]),
            number(row.get("validation_selection", row["validation_skill"])),
            *(number((row.get("test") or {}).get(h)) for h in scored),
        ]
        if len(header) > len(one):
            one += [_interval((row.get("difference") or {}).get(h)) for h in scored]
        cells.append(one)
    return header, cells


def _interval(one: Mapping[str, Any] | None) -> str:
    if one is None or one["value"] is None:
        return "–"
    if one["low"] is None:
        return f"{one['value']:+.3f}"
    star = "*" if one["excludes_zero"] else ""
    return f"{one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]{star}"
