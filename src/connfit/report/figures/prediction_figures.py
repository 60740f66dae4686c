"""Figures of predictions and of training: arrays in, a Figure out; nothing is read from or written to disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from connfit.report.figures.style import (
    DATA,
    INITIAL,
    MARKERS,
    MODEL,
    QUIET,
    WIDTH,
    colour_of,
    empty,
    line_of,
    look,
    new_figure,
)
from connfit.report.wording import pretty
from connfit.training.learning_rates import TRIAL

ONE_STEP_FRAMES = 150
"""Frames of the test part in the one-step panels: with more, data and prediction are not distinguishable."""

_OWN_STYLE = {"model": (MODEL, "o", "-", 2.0), "untrained": (INITIAL, "o", "--", 1.2)}
_OPTIMAL_ORDER_UNITS = 300


def best_median_worst(ranking: Float[np.ndarray, "P"]) -> list[tuple[str, int]]:
    """Return the units of highest, median and lowest rank value, best first; undefined ones last, no unit twice."""
    order = np.argsort(np.where(np.isfinite(ranking), -ranking, np.inf), kind="stable")
    finite = int(np.isfinite(ranking).sum()) or len(ranking)
    if finite == 1:
        return [("only unit" if len(ranking) == 1 else "only scored", int(order[0]))]
    picks = [("best", int(order[0]))]
    if finite > 2:
        picks.append(("median", int(order[finite // 2])))
    return [*picks, ("worst", int(order[finite - 1]))]


def traces(
    values: Float[np.ndarray, "t P"],
    mask: Bool[np.ndarray, "t P"],
    one_step: Float[np.ndarray, "t P"],
    free_run: Float[np.ndarray, "t P"],
    *,
    units: Sequence[str],
    frame_rate: float,
    start: int,
    skill: Float[np.ndarray, "P"],
    correlation: Float[np.ndarray, "P"],
    deterministic: Float[np.ndarray, "t P"] | None = None,
    value_label: str = "activity",
) -> Figure:
    """Draw data against model for the best, median and worst unit: one step ahead and in free run.

    With `deterministic`, `free_run` is one run that random noise drives: it is drawn below the data
    on the same scale, not over them, for it is not expected to follow them.

    Parameters
    ----------
    values, mask, one_step, free_run
        [time, unit] of one part. Entries that are not observed leave gaps.
    frame_rate, start
        Hz, and the first frame of the part: time is counted from the start of the recording.
    skill
        [P] one-step skill of each unit over the better of persistence and its mean, by which they are ranked
        (`connfit.evaluation.unit_scores.skill_over_simple`).
    correlation
        [P] correlation of each unit's free run without noise with the data.
    deterministic
        [time, unit] the free run without noise; None if `free_run` has none.
    """
    picks = best_median_worst(skill)
    with look():
        figure = new_figure(0.5 + (1.35 if deterministic is None else 1.6) * len(picks))
        grid = figure.subplots(len(picks), 2, squeeze=False, gridspec_kw={"width_ratios": [1, 1.25]})
        seconds = (start + np.arange(len(values))) / frame_rate
        shown = slice(0, ONE_STEP_FRAMES)
        for row, (rank, unit) in enumerate(picks):
            data = np.where(mask[:, unit], values[:, unit], np.nan)
            left, right = grid[row]
            overlay(left, seconds[shown], data[shown], one_step[shown, unit])
            name = str(units[unit])
            name = name if len(name) <= 14 else name[:13] + "…"
            left.set_title(f"{rank}: {name}, one step, skill {_number(skill[unit])}", loc="left")
            if deterministic is None:
                overlay(right, seconds, data, free_run[:, unit])
                right.set_title(f"{name}, free run, no noise, r = {_number(correlation[unit])}", loc="left")
            else:
                _above_simulated(right, seconds, data, free_run[:, unit], deterministic[:, unit])
                right.set_title(f"{name}, data above, one simulated run below", loc="left")
        for axes in grid[-1]:
            [axes, *axes.child_axes][-1].set_xlabel("time (s)")
        figure.supylabel(value_label, fontsize="medium")
        drawn = [line for axes in (grid[0, 0], *grid[0, 1].child_axes) for line in axes.get_lines()]
        labels = {str(line.get_label()): line for line in drawn}
        figure.legend(list(labels.values()), list(labels), loc="outside upper right", ncols=len(labels))
    return figure


def overlay(axes: Axes, seconds: np.ndarray, data: np.ndarray, prediction: np.ndarray) -> None:
    """Draw a prediction over the data that it is of."""
    axes.plot(seconds, data, color=DATA, lw=1.0, label="data")
    axes.plot(seconds, prediction, color=MODEL, lw=1.0, alpha=0.9, label="model")
    _limit_to_data(axes, data, prediction)
    axes.margins(x=0.01)


def _above_simulated(
    axes: Axes, seconds: np.ndarray, data: np.ndarray, simulated: np.ndarray, quiet: np.ndarray
) -> None:
    """Data in the upper half; one run with noise, and the one without, on the same scale in the lower half."""
    axes.set_axis_off()
    upper = axes.inset_axes((0, 0.53, 1, 0.47))
    lower = axes.inset_axes((0, 0, 1, 0.47), sharex=upper, sharey=upper)
    upper.plot(seconds, data, color=DATA, lw=1.0, label="data")
    lower.plot(seconds, simulated, color=MODEL, lw=1.0, alpha=0.9, label="model")
    lower.plot(seconds, quiet, color=QUIET, lw=1.2, ls=(0, (4, 1.5)), label="model without noise")
    _limit_to_data(upper, data, np.concatenate([simulated, quiet]))
    upper.tick_params(labelbottom=False)
    upper.margins(x=0.01)


def _limit_to_data(axes: Axes, data: np.ndarray, prediction: np.ndarray) -> None:
    """Keep the data readable where the prediction leaves them by more than three times their range."""
    finite = data[np.isfinite(data)]
    if not len(finite):
        return
    low, high = finite.min(), finite.max()
    reach = max(high - low, 1e-9 * max(abs(low), abs(high)), 1e-12)
    shown = prediction[np.isfinite(prediction)]
    low = max(min(low, shown.min(initial=low)), low - 3 * reach)
    high = min(max(high, shown.max(initial=high)), high + 3 * reach)
    axes.set_ylim(low - 0.05 * (high - low) - 1e-12, high + 0.05 * (high - low) + 1e-12)


def unit_order(connectivity: Float[np.ndarray, "P P"]) -> Int[np.ndarray, "P"]:
    """Return the order of units that puts alike ones side by side: average-linkage clustering of 1 - r.

    Undefined pairs count as uncorrelated. Leaves are ordered optimally up to a few hundred units.
    """
    units = len(connectivity)
    if units < 3:
        return np.arange(units)
    distance = 1.0 - np.nan_to_num(connectivity, nan=0.0)
    distance = np.clip((distance + distance.T) / 2, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    condensed = squareform(distance, checks=False)
    tree = linkage(condensed, "average")
    if units <= _OPTIMAL_ORDER_UNITS:
        tree = optimal_leaf_ordering(tree, condensed)
    return leaves_list(tree)


def connectivities(
    panels: Mapping[str, Float[np.ndarray, "P P"]], *, order: Int[np.ndarray, "P"], units: Sequence[str] | None = None
) -> Figure:
    """Draw functional connectivity side by side: one colour scale from -1 to 1, one order of units.

    Parameters
    ----------
    panels
        Title to matrix; NaN (undefined) is grey.
    order
        Of units, in all panels: that of the data's training part, see `unit_order`.
    units
        Names; written at the axes where there are few enough to read.
    """
    with look():
        if len(order) < 2:
            figure = new_figure(0.8)
            empty(figure.subplots(), "functional connectivity needs at least two units")
            return figure
        figure = new_figure(0.75 + (WIDTH - 0.9) / max(len(panels), 3))
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        image = None
        for axes, (title, matrix) in zip(grid, panels.items(), strict=True):
            image = axes.imshow(matrix[np.ix_(order, order)], vmin=-1, vmax=1, cmap="RdBu_r")
            axes.set_facecolor("#bbbbbb")
            axes.set_title(title)
            count = len(order)
            if units is not None and count <= 20:
                axes.set_xticks(range(count), [str(units[k])[:10] for k in order], rotation=90, fontsize=6.5)
                axes.set_yticks(
                    range(count), [str(units[k])[:10] for k in order] if axes is grid[0] else [], fontsize=6.5
                )
            else:
                axes.set_xlabel(f"{count} units")
                axes.set_xticks([])
                axes.set_yticks([])
                if axes is grid[0]:
                    axes.set_ylabel("units, clustered on data, train")
            axes.spines[:].set_visible(True)
        if image is not None:
            bar = figure.colorbar(image, ax=list(grid), shrink=0.8, aspect=18, pad=0.015)
            bar.set_label("Pearson r")
            bar.set_ticks([-1, -0.5, 0, 0.5, 1])
    return figure


def horizon_skill(
    curves: Mapping[str, Mapping[int, float | None]], *, frame_rate: float | None, floor: float = -1.0
) -> Figure:
    """Draw skill over persistence against how far ahead is predicted; arguments as of `draw_horizons`."""
    with look():
        figure = new_figure(3.0, 5.6)
        axes = figure.subplots()
        if draw_horizons(axes, curves, frame_rate=frame_rate, floor=floor):
            figure.legend(loc="outside right upper")
    return figure


def draw_horizons(
    axes: Axes, curves: Mapping[str, Mapping[int, float | None]], *, frame_rate: float | None, floor: float = -1.0
) -> bool:
    """Draw skill over persistence against how far ahead is predicted; False where there is nothing to draw.

    Parameters
    ----------
    curves
        Name to {horizon in frames: skill}. `"model"` and `"untrained"` have colours of
        their own. Skills below `floor` are drawn at the floor, with their number.
    frame_rate
        Hz; None where recordings differ, then the axis is in frames.
    """
    names = tuple(name for name in curves if name not in ("model", "untrained"))
    horizons = sorted({h for curve in curves.values() for h in curve})
    low, clipped = 0.0, 0
    for number, (name, curve) in enumerate(curves.items()):
        points = [(h, value) for h, value in sorted(curve.items()) if value is not None]
        if not points:
            continue
        if name in _OWN_STYLE:
            colour, marker, line, width = _OWN_STYLE[name]
        else:
            colour, marker, line, width = colour_of(name, names), MARKERS[number % len(MARKERS)], "-", 1.2
            line = line_of(name, names)
        x, y = np.array([p[0] for p in points]), np.array([p[1] for p in points])
        axes.plot(
            x,
            np.maximum(y, floor),
            ls=line,
            color=colour,
            marker=marker,
            ms=4.5,
            lw=width,
            label=pretty(name),
            clip_on=False,
            zorder=3,
        )
        low = min(low, float(np.maximum(y, floor).min()))
        for at, value in points:
            if value < floor:
                # One row of numbers for each curve, or they would cover each other.
                offset = (0, -5 - 9 * clipped)
                text = f"{value:.3g}".replace("-", "−")
                style = {"ha": "center", "va": "top", "color": colour, "fontsize": 7}
                axes.annotate(text, (at, floor), offset, textcoords="offset points", **style)
        clipped += any(value < floor for _, value in points)
    axes.axhline(0, color="#555555", lw=0.8, zorder=1)
    drawn = len(axes.get_lines()) > 1
    if not drawn:
        axes.text(0.5, 0.6, "no horizon could be scored", transform=axes.transAxes, ha="center", color="#555555")
    axes.set_xscale("log")
    axes.set_xticks(horizons, [str(h) for h in horizons])
    axes.minorticks_off()
    axes.set_xlabel("frames ahead")
    axes.set_ylabel("skill over persistence")
    top = max(0.05, *(y for curve in curves.values() for y in curve.values() if y is not None), 0.0)
    axes.set_ylim(low - (0.03 + 0.055 * clipped) * (top - low), top + 0.05 * (top - low))
    if frame_rate:
        axes.set_xlabel(f"frames ahead (one frame is {1 / frame_rate:.3g} s)")
    return drawn


def loss_history(
    epochs: Sequence[float],
    train_loss: Sequence[float],
    validation_loss: Sequence[float],
    validation_skill: Sequence[float],
    phases: Sequence[str],
) -> Figure:
    """Draw training and validation loss, and validation skill, by epoch; a trial and phases of the schedule shaded.

    NaN marks an epoch without validation.
    """
    x = np.asarray(epochs, float)
    tried = np.array([phase == TRIAL for phase in phases], bool)
    with look():
        figure = new_figure(2.6)
        left, right = figure.subplots(1, 2)
        if not len(x):
            for axes in (left, right):
                empty(axes, "no epoch was run")
            return figure
        train, validation = np.asarray(train_loss, float), np.asarray(validation_loss, float)
        marker = "o" if len(x) < 3 else None
        # Two lines each, for the schedule does not go on where the trial ends.
        pieces = [which for which in (tried, ~tried) if which.any()]
        for which in pieces:
            label = {"train": "train", "validation": "validation"} if which[-1] else {}
            left.plot(x[which], train[which], color=DATA, marker=marker, ms=3, label=label.get("train"))
            left.plot(x[which], validation[which], color=MODEL, marker=marker, ms=3, label=label.get("validation"))
        finite = np.concatenate([train, validation])
        finite = finite[np.isfinite(finite)]
        if len(finite) and finite.min() > 0 and finite.max() > 5 * finite.min():
            left.set_yscale("log")
        left.set_ylabel("loss (persistence: about 1)")
        skill = np.asarray(validation_skill, float)
        if np.isfinite(skill).any():
            for which in pieces:
                right.plot(x[which], skill[which], color=MODEL, marker=marker, ms=3)
            right.axhline(0, color="#555555", lw=0.8, ls=":")
            good = skill[np.isfinite(skill)]
            low = np.percentile(good, 5)
            # A careless start can score -100: the part of the curve that matters would be a flat line.
            if good.min() < low - 3 * (good.max() - low) and good.max() > low:
                right.set_ylim(low - 0.3 * (good.max() - low), max(good.max(), 0) + 0.1 * (good.max() - low))
                right.set_title("first epochs below the axis", loc="right", fontsize=7.5, color="#555555")
            right.set_ylabel("skill over persistence, validation")
        else:
            empty(right, "no validation part")
        names = [name for name in dict.fromkeys(phases) if name != TRIAL]
        for axes in (left, right):
            if not axes.axison:
                continue
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if tried.any():
                axes.axvspan(-0.5, x[tried].max() + 0.5, color="#BBBBBB", alpha=0.4, lw=0, zorder=0, label=TRIAL)
            for number, name in enumerate(names):
                inside = x[np.array([phase == name for phase in phases])]
                if number % 2:
                    axes.axvspan(inside.min() - 0.5, inside.max() + 0.5, color="#56B4E9", alpha=0.18, lw=0, zorder=0)
                if len(names) > 1:
                    axes.text(
                        (inside.min() + inside.max()) / 2,
                        1.0,
                        name,
                        transform=axes.get_xaxis_transform(),
                        ha="center",
                        va="bottom",
                        fontsize=7.5,
                    )
        left.legend()
    return figure


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "not defined"
    text = f"{value:.2f}" if abs(value) < 100 else f"{value:.3g}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")
