"""How the report writes numbers, ranges, lists and names of baselines: one rule each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.held_out import OWN, OWN_LABEL

MOST = 6
"""Names that a sentence lists; of more it gives the first and a count."""


def pretty(name: str) -> str:
    """Return the name of a column as people say it."""
    return OWN_LABEL if name == OWN else BASELINES.label(name)


def number(value: float | None) -> str:
    """Write three significant digits; an en dash where there is no number."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if not 0.001 <= abs(value) < 10_000:
        return f"{value:.2e}".replace("-", "−")
    # Rounded first: 0.09999 is 0.100, not 0.1000.
    decimals = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{value:.{decimals}f}".replace("-", "−")


def span(low: float | None, high: float | None, between: str = " to ") -> str:
    """Write a range; once where both ends are written alike, empty where one is not known."""
    if low is None or high is None:
        return ""
    return joined_span(number(low), number(high), between)


def joined_span(low: str, high: str, between: str = " to ") -> str:
    """Join two ends that are written already, or one where they are alike."""
    return low if low == high else f"{low}{between}{high}"


def with_interval(value: float | None, interval: tuple[float | None, float | None] | None) -> str:
    """Write a number with its interval in brackets, where there is one that is written otherwise."""
    ends = span(*interval) if interval else ""
    return number(value) if value is None or ends in ("", number(value)) else f"{number(value)} ({ends})"


def listed(names: Sequence[str], most: int = MOST) -> str:
    """Join names with commas and "and"; of more than `most`, the first and how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""


def first_of(names: Sequence[str], most: int = MOST, between: str = ", ") -> str:
    """Join names with a separator; of more than `most`, the first and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def frames_ahead(horizon: int | str) -> str:
    """Write a horizon in words."""
    return "one frame ahead" if int(horizon) == 1 else f"{horizon} frames ahead"


def capital(text: str) -> str:
    """Return the text with its first letter as that of a sentence."""
    return text[:1].upper() + text[1:]
