"""What fits of an ensemble say of stimulations: the change of every recorded unit after a pulse on one neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from connfit.analysis.record_next.ensemble import Ensemble
from connfit.errors import ConfigError, DivergedError
from connfit.models.pulse import Stimulations, unit_pulse_responses
from connfit.recordings.training_deviation import typical_deviation, unit_deviations

DEFAULT = Stimulations(pulse_s=2.0, window_s=10.0)
"""A pulse of two seconds and the ten seconds from its onset on."""


def responses_of_members(
    ensemble: Ensemble, neurons: Int[np.ndarray, "c"], stimulations: Stimulations = DEFAULT
) -> Float[np.ndarray, "K c P"]:
    """Stimulate one neuron after the other in every member and measure all recorded units.

    Returns
    -------
    array
        Change of each unit against the same run without a pulse, mean over the window, in units of its standard
        deviation over the training part. A unit that reads the stimulated neuron itself is NaN, for it sees the pulse,
        and so is one that does not vary.

    Raises
    ------
    DivergedError
        If activity grows without bound.
    """
    found = []
    for name, fit in zip(ensemble.names, ensemble.members, strict=True):
        try:
            changes = unit_pulse_responses(
                fit.model, fit.params, neurons, stimulations,
                unit_of_strength=typical_deviation(fit.cohort), mean=fit.cohort.mean_activity(),
            )  # fmt: skip
        except DivergedError as error:
            raise DivergedError(f"{name}: {error}") from error
        deviations = unit_deviations(fit.cohort)
        found.append(changes / np.where(deviations > 0, deviations, np.nan))
    responses = np.stack(found)
    shares = ensemble.members[0].require_job().readout.matrix
    own = np.asarray(shares[:, neurons].toarray()).T > 0
    responses[:, own] = np.nan
    return responses


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
        Of `responses_of_members`; NaN where a unit sees the pulse itself.
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
