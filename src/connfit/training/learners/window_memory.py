"""Memory of the windowed learner, from shapes alone."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from connfit.models.base import Model
from connfit.models.maps import SynapticMap
from connfit.training.learners.compiled_window import COMPILED, has_compiled_window
from connfit.training.learners.learner import LearnerMemory
from connfit.training.learners.rate_adjoint import has_rate_window

if TYPE_CHECKING:
    from connfit.training.learners.windowed import WindowedLearner

WINDOW_ARRAYS = MappingProxyType({"trace": (7, 10), "history": (7, 7), "factorised": (10, 13), "none": (4, 6)})
"""Arrays of [steps, N, B] that a compiled step holds at once, for one recording and for several.

Read off XLA's own account of its buffers (`memory_analysis`), which the tests compare with the estimate.
"""

STATE_ARRAYS = MappingProxyType({"trace": (2, 5), "history": (3, 3), "factorised": (6, 6), "none": (2, 3)})
"""Further arrays for each state of a neuron beyond the first."""

CHANNEL_ARRAYS = 8
"""Further arrays for a second channel of input, whose steps lie beside those of the first."""

FIRING_ARRAYS = 3
"""Further arrays for a penalty on firing rates: spikes, their adjoint, and what that is to states."""


COMPILED_ARRAYS = 2
"""Where a window is compiled as a whole: what was received, and in bytes when there were spikes, with copies."""

RATE_ARRAYS = 6
"""Of rates whose window is compiled: states, input, what is read, sources and two factors."""


def window_arrays(carry: str, model: Model, batch: int, *, whole: bool = False) -> int:
    """Return how many arrays of [steps, N, B] a compiled step holds at once.

    Parameters
    ----------
    whole
        Whether the window is one compiled pass.
    """
    if whole:
        others = model.drive is not None or model.inputs is not None
        return COMPILED_ARRAYS + others * (2 + 2 * len(model.neuron.traced))
    several = batch > 1
    states, channels = len(model.neuron.states) - 1, len(model.neuron.channels) - 1
    return WINDOW_ARRAYS[carry][several] + states * STATE_ARRAYS[carry][several] + channels * CHANNEL_ARRAYS


def window_memory(learner: WindowedLearner, model: Model, batch: int, trained: tuple[str, ...]) -> LearnerMemory:
    """Estimate what a windowed learner needs for `batch` recordings side by side."""
    number, row = jnp.result_type(float).itemsize, model.neurons * batch
    past = max(learner.history_steps, learner.late_steps(model))
    steps = learner.window + past
    traces = 0
    if learner.carry == "trace":
        maps = {model.recurrent_group: model.recurrent, "drive": model.drive, "inputs": model.inputs}
        stored = 2 if learner.trace_dtype == "bfloat16" else number
        traces = (
            len(model.neuron.traced)
            * stored
            * batch
            * sum(
                _trace_size(synapses) for group, synapses in maps.items() if group in trained and synapses is not None
            )
        )
    # Gradients of gains follow from the input of each branch at each step (`connfit.models.maps.GainMap`).
    of_branches = steps * _trace_size(model.recurrent) * batch if "gains" in trained else 0
    whole = learner.dials == COMPILED and has_compiled_window(model, trained)
    if has_rate_window(learner.dials, model, trained):
        each = RATE_ARRAYS + 2 * (model.drive is not None) + model.forces
    else:
        each = window_arrays(learner.carry, model, batch, whole=whole)
    arrays = each * steps + 4 * past + 2 * model.delay
    if model.own_gains:
        # What each state takes of an innovation, adjoints of corrected states, innovations; and traces of the gains.
        states = len(model.neuron.states)
        arrays += (2 * states + 2) * learner.window + states**2
    if learner.firing is not None and not whole:
        arrays += FIRING_ARRAYS * learner.window
    savings = []
    if traces and learner.trace_dtype == "float32":
        savings.append(f"learner.trace_dtype = 'bfloat16' (saves {traces // 2 / 1e9:.2f} GB)")
    if traces:
        savings.append(f"learner.carry = 'history' (saves about {traces / 1e9:.2f} GB of traces)")
    return LearnerMemory(traces, number * (arrays * row + of_branches), tuple(savings))


def _trace_size(synapses: SynapticMap) -> int:
    """Numbers in the traces of one recording and state."""
    return jax.eval_shape(lambda: synapses.zero_trace(1, jnp.float32)).size
