"""Functional connectivity at a glance: the fit, the untrained model, null connectomes and the data themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connfit.report.sections.comparison import is_driven

COLUMNS = ("one step, train", "one step, test", "free run, test", "skill, test")
"""What the numbers of a row are: three correlations of functional connectivities, and one-step skill."""


@dataclass(frozen=True)
class ConnectivityRow:
    """Agreement of one model with the data.

    Parameters
    ----------
    name
        Of the model.
    what
        In words, where the name does not say it.
    values
        One for each of `COLUMNS`; None where it is not defined.
    """

    name: str
    what: str
    values: tuple[float | None, ...]


def connectivity_rows(metrics: Mapping[str, Any]) -> list[ConnectivityRow]:
    """One row each for the fit, the untrained model, every null connectome and the data against themselves.

    Null connectomes are those under the optional key `nulls` of `metrics.json`: by name, scores as
    those of `at_initialisation`, and `what` it is in words.
    """
    rows = [ConnectivityRow("model", "", _values(metrics.get("parts") or {}))]
    if metrics.get("at_initialisation"):
        rows.append(ConnectivityRow("untrained", "", _values(metrics["at_initialisation"])))
    for name, scores in (metrics.get("nulls") or {}).items():
        rows.append(ConnectivityRow(f"null: {name.replace('_', ' ')}", str(scores.get("what") or ""), _values(scores)))
    itself = (metrics.get("data") or {}).get("fc_corr_train_vs_test")
    return [*rows, ConnectivityRow("data, train part", "", (None, None, itself, None))]


def connectivity_in_words(metrics: Mapping[str, Any]) -> str:
    """How the rows are to be read."""
    driven = is_driven((metrics.get("parts") or {}).get("test") or {})
    return (
        "Correlation of functional connectivity with the data's: of predictions one step ahead (teacher-forced), and "
        f"of free runs {'with residuals' if driven else 'without noise'}. The last row is what a copy of the training "
        "part's reaches on the test part."
    )


def _values(parts: Mapping[str, Any]) -> tuple[float | None, ...]:
    def of(part: str, group: str, key: str) -> float | None:
        return ((parts.get(part) or {}).get(group) or {}).get(key)

    return (
        of("train", "one_step", "fc_corr"),
        of("test", "one_step", "fc_corr"),
        of("test", "free_run", "fc_corr"),
        of("test", "one_step", "skill_vs_persistence"),
    )
