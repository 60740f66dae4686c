"""Baselines that are given the external inputs of a recording: channels are further columns of an autoregression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.autoregression import Autoregression
from connfit.evaluation.baselines.choosing import Facts
from connfit.evaluation.baselines.room import one_free_run, room_for_runs
from connfit.evaluation.forecasts import Ahead, Frames, Noise, Runs, Starts
from connfit.evaluation.scratch import Stored
from connfit.recordings import Inputs, Recording

COLUMN = "input: "
"""Beginning of the name of a column that is an input."""


def beside_units(recording: Recording) -> Recording:
    """Return a recording with its inputs as further columns, as late as models are given them.

    A frame before the one that is predicted, the column is what the first lag of the model shows: of lag 1 the input of
    that frame, of lag 0 (exogenous inputs) that of the next one. What is missing is missing.
    """
    inputs = recording.inputs
    if inputs is None:
        return recording
    late = min(inputs.used.lags) - 1
    at = np.arange(recording.frames) - late
    there = (at >= 0) & (at < recording.frames)
    within = np.clip(at, 0, recording.frames - 1)
    mask = inputs.mask[within] & there[:, None]
    values = np.where(mask, inputs.standardised[within], np.nan)
    return replace(
        recording,
        values=np.concatenate([recording.values.astype(np.float64), values], axis=1),
        mask=np.concatenate([recording.mask, mask], axis=1),
        units=(*recording.units, *(f"{COLUMN}{name}" for name in inputs.channels)),
        inputs=None,
    )


@dataclass(frozen=True, eq=False)
class WithInputs:
    """An autoregression of units and inputs together, as a forecaster of the units.

    Forecasts of exogenous inputs take those that come; of any other the autoregression forecasts them, too. Free runs
    get the recorded inputs, or none, as the model does.

    Parameters
    ----------
    own
        Fitted to what `beside_units` returns.
    parameters
        Numbers that were fitted to predict units.
    """

    own: Autoregression
    parameters: int
    chosen: Facts
    name: str

    @classmethod
    def fit(
        cls,
        recording: Recording,
        config: EvaluateConfig,
        name: str,
        fit: Callable[[Recording, EvaluateConfig], Autoregression],
    ) -> Autoregression | WithInputs:
        """Fit; without inputs it is the autoregression itself."""
        if recording.inputs is None:
            return fit(recording, config)
        own = fit(beside_units(recording), config)
        columns, units = len(own.scaling.means), len(recording.units)
        chosen = {**own.chosen, "inputs": ", ".join(recording.inputs.channels)}
        return cls(own, round(own.parameters * units / columns), chosen, name)

    def one_step(self, recording: Recording) -> Frames:
        """Predict each frame from all frames before it."""
        return self.own.one_step(self._wide(recording))[:, : len(recording.units)]

    def horizon(self, recording: Recording, starts: Starts, steps: int) -> Ahead:
        """Iterate the one-step prediction."""
        return self.one_step_and_horizon(recording, starts, steps)[1]

    def one_step_and_horizon(
        self, recording: Recording, starts: Starts, steps: int, out: Stored | None = None
    ) -> tuple[Stored, Ahead]:
        """Return both from one pass of the filter."""
        wide, units = self._wide(recording), len(recording.units)
        given = None
        if self._inputs(recording).used.exogenous:
            ahead = np.asarray(starts)[:, None] + 1 + np.arange(steps)
            given = self._given(wide, ahead, units)
        found, ahead = self.own.one_step_and_horizon(wide, starts, steps, given=given)
        found = np.asarray(found)[:, :units]
        if out is None:
            return found, ahead[..., :units]
        out[:] = found
        return out, ahead[..., :units]

    def free_run(self, recording: Recording, start: int, frames: int, warmup: int, noise: Noise | None = None) -> Runs:
        """Iterate the one-step prediction plus the noise from what is known after the warm-up."""
        return one_free_run(self, recording, start, frames, warmup, noise)

    def free_runs(
        self,
        recording: Recording,
        start: int,
        frames: int,
        warmup: int,
        noise: Stored,
        out: tuple[Stored, Stored] | None = None,
    ) -> tuple[Stored, Stored]:
        """Return `free_run` with the noise and without."""
        wide, units = self._wide(recording), len(recording.units)
        given = self._given(wide, start + np.arange(frames)[None], units)
        if self._inputs(recording).used.free_run == "none":
            given = np.zeros_like(given)
        more = np.zeros((*noise.shape[:2], given.shape[2]))
        driven, quiet = self.own.free_runs(
            wide, start, frames, warmup, np.concatenate([noise[:], more], axis=2), given=given
        )  # fmt: skip
        out = room_for_runs(noise) if out is None else out
        out[0][:], out[1][:] = driven[..., :units], quiet[..., :units]
        return out

    def _given(self, wide: Recording, frames: Int[np.ndarray, "S steps"], units: int) -> Float[np.ndarray, "S steps Q"]:
        """Columns of inputs at some frames, as the autoregression knows them; 0, the mean, where they are missing."""
        z = self.own.scaling.standardise(wide.values, wide.mask)[0][:, units:]
        there = frames < len(z)
        return np.where(there[..., None], z[np.minimum(frames, len(z) - 1)], 0.0)

    def _wide(self, recording: Recording) -> Recording:
        self._inputs(recording)
        return beside_units(recording)

    def _inputs(self, recording: Recording) -> Inputs:
        if recording.inputs is None:
            raise DataError(f"recording {recording.name!r} has no inputs, which {self.name!r} was fitted with")
        return recording.inputs
