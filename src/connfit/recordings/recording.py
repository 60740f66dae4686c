"""Recordings of activity: values over time, which of them were observed, and their train, validation and test parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from connfit._display import Displayed, unstorable
from connfit.errors import ConfigError, DataError, first_ten
from connfit.recordings.frame_blocks import frame_blocks
from connfit.recordings.inputs import Inputs

PART_NAMES = ("train", "validation", "test")

SAME_RATE = 0.01
"""Share by which frame rates may differ and count as the same."""


def hold_last(values: Float[np.ndarray, "T P"], mask: Bool[np.ndarray, "T P"]) -> Float[np.ndarray, "T P"]:
    """Hold the last observed value of each unit at or before each frame; NaN before the first."""
    frame = np.where(mask, np.arange(len(values))[:, None], -1)
    last = np.maximum.accumulate(frame, axis=0)
    held = np.take_along_axis(values, np.maximum(last, 0), axis=0).astype(np.float64)
    return np.where(last >= 0, held, np.nan)


def rising_times(times: object, frames: int, what: str) -> Float[np.ndarray, "T"]:
    """Return times of frames in seconds as float64.

    Raises
    ------
    DataError
        If they are no numbers, not one for each frame, not finite, or do not rise; `what` begins the message.
    """
    found = np.asarray(times)
    if found.dtype.kind not in "fiu" or found.shape != (frames,):
        raise DataError(
            f"{what}: times are {found.dtype} of shape {found.shape}, but must be {frames} numbers, the seconds of "
            "each frame"
        )
    found = found.astype(np.float64)
    wrong = ~np.isfinite(found)
    wrong[1:] |= ~(np.diff(found) > 0)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            f"{what}: the time of frame {at} is {found[at]:g} s",
            fix="Times must be finite, and each later than the one before",
        )
    return found


def check_stretches(stretches: object, frames: int, what: str, *, apart: bool) -> None:
    """Check half-open stretches of frames `(start, stop)`.

    Parameters
    ----------
    apart
        Whether they must follow each other.

    Raises
    ------
    DataError
        Names the first that is empty, beyond the frames, or overlaps; `what` begins the message.
    """
    right = f"Give pairs of whole numbers (start, stop), 0 <= start < stop <= {frames}"
    try:
        pairs = [(start, stop) for start, stop in stretches]  # type: ignore[attr-defined]  # pyright: ignore
    except (TypeError, ValueError):
        raise DataError(f"{what} is {stretches!r}, but must be stretches of frames", fix=right) from None
    before = 0
    for start, stop in pairs:
        whole = all(isinstance(at, int | np.integer) and not isinstance(at, bool) for at in (start, stop))
        if not whole or not 0 <= start < stop <= frames:
            raise DataError(f"{what} is from {start!r} to {stop!r}", fix=right)
        if apart and start < before:
            raise DataError(f"{what} from {start} to {stop} begins before frame {before}, where the one before it ends",
                            fix="Give stretches that follow each other")  # fmt: skip
        before = stop


def _within(stretches: Sequence[tuple[int, int]], start: int, stop: int) -> tuple[tuple[int, int], ...]:
    """What of stretches lies in frames from `start` to `stop - 1`, counted from there."""
    cut = [(max(first, start) - start, min(last, stop) - start) for first, last in stretches]
    return tuple((first, last) for first, last in cut if first < last)


@dataclass(frozen=True)
class Parts:
    """Consecutive, disjoint blocks of frames, each half-open `(start, stop)`.

    Parameters
    ----------
    train, validation, test
        Frame numbers from 0. `validation` may be empty (`start == stop`).
    """

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]

    def __post_init__(self) -> None:
        edges = [*self.train, *self.validation, *self.test]
        if edges != sorted(edges) or edges[0] < 0:
            raise ConfigError(f"parts must be consecutive half-open blocks train, validation, test; got {self}")
        if self.train[0] == self.train[1]:
            raise ConfigError("the training part is empty")

    def __getitem__(self, part: str) -> slice:
        if part not in PART_NAMES:
            raise ConfigError(f"there is no part {part!r}; the parts are {', '.join(PART_NAMES)}")
        return slice(*getattr(self, part))

    def length(self, part: str) -> int:
        """Count the frames of a part."""
        block = self[part]
        return block.stop - block.start

    @classmethod
    def of(cls, frames: int, *, train: float, validation: float, gap: int = 0) -> Parts:
        """Cut `frames` into fractions `train`, `validation` and the rest, `gap` unused frames between blocks."""
        if not (0 < train < 1 and 0 <= validation < 1 and train + validation < 1):
            raise ConfigError(
                f"train = {train} and validation = {validation} must be fractions whose sum is below 1, "
                "the rest is the test part"
            )
        if gap < 0:
            raise ConfigError(f"gap = {gap} must be a number of frames, 0 or more")
        first = round(train * frames)
        second = round((train + validation) * frames)
        valid_start = min(first + gap, second)
        test_start = second + gap if validation else first + gap
        if first < 2 or test_start >= frames:
            raise ConfigError(
                f"{frames} frames are too few for train = {train}, validation = {validation}, gap = {gap}"
            )
        if validation and valid_start == second:
            raise ConfigError(
                f"validation = {validation} of {frames} frames with gap = {gap} leaves the validation part without a "
                "frame: raise validation, lower gap, or set validation = 0 to fit without one"
            )
        return cls((0, first), (valid_start, second), (test_start, frames))


@dataclass(frozen=True, eq=False, repr=False)
class Recording(Displayed):
    """Activity of named units over time in one animal.

    Parameters
    ----------
    name
        Name of the recording, unique among those fitted together.
    values
        [time, unit]. Finite wherever `mask` is True.
    units
        Unit names in column order: neurons or regions. Unique.
    frame_rate
        Frames per second (Hz).
    kind
        What the values are: `"fluorescence"`, `"dff"`, `"rate"`, ...
    value_units
        Unit of the values, for example `"dimensionless"` or `"Hz"`.
    mask
        [time, unit], True where the value was observed. Default: everywhere. Values that are not
        observed are never scored; they may be NaN.
    parts
        Train, validation and test blocks, if cut.
    steps
        What preprocessing was done, in order, with every constant that is needed to repeat it.
    notes
        Facts about the source: organism, uid, file, checksum.
    inputs
        External inputs of the same frames, as stimuli or behaviour.
    times
        Time of each frame in seconds, where the source says it.
    epochs
        Named stretches of frames, each half-open `(start, stop)`, where the source has some.
    blocks
        Stretches of frames, each half-open `(start, stop)`, that are one after the other and have a start of
        their own, as trials; none: the recording is one.

    Raises
    ------
    DataError
        If shapes disagree, names repeat or an observed value is not finite.
    """

    name: str
    values: Float[np.ndarray, "T P"]
    units: tuple[str, ...]
    frame_rate: float
    kind: str = "dff"
    value_units: str = "dimensionless"
    mask: Bool[np.ndarray, "T P"] = None  # type: ignore[assignment]  # filled in below
    parts: Parts | None = None
    steps: tuple[Mapping[str, Any], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs | None = None
    times: Float[np.ndarray, "T"] | None = None
    epochs: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    blocks: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        for text in map(str, (self.name, self.value_units, *self.units, *self.epochs)):
            if why := unstorable(text):
                raise DataError(f"recording {self.name!r}: the name {text!r} {why}", fix="Rename it")
        values = np.asarray(self.values)
        if values.ndim != 2 or 0 in values.shape:
            raise DataError(
                f"recording {self.name!r}: values have shape {values.shape}, but must be [time, unit], both at least 1"
            )
        if values.dtype.kind not in "fiub":
            raise DataError(f"recording {self.name!r}: values are {values.dtype}, but must be real numbers")
        if values.dtype.kind != "f":
            values = values.astype(np.float32)
        if len(self.units) != values.shape[1]:
            raise DataError(f"recording {self.name!r}: {len(self.units)} unit names for {values.shape[1]} columns")
        for unit in (unit for unit in self.units if not isinstance(unit, str)):
            raise DataError(
                f"recording {self.name!r}: units are named by text, but {unit!r} is of type {type(unit).__name__}",
                fix="Give text: units=tuple(map(str, ids))",
            )
        seen: set[str] = set()
        repeated = [u for u in self.units if u in seen or seen.add(u)]
        if repeated:
            raise DataError(
                f"recording {self.name!r}: unit names repeat: {first_ten(repeated)}", fix="Rename or merge them"
            )
        rate = self.frame_rate
        if isinstance(rate, bool | str | bytes | None) or not np.isfinite(rate) or rate <= 0:
            raise DataError(f"recording {self.name!r}: frame_rate = {rate!r} Hz must be positive, and a number")
        mask = np.ones(values.shape, bool) if self.mask is None else np.asarray(self.mask, bool)
        if mask.shape != values.shape:
            raise DataError(f"recording {self.name!r}: mask has shape {mask.shape}, values {values.shape}")
        bad = (
            (block.start + frame, unit)
            for block in frame_blocks(0, *values.shape)
            for frame, unit in np.argwhere(mask[block] & ~np.isfinite(values[block]))
        )
        if (first := next(bad, None)) is not None:
            (frame, unit), others = first, sum(1 for _ in bad)
            raise DataError(
                f"recording {self.name!r}: {1 + others} observed values are not finite, the first at frame "
                f"{frame}, unit {self.units[unit]!r}",
                fix="Mark them as missing in the mask",
            )
        if self.parts is not None and self.parts.test[1] > len(values):
            raise DataError(
                f"recording {self.name!r}: parts end at frame {self.parts.test[1]}, the recording at {len(values)}"
            )
        if self.inputs is not None and self.inputs.frames != len(values):
            raise DataError(
                f"recording {self.name!r}: its inputs have {self.inputs.frames} frames, its values {len(values)}",
                fix="Give both the same frames",
            )
        if self.times is not None:
            object.__setattr__(self, "times", rising_times(self.times, len(values), f"recording {self.name!r}"))
        for name, each in {
            **{f"epoch {name!r}": each for name, each in self.epochs.items()},
            "block": self.blocks,
        }.items():
            check_stretches(each, len(values), f"recording {self.name!r}: {name}", apart=name == "block")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "units", tuple(self.units))

    def _display(self) -> tuple[str, Mapping[str, str]]:
        facts = {
            "frames": f"{self.frames:,} at {self.frame_rate:.4g} Hz ({self.duration_s:,.0f} s)",
            "units": str(len(self.units)),
            "values": f"{self.kind} ({self.value_units})",
        }
        missing = 1 - self.mask.mean()
        if missing:
            facts["missing"] = f"{missing:.2%}"
        if self.parts is not None:
            facts["parts"] = ", ".join(f"{part} {self.parts.length(part):,}" for part in PART_NAMES)
        if self.inputs is not None:
            facts["inputs"] = ", ".join(self.inputs.channels)
        if self.steps:
            facts["steps"] = ", ".join(str(step.get("step")) for step in self.steps)
        if self.notes.get("surrogate"):
            facts["data"] = "SURROGATE"
        return f"Recording {self.name!r}", facts

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return self.values.shape[0]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.frame_rate

    def split(self, *, train: float = 0.6, validation: float = 0.15, gap: int = 0) -> Recording:
        """Return the same recording cut into consecutive parts; `gap` frames between parts are left out."""
        parts = Parts.of(self.frames, train=train, validation=validation, gap=gap)
        return replace(self, parts=parts if not self.blocks else self._between_blocks(parts, gap))

    def _between_blocks(self, parts: Parts, gap: int) -> Parts:
        """Move the borders of parts to the nearest starts of blocks."""
        starts = [start for start, _ in self.blocks[1:]]
        borders = [parts.validation[0], *([parts.test[0]] if parts.validation[1] > parts.validation[0] else [])]
        if len(starts) < len(borders) or gap:
            raise ConfigError(
                f"recording {self.name!r} has {len(self.blocks)} blocks, and parts are whole blocks: "
                + ("data.gap is not used then, set it to 0" if gap else "give more, or set data.validation = 0")
            )
        first = min(starts[: len(starts) - len(borders) + 1], key=lambda start: abs(start - borders[0]))
        if len(borders) == 1:
            return Parts((0, first), (first, first), (first, self.frames))
        second = min((start for start in starts if start > first), key=lambda start: abs(start - borders[1]))
        return Parts((0, first), (first, second), (second, self.frames))

    def part(self, name: str) -> tuple[Float[np.ndarray, "t P"], Bool[np.ndarray, "t P"]]:
        """Return values and mask of the part `"train"`, `"validation"` or `"test"`."""
        block = self.require_parts()[name]
        return self.values[block], self.mask[block]

    def stretches(self, start: int = 0, stop: int | None = None) -> list[tuple[int, int]]:
        """Return the blocks of frames from `start` to `stop - 1`; one stretch where there are no blocks."""
        stop = self.frames if stop is None else stop
        if not self.blocks:
            return [(start, stop)]
        cut = [(max(first, start), min(last, stop)) for first, last in self.blocks]
        return [(first, last) for first, last in cut if first < last]

    def first_predicted(self, start: int) -> int:
        """Return the first frame from `start` on that has a frame of its block before it."""
        return start + 1 if start == 0 or any(start == first for first, _ in self.blocks) else start

    def frames_only(self, frames: slice) -> Recording:
        """Return some of the frames, without parts; of epochs what lies in them."""
        inputs = None if self.inputs is None else self.inputs.part(frames)
        times = None if self.times is None else self.times[frames]
        start, stop, _ = frames.indices(self.frames)
        inside = self.stretches(start, stop) if self.blocks else []
        kept = {name: _within(each, start, stop) for name, each in self.epochs.items()}
        return replace(
            self, values=self.values[frames], mask=self.mask[frames], inputs=inputs, times=times, parts=None,
            epochs={name: each for name, each in kept.items() if each},
            blocks=tuple((first - start, last - start) for first, last in inside),
        )  # fmt: skip

    def require_parts(self) -> Parts:
        """Return the parts, or raise a ConfigError that says how to cut them."""
        if self.parts is None:
            raise ConfigError(
                f"recording {self.name!r} has no parts yet: call recording.split(train=..., validation=...)"
            )
        return self.parts

    def select_units(self, names: Sequence[str]) -> Recording:
        """Return the same recording with only the units `names`, in that order."""
        position = {unit: k for k, unit in enumerate(self.units)}
        absent = [unit for unit in names if unit not in position]
        if absent:
            raise DataError(f"recording {self.name!r} has no units named {first_ten(absent)}")
        columns = [position[unit] for unit in names]
        if columns == list(range(len(self.units))):
            return self
        return replace(self, values=self.values[:, columns], mask=self.mask[:, columns], units=tuple(names))

    def with_step(self, values: np.ndarray, step: Mapping[str, Any], **changes: Any) -> Recording:
        """Return the recording after one preprocessing step, with the step and its constants added to `steps`."""
        return replace(self, values=values, steps=(*self.steps, dict(step)), **changes)
