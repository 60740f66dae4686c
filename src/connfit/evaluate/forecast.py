"""What a forecaster must offer, and the forecasts of one run as arrays on disk."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.errors import DataError
from connfit.recording import Recording

FORMAT_VERSION = 1


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

    def one_step(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """Prediction of every frame t from the frames before t; NaN where there is none (frame 0)."""
        ...

    def horizon(self, recording: Recording, starts: Int[np.ndarray, "S"], steps: int) -> Float[np.ndarray, "S steps P"]:
        """Iterated prediction: entry [s, h] predicts frame `starts[s] + h + 1` given the frames up to `starts[s]`."""
        ...

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int) -> Float[np.ndarray, "frames P"]:
        """Frames `start ... start + frames - 1` on its own, after the `warmup` recorded frames before `start`."""
        ...


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
        [t, unit] free run; NaN for the first `free_run_offset` frames, which were its warm-up.
    free_run_offset
        Frames of the part that were used as warm-up (not 0 only where nothing lies before the part).
    warmup_frames
        Recorded frames that the free run was given before it ran on its own.
    """

    start: int
    values: Float[np.ndarray, "t P"]
    mask: Bool[np.ndarray, "t P"]
    one_step: Float[np.ndarray, "t P"]
    free_run: Float[np.ndarray, "t P"]
    free_run_offset: int = 0
    warmup_frames: int = 0


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
    """

    recordings: Mapping[str, RecordingForecast]

    def save(self, path: str | Path) -> None:
        """Write one compressed NPZ file (float32), atomically."""
        path = Path(path)
        arrays: dict[str, np.ndarray] = {}
        index: list[dict] = []
        for number, (name, recording) in enumerate(self.recordings.items()):
            parts = {}
            for part, forecast in recording.parts.items():
                for key in ("values", "one_step", "free_run"):
                    arrays[f"{number}.{part}.{key}"] = np.asarray(getattr(forecast, key), np.float32)
                arrays[f"{number}.{part}.mask"] = forecast.mask
                parts[part] = {
                    "start": forecast.start,
                    "free_run_offset": forecast.free_run_offset,
                    "warmup_frames": forecast.warmup_frames,
                }
            index.append(
                {
                    "name": name,
                    "units": list(recording.units),
                    "frame_rate": recording.frame_rate,
                    "value_units": recording.value_units,
                    "parts": parts,
                }
            )
        header = json.dumps({"connfit_forecasts": FORMAT_VERSION, "recordings": index})
        temporary = path.with_name(path.name + ".part")
        with open(temporary, "wb") as file:
            np.savez_compressed(file, index=np.array(header), **arrays)  # pyright: ignore[reportArgumentType]
        temporary.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> Forecasts:
        """Read a file written by `save`.

        Raises
        ------
        DataError
            If the file is absent, damaged or of another version.
        """
        path = Path(path)
        if not path.exists():
            raise DataError("no such file", path=path, fix="Run `connfit evaluate` on the run directory first")
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                header = json.loads(str(file["index"]))
                version = header["connfit_forecasts"]
                if version != FORMAT_VERSION:
                    raise DataError(
                        f"written in format {version}, this release reads format {FORMAT_VERSION}",
                        path=path,
                        fix="Run `connfit evaluate` again",
                    )
                recordings = {}
                for number, entry in enumerate(header["recordings"]):
                    parts = {
                        part: PartForecast(
                            **{
                                key: file[f"{number}.{part}.{key}"]
                                for key in ("values", "mask", "one_step", "free_run")
                            },
                            **facts,
                        )
                        for part, facts in entry["parts"].items()
                    }
                    recordings[entry["name"]] = RecordingForecast(
                        tuple(entry["units"]), float(entry["frame_rate"]), entry["value_units"], parts
                    )
        except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"not a forecasts file, or a damaged one ({error})", path=path, fix="Run `connfit evaluate` again"
            ) from error
        return cls(recordings)
