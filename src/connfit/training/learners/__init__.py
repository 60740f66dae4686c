"""Learning rules that go forward in time.

A rule is one registration of a `LearningRule` in `RULES`, in a module here or in another package behind an entry point
of the group `connfit.rules`. It makes a `Learner`, of a class of its own or, with `LearningRule.windowed`, of
`connfit.training.learners.windowed.WindowedLearner`. Configurations, `--help`, studies, gradient checks and reports
know it then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, Self

import msgspec

from connfit._registry import Entry, Options, Registry, section_options
from connfit.config import LearnerConfig
from connfit.errors import ConfigError
from connfit.training.learners.learner import Learner, LearnerMemory, WindowArrays, WindowResult
from connfit.training.learners.window_sums import history_error
from connfit.training.learners.windowed import WindowedLearner

WHOLE = "whole"
"""Window of a rule that goes through a recording at once."""

IMMEDIATE_WINDOW = 1
"""K of `"immediate"`: in a longer window its credit would travel back through each neuron's own state."""

DIALS = ("credit", "carry", "history")
"""Options of section `learner` that a named rule takes the place of."""


class WindowedOptions(Options, frozen=True):
    """Options of every rule of the windowed learner."""

    trace_dtype: Literal["float32", "bfloat16"] = "float32"
    trace_decay: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9


@dataclass(frozen=True, kw_only=True)
class LearningRule(Entry):
    """A learning rule by name.

    Parameters
    ----------
    make
        Makes the learner, as `make(window=K)` with the fields of `options` as further keywords.
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
    options
        Their class. Those that section `learner` has are taken from there, others from `learner.rule_options`.
    """

    make: Callable[..., Learner[Any]]
    does: str
    window: int | str | None = None
    by_window: bool = False
    in_studies: bool = True
    colour: str | None = None
    options: type[Options] = Options

    @classmethod
    def windowed(cls, *, credit: str, carry: str, **about: Any) -> Self:
        """Define a rule by two dials of `WindowedLearner`; the other arguments are those of the class.

        Raises
        ------
        ConfigError
            If there are no such dials.
        """
        WindowedLearner(credit=credit, carry=carry)
        return cls(make=partial(WindowedLearner, credit=credit, carry=carry), options=WindowedOptions, **about)

    @property
    def row(self) -> str:
        """Name of its row in studies, and of the row's folders."""
        return self.name.replace("-", "_")

    @property
    def dials(self) -> tuple[str, ...]:
        """What tells its learner from others of the same class: of a windowed one, credit and carry."""
        return self.learner().dials

    @property
    def own_window(self) -> int | None:
        """K of a rule that has its own; None where the user or the recording decides."""
        return self.window if isinstance(self.window, int) else None

    def learner(
        self, window: int | None = None, steps: int | None = None, given: LearnerConfig | None = None
    ) -> Learner[Any]:
        """Return the learner.

        Parameters
        ----------
        window
            K of a rule that has none of its own; default 16.
        steps
            Of the longest recording, K of a rule that goes through it at once; default `window`.
        given
            Section `learner`, for the rule's options; default: their defaults.

        Raises
        ------
        ConfigError
            If an option is unknown or wrong.
        """
        k = (steps or window) if self.window == WHOLE else self.own_window or window
        return self.make(window=16 if k is None else k, **self.options_of(given or LearnerConfig()).as_dict())

    def options_of(self, given: LearnerConfig) -> Options:
        """Return its options, of section `learner`.

        Raises
        ------
        ConfigError
            If one is unknown or wrong.
        """
        others = given.rule_options if given.preset == self.name else {}
        return section_options(self.options, given, others, where="learner.rule_options")

    def settings(self, window: int) -> dict[str, object]:
        """Return the options of section `learner` that choose this rule in place of any other."""
        chosen = {"preset": self.name, **dict.fromkeys(DIALS), "rule_options": {}}
        return chosen | self.learner(window).spelt_out()


RULES: Registry[LearningRule] = Registry("rule", LearningRule, room=__name__, group="connfit.rules")
"""Learning rules by name."""


def configured_learner(options: LearnerConfig, steps: int | None = None) -> Learner[Any]:
    """Return the learner of section `learner`: a rule by name, or the windowed one with its dials.

    Parameters
    ----------
    steps
        As of `LearningRule.learner`.

    Raises
    ------
    ConfigError
        If there is no such rule, an option is wrong, or options contradict each other.
    """
    if options.preset is not None:
        for option in DIALS:
            if getattr(options, option) is not None:
                raise ConfigError(
                    f"learner.preset = {options.preset!r} and learner.{option} = {getattr(options, option)!r} are both "
                    "set: keep one"
                )
        return RULES.find(options.preset, "learner.preset").learner(options.window, steps, options)
    if options.rule_options:
        raise ConfigError(f"learner.rule_options = {options.rule_options} belong to a rule: name it as learner.preset")
    credit = options.credit or "network"
    carry = options.carry or ("none" if credit == "none" else "trace")
    return WindowedLearner(options.window, credit, carry, options.history, options.trace_dtype, options.trace_decay)


def preset(name: str, *, window: int | None = None) -> Learner[Any]:
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
    "LearnerMemory",
    "LearningRule",
    "WindowArrays",
    "WindowResult",
    "WindowedLearner",
    "configured_learner",
    "history_error",
    "preset",
]
