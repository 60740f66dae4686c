"""Neurons whose recording makes the inputs of uncertain neurons known: wiring times disagreement.

A hidden neuron is predicted, and the weights onto it are found, as far as what drives it is recorded. With the share

    f_ij = |w_ij| σ_j / Σ_k |w_ik| σ_k

of neuron j in the input of neuron i (σ the standard deviation over time, means over members), neuron i's uncertainty
u_i, the disagreement about it, is taken to fall in proportion to the share of its input that is not recorded:
u_i (1 - Σ_{j recorded} f_ij) / (1 - Σ_{j recorded now} f_ij). Recording j takes away Σ_i u_i f_ij / (1 - ...) from
neurons that stay hidden. What it tells of itself is not counted: it is no longer hidden.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.analysis.record_next.ensemble import Ensemble
from connfit.analysis.record_next.information import Chosen

LEAST_OPEN = 0.05
"""Share of a neuron's input that counts as not recorded at least: of those whose inputs are all known nothing more can
be said."""


def input_shares(ensemble: Ensemble, spread: Float[np.ndarray, "N"]) -> Float[np.ndarray, "M"]:
    """Return the share that each connection has in its neuron's input, mean over members.

    Parameters
    ----------
    spread
        [N] standard deviation over time of what each neuron does.
    """
    brain = ensemble.connectome
    pre, post = np.asarray(brain.indices), np.asarray(brain.posts)
    total = np.zeros(brain.m)
    for fit in ensemble.members:
        drive = np.abs(np.asarray(fit.model.magnitudes(fit.params), np.float64)) * spread[pre]
        received = np.bincount(post, drive, brain.n)[post]
        total += np.where(received > 0, drive / np.where(received > 0, received, 1.0), 0.0)
    return total / len(ensemble.members)


def known_inputs(
    shares: Float[np.ndarray, "M"],
    pre: Int[np.ndarray, "M"],
    post: Int[np.ndarray, "M"],
    uncertainty: Float[np.ndarray, "N"],
    recorded: Bool[np.ndarray, "N"],
    candidates: Int[np.ndarray, "c"],
    count: int,
) -> tuple[Chosen, Float[np.ndarray, "c"]]:
    """Choose neurons greedily by what their recording makes known of others' inputs.

    Parameters
    ----------
    shares
        Of `input_shares`; connection m goes from neuron `pre[m]` to neuron `post[m]`.
    uncertainty
        [N] of each neuron.
    recorded
        [N] neurons that are recorded already.
    candidates
        [c] positions of those that could be; results are positions among these.

    Returns
    -------
    chosen
        Gains are shares of the uncertainty about all neurons that are hidden before.
    alone
        [c] what each would tell as the only one.
    """
    n = len(uncertainty)
    known = np.bincount(post, shares * recorded[pre], n)
    hidden = np.where(recorded, 0.0, uncertainty)
    total = float(hidden.sum()) or 1.0
    per_share = hidden / np.maximum(1 - known, LEAST_OPEN)

    def gains() -> Float[np.ndarray, "c"]:
        return np.bincount(pre, shares * per_share[post], n)[candidates] / total

    alone = gains()
    free = np.ones(len(candidates), bool)
    order, gain = [], []
    for _ in range(min(count, len(candidates))):
        now = np.where(free, gains(), -np.inf)
        best = int(np.argmax(now))
        order.append(best)
        gain.append(now[best])
        free[best] = False
        # It is hidden no longer: what would make its own inputs known tells nothing.
        per_share[candidates[best]] = 0.0
    gain_of = np.array(gain)
    return Chosen(np.array(order, np.int64), gain_of, np.maximum(1 - np.cumsum(gain_of), 0)), alone
