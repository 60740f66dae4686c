"""Every unit predicted from all others: the table of model, regression, network and ceiling, and what it says."""

from __future__ import annotations

from connfit.evaluation.left_out_intervals import OverUnits
from connfit.evaluation.left_out_unit import LeftOut, LeftOutTest
from connfit.report import page
from connfit.report.wording import number, with_interval

TITLE = "Every unit from the others"
COLUMNS = ("median unit (95 % interval)", "skill over mean", "correlation over time", "model minus it, skill")
_NAMES = {
    "model": "model", "untrained": "untrained", "ridge": "ridge on the others", "mlp": "MLP on the others",
    "ceiling": "ceiling",
}  # fmt: skip
_AGAINST = {
    "ridge": "the ridge regression on the others", "mlp": "the MLP on the others", "untrained": "the untrained model",
}  # fmt: skip
HOW = (
    "In a run for each unit the model is given all others up to the frame before, and never this one. The ridge "
    "regression and the MLP are given the same frames. Intervals are over {over}. Ceiling: what noise that is "
    "independent from frame to frame leaves to any prediction."
)
SEEN = "All of them saw the unit on the training part when they were fitted."
UNSEEN = (
    "The model has seen nothing of these animals; the ridge regression and the MLP were fitted to their own first "
    "frames, and do not compete."
)


def left_out_rows(found: LeftOut) -> list[list[str]]:
    """Write a row of `COLUMNS` for each predictor and the ceiling; none where no unit was left out."""
    rows = []
    for key, name in _NAMES.items():
        scores = getattr(found, key)
        if scores is not None:
            test: LeftOutTest | None = getattr(found, f"model_minus_{key}", None)
            minus = "" if test is None else with_interval(test.median, (test.low, test.high))
            rows.append([name, _median(scores.skill_interval), _median(scores.r_interval), minus])
    return rows


def left_out_caption(found: LeftOut) -> str:
    """Say of how many units, of how many animals, the table is."""
    sampled = found.units is not None and found.of is not None and found.units < found.of
    text = f"{found.units} units" + (f", evenly spaced among {found.of}" if sampled else "")
    animals = found.model.skill_interval.animals if found.model else 0
    text += "" if found.frames is None else f", over the first {found.frames:,} frames of the part"
    return text + (f" of {animals} animals" if animals > 1 else "")


def left_out_in_words(found: LeftOut) -> list[str]:
    """State who predicts left-out units better."""
    said = []
    for key, name in _AGAINST.items():
        test: LeftOutTest | None = getattr(found, f"model_minus_{key}")
        if test is None:
            continue
        if test.outcome is None:
            said.append(f"Against {name} no comparison is possible: {test.reasons.get('p_value', 'no test')}.")
            continue
        words = {"better": "beats", "worse": "loses to", "tie": "is not distinguishable from"}[test.outcome]
        start = "It" if said else "Predicting a unit that it is never given, the model"
        said.append(
            f"{start} {words} {name}: better in {test.better} of {test.units} units, median difference in skill "
            f"{with_interval(test.median, (test.low, test.high))} (signed-rank test, p = {test.p_value:.2g})."
        )
    return said


def how_it_is_read(found: LeftOut, *, unseen: bool) -> str:
    """Describe what each predictor was given and what intervals are over."""
    over = next((scores.skill_interval.over for scores in (found.model, found.ridge) if scores), None)
    return f"{HOW.format(over=over or 'nothing, for want of units')} {UNSEEN if unseen else SEEN}"


def left_out_blocks(found: LeftOut, *, unseen: bool = False) -> list[str]:
    """Return words and the table; nothing of runs that were scored before there was one."""
    title = page.heading(TITLE)
    if found.reason:
        return [title, page.paragraph(f"No unit was left out: {found.reason}.")]
    if found.units is None:
        return []
    return [
        title,
        page.paragraph(" ".join(left_out_in_words(found))),
        page.table(list(COLUMNS), left_out_rows(found), caption=left_out_caption(found)),
        page.paragraph(how_it_is_read(found, unseen=unseen), "soft small"),
        *(page.paragraph(f"{_NAMES.get(key, key)}: {text}.", "soft small") for key, text in found.reasons.items()),
    ]


def _median(of: OverUnits) -> str:
    if of.median is None:
        return number(None)
    return with_interval(of.median, (of.low, of.high))
