"""Learning rules that go forward in time."""

from __future__ import annotations

from connfit.errors import ConfigError, one_of
from connfit.training.learners.learner import Learner, WindowArrays, WindowResult
from connfit.training.learners.windowed import WindowedLearner, history_error

PRESETS = {
    "d-rtrl": ("neuron", "trace"),
    "hybrid": ("network", "trace"),
    "tbptt": ("network", "none"),
    "pp-prop": ("neuron", "factorised"),
    "immediate": ("neuron", "none"),
    "bptt": ("network", "none"),
}

IMMEDIATE_WINDOW = 1
"""K of `"immediate"`: in a longer window its credit would travel back through each neuron's own state."""


def preset(name: str, *, window: int | None = None) -> WindowedLearner:
    """A rule by its name.

    Parameters
    ----------
    name
        `"d-rtrl"`, `"hybrid"`, `"tbptt"` (truncated to `window` steps), `"pp-prop"`, `"immediate"` (no credit through
        time) or `"bptt"`.
    window
        K, default 16; for `"bptt"` give the number of steps of the whole recording. That of `"immediate"` is 1.

    Raises
    ------
    ConfigError
        If there is no such rule, or a window is given for one that has its own.
    """
    credit, carry = PRESETS[one_of("learner", name, PRESETS)]
    if name == "immediate" and window not in (None, IMMEDIATE_WINDOW):
        raise ConfigError(
            f"window = {window}: the rule 'immediate' has windows of 1 step; for longer ones without credit through "
            "time use credit = 'none' and carry = 'none'"
        )
    steps = IMMEDIATE_WINDOW if name == "immediate" else window
    return WindowedLearner(window=16 if steps is None else steps, credit=credit, carry=carry)


__all__ = [
    "IMMEDIATE_WINDOW",
    "PRESETS",
    "Learner",
    "WindowArrays",
    "WindowResult",
    "WindowedLearner",
    "history_error",
    "preset",
]
