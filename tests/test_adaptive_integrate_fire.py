"""The adaptive integrate-and-fire cell: its closed forms, and what it is without adaptation."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.signal import lfilter

from connfit.models.cells.adaptive_integrate_fire import AdaptiveLIF
from connfit.models.cells.integrate_fire import LIF, passed_on
from connfit.models.neuron import Neuron

STEP_S = 1e-4
SHARES = {
    name: np.exp(-STEP_S / tau) for name, tau in (("membrane", 0.02), ("synapse", 0.005), ("adaptation", 0.2))
}  # fmt: skip
THETA = {
    **SHARES,
    "threshold": 7.0,
    "refractory": 0.0,
    "response": 1.0,
    "base": 0.0,
    "jump": 1.0,
    "time_constants": 0.9,
}


def theta_of(**other: float) -> dict[str, jax.Array]:
    return {name: jnp.full((1, 1), value, float) for name, value in (THETA | other).items()}


@partial(jax.jit, static_argnums=0)
def run(neuron: Neuron, theta: Any, h: Any, x: jax.Array) -> tuple[tuple, jax.Array]:
    """States before each step, [T, N, B], and spikes in it."""

    def step(h: Any, x: jax.Array) -> tuple:
        return tuple(neuron.step(theta, h, (x,))), (h, neuron.output(theta, h))

    return jax.lax.scan(step, h, x)[1]


def intervals_of(spikes: jax.Array) -> np.ndarray:
    return np.diff(np.flatnonzero(spikes[:, 0, 0]))


def in_steady_current(neuron: Neuron, theta: Any, x: Any, steps: int) -> tuple[tuple, jax.Array]:
    """A run with an input that holds the synaptic current at one value from the start."""
    zero = jnp.zeros((1, 1))
    current = zero + x / (1 - SHARES["synapse"])
    h = (zero, current, *(zero,) * (len(neuron.states) - 2))
    return run(neuron, theta, h, jnp.full((steps, 1, 1), x, float))


@pytest.mark.parametrize("clears", [True, False])
def test_without_a_jump_it_is_the_cell_that_does_not_adapt(clears: bool) -> None:
    rng, n = np.random.default_rng(0), 30
    theta = {name: jnp.full((n, 1), value, jnp.float32) for name, value in THETA.items()}
    theta |= {"refractory": jnp.full((n, 1), 22.0), "membrane": jnp.asarray(rng.uniform(0.99, 0.996, (n, 1)), "f")}
    x = jnp.asarray(rng.gamma(0.2, 2.0, (1000, n, 2)), jnp.float32)
    zero = jnp.zeros((n, 2))
    plain, spikes = run(LIF(clears=clears), theta, (zero,) * 4, x)
    found, own = run(AdaptiveLIF(clears=clears), theta | {"jump": 0 * theta["jump"]}, (zero,) * 5, x)
    assert spikes.sum() > 200
    np.testing.assert_array_equal(own, spikes)
    jax.tree.map(np.testing.assert_array_equal, found[:4], plain)
    adaptation = lfilter([0.0, 1.0], [1.0, -SHARES["adaptation"]], np.asarray(spikes, float), axis=0)
    np.testing.assert_allclose(found[4], adaptation, rtol=1e-4, atol=1e-4)  # float32; it goes on without a jump
    _, fewer = run(AdaptiveLIF(clears=clears), theta, (zero,) * 5, x)
    assert fewer.sum() < 0.9 * spikes.sum()


@pytest.mark.usefixtures("float64")
def test_the_interval_between_spikes_grows_to_that_of_the_fixed_point() -> None:
    """In a constant current v(n) = V (1 - α^n) n steps after a spike, which meets what is left of all spikes before."""
    alpha, rho, steady = SHARES["membrane"], SHARES["adaptation"], 14.0

    def above(n: float, adapts: bool) -> float:
        left = rho ** (n - 1) / (1 - rho**n) if adapts else 0.0
        return steady * (1 - alpha**n) - THETA["threshold"] - THETA["jump"] * left

    first, last = (brentq(above, 2, 5000, args=(adapts,)) for adapts in (False, True))
    assert last > 2 * first
    kappa = float(passed_on(jnp.asarray(alpha), jnp.asarray(SHARES["synapse"])))
    x = steady * (1 - alpha) * (1 - SHARES["synapse"]) / kappa
    states, spikes = in_steady_current(AdaptiveLIF(clears=False), theta_of(), x, 20_000)
    intervals = intervals_of(spikes)
    assert np.flatnonzero(spikes[:, 0, 0])[0] == np.ceil(first) and (np.diff(intervals) >= -1).all()
    assert abs(intervals[-10:].mean() - last) < 1, "steps are whole"
    met = np.asarray(states[4])[np.asarray(spikes) > 0][-1]
    np.testing.assert_allclose(met, rho ** (last - 1) / (1 - rho**last), rtol=2 / last)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("hertz", [5.0, 20.0, 80.0])
def test_balance_makes_up_for_the_adaptation_of_a_rate(hertz: float) -> None:
    neuron, theta = AdaptiveLIF(clears=False), theta_of(jump=2.0)
    asked = 1 / (hertz * STEP_S)
    x = float(neuron.balance(theta, jnp.full((1, 1), hertz * STEP_S))[0, 0])
    intervals = intervals_of(in_steady_current(neuron, theta, x, 30_000)[1])
    assert abs(intervals[-3:].mean() - asked) < 2, "of whole steps"
    np.testing.assert_allclose(
        neuron.balance(theta_of(jump=0.0), jnp.full((1, 1), 1e-3)), LIF().balance(theta, jnp.full((1, 1), 1e-3))
    )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("through_reset", [False, True])
@pytest.mark.parametrize(("neuron", "threshold", "drive"), [(LIF(), 30.0, 6.0), (AdaptiveLIF(), 7.0, 40.0)])
def test_traces_stay_bounded_however_high_the_threshold(
    neuron: LIF, threshold: float, drive: float, through_reset: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What states are to those at the start, where the threshold lies, or has risen, far above the surrogate's 7 mV.

    By autodiff of the step, of which the derivatives that the cell declares are those that leave the reset out.
    """
    keeps = {name: SHARES[name] ** 10 for name in SHARES}  # steps of 1 ms
    theta = theta_of(**keeps, refractory=2.2, jump=1.0, threshold=threshold)
    rng, traced = np.random.default_rng(0), list(neuron.traced)
    x = jnp.asarray(rng.normal(drive, drive / 2, (3000, 1, 1)))
    states, spikes = run(neuron, theta, (jnp.zeros((1, 1)),) * len(neuron.states), x)
    assert spikes.mean() > 0.005
    if through_reset:
        monkeypatch.setattr(jax.lax, "stop_gradient", lambda values: values)

    def moved(h: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.stack([one[0, 0] for one in neuron.step(theta, tuple(h[:, None, None]), (x,))])

    step = np.asarray(jax.vmap(jax.jacfwd(moved))(jnp.stack(states, axis=1)[:, :, 0, 0], x))
    step = step[:, traced][:, :, traced]
    if not through_reset:
        declared = jax.vmap(lambda h, x: neuron.jacobian(theta, h, (x,)).states)(states, x)
        for p, row in enumerate(traced):
            for q, column in enumerate(traced):
                own = 0.0 if declared[row][column] is None else jnp.broadcast_to(declared[row][column], (3000, 1, 1))
                np.testing.assert_allclose(step[:, p, q], np.broadcast_to(np.ravel(own), 3000), atol=1e-12)
    trace, largest = np.eye(len(traced)), []
    for t in range(3000):
        trace = step[t] @ trace
        largest.append(np.abs(trace).max())
    assert max(largest) > 1e30 if through_reset else max(largest) < 2
