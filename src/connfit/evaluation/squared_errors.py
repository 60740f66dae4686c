"""Squared errors of every predicted frame: what skill is a ratio of, so that it can be resampled over time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.divergence import diverged
from connfit.evaluation.forecasts import Forecaster
from connfit.evaluation.predictions import horizon_starts, one_step_fault, predictions
from connfit.evaluation.scratch import part_of
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import Stored, frame_blocks

FORMAT_VERSION = 2

ONE_STEP = 1
"""The horizon at which the frames are all those of the part, not only those after a start."""

MOST_STRETCHES = 2048
"""Stretches of frames over which errors of a part are resampled at most: those of neighbouring frames are added up."""

FEWEST_STRETCHES = 256
"""So many at least where there are that many frames, ..."""

MOST_ERRORS = 2**20
"""... and more only up to this number of errors of single units."""

MOST_UNIT_ERRORS = 200_000
"""Errors of single units that are kept per horizon: with more, those of neighbouring frames are added up ..."""

FEWEST_BINS = 16
"""... into this many stretches of frames at least."""

_ARRAYS = ("frames", "squared_error", "reference_error", "entries")
_OF_UNITS = ("unit_squared_error", "unit_reference_error")


@dataclass(frozen=True, eq=False)
class UnitErrors:
    """Squared errors of a forecaster and of persistence, at one horizon on one part, by time and unit by unit.

    Parameters
    ----------
    squared, reference
        [B, unit] in squared units of the values; 0 where the entry is not scored. Added up over B consecutive
        stretches of frames whose edges are those of `bin_edges`; of a part of usual length each is a frame, B = S.
    frames
        [S] frame that is predicted, ascending.
    entries
        [S] number of units that are scored in that frame.
    horizon
        Frames ahead.
    of_frames
        [2, S] squared errors of both in each frame, summed over units; None where B = S.
    """

    squared: Float[np.ndarray, "B P"]
    reference: Float[np.ndarray, "B P"]
    frames: Int[np.ndarray, "S"]
    entries: Int[np.ndarray, "S"]
    horizon: int
    of_frames: Float[np.ndarray, "2 S"] | None = None

    @property
    def pooled(self) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "S"]]:
        """Squared errors of both in each frame, all units together."""
        if self.of_frames is None:
            return self.squared.sum(axis=1), self.reference.sum(axis=1)
        return self.of_frames[0], self.of_frames[1]

    @property
    def spacing(self) -> float:
        """Mean distance of neighbouring stretches in frames."""
        return spacing(self.frames) * len(self.frames) / max(len(self.squared), 1)

    @property
    def skill(self) -> Float[np.ndarray, "P"]:
        """Skill over persistence of every unit; NaN where persistence has no error."""
        return ratio_skill(self.squared.sum(axis=0), self.reference.sum(axis=0))


def ratio_skill(squared: Float[np.ndarray, "*a"], reference: Float[np.ndarray, "*a"]) -> Float[np.ndarray, "*a"]:
    """Return 1 - squared / reference; NaN where the reference has no error."""
    defined = reference > 0
    return np.where(defined, 1.0 - squared / np.where(defined, reference, 1.0), np.nan)


def spacing(frames: Int[np.ndarray, "S"]) -> float:
    """Return the mean distance of neighbouring frames."""
    return float((frames[-1] - frames[0]) / (len(frames) - 1)) if len(frames) > 1 else 1.0


@dataclass(frozen=True, eq=False)
class PredictionErrors:
    """Errors of one forecaster and of persistence on one part of one recording, frame by frame.

    At every horizon, 1 - sum(`squared_error`) / sum(`reference_error`) is a skill of `metrics.json`:
    `one_step.skill_vs_persistence` at horizon 1, for which every frame of the part is predicted from the
    frames before it, and `horizon_skill` at the others, for which it is those after the common starts.

    Parameters
    ----------
    recording, part
        Where they were made.
    frames
        By horizon: [S] frame that is predicted, ascending.
    squared_error, reference_error
        By horizon: [S] squared error, summed over the units that are scored in that frame, of the
        forecaster and of persistence, in squared units of the values; 0 where none is scored.
    entries
        By horizon: [S] number of units that are scored in that frame.
    reasons
        By horizon that has no errors: why.
    unit_squared_error, unit_reference_error
        By horizon: [B, P] the same of each unit by itself, added up over B consecutive stretches of frames whose edges
        are those of `bin_edges`; B = S where S P is at most `MOST_UNIT_ERRORS`. Empty where they were not kept.
    """

    recording: str
    part: str
    frames: Mapping[int, Int[np.ndarray, "S"]]
    squared_error: Mapping[int, Float[np.ndarray, "S"]]
    reference_error: Mapping[int, Float[np.ndarray, "S"]]
    entries: Mapping[int, Int[np.ndarray, "S"]]
    reasons: Mapping[int, str] = field(default_factory=dict)
    unit_squared_error: Mapping[int, Float[np.ndarray, "B P"]] = field(default_factory=dict)
    unit_reference_error: Mapping[int, Float[np.ndarray, "B P"]] = field(default_factory=dict)

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons in frames that have errors, ascending."""
        return tuple(sorted(self.squared_error))

    def skill(self, horizon: int) -> float | None:
        """Return skill over persistence at one horizon; None where it has no errors."""
        if horizon not in self.squared_error:
            return None
        return float(1.0 - self.squared_error[horizon].sum() / self.reference_error[horizon].sum())

    def unit_skill(self, horizon: int) -> Float[np.ndarray, "P"] | None:
        """Return the skill of each unit; NaN for a unit that does not change, None where none were kept."""
        if horizon not in self.unit_squared_error:
            return None
        return ratio_skill(*(getattr(self, key)[horizon].sum(axis=0) for key in _OF_UNITS))

    def to_arrays(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Return everything as arrays with names that start with `prefix`, for an NPZ file that holds several."""
        facts = {
            "connfit_errors": FORMAT_VERSION,
            "recording": self.recording,
            "part": self.part,
            "horizons": list(self.horizons),
            "reasons": {str(h): why for h, why in self.reasons.items()},
        }
        arrays = {f"{prefix}index": np.array(json.dumps(facts))}
        for key in _ARRAYS:
            arrays.update({f"{prefix}{key}.{h}": getattr(self, key)[h] for h in self.horizons})
        for key in _OF_UNITS:
            arrays.update({f"{prefix}{key}.{h}": values for h, values in getattr(self, key).items()})
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], prefix: str = "") -> PredictionErrors:
        """Read what `to_arrays` made.

        Raises
        ------
        DataError
            If the arrays are not there or of another version.
        """
        try:
            facts = json.loads(str(arrays[f"{prefix}index"]))
            if facts["connfit_errors"] != FORMAT_VERSION:
                raise DataError(f"errors in format {facts['connfit_errors']}, this release reads {FORMAT_VERSION}")
            found = {key: {h: np.asarray(arrays[f"{prefix}{key}.{h}"]) for h in facts["horizons"]} for key in _ARRAYS}
            found |= {
                key: {h: np.asarray(arrays[at]) for h in facts["horizons"] if (at := f"{prefix}{key}.{h}") in arrays}
                for key in _OF_UNITS
            }
            reasons = {int(h): why for h, why in facts["reasons"].items()}
            errors = cls(facts["recording"], facts["part"], **found, reasons=reasons)
            errors._check_shapes()
            return errors
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"not prediction errors ({error!r})") from error

    def _check_shapes(self) -> None:
        """Raise a ValueError for arrays of other numbers or sizes than `to_arrays` writes."""
        for h, frames in self.frames.items():
            whole, sums = (frames, self.entries[h]), (self.squared_error[h], self.reference_error[h])
            if not all(_is(values, "iu", frames.size) for values in whole) or not all(
                _is(values, "f", frames.size) for values in sums
            ):
                raise ValueError(f"errors {h} frames ahead are not one number for each frame")
            units = [of_units[h] for key in _OF_UNITS if h in (of_units := getattr(self, key))]
            if units and not (len(units) == 2 and all(_is(values, "f", *units[0].shape[:2]) for values in units)):
                raise ValueError(f"errors of units {h} frames ahead are not two tables alike")


def _is(values: np.ndarray, kinds: str, *shape: int) -> bool:
    return values.shape == shape and values.dtype.kind in kinds


def prediction_errors(
    forecaster: Forecaster, recording: Recording, part: str = "test", config: EvaluateConfig | None = None
) -> PredictionErrors:
    """Compute errors of a forecaster on one part, one step ahead and at the horizons of `config`.

    Where `connfit.evaluation.scores.score_and_forecast` is called anyway, its result has them already.

    Raises
    ------
    DataError
        If the forecaster returns an array of the wrong shape.
    """
    config = config or EvaluateConfig()
    one_step, ahead = predictions(forecaster, recording, [part], config)
    return errors_of(one_step, ahead[part], recording, part, config)


def bin_edges(frames: int, bins: int) -> Int[np.ndarray, "B+1"]:
    """Return where each of B stretches of frames begins, and the end of the last."""
    return np.round(np.linspace(0, frames, bins + 1)).astype(np.int64)


def _bins(frames: int, units: int) -> int:
    """Stretches of frames over which errors of units are added up for the file."""
    return frames if frames * units <= MOST_UNIT_ERRORS else min(frames, max(FEWEST_BINS, MOST_UNIT_ERRORS // units))


def stretches(frames: int, units: int) -> int:
    """Return the number of stretches of frames over which errors are resampled."""
    return min(frames, MOST_STRETCHES, max(FEWEST_STRETCHES, MOST_ERRORS // max(units, 1)))


def errors_of(
    one_step: Stored,
    ahead: Float[np.ndarray, "S steps P"],
    recording: Recording,
    part: str,
    config: EvaluateConfig,
) -> PredictionErrors:
    """Return errors of given predictions; arguments as of `unit_errors`."""
    return pooled_errors(*unit_errors(one_step, ahead, recording, part, config), recording.name, part)


def unit_errors(
    one_step: Stored,
    ahead: Float[np.ndarray, "S steps P"] | str,
    recording: Recording,
    part: str,
    config: EvaluateConfig,
    persistence: Stored | None = None,
) -> tuple[dict[int, UnitErrors], dict[int, str]]:
    """Return errors of given predictions at 1 frame, every one of the part, and at the horizons of `config`.

    Parameters
    ----------
    one_step
        Prediction of every frame of the recording from the frames before it.
    ahead
        Predictions from the starts of `connfit.evaluation.predictions.horizon_starts` on, or why there are none.
    persistence
        Its one-step predictions, if they are there.

    Returns
    -------
    errors
        By horizon.
    reasons
        By horizon that has no errors: why.
    """
    block = recording.require_parts()[part]
    reference = Persistence()
    starts, too_long = horizon_starts(recording, part, config)
    held = reference.horizon(recording, starts, 1)[:, 0]
    wanted: dict[int, tuple[np.ndarray, Stored, Stored]] = {}
    reasons: dict[int, str] = {}
    fault = "the part has no frames" if block.stop == block.start else one_step_fault(one_step, recording, block)
    if fault:
        reasons[ONE_STEP] = fault
    else:
        last = reference.one_step(recording) if persistence is None else persistence
        wanted[ONE_STEP] = np.arange(block.start, block.stop), part_of(one_step, block), part_of(last, block)
    for h in config.horizons:
        if h == ONE_STEP:
            continue
        if isinstance(ahead, str) or h in too_long:
            reasons[h] = ahead if isinstance(ahead, str) else too_long[h]
        elif diverged(np.swapaxes(ahead[:, :h], 0, 1)):
            reasons[h] = f"the prediction stops being finite within {h} steps"
        else:
            wanted[h] = starts + h, ahead[:, h - 1], held
    found: dict[int, UnitErrors] = {}
    for h, (frames, prediction, last) in wanted.items():
        errors = _added_up(recording, frames, prediction, last, h)
        if errors is None:
            reasons[h] = "the squared error overflows: the prediction diverged"
        else:
            found[h] = errors
    return found, reasons


def _added_up(
    recording: Recording, frames: Int[np.ndarray, "S"], prediction: Stored, last: Stored, horizon: int
) -> UnitErrors | None:
    """Errors of a prediction [S, P] of these frames, by stretches of them; None where they overflow."""
    units = len(recording.units)
    edges = bin_edges(len(frames), stretches(len(frames), units))
    sums = np.zeros((2, len(edges) - 1, units))
    of_frames, entries = np.zeros((2, len(frames))), np.zeros(len(frames), np.int64)
    for block in frame_blocks(0, len(frames), units):
        values = recording.values[frames[block]].astype(np.float64)
        there = np.asarray(prediction[block]), np.asarray(last[block])
        scored = recording.mask[frames[block]] & np.isfinite(there[0]) & np.isfinite(there[1])
        entries[block] = scored.sum(axis=1)
        stretch = np.searchsorted(edges, np.arange(block.start, block.stop), side="right") - 1
        for side, predicted in enumerate(there):
            with np.errstate(over="ignore", invalid="ignore"):
                square = np.where(scored, values - predicted, 0.0) ** 2
                of_frames[side, block] = square.sum(axis=1)
            if len(edges) > len(frames):
                sums[side, block] = square
            else:
                first = np.flatnonzero(np.diff(stretch, prepend=-1))
                sums[side, stretch[first]] += np.add.reduceat(square, first, axis=0)
    if not np.isfinite(of_frames[0].sum()):
        return None
    return UnitErrors(sums[0], sums[1], frames, entries, horizon, of_frames)


def pooled_errors(
    errors: Mapping[int, UnitErrors], reasons: Mapping[int, str], recording: str, part: str
) -> PredictionErrors:
    """Return errors of all units together, of what `unit_errors` found."""
    found: dict[str, dict[int, np.ndarray]] = {key: {} for key in (*_ARRAYS, *_OF_UNITS)}
    faults = dict(reasons)
    for h, of in errors.items():
        if not of.entries.any():
            faults[h] = "no entry is observed, predicted and covered by the reference"
        elif not of.reference.any():
            faults[h] = "the reference has no error: the data do not change"
        else:
            for key, values in zip(_ARRAYS, (of.frames, *of.pooled, of.entries), strict=True):
                found[key][h] = values
            edges = bin_edges(len(of.squared), _bins(*of.squared.shape))
            for key, values in zip(_OF_UNITS, (of.squared, of.reference), strict=True):
                found[key][h] = values if len(edges) > len(values) else np.add.reduceat(values, edges[:-1], axis=0)
    return PredictionErrors(recording, part, **found, reasons=faults)
