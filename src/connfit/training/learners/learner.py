"""What every learner does: turn one window of a recording into the gradient of its loss."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

from jaxtyping import Array, Bool, Float, Int

from connfit.models.base import Model, Params

Memory = TypeVar("Memory")


class WindowArrays(NamedTuple):
    """K steps of B recordings, as in `connfit.recordings.cohort.Window`, on the device.

    Attributes
    ----------
    fed_back
        The only units for which `forced` may be False, each once: the fewer, the faster. None: any unit.
        Entries of other units count as forced, so they may be False only where nothing is scored after them.
    """

    inputs: Float[Array, "K P B"]
    forced: Bool[Array, "K P B"]
    targets: Float[Array, "K P B"]
    weights: Float[Array, "K P B"]
    fed_back: Int[Array, "W"] | None = None


class WindowResult(NamedTuple):
    """Loss, gradient and predictions of one window.

    Attributes
    ----------
    loss
        Sum over the window of weighted squared errors.
    gradient
        Of `loss`, for each trained group.
    predictions
        [K, P, B] read-out y.
    """

    loss: Float[Array, ""]
    gradient: Params
    predictions: Float[Array, "K P B"]


class Learner(Protocol[Memory]):
    """A rule that goes strictly forward in time; what it remembers has a size that no recording changes."""

    @property
    def window(self) -> int:
        """Steps K between two changes of the parameters."""
        ...

    def start(self, model: Model, batch: int, trained: tuple[str, ...]) -> Memory:
        """Memory before the first window of `batch` recordings."""
        ...

    def step(
        self,
        model: Model,
        params: Params,
        memory: Memory,
        window: WindowArrays,
        trained: tuple[str, ...],
    ) -> tuple[WindowResult, Memory]:
        """Gradient of one window and the memory after it."""
        ...
