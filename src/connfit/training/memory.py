"""How much memory a fit needs, said before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import jax
import jax.numpy as jnp
import psutil

from connfit.config import TrainConfig
from connfit.errors import ConfigError
from connfit.models.base import Params
from connfit.models.cells.rate import RateModel
from connfit.models.maps import SynapticMap
from connfit.recordings.cohort import Cohort
from connfit.training.learners import WindowedLearner
from connfit.training.optimiser import moments_per_parameter
from connfit.training.step import KEY_OF

LIBRARIES = 575_000_000
"""Python, JAX, SciPy and the others with what compiling takes: bytes of resident memory (Linux, x86-64)."""

WINDOW_ARRAYS = MappingProxyType({"trace": (7, 10), "history": (7, 7), "factorised": (10, 13), "none": (4, 6)})
"""Arrays of [steps, N, B] that a compiled step holds at once, for one recording and for several.

Read off XLA's own account of its buffers (`memory_analysis`), which the tests compare with the estimate.
"""


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak of resident memory during a fit.

    Parameters
    ----------
    parts
        Bytes by what they are for.
    batch
        Recordings that are run side by side.
    """

    parts: Mapping[str, int]
    batch: int

    @property
    def total(self) -> int:
        """Sum of all parts in bytes."""
        return sum(self.parts.values())

    def report(self) -> str:
        """One line: total and parts, the largest first."""
        ordered = sorted(self.parts.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{what} {_gigabytes(size)}" for what, size in ordered if size >= 0.005e9)
        return f"memory: about {_gigabytes(self.total)} GB at peak ({listed})"


def estimate_memory(
    model: RateModel,
    params: Params,
    cohort: Cohort,
    learner: WindowedLearner,
    config: TrainConfig,
    trained: tuple[str, ...],
) -> MemoryEstimate:
    """What a fit will take at its peak, from shapes alone.

    Nothing in it depends on the number of frames beyond the recordings themselves: a learner's memory is
    that of one window and of its traces.

    Parameters
    ----------
    trained
        Groups that are trained.
    """
    count = len(cohort.recordings)
    batch = min(config.batch or count, count)
    neurons = model.neurons
    maps = {model.recurrent_group: model.recurrent, **({} if model.drive is None else {"drive": model.drive})}
    size = {key: value.size * value.dtype.itemsize for key, value in params.items()}
    moving = sum(size[KEY_OF.get(group, group)] for group in trained)
    number = params["bias"].dtype.itemsize
    stored = 2 if learner.trace_dtype == "bfloat16" else number
    steps = learner.window + learner.history_steps
    arrays = WINDOW_ARRAYS[learner.carry][batch > 1]
    past = 4 * learner.history_steps * neurons * batch * number
    traces = sum(_trace_size(synapses) for group, synapses in maps.items() if group in trained)
    frames = sum(one.values.nbytes + one.mask.nbytes for one in cohort.recordings)
    # Gradients of gains follow from the input of each branch at each step (`connfit.models.maps.GainMap`).
    of_branches = steps * _trace_size(model.recurrent) * batch * number if "gains" in trained else 0
    validates = any(one.require_parts().length("validation") for one in cohort.recordings)
    parts = {
        "libraries": LIBRARIES,
        "wiring": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(model.recurrent)),
        "parameters": sum(size.values()),
        "their start": sum(size.values()),
        "moments": moments_per_parameter(config.optimiser) * moving,
        "gradient": moving,
        "best so far": moving if validates else 0,
        "traces": stored * traces * batch if learner.carry == "trace" else 0,
        "window": arrays * steps * neurons * batch * number + past + of_branches,
        "recordings": 3 * frames,
    }
    return MemoryEstimate(MappingProxyType(parts), batch)


def _trace_size(synapses: SynapticMap) -> int:
    """Numbers in the traces of one recording."""
    return jax.eval_shape(lambda: synapses.zero_trace(1, jnp.float32)).size


def check_memory(estimate: MemoryEstimate, learner: WindowedLearner, *, free: int | None = None) -> None:
    """Stop before a fit that the machine cannot hold.

    Parameters
    ----------
    free
        Bytes that this process may grow to; default: what it holds and what the system has left.

    Raises
    ------
    ConfigError
        With the options that would help and what each would save.
    """
    free = memory_limit() if free is None else free
    if estimate.total <= free:
        return
    advice = []
    traces, window = estimate.parts["traces"], estimate.parts["window"]
    if estimate.batch > 1:
        saved = (traces + window) * (estimate.batch - 1) // estimate.batch
        advice.append(f"train.batch = 1 (saves {_gigabytes(saved)} GB)")
    if traces and learner.trace_dtype == "float32":
        advice.append(f"learner.trace_dtype = 'bfloat16' (saves {_gigabytes(traces // 2)} GB)")
    if traces:
        advice.append(f"learner.carry = 'history' (saves about {_gigabytes(traces)} GB of traces)")
    advice.append("model.drive = 'anatomical'")
    advice.append("data.min_synapses, which leaves out weak connections")
    raise ConfigError(
        f"this fit needs about {_gigabytes(estimate.total)} GB and the machine has {_gigabytes(free)} GB for it: "
        f"{estimate.report()}. What helps: {'; '.join(advice)}; train.check_memory = false starts it all the same"
    )


def memory_limit() -> int:
    """Bytes of resident memory that this process can grow to: what it holds now and what is left to take."""
    left = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        left = min(left, limit - used)
    except (OSError, ValueError):
        pass  # no control group, or one without a limit ("max")
    return left + psutil.Process().memory_info().rss


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f}"
