"""What every learner does: turn one window of a recording into the gradient of its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from connfit.models.base import NOISE_SCALE, Model, Params
from connfit.training.learners.firing_rates import FiringScore

Memory = TypeVar("Memory")


class WindowArrays(NamedTuple):
    """K steps of B recordings, as in `connfit.recordings.cohort.Window`, on the device.

    Attributes
    ----------
    fed_back
        The only units for which `forced` may be False, each once: the fewer, the faster. None: any unit.
        Entries of other units count as forced, so they may be False only where nothing is scored after them.
    external
        Features of external inputs at each step; None where there are none.
    share
        What one value weighs, where errors are in units of the change from frame to frame: `weights` times the
        variance of that change.
    counted
        1 at steps whose spikes count in firing rates, else 0; None: all count.
    """

    inputs: Float[Array, "K P B"]
    forced: Bool[Array, "K P B"]
    targets: Float[Array, "K P B"]
    weights: Float[Array, "K P B"]
    fed_back: Int[Array, "W"] | None = None
    external: Float[Array, "K F B"] | None = None
    share: Float[Array, ""] | float = 1.0
    counted: Float[Array, "K B"] | None = None


class WindowResult(NamedTuple):
    """Loss, gradient and predictions of one window.

    Attributes
    ----------
    loss
        Sum over the window of weighted squared errors, or negative log-likelihoods (`Model.likelihood`).
    gradient
        Of `loss` and penalty, for each trained group.
    predictions
        [K, P, B] read-out y; of cells with a compiled window 0 at steps in which nothing is scored.
    firing
        What firing rates add to the gradient, and not to `loss`; None without a penalty on them.
    """

    loss: Float[Array, ""]
    gradient: Params
    predictions: Float[Array, "K P B"]
    firing: FiringScore | None = None


class LearnerMemory(NamedTuple):
    """What a learner needs beside parameters and their gradient, at most.

    Attributes
    ----------
    traces
        Bytes that are kept from window to window.
    window
        Bytes of the arrays of one window.
    savings
        Options that would need less, and how much, in words.
    """

    traces: int
    window: int
    savings: tuple[str, ...] = ()


class Learner(ABC, Generic[Memory]):
    """A rule that goes strictly forward in time; what it remembers has a size that no recording changes.

    Learners are compiled into a training step, so they are hashable: frozen dataclasses.

    Attributes
    ----------
    window
        Steps K between two updates of the parameters.
    """

    window: int

    @abstractmethod
    def start(self, model: Model, batch: int, trained: tuple[str, ...]) -> Memory:
        """Return the memory before the first window of `batch` recordings.

        Raises
        ------
        ConfigError
            If the rule cannot train this model.
        """

    @abstractmethod
    def step(
        self, model: Model, params: Params, memory: Memory, window: WindowArrays, trained: tuple[str, ...]
    ) -> tuple[WindowResult, Memory]:
        """Return the gradient of one window for the `trained` groups, and the memory after it."""

    @property
    def dials(self) -> tuple[str, ...]:
        """What tells rules of one class apart, whatever their window."""
        return ()

    @property
    def through_time(self) -> bool:
        """Whether errors give credit to earlier steps."""
        return True

    @property
    def follows_state_forcing(self) -> bool:
        """Whether it knows when the state of a single neuron was moved to what was recorded."""
        return False

    def spelt_out(self) -> dict[str, object]:
        """Return the options of section `learner` that it was found to have."""
        return {"window": self.window}

    def memory_bytes(self, model: Model, batch: int, trained: tuple[str, ...]) -> LearnerMemory:
        """Estimate what it needs, from shapes alone; here, ten numbers per neuron for each step of a window."""
        memory = jax.eval_shape(partial(self.start, model, batch, trained))
        kept = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(memory))
        return LearnerMemory(kept, 10 * self.window * model.neurons * batch * jnp.result_type(float).itemsize)


def score_window(
    model: Model, params: Params, predictions: Float[Array, "K P B"], window: WindowArrays, trained: tuple[str, ...]
) -> tuple[Array, Float[Array, "K P B"], Params]:
    """Return the loss, ∂loss/∂y, and the gradient of the scale of noise where the likelihood learns one."""
    difference = predictions - window.targets
    if model.likelihood is None:
        return (window.weights * difference**2).sum(), 2 * window.weights * difference, {}
    found = model.likelihood.score(difference, window.weights, params[f"log_{NOISE_SCALE}"], window.share)
    return found.loss, found.error, {f"log_{NOISE_SCALE}": found.log_scale} if NOISE_SCALE in trained else {}
