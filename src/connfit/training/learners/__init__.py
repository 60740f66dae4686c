"""Learning rules that go forward in time.

A rule is one registration of a `LearningRule` in `RULES`, in a module here or in another package behind an entry point
of the group `connfit.rules`: a name for credit, carry and window of
`connfit.training.learners.windowed.WindowedLearner`. Configurations, `--help`, studies, gradient checks and reports
know it then.
"""

from __future__ import annotations

from dataclasses import dataclass

from connfit._registry import Entry, Registry
from connfit.errors import ConfigError
from connfit.training.learners.learner import Learner, WindowArrays, WindowResult
from connfit.training.learners.windowed import WindowedLearner, history_error

WHOLE = "whole"
"""Window of a rule that goes through a recording at once."""

IMMEDIATE_WINDOW = 1
"""K of `"immediate"`: in a longer window its credit would travel back through each neuron's own state."""


@dataclass(frozen=True, kw_only=True)
class LearningRule(Entry):
    """A learning rule by name.

    Parameters
    ----------
    credit, carry
        See `connfit.training.learners.windowed.WindowedLearner`.
    does
        What it does, in words for tables.
    window
        K where the rule has its own, `WHOLE` for all steps of a recording; None: the user's.
    by_window
        Whether its gradient depends on K.
    in_studies
        Whether it is a row of every study whose run has another rule.
    colour
        In figures; None: the next that is free.
    """

    credit: str
    carry: str
    does: str
    window: int | str | None = None
    by_window: bool = False
    in_studies: bool = True
    colour: str | None = None

    def __post_init__(self) -> None:
        self.learner()

    @property
    def row(self) -> str:
        """Name of its row in studies, and of the row's folders."""
        return self.name.replace("-", "_")

    @property
    def dials(self) -> tuple[str, str]:
        """Credit and carry."""
        return self.credit, self.carry

    @property
    def own_window(self) -> int | None:
        """K of a rule that has its own; None where the user or the recording decides."""
        return self.window if isinstance(self.window, int) else None

    def learner(self, window: int | None = None, steps: int | None = None) -> WindowedLearner:
        """Return the learner.

        Parameters
        ----------
        window
            K of a rule that has none of its own; default 16.
        steps
            Of the longest recording, K of a rule that goes through it at once; default `window`.
        """
        k = (steps or window) if self.window == WHOLE else self.own_window or window
        return WindowedLearner(16 if k is None else k, self.credit, self.carry)


RULES: Registry[LearningRule] = Registry("rule", LearningRule, room=__name__, group="connfit.rules")
"""Learning rules by name."""


def preset(name: str, *, window: int | None = None) -> WindowedLearner:
    """Return a rule by its name.

    Parameters
    ----------
    name
        One of `RULES`, as `"d-rtrl"`, `"hybrid"`, `"tbptt"` (truncated to `window` steps), `"pp-prop"`, `"immediate"`
        (no credit through time) or `"bptt"`.
    window
        K, default 16; for `"bptt"` give the number of steps of the whole recording. That of `"immediate"` is 1.

    Raises
    ------
    ConfigError
        If there is no such rule, or a window is given for one that has its own.
    """
    rule = RULES.find(name, "learner")
    if window is not None and rule.own_window not in (None, window):
        raise ConfigError(
            f"window = {window}: the rule {name!r} has windows of {rule.own_window} step"
            f"{'' if rule.own_window == 1 else 's'}; for longer ones without credit through "
            "time use credit = 'none' and carry = 'none'"
        )
    return rule.learner(window)


__all__ = [
    "IMMEDIATE_WINDOW",
    "RULES",
    "WHOLE",
    "Learner",
    "LearningRule",
    "WindowArrays",
    "WindowResult",
    "WindowedLearner",
    "history_error",
    "preset",
]
