"""A student of a teacher: the same wiring, some of the neurons recorded, everything else to be found by a fit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float, Int

from connfit.config import InputsConfig, TrainConfig
from connfit.connectome import Connectome
from connfit.datasets.synthetic.known_teacher import FRAME_RATE, KnownTeacher
from connfit.errors import ConfigError
from connfit.models import Readout, init_params, start_magnitudes, tie_weights
from connfit.models.base import Model, Neurons, Params, group_of
from connfit.models.cells import find_cell
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.input_map import input_map
from connfit.models.neuron import Neuron
from connfit.models.observation import DECAY, RISE, observe
from connfit.models.rollout import Shown, State, Stepped, rollout
from connfit.recordings import Inputs, Parts, Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.inputs import InputUse
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

INDICATOR_START, INDICATOR_BOUNDS = 1.5, (0.2, 5.0)
"""Times the true time constants of an indicator: where students start, and within which factors of that they learn."""


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

    def predict(
        self, params: Params, given: Float[np.ndarray, "T N"], channels: Float[np.ndarray, "T Q"] | None = None
    ) -> Float[np.ndarray, "T-1 N"]:
        """Predict what is observed of neurons at frames 1 to T - 1, each from what was recorded up to the frame before.

        Recorded neurons are predicted one step ahead; the others run on what the recorded ones send them.

        Parameters
        ----------
        given
            What is measured of all neurons; only that of the recorded ones is used.
        channels
            External inputs, which a student that does not know of any leaves alone.
        """
        inputs = jnp.asarray(given[:-1, self.recorded, None], jnp.result_type(float))
        start = jnp.asarray(_mean_rates(given, self.recorded), inputs.dtype)[:, None]
        shown = Shown(inputs, jnp.ones(inputs.shape, bool))
        if (use := self.cohort.inputs) is not None:
            assert channels is not None
            z = (channels[:-1] - use.mean) / use.spread
            shown = shown._replace(external=jnp.asarray(z[:, :, None], inputs.dtype))
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
    channels: Float[np.ndarray, "T Q"] | None = None,
    knows_indicator: bool = True,
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
    channels
        External inputs of the same frames, if the student knows of them.
    knows_indicator
        Whether the student has the teacher's indicator, from `INDICATOR_START` times its time constants on, with gains
        of each neuron and state; else it takes what is measured for what cells show.
    """
    brain = teacher.connectome if connectome is None else connectome
    ids = brain.neurons["id"].astype(str).to_numpy()
    neurons = np.flatnonzero(recorded)
    known, inputs = None, None
    if channels is not None:
        assert teacher.inputs is not None
        known = Inputs(channels, teacher.inputs.channels)
    recordings = _trials(measured[:, neurons], tuple(ids[neurons]), int(teacher.sensory[neurons].sum()), known)
    cohort = Cohort.from_recordings(recordings, inputs=InputsConfig(lags=(1,)))
    shares = sp.csr_array((np.ones(len(neurons)), (np.arange(len(neurons)), neurons)), shape=(len(neurons), brain.n))
    readout = Readout(shares, cohort.units)
    if known is not None:
        inputs = input_map(brain, readout, known.channels, 1, tuple(ids[~teacher.sensory]))
    observed = knows_indicator and bool(teacher.settings.filters())
    conditions = ModelConditions(
        connectome=brain, readout=readout, step_s=cohort.step_s, drive="none", state_forcing=state_forcing,
        own_gains=observed, inputs=inputs,
        bounds_s=(BOUNDS_FRAMES[0] / FRAME_RATE, BOUNDS_FRAMES[1] / FRAME_RATE),
    )  # fmt: skip
    neuron = find_cell(teacher.settings.cell).with_options()
    model = ConnectomeModel.wire(conditions, _seen(neuron, teacher) if observed else neuron)
    given = strengths == "known"
    if strengths != "free" and not given:
        model = tie_weights(model, brain, strengths, start_magnitudes(model, brain, spectral_radius=START_RADIUS))
    params = init_params(
        model, brain, readout, spectral_radius=START_RADIUS, time_constant_s=TIME_CONSTANT_FRAMES / FRAME_RATE,
        drive_start="zero",
    )  # fmt: skip
    if given:
        params["weights"] = jnp.asarray(teacher.weights, params["weights"].dtype)
    mean = _mean_rates(measured[:-VALIDATION_FRAMES], recorded)
    recurrent = brain.matrix(np.asarray(model.magnitudes(params), np.float64)) @ mean
    params["bias"] = jnp.asarray(model.balance(mean) - recurrent, jnp.result_type(float))
    trained = tuple(group for group in model.groups if not (given and group == "weights"))
    return Student(recorded, cohort, model, params, trained)


def _seen(neuron: Neuron, teacher: KnownTeacher) -> Neuron:
    """The cell behind an indicator of the teacher's kind."""
    settings = teacher.settings
    decay, rise = (
        next((INDICATOR_START * one.start for one in settings.filters() if one.name == name), None)
        for name in (DECAY, RISE)
    )
    order = "order-1" if rise is None else "order-2"
    return observe(neuron, order, step_s=1 / FRAME_RATE, decay_s=decay, rise_s=rise, bounds=INDICATOR_BOUNDS)


def true_params(student: Student, teacher: KnownTeacher) -> Params:
    """Return the parameters with which a student whose weights are given is the teacher; gains of units follow from φ.

    Weights of inputs are those to channels on the student's scale, and biases have what that moves.
    """
    bias, own = teacher.bias, {**teacher.own}
    params: dict[str, np.ndarray | Array] = {**student.params}
    if (use := student.cohort.inputs) is not None:
        weights, moved = true_inputs(teacher, use)
        params["inputs"], bias = weights[~teacher.sensory].ravel(), bias + moved
    own |= {one.name: np.full(1, one.start) for one in teacher.settings.filters()}
    for one in student.model.neuron.parameters:
        params[one.key] = np.log(own[one.name]) if one.key != one.name else own[one.name]
    params |= {"weights": teacher.weights, "log_time_constants": np.log(teacher.time_constants), "bias": bias}
    real = jnp.result_type(float)
    return student.model.with_gains({key: jnp.asarray(value, real) for key, value in params.items()})


def true_inputs(teacher: KnownTeacher, use: InputUse) -> tuple[Float[np.ndarray, "N Q"], Float[np.ndarray, "N"]]:
    """Return the teacher's weights to channels on the scale of a student, and what biases gain by that scale's mean."""
    assert teacher.inputs is not None
    return teacher.inputs.seen_as(use.mean, use.spread)


def _mean_rates(measured: Float[np.ndarray, "T N"], recorded: Bool[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Mean rate of each recorded neuron; of the others the mean of these, for all that is known of them."""
    mean = np.where(recorded, measured.mean(axis=0), 0.0)
    return np.where(recorded, mean, mean[recorded].mean())


def _trials(
    values: Float[np.ndarray, "T P"], units: tuple[str, ...], sensory: int, inputs: Inputs | None
) -> list[Recording]:
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
                inputs=None if inputs is None else inputs.part(slice(first, stop)),
            )
        )
    return trials
