"""What `connfit analyze` does with a fitted brain: one file an analysis, one registration.

An analysis is one module here, or in another package behind an entry point of the group `connfit.analyses`, that
registers an `Analyzer` in `ANALYSES`. The command runs all of them in the order of their places; the result of each is
a frozen dataclass, which stands in `analysis.json` and in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connfit._registry import Entry, Options, Registry, read_options
from connfit._typing import JSON

if TYPE_CHECKING:
    from connfit.analysis.brain_analysis import Analysis
    from connfit.training.fitted import Fit

NEEDS = {
    "data": "the recordings of the fit",
    "free_run": "free runs of the fitted model, driven by its own residuals",
    "parameters": "the parameters before and after the fit",
    "connectome": "the wiring and the table of neurons",
}
"""What an analysis may not be able to do without."""


@dataclass(frozen=True, kw_only=True)
class Analyzer(Entry):
    """An analysis of a fitted brain.

    Parameters
    ----------
    examine
        Returns the result, as `examine(brain)` of a `connfit.analysis.fitted_brain.FittedBrain`, with the fields of
        `options` as keywords.
    result
        Frozen dataclass of the result: numbers, text, tuples, mappings and dataclasses of them, without NaN.
    needs
        Of `NEEDS`. Where free runs diverge, an analysis that needs them is left out with the reason.
    key
        Field of `connfit.analysis.brain_analysis.Analysis` that holds the result; empty: `analyses`, by name.
    findings
        Sentences on the result, for the terminal and the report.
    in_short
        What `metrics.json` has of the result under `analysis`.
    options
        Its own options.
    applies
        Whether it has anything to say of a fit; where not, it leaves no trace.
    """

    examine: Callable[..., Any]
    result: type
    needs: tuple[str, ...] = ()
    key: str = ""
    findings: Callable[[Analysis], Sequence[str]] = lambda analysis: ()
    in_short: Callable[[Analysis], Mapping[str, JSON]] = lambda analysis: {}
    options: type[Options] = Options
    applies: Callable[[Fit], bool] = lambda fit: True

    def options_of(self, given: Mapping[str, Mapping[str, JSON]]) -> Options:
        """Return its own options, of those of all analyses by name.

        Raises
        ------
        ConfigError
            If one is unknown, of the wrong type or out of range.
        """
        return read_options(self.options, given.get(self.name), where=f"analyze.{self.name}")


ANALYSES: Registry[Analyzer] = Registry("analysis", Analyzer, room=__name__, group="connfit.analyses")
"""Analyses by name."""
