"""What answers quote from `study/study.json`: scores over seeds, and differences to the connectome model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connfit.evaluation.study.row_names import row_name
from connfit.report.questions.evidence import Evidence
from connfit.report.run_files import STUDY
from connfit.report.wording import listed

FULL = "connfit evaluate DIR --full"
CONNECTOME = "connectome"
STANDINGS = (
    ("better", "beats {}", "all of them"),
    ("ahead", "is ahead of {} in pooled skill but not in the median unit", "all of them"),
    ("tie", "is not distinguishable from {}", "any of them"),
    ("behind", "is behind {} in pooled skill but not in the median unit", "all of them"),
    ("worse", "loses to {}", "all of them"),
)
"""How the model stands to rows, in words, and what stands for them where all stand alike."""

MANY = 4
"""More rows than this are not all quoted one by one: the table has them."""


@dataclass(frozen=True)
class StudyEvidence:
    """Rows of a study by name, as text with its keys.

    Parameters
    ----------
    evidence
        Records what is quoted.
    """

    evidence: Evidence

    @property
    def is_there(self) -> bool:
        """Whether the run has a study whose connectome model could be fitted."""
        return CONNECTOME in self.names("connectome")

    def names(self, *groups: str) -> list[str]:
        """Rows of these groups that have numbers."""
        rows = self.evidence.get(f"{STUDY}#/rows") or []
        return [row["name"] for row in rows if row["group"] in groups and row["seeds"]]

    def key(self, name: str) -> str | None:
        """Where a row stands; None if the study lacks it or it has no numbers."""
        rows = self.evidence.get(f"{STUDY}#/rows") or []
        return next(
            (f"{STUDY}#/rows/{at}" for at, row in enumerate(rows) if row["name"] == name and row["seeds"]), None
        )

    def horizons(self) -> list[int]:
        """One frame, and the longest horizon up to ten frames that was compared."""
        every = self.evidence.get(f"{STUDY}#/comparisons/horizons") or []
        far = max((h for h in every if 1 < h <= 10), default=None)
        return [h for h in (1 if 1 in every else None, far) if h is not None]

    def ahead(self, horizon: int) -> str:
        """A horizon in words."""
        if horizon == 1:
            return "one frame ahead"
        at = (self.evidence.get(f"{STUDY}#/comparisons/horizons") or []).index(horizon)
        return f"{self.evidence.say(f'{STUDY}#/comparisons/horizons/{at}')} frames ahead"

    def score(self, name: str, measure: str) -> str:
        """Mean over seeds of a row, with the standard deviation where there is one; empty if it is not defined."""
        key = f"{self.key(name)}/scores/{measure}"
        if not self.evidence.has(f"{key}/mean"):
            return ""
        spread = f" ± {self.evidence.say(f'{key}/std')}" if self.evidence.get(f"{key}/std") else ""
        return f"{self.evidence.say(f'{key}/mean')}{spread}"

    def difference(self, name: str, horizon: int) -> str:
        """Skill of the connectome model minus that of a row, with its interval; empty if there is none."""
        key = f"{self.key(name)}/difference/{horizon}"
        if not self.evidence.has(f"{key}/value"):
            return ""
        text = f"{self.label(name)} {self._interval(key)}"
        if self.evidence.has(f"{key}/median_unit/value"):
            text += f", median unit {self._interval(f'{key}/median_unit')}"
        return text

    def _interval(self, key: str) -> str:
        text = self.evidence.say(f"{key}/value")
        if self.evidence.has(f"{key}/low", f"{key}/high"):
            text += f" ({self.evidence.span([f'{key}/low'], [f'{key}/high'])})"
        return text

    def outcome(self, name: str, horizon: int) -> str | None:
        """`"better"`, `"worse"`, `"tie"` or `"mixed"` of the connectome model; None where nothing is won or lost."""
        return self.evidence.get(f"{self.key(name)}/difference/{horizon}/outcome")

    def counts(self, name: str) -> bool:
        """Whether wins and losses of a row count."""
        return bool(self.evidence.get(f"{self.key(name)}/counts"))

    def differences(self, names: Sequence[str]) -> str:
        """A sentence on the differences at every horizon; empty if there are none.

        Of many rows, those that are not beaten are quoted; of many of these, or if there are none, the best.
        """
        found = []
        names = [name for name in names if self.counts(name)]
        for horizon in self.horizons():
            values = {name: self.evidence.get(f"{self.key(name)}/difference/{horizon}/value") for name in names}
            known = [name for name in names if values[name] is not None]
            best = min(known, key=lambda name: values[name], default="")
            if len(known) > MANY:
                known = [name for name in known if self.outcome(name, horizon) != "better"] or known
            if len(known) > MANY:
                found.append((horizon, f"the best of them is {self.difference(best, horizon)}"))
            elif known:
                found.append((horizon, "; ".join(self.difference(name, horizon) for name in known)))
        if not found:
            return ""
        level = self.evidence.say(f"{STUDY}#/comparisons/level", how="percent")
        return (
            f"Pooled skill of this model minus that of another, with {level} intervals over blocks of time and seeds, "
            "and the same of the median unit: "
            + ". ".join(f"{_capital(self.ahead(horizon))}: {text}" for horizon, text in found)
            + "."
        )

    def verdict(self, names: Sequence[str], *, us: str = "the model") -> str:
        """Which rows are beaten, are not distinguishable, or do better, at every horizon, and which do not count."""
        aside = [name for name in names if not self.counts(name)]
        names = [name for name in names if name not in aside]
        said = [] if self.counts(CONNECTOME) else [f"The connectome model {self._note(CONNECTOME)}."]
        for horizon in self.horizons():
            found = {name: self._standing(name, horizon) for name in names}
            parts = []
            for standing, text, every in STANDINGS:
                of = [name for name in names if found[name] == standing]
                if of:
                    parts.append(text.format(every if len(of) == len(names) > 2 else self.listed(of)))
            if parts:
                said.append(f"{_capital(self.ahead(horizon))} {us} {'; '.join(parts)}.")
        told = [f"{self.label(name)} {self._note(name)}" for name in aside if self._note(name)]
        return " ".join([*said, *([f"Not counted: {'; '.join(told)}."] if told else [])])

    def _standing(self, name: str, horizon: int) -> str | None:
        """The outcome, with which side is ahead in pooled skill where the median unit contradicts it."""
        outcome = self.outcome(name, horizon)
        if outcome != "mixed":
            return outcome
        return "ahead" if self.evidence.get(f"{self.key(name)}/difference/{horizon}/value") > 0 else "behind"

    def _note(self, name: str) -> str:
        """What a row is, where it does not count; its numbers are seeds and epochs."""
        note = self.evidence.get(f"{self.key(name)}/note")
        return self.evidence.name(note, f"{self.key(name)}/note") if note else ""

    def listed(self, names: Sequence[str]) -> str:
        """Rows as people call them, with commas and "and"."""
        return listed([self.label(name) for name in names])

    def parameters(self, name: str) -> str:
        """Number of trained parameters of a row, with those that it could have learned; empty if it is not known."""
        key, available = f"{self.key(name)}/parameters/all", f"{self.key(name)}/parameters_available/all"
        if not self.evidence.has(key):
            return ""
        learned = self.evidence.say(key)
        if self.evidence.get(key) == 0 and self.evidence.get(available):
            return f"{learned} of {self.evidence.say(available)} learned"
        return learned

    def seeds(self) -> str:
        """Number of seeds of the connectome model, with the noun."""
        key = f"{self.key(CONNECTOME)}/seeds"
        count = len(self.evidence.get(key))
        return f"{self.evidence.say(key, how='count')} seed{'' if count == 1 else 's'}"

    def label(self, name: str) -> str:
        """A row as people call it; its digits are no numbers."""
        return self.evidence.name(row_name(name), f"{self.key(name)}/name")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
