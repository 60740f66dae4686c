"""What makes a recorded value into an event."""

from __future__ import annotations

import math
from dataclasses import dataclass

from connfit.errors import ConfigError, one_of

RULES = ("mad", "zscore", "percentile", "absolute")


@dataclass(frozen=True)
class Threshold:
    """A value above the level is an event.

    Parameters
    ----------
    rule
        `"mad"`: level times 1.4826 · MAD (which is the standard deviation of a Gaussian) above the median.
        `"zscore"`: level times the standard deviation above the mean. `"percentile"`: this percentile.
        `"absolute"`: this value, in the recording's units.
    level
        See `rule`.
    over
        `"units"`: each unit by its own statistics, and events of all units are counted. `"population"`: the mean over
        units; its excess over the level, in tenths of its deviation and rounded up, takes the place of counts.
    events
        `"above"`: every frame above the level. `"onset"`: only where it is crossed upwards.
    """

    rule: str = "mad"
    level: float = 3.0
    over: str = "units"
    events: str = "above"

    def __post_init__(self) -> None:
        one_of("rule of the threshold", self.rule, RULES)
        one_of("over of the threshold", self.over, ("units", "population"))
        one_of("events of the threshold", self.events, ("above", "onset"))
        if not math.isfinite(self.level) or (self.rule == "percentile" and not 0 < self.level < 100):
            right = "between 0 and 100" if self.rule == "percentile" else "finite"
            raise ConfigError(f"level of the threshold is {self.level}, but must be {right}")
        if self.over == "population" and self.events == "onset":
            raise ConfigError("a threshold on the population has sizes above it only with events = 'above'")

    def __str__(self) -> str:
        name = {"mad": "MAD", "zscore": "SD", "percentile": "percentile", "absolute": "(absolute)"}[self.rule]
        what = "" if self.events == "above" else ", onsets"
        # 91st, 95th.
        ending = {1: "st", 2: "nd", 3: "rd"}.get(int(self.level) % 10 * (not 11 <= self.level % 100 <= 13), "th")
        ending = ending if self.rule == "percentile" else ""
        return f"{self.level:g}{ending} {name} of {self.over}{what}"
