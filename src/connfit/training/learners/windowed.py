"""One learner with two dials: how far credit travels inside a window, and what crosses from window to window.

============  ==============  ====  ==========================================================
credit        carry           K     what it is
============  ==============  ====  ==========================================================
``neuron``    ``trace``       any   D-RTRL, the same gradient for every K
``network``   ``trace``       K     hybrid: exact inside the window, D-RTRL across windows
``network``   ``none``        K     truncated backpropagation through time
``network``   ``none``        T     backpropagation through time
``neuron``    ``factorised``  any   pp-prop, the same gradient for every K
``network``   ``factorised``  K     exact inside the window, pp-prop's factors across windows
``neuron``    ``none``        1     immediate: no credit through time at all
``none``      ``none``        any   the same gradient for every K, so that parameters may move less often
============  ==============  ====  ==========================================================

``carry="factorised"`` keeps two numbers per neuron instead of one per connection
(`connfit.training.learners.factorised`). ``carry="history"`` is D-RTRL across windows with the trace cut after H
steps: no memory per connection and recording, at the price of an error that falls as α^H (`history_error`).

References
----------
Wang et al., Nature Communications 2026, doi 10.1038/s41467-026-68453-w (D-RTRL, pp-prop). Werbos 1990 (BPTT).
Williams & Peng 1990 (truncation). The hybrid is this package's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.errors import ConfigError, one_of
from connfit.models.base import Model, Params
from connfit.models.forward import Trajectory, correct_adjoint, fed_back_part, kept_share
from connfit.models.maps import SynapticMap
from connfit.models.rollout import read_out, run_window
from connfit.training.learners.factorised import FactorisedSums, FactorisedTraces, Factors
from connfit.training.learners.learner import Learner, LearnerMemory, WindowArrays, WindowResult
from connfit.training.learners.window_memory import window_memory
from connfit.training.learners.window_sums import WindowSums, fading_by_step, fading_shares, side_by_side

CREDITS = ("neuron", "network", "none")
CARRIES = ("trace", "history", "factorised", "none")
TRACE_DTYPES = ("float32", "bfloat16")


class Past(NamedTuple):
    """The last H steps before a window: what the gradient needs to reach back without traces."""

    rates: Float[Array, "H N B"]
    gain: Float[Array, "H N B"]
    gate: Float[Array, "H N B"]
    inputs: Float[Array, "H P B"]
    leak: Float[Array, "H N B"]


class WindowedMemory(NamedTuple):
    """Rates r [N, B], and eligibility traces by group, or factors of them, or the last H steps, or nothing."""

    rates: Float[Array, "N B"]
    traces: dict[str, Array]
    past: Past | None
    factors: FactorisedTraces | None = None


@dataclass(frozen=True)
class WindowedLearner(Learner[WindowedMemory]):
    """Gradient of the loss of each window of `window` steps.

    Parameters
    ----------
    window
        K, steps between two changes of the parameters.
    credit
        `"neuron"`: the adjoint decays along each neuron's own state. `"network"`: it also travels
        back through the connections and, in free run, through read-out and drive. `"none"`: the error of a step
        meets that step alone.
    carry
        What tells a window about the steps before it: `"trace"` (an eligibility trace per weight
        and recording), `"factorised"` (a factor per neuron at either end of the weights),
        `"history"` (the last `history` steps) or `"none"`.
    history
        H, steps kept with `carry="history"`; default K.
    trace_dtype
        `"float32"` (JAX's default float type) or `"bfloat16"`: how the traces of connections and drive are
        stored. Half the memory; every trace is rounded to 8 bits once per window, sums are not.
    trace_decay
        γ of `carry="factorised"`, at least 0 and below 1: how slowly its factors forget.
    """

    window: int = 16
    credit: str = "network"
    carry: str = "trace"
    history: int | None = None
    trace_dtype: str = "float32"
    trace_decay: float = 0.9

    def __post_init__(self) -> None:
        one_of("credit", self.credit, CREDITS)
        one_of("carry", self.carry, CARRIES)
        one_of("trace_dtype", self.trace_dtype, TRACE_DTYPES)
        if self.credit == "none" and self.carry != "none":
            raise ConfigError(
                f"credit = 'none' gives nothing to what carry = {self.carry!r} remembers: use carry = 'none'"
            )
        if not isinstance(self.window, int) or self.window < 1:
            raise ConfigError(f"window = {self.window} must be a whole number of steps, 1 or more")
        if self.history is not None and (self.carry != "history" or self.history < 1):
            raise ConfigError(f"history = {self.history} needs carry = 'history' and 1 or more steps")
        if not 0 <= self.trace_decay < 1:
            raise ConfigError(f"trace_decay = {self.trace_decay} must be at least 0 and below 1")

    @property
    def history_steps(self) -> int:
        """H, 0 unless a history is carried."""
        return (self.history or self.window) if self.carry == "history" else 0

    @property
    def dials(self) -> tuple[str, str]:
        """Credit and carry."""
        return self.credit, self.carry

    @property
    def through_time(self) -> bool:
        """Whether errors give credit to earlier steps."""
        return self.carry != "none" or (self.window > 1 and self.credit != "none")

    @property
    def follows_state_forcing(self) -> bool:
        """Whether traces fade by what was observed; a history or factors would not know of it."""
        return self.carry in ("trace", "none")

    def spelt_out(self) -> dict[str, object]:
        """Return the dials, with which no name of a rule is needed."""
        kept = ("window", "credit", "carry", "history")
        return {"preset": None, **{option: getattr(self, option) for option in kept}}

    def memory_bytes(self, model: Model, batch: int, trained: tuple[str, ...]) -> LearnerMemory:
        """Estimate what it needs; see `connfit.training.learners.window_memory`."""
        return window_memory(self, model, batch, trained)

    def start(self, model: Model, batch: int, trained: tuple[str, ...]) -> WindowedMemory:
        """Return rates and memory at rest.

        Raises
        ------
        ConfigError
            If the model forces states and traces would have to fade by what was observed.
        """
        if model.state_forcing and model.correction is None and not self.follows_state_forcing:
            raise ConfigError(
                f"carry = {self.carry!r} does not know when a state was replaced: with model.state_forcing and "
                "single neurons use carry = 'trace' or 'none'"
            )
        n = model.neurons
        rates = jnp.zeros((n, batch))
        traces: dict[str, Array] = {}
        past = factors = None
        stored = jnp.bfloat16 if self.trace_dtype == "bfloat16" else rates.dtype
        if self.carry == "trace":
            if model.recurrent_group in trained:
                traces[model.recurrent_group] = model.recurrent.zero_trace(batch, stored)
            if "drive" in trained and model.drive is not None:
                traces["drive"] = model.drive.zero_trace(batch, stored)
        if self.carry in ("trace", "factorised"):
            for group in ("bias", "time_constants"):
                if group in trained:
                    traces[group] = jnp.zeros((n, batch))
        if self.carry == "factorised":
            outputs = jax.eval_shape(model.outputs, rates).shape[0]
            sources = {model.recurrent_group: outputs, "drive": model.units}
            kept = [group for group in sources if group in trained and (group != "drive" or model.drive is not None)]
            factors = FactorisedTraces.at_rest(n, {group: sources[group] for group in kept}, batch)
        if self.carry == "history":
            h = self.history_steps
            sizes = (n, n, n, model.units, n)
            past = Past(*(jnp.zeros((h, size, batch)) for size in sizes))
        return WindowedMemory(rates, traces, past, factors)

    def step(
        self, model: Model, params: Params, memory: WindowedMemory, window: WindowArrays, trained: tuple[str, ...]
    ) -> tuple[WindowResult, WindowedMemory]:
        """Run one window forward, its adjoint backward, and collect the gradient.

        Parameters
        ----------
        trained
            Groups whose gradient is wanted.

        Returns
        -------
        WindowResult, WindowedMemory
        """
        end_rates, forward = run_window(model, params, memory.rates, window.inputs, window.forced, window.fed_back)
        predictions, error, loss = _score(model, params, forward, end_rates, window)
        adjoint = self._backward(model, params, forward, window, error)
        gradient, memory = self._collect(model, params, memory, forward, adjoint, trained)
        if "readout" in trained:
            gradient["readout"] = _readout_gradient(model, params, forward, end_rates, adjoint)
        return WindowResult(loss, gradient, predictions), memory._replace(rates=end_rates)

    def _backward(
        self, model: Model, params: Params, forward: Trajectory, window: WindowArrays, error: Array
    ) -> _Adjoint:
        """λ(t) of every step, from 0 after the last one, and λ⁰ of the state at the window's start."""
        alpha = model.decay(params)[:, None]
        strengths, recurrent = model.readout_strengths(params), model.recurrent_strengths(params)
        network = self.credit == "network"
        all_forced = window.fed_back is not None and not len(window.fed_back)
        feedback = model.drive if network and not all_forced else None
        part = fed_back_part(model, params, window.fed_back)
        kept = kept_share(model, window.forced)
        # With the whole network's credit the adjoint goes through the correction of units itself.
        exact = network and model.correction is not None

        def back(
            carry: tuple[Array, Array], step: tuple[Array, Array, Array, Array, Array | None]
        ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
            to_rates, to_prediction = carry
            error_t, gain, gate, forced, kept_t = step
            unit_adjoint = error_t + to_prediction
            rate_adjoint = to_rates + model.readout.adjoint(strengths, unit_adjoint)
            driven = gain * rate_adjoint
            to_rates = jnp.zeros_like(rate_adjoint) if self.credit == "none" else alpha * rate_adjoint
            if network:
                to_rates += model.outputs_adjoint(model.recurrent.adjoint(recurrent, driven))
            if kept_t is not None:
                to_rates = kept_t * to_rates
            if feedback is not None:
                if part is None:
                    to_prediction = jnp.where(forced, 0, feedback.adjoint(params["drive"], gate * driven))
                else:
                    some = jnp.where(forced[part.units], 0, part.strengths.T @ (gate * driven))
                    to_prediction = jnp.zeros_like(to_prediction).at[part.units].set(some)
            if exact:
                if feedback is not None:  # what was fed back was read after the correction
                    to_rates += model.readout.adjoint(strengths, to_prediction)
                    to_prediction = jnp.zeros_like(to_prediction)
                to_rates = correct_adjoint(model, to_rates, forced)
            return (to_rates, to_prediction), (rate_adjoint, unit_adjoint)

        zero = (jnp.zeros_like(forward.rates[0]), jnp.zeros_like(error[0]))
        (to_rates, to_prediction), (rates, units) = jax.lax.scan(
            back, zero, (error, forward.gain, forward.gate, window.forced, None if exact else kept), reverse=True
        )
        start = to_rates + model.readout.adjoint(strengths, to_prediction) if feedback is not None else to_rates
        return _Adjoint(rates, units, start, to_prediction, kept)

    def _collect(
        self,
        model: Model,
        params: Params,
        memory: WindowedMemory,
        forward: Trajectory,
        adjoint: _Adjoint,
        trained: tuple[str, ...],
    ) -> tuple[Params, WindowedMemory]:
        """Turn adjoints and activity into gradients, by trace, by factors, by history or within the window only."""
        alpha = model.decay(params)
        leak = forward.rates - forward.steady
        rate_adjoint, rates, gain, gate = adjoint.rates, forward.rates, forward.gain, forward.gate
        inputs = forward.inputs
        past = memory.past
        if past is not None:
            h = len(past.rates)
            before = fading_shares(alpha, h) * adjoint.start
            rate_adjoint = jnp.concatenate([before, rate_adjoint])
            gain, gate = jnp.concatenate([past.gain, gain]), jnp.concatenate([past.gate, gate])
            rates, inputs = jnp.concatenate([past.rates, rates]), jnp.concatenate([past.inputs, inputs])
            leak = jnp.concatenate([past.leak, leak])
            past = Past(rates[-h:], gain[-h:], gate[-h:], inputs[-h:], leak[-h:])
        driven = gain * rate_adjoint
        gradient: Params = {}
        traces: dict[str, Array | None] = {}
        factors: dict[str, Factors] = {}
        if adjoint.kept is None:
            fading = fading_shares(alpha, len(gain))
            sums = WindowSums(adjoint.start, fading, jnp.broadcast_to(fading[0] * alpha[:, None], adjoint.start.shape))
        else:
            fading, decay = fading_by_step(alpha[:, None] * adjoint.kept)
            sums = WindowSums(adjoint.start, fading, decay)
        factorised = self._factorised(model, params, memory, adjoint)

        def strengths(group: str, synapses: SynapticMap, left: Array, trace_left: Array, right: Array) -> None:
            if factorised is not None:
                gradient[group], factors[group] = factorised.strengths(group, synapses, left, trace_left, right)
            else:
                trace = memory.traces.get(group)
                gradient[group], traces[group] = sums.strengths(synapses, trace, left, trace_left, side_by_side(right))

        if model.recurrent_group in trained:
            strengths(model.recurrent_group, model.recurrent, driven, gain, jax.vmap(model.outputs)(rates))
        if "drive" in trained and model.drive is not None:
            strengths("drive", model.drive, gate * driven, gate * gain, inputs)
        if "bias" in trained:
            gradient["bias"], traces["bias"] = sums.per_neuron(memory.traces.get("bias"), driven, gain)
        if "time_constants" in trained:
            slope, traces["time_constants"] = sums.per_neuron(
                memory.traces.get("time_constants"), rate_adjoint * leak, leak
            )
            gradient["log_time_constants"] = slope * model.decay_slope(params)
        kept = {key: trace for key, trace in traces.items() if trace is not None}
        after = None if factorised is None else factorised.after(factors, len(gain))
        return gradient, WindowedMemory(memory.rates, kept, past, after)

    def _factorised(
        self, model: Model, params: Params, memory: WindowedMemory, adjoint: _Adjoint
    ) -> FactorisedSums | None:
        if memory.factors is None:
            return None
        direct = None
        if self.credit == "neuron":
            direct = jax.vmap(partial(model.readout.adjoint, model.readout_strengths(params)))(adjoint.units)
        return FactorisedSums(memory.factors, self.trace_decay, model.decay(params), direct, adjoint.start)


class _Adjoint(NamedTuple):
    """λ of the rates and of the predictions at every step, and of both just before the window."""

    rates: Float[Array, "K N B"]
    units: Float[Array, "K P B"]
    start: Float[Array, "N B"]
    start_units: Float[Array, "P B"]
    kept: Float[Array, "K N B"] | None


def _score(
    model: Model, params: Params, forward: Trajectory, end_rates: Array, window: WindowArrays
) -> tuple[Array, Array, Array]:
    """Predictions y [K, P, B], ∂loss/∂y, and the loss of the window."""
    predictions = read_out(model, params, _after(model, params, forward, end_rates))
    difference = predictions - window.targets
    return predictions, 2 * window.weights * difference, (window.weights * difference**2).sum()


def _readout_gradient(
    model: Model, params: Params, forward: Trajectory, end_rates: Array, adjoint: _Adjoint
) -> Float[Array, "P N"]:
    """Gradient of a learned read-out: Σ_t μ(t) r(t)ᵀ, the prediction that fed the first step included."""
    before = adjoint.start_units @ forward.rates[0].T
    return before + jnp.einsum("kpb,knb->pn", adjoint.units, _after(model, params, forward, end_rates))


def _after(model: Model, params: Params, forward: Trajectory, end_rates: Float[Array, "N B"]) -> Float[Array, "K N B"]:
    """r(t), after each step and before the correction by what was recorded then."""
    if model.state_forcing:
        alpha = model.decay(params)[:, None]
        return alpha * forward.rates + (1 - alpha) * forward.steady
    return jnp.concatenate([forward.rates[1:], end_rates[None]])
