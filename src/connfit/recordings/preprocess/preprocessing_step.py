"""What a preprocessing step is, and the table of all steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connfit._registry import Entry, Registry
from connfit.recordings import Recording
from connfit.recordings.keyword_options import checked_options, option_defaults


@dataclass(frozen=True, kw_only=True)
class Step(Entry):
    """A registered preprocessing step.

    Parameters
    ----------
    name
        In configurations and in `Recording.steps`.
    label
        What it does, in words.
    apply
        Function of a recording that returns a new one with a record of the step. Its further parameters are the step's
        options, and it refuses wrong values with a ConfigError.
    colours_noise
        Whether noise that was white in time no longer is.
    removes_drift
        Whether slow changes of a recording are gone.
    """

    apply: Callable[..., Recording]
    colours_noise: bool = False
    removes_drift: bool = False

    def option_defaults(self) -> dict[str, object]:
        """Return its options with their defaults."""
        return option_defaults(self.apply)

    def __call__(self, recording: Recording, options: Mapping[str, Any], *, where: str = "") -> Recording:
        """Apply the step with options that may come from a configuration; `where` they stand is for messages."""
        what = f"{where}: step {self.name!r}" if where else f"step {self.name!r}"
        return self.apply(recording, **checked_options(self.apply, options, what))


STEPS: Registry[Step] = Registry(
    "preprocessing step", Step, room="connfit.recordings.preprocess", group="connfit.preprocess"
)
"""Preprocessing steps by name."""
