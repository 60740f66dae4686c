"""The leaky integrate-and-fire cell: spikes, exponential synapses, a refractory time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from connfit.errors import ConfigError, one_of
from connfit.models.cells import CELLS, Cell
from connfit.models.neuron import CompiledCell, Jacobian, Neuron, Reading, Slopes, States, Theta
from connfit.models.parameter import Duration, Parameter, PerSecond, TimeConstant
from connfit.models.poisson_input import PoissonInput
from connfit.models.surrogate_spikes import SURROGATES, spike, surrogate_slope

SYNAPSE_MV = 0.275
"""What a spike adds to the synaptic current per synapse, in millivolts (Shiu et al. 2024)."""


_LEAST = 1e-30
"""What is kept of a state after steps of 69 time constants, less than which is taken for that."""


def passed_on(alpha: Array, beta: Array) -> Array:
    """Return what a synaptic current that decays adds to the potential in one step: the exact solution.

    Parameters
    ----------
    alpha, beta
        What membrane and current keep in a step, exp(-Δt/τ).

    Returns
    -------
    Array
        ``∫₀^Δt exp(-(Δt-s)/τ_m) exp(-s/τ_s) ds / τ_m``, also where both time constants are the same.
    """
    a, b = (-jnp.log(jnp.maximum(keeps, _LEAST)) for keeps in (alpha, beta))
    apart = b - a
    near = jnp.abs(apart) < 1e-3
    far = jnp.where(near, 1, apart)
    # (1 - exp(-y)) / y, by its series where that would lose digits.
    mean = jnp.where(near, 1 - apart / 2 + apart**2 / 6, -jnp.expm1(-far) / far)
    return a * alpha * mean


PASSED_ON = ("passed_on", "passed_on_by_membrane", "passed_on_by_synapse")
"""What `LIF.derived` adds to theta."""


def _passed_on(theta: Theta) -> tuple[Array, Array, Array]:
    """`passed_on`, and its derivatives."""
    at = theta["membrane"], theta["synapse"]
    one, zero = jnp.ones_like(at[0]), jnp.zeros_like(at[0])
    by_membrane, by_synapse = (jax.jvp(passed_on, at, along)[1] for along in ((one, zero), (zero, one)))
    return passed_on(*at), by_membrane, by_synapse


@dataclass(frozen=True)
class LIF(Neuron):
    """A leaky integrate-and-fire neuron with exponential synapses, seen as a rate or through calcium.

    With the spike ``z = [v(t-1) > θ]``, after which potential and current are 0, and in millivolts above rest::

        v(t) = α_m v + κ g          g(t) = α_s g + x(t)        both held for the refractory time after a spike
        r(t) = γ r(t-1) + (1-γ) (base + response z / Δt)       what read-outs see, in the recording's units

    κ integrates the decaying current exactly over a step (`passed_on`). A spike at t reaches others at t + 1, or
    `model.delay` steps later; a connection's weight is what it adds to g, in millivolts, and so are bias and drive in
    every step. ``γ = exp(-Δt/τ)`` is that of `time_constants`, of all cells the time over which activity is seen. The
    starts of the other parameters are those of Shiu et al. 2024, Nature 634:210.

    Gradients pass through the spike that is sent and seen, not through the reset (Zenke & Vogels 2021, Neural
    Computation 33:899): near the threshold that would take ``α_m v / width`` off what stays of the potential in a step,
    so that where a threshold lies two widths above rest, traces would grow from step to step.

    Parameters
    ----------
    surrogate, surrogate_width
        Derivative of a spike (`connfit.models.surrogate_spikes`) and its width in millivolts.
    clears
        Whether a spike clears the current, and the refractory time holds it at that whatever arrives, as in Shiu et
        al.; else the current is that of its synapses alone.
    poisson_hz, poisson_weight
        External Poisson events of each neuron per second, and what one adds to g, in millivolts as a connection's
        weight; 0 Hz: none.

    Raises
    ------
    ConfigError
        If there is no such surrogate, or a number is out of range.
    """

    surrogate: Literal["triangular", "fast-sigmoid", "relu"] = "triangular"
    surrogate_width: float = 7.0
    clears: bool = True
    poisson_hz: float = 0.0
    poisson_weight: float = 1.0

    states = ("potential", "current", "refractory", "rate")
    counters = (2,)
    parameters = (
        TimeConstant("membrane", start=0.02, low=0.001, high=1.0),
        TimeConstant("synapse", start=0.005, low=0.0005, high=1.0),
        Parameter("threshold", start=7.0, low=0.1, high=100.0, unit="mV"),
        Duration("refractory", start=0.0022, low=0.0, high=1.0, fixed=True),
        PerSecond("response", start=1.0, low=0.0),
        Parameter("base", start=0.0),
    )
    shows = 3
    spikes = True
    code = "lif"

    def __post_init__(self) -> None:
        one_of("surrogate", self.surrogate, SURROGATES)
        if not self.surrogate_width > 0:
            raise ConfigError(f"surrogate_width = {self.surrogate_width} must be above 0 mV")
        if not 0 <= self.poisson_hz < float("inf"):
            raise ConfigError(f"poisson_hz = {self.poisson_hz} must be 0 Hz or more; 0: no external events")
        if not 0 < abs(self.poisson_weight) < float("inf"):
            raise ConfigError(
                f"poisson_weight = {self.poisson_weight} must be a number of millivolts other than 0: for no external "
                "events set poisson_hz = 0"
            )

    @property
    def poisson(self) -> PoissonInput | None:
        """External events that the options ask for."""
        return PoissonInput(self.poisson_hz, self.poisson_weight) if self.poisson_hz else None

    def check_step(self, step_s: float) -> None:
        """Raise a ConfigError for steps that are longer than twice the time constant of synapses."""
        starts = {one.name: one.start for one in self.parameters} | dict(self.starts)
        if step_s > 2 * starts["synapse"]:
            raise ConfigError(
                f"a step of {1e3 * step_s:.4g} ms is too long for spikes with synapses of "
                f"{1e3 * starts['synapse']:.4g} ms: set data.substeps to so many steps in a frame that one is shorter "
                "than that, as 1 ms, or take a cell that sends rates"
            )

    def step(self, theta: Theta, h: States, x: States) -> States:
        """Reset what has spiked, then move potential, current and what is seen."""
        v, g, count, rate = h[:4]
        z = self.output(theta, h)
        count = _counted(theta, z, count)
        free = _is_free(count)
        beta, gamma = theta["synapse"], theta["time_constants"]
        kept = 1 - jax.lax.stop_gradient(z)
        current = g * kept if self.clears else g
        moved = theta["membrane"] * (v * kept) + self._passed(theta)[0] * current
        after = beta * current + x[0]
        if self.clears:
            after = jnp.where(free, after, current)
        seen = gamma * rate + (1 - gamma) * (theta["base"] + theta["response"] * z)
        return jnp.where(free, moved, 0), after, count, seen

    def derived(self, theta: Theta) -> Theta:
        """Return what a current passes on in a step, and its derivatives by membrane and synapse."""
        return dict(zip(PASSED_ON, _passed_on(theta), strict=True))

    def _passed(self, theta: Theta) -> tuple[Array, ...]:
        return tuple(theta[name] for name in PASSED_ON) if PASSED_ON[0] in theta else _passed_on(theta)

    def _above(self, theta: Theta, h: States) -> Array:
        """Potential above the threshold, from states or from `for_slopes`: the first of both is the potential."""
        return h[0] - theta["threshold"]

    def _threshold_at(self, theta: Theta, interval: Array) -> Array:
        """Threshold at a spike, of a neuron with a spike every so many steps."""
        return theta["threshold"]

    def output(self, theta: Theta, h: States) -> Array:
        """Return 1 where the neuron spikes."""
        return spike(self._above(theta, h), self.surrogate, self.surrogate_width)

    def balance(self, theta: Theta, rate: Array) -> Array:
        """Return the input of every step that drives a neuron to a rate, from the interval between its spikes."""
        alpha, beta, kappa = theta["membrane"], theta["synapse"], self._passed(theta)[0]
        spikes = jnp.maximum((rate - theta["base"]) / theta["response"], 1e-9)
        steps = jnp.maximum(1 / spikes - theta["refractory"], 1)
        steady = self._threshold_at(theta, 1 / spikes) / -jnp.expm1(steps * jnp.log(alpha))
        return steady * (1 - alpha) * (1 - beta) / kappa

    def hold(self, theta: Theta, before: States, after: States, rate: Array) -> States:
        """Return the states of a neuron that spikes regularly, whatever its input and refractory time.

        Its potential is the share of the interval that has passed, times the threshold: it rises by the rate, in spikes
        per step, and a spike takes the threshold off it, so that no time is lost. At a rate of 0 it rests.
        """
        passed = jnp.clip(before[0] / self._threshold(theta, before), 0, 2) - self.output(theta, before) + rate
        return jnp.where(rate > 0, passed * self._threshold(theta, after), 0), *after[1:]

    def held_from(self, theta: Theta, h: States, rate: Array, phase: Array | None = None) -> States:
        """Return the states with a potential that says how far a neuron is between two spikes, or at rest."""
        v = h[0] if phase is None else phase * self._threshold(theta, h)
        return jnp.where(rate > 0, v, 0), *h[1:]

    def shown_at(self, theta: Theta, rate: Array) -> Array:
        """Return what so many spikes per step look like in the recording."""
        return theta["base"] + theta["response"] * rate

    def _threshold(self, theta: Theta, h: States) -> Array:
        """Threshold that the potential is compared with."""
        return h[0] - self._above(theta, h)

    def jacobian(self, theta: Theta, h: States, x: States) -> Jacobian:
        """Return the derivatives of a step."""
        at, (v, g) = self.for_slopes(theta, h, x), h[:2]
        free, z, _ = self._parts(theta, at)
        gamma = theta["time_constants"]
        _, by_alpha, by_beta = self._passed(theta)
        current = g * (1 - z) if self.clears else g
        held, none = free * (1 - z) * v, (None,) * 4
        slopes = self.slopes(theta, at)
        seen = 1 - gamma
        parameters = {
            "time_constants": (None, None, None, h[3] - theta["base"] - theta["response"] * z),
            "membrane": (held + by_alpha * free * current, None, None, None),
            "synapse": (by_beta * free * current, free * current if self.clears else current, None, None),
            "threshold": (None, None, None, -self._seen_of_spike(theta, at)),
            "refractory": none,
            "response": (None, None, None, seen * z),
            "base": (None, None, None, seen),
        }
        return Jacobian(*slopes, parameters)

    def for_slopes(self, theta: Theta, h: States, x: States) -> States:
        """Return potential, and where the neuron is free to move."""
        z = jax.lax.stop_gradient(self.output(theta, h))
        return h[0], _is_free(_counted(theta, z, h[2]))

    def slopes(self, theta: Theta, at: States) -> Slopes:
        """Return the derivatives of a step by states and input."""
        free, z, _ = self._parts(theta, at)
        alpha, beta, gamma = theta["membrane"], theta["synapse"], theta["time_constants"]
        stays = 1 - z
        kept = jnp.where(free != 0, beta, 1) * stays if self.clears else beta
        passed = self._passed(theta)[0] * free
        states = (
            (alpha * free * stays, passed * stays if self.clears else passed, None, None),
            (None, kept, None, None),
            (None, None, None, None),
            (self._seen_of_spike(theta, at), None, None, gamma),
        )
        return states, ((None,), (free if self.clears else jnp.ones_like(beta),), (None,), (None,))

    def compiled(self, theta: Theta) -> CompiledCell:
        """Return what `cpp/lif.h` needs."""
        names = ("time_constants", *(one.name for one in LIF.parameters))
        known = theta if PASSED_ON[0] in theta else {**theta, **self.derived(theta)}
        numbers = jnp.stack([known[name][:, 0] for name in (*names, *PASSED_ON)])
        options = self.surrogate_width, float(self.clears), float(list(SURROGATES).index(self.surrogate))
        return CompiledCell(self.code, numbers, options, ("bias", *(name for name in names if name != "refractory")))

    def sent(self, theta: Theta, h: States) -> Reading:
        """Return the derivatives of the spike."""
        slope = surrogate_slope(self._above(theta, h), self.surrogate, self.surrogate_width)
        return Reading((slope, None, None, None), {"threshold": -slope})

    def _parts(self, theta: Theta, at: States) -> tuple[Array, Array, Array]:
        """Where the neuron is free to move, where it spikes, and the derivative of the spike by the potential."""
        above = self._above(theta, at)
        z = (above > 0).astype(above.dtype)
        return at[1].astype(above.dtype), z, surrogate_slope(above, self.surrogate, self.surrogate_width)

    def _seen_of_spike(self, theta: Theta, at: States) -> Array:
        """What a change of the potential does to what is seen, through the spike that it makes."""
        return (1 - theta["time_constants"]) * theta["response"] * self._parts(theta, at)[2]


def _counted(theta: Theta, z: Array, count: Array) -> Array:
    """Steps of the refractory time that are left."""
    return jnp.where(z > 0, theta["refractory"], jnp.maximum(count - 1, 0))


def _is_free(count: Array) -> Array:
    """Whether the refractory time is over; the step in which it ends, to the nearest, is the first that is free."""
    return count < 1.5


CELLS.register(
    Cell(
        name="lif", label="integrate and fire", phrase="the leaky integrate-and-fire neuron", place=5, neuron=LIF,
        in_studies=False,
    )
)  # fmt: skip
