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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from connfit.errors import ConfigError, one_of
from connfit.models.base import INNOVATION_GAINS, Model, Neurons, Params
from connfit.models.forward import Trajectory, innovations
from connfit.models.maps import SynapticMap
from connfit.models.neuron import Jacobian, Slope, States, times, total
from connfit.models.windows import arrived_of, read_out, run_window, states_after
from connfit.training.learners.compiled_window import COMPILED, compiled_window, forward_window, has_compiled_window
from connfit.training.learners.factorised import FactorisedSums, FactorisedTraces, Factors
from connfit.training.learners.firing_rates import FiringAdjoint, FiringMean, FiringPenalty, FiringScore
from connfit.training.learners.learner import Learner, LearnerMemory, WindowArrays, WindowResult, score_window
from connfit.training.learners.rate_adjoint import has_rate_window, window_of_rates
from connfit.training.learners.window_adjoint import (
    Adjoint,
    backward,
    direct_gradient,
    driven_by,
    readout_gradient,
)  # fmt: skip
from connfit.training.learners.window_memory import window_memory
from connfit.training.learners.window_past import Outside, Past, Stretch, reach_back
from connfit.training.learners.window_sums import Gains, PerNeuron, Steps, WindowSums, once_there

CREDITS = ("neuron", "network", "none")
CARRIES = ("trace", "history", "factorised", "none")
TRACE_DTYPES = ("float32", "bfloat16")


class WindowedMemory(NamedTuple):
    """States of neurons, and eligibility traces by group, or factors of them, or the last H steps, or nothing.

    `firing` has running means of firing rates, where they are penalised.
    """

    neurons: Neurons
    traces: dict[str, Any]
    past: Past | None
    factors: FactorisedTraces | None = None
    firing: FiringMean | None = None


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
    firing
        Penalty on firing rates; None: none.
    """

    window: int = 16
    credit: str = "network"
    carry: str = "trace"
    history: int | None = None
    trace_dtype: str = "float32"
    trace_decay: float = 0.9
    firing: FiringPenalty | None = None

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

    def late_steps(self, model: Model) -> int:
        """Return how many steps before a window errors still reach what was sent then and is on its way."""
        return model.delay if self.credit == "network" and self.carry != "none" else 0

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
        if model.forces and model.correction is None and not self.follows_state_forcing:
            raise ConfigError(
                f"carry = {self.carry!r} does not know when a state was replaced: with model.state_forcing and "
                "single neurons use carry = 'trace' or 'none'"
            )
        n, rest = model.neurons, model.rest(batch)
        zero, states, planes = rest.rates, len(rest.states), len(model.neuron.traced)
        traces: dict[str, Any] = {}
        past = factors = None
        late = self.late_steps(model)
        stored = jnp.bfloat16 if self.trace_dtype == "bfloat16" else zero.dtype
        if self.carry == "trace":
            if model.recurrent_group in trained:
                traces[model.recurrent_group] = model.recurrent.zero_trace(batch, stored, planes)
            if "drive" in trained and model.drive is not None:
                traces["drive"] = model.drive.zero_trace(batch, stored, planes)
            if "inputs" in trained and model.inputs is not None:
                traces["inputs"] = model.inputs.zero_trace(batch, stored, planes)
        if self.carry in ("trace", "factorised"):
            for group in ("bias", *(parameter.name for parameter in model.parameters)):
                if group in trained:
                    traces[group] = tuple(jnp.zeros_like(zero) for _ in range(states))
            if INNOVATION_GAINS in trained:
                traces[INNOVATION_GAINS] = tuple(
                    tuple(jnp.zeros_like(zero) for _ in range(states)) for _ in range(states)
                )
        if self.carry == "factorised":
            outputs = jax.eval_shape(model.outputs, zero).shape[0]
            channels = len(model.neuron.channels)
            maps = {model.recurrent_group: (outputs, channels)}
            if model.drive is not None:
                maps["drive"] = (model.units, 1)
            if model.inputs is not None:
                maps["inputs"] = (model.inputs.sources, 1)
            kept = [group for group in maps if group in trained]
            factors = FactorisedTraces.at_rest(n, states, {group: maps[group] for group in kept}, batch, late)
        if reach := max(self.history_steps, late):
            forced, learns_gains = model.forces and self.carry == "trace", INNOVATION_GAINS in trained
            past = Past.at_rest(model, reach, batch, late=late > 0, forced=forced, learns_gains=learns_gains)
        firing = None if self.firing is None else self.firing.start(model)
        return WindowedMemory(rest, traces, past, factors, firing)

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
        all_forced = window.fed_back is not None and not len(window.fed_back)
        if has_rate_window(self.dials, model, trained, all_forced=all_forced):
            before = memory.neurons, memory.traces
            result, end, traces = window_of_rates(self.credit, model, params, *before, window, trained)
            return result, WindowedMemory(end, traces, None)
        if self.dials == COMPILED and has_compiled_window(model, trained):
            end, predictions, ran = forward_window(model, params, memory.neurons, window)
            loss, error, own = score_window(model, params, predictions, window, trained)
            scored, of_spikes, mean = self._firing(model, memory, window, ran.run.spiked)
            gradient, traces = compiled_window(model, params, memory.traces, ran, error, trained, of_spikes)
            after_window = WindowedMemory(end, traces, None, firing=mean)
            return WindowResult(loss, gradient | own, predictions, scored), after_window
        end, forward = run_window(
            model, params, memory.neurons, window.inputs, window.forced, window.fed_back, window.external
        )
        after = states_after(model, params, forward, end)
        predictions = read_out(model, params, after)
        loss, error, own = score_window(model, params, predictions, window, trained)
        spikes = None if self.firing is None else model.neuron.output(model.constants(params), forward.states)
        scored, of_spikes, mean = self._firing(model, memory, window, spikes)
        adjoint = backward(model, params, forward, window, error, after, self.credit, of_spikes)
        beyond = None
        if INNOVATION_GAINS in trained:
            beyond = innovations(model, memory.neurons, after, window.inputs, window.forced)
        outside = Outside(window.external, beyond)
        gradient, memory = self._collect(model, params, memory, forward, after, adjoint, trained, outside)
        gradient |= own
        if "readout" in trained:
            gradient["readout"] = readout_gradient(model, params, forward, after, adjoint)
        return WindowResult(loss, gradient, predictions, scored), memory._replace(neurons=end, firing=mean)

    def _firing(
        self, model: Model, memory: WindowedMemory, window: WindowArrays, spikes: Array | None
    ) -> tuple[FiringScore | None, FiringAdjoint | None, FiringMean | None]:
        if self.firing is None or memory.firing is None or spikes is None:
            return None, None, None
        return self.firing.score(model, memory.firing, spikes, window.counted)

    def _collect(
        self,
        model: Model,
        params: Params,
        memory: WindowedMemory,
        forward: Trajectory,
        after: States,
        adjoint: Adjoint,
        trained: tuple[str, ...],
        outside: Outside,
    ) -> tuple[Params, WindowedMemory]:
        """Turn adjoints and activity into gradients, by trace, by factors, by history or within the window only."""
        theta, neuron, channels = model.constants(params), model.neuron, range(len(model.neuron.channels))
        steps = Steps((forward.states, forward.received), theta, lambda theta, at: neuron.jacobian(theta, *at))
        sent = model.neuron.output(theta, forward.states)
        arrived = arrived_of(memory.neurons, sent)
        if model.inputs is not None and outside.external is None:
            nothing = jnp.zeros((len(forward.gate), model.inputs.sources, forward.gate.shape[2]), forward.gate.dtype)
            outside = outside._replace(external=nothing)
        whole = Stretch(
            steps.whole, adjoint.states, adjoint.start, forward.gate, arrived, forward.inputs, adjoint.forcing, outside,
            adjoint.corrected,
        )  # fmt: skip
        past, length, late = memory.past, len(forward.gate), 0
        if past is not None:
            whole, past = reach_back(model, params, past, whole, adjoint, forward.states)
            if self.carry != "history":
                late, steps = self.late_steps(model), whole.first(length)
        forcing = jax.tree.map(lambda one: one[:length], whole.forcing)
        sums = WindowSums(whole.start, steps, forcing, late, traced=neuron.traced)
        step, adjoints, gate, arrived = whole.step, whole.adjoints, whole.gate, whole.arrived
        driven = driven_by(step, adjoints)
        gradient: Params = {}
        traces: dict[str, Any] = {}
        factors: dict[str, Factors] = {}
        factorised = self._factorised(model, params, memory, whole, forward.states, after, adjoint, late)
        by_channel = [partial(_of_channel, c) for c in channels]

        def strengths(
            group: str,
            synapses: SynapticMap,
            left: States,
            gains: Sequence[Gains],
            right: States,
            gate: Array | None = None,
        ) -> None:
            if factorised is not None:
                rows = zip(*(gain(step) for gain in gains), strict=True)
                gated = tuple(tuple(one if gate is None else times(one, gate) for one in row) for row in rows)
                lefts = left if gate is None else tuple(gate * one for one in left)
                gradient[group], factors[group] = factorised.strengths(group, synapses, lefts, gated, right)
            else:
                gradient[group], traces[group] = sums.strengths(
                    synapses, memory.traces.get(group), left, gains, right, gate, (gradient, traces)
                )

        learned = [parameter for parameter in model.parameters if parameter.name in trained]
        gains = {parameter.name: partial(_of_parameter, parameter.name) for parameter in learned}
        gains |= {"bias": by_channel[0]} if "bias" in trained else {}
        own = {name: PerNeuron(memory.traces.get(name), adds) for name, adds in gains.items()}
        beyond, of_gains = whole.outside.beyond, [f"{INNOVATION_GAINS} {q}" for q in range(len(adjoints))]
        if beyond is not None and whole.corrected is not None:
            trace = memory.traces.get(INNOVATION_GAINS, (None,) * len(whole.corrected))
            for q, name in enumerate(of_gains):
                left = beyond * whole.corrected[q]
                own[name] = PerNeuron(trace[q], partial(_of_state, q), beyond, left)
        found, carried = sums.per_neuron(own, step, adjoints)
        of_past = None if memory.past is None else memory.past.states
        direct = direct_gradient(model, params, forward, after, adjoint, of_past, whole.sent)
        for parameter in learned:
            value = found.pop(parameter.name)
            if parameter.name in direct:
                value += direct[parameter.name]
            gradient[parameter.key] = parameter.gradient(value, params[parameter.key], model.step_s)
        if of_gains[0] in found:
            gradient[INNOVATION_GAINS] = jnp.stack([found.pop(name)[model.read_neurons] for name in of_gains])
            of_states = tuple(carried.pop(name) for name in of_gains)
            if self.carry == "trace":
                traces[INNOVATION_GAINS] = of_states
        gradient |= found
        traces |= carried
        if past is None and neuron.has_slopes and len(adjoints) > 1:
            received = tuple(once_there(one, (gradient, traces)) for one in forward.received)
            at = neuron.for_slopes(theta, forward.states, received)
            sums = replace(sums, slopes=Steps(at, theta, lambda theta, at: Jacobian(*neuron.slopes(theta, at), {})))
        if model.recurrent_group in trained:
            right = jax.vmap(model.sources)(arrived)
            strengths(model.recurrent_group, model.recurrent, driven, by_channel, right)
        if "drive" in trained and model.drive is not None:
            strengths("drive", model.drive, driven[:1], by_channel[:1], (whole.inputs,), gate)
        if "inputs" in trained and model.inputs is not None and whole.outside.external is not None:
            strengths("inputs", model.inputs, driven[:1], by_channel[:1], (whole.outside.external,))
        kept = {key: trace for key, trace in traces.items() if trace is not None}
        after_window = None if factorised is None else factorised.after(factors, length)
        return gradient, WindowedMemory(memory.neurons, kept, past, after_window)

    def _factorised(
        self,
        model: Model,
        params: Params,
        memory: WindowedMemory,
        whole: Stretch,
        before: States,
        after: States,
        adjoint: Adjoint,
        late: int,
    ) -> FactorisedSums | None:
        if memory.factors is None:
            return None
        direct = at_start = None
        if self.credit == "neuron":
            theta = model.constants(params)
            read = jax.vmap(partial(model.readout.adjoint, model.readout_strengths(params)))(adjoint.units)
            direct = model.neuron.seen(theta, after).back(read)
            if adjoint.sent is not None:  # with spikes that are penalised, by the states after the step before
                sent = model.neuron.sent(theta, before).back(adjoint.sent)
                at_start = tuple(None if one is None else one[0] for one in sent)
                direct = tuple(total((one, _one_later(other))) for one, other in zip(direct, sent, strict=True))
        return FactorisedSums(
            memory.factors, self.trace_decay, whole.step.states, direct, whole.start, late, at_start
        )  # fmt: skip


def _one_later(slope: Slope) -> Slope:
    """What each step has of the one after it."""
    return None if slope is None else jnp.concatenate([slope[1:], jnp.zeros_like(slope[:1])])


def _of_channel(channel: int, step: Jacobian) -> list[Slope]:
    return [row[channel] for row in step.inputs]


def _of_state(state: int, step: Jacobian) -> list[Slope]:
    return [row[state] for row in step.states]


def _of_parameter(name: str, step: Jacobian) -> Sequence[Slope]:
    return step.parameters.get(name, (None,) * len(step.states))
