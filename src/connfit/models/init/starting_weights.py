"""How weights start before they are learned: magnitudes by name, their spread, and their scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg as spla
from jaxtyping import Array, Float

from connfit._registry import Entry, Registry
from connfit.connectome import Connectome
from connfit.connectome.row_blocks import row_blocks
from connfit.errors import ConfigError
from connfit.models.base import Model

_SPREAD = 1
"""Second part of the seed from which the spread of weights is drawn."""

TRUNCATED_NORMAL_STD = 0.87962566103423978
"""Standard deviation of a unit normal truncated at ±2, which the initial scale is divided by."""


LARGE = 200_000
"""Neurons above which the spectral radius takes a bounded number of products: where no eigenvalue stands out it is
found to about 2 %."""

RESTARTS, PRODUCTS = 12, 60
"""Of ARPACK, about ten products each; then of the growth of one vector."""

_radii: dict[bytes, float] = {}
"""Spectral radii that ARPACK found, by digest of the matrix."""


@dataclass(frozen=True, kw_only=True)
class StartingWeights(Entry):
    """Registered magnitudes of weights before training.

    Parameters
    ----------
    name
        `model.weights` in configurations.
    label
        How weights start, as the end of a sentence.
    magnitudes
        Function of a connectome and a seed that returns magnitudes [M] ≥ 0 before scaling.
    from_counts
        Whether they depend on synapse counts.
    automatic
        Whether a recipe may choose them.
    """

    magnitudes: Callable[[Connectome, int], Float[np.ndarray, "M"]]
    from_counts: bool = True
    automatic: bool = False


WEIGHTS: Registry[StartingWeights] = Registry(
    "weights", StartingWeights, room="connfit.models.init", group="connfit.weights"
)
"""Magnitudes of weights before training, by name."""


def initial_magnitudes(connectome: Connectome, weights: str, *, seed: int = 0) -> Float[np.ndarray, "M"]:
    """Return magnitudes [M] before scaling, in the default float type of JAX; see `init_params`."""
    return WEIGHTS.find(weights).magnitudes(connectome, seed).astype(jnp.result_type(float))


def _counts(connectome: Connectome, seed: int) -> Float[np.ndarray, "M"]:
    return connectome.counts


def _input_fraction(connectome: Connectome, seed: int) -> Float[np.ndarray, "M"]:
    shares = np.empty(connectome.m, jnp.result_type(float))
    for neurons, block in row_blocks(connectome.indptr):
        rows = neurons.stop - neurons.start
        post = np.repeat(np.arange(rows), np.diff(connectome.indptr[neurons.start : neurons.stop + 1]))
        counts = connectome.counts[block]
        shares[block] = counts / np.bincount(post, counts, rows)[post]
    return shares


def _truncated_normal(connectome: Connectome, seed: int) -> Float[np.ndarray, "M"]:
    scale = np.sqrt(2 / max(1.0, connectome.m / max(1, connectome.n))) / TRUNCATED_NORMAL_STD
    draw = jax.random.truncated_normal(jax.random.key(seed), -2.0, 2.0, (connectome.m,))
    return scale * np.abs(np.asarray(draw))


for _entry in (
    StartingWeights(name="counts", label="proportional to those of the connectome", magnitudes=_counts, automatic=True),
    StartingWeights(
        name="input_fraction",
        label="as shares of each neuron's input synapses",
        magnitudes=_input_fraction,
        automatic=True,
    ),
    StartingWeights(name="truncated_normal", label="at random", magnitudes=_truncated_normal, from_counts=False),
):
    WEIGHTS.register(_entry)


def start_magnitudes(
    model: Model, connectome: Connectome, weights: str = "counts", *, spectral_radius: float | None = 0.1, seed: int = 0
) -> Float[Array, "M"]:
    """Return magnitudes at which free weights start (without a spread), for gains to multiply.

    Parameters
    ----------
    model
        A model with free magnitudes, of this connectome.
    weights, spectral_radius, seed
        As in `init_params`.
    """
    magnitudes = jnp.asarray(initial_magnitudes(connectome, weights, seed=seed), jnp.result_type(float))
    magnitudes = model.project({"weights": magnitudes})["weights"]
    if spectral_radius is not None and connectome.m:
        magnitudes *= radius_factor(model, connectome, magnitudes, spectral_radius)
    return magnitudes


def spread_factors(model: Model, deviation: float, seed: int) -> Array:
    """Draw log-normal factors of median 1, one per weight, from a stream of their own."""
    if deviation < 0:
        raise ConfigError(f"weight_spread = {deviation} must not be negative")
    draw = np.random.default_rng([seed, _SPREAD]).standard_normal(model.recurrent.strengths_shape, np.float32)
    if model.junctions is not None and model.recurrent_group == "weights":
        forward, backward = np.asarray(model.junctions)
        draw[backward] = draw[forward]
    return jnp.asarray(np.exp(deviation * draw), jnp.result_type(float))


def spectral_radius_of(model: Model, strengths: Array) -> float:
    """Compute the largest absolute eigenvalue of the signed recurrent matrix: dense up to 500 neurons, else by ARPACK.

    The weights are those of `model.recurrent`: magnitudes, or gains. ARPACK sees the matrix only through the
    operators, so that no copy of the connections is made. A search for a start asks again and again for the same
    matrix, so what ARPACK found is kept by the contents of the arrays.
    """
    n = model.neurons
    if n <= 500:
        unit_rates = jnp.asarray(np.eye(n, dtype=strengths.dtype), strengths.dtype)
        columns = model.recurrent.apply(strengths, model.outputs(unit_rates))
        return float(np.abs(np.linalg.eigvals(np.asarray(columns, np.float64))).max(initial=0.0))

    matrix = _digest((model.recurrent, model.signs, strengths))
    if (known := _radii.get(matrix)) is not None:
        return known

    def apply(rates: np.ndarray) -> np.ndarray:
        return np.asarray(recurrent_input(model, strengths, np.ravel(rates)), np.float64)

    recurrent: Any = spla.LinearOperator((n, n), matvec=apply, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    start = np.random.default_rng(0).standard_normal(n)
    # Of a large brain many eigenvalues may lie at the edge, which no number of products tells apart.
    few, most = (4, 50 * n) if n <= LARGE else (1, RESTARTS)
    options: dict[str, Any] = {"which": "LM", "v0": start, "return_eigenvectors": False, "tol": 1e-4, "maxiter": most}
    try:
        radius = float(np.abs(spla.eigs(recurrent, k=few, **options)).max())
    except spla.ArpackNoConvergence:
        if n <= LARGE:
            raise
        radius = _growth(apply, start)
    return _radii.setdefault(matrix, radius)


def _growth(apply: Callable[[np.ndarray], np.ndarray], start: Float[np.ndarray, "N"]) -> float:
    """Return the factor by which a vector grows in each of the last products of many."""
    now, logs = start / np.linalg.norm(start), []
    for _ in range(PRODUCTS):
        new = apply(now)
        size = float(np.linalg.norm(new))
        if not size > 0:
            return 0.0
        logs.append(np.log(size))
        now = new / size
    return float(np.exp(np.mean(logs[PRODUCTS // 2 :])))


def _digest(tree: Any) -> bytes:
    digest = blake2b(repr(jax.tree.structure(tree)).encode(), digest_size=16)
    for leaf in jax.tree.leaves(tree):
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.digest()


def radius_factor(model: Model, connectome: Connectome, strengths: Array, target: float) -> float:
    """Return the factor that gives the signed recurrent matrix the spectral radius `target`."""
    if target < 0:
        raise ConfigError(f"spectral_radius = {target} must not be negative")
    radius = spectral_radius_of(model, strengths)
    if radius < 1e-12 * max(1.0, float(strengths.max())):
        raise ConfigError(
            f"connectome {connectome.name!r} has no recurrent loop (spectral radius 0), "
            f"so it cannot be scaled to {target}; set spectral_radius to null"
        )
    return target / radius


@jax.jit
def recurrent_input(model: Model, strengths: Array, rates: Float[Array, "N"]) -> Float[Array, "N"]:
    """Return what neurons receive from each other at the given rates."""
    return model.recurrent.apply(strengths, model.outputs(jnp.asarray(rates, strengths.dtype)[:, None]))[:, 0]
