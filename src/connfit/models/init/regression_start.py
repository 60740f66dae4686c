"""A start by regression: how much of a unit's next frame its own last frame tells, and how much the wiring adds.

Before anything is learned by gradient, the brain as its units see it is nearly linear about its mean activity. Each
recorded frame moves the neurons that its units read, connections pass it on, and what arrives is read out. With
the classes of connections c (excitatory, inhibitory) and what they receive, W_c r̃,

    ``u_k(t) ≈ (α + (1-α) e_k) u_k(t-1) + Σ_c g_c [C (1-α) W_c r̃(t-1)]_k``

holds in deviations from the mean, where r̃ is the model's own response to the recording so far, through all its
connections. The P + F numbers e ≥ 0 and g ≥ 0 that predict the training frames best are found by non-negative least
squares; as r̃ depends on them, it is computed anew `ROUNDS` times. Drive, time constants and weights start there.

Seen through an indicator, u on the left and in r̃ are what the indicator's filters, undone at their starting time
constants, leave of the recording; a drive is given the recording as it is. What is left unexplained of such a frame is
what is left of the recorded one, over the share 1-β that a filter lets in: the same least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import jax.numpy as jnp
import msgspec
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float

from connfit._registry import Options
from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.models.base import Model, Params
from connfit.models.init.centred_frames import CentredFrames, observing_filters
from connfit.models.init.many_units import nearest, slowest_by_frames
from connfit.models.init.response import LAGS, Coefficients, LinearBrain
from connfit.models.init.start import STARTS, Start, StartConditions, Training
from connfit.models.init.starting_weights import recurrent_input, spread_factors, start_magnitudes
from connfit.models.init.unit_coupling import ROOM, coupling_of_all_units
from connfit.models.maps import DenseMap, GainMap
from connfit.models.readout import MANY_UNITS, Readout, overlap, own_overlap

ROUNDS = 3
"""Regressions one after the other, each with the response of the one before."""

OPEN = 0.75
"""Share of its mean that a unit may fall by before a neuron that is read by it alone falls silent."""


@dataclass(frozen=True, eq=False)
class RegressionStart:
    """Where parameters start after a regression.

    Attributes
    ----------
    magnitudes
        [M] of free weights.
    drive
        Weights of the model's drive; None without one.
    log_time_constants
        [N] natural logarithm of seconds.
    own
        [P] what is left of a unit's deviation from its mean one frame later, without the connections.
    factors
        [F] by which the magnitudes of each class of connections were multiplied: excitatory and inhibitory, or all
        alike where gap junctions tie weights across the signs.
    growth
        Of the fastest growing pattern of rates, per frame, if the model feeds on its own read-out.
    """

    magnitudes: Float[Array, "M"]
    drive: Array | None
    log_time_constants: Float[np.ndarray, "N"]
    own: Float[np.ndarray, "P"]
    factors: Float[np.ndarray, "F"]
    growth: float

    def facts(self, units: Sequence[str]) -> dict[str, object]:
        """Return what was found, ready for JSON."""
        own = dict(zip(units, self.own.tolist(), strict=True))
        return {"own": own, "factors": self.factors.tolist(), "growth": self.growth}


def regression_start(
    model: Model,
    connectome: Connectome,
    readout: Readout,
    magnitudes: Float[Array, "M"],
    training: Training,
    *,
    time_constant_s: float,
    hidden_time_constants_s: tuple[float, float] | None = None,
    unit_time_constants_s: Float[np.ndarray, "P"] | None = None,
    drive_ridge: float = 0.0,
    own_shrinkage: float = 0.0,
    seed: int = 0,
) -> RegressionStart:
    """Find parameters with which the model predicts the training frames as well as P + F numbers can.

    A unit's own past acts through the drive, if there is one, and all neurons have the same time constant; otherwise
    through the time constants of the neurons that it reads. Where the model would not be stable when it feeds on its
    own predictions, or would remember longer than the recording does, connections are weakened, all by the same
    factor, and the units' own past is found again.

    Parameters
    ----------
    model
        With free weights.
    magnitudes
        [M] up to a factor for excitatory and one for inhibitory connections.
    training
        Frames of which the model sees one per step.
    time_constant_s
        Time constant of all neurons if there is a drive, and of hidden neurons without `hidden_time_constants_s`.
    unit_time_constants_s
        [P] with a drive, of the neurons that units read, in its place.
    hidden_time_constants_s, seed
        See `connfit.models.init_params`.
    own_shrinkage
        Share of the way from least squares to persistence by which each unit's own past is drawn, at least 0 and below
        1. Recordings drift, and least squares takes the training mean for where all units return to.
    drive_ridge
        With a dense drive: frames with which a ridge draws the drive of each unit by all others towards zero, which is
        to say, their coupling towards that of the wiring; P² more numbers. 0: a drive by the unit itself alone.

    Raises
    ------
    ConfigError
        If `drive_ridge` is given for a model without a dense drive.
    """
    if drive_ridge and not isinstance(model.drive, DenseMap):
        raise ConfigError("model.drive_ridge needs model.drive = 'dense', by which every unit can drive every neuron")
    pull = own_shrinkage / (1 - own_shrinkage)
    brain = LinearBrain.of(
        model, readout, magnitudes, time_constant_s, hidden_time_constants_s, unit_time_constants_s, seed
    )
    shown = [CentredFrames.of(values, weights) for values, weights in training]
    filters = observing_filters(model.neuron, model.step_s)
    centred = [part.before(filters) for part in shown] if filters else shown
    found = Coefficients(np.full(model.units, 0.5), np.zeros(brain.classes.shape[1]))
    for _ in range(ROUNDS):
        new = _regress(brain, found, centred, pull)
        found = _between(found, new) if found.factors.any() else new
    growth, pattern = brain.growth(found)
    limit = _slowest(shown)
    if growth > limit:
        found, growth = _weakened(brain, found, growth, pattern, centred, limit, pull)
    across = None
    if drive_ridge:
        across, growth = coupling_of_all_units(brain, found, centred, drive_ridge, max(growth, limit))
    by_pre = jnp.asarray(brain.classes @ found.factors, magnitudes.dtype)
    return RegressionStart(
        magnitudes * by_pre[connectome.indices],
        brain.drive(found, across),
        np.log(brain.time_constants(found)),
        found.own,
        found.factors,
        growth,
    )


def open_rates(readout: Readout, mean: Float[np.ndarray, "P"]) -> Float[np.ndarray, "N"]:
    """Find rates ≥ 0 that read out the mean and let neurons follow their units down without falling silent.

    Where a unit weighs its neurons unevenly, those that weigh most take most of its changes, in drive and state
    forcing. So they have as large a share of its mean, up to `OPEN`; the rest is as even as it can be, so that neurons
    that weigh little are active too. What units do about the mean is then about linear in their inputs.
    """
    level = float(np.mean(mean))
    both, own = np.stack([mean, mean - level], axis=1), own_overlap(readout)
    shared = np.linalg.solve(overlap(readout), both) if own is None else both / own[:, None]
    in_proportion, evened = (readout.matrix.T @ shared).T
    return np.maximum(OPEN * in_proportion + (1 - OPEN) * (level + evened), 0)


class RegressionOptions(Options, frozen=True):
    """Return parameters; see `regression_start`."""

    own_shrinkage: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    drive_ridge: Annotated[float, msgspec.Meta(ge=0)] = 0.0


def fit_to_frames(model: Model, given: StartConditions, training: Training) -> RegressionStart:
    """Regress from magnitudes by name, whose scale the regression finds."""
    options = given.options if isinstance(given.options, RegressionOptions) else RegressionOptions()
    magnitudes = start_magnitudes(model, given.connectome, given.weights, spectral_radius=None, seed=given.seed)
    return regression_start(
        model,
        given.connectome,
        given.readout,
        magnitudes,
        training,
        time_constant_s=given.time_constant_s,
        hidden_time_constants_s=given.hidden_time_constants_s,
        unit_time_constants_s=given.unit_time_constants_s,
        drive_ridge=options.drive_ridge,
        own_shrinkage=options.own_shrinkage,
        seed=given.seed,
    )


def regressed_parameters(model: Model, given: StartConditions) -> Params:
    """Return the parameters that a regression found, with the biases for which the mean activity is a fixed point."""
    start = given.fitted
    if not isinstance(start, RegressionStart):
        raise TypeError(f"{start!r} is not what a regression found")
    real = jnp.result_type(float)
    gains = isinstance(model.recurrent, GainMap)
    strengths = jnp.ones(model.recurrent.strengths_shape, real) if gains else start.magnitudes
    if given.weight_spread:  # of mean 1, so that sums over many connections stay what they were
        factors = spread_factors(model, given.weight_spread, given.seed)
        strengths = strengths * factors * np.exp(-(given.weight_spread**2) / 2)
    bias = np.zeros(model.neurons)
    if given.mean_activity is not None:
        mean = np.asarray(given.mean_activity, np.float64)
        rates = open_rates(given.readout, mean)
        bias = model.balance(rates) - np.asarray(recurrent_input(model, strengths, rates))
        if model.drive is not None and start.drive is not None:
            driven = model.drive.apply(start.drive, jnp.asarray(mean, real)[:, None])[:, 0]
            bias -= np.maximum(np.asarray(driven), 0)
    params: Params = {
        model.recurrent_group: strengths,
        "log_time_constants": jnp.asarray(start.log_time_constants, real),
        "bias": jnp.asarray(bias, real),
    }
    if start.drive is not None:
        params["drive"] = start.drive
    if given.readout.learned:
        params["readout"] = jnp.asarray(given.readout.matrix.toarray(), real)
    return model.project(params)


STARTS.register(
    Start(
        name="regression",
        label="drive, weights and time constants by least squares on the training frames",
        parameters=regressed_parameters,
        fit=fit_to_frames,
        options=RegressionOptions,
        only_here=("drive_ridge",),
        single_steps=True,
        automatic=True,
        searched=(
            ("state_forcing", "time_constant_frames"),
            ("own_shrinkage",),
            ("weights",),
            ("drive_ridge",),
            ("state_forcing",),
            ("time_constant_frames",),
            ("own_shrinkage",),
        ),
        place=20,
    )
)


def _regress(
    brain: LinearBrain,
    found: Coefficients,
    training: Sequence[CentredFrames],
    pull: float,
    factors: Float[np.ndarray, "F"] | None = None,
) -> Coefficients:
    """Least squares for all coefficients, or with given factors for the own past, with the response as it is found."""
    response = brain.response(found)
    p, f = len(found.own), len(found.factors)
    driven = brain.model.drive is not None
    # Without a drive a unit's own past is what its neurons keep, whose own share is to be found anew.
    own_kept = np.zeros(p) if driven else response.kept_of_own[0]
    own, own_brought, own_next = np.zeros(p), np.zeros((p, f)), np.zeros(p)
    brought, brought_next = np.zeros((f, f)), np.zeros(f)
    for past, now, weight, last in (stretch for recording in training for stretch in recording.stretches(LAGS)):
        kept, each = response.along(past)
        last = last if driven else past[0]
        left = now - kept + last * own_kept
        own += (weight * last**2).sum(axis=0)
        own_next += (weight * last * left).sum(axis=0)
        own_brought += np.einsum("tk,tk,tkf->kf", weight, last, each)
        brought += np.einsum("tk,tkf,tkg->fg", weight, each, each)
        brought_next += np.einsum("tk,tkf,tk->f", weight, each, left)
    if pull:
        # Ridge towards persistence, in which what a unit keeps of its own past adds up to 1, whatever its variance.
        target = np.maximum(1 - sum(response.kept_of_own), 0) if driven else np.ones(p)
        own_next = own_next + pull * own * target
    own = (1 + pull) * own
    if factors is not None:
        alone = (own_next - own_brought @ factors) / np.maximum(own, np.finfo(float).tiny)
        return Coefficients(np.maximum(alone, 0), factors)
    if p > MANY_UNITS:
        return Coefficients(*nearest(own, own_brought, own_next, brought, brought_next))
    normal = np.block([[np.diag(own), own_brought], [own_brought.T, brought]])
    right = np.concatenate([own_next, brought_next])
    # Columns of unit length, for units and classes differ in size by orders of magnitude; the ridge is for classes
    # without connections.
    size = np.sqrt(np.maximum(np.diag(normal), np.finfo(float).tiny))
    root = np.linalg.cholesky(normal / np.outer(size, size) + 1e-9 * np.eye(p + f))
    solved = scipy.optimize.nnls(root.T, np.linalg.solve(root, right / size))[0] / size
    return Coefficients(solved[:p], np.where(np.diag(brought) > 0, solved[p:], 0))


def _between(first: Coefficients, second: Coefficients) -> Coefficients:
    """Half the way: what passes on more needs smaller weights, and what keeps more less drive, or it overshoots."""
    return Coefficients((first.own + second.own) / 2, (first.factors + second.factors) / 2)


def _weakened(
    brain: LinearBrain,
    found: Coefficients,
    growth: float,
    pattern: Float[Array, "N 1"],
    training: Sequence[CentredFrames],
    limit: float,
    pull: float,
) -> tuple[Coefficients, float]:
    """Connections with which the model grows by `limit` at most, and some in any case: a fit is to see its wiring."""
    strongest, none = found.factors, 0 * found.factors
    best = _regress(brain, Coefficients(found.own, none), training, pull, none)
    if brain.model.state_forcing != 1:  # else nothing is left of what a unit kept
        best = _between(best, _regress(brain, best, training, pull, none))
    slowest, pattern = brain.growth(best, pattern)
    limit = max(limit, slowest + ROOM * (1 - slowest))
    if growth <= limit:
        return found, growth
    low, high, at_high = 0.0, 1.0, growth
    for attempt in range(6):
        # Growth is about linear in the weights; where it is not, halves are sure.
        share = low + (high - low) * ((limit - slowest) / (at_high - slowest) if attempt < 2 else 0.5)
        tried = _regress(brain, Coefficients(best.own, share * strongest), training, pull, share * strongest)
        now, pattern = brain.growth(tried, pattern)
        if now > limit:
            high, at_high = share, now
            continue
        low, slowest, best = share, now, tried
        if limit - now < 3e-3:
            break
    return (best, slowest) if low else (tried, now)


def _slowest(training: Sequence[CentredFrames]) -> float:
    """Autocorrelation over one frame of the units' first principal component.

    A start that remembers longer than what was recorded has taken what units share for what they do to each other.
    """
    many = slowest_by_frames(training) if len(training[0].mean) > MANY_UNITS else None
    if many is not None:
        return many
    covariance = lagged = 0.0
    for part in training:
        last = np.zeros((0, len(part.mean)))
        root = np.sqrt(part.unit_weights * part.counted)
        for now in (stretch.now for stretch in part.stretches(0)):
            x = now * root
            covariance, lagged = covariance + x.T @ x, lagged + x[:-1].T @ x[1:] + last.T @ x[: len(last)]
            last = x[-1:]
    first = np.linalg.eigh(covariance)[1][:, -1]
    return float(np.clip((first @ lagged @ first) / (first @ covariance @ first), 0, 0.999))
