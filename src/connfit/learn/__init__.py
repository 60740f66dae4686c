"""Learning rules that go forward in time."""

from __future__ import annotations

from connfit.errors import one_of
from connfit.learn.base import Learner, WindowArrays, WindowResult
from connfit.learn.windowed import Windowed, history_error

PRESETS = {
    "d-rtrl": ("neuron", "trace"),
    "hybrid": ("network", "trace"),
    "tbptt": ("network", "none"),
    "pp-prop": ("neuron", "factorised"),
    "bptt": ("network", "none"),
}


def preset(name: str, *, window: int = 16) -> Windowed:
    """A rule by its name.

    Parameters
    ----------
    name
        `"d-rtrl"`, `"hybrid"`, `"tbptt"` (truncated to `window` steps), `"pp-prop"` or `"bptt"`.
    window
        K; for `"bptt"` give the number of steps of the whole recording.
    """
    credit, carry = PRESETS[one_of("learner", name, PRESETS)]
    return Windowed(window=window, credit=credit, carry=carry)


__all__ = ["PRESETS", "Learner", "WindowArrays", "WindowResult", "Windowed", "history_error", "preset"]
