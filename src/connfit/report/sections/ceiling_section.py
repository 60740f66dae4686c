"""What a fit reaches of what is possible: ceilings of the data, and units predicted from all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.style import DATA, INITIAL, MODEL, QUIET, WIDTH, empty, look, new_figure
from connfit.report.sections.comparison import number, pretty

LIMIT = -1.0
"""Skill below which a unit is drawn at the edge."""

LEAST_SHARE = -10.0
"""Share of a ceiling below which how far below says nothing."""

_NAMES = {"model": "model", "at_initialisation": "at initialisation"}


def ceiling_blocks(metrics: Mapping[str, Any]) -> list[str]:
    """Words and tables; nothing where neither was computed."""
    return [*_ceilings(metrics.get("ceiling") or {}), *_left_out(metrics.get("left_out_unit") or {})]


def ceiling_drawings(metrics: Mapping[str, Any]) -> Iterator[Drawing]:
    """Skill by horizon below its ceiling, and units predicted from the others, by model and by ridge regression."""
    pairs = _pairs(metrics)
    ceiling = metrics.get("ceiling") or {}
    has_ceiling = any(one.get("value") is not None for one in (ceiling.get("horizon") or {}).values())
    if not has_ceiling and not len(pairs):
        return
    beyond = int((pairs < LIMIT).any(axis=1).sum())
    caption = (
        "Left: skill over persistence of the model on the test part (orange) below the largest that noise which is "
        "white in time leaves to any forecast (black, with its interval). Right: skill over the training mean of every "
        f"unit that is predicted from all others, by the model and by a ridge regression, {len(pairs)} units; above "
        "the line the model is better."
    )
    if beyond:
        caption += f" {beyond} unit{'' if beyond == 1 else 's'} below {LIMIT:g} lie at the edge."
    yield Drawing("share_of_possible", caption, None, lambda: share_of_possible(metrics))


def share_of_possible(metrics: Mapping[str, Any]) -> Figure:
    """The figure of `ceiling_drawings`."""
    with look():
        figure = new_figure(2.9, WIDTH)
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        _skill_below_ceiling(left, metrics)
        _by_unit(right, _pairs(metrics))
        return figure


def _skill_below_ceiling(axes: Axes, metrics: Mapping[str, Any]) -> None:
    ceilings = (metrics.get("ceiling") or {}).get("horizon") or {}
    skills = (((metrics.get("parts") or {}).get("test")) or {}).get("horizon_skill") or {}
    known = [h for h, one in ceilings.items() if one.get("value") is not None]
    if not known:
        empty(axes, "no ceiling is known")
        return
    at = np.arange(len(known))
    for place, h in zip(at, known, strict=True):
        one = ceilings[h]
        axes.plot([place, place], [one["low"], one["high"]], color=DATA, lw=1.2)
    axes.plot(at, [ceilings[h]["value"] for h in known], "_", color=DATA, ms=10, mew=1.6, label="ceiling")
    before = ((metrics.get("at_initialisation") or {}).get("test") or {}).get("horizon_skill") or {}
    for name, found, colour in (("untrained", before, INITIAL), ("model", skills, MODEL)):
        values = [np.nan if found.get(h) is None else found[h] for h in known]
        if np.isfinite(values).any():
            axes.plot(at, np.maximum(values, LIMIT), "o-", color=colour, ms=4, label=name)
    axes.axhline(0, color="#888888", lw=0.8, zorder=0)
    axes.set_xticks(at, known)
    axes.set_xlabel("frames ahead")
    axes.set_ylabel("skill over persistence")
    axes.set_ylim(top=1.02)
    axes.legend(loc="lower right")


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


def _pairs(metrics: Mapping[str, Any]) -> np.ndarray:
    """[units, 2] skill by model and by ridge regression, of the units of all recordings for which both are defined."""
    found = []
    for one in (metrics.get("recordings") or {}).values():
        each = (one.get("left_out_unit") or {}).get("per_unit") or {}
        if "model" in each and "ridge" in each:
            found += list(zip(each["model"]["skill"], each["ridge"]["skill"], strict=True))
    return np.array([one for one in found if None not in one], float).reshape(-1, 2)


def _ceilings(ceiling: Mapping[str, Any]) -> list[str]:
    if not ceiling:
        return []
    limits: dict[str, Mapping[str, Any]] = {}
    if (ceiling.get("one_step") or {}).get("value") is not None:
        limits["one step"] = ceiling["one_step"]
        limits.update({_frames(h): one for h, one in (ceiling.get("horizon") or {}).items() if h != "1"})
    fc = ceiling.get("fc") or {}
    if fc.get("ceiling") is not None:
        # The ceiling from dealt blocks is the upper one; drift that halves share by chance does not raise it.
        low = fc.get("ceiling_in_order")
        low = None if low is None else min(low, fc["ceiling"])
        limits["FC of free runs"] = {"value": fc["ceiling"], "low": low, "high": fc["ceiling"]}
    blocks: list[str] = []
    if ceiling.get("reason"):
        blocks.append(page.paragraph(f"There is no ceiling of skill: {ceiling['reason']}."))
    if ceiling.get("lacking"):
        told = "; ".join(f"{name}: {why}" for name, why in ceiling["lacking"].items())
        blocks.append(page.paragraph(f"Recordings without a ceiling of skill, and not in its mean: {told}."))
    for key, text in (fc.get("reasons") or {}).items():
        if key == "ceiling":
            blocks.append(page.paragraph(f"Ceiling of FC: {text}."))
    if limits:
        shares = ceiling.get("shares") or {}
        rows = [["ceiling", *(_range(one) for one in limits.values())]]
        for name, share in shares.items():
            if share is None or name == "persistence":
                continue
            each = {"one step": share.get("one_step"), "FC of free runs": share.get("fc")}
            each |= {_frames(h): one for h, one in (share.get("horizon") or {}).items()}
            rows.append(
                [_NAMES.get(name, pretty(name)), *(_percent((each.get(key) or {}).get("value")) for key in limits)]
            )
        blocks.append(page.table(["share of the ceiling", *limits], rows, caption="Test part"))
    if "one step" in limits:
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
    below = {name: one["below_floor"] for name, one in (ceiling.get("shares") or {}).items() if one.get("below_floor")}
    if below:
        told = ", ".join(f"{_NAMES.get(name, pretty(name))} in {count}" for name, count in below.items())
        blocks.append(
            page.paragraph(
                f"Units whose error is below the low end of their noise, so that the assumption fails there: {told}."
            )
        )
    animals = ceiling.get("fc_between_animals") or {}
    if animals.get("others") is not None:
        blocks.append(
            page.paragraph(
                "Between animals: FC of one animal's test part and the mean of the others' correlate at "
                f"{number(animals['others'])} (mean over animals), and with the mean of all at "
                f"{number(animals['all'])}: bounds of what is common to these animals."
            )
        )
    trials = ceiling.get("trials") or {}
    if (trials.get("explainable") or {}).get("median") is not None:
        blocks.append(
            page.paragraph(
                f"Repeated trials: of the median unit's variance in a single trial the stimulus explains "
                f"{_percent(trials['explainable']['median'])}."
            )
        )
    elif trials.get("reason"):
        blocks.append(page.paragraph(f"Repeated trials: {trials['reason']}."))
    return blocks


def _left_out(found: Mapping[str, Any]) -> list[str]:
    if not found:
        return []
    title = page.heading("Every unit from the others")
    if found.get("reason"):
        return [title, page.paragraph(f"No unit was left out: {found['reason']}.")]
    rows = [
        [name, *(_quartiles(found[key].get(measure)) for measure in ("skill", "r"))]
        for key, name in (("model", "model"), ("untrained", "at initialisation"), ("ridge", "ridge on the others"))
        if key in found
    ]
    scored = f"{found['units']} units" + (
        f", evenly spaced among {found['of']}" if found["units"] < found["of"] else ""
    )
    return [
        title,
        page.paragraph(" ".join(left_out_in_words(found))),
        page.table(["median (quartiles) over units", "skill over mean", "correlation over time"], rows, caption=scored),
        page.paragraph(
            "In a run for each unit the model is given all others up to the frame before, and never this one. The "
            "ridge regression is given the same frames. Both saw the unit on the training part when they were fitted.",
            "soft small",
        ),
        *(page.paragraph(f"{key}: {text}.", "soft small") for key, text in (found.get("reasons") or {}).items()),
    ]


def left_out_in_words(found: Mapping[str, Any]) -> list[str]:
    """Who predicts left-out units better."""
    said = []
    for key, name in (("ridge", "the ridge regression on the others"), ("untrained", "the untrained model")):
        one = found.get(f"model_minus_{key}")
        if not one:
            continue
        if one["outcome"] is None:
            said.append(f"Against {name} nothing can be said: {(one.get('reasons') or {}).get('p_value', 'no test')}.")
            continue
        words = {"better": "beats", "worse": "loses to", "tie": "is not distinguishable from"}[one["outcome"]]
        start = "It" if said else "Predicting a unit that it is never given, the model"
        said.append(
            f"{start} {words} {name}: better in {one['better']} of "
            f"{one['units']} units, median difference in skill {number(one['median'])} (signed-rank test, "
            f"p = {one['p_value']:.2g})."
        )
    return said


def _frames(h: str) -> str:
    return f"{h} frames"


def _range(one: Mapping[str, Any]) -> str:
    if one.get("value") is None:
        return number(None)
    if one.get("low") is None or one.get("high") is None:
        return number(one["value"])
    return f"{one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})"


def _percent(share: float | None) -> str:
    if share is not None and share < LEAST_SHARE:
        return f"below {100 * LEAST_SHARE:.0f} %".replace("-", "−")
    return number(None) if share is None else f"{100 * share:.0f} %".replace("-", "−")


def _quartiles(one: Mapping[str, Any] | None) -> str:
    if not one or one.get("median") is None:
        return number(None)
    return f"{one['median']:.2f} ({one['q25']:.2f} to {one['q75']:.2f})".replace("-", "−")
