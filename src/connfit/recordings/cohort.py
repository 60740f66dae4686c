"""Several recordings of different animals in one space of units, cut into windows for a learner.

Each animal has its own units. The cohort's units are their union; what one animal lacks is never
scored in it, and the model's own prediction stands in for it as input. So recordings with different
units are batched without any value being made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit._display import Displayed
from connfit.config import InputsConfig
from connfit.errors import ConfigError, DataError, UnitsError, first_ten
from connfit.recordings import Recording
from connfit.recordings.cohort_inputs import with_inputs
from connfit.recordings.frame_blocks import frame_blocks
from connfit.recordings.inputs import InputUse
from connfit.recordings.preprocess.every_recording import as_toml
from connfit.recordings.recording import SAME_RATE
from connfit.recordings.track import Steps, track, window_blocks
from connfit.recordings.training_range import TrainingRange


class Window(NamedTuple):
    """K model steps of B recordings; step t goes from frame t - 1 to frame t.

    Attributes
    ----------
    inputs
        [K, P, B] recorded activity one step before; 0 where there is none.
    forced
        [K, P, B] True where `inputs` is to be used, False where the model's own prediction is.
    targets
        [K, P, B] recorded activity; 0 where it is not scored.
    weights
        [K, P, B] weight of each squared error in the loss, 0 where it is not scored.
    external
        [K, F, B] features of external inputs; None where there are none.
    """

    inputs: Float[np.ndarray, "K P B"]
    forced: Bool[np.ndarray, "K P B"]
    targets: Float[np.ndarray, "K P B"]
    weights: Float[np.ndarray, "K P B"]
    external: Float[np.ndarray, "K F B"] | None = None


def _resampled(recording: Recording) -> dict[str, object]:
    return {"step": "resample", "rate_hz": float(f"{recording.frame_rate:.6g}")}


def _rate(recording: Recording) -> float:
    return recording.frame_rate


@dataclass(frozen=True, eq=False, repr=False)
class Cohort(Displayed):
    """Recordings that are fitted together.

    Parameters
    ----------
    recordings
        At the frame rate of the data, all with parts.
    units
        Union of their units, in order of first appearance.
    columns
        For each recording, the positions of its units in `units`.
    substeps
        Model steps per frame.
    held_out
        Recordings of other animals, which are only ever predicted: nothing here (units, means, variances,
        windows, numbers of observations) is taken from them. They hold only units of the cohort.
    left_out
        For each held-out recording, by name, its units that no other recording has.
    """

    recordings: tuple[Recording, ...]
    units: tuple[str, ...]
    columns: tuple[Int[np.ndarray, "p"], ...]
    substeps: int = 1
    held_out: tuple[Recording, ...] = ()
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def from_recordings(
        cls,
        recordings: Sequence[Recording],
        *,
        held_out: Sequence[Recording] = (),
        substeps: int = 1,
        inputs: InputsConfig | None = None,
    ) -> Cohort:
        """Pool recordings that share a frame rate (within 1 %) and a kind of values.

        Parameters
        ----------
        recordings
            To be fitted together.
        held_out
            To be predicted only. Units that no recording of the fit has are left out of them.
        substeps
            Model steps per frame.
        inputs
            Which external inputs models are given, and when; default: all that the first recording has.

        Raises
        ------
        DataError
            If there is no recording, or names repeat, or frame rates or kinds differ, or a held-out
            recording shares no unit with the others.
        """
        if not recordings:
            raise DataError("there is no recording to fit")
        recordings, held_out = with_inputs(tuple(recordings), tuple(held_out), inputs or InputsConfig())
        if substeps < 1:
            raise ConfigError(f"substeps = {substeps} must be 1 or more model steps per frame")
        first = recordings[0]
        names = [recording.name for recording in (*recordings, *held_out)]
        if len(set(names)) != len(names):
            raise DataError(f"recordings must have different names, got {', '.join(names)}")
        slowest, fastest = (pick((*recordings, *held_out), key=_rate) for pick in (min, max))
        if fastest.frame_rate / slowest.frame_rate > 1 + SAME_RATE:
            raise DataError(
                f"recording {fastest.name!r} has {fastest.frame_rate:.4g} frames/s, "
                f"{slowest.name!r} {slowest.frame_rate:.4g}",
                fix=f"Bring them to one rate, first of all in data.preprocess: {as_toml(_resampled(slowest))}",
            )
        for recording in (*recordings, *held_out):
            if recording.kind != first.kind:
                raise DataError(f"recording {recording.name!r} holds {recording.kind}, {first.name!r} {first.kind}")
        units = tuple(dict.fromkeys(unit for recording in recordings for unit in recording.units))
        position = {unit: k for k, unit in enumerate(units)}
        columns = tuple(np.array([position[unit] for unit in recording.units]) for recording in recordings)
        left_out = {
            recording.name: tuple(unit for unit in recording.units if unit not in position) for recording in held_out
        }
        for recording in held_out:
            if len(left_out[recording.name]) == len(recording.units):
                raise DataError(
                    f"held-out recording {recording.name!r} has none of the units that are fitted "
                    f"({first_ten(units)}), but {first_ten(recording.units)}",
                    fix="Hold out a recording that shares units with the others",
                )
        kept = tuple(
            recording.select_units([unit for unit in recording.units if unit in position]) for recording in held_out
        )
        return cls(recordings, units, columns, substeps, kept, left_out)

    def _display(self) -> tuple[str, Mapping[str, str]]:
        facts = {
            "recordings": first_ten(recording.name for recording in self.recordings),
            "units": str(len(self.units)),
            "frame rate": f"{self.frame_rate:.4g} Hz",
            "model steps per frame": str(self.substeps),
        }
        if self.held_out:
            facts["held out"] = first_ten(recording.name for recording in self.held_out)
        return "Cohort", facts

    @property
    def frame_rate(self) -> float:
        """Frames per second (Hz): the mean over recordings."""
        return float(np.mean([recording.frame_rate for recording in self.recordings]))

    @property
    def inputs(self) -> InputUse | None:
        """How models are given external inputs; None without any."""
        first = self.recordings[0].inputs
        return None if first is None else first.use

    @property
    def step_s(self) -> float:
        """Length of a model step in seconds."""
        return 1.0 / (self.frame_rate * self.substeps)

    def index(self, name: str) -> int:
        """Return the position of the recording `name`."""
        for k, recording in enumerate(self.recordings):
            if recording.name == name:
                return k
        raise ConfigError(f"the cohort has no recording {name!r}")

    def training_range(self, recording: Recording) -> TrainingRange:
        """Find the values of a recording that rates explain: those of its training part, or of its namesake's here.

        A recording without parts that the cohort does not know has no range but that of rates.
        """
        if recording.parts is not None:
            return TrainingRange.of(recording)
        for other in (*self.recordings, *self.held_out):
            if other.name == recording.name and set(recording.units) <= set(other.units):
                return TrainingRange.of(other.select_units(recording.units))
        return TrainingRange.unlimited(len(recording.units))

    def observations(self, part: str) -> int:
        """Count the observed values in a part, over all recordings."""
        return int(sum(recording.part(part)[1].sum() for recording in self.recordings))

    def scored(self, part: str, *, warmup_frames: int = 0) -> list[int]:
        """Count the values of a part that are scored, for each recording.

        Parameters
        ----------
        part
            In `"train"`, what is in the loss of a fit: observed values after the warm-up (the first frame of a
            recording has nothing before it). In `"validation"` and `"test"`, what skill one frame ahead is of:
            observed values whose unit was also observed in the frame before.
        warmup_frames
            Frames at the start of the training part that are run but not scored.
        """
        counts = []
        for recording in self.recordings:
            block = recording.require_parts()[part]
            start = max(block.start, 1)
            if part == "train":
                begun = [
                    recording.mask[recording.first_predicted(first) + warmup_frames : last]
                    for first, last in recording.stretches(block.start, block.stop)
                ]
                counts.append(sum(int(mask.sum()) for mask in begun))
            else:
                both = recording.mask[start : block.stop] & recording.mask[start - 1 : max(block.stop - 1, 0)]
                counts.append(int(both.sum()))
        return counts

    def training_stretches(self) -> list[tuple[int, tuple[int, int]]]:
        """Return every stretch of training frames that has a start of its own, with the position of its recording.

        Of a recording without blocks that is its training part.
        """
        return [
            (member, block)
            for member, recording in enumerate(self.recordings)
            for block in recording.stretches(*recording.require_parts().train)
        ]

    def mean_activity(self) -> Float[np.ndarray, "P"]:
        """Compute the mean of each unit over the observed training frames of all recordings that have it."""
        total, count = np.zeros(len(self.units)), np.zeros(len(self.units))
        for recording, columns in zip(self.recordings, self.columns, strict=True):
            values, mask = recording.part("train")
            for block in frame_blocks(0, *values.shape):
                total[columns] += np.where(mask[block], values[block], 0).sum(axis=0, dtype=np.float64)
                count[columns] += mask[block].sum(axis=0)
        return total / np.maximum(count, 1)

    def training_frames(self) -> list[tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "P"]]]:
        """Return the training frames of each recording, NaN where nothing was observed, and weights of its units.

        A weight is one over `change_variance`, 0 where the recording lacks the unit.
        """
        variance, found = self.change_variance(), []
        for b, (recording, columns) in enumerate(zip(self.recordings, self.columns, strict=True)):
            values, mask = recording.part("train")
            frames = values
            if not mask.all() or not np.array_equal(columns, np.arange(len(self.units))):
                frames = np.full((len(values), len(self.units)), np.nan, values.dtype)
                frames[:, columns] = np.where(mask, values, np.nan)
            found.append((frames, np.nan_to_num(1 / variance[:, b])))
        return found

    def change_variance(self) -> Float[np.ndarray, "P B"]:
        """Compute the variance of the change between consecutive observed training frames, per unit and recording.

        The squared error of a unit is divided by it: otherwise slow units of large amplitude drown
        the others. NaN where the recording lacks the unit.

        Raises
        ------
        UnitsError
            If units do not change during training, or are not observed; it names all of them.
        """
        variance, problems, unfit = np.full((len(self.units), len(self.recordings)), np.nan), [], []
        for b, (recording, columns) in enumerate(zip(self.recordings, self.columns, strict=True)):
            mask = recording.part("train")[1]
            stretches = [slice(*at) for at in recording.stretches(*recording.require_parts().train)]
            for k, column in enumerate(columns):
                each = [(recording.values[at, k], recording.mask[at, k]) for at in stretches]
                change = np.concatenate([np.diff(one[seen].astype(np.float64)) for one, seen in each])
                if len(change) < 2 or not np.var(change) > 0:
                    seen = int(mask[:, k].sum())
                    what = f"does not change over its {seen} observed training frames"
                    unfit.append(recording.units[k])
                    problems.append(
                        f"recording {recording.name!r}: unit {recording.units[k]!r} "
                        f"{what if seen else 'is not observed in the training part'}"
                    )
                else:
                    variance[column, b] = np.mean(change**2)
        if unfit:
            units = [*dict.fromkeys(unfit)]
            everywhere = all(set(units) <= set(recording.units) for recording in (*self.recordings, *self.held_out))
            drop = {"step": "select", "drop": units, **({} if everywhere else {"absent": "skip"})}
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            fix = f"Leave them out, first of all in data.preprocess: {as_toml(drop)}"
            raise UnitsError("; ".join(problems[:3]) + more, units=units, fix=fix)
        return variance

    def windows(
        self,
        steps: int,
        blocks: Sequence[tuple[int, int]],
        members: Sequence[int],
        unit_weights: Float[np.ndarray, "P B"],
        *,
        warmup_frames: int = 0,
    ) -> Iterator[Window]:
        """Cut one block of frames of each member into windows of `steps` model steps.

        Parameters
        ----------
        steps
            Window length K in model steps.
        blocks
            Half-open block of frames to predict, one per member; blocks may differ in length.
        members
            Positions of the recordings that form the batch.
        unit_weights
            [P, all recordings] weight of a unit's squared error.
        warmup_frames
            Frames at the start of each block that are run but not scored.

        Yields
        ------
        Window
            Inputs are inside the range that training showed, and targets less what the input lay beyond it
            (`connfit.recordings.training_range`). The last window, and shorter blocks, are filled up with steps that
            are not scored.
        """
        recordings = [self.recordings[member] for member in members]
        both = zip(recordings, blocks, strict=True)
        shown = [(recording.first_predicted(first), stop) for recording, (first, stop) in both]
        longest = self.substeps * max(stop - first for first, stop in shown)
        cut = list(window_blocks(longest, steps, len(self.units) * len(members)))
        tracks = [
            track(recording, block, self.substeps, self.training_range(recording), warmup_frames, cut)
            for recording, block in zip(recordings, shown, strict=True)
        ]
        for some, *each in zip(cut, *tracks, strict=True):
            outside = self._external(members, shown, some)
            for start in range(0, some.stop - some.start, steps):
                yield self._window(slice(start, start + steps), members, each, outside, unit_weights)

    def _window(
        self,
        at: slice,
        members: Sequence[int],
        tracks: Sequence[Steps],
        outside: Float[np.ndarray, "T F B"] | None,
        unit_weights: Float[np.ndarray, "P B"],
    ) -> Window:
        """One window of what was cut from each recording; steps that one lacks are not scored."""
        steps, p, b = at.stop - at.start, len(self.units), len(members)
        window = Window(
            np.zeros((steps, p, b), np.float32),
            np.zeros((steps, p, b), bool),
            np.zeros((steps, p, b), np.float32),
            np.zeros((steps, p, b), np.float32),
            None if outside is None else np.zeros((steps, outside.shape[1], b), np.float32),
        )
        if outside is not None and window.external is not None:
            now = outside[at]
            window.external[: len(now)] = now
        for k, (member, each) in enumerate(zip(members, tracks, strict=True)):
            columns = self.columns[member]
            u, y, s = each.inputs[at], each.targets[at], each.scored[at]
            there = np.isfinite(u)
            window.inputs[: len(u), columns, k] = np.where(there, u, 0)
            window.forced[: len(u), columns, k] = there
            window.targets[: len(u), columns, k] = np.where(s, y, 0)
            window.weights[: len(u), columns, k] = s * unit_weights[columns, member]
        return window

    def _external(
        self, members: Sequence[int], blocks: Sequence[tuple[int, int]], some: slice
    ) -> Float[np.ndarray, "T F B"] | None:
        """Features of external inputs at some model steps, counted from the first frame of each block."""
        if self.inputs is None:
            return None
        found = np.zeros((some.stop - some.start, len(self.inputs.features), len(members)), np.float32)
        for k, (member, (first, stop)) in enumerate(zip(members, blocks, strict=True)):
            inputs = self.recordings[member].inputs
            assert inputs is not None
            length = self.substeps * (stop - first)
            frames = first + np.arange(min(some.start, length), min(some.stop, length)) // self.substeps
            if len(frames):
                found[: len(frames), :, k] = inputs.explaining(frames)
        return found
