"""What templates quote from `study/study.json`: scores over seeds, and differences to the connectome model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connfit.evaluation.study.row_names import row_name
from connfit.evaluation.study.words import STANDINGS
from connfit.report.traced import Traced, derived, known, labelled, untraced
from connfit.report.wording import capital, joined_span, listed

FULL = "connfit evaluate DIR --full"
CONNECTOME = "connectome"
MANY = 4
"""More rows than this are not all quoted one by one: the table has them."""


@dataclass(frozen=True)
class StudyEvidence:
    """Rows of a study by name, as text whose numbers are traced to their keys.

    Parameters
    ----------
    study
        The study of a run; of None where it has none.
    """

    study: Traced

    @property
    def is_there(self) -> bool:
        """Whether the run has a study whose connectome model could be fitted."""
        return CONNECTOME in self.names("connectome")

    def names(self, *groups: str) -> list[str]:
        """Return the rows of these groups that have numbers."""
        return [str(row.name) for row in self.study.rows if row.group in groups and row.seeds]

    def has(self, name: str) -> bool:
        """Return whether the study has a row, with numbers."""
        return any(row.name == name and row.seeds for row in self.study.rows)

    def row(self, name: str) -> Traced:
        """Return a row with numbers."""
        return next(row for row in self.study.rows if row.name == name and row.seeds)

    def counts(self, name: str) -> bool:
        """Return whether wins and losses of a row count."""
        return bool(self.row(name).counts)

    def label(self, name: str) -> str:
        """Return a row as people call it; its digits are no numbers."""
        return labelled(row_name(str(name)), next(row for row in self.study.rows if row.name == name).name)

    def listed(self, names: Sequence[str]) -> str:
        """Return rows as people call them, with commas and "and"."""
        return listed([self.label(name) for name in names])

    def horizons(self) -> list[Traced]:
        """Return one frame, and the longest horizon up to ten frames that was compared."""
        every = list(self.study.comparisons.horizons)
        far = max((untraced(h) for h in every if 1 < h <= 10), default=None)
        return [h for h in every if h in (1, far)]

    def seeds(self) -> str:
        """Return the number of seeds of the connectome model, with the noun."""
        seeds = self.row(CONNECTOME).seeds
        return f"{derived('count', seeds).write()} seed{'' if len(seeds) == 1 else 's'}"

    def score(self, name: str, measure: str) -> str:
        """Return the mean over seeds of a row, with the standard deviation; empty if it is not defined."""
        score = self.row(name).scores[measure]
        if not known(score.mean):
            return ""
        return score.mean.write() + (f" ± {score.std.write()}" if score.std else "")

    def parameters(self, name: str) -> str:
        """Return the number of trained parameters, of those that could have been; empty if it is not known."""
        row = self.row(name)
        learned, available = row.parameters["all"], row.parameters_available["all"]
        if not known(learned):
            return ""
        return learned.write() + (f" of {available.write()} learned" if learned == 0 and available else "")

    def difference(self, name: str, horizon: Traced) -> str:
        """Return skill of the connectome model minus that of a row, with its interval; empty if there is none."""
        found = self._difference(name, horizon)
        if not known(found.value):
            return ""
        text = f"{self.label(name)} {_with_interval(found)}"
        return f"{text}, median unit {_with_interval(found.median_unit)}" if known(found.median_unit.value) else text

    def differences(self, names: Iterable[str]) -> str:
        """Return a sentence on the differences at every horizon; empty if there are none.

        Of many rows, those that are not beaten are quoted; of many of these, or if there are none, the best.
        """
        found, names = [], [name for name in names if self.counts(name)]
        for horizon in self.horizons():
            values = {name: self._difference(name, horizon).value for name in names}
            shown = [name for name in names if known(values[name])]
            best = min(shown, key=lambda name: untraced(values[name]), default="")
            if len(shown) > MANY:
                shown = [name for name in shown if self.standing(name, horizon) != "better"] or shown
            if len(shown) > MANY:
                found.append((horizon, f"the best of them is {self.difference(best, horizon)}"))
            elif shown:
                found.append((horizon, "; ".join(self.difference(name, horizon) for name in shown)))
        if not found:
            return ""
        level = derived("percent", self.study.comparisons.level).write()
        return (
            f"Pooled skill of this model minus that of another, with {level} intervals over blocks of time and seeds, "
            "and the same of the median unit: "
            + ". ".join(f"{capital(_ahead(horizon))}: {text}" for horizon, text in found)
            + "."
        )

    def standing(self, name: str, horizon: Traced) -> str | None:
        """Return how the connectome model stands to a row, as in `STANDINGS`; None where nothing is won or lost."""
        found = self._difference(name, horizon)
        if found.outcome != "mixed":
            return untraced(found.outcome)
        return "ahead" if found.value > 0 else "behind"

    def verdict(self, names: Sequence[str], *, us: str = "the model") -> str:
        """Return which rows are beaten, are not distinguishable, or do better, and which do not count."""
        counting = [name for name in names if self.counts(name)]
        said = [] if self.counts(CONNECTOME) else [f"The connectome model {self._note(CONNECTOME)}."]
        for horizon in self.horizons():
            parts = []
            for standing, text in STANDINGS.items():
                rows = [name for name in counting if self.standing(name, horizon) == standing]
                everyone = "any of them" if standing == "tie" else "all of them"
                if rows:
                    parts.append(text.format(everyone if len(rows) == len(counting) > 2 else self.listed(rows)))
            if parts:
                said.append(f"{capital(_ahead(horizon))} {us} {'; '.join(parts)}.")
        told = [f"{self.label(name)} {self._note(name)}" for name in names if name not in counting and self._note(name)]
        return " ".join([*said, *([f"Not counted: {'; '.join(told)}."] if told else [])])

    def outcomes(self, name: str) -> list[str | None]:
        """Return the outcome at every horizon that was compared; nothing of a row without numbers."""
        if not self.has(name):
            return []
        return [untraced(self._difference(name, h).outcome) for h in self.study.comparisons.horizons]

    def beaten(self, names: Sequence[str]) -> list[tuple[Traced, int]]:
        """Return every horizon with the number of rows that the connectome model beats there."""
        return [
            (h, sum(self._difference(name, h).outcome == "better" for name in names))
            for h in self.study.comparisons.horizons
        ]

    def losses(self, group: str) -> list[str]:
        """Return the rows of a group that do better than the connectome model, and at which horizons."""
        told = []
        for name in self.names(group):
            at = [h for h in self.study.comparisons.horizons if self._difference(name, h).outcome == "worse"]
            if at:
                frames = "frame" if at == [1] else "frames"
                told.append(f"{self.label(name)}, {listed([h.write() for h in at])} {frames} ahead")
        return told

    def failures(self) -> list[str]:
        """Return the rows of which seeds failed, with their number."""
        failed = [row for row in self.study.rows if row.failed]
        return [f"{self.label(str(row.name))} ({derived('count', row.failed).write()})" for row in failed]

    def _difference(self, name: str, horizon: Traced) -> Traced:
        return self.row(name).difference[str(horizon)]

    def _note(self, name: str) -> str:
        """What a row is, where it does not count; its numbers are seeds and epochs."""
        note = self.row(name).note
        return note.write() if note else ""


def _ahead(horizon: Traced) -> str:
    return "one frame ahead" if horizon == 1 else f"{horizon.write()} frames ahead"


def _with_interval(found: Traced) -> str:
    text = found.value.write()
    if not (known(found.low) and known(found.high)):
        return text
    return f"{text} ({joined_span(found.low.write(), found.high.write())})"
