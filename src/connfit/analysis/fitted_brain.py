"""A fitted brain as analyses see it; what takes long is made once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float

from connfit._system.paths import unfinished
from connfit.analysis.analysis_options import ENTRIES, AnalysisOptions
from connfit.analysis.dynamics.simulated_activity import DrivenRun, driven_run
from connfit.config import Config
from connfit.connectome import Connectome
from connfit.errors import ConnfitError
from connfit.evaluation.residual_noise import Residuals, residuals_of
from connfit.models.forecaster import ModelForecaster
from connfit.training.fitted import Fit

MODELS = {"model": "fitted model", "untrained": "untrained model"}
"""Parameters that are simulated, in words: those after the fit, and those before it."""


class FittedBrain:
    """A fit with its data, its wiring, and its activity in free runs; as a context, it removes its files.

    Attributes
    ----------
    fit, connectome, config
        What was fitted, and how.
    options
        Options that analyses share.
    results
        Of the analyses that have run, by name.
    of_neurons
        [N] what they found of each neuron, by name, for `neurons.npz`.
    """

    def __init__(
        self,
        fit: Fit,
        connectome: Connectome,
        config: Config,
        options: AnalysisOptions,
        folder: Path,
        tell: Callable[[str], None] = lambda stage: None,
    ) -> None:
        """See the class.

        Parameters
        ----------
        folder
            Where rates of neurons lie until the end: up to 1.2 GB for each of the models.
        tell
            Called with what is being done.
        """
        self.fit, self.connectome, self.config, self.options = fit, connectome, config, options
        self.tell = tell
        self.results: dict[str, Any] = {}
        self.of_neurons: dict[str, Float[np.ndarray, "N"]] = {}
        self._folder = folder
        self._files: list[Path] = []
        self._runs: dict[str, tuple[DrivenRun, ...] | ConnfitError] = {}
        self._residuals: dict[tuple[str, int], Residuals] = {}
        frames = [recording.frames for recording in fit.cohort.recordings]
        self.watched, self.recordings_of_neurons = kept_neurons(fit.model.neurons, frames, options)

    @cached_property
    def data(self) -> list[Float[np.ndarray, "t p"]]:
        """[time, unit] values of each recording; NaN where nothing was observed."""
        recordings = self.fit.cohort.recordings
        return [np.where(recording.mask, recording.values, np.float32(np.nan)) for recording in recordings]

    @property
    def frame_rate_hz(self) -> float:
        """Of all recordings."""
        return self.fit.cohort.frame_rate

    @property
    def neurons_in_words(self) -> str:
        """Which neurons the activity of free runs is of, and what of those that spike is counted."""
        some = (
            "neurons" if len(self.watched) == self.fit.model.neurons else f"a sample of {len(self.watched):,} neurons"
        )
        if not self.fit.model.neuron.spikes:
            return some
        return f"{some} (spikes in each frame of {1000 / self.frame_rate_hz:.4g} ms)"

    def forecaster(self, model: str) -> ModelForecaster:
        """Return one of `MODELS` as it predicts."""
        return self.fit.forecaster() if model == "model" else self.fit.initial_forecaster()

    def runs(self, model: str) -> tuple[DrivenRun, ...]:
        """Return a free run of one of `MODELS` for each recording, of its length and driven by its residuals.

        Raises
        ------
        ConnfitError
            If one diverges, or there are too few residuals; each time it is asked for.
        """
        if model not in self._runs:
            self.tell(f"free runs of the {MODELS[model]}")
            try:
                self._runs[model] = tuple(self._run(model, k) for k in range(len(self.data)))
            except ConnfitError as error:
                self._runs[model] = error
        found = self._runs[model]
        if isinstance(found, ConnfitError):
            raise found
        return found

    def made(self, model: str) -> tuple[DrivenRun, ...]:
        """Return the free runs of a model that are there already."""
        found = self._runs.get(model, ())
        return () if isinstance(found, ConnfitError) else found

    def residuals(self, model: str, k: int) -> Residuals:
        """Return one-step errors of one of `MODELS` on the training part of recording k."""
        if (model, k) not in self._residuals:
            recording = self.fit.cohort.recordings[k]
            one_step = self.forecaster(model).one_step(recording)
            found = residuals_of(one_step, recording, self.config.evaluate.free_run_warmup)
            self._residuals[model, k] = found
        return self._residuals[model, k]

    def _run(self, model: str, k: int) -> DrivenRun:
        keeps = k < self.recordings_of_neurons
        return driven_run(
            self.forecaster(model),
            self.fit.cohort.recordings[k],
            warmup=self.config.evaluate.free_run_warmup,
            seed=(self.options.seed, k),
            neurons=self.watched if keeps else None,
            scratch=self._scratch(model, k) if keeps else None,
            residuals=self.residuals(model, k),
        )

    def _scratch(self, model: str, k: int) -> Path:
        self._files.append(path := unfinished(self._folder / f"{model}-{k}"))
        return path

    def __enter__(self) -> FittedBrain:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for path in self._files:
            path.unlink(missing_ok=True)


def kept_neurons(neurons: int, frames: Sequence[int], options: AnalysisOptions) -> tuple[np.ndarray, int]:
    """Choose the neurons whose rates are kept, and of how many recordings, within what the disk should hold."""
    most = min(options.neurons or neurons, neurons, max(1, ENTRIES // frames[0]))
    recordings = max(1, int((np.cumsum(np.asarray(frames) * most) <= ENTRIES).sum()))
    if most == neurons:
        return np.arange(neurons), recordings
    return np.sort(np.random.default_rng(options.seed).choice(neurons, most, replace=False)), recordings
