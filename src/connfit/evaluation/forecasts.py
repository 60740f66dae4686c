"""What a forecaster must offer, and the forecasts of one run as arrays on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from connfit._io import DAMAGE
from connfit.errors import DataError, unreadable
from connfit.evaluation.large_npz import read_large_npz, write_large_npz
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import Stored

FORMAT_VERSION = 2

_FLOATS = ("values", "one_step", "free_run", "free_run_connectivity", "free_run_deterministic")
_FACTS = ("start", "free_run_noise", "runs", "free_run_offset", "warmup_frames")


Frames = Float[np.ndarray, "T P"]
"""A value of each unit in each frame of a recording."""

Starts = Int[np.ndarray, "S"]
"""Frames that forecasts start from."""

Ahead = Float[np.ndarray, "S steps P"]
"""Forecasts from several starts."""

Noise = Float[np.ndarray, "runs frames P"]
"""What drives free runs, in the recording's own units."""

Runs = Float[np.ndarray, "*runs frames P"]
"""Free runs side by side, or one without that axis."""


@runtime_checkable
class Forecaster(Protocol):
    """Anything that predicts a recording: the fitted brain, a baseline, a model of the user's own.

    All values are in the recording's own units. A forecaster never sees the frames that it is
    asked to predict, nor any later one.
    """

    @property
    def name(self) -> str:
        """What it is called in tables and error messages."""
        ...

    def one_step(self, recording: Recording) -> Frames:
        """Predict every frame t from the frames before t; NaN where there is none (frame 0)."""
        ...

    def horizon(self, recording: Recording, starts: Starts, steps: int) -> Ahead:
        """Predict frame `starts[s] + h + 1` in entry [s, h], iterating from the frames up to `starts[s]`."""
        ...

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None = None) -> Runs:
        """Predict frames `start ... start + frames - 1` on its own, after the `warmup` recorded frames before `start`.

        Without noise, each prediction is the input of the next. With noise, for each run, z(t) =
        prediction(t) + noise(t) is the simulated observation: it is returned, and the next
        prediction is made from it as if it had been recorded. The prediction of frame t must not
        depend on the noise of t or later.
        """
        ...


@runtime_checkable
class SharingForecaster(Forecaster, Protocol):
    """A forecaster that answers several questions at once for less than one by one; the answers are the same.

    What grows with the recording it writes into `out`, block by block, where that is given: it need not fit into
    memory.
    """

    def one_step_and_horizon(
        self, recording: Recording, starts: Starts, steps: int, out: Stored | None = None
    ) -> tuple[Stored, Ahead]:
        """Return `one_step`, which is `out` where that is given, and `horizon`; `starts` ascend without repeats."""
        ...

    def free_runs(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Stored,
        out: tuple[Stored, Stored] | None = None,
    ) -> tuple[Stored, Stored]:
        """Return `free_run` with the noise and without, which are `out` where that is given."""
        ...


def check_shape(forecaster: Forecaster, method: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise an error if a forecaster returns an array of the wrong shape.

    Raises
    ------
    DataError
        Names the forecaster, the method and both shapes.
    """
    if shape != expected:
        raise DataError(f"forecaster {forecaster.name!r}: {method} returned shape {shape}, but must return {expected}")


@dataclass(frozen=True, eq=False)
class PartForecast:
    """Data and predictions of one part of one recording.

    Parameters
    ----------
    start
        First frame of the part in its recording.
    values, mask
        [t, unit] data, and where it was observed.
    one_step
        [t, unit] prediction of each frame from the frames before it.
    free_run
        [t, unit] the first free run; NaN for the first `free_run_offset` frames, which were its
        warm-up, after `connfit.evaluation.free_run.LONGEST_RUN` frames, and everywhere if there was no noise to drive
        it with.
    free_run_connectivity
        [unit, unit] functional connectivity of the free run, mean over the runs.
    free_run_deterministic
        [t, unit] the free run without noise; None if that is what `free_run` is.
    free_run_noise
        What drove the free run: `"training residuals"` or `"none"`.
    runs
        Number of free runs behind the mean; 1 without noise.
    free_run_offset
        Frames of the part that were used as warm-up (not 0 only where nothing lies before the part).
    warmup_frames
        Recorded frames that the free run was given before it ran on its own.
    """

    start: int
    values: Stored
    mask: Stored
    one_step: Stored
    free_run: Stored
    free_run_connectivity: Float[np.ndarray, "P P"]
    free_run_deterministic: Stored | None = None
    free_run_noise: str = "none"
    runs: int = 1
    free_run_offset: int = 0
    warmup_frames: int = 0

    def first(self, frames: int) -> PartForecast:
        """Return the first frames alone, in memory."""
        arrays = {key: getattr(self, key) for key in ("values", "mask", "one_step", "free_run")}
        if self.free_run_deterministic is not None:
            arrays["free_run_deterministic"] = self.free_run_deterministic
        return replace(self, **{key: np.asarray(values[:frames]) for key, values in arrays.items()})


@dataclass(frozen=True, eq=False)
class RecordingForecast:
    """Forecasts of all parts of one recording, with what is needed to draw them."""

    units: tuple[str, ...]
    frame_rate: float
    value_units: str
    parts: Mapping[str, PartForecast]


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What the fitted model predicted for every recording and part.

    Parameters
    ----------
    recordings
        By name of the recording, in the order of the fit.
    held_out
        The same of animals that were held out of the fit, with the one part `"held_out"`.
    """

    recordings: Mapping[str, RecordingForecast]
    held_out: Mapping[str, RecordingForecast] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write one compressed NPZ file (float32), atomically."""
        arrays: dict[str, Stored | np.ndarray] = {}
        index: list[dict] = []
        for number, (name, recording) in enumerate([*self.recordings.items(), *self.held_out.items()]):
            parts = {}
            for part, forecast in recording.parts.items():
                arrays |= {
                    f"{number}.{part}.{key}": values
                    for key in (*_FLOATS, "mask")
                    if (values := getattr(forecast, key)) is not None
                }
                parts[part] = {fact: getattr(forecast, fact) for fact in _FACTS}
            index.append(
                {
                    "name": name,
                    "units": list(recording.units),
                    "frame_rate": recording.frame_rate,
                    "value_units": recording.value_units,
                    "parts": parts,
                    "held_out": number >= len(self.recordings),
                }
            )
        header = json.dumps({"connfit_forecasts": FORMAT_VERSION, "recordings": index})
        write_large_npz(Path(path), {"index": np.array(header), **arrays})

    @classmethod
    def load(cls, path: str | Path) -> Forecasts:
        """Read a file written by `save`; arrays that are large stay there, and are read when they are sliced.

        Raises
        ------
        DataError
            If the file is absent, damaged or of another version.
        """
        path = Path(path)
        fix = "Run `connfit evaluate` on the run directory again"
        try:
            arrays = read_large_npz(path)
        except DAMAGE as error:
            raise unreadable(error, "truncated, damaged or not an NPZ file", path=path, fix=fix) from error
        try:
            header = json.loads(str(arrays["index"]))
            version = header["connfit_forecasts"]
            if version != FORMAT_VERSION:
                raise DataError(
                    f"written in format {version}, this release reads format {FORMAT_VERSION}",
                    path=path,
                    fix="Run `connfit evaluate` again",
                )
            recordings: dict[str, RecordingForecast] = {}
            held_out: dict[str, RecordingForecast] = {}
            for number, entry in enumerate(header["recordings"]):
                parts = {
                    part: PartForecast(
                        **{
                            key: arrays[f"{number}.{part}.{key}"]
                            for key in ("mask", *_FLOATS)
                            if key != "free_run_deterministic" or f"{number}.{part}.{key}" in arrays
                        },
                        **facts,
                    )
                    for part, facts in entry["parts"].items()
                }
                among = held_out if entry.get("held_out") else recordings
                among[entry["name"]] = RecordingForecast(
                    tuple(entry["units"]), float(entry["frame_rate"]), entry["value_units"], parts
                )
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"not a forecasts file, or a damaged one ({error})", path=path, fix="Run `connfit evaluate` again"
            ) from error
        return cls(recordings, held_out)
