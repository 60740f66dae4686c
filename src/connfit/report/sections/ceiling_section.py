"""What a fit reaches of what is possible: ceilings of the data, and units predicted from all others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from connfit.evaluation.ceiling import Ceiling, Share
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.unit_scores import Estimate
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.style import DATA, INITIAL, MODEL, QUIET, WIDTH, empty, look, new_figure
from connfit.report.sections.left_out_section import left_out_blocks
from connfit.report.wording import number, pretty

LIMIT = -1.0
"""Skill below which a unit is drawn at the edge."""

LEAST_SHARE = -10.0
"""Share of a ceiling below which how far below says nothing."""

_NAMES = {"model": "model", "at_initialisation": "untrained"}


def ceiling_blocks(evaluation: Evaluation) -> list[str]:
    """Return words and tables; nothing where neither was computed."""
    return [*_ceilings(evaluation.ceiling), *left_out_blocks(evaluation.left_out_unit)]


def ceiling_drawings(evaluation: Evaluation) -> Iterator[Drawing]:
    """Draw skill by horizon below its ceiling, and units predicted from the others by model and ridge regression."""
    pairs = _pairs(evaluation)
    has_ceiling = any(limit.value is not None for limit in evaluation.ceiling.horizon.values())
    if not has_ceiling and not len(pairs):
        return
    beyond = int((pairs < LIMIT).any(axis=1).sum())
    caption = (
        "Left: skill over persistence of the model on the test part (orange) below the largest that "
        "white noise leaves to any forecast (black, with its interval). Right: skill over the training mean of every "
        f"unit that is predicted from all others, by the model and by a ridge regression, {len(pairs)} units; above "
        "the line the model is better."
    )
    if beyond:
        caption += f" {beyond} unit{'' if beyond == 1 else 's'} below {LIMIT:g} lie at the edge."
    yield Drawing("share_of_possible", caption, None, lambda: share_of_possible(evaluation))


def share_of_possible(evaluation: Evaluation) -> Figure:
    """Draw the figure of `ceiling_drawings`."""
    with look():
        figure = new_figure(2.9, WIDTH)
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        _skill_below_ceiling(left, evaluation)
        _by_unit(right, _pairs(evaluation))
        return figure


def _skill_below_ceiling(axes: Axes, evaluation: Evaluation) -> None:
    ceilings = {h: limit for h, limit in evaluation.ceiling.horizon.items() if limit.value is not None}
    if not ceilings:
        empty(axes, "no ceiling is known")
        return
    at = np.arange(len(ceilings))
    for place, limit in zip(at, ceilings.values(), strict=True):
        if limit.interval:
            axes.plot([place, place], limit.interval, color=DATA, lw=1.2)
    axes.plot(
        at,
        np.array([limit.value for limit in ceilings.values()], float),
        "_",
        color=DATA,
        ms=10,
        mew=1.6,
        label="ceiling",
    )
    for name, scores, colour in (
        ("untrained", evaluation.untrained("test"), INITIAL),
        ("model", evaluation.part("test"), MODEL),
    ):
        values = np.array([scores.horizon_skill.get(h) for h in ceilings], float)
        if np.isfinite(values).any():
            axes.plot(at, np.maximum(values, LIMIT), "o-", color=colour, ms=4, label=name)
    axes.axhline(0, color="#888888", lw=0.8, zorder=0)
    axes.set_xticks(at, [str(h) for h in ceilings])
    axes.set_xlabel("frames ahead")
    axes.set_ylabel("skill over persistence")
    axes.set_ylim(top=1.02)
    # Above the axes: inside, curves of any shape would run through it.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)


def _by_unit(axes: Axes, pairs: np.ndarray) -> None:
    if not len(pairs):
        empty(axes, "no unit was left out")
        return
    shown = np.maximum(pairs, LIMIT)
    low, high = min(float(shown.min()), 0.0) - 0.05, max(float(shown.max()), 0.0) + 0.05
    axes.plot([low, high], [low, high], color="#888888", lw=0.8, ls="--", zorder=0)
    axes.axhline(0, color="#CCCCCC", lw=0.8, zorder=0)
    axes.axvline(0, color="#CCCCCC", lw=0.8, zorder=0)
    axes.plot(shown[:, 1], shown[:, 0], "o", ms=3.5, mfc="none", mec=QUIET, mew=0.9)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="ridge on the others, skill", ylabel="model, skill")
    axes.set_aspect("equal")


def _pairs(evaluation: Evaluation) -> np.ndarray:
    """[units, 2] skill by model and by ridge regression, of the units of all recordings for which both are defined."""
    found: list[tuple[float, float]] = []
    for recording in evaluation.recordings.values():
        units = recording.left_out_unit.per_unit
        if units and units.model and units.ridge:
            pairs = zip(units.model.skill, units.ridge.skill, strict=True)
            found += [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    return np.array(found, float).reshape(-1, 2)


def _ceilings(ceiling: Ceiling) -> list[str]:
    fc, limits = ceiling.fc, _limits(ceiling)
    blocks: list[str] = []
    if ceiling.reason:
        blocks.append(page.paragraph(f"There is no ceiling of skill: {ceiling.reason}."))
    if ceiling.lacking:
        told = "; ".join(f"{name}: {why}" for name, why in ceiling.lacking.items())
        blocks.append(page.paragraph(f"Recordings without a ceiling of skill, and not in its mean: {told}."))
    if "ceiling" in fc.reasons:
        blocks.append(page.paragraph(f"Ceiling of FC: {fc.reasons['ceiling']}."))
    if limits:
        rows = [["ceiling", *map(_range, limits.values())]]
        for name, share in ceiling.shares.items():
            if name != "persistence":
                reached = _shares(share)
                rows.append([_NAMES.get(name, pretty(name)), *(_percent(reached[key].value) for key in limits)])
        blocks.append(page.table(["share of the ceiling", *limits], rows, caption="Test part"))
    if _ONE_STEP in limits:
        blocks.append(
            page.paragraph(
                "Ceiling of skill: 1 − variance of noise / MSE of persistence. What differs from frame to frame "
                "without memory counts as noise, an assumption; no forecast of recorded values can be better. It is "
                "never below one half, and what cannot be predicted for other reasons is not in it. Ranges hold for "
                "single units and are added up as if all units erred together. Ceiling of FC: root of the "
                "reliability of the test part's own FC from blocks of time, and (lower end) from its first half "
                "against its second.",
                "soft small",
            )
        )
    below = {name: share.below_floor for name, share in ceiling.shares.items() if share.below_floor}
    if below:
        told = ", ".join(f"{_NAMES.get(name, pretty(name))} in {count}" for name, count in below.items())
        text = f"Units whose error is below the low end of their noise, so that the assumption fails there: {told}."
        blocks.append(page.paragraph(text))
    animals, trials = ceiling.fc_between_animals, ceiling.trials
    if animals and animals.others is not None:
        blocks.append(
            page.paragraph(
                "Between animals: FC of one animal's test part and the mean of the others' correlate at "
                f"{number(animals.others)} (mean over animals), and with the mean of all at {number(animals.all)}: "
                "bounds of what is common to these animals."
            )
        )
    if trials and trials.explainable and trials.explainable.median is not None:
        share = _percent(trials.explainable.median)
        text = f"Repeated trials: of the median unit's variance in a single trial the stimulus explains {share}."
        blocks.append(page.paragraph(text))
    elif trials and trials.reason:
        blocks.append(page.paragraph(f"Repeated trials: {trials.reason}."))
    return blocks


_ONE_STEP, _FC = "one step", "FC of free runs"


def _limits(ceiling: Ceiling) -> dict[str, Estimate]:
    """Ceilings that are known, by heading."""
    limits: dict[str, Estimate] = {}
    if ceiling.one_step.value is not None:
        limits[_ONE_STEP] = ceiling.one_step
        limits |= {_frames(h): limit for h, limit in ceiling.horizon.items() if h != 1}
    fc = ceiling.fc
    if fc.ceiling is not None:
        # The ceiling from dealt blocks is the upper one; drift that halves share by chance does not raise it.
        low = None if fc.ceiling_in_order is None else min(fc.ceiling_in_order, fc.ceiling)
        limits[_FC] = Estimate(fc.ceiling, low, fc.ceiling)
    return limits


def _shares(share: Share) -> dict[str, Estimate]:
    """Shares by the headings of `_limits`."""
    each = {_frames(h): reached for h, reached in share.horizon.items()}
    return {_ONE_STEP: share.one_step, _FC: share.fc, **each}


def _frames(h: int) -> str:
    return f"{h} frames"


def _range(limit: Estimate) -> str:
    if limit.value is None or limit.interval is None:
        return number(limit.value)
    return f"{limit.value:.2f} ({limit.low:.2f} to {limit.high:.2f})"


def _percent(share: float | None) -> str:
    if share is not None and share < LEAST_SHARE:
        return f"below {100 * LEAST_SHARE:.0f} %".replace("-", "−")
    return number(None) if share is None else f"{100 * share:.0f} %".replace("-", "−")
