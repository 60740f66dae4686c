"""External inputs of a recording: what came from outside, as stimuli and behaviour, and how a model is given it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit._display import unstorable
from connfit.errors import ConfigError, DataError, first_ten, one_of

FREE_RUNS = ("recorded", "none")


@dataclass(frozen=True, eq=False)
class Inputs:
    """Named channels beside the activity of a recording, frame by frame.

    Parameters
    ----------
    values
        [time, channel], of the recording's frames. Finite wherever `mask` is True.
    channels
        Their names, as `"light"`.
    units
        Unit of each channel, as `"mm/s"`; default: none is known.
    mask
        [time, channel], True where the value is known. Default: everywhere.
    use
        How models are given them; `InputUse.of` makes it when recordings are fitted together.

    Raises
    ------
    DataError
        If shapes disagree, names repeat or a known value is not finite.
    """

    values: Float[np.ndarray, "T Q"]
    channels: tuple[str, ...]
    units: tuple[str, ...] = ()
    mask: Bool[np.ndarray, "T Q"] = None  # type: ignore[assignment]  # filled in below
    use: InputUse | None = None

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.dtype.kind not in "fiub":
            raise DataError(f"inputs: values are {values.dtype}, but must be real numbers")
        values = values.astype(np.float64)
        if isinstance(self.channels, str):
            raise DataError(f"inputs: channels = {self.channels!r} is one word: give a tuple, as ({self.channels!r},)")
        channels = tuple(map(str, self.channels))
        if values.ndim != 2 or values.shape[1] != len(channels) or 0 in values.shape:
            raise DataError(
                f"inputs: values have shape {values.shape} for {len(channels)} channels, but must be [time, channel], "
                "both at least 1"
            )
        for name in channels:
            if not name.strip() or (why := unstorable(name)):
                raise DataError(f"inputs: the channel name {name!r} {why if name.strip() else 'is empty'}")
        if repeated := [name for k, name in enumerate(channels) if name in channels[:k]]:
            raise DataError(f"inputs: channel names repeat: {first_ten(repeated)}", fix="Rename or remove them")
        units = tuple(self.units) or ("",) * len(channels)
        for unit in map(str, units):
            if why := unstorable(unit):
                raise DataError(f"inputs: the unit {unit!r} {why}", fix="Rename it")
        if len(units) != len(channels):
            raise DataError(f"inputs: {len(units)} units for {len(channels)} channels")
        mask = np.ones(values.shape, bool) if self.mask is None else np.asarray(self.mask)
        if mask.shape != values.shape or mask.dtype != bool:
            raise DataError(
                f"inputs: the mask is {mask.dtype} of shape {mask.shape}, but must be of True and False, with the "
                f"shape of the values, {values.shape}"
            )
        # A model computes in single precision, where larger values are infinite.
        bad = np.argwhere(mask & ~(np.abs(values) <= np.finfo(np.float32).max))
        if len(bad):
            frame, channel = bad[0]
            raise DataError(
                f"inputs: {len(bad)} values are not finite or too large, the first at frame {frame}, channel "
                f"{channels[channel]!r}",
                fix="Mark them as missing in the mask",
            )
        for name, value in (("values", values), ("channels", channels), ("units", units), ("mask", mask)):
            object.__setattr__(self, name, value)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.values)

    def part(self, frames: slice | Int[np.ndarray, "n"]) -> Inputs:
        """Return some of the frames."""
        return replace(self, values=self.values[frames], mask=self.mask[frames])

    def select(self, channels: Sequence[str]) -> Inputs:
        """Return some of the channels, in this order."""
        at = [self.channels.index(one_of("input channel", name, self.channels)) for name in channels]
        return replace(
            self, values=self.values[:, at], mask=self.mask[:, at], channels=tuple(channels),
            units=tuple(self.units[k] for k in at),
        )  # fmt: skip

    def beside(self, other: Inputs) -> Inputs:
        """Return the channels of both.

        Raises
        ------
        DataError
            If numbers of frames differ, or both have a channel of one name.
        """
        if self.frames != other.frames:
            raise DataError(f"inputs: {self.frames} frames of {self.channels[0]!r}, {other.frames} of "
                            f"{other.channels[0]!r}")  # fmt: skip
        return Inputs(
            np.concatenate([self.values, other.values], axis=1), (*self.channels, *other.channels),
            (*self.units, *other.units), np.concatenate([self.mask, other.mask], axis=1),
        )  # fmt: skip

    def held(self, substeps: int) -> Inputs:
        """Return so many time steps per frame; the last of them is the frame, before it the last frame is held."""
        values, mask = (np.repeat(one, substeps, axis=0) for one in (self.values, self.mask))
        late = substeps - 1
        values[late:], mask[late:] = values[: len(values) - late].copy(), mask[: len(mask) - late].copy()
        mask[:late] = False
        return replace(self, values=values, mask=mask)

    @property
    def used(self) -> InputUse:
        """How models are given them, or raise a ConfigError."""
        if self.use is None:
            raise ConfigError(
                "inputs of a recording that is in no cohort: Cohort.from_recordings says how they are used"
            )
        return self.use

    @cached_property
    def standardised(self) -> Float[np.ndarray, "T Q"]:
        """Return values of mean 0 and variance 1 over the training frames of the cohort; 0 where one is missing."""
        use = self.used
        known = np.where(self.mask, self.values, 0.0)
        return np.where(self.mask, (known - use.mean) / use.spread, 0.0)

    def explaining(self, frames: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n F"]:
        """Return the features from which frames are predicted: each channel, `lags` frames before.

        What lies before the recording, or after it, counts as missing.
        """
        use, z = self.used, self.standardised
        at = np.asarray(frames)[:, None] - np.array(use.lags)
        there = (at >= 0) & (at < len(z))
        found = np.where(there[..., None], z[np.clip(at, 0, len(z) - 1)], 0.0)
        return found.transpose(0, 2, 1).reshape(len(found), z.shape[1] * len(use.lags)).astype(np.float32)

    def expected(self, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps F"]:
        """Return the features of the `steps` frames after each start, as far as they are known at the start.

        An exogenous input is known ahead. Of any other a frame after the start is forecast by the channel's own first
        autocorrelation ρ in training: ρ^h times the last value.
        """
        use, z = self.used, self.standardised
        starts = np.asarray(starts)
        ahead = 1 + np.arange(steps)[:, None] - np.array(use.lags)
        at = starts[:, None, None] + ahead
        if use.exogenous:
            found = np.where(((at >= 0) & (at < len(z)))[..., None], z[np.clip(at, 0, len(z) - 1)], 0.0)
        else:
            last = np.minimum(at, starts[:, None, None])
            fade = use.persistence ** np.maximum(ahead, 0)[..., None]
            found = np.where((last >= 0)[..., None], z[np.maximum(last, 0)], 0.0) * fade
        return found.transpose(0, 1, 3, 2).reshape(len(starts), steps, -1).astype(np.float32)

    def in_free_runs(self, start: int, frames: int) -> Float[np.ndarray, "frames F"]:
        """Return the features of a free run: those that were recorded, or none (0, the mean)."""
        found = self.explaining(np.arange(start, start + frames))
        return found if self.used.free_run == "recorded" else np.zeros_like(found)


@dataclass(frozen=True, eq=False)
class InputUse:
    """How all models of a cohort are given the inputs: lags, and a scale of the training frames.

    Parameters
    ----------
    channels
        In this order.
    lags
        Frames before the one that is predicted, each once; 0 is that frame itself, of exogenous inputs alone.
    exogenous
        Whether they are known ahead, whatever the animal does.
    free_run
        What free runs get: `"recorded"` or `"none"`.
    mean, spread
        [channel] mean and standard deviation over the known training frames of all recordings.
    persistence
        [channel] correlation with the frame before, between 0 and 1.
    """

    channels: tuple[str, ...]
    lags: tuple[int, ...]
    exogenous: bool
    free_run: str
    mean: Float[np.ndarray, "Q"]
    spread: Float[np.ndarray, "Q"]
    persistence: Float[np.ndarray, "Q"]

    @property
    def features(self) -> tuple[str, ...]:
        """What each column of the features is: the lags of the first channel, then those of the next."""
        return tuple(f"{name} (t-{lag})" if lag else f"{name} (t)" for name in self.channels for lag in self.lags)

    @classmethod
    def of(
        cls,
        training: Iterable[tuple[str, Inputs | None]],
        channels: Sequence[str],
        *,
        lags: Sequence[int] | None = None,
        exogenous: bool = False,
        free_run: str = "recorded",
    ) -> InputUse:
        """Measure the training frames of the recordings that are fitted.

        Parameters
        ----------
        training
            Name of each recording, and the inputs of its training frames.
        channels
            Names; none: those of the first recording.
        lags
            Default: 1, and of exogenous inputs 0 and 1.

        Raises
        ------
        ConfigError
            If a lag would show a frame that is to be predicted.
        DataError
            If a recording lacks an input, or one does not vary in training.
        """
        named = list(training)
        found = [(name, require_inputs(name, inputs, channels)) for name, inputs in named]
        one_of("free_run", free_run, FREE_RUNS)
        chosen = tuple(lags) if lags is not None else (0, 1) if exogenous else (1,)
        if not chosen or len(set(chosen)) != len(chosen) or min(chosen) < 0:
            raise ConfigError(f"lags = {chosen} must name numbers of frames, each once and 0 or more")
        if 0 in chosen and not exogenous:
            raise ConfigError(
                "lags = 0 shows a frame that is to be predicted the input of the same frame: set exogenous = true if "
                "the animal cannot have made it, or leave 0 out"
            )
        shortest = min(inputs.frames for _, inputs in found)
        if max(chosen) >= shortest:
            raise ConfigError(
                f"inputs.lags = {list(chosen)} reach {max(chosen)} frames back, but the shortest training part has "
                f"{shortest} frames: give lags below that"
            )
        names = found[0][1].channels
        mean, spread, persistence = [], [], []
        for channel, name in enumerate(names):
            columns = [(one.values[:, channel], one.mask[:, channel]) for _, one in found]
            seen = np.concatenate([values[mask] for values, mask in columns])
            if not len(seen) or not np.ptp(seen) > 1e-10 * np.abs(seen).max():
                what = (
                    "does not vary over the training frames" if len(seen) else "is never known in the training frames"
                )
                raise DataError(f"input {name!r} {what}", fix="Leave it out of inputs.channels")
            mean.append(seen.mean())
            spread.append(seen.std())
            pairs = [
                np.stack([values[1:], values[:-1]])[:, mask[1:] & mask[:-1]] - mean[-1] for values, mask in columns
            ]
            now, before = np.concatenate(pairs, axis=1)
            square = (before**2).sum()
            persistence.append(float(np.clip((now * before).sum() / square, 0, 1)) if square else 0.0)
        return cls(names, chosen, exogenous, free_run, np.array(mean), np.array(spread), np.array(persistence))


def require_inputs(name: str, inputs: Inputs | None, channels: Sequence[str]) -> Inputs:
    """Return the channels of a recording's inputs, all if none are named, or raise a DataError that says what lacks."""
    there = () if inputs is None else inputs.channels
    absent = [channel for channel in channels if channel not in there]
    if inputs is None or absent:
        raise DataError(
            f"recording {name!r} lacks the inputs {first_ten(absent) or 'that others have'}; it has "
            f"{first_ten(there) or 'none'}",
            fix="Give every recording the same inputs, or name others as inputs.channels",
        )
    return inputs.select(channels) if channels else inputs
