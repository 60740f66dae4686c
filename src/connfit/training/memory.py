"""Estimate peak memory before training, and stop a fit that the machine cannot hold."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import psutil

from connfit._system.devices import device_count, own_devices
from connfit.config import TrainConfig
from connfit.errors import ConfigError
from connfit.models.base import Model, Params, key_of
from connfit.models.connectome_model import ConnectomeModel
from connfit.recordings.cohort import Cohort
from connfit.recordings.frame_blocks import BLOCK_VALUES
from connfit.training.learners.learner import Learner
from connfit.training.optimiser import moments_per_parameter

LIBRARIES = 575_000_000
"""Python, JAX, SciPy and the others with what compiling takes: bytes of resident memory (Linux, x86-64)."""

BLOCK = 6 * 8 * BLOCK_VALUES
"""Bytes in which a block of a recording is cut into windows (`connfit.recordings.track`)."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak of resident memory during a fit, and in what follows it.

    Parameters
    ----------
    parts
        Bytes of training by what they are for.
    batch
        Recordings that are run side by side.
    savings
        Options of the learner that would need less, in words.
    later
        Bytes of evaluation and report by what they are for, where those follow.
    so_far
        Peak of this process before training: data were read and a start was searched.
    held
        What of several devices this process has, in words.
    """

    parts: Mapping[str, int]
    batch: int
    savings: tuple[str, ...] = ()
    later: Mapping[str, int] = field(default_factory=dict)
    so_far: int = 0
    held: str = ""

    @property
    def total(self) -> int:
        """Bytes of the stage that needs most."""
        return max(sum(self.parts.values()), sum(self.later.values()), self.so_far)

    @property
    def stage(self) -> tuple[str, Mapping[str, int]]:
        """The stage that is still to come and needs most, in words, and its parts."""
        evaluates = sum(self.later.values()) > sum(self.parts.values())
        return ("in evaluation", self.later) if evaluates else ("in training", self.parts)

    def report(self) -> str:
        """Write total and parts in a line, the largest first."""
        when, parts = self.stage
        ahead = sum(parts.values())
        ordered = sorted(parts.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{what} {_gigabytes(size)}" for what, size in ordered if size >= 0.005e9)
        if ahead >= self.so_far:
            return f"memory: about {_gigabytes(ahead)} GB at peak{self.held}, {when} ({listed})"
        return (
            f"memory: about {_gigabytes(self.so_far)} GB at peak, reached already; {_gigabytes(ahead)} GB {when} "
            f"({listed})"
        )


def estimate_memory(
    model: Model, params: Params, cohort: Cohort, learner: Learner[Any], config: TrainConfig, trained: tuple[str, ...]
) -> MemoryEstimate:
    """Estimate what a fit takes at its peak, from shapes alone.

    Nothing in it depends on the number of frames beyond the recordings themselves: a learner's memory is
    that of one window and of its traces. On several devices it is that of this process, with the blocks of its devices;
    of the memory of cards it counts what they hold as if it were the machine's.

    Parameters
    ----------
    trained
        Groups that are trained.
    """
    batch = min(config.batch or len(cohort.recordings), len(cohort.training_stretches()))
    size = {key: value.size * value.dtype.itemsize for key, value in params.items()}
    moving = sum(size[key_of(group, size)] for group in trained)
    learning = learner.memory_bytes(model, batch, trained)
    frames = sum(recording.values.nbytes + recording.mask.nbytes for recording in cohort.recordings)
    validates = any(recording.require_parts().length("validation") for recording in cohort.recordings)
    parts = {
        "libraries": LIBRARIES,
        "wiring": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(model.recurrent)),
        "parameters": sum(size.values()),
        "their start": sum(size.values()),
        "moments": moments_per_parameter(config.optimiser) * moving,
        "gradient": moving,
        "best so far": moving if validates else 0,
        "traces": learning.traces,
        "window": learning.window,
        # Of some frames at a time inputs and targets within the range of training, and what lies beyond it.
        "recordings": frames + min(4 * frames, BLOCK),
    }
    devices = device_count(config.devices)
    if devices == 1:
        return MemoryEstimate(MappingProxyType(parts), batch, learning.savings)
    own = own_devices(devices)
    assert isinstance(model, ConnectomeModel)
    seen = own * model.recurrent.sources * learner.window * batch * jnp.result_type(float).itemsize
    parts = _in_blocks(parts, own / devices, max(size[key_of(group, size)] for group in trained), moving, seen)
    held = f" of this process, which has {f'{own} of' if own < devices else 'all'} {devices} devices"
    return MemoryEstimate(MappingProxyType(parts), batch, learning.savings, held=held)


def _in_blocks(parts: Mapping[str, int], share: float, largest: int, moving: int, seen: int) -> dict[str, int]:
    """What a process holds at its peak whose devices have a share of the blocks.

    Parameters
    ----------
    largest
        Bytes of the largest array that is trained.
    seen
        Bytes of a window's outputs of all neurons, on its devices.
    """
    whole = {key: parts[key] for key in ("libraries", "wiring", "their start", "best so far", "recordings")}
    blocks = {f"{key} in blocks": round(share * parts[key]) for key in ("wiring", "parameters", "moments", "traces")}
    window = {"gradient in blocks": round(share * parts["gradient"]), "window": round(share * parts["window"]) + seen}
    # After an epoch parameters and moments are put together, for a checkpoint does not depend on the devices.
    put_together = {"parameters and moments put together": moving + parts["moments"] + 2 * largest}
    return max(
        ({**whole, **blocks, **also} for also in (window, put_together)), key=lambda stage: sum(stage.values())
    )  # fmt: skip


def check_memory(estimate: MemoryEstimate, *, free: int | None = None) -> None:
    """Raise an error if the fit needs more memory than the machine has.

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
    needed = max(sum(estimate.parts.values()), sum(estimate.later.values()))
    if needed <= free:
        return
    advice = []
    if estimate.batch > 1:
        of_each = sum(size for what, size in estimate.parts.items() if what.startswith(("traces", "window")))
        saved = of_each * (estimate.batch - 1) // estimate.batch
        advice.append(f"train.batch = 1 (saves {_gigabytes(saved)} GB)")
    advice += [
        *estimate.savings, "model.drive = 'anatomical'", "data.min_synapses, which leaves out weak connections"
    ]  # fmt: skip
    raise ConfigError(
        f"this fit needs about {_gigabytes(needed)} GB and the machine has {_gigabytes(free)} GB for it: "
        f"{estimate.report()}. What helps: {'; '.join(advice)}; train.check_memory = false starts it all the same"
    )


def memory_limit() -> int:
    """Return the bytes of resident memory that this process can grow to: what it holds now and what is left to take."""
    left = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        left = min(left, limit - used)
    except (OSError, ValueError):
        pass  # no control group, or one without a limit ("max")
    held = psutil.Process().memory_info()
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if addresses != resource.RLIM_INFINITY:
        left = min(left, max(addresses - held.vms, 0))
    return left + held.rss


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f}"
