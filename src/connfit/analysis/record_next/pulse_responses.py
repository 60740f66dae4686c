"""What fits of an ensemble say of stimulations: the change of every recorded unit after a pulse on one neuron."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from connfit.analysis.record_next.ensemble import Ensemble
from connfit.errors import ConfigError, DivergedError
from connfit.models.base import Model, Neurons, Params
from connfit.models.perturb import settled
from connfit.models.rollout import Shown, State, Stepped, rollout
from connfit.training.fitted import Fit

WIDTH = 64
"""Stimulations that run side by side."""

MOST_STATES = 2**24
"""Neurons times stimulations that run side by side, at most: of large brains fewer stimulations do."""


@dataclass(frozen=True)
class Pulse:
    """What every stimulation is.

    Parameters
    ----------
    strength
        What is added to the input of the neuron, in units of the typical recorded unit's standard deviation.
    seconds
        How long.
    window_s
        Over which the change of each unit is averaged, from the onset on.

    Raises
    ------
    ConfigError
        If one of them is not finite and above 0, or the window is shorter than the pulse.
    """

    strength: float = 1.0
    seconds: float = 2.0
    window_s: float = 10.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"the pulse's {name} = {value:g} must be finite and above 0")
        if self.window_s < self.seconds:
            raise ConfigError(
                f"window_s = {self.window_s:g} must be as long as the pulse or longer ({self.seconds:g} s)"
            )


def pulse_responses(ensemble: Ensemble, neurons: Int[np.ndarray, "c"], pulse: Pulse) -> Float[np.ndarray, "K c P"]:
    """Stimulate one neuron after the other in every member and measure all recorded units.

    Each run starts where the model rests while units show their training mean; from the onset on it runs alone. The
    neuron gets a current for as long as the pulse lasts.

    Returns
    -------
    array
        Change of each unit against the same run without a pulse, mean over the window, in units of its standard
        deviation over the training part. A unit that reads the stimulated neuron itself is NaN: it sees the pulse.

    Raises
    ------
    DivergedError
        If activity grows without bound.
    """
    found = []
    for name, fit in zip(ensemble.names, ensemble.members, strict=True):
        changes = _of_member(fit, neurons, pulse)
        if not np.isfinite(changes).all():
            raise DivergedError(f"{name}: activity grew without bound within {pulse.window_s:g} s of a pulse")
        found.append(changes)
    responses = np.stack(found)
    shares = ensemble.members[0].require_job().readout.matrix
    own = np.asarray(shares[:, neurons].toarray()).T > 0
    responses[:, own] = np.nan
    return responses


def _of_member(fit: Fit, neurons: Int[np.ndarray, "c"], pulse: Pulse) -> Float[np.ndarray, "c P"]:
    cohort, model = fit.cohort, fit.model
    on = max(1, round(pulse.seconds / cohort.step_s))
    steps = max(on, round(pulse.window_s / cohort.step_s))
    deviations = _unit_deviations(fit)
    current = pulse.strength * float(np.median(deviations))
    start = settled(model, fit.params, cohort.mean_activity()).neurons
    width = max(1, min(WIDTH, len(neurons), MOST_STATES // model.neurons))
    alone = _mean_reading(model, fit.params, start, np.zeros((model.neurons, 1)), on, steps)
    changes = np.empty((len(neurons), model.units))
    for first in range(0, len(neurons), width):
        some = neurons[first : first + width]
        # The last group is filled up, so that there is one program to compile.
        injected = np.zeros((model.neurons, width))
        injected[some, np.arange(len(some))] = current
        readings = _mean_reading(model, fit.params, start, injected, on, steps)
        changes[first : first + width] = (readings - alone)[:, : len(some)].T
    return changes / deviations


def _unit_deviations(fit: Fit) -> Float[np.ndarray, "P"]:
    """Standard deviation of each unit over the training part, mean square over recordings; in the values' unit."""
    cohort = fit.cohort
    total, count = np.zeros(len(cohort.units)), np.zeros(len(cohort.units))
    for recording, columns in zip(cohort.recordings, cohort.columns, strict=True):
        values, mask = recording.part("train")
        seen = np.where(mask, values.astype(np.float64), np.nan)
        total[columns] += np.nanvar(seen, axis=0)
        count[columns] += 1
    return np.sqrt(total / count)


def _mean_reading(
    model: Model, params: Params, start: Neurons, current: Float[np.ndarray, "N B"], on: int, steps: int
) -> Float[np.ndarray, "P B"]:
    """Mean read-out over all steps of runs whose neurons get a current during the first `on` of them."""
    runs, kind = current.shape[1], params["bias"].dtype
    state = State.of(model, jax.tree.map(lambda one: jnp.repeat(one, runs, axis=-1), start))
    total = jnp.zeros((model.units, runs), kind)
    for length, injected in ((on, jnp.asarray(current, kind)), (steps - on, None)):
        if length:
            shown = Shown.nothing(model, length, runs)
            run = rollout(model, params, state, shown, _add_reading, total, current=injected, forcing=False)
            state, total = run.state, run.kept
    return np.asarray(total, np.float64) / steps


def _add_reading(
    model: Model, params: Params, kept: Float[Array, "P B"], now: Stepped, also: None
) -> tuple[Float[Array, "P B"], None]:
    return kept + now.reading, None


@dataclass(frozen=True, eq=False)
class Told:
    """What each stimulation would tell.

    Attributes
    ----------
    information
        [c] nats that its responses would give about which member is right: ½ log det(I + Σ / noise²) with Σ the
        covariance of the responses between members.
    disagreement
        [c] variance of the responses between members as a share of their mean square: 1 where members have nothing in
        common.
    size
        [c] root mean square of the mean response over units, in standard deviations.
    unit
        [c] position of the unit about whose response members disagree most.
    """

    information: Float[np.ndarray, "c"]
    disagreement: Float[np.ndarray, "c"]
    size: Float[np.ndarray, "c"]
    unit: Int[np.ndarray, "c"]


def told(responses: Float[np.ndarray, "K c P"], noise: float) -> Told:
    """Say what stimulations would tell.

    Parameters
    ----------
    responses
        Of `pulse_responses`; NaN where a unit sees the pulse itself.
    noise
        Standard deviation of a measured mean response, in a unit's standard deviations; above 0.

    Raises
    ------
    ConfigError
        If the noise is not above 0.
    """
    if not (np.isfinite(noise) and noise > 0):
        raise ConfigError(f"noise = {noise:g} must be finite and above 0: no response is measured without")
    known = np.nan_to_num(responses, nan=0.0)
    mean = known.mean(axis=0)
    apart = known - mean
    members = len(known)
    # The eigenvalues of the covariance between units are those of the much smaller matrix between members.
    small = np.einsum("kcp,lcp->ckl", apart, apart) / ((members - 1) * noise**2)
    information = 0.5 * np.log1p(np.maximum(np.linalg.eigvalsh(small), 0)).sum(axis=1)
    variance = (apart**2).sum(axis=0) / (members - 1)
    square = (known**2).mean(axis=0).sum(axis=1)
    share = variance.sum(axis=1) / np.where(square > 0, square, 1.0)
    return Told(information, share, np.sqrt((mean**2).mean(axis=1)), variance.argmax(axis=1))
