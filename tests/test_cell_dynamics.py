"""Jacobians, Lyapunov exponents and runs of cells with several states and of late synapses, against plain equations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_oracles import NEURONS, QUICK, UNITS, Case, case, plain_step

from connfit.analysis.dynamics.lyapunov import lyapunov_exponent
from connfit.analysis.dynamics.stability import jacobian_spectrum
from connfit.errors import ConfigError
from connfit.models.base import Neurons, as_columns, as_neurons, state_size
from connfit.models.rest import settle
from connfit.models.rollout import Shown, State, readings, rollout

pytestmark = pytest.mark.usefixtures("float64")


def start_of(one: Case) -> Neurons:
    """Some state, with signals on their way."""
    rest, rng = one.model.rest(), np.random.default_rng(3)
    return jax.tree.map(lambda zero: jnp.asarray(rng.random(zero.shape)), rest)


def moved(one: Case, column: jax.Array, like: Neurons, given: jax.Array, forced: jax.Array) -> jax.Array:
    """One step of the plain equations from a state as one column."""
    neurons = as_neurons(column[:, None], like)
    queue = [] if neurons.sent is None else list(neurons.sent)
    (states, queue), _ = plain_step(one, one.params, (neurons.states, queue), (given, forced))
    return as_columns(Neurons(states, jnp.stack(queue) if queue else None))[:, 0]


@pytest.mark.parametrize(
    ("cell", "delay", "forcing"),
    [("two-channel", 1, 0.0), pytest.param("rate-calcium", 0, 0.6, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("loop", ["closed", "open"])
def test_the_jacobian_is_that_of_all_states(cell: str, delay: int, forcing: float, loop: str) -> None:
    one = case(cell, reads="single" if forcing else "many", delay=delay, forcing=forcing, batch=1)
    start = start_of(one)
    given = jnp.asarray(np.random.default_rng(4).random((UNITS, 1)))
    forced = jnp.full((UNITS, 1), loop == "open")
    by_state = jax.jit(jax.jacrev(lambda column: moved(one, column, start, given, forced)), compiler_options=QUICK)
    dense = by_state(as_columns(start)[:, 0])
    shown = None if loop == "closed" else np.asarray(given[:, 0])
    found = jacobian_spectrum(one.model, one.params, start, inputs=shown, loop=loop, k=state_size(start))
    expected = np.linalg.eigvals(dense)
    assert found.size == len(expected) == NEURONS * (len(start.states) + delay) == len(found.values)
    assert found.silent == 0
    # A delay has many eigenvalues at 0, which rounding spreads as far as roots of it.
    near = np.abs(expected) > 1e-3
    for value in expected[near]:
        assert np.abs(found.values - value).min() < 1e-8
    assert found.radius == pytest.approx(np.abs(expected).max(), rel=1e-9)


@pytest.mark.parametrize(("cell", "delay"), [("adaptive-rate", 2), pytest.param("odd", 0, marks=pytest.mark.slow)])
def test_the_exponent_is_that_of_products_of_jacobians(cell: str, delay: int) -> None:
    one = case(cell, delay=delay, batch=1)
    start, steps = start_of(one), 12
    found = lyapunov_exponent(one.model, one.params, start, steps=steps, transient=0, blocks=2, seed=1)
    nothing = jnp.zeros((UNITS, 1)), jnp.zeros((UNITS, 1), bool)

    def after(column: jax.Array) -> jax.Array:
        return moved(one, column, start, *nothing)

    step, derivative = (jax.jit(each, compiler_options=QUICK) for each in (after, jax.jacrev(after)))
    column = as_columns(start)[:, 0]
    tangent, growth = np.random.default_rng(1).standard_normal(len(column)), []
    for _ in range(steps):
        tangent = np.asarray(derivative(column)) @ (tangent / np.linalg.norm(tangent))
        growth.append(np.log(np.linalg.norm(tangent)))
        column = step(column)
    np.testing.assert_allclose(found.growth, growth, atol=1e-9)


def test_a_run_goes_on_where_it_ended() -> None:
    """All that a state consists of is carried: twice three steps are six."""
    one = case("two-channel", delay=2, batch=1)
    state = State.of(one.model, start_of(one))
    whole = rollout(one.model, one.params, state, Shown.nothing(one.model, 6), readings)
    first = rollout(one.model, one.params, state, Shown.nothing(one.model, 3), readings)
    again = State.of(one.model, first.state.neurons)
    second = rollout(one.model, one.params, again, Shown.nothing(one.model, 3), readings)
    np.testing.assert_allclose(np.concatenate([first.each, second.each]), whole.each, rtol=1e-12)
    settled = settle(one.model, one.params, first.state.neurons, steps=3, tolerance=0.0)
    np.testing.assert_allclose(as_columns(settled.neurons), as_columns(whole.state.neurons), rtol=1e-12)


def test_rates_alone_are_no_state_of_cells_with_several() -> None:
    for cell, delay in (("rate-calcium", 0), ("rate", 1)):
        one = case(cell, delay=delay, batch=1)
        with pytest.raises(ConfigError, match=r"is not one of this model.*start from model\.rest"):
            settle(one.model, one.params, np.full(NEURONS, 0.3))
        with pytest.raises(ConfigError, match="is not one of this model"):
            jacobian_spectrum(one.model, one.params, np.full(NEURONS, 0.3))
