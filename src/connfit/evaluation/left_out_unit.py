"""Leave-one-unit-out: how well each recorded unit is predicted from the others through the model.

The model is run over the recorded frames of all units but one, which it is never given: its own prediction stands in
for it. What it says of that unit then comes through its connections (and its background drive) from the others. The
unit's training frames were seen by the fit, as they were by the ridge regression on the others that stands beside the
model.

Scores are of single units, over the frames of a part: skill over the unit's training mean, 1 - MSE / MSE of that mean,
and the Pearson correlation over time, which forgives a wrong level and scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.unit_scaling import Scaling
from connfit.evaluation.forecasts import Forecaster
from connfit.evaluation.left_out_ridge import OthersRidge
from connfit.evaluation.metrics import diverged, quartiles, unit_correlations, unit_skill
from connfit.recordings import Recording

MODEL, UNTRAINED, RIDGE = "model", "untrained", "ridge"

WORK = 2_000_000
"""Neurons times units up to which all units are left out in turn; of larger brains a sample."""

MIN_SAMPLE = 16
MIN_PAIRS = 6
"""Units below which a paired test can reach no usual level: with 5 the least two-sided p is 0.0625."""

LEVEL = 0.05


@runtime_checkable
class LeavesOut(Protocol):
    """A forecaster that can predict a unit from all others without ever being given it."""

    def left_out(
        self, recording: Recording, units: Int[np.ndarray, "K"], start: int, stop: int, warmup: int
    ) -> Float[np.ndarray, "frames K"]:
        """Frames `start` to `stop - 1` of the units in these columns, each from the others' frames before."""
        ...


def sampled_units(units: int, neurons: int, most: int) -> Int[np.ndarray, "K"]:
    """Columns that are left out in turn: all, or evenly spaced ones if there are more than can be afforded."""
    count = min(units, most, max(MIN_SAMPLE, WORK // max(neurons, 1)))
    return np.unique(np.round(np.linspace(0, units - 1, count)).astype(int))


def left_out_scores(
    model: Forecaster,
    initial: Forecaster | None,
    recording: Recording,
    config: EvaluateConfig | None = None,
    part: str = "test",
) -> dict[str, Any]:
    """Scores of every unit predicted from the others: model, untrained model and ridge regression.

    Returns
    -------
    dict
        `part`, `units` (scored), `of` (units of the recording), `per_unit` (`units`: names; by forecaster `skill` and
        `r`, None where undefined), `chosen` of the ridge, and what `summary` makes of it; or a `reason`.
    """
    config = config or EvaluateConfig()
    if config.left_out_units == 0:
        return {"reason": "evaluate.left_out_units = 0: not asked for"}
    if not isinstance(model, LeavesOut):
        return {"reason": f"{model.name!r} cannot be run without a unit"}
    units = len(recording.units)
    if units < 2:
        return {"reason": "one unit was recorded: there are no others to predict it from"}
    block = recording.require_parts()[part]
    start, stop = max(block.start, 1), block.stop
    if stop - start < 3:
        return {"reason": f"the {part} part has {stop - start} frames to predict, 3 are needed"}
    neurons = getattr(getattr(model, "model", None), "neurons", 1)
    at = sampled_units(units, neurons, config.left_out_units)
    values, mask = recording.values[start:stop][:, at], recording.mask[start:stop][:, at]
    means = Scaling.of(*recording.part("train")).means[at]
    reference = np.broadcast_to(means, values.shape)
    per_unit: dict[str, Any] = {"units": [recording.units[k] for k in at]}
    reasons: dict[str, str] = {}
    chosen = None
    for name, one in ((MODEL, model), (UNTRAINED, initial)):
        if isinstance(one, LeavesOut):
            predicted = one.left_out(recording, at, start, stop, config.free_run_warmup)
            fault = diverged(predicted)
            if fault:
                reasons[name] = fault
            else:
                per_unit[name] = _scores(values, predicted, reference, mask)
    try:
        ridge = OthersRidge.fit(recording, config)
        chosen = ridge.chosen
        per_unit[RIDGE] = _scores(values, ridge.predict(recording, start, stop)[:, at], reference, mask)
    except DataError as error:
        reasons[RIDGE] = str(error)
    return {
        "part": part,
        "units": len(at),
        "of": units,
        **summary([per_unit]),
        "per_unit": per_unit,
        **({} if chosen is None else {"chosen": chosen}),
        **({"reasons": reasons} if reasons else {}),
    }


def summary(per_unit: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Quartiles over the units of all recordings, and paired comparisons of the model with the others.

    Returns
    -------
    dict
        By forecaster `skill` and `r` (quartiles); `model_minus_ridge` and `model_minus_untrained` (see `paired`).
    """
    found: dict[str, Any] = {}
    for name in (MODEL, UNTRAINED, RIDGE):
        there = [one[name] for one in per_unit if name in one]
        if there:
            found[name] = {key: quartiles(_numbers(there, key)) for key in ("skill", "r")}
    for name in (UNTRAINED, RIDGE):
        both = [one for one in per_unit if MODEL in one and name in one]
        if both:
            found[f"model_minus_{name}"] = paired(
                _numbers([one[MODEL] for one in both], "skill"), _numbers([one[name] for one in both], "skill")
            )
    return found


def paired(ours: Float[np.ndarray, "K"], theirs: Float[np.ndarray, "K"]) -> dict[str, Any]:
    """Compare two forecasters unit by unit: median difference and signed-rank test (Wilcoxon 1945, Biom. Bull. 1:80).

    Returns
    -------
    dict
        `median` difference, `p_value` (two-sided), `better` and `worse` (units), `units`, `outcome`: `better`, `worse`
        or `tie` at the level 0.05. Units of one animal are not independent, so that p is smaller than it should be.
    """
    difference = (ours - theirs)[np.isfinite(ours) & np.isfinite(theirs)]
    found: dict[str, Any] = {
        "median": float(np.median(difference)) if len(difference) else None,
        "p_value": None,
        "better": int((difference > 0).sum()),
        "worse": int((difference < 0).sum()),
        "units": len(difference),
        "outcome": None,
    }
    if np.count_nonzero(difference) < MIN_PAIRS:
        return {
            **found,
            "reasons": {"p_value": f"{np.count_nonzero(difference)} units differ, {MIN_PAIRS} are needed for a test"},
        }
    p = float(np.asarray(stats.wilcoxon(difference))[1])
    outcome = "tie" if p >= LEVEL else ("better" if np.median(difference) > 0 else "worse")
    return {**found, "p_value": p, "outcome": outcome}


def pool_left_out(details: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores over the units of all recordings; single units stand with their recording."""
    scored = [one for one in details if "per_unit" in one]
    if not scored:
        return {"reason": details[0]["reason"]} if details else {"reason": "there is no recording"}
    reasons = {key: text for one in scored for key, text in one.get("reasons", {}).items()}
    lacking = len(details) - len(scored)
    if lacking:
        first = next(one["reason"] for one in details if "reason" in one)
        reasons["recordings"] = f"{lacking} of {len(details)} recordings are left out: {first}"
    return {
        "part": scored[0]["part"],
        "units": sum(one["units"] for one in scored),
        "of": sum(one["of"] for one in scored),
        **summary([one["per_unit"] for one in scored]),
        **({"reasons": reasons} if reasons else {}),
    }


def _scores(values: np.ndarray, predicted: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    return {
        "skill": _plain(unit_skill(values, predicted, reference, mask)),
        "r": _plain(unit_correlations(values, predicted, mask)),
    }


def _plain(numbers: Float[np.ndarray, "K"]) -> list[float | None]:
    return [float(one) if np.isfinite(one) else None for one in numbers]


def _numbers(each: Sequence[Mapping[str, Any]], key: str) -> Float[np.ndarray, "K"]:
    return np.array([np.nan if one is None else one for scores in each for one in scores[key]], float)
