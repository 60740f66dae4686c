"""A fitted model: what training changed, tables of its parameters, its predictions, and the run directory it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from connfit._display import Displayed
from connfit.connectome import Connectome
from connfit.errors import ConfigError, one_of
from connfit.models.base import Model, Params, group_of
from connfit.models.forecaster import ModelForecaster
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.training.learning_rates import TRIAL, Rates

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from connfit.training.problem import Job


@dataclass(frozen=True)
class TrainingRecord:
    """What training did.

    Parameters
    ----------
    trained
        Whether any parameter changed.
    best_epoch
        Row of the history whose parameters were kept; None: those before training.
    epochs
        Epochs of the schedule that were run.
    changed
        Groups that changed.
    trial_epochs
        Epochs of the trial of learning rates that the history begins with; 0 where no trial was better than the start.
    """

    trained: bool
    best_epoch: int | None
    epochs: int
    changed: tuple[str, ...]
    trial_epochs: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Displayed):
    """A fitted model.

    Attributes
    ----------
    params
        All groups, at the best validation, before training included (at the last epoch without a validation part).
    initial_params
        All groups before training.
    history
        One row per epoch: first those of the best trial of learning rates, if it was better than the start, then those
        of the schedule; `phase` says which.
    performance
        `ms_per_step`, `first_step_s`, `steps`.
    rates
        Learning rates, given or found; None where nothing was trained.
    best_epoch
        Row of `history` that the parameters are from; None: they are those before training.
    job
        What was fitted: connectome, configuration and what the recipe found. None where the model was put together by
        hand and trained with `connfit.train`; what needs it then says so.
    """

    model: Model
    params: Params
    initial_params: Params
    cohort: Cohort
    history: tuple[dict[str, Any], ...]
    performance: dict[str, float | int | None] = field(default_factory=dict)
    rates: Rates | None = None
    best_epoch: int | None = None
    job: Job | None = None

    def _display(self) -> tuple[str, Mapping[str, str]]:
        facts = {
            "neurons": f"{self.model.neurons:,}",
            "connections": f"{self.model.connections:,}",
            "units": str(self.model.units),
            "recordings": f"{len(self.cohort.recordings)} at {self.cohort.frame_rate:.4g} Hz",
            "trained": ", ".join(self.changed) or "no, parameters are those of the start",
            "best": self._kept(),
        }
        skill = None if self.best_epoch is None else self.history[self.best_epoch].get("validation_skill")
        if skill is not None:
            facts["validation skill"] = f"{skill:.3f}"
        if self.job is not None and self.job.connectome.notes.get("surrogate"):
            facts["data"] = "SURROGATE"
        return "Fit" if self.job is None else f"Fit of {self.job.connectome.name!r}", facts

    def require_job(self) -> Job:
        """Return what was fitted.

        Raises
        ------
        ConfigError
            If the model was put together by hand, so that connectome and configuration are not known.
        """
        if self.job is None:
            raise ConfigError(
                "this model was put together by hand and trained with connfit.train: connectome and options of the fit "
                "are not known. Fit it with connfit.fit(connectome, recordings), which keeps them"
            )
        return self.job

    @property
    def connectome(self) -> Connectome:
        """The wiring that was fitted."""
        return self.require_job().connectome

    @property
    def changed(self) -> tuple[str, ...]:
        """Groups in which at least one number differs from its start, in the order of tables."""
        moved = {
            group_of(key)
            for key, value in self.params.items()
            if not np.array_equal(np.asarray(value), np.asarray(self.initial_params[key]))
        }
        return tuple(group for group in self.model.groups if group in moved)

    @property
    def trained(self) -> bool:
        """Whether the fit changed any parameter: False where no epoch was better on validation than the start."""
        return bool(self.changed)

    def training_record(self) -> TrainingRecord:
        """Describe what training did, for the key `training` of `metrics.json`."""
        trials = self._trial_epochs()
        return TrainingRecord(self.trained, self.best_epoch, len(self.history) - trials, self.changed, trials)

    def _trial_epochs(self) -> int:
        return sum(row.get("phase") == TRIAL for row in self.history)

    def _kept(self) -> str:
        """Which parameters these are, in words."""
        if self.best_epoch is None:
            return "before training"
        trials = self._trial_epochs()
        if self.best_epoch < trials:
            return f"epoch {self.best_epoch + 1} of the {TRIAL}"
        return f"epoch {self.best_epoch + 1 - trials} of {len(self.history) - trials}"

    def unchanged_warning(self) -> str | None:
        """Explain a fit that ended where it began, and what to try; None for one that changed something."""
        if self.trained:
            return None
        if not self.history:
            return "no epoch was run: parameters are those before training"
        if self.best_epoch is not None:
            return "training moved no parameter: parameters are those before training"
        return (
            "no epoch was better on validation than the start: parameters are those before training. Try a lower "
            "train.learning_rate, more train.epochs or a higher train.patience"
        )

    def forecaster(self) -> ModelForecaster:
        """Return the fitted model as a forecaster of its cohort's recordings."""
        return ModelForecaster(self.model, self.params, self.cohort, name="connfit")

    def initial_forecaster(self) -> ModelForecaster:
        """Return the untrained model as a forecaster."""
        return ModelForecaster(self.model, self.initial_params, self.cohort, name="untrained")

    def weights_table(self) -> pd.DataFrame:
        """Tabulate every connection with its weight before and after the fit.

        Returns
        -------
        DataFrame
            One row per connection, in the order of the connectome: `pre_id`, `post_id`, `pre_type`, `post_type`,
            `kind` (`chemical` or `electrical`), `synapses` (or `source_weight`), `sign`, and the signed weights
            `weight_start` and `weight_fitted` (values' unit per values' unit).
        """
        from connfit.training.parameter_tables import weights_table

        return weights_table(self.connectome, self.model, self.initial_params, self.params)

    def neurons_table(self) -> pd.DataFrame:
        """Tabulate every neuron with its parameters before and after the fit.

        Returns
        -------
        DataFrame
            One row per neuron: `id`, `type`, `region`, `recorded` (a unit reads it), `time_constant_start_s` and
            `time_constant_fitted_s` in seconds, `bias_start` and `bias_fitted` in the values' unit, which
            `attrs["units"]` names too.
        """
        from connfit.training.parameter_tables import neurons_table

        return neurons_table(self.require_job(), self.initial_params, self.params)

    def recording(self, which: str | Recording | None = None) -> Recording:
        """Find a recording as it was fitted: by name, held-out ones included; default: the first.

        Raises
        ------
        ConfigError
            If there is no such recording, or if one that is given went through other preprocessing steps.
        """
        known = {member.name: member for member in (*self.cohort.recordings, *self.cohort.held_out)}
        if isinstance(which, Recording):
            done, steps = _step_names(which), [_step_names(fitted) for fitted in known.values()]
            if done not in steps:
                raise ConfigError(
                    f"recording {which.name!r} went through the steps {done}, those of the fit through {steps[0]}: "
                    f"give the name of one of the fit ({', '.join(known)}), or preprocess it in the same way"
                )
            return which
        return next(iter(known.values())) if which is None else known[one_of("recording", which, known)]

    def predict(self, recording: str | Recording | None = None) -> xr.DataArray:
        """Predict every frame of a recording from the frames before it.

        Parameters
        ----------
        recording
            Name of a recording of the fit, or a recording that was preprocessed in the same way; default: the first.

        Returns
        -------
        DataArray
            [time, unit] in the recording's own units, NaN in the first frame; with the coordinates `time` (s), `frame`,
            `part` and `unit`.
        """
        from connfit.training.activity_arrays import activity_array

        found = self.recording(recording)
        return activity_array(self.forecaster().one_step(found), found, name="prediction")

    def simulate(
        self,
        recording: str | Recording | None = None,
        *,
        start: int | None = None,
        frames: int | None = None,
        warmup: int = 250,
        noise: Float[np.ndarray, "runs frames P"] | None = None,
    ) -> xr.DataArray:
        """Run the model on its own, after recorded frames that bring it into the animal's state.

        Parameters
        ----------
        recording
            As of `predict`.
        start
            First frame that is simulated; default: that of the test part.
        frames
            Number of frames; default: up to the end of the recording.
        warmup
            Recorded frames before `start` that the model is given.
        noise
            What is added to each prediction before the model sees it as its next input, for example drawn by
            `connfit.evaluation.residual_noise.draw_noise`. Without it the models here settle at a fixed point.

        Returns
        -------
        DataArray
            [time, unit], or [run, time, unit] with noise, with coordinates as of `predict`.

        Raises
        ------
        ConfigError
            If a start or a number of frames is not possible.
        """
        from connfit.training.activity_arrays import activity_array

        found = self.recording(recording)
        first = found.require_parts().test[0] if start is None else start
        count = found.frames - first if frames is None else frames
        if count < 1:
            raise ConfigError(f"frames = {count} to simulate from frame {first} on must be 1 or more")
        values = self.forecaster().free_run(found, first, count, warmup, noise)
        return activity_array(values, found, name="simulation", start=first)

    def save(self, out: str | Path) -> Path:
        """Write a run directory, as `connfit fit` does: `connfit.load_fit` and the command line open it.

        Data that were given in Python are kept in its folder `data`; data of a configuration stay where they are.

        Raises
        ------
        ConfigError
            If the directory holds a run already.
        """
        from connfit.training.runs import save_fit

        return save_fit(self, out)


def _step_names(recording: Recording) -> list[str]:
    return [str(step.get("step")) for step in recording.steps]
