"""Small random brains, and an oracle that knows nothing of the package's operators or learners."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.sparse as sp

from connfit.connectome import Connectome, from_pairs
from connfit.models import RateModel, Readout
from connfit.models.rollout import Shown, State, readings, rollout
from connfit.training.learners import WindowArrays


def random_connectome(
    rng: np.random.Generator, neurons: int, inputs: int, *, electrical: int = 0, mixed: bool = False
) -> Connectome:
    """A random directed graph, with `electrical` gap junctions; `mixed`: neurons make connections of both signs."""
    post = np.repeat(np.arange(neurons), inputs)
    pre = rng.integers(neurons, size=len(post))
    counts = rng.integers(1, 9, size=len(post))
    gap = np.zeros(len(post), bool)
    if electrical:
        pairs = np.unique(np.sort(rng.choice(neurons, (electrical, 2)), axis=1), axis=0)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        strength = rng.integers(1, 4, len(pairs))
        pre, post = np.r_[pre, pairs[:, 0], pairs[:, 1]], np.r_[post, pairs[:, 1], pairs[:, 0]]
        counts = np.r_[counts, strength, strength]
        gap = np.r_[gap, np.ones(2 * len(pairs), bool)]
    table = pd.DataFrame({"id": [f"n{k}" for k in range(neurons)]}).assign(type="", region="", transmitter="", side="")
    brain = from_pairs("random", pre, post, counts, rng.choice([-1, 1], neurons), table, electrical=gap)
    return replace(brain, mixed_signs=np.where(brain.electrical, 1, rng.choice([-1, 1], brain.m))) if mixed else brain


@dataclass(frozen=True, eq=False)
class Problem:
    """A model, parameters and a recording with missing, withheld and unscored values (on the host: cutting is free)."""

    connectome: Connectome
    readout: Readout
    model: RateModel
    params: dict[str, jax.Array]
    window: WindowArrays


def random_problem(
    seed: int,
    *,
    neurons: int = 14,
    units: int = 4,
    steps: int = 16,
    batch: int = 2,
    drive: str = "dense",
    learned_readout: bool = False,
    electrical: int = 0,
    nonlinearity: str = "relu",
    fed_back: int | None = None,
) -> Problem:
    """Everything a learner needs, away from any special value (call it in double precision)."""
    rng = np.random.default_rng(seed)
    connectome = random_connectome(rng, neurons, 4, electrical=electrical)
    shares = np.where(rng.random((units, neurons)) < 0.5, rng.random((units, neurons)), 0)
    shares[np.arange(units), np.arange(units)] = 0.5
    readout = Readout(sp.csr_array(shares), tuple(f"u{k}" for k in range(units)), learned=learned_readout)
    model = RateModel.from_connectome(connectome, readout, step_s=0.6, drive=drive, nonlinearity=nonlinearity)
    drive_shape = None if model.drive is None else model.drive.strengths_shape
    params = {
        "weights": jnp.asarray(rng.random(connectome.m) * 0.8),
        "log_time_constants": jnp.asarray(rng.normal(0, 0.7, neurons)),
        "bias": jnp.asarray(rng.normal(0.3, 0.3, neurons)),
    }
    if drive_shape is not None:
        params["drive"] = jnp.asarray(rng.normal(0.2, 0.5, drive_shape))
    if learned_readout:
        params["readout"] = jnp.asarray(readout.matrix.toarray())
    shape = (steps, units, batch)
    forced = rng.random(shape) < 0.6
    own = rng.permutation(units)[:fed_back] if fed_back is not None else None
    if own is not None:
        forced |= ~np.isin(np.arange(units), own)[:, None]
    window = WindowArrays(
        np.where(forced, rng.random(shape), 0),
        forced,
        rng.random(shape),
        np.where(rng.random(shape) < 0.7, rng.random(shape), 0),
        own,
    )
    return Problem(connectome, readout, model, params, window)


def predict(model: RateModel, params: dict, rates: jax.Array, inputs: jax.Array, forced: jax.Array) -> tuple:
    """Rates [N, B] after K steps that are given `inputs` [K, P, B] where `forced`, and predictions [K, P, B]."""
    run = rollout(model, params, State.of(model, rates), Shown(inputs, forced), readings)
    return run.state.rates, run.each


def dense_matrices(problem: Problem, params: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Signed W [N, N], drive E [N, P] and read-out C [P, N] as dense matrices of the parameters."""
    brain = problem.connectome
    w = jnp.zeros((brain.n, brain.n)).at[brain.posts, brain.indices].add(params["weights"] * brain.connection_signs)
    c = params["readout"] if problem.readout.learned else jnp.asarray(problem.readout.matrix.toarray())
    if "drive" not in params:
        return w, jnp.zeros((brain.n, c.shape[0])), c
    if params["drive"].ndim == 2:
        return w, params["drive"], c
    support = problem.readout.matrix.T.tocsr()
    rows = np.repeat(np.arange(brain.n), np.diff(support.indptr))
    return w, jnp.zeros((brain.n, c.shape[0])).at[rows, support.indices].set(params["drive"]), c


def open_at_zero(x: jax.Array) -> jax.Array:
    """Relu whose slope at 0 is 1."""
    return jnp.where(x >= 0, x, 0)


def plain_scan(problem: Problem, params: dict, start: jax.Array, window: WindowArrays) -> tuple[jax.Array, jax.Array]:
    """Loss of a window from the rates `start` [N, B], and the rates after it: the equations, nothing else."""
    w, e, c = dense_matrices(problem, params)
    alpha = jnp.exp(-problem.model.step_s / jnp.exp(params["log_time_constants"]))[:, None]
    f = open_at_zero if problem.model.neuron.nonlinearity == "relu" else jax.nn.softplus

    def one(r, now):
        given, forced, target, weight = now
        u = jnp.where(forced, given, c @ r)
        r = alpha * r + (1 - alpha) * f(w @ r + params["bias"][:, None] + open_at_zero(e @ u))
        return r, (weight * (c @ r - target) ** 2).sum()

    end, losses = jax.lax.scan(one, start, tuple(window)[:4])
    return losses.sum(), end


def pieces(window: WindowArrays, steps: int) -> list[WindowArrays]:
    """Cut a long window into windows of `steps`."""
    starts = range(0, window.inputs.shape[0], steps)
    outside, counted = window.external, window.counted
    return [
        WindowArrays(
            *(a[k : k + steps] for a in window[:4]), window.fed_back,
            None if outside is None else outside[k : k + steps], window.share,
            None if counted is None else counted[k : k + steps],
        )
        for k in starts
    ]  # fmt: skip
