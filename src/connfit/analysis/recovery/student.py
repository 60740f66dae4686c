"""A student of a teacher: the same wiring, some of the neurons recorded, everything else to be found by a fit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float, Int

from connfit.config import TrainConfig
from connfit.connectome import Connectome
from connfit.datasets.synthetic.known_teacher import FRAME_RATE, KnownTeacher
from connfit.errors import ConfigError
from connfit.models import Readout, init_params, start_magnitudes, tie_weights
from connfit.models.base import Model, Neurons, Params, group_of
from connfit.models.cells import find_cell
from connfit.models.connectome_model import ModelConditions
from connfit.models.rollout import Shown, State, Stepped, rollout
from connfit.recordings import Parts, Recording
from connfit.recordings.cohort import Cohort
from connfit.training.fit import train
from connfit.training.fitted import Fit
from connfit.training.learners import WindowedLearner
from connfit.training.learning_rates import parameter_sizes

VALIDATION_FRAMES = 250
START_RADIUS = 0.5
"""Spectral radius at which students start: that of the teacher is not known to them."""

TIME_CONSTANT_FRAMES = 2.0
BOUNDS_FRAMES = (0.2, 50.0)
LONGEST_TRIAL = 500
"""Frames of a trial at most: a long recording is trained on as several trials side by side, which is faster."""

MOST_TRIALS = 8


@dataclass(frozen=True)
class Training:
    """How long and how fast a student learns.

    Parameters
    ----------
    updates
        Parameter updates, whatever the number of frames.
    window
        Steps between two of them.
    learning_rate, hidden_learning_rate
        Adam's at the start, where all neurons are recorded and where some are not; it falls to a hundredth along a
        cosine. Hidden neurons, which nothing corrects, need small steps: with the larger rate the validation skill of
        recorded neurons is lower too.
    """

    updates: int = 1500
    window: int = 16
    learning_rate: float = 1e-2
    hidden_learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        for name in ("updates", "window"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ConfigError(f"{name} = {value!r} must be a whole number, 1 or more")
        for name in ("learning_rate", "hidden_learning_rate"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"{name} = {value!r} must be finite and above 0")


@dataclass(frozen=True, eq=False)
class Student:
    """What a fit may see, and the model that it fits.

    Attributes
    ----------
    recorded
        [N] True for neurons whose activity is given, sensory ones included.
    cohort
        The recording, cut into trials; the last ends with a validation part.
    model, params
        Before training.
    trained
        Groups of parameters that a fit changes.
    """

    recorded: Bool[np.ndarray, "N"]
    cohort: Cohort
    model: Model
    params: Params
    trained: tuple[str, ...]

    @property
    def observations(self) -> int:
        """Number of observed values in the training part, the stimulus not counted."""
        sensory = int(self.cohort.recordings[0].notes["sensory_units"])
        frames = sum(trial.require_parts().train[1] for trial in self.cohort.recordings)
        return frames * (len(self.cohort.units) - sensory)

    def parameter_counts(self) -> dict[str, int]:
        """Count the trained numbers of each group."""
        sizes = {group_of(key): int(value.size) for key, value in self.params.items()}
        return {group: size for group, size in sizes.items() if group in self.trained}

    def fit(self, training: Training, *, seed: int = 0) -> Fit:
        """Train on all trials side by side, and keep what is best on the validation part."""
        trials = self.cohort.recordings
        frames = max(trial.require_parts().train[1] for trial in trials)
        per_epoch = -(-(frames - 1) // training.window)
        # Rates of these experiments are absolute: what is recovered must not depend on how students start.
        sizes = parameter_sizes(self.model, self.params, self.cohort)
        config = TrainConfig(
            epochs=max(1, round(training.updates / per_epoch)),
            warmup_frames=5,
            learning_rate=training.learning_rate if self.recorded.all() else training.hidden_learning_rate,
            rate_scale={group_of(key): 1 / size for key, size in sizes.items()},
            select_on="one_step",
            final_learning_rate_fraction=0.01,
            clip_norm=None,
            patience=None,
            check_memory=False,
        )
        learner = WindowedLearner(training.window, "network", "trace")
        return train(self.model, self.params, self.cohort, learner, config, trained=self.trained, seed=seed)

    def predict(self, params: Params, given: Float[np.ndarray, "T N"]) -> Float[np.ndarray, "T-1 N"]:
        """Predict what is observed of neurons at frames 1 to T - 1, each from what was recorded up to the frame before.

        Recorded neurons are predicted one step ahead; the others run on what the recorded ones send them.

        Parameters
        ----------
        given
            What is measured of all neurons; only that of the recorded ones is used.
        """
        inputs = jnp.asarray(given[:-1, self.recorded, None], jnp.result_type(float))
        start = jnp.asarray(_mean_rates(given, self.recorded), inputs.dtype)[:, None]
        shown = Shown(inputs, jnp.ones(inputs.shape, bool))
        neurons = Neurons((start,) * len(self.model.neuron.states))
        run = rollout(self.model, params, State.of(self.model, neurons), shown, _observed)
        return np.asarray(run.each, np.float64)


def _observed(model: Model, params: Params, kept: None, now: Stepped, also: None) -> tuple[None, Float[Array, "N"]]:
    return None, model.neuron.observed(model.constants(params), now.neurons.states)[:, 0]


def choose_recorded(teacher: KnownTeacher, fraction: float) -> Bool[np.ndarray, "N"]:
    """Choose the sensory neurons and a fraction of the others; larger fractions of a teacher contain smaller ones.

    Raises
    ------
    ConfigError
        If the fraction is not above 0 and at most 1, or so small that no neuron is recorded.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"recorded = {fraction} must be a fraction of the neurons above 0 and at most 1")
    others = np.random.default_rng((teacher.seed, 4)).permutation(np.flatnonzero(~teacher.sensory))
    count = round(fraction * len(others))
    if count == 0:
        raise ConfigError(f"recorded = {fraction} of {len(others)} neurons is none: record more")
    recorded = teacher.sensory.copy()
    recorded[others[:count]] = True
    return recorded


def make_student(
    teacher: KnownTeacher,
    measured: Float[np.ndarray, "T N"],
    recorded: Bool[np.ndarray, "N"],
    *,
    strengths: str = "free",
    state_forcing: float = 1.0,
    connectome: Connectome | None = None,
) -> Student:
    """Build the student: synapse counts at a guessed scale, one time constant, biases for the mean rates.

    Parameters
    ----------
    measured
        What is measured of all neurons: the training frames, then `VALIDATION_FRAMES` of validation.
    recorded
        Which of it the student sees.
    strengths
        One of `connfit.analysis.recovery.design.STRENGTHS`; a student that is given the weights has the teacher's.
    state_forcing
        See `RateModel`.
    connectome
        Wiring that the student assumes, in the order of the teacher's neurons; default: the teacher's own.
    """
    brain = teacher.connectome if connectome is None else connectome
    ids = brain.neurons["id"].astype(str).to_numpy()
    neurons = np.flatnonzero(recorded)
    recordings = _trials(measured[:, neurons], tuple(ids[neurons]), int(teacher.sensory[neurons].sum()))
    cohort = Cohort.from_recordings(recordings)
    shares = sp.csr_array((np.ones(len(neurons)), (np.arange(len(neurons)), neurons)), shape=(len(neurons), brain.n))
    readout = Readout(shares, cohort.units)
    conditions = ModelConditions(
        connectome=brain, readout=readout, step_s=cohort.step_s, drive="none", state_forcing=state_forcing,
        bounds_s=(BOUNDS_FRAMES[0] / FRAME_RATE, BOUNDS_FRAMES[1] / FRAME_RATE),
    )  # fmt: skip
    model = find_cell(teacher.settings.cell).build(conditions)
    known = strengths == "known"
    if strengths != "free" and not known:
        model = tie_weights(model, brain, strengths, start_magnitudes(model, brain, spectral_radius=START_RADIUS))
    params = init_params(
        model, brain, readout, spectral_radius=START_RADIUS, time_constant_s=TIME_CONSTANT_FRAMES / FRAME_RATE,
        drive_start="zero",
    )  # fmt: skip
    if known:
        params["weights"] = jnp.asarray(teacher.weights, params["weights"].dtype)
    mean = _mean_rates(measured[:-VALIDATION_FRAMES], recorded)
    recurrent = brain.matrix(np.asarray(model.magnitudes(params), np.float64)) @ mean
    params["bias"] = jnp.asarray(model.balance(mean) - recurrent, jnp.result_type(float))
    trained = tuple(group for group in model.groups if not (known and group == "weights"))
    return Student(recorded, cohort, model, params, trained)


def _mean_rates(measured: Float[np.ndarray, "T N"], recorded: Bool[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Mean rate of each recorded neuron; of the others the mean of these, for all that is known of them."""
    mean = np.where(recorded, measured.mean(axis=0), 0.0)
    return np.where(recorded, mean, mean[recorded].mean())


def _trials(values: Float[np.ndarray, "T P"], units: tuple[str, ...], sensory: int) -> list[Recording]:
    """Consecutive trials of equal length, with the validation part at the end of the last."""
    frames = len(values) - VALIDATION_FRAMES
    count = int(np.clip(frames // LONGEST_TRIAL, 1, MOST_TRIALS))
    edges: Int[np.ndarray, "k"] = np.linspace(0, frames, count + 1).astype(int)
    trials = []
    for k, (first, last) in enumerate(pairwise(edges.tolist())):
        stop = len(values) if k == count - 1 else last
        length = last - first
        trials.append(
            Recording(
                name=f"recovery-teacher/{k + 1}",
                values=values[first:stop].astype(np.float32),
                units=units,
                frame_rate=FRAME_RATE,
                kind="rate",
                value_units="arbitrary",
                parts=Parts((0, length), (length, stop - first), (stop - first, stop - first)),
                notes={"surrogate": True, "sensory_units": sensory},
            )
        )
    return trials
