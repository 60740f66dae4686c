"""What epochs of a fit are compared by: predictions of the validation part, one frame and several frames ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from connfit.config import TrainConfig
from connfit.errors import ConfigError, first_ten
from connfit.models.forecaster import ModelForecaster
from connfit.recordings import PART_NAMES, Recording
from connfit.recordings.cohort import Cohort

SELECTION_HORIZONS = (1, 2, 5, 10)
SELECTION_STARTS = 32
NEAR_STARTS = 128
"""Where near horizons count more, all are scored on as many frames as there are, up to this number."""
MOST_PREDICTED = 2**22
"""Values of several recordings that are predicted side by side, at most; of a single one as many as it has."""

SELECTION_FRAMES_BEFORE = 100  # of the recording, after a settled start: enough for all but the slowest neurons


class Validation(NamedTuple):
    """Skill over persistence one frame ahead, and the value by which epochs are compared (higher is better).

    The value is -inf where the prediction is not finite, so that such parameters are never the best.
    """

    value: float
    skill: float


def check_parts_scored(cohort: Cohort, config: TrainConfig) -> None:
    """Raise an error if training or selection would score nothing.

    Raises
    ------
    ConfigError
        Names the option, the recording and what would be right.
    """
    if not config.epochs + config.free_run_epochs:
        return
    if not any(cohort.scored("train", warmup_frames=config.warmup_frames)):
        longest = max(cohort.recordings, key=lambda recording: recording.require_parts().length("train"))
        frames = longest.require_parts().length("train")
        scorable = max(cohort.scored("train"))
        what = (
            f"train.warmup_frames = {config.warmup_frames} leaves nothing to train on: the longest training part "
            f"(recording {longest.name!r}) has {frames} frames, the first {config.warmup_frames + 1} of which are not "
            "scored"
        )
        fix = (
            f"Set train.warmup_frames to {max(frames // 4, 0)} or less, raise data.train, or give longer recordings"
            if scorable
            else "No unit is observed there after its first frame"
        )
        raise ConfigError(f"{what}. {fix}")
    lengths = [recording.require_parts().length("validation") for recording in cohort.recordings]
    if not any(lengths):
        return
    longest = cohort.recordings[int(np.argmax(lengths))].name
    if not any(cohort.scored("validation")):
        raise ConfigError(
            f"data.validation leaves nothing to compare epochs by: the longest validation part (recording {longest!r}) "
            f"has {max(lengths)} frames, and no unit is observed in two frames in a row; raise data.validation, or set "
            "it to 0 to fit without selection"
        )
    if config.select_on != "one_step":
        if max(lengths) <= SELECTION_HORIZONS[-1]:
            raise ConfigError(
                f"train.select_on = {config.select_on!r} needs more than {SELECTION_HORIZONS[-1]} validation frames, "
                f"the longest validation part has {max(lengths)} (recording {longest!r}); set it to 'one_step' or "
                "raise data.validation"
            )
        counts = sum(selection_pairs(cohort, member) for member in range(len(lengths)))
        empty = [ahead for ahead, count in zip(SELECTION_HORIZONS, np.atleast_1d(counts), strict=True) if not count]
        if empty:
            raise ConfigError(
                f"train.select_on = {config.select_on!r} finds no unit of the validation parts that is observed at a "
                f"start and {empty[0]} {'frame' if empty[0] == 1 else 'frames'} later; set it to 'one_step', or "
                "data.validation = 0 to fit without selection"
            )


def members_left_out(cohort: Cohort, config: TrainConfig) -> list[str]:
    """List recordings and units that take no part in training, selection of epochs or test scores."""
    found = []
    trained = cohort.scored("train", warmup_frames=config.warmup_frames)
    checked, tested = cohort.scored("validation"), cohort.scored("test")
    for member, recording in enumerate(cohort.recordings):
        parts = recording.require_parts()
        train, validation, test = (parts.length(part) for part in PART_NAMES)
        if not trained[member]:
            found.append(
                f"{recording.name}: contributes nothing to the loss: of its {train} training frames the first "
                f"{min(config.warmup_frames + 1, train)} are not scored (train.warmup_frames = "
                f"{config.warmup_frames}), and nothing is observed after them"
            )
        if validation and not checked[member]:
            found.append(
                f"{recording.name}: no unit is observed in two frames in a row in its {validation} validation frames: "
                "it does not count when epochs are compared"
            )
        elif validation and config.select_on != "one_step" and not selection_pairs(cohort, member).all():
            found.append(
                f"{recording.name}: its {validation} validation frames are too few for {SELECTION_HORIZONS[-1]} frames "
                "ahead: it does not count in every horizon when epochs are compared"
            )
        if not tested[member]:
            found.append(
                f"{recording.name}: nothing is scored in its {test} test frames: no unit is observed in two frames in "
                "a row"
            )
        counted = {"train": trained[member], "validation": checked[member], "test": tested[member]}
        found += [unit for part in PART_NAMES if counted[part] for unit in _units_left_out(recording, part, config)]
    return found


def _units_left_out(recording: Recording, part: str, config: TrainConfig) -> list[str]:
    """Units of which nothing is scored in a part, where others are, in words."""
    block = recording.require_parts()[part]
    start = max(block.start, 1)
    if part == "train":
        scored, why = recording.mask[start + config.warmup_frames : block.stop], "not observed after the warm-up"
    else:
        scored = recording.mask[start : block.stop] & recording.mask[start - 1 : block.stop - 1]
        why = "not observed in two frames in a row"
    names = [recording.units[k] for k in np.flatnonzero(~scored.any(axis=0))]
    if not names:
        return []
    units = f"{len(names)} of {len(recording.units)} units {'is' if len(names) == 1 else 'are'}"
    return [f"{recording.name}: {units} not scored in the {part} part ({why}): {first_ten(names)}"]


def _selection_starts(start: int, stop: int, most: int = SELECTION_STARTS) -> Int[np.ndarray, "S"]:
    """Frames of a validation part that forecasts start from; none if it is shorter than the longest horizon."""
    last = stop - 1 - SELECTION_HORIZONS[-1]
    if last < start:
        return np.zeros(0, int)
    return np.unique(np.linspace(start, last, most).astype(int))


def selection_pairs(cohort: Cohort, member: int) -> Int[np.ndarray, "H"]:
    """Values of a recording's validation part that are scored at each of `SELECTION_HORIZONS`."""
    recording = cohort.recordings[member]
    starts = _selection_starts(*recording.require_parts().validation)
    at = starts[:, None] + np.array(SELECTION_HORIZONS)
    return (recording.mask[at] & recording.mask[starts][:, None]).sum(axis=(0, 2))


def horizons_fit(cohort: Cohort) -> bool:
    """Return whether predictions can be compared at every one of `SELECTION_HORIZONS` on validation parts."""
    pairs = np.sum([selection_pairs(cohort, member) for member in range(len(cohort.recordings))], axis=0)
    return bool(pairs.all())


def selection_measure(*, horizons: bool, near: bool = False) -> str:
    """Describe what the value of a validation is."""
    if not horizons:
        return "skill over persistence one frame ahead, units by their change from frame to frame"
    *some, last = SELECTION_HORIZONS
    ahead = f"{', '.join(map(str, some))} and {last}"
    if near:
        return f"mean skill over persistence {ahead} frames ahead, each h ahead with weight 1/h, units by their change"
    return f"mean skill over persistence {ahead} frames ahead, units by their change from frame to frame"


class _Part(NamedTuple):
    """A validation part after some frames before it, its first frame, and the frames that forecasts start from."""

    member: int
    recording: Recording
    first: int
    starts: Int[np.ndarray, "S"]


def _compared_part(cohort: Cohort, member: int, *, near: bool) -> _Part | None:
    recording = cohort.recordings[member]
    start, stop = recording.require_parts().validation
    if start == stop:
        return None
    first = max(0, start - SELECTION_FRAMES_BEFORE)
    starts = _selection_starts(start - first, stop - first, NEAR_STARTS if near else SELECTION_STARTS)
    return _Part(member, recording.frames_only(slice(first, stop)), start - first, starts)


def _side_by_side(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """Parts whose predictions are held at once."""
    some: list[_Part] = []
    for part in parts:
        if some and sum(one.recording.values.size for one in [*some, part]) > MOST_PREDICTED:
            yield some
            some = []
        some.append(part)
    if some:
        yield some


@np.errstate(over="ignore", invalid="ignore")
def validate(
    forecaster: ModelForecaster, unit_weights: Float[np.ndarray, "P R"], *, horizons: bool, near: bool = False
) -> Validation:
    """Score a model on the validation parts of its cohort.

    Parameters
    ----------
    unit_weights
        Weight of a unit's squared error in each recording, as in the loss.
    horizons
        Compare by the mean skill over `SELECTION_HORIZONS` instead of that of one frame ahead.
    near
        That mean with weights 1/h: forecasts h frames ahead overlap, so that a part of T frames holds about T/h of them
        that are independent. Scored on all frames, up to `NEAR_STARTS`.
    """
    cohort, ahead = forecaster.cohort, np.array(SELECTION_HORIZONS)
    one_step, later = np.zeros((2, 1)), np.zeros((2, len(ahead)))
    parts = [_compared_part(cohort, member, near=near) for member in range(len(cohort.recordings))]
    for some in _side_by_side([part for part in parts if part is not None]):
        starts = [part.starts if horizons else part.starts[:0] for part in some]
        found = forecaster.one_step_and_horizon_of([part.recording for part in some], starts, int(ahead[-1]))
        for part, at, (next_frame, forecast) in zip(some, starts, found, strict=True):
            weights = unit_weights[cohort.columns[part.member], part.member]
            frames = np.arange(max(part.first, 1), part.recording.frames)
            now = np.asarray(next_frame)[frames, None]
            one_step += _squares(part.recording, now, frames - 1, np.ones(1, int), weights)
            later += _squares(part.recording, forecast[:, ahead - 1], at, ahead, weights)
    skill = float(1 - one_step[0, 0] / one_step[1, 0])
    shares = 1 / ahead if near else np.ones(len(ahead))
    value = float(np.average(1 - later[0] / later[1], weights=shares)) if horizons else skill
    return Validation(value if np.isfinite(value) else float("-inf"), skill)


def _squares(
    recording: Recording,
    forecast: Float[np.ndarray, "S H P"],
    starts: Int[np.ndarray, "S"],
    ahead: Int[np.ndarray, "H"],
    weights: Float[np.ndarray, "P"],
) -> Float[np.ndarray, "2 H"]:
    """Weighted squared errors of a forecast and of persistence, where start and target were observed."""
    at = starts[:, None] + ahead
    known = recording.mask[at] & recording.mask[starts][:, None]
    truth, now = np.nan_to_num(recording.values[at]), np.nan_to_num(recording.values[starts])[:, None]
    # Between blocks nothing is predicted: 0 times NaN is NaN.
    errors = [np.where(known, predicted - truth, 0) ** 2 for predicted in (forecast, now)]
    return np.stack([(weights * each).sum(axis=(0, 2)) for each in errors])
