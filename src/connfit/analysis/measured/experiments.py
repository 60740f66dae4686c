"""Which experiment the rows of a table of measured responses are of: one score is never made over two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool

from connfit.analysis.measured.measured_responses import SILENCED, STIMULATED, MeasuredResponses, rows_of
from connfit.errors import ConfigError, DataError, one_of

STIMULATION, SILENCING, REST = "stimulation", "silencing", "silencing_at_rest"
EXPERIMENTS: Mapping[str, str] = MappingProxyType({
    STIMULATION: "who responds when others are stimulated",
    SILENCING: "whose response to a stimulus changes when others are silenced",
    REST: "whose activity changes from rest when others are silenced",
})  # fmt: skip
"""Experiments, by what they ask."""


def rows_by_experiment(measured: MeasuredResponses) -> dict[str, Bool[np.ndarray, "R"]]:
    """Return the rows of each experiment that a table has any of."""
    if measured.silenced is None:
        return {STIMULATION: np.ones(measured.rows, bool)}
    silent, driven = measured.silenced != "", measured.stimulated != ""
    found = {STIMULATION: ~silent, SILENCING: silent & driven, REST: silent & ~driven}
    return {name: rows for name, rows in found.items() if rows.any()}


def experiment_of(measured: MeasuredResponses) -> str:
    """Return the experiment that all rows of a table are of."""
    (name,) = rows_by_experiment(measured)
    return name


def of_experiment(measured: MeasuredResponses, experiment: str | None = None) -> MeasuredResponses:
    """Return the rows of one experiment; if the table has others, too, its name says which one it is.

    A response to a stimulus, the change of one, and a change from rest are three questions with three predictions of
    different size: one AUROC over rows of several would rank questions beside responses.

    Parameters
    ----------
    experiment
        One of `EXPERIMENTS`; None: the only one that the table has.

    Raises
    ------
    ConfigError
        If there is no experiment of that name, or the table has no row of it.
    DataError
        If the table has rows of several and none is chosen: says how many of each, and where the first is.
    """
    there = rows_by_experiment(measured)
    if experiment is None:
        if len(there) > 1:
            counted = "; ".join(
                f"{name}: {int(rows.sum()):,} rows, the first is row {int(np.flatnonzero(rows)[0]) + 1}"
                for name, rows in there.items()
            )
            raise DataError(
                f"rows are of {len(there)} experiments, which are not scored together ({counted})",
                path=measured.name,
                fix=f"Choose the experiment, {' or '.join(map(repr, there))}, and score one after the other, or give "
                f"each a table of its own: {SILENCED!r} says who was silenced, an empty {STIMULATED!r} that it was "
                "at rest",
            )
        experiment = next(iter(there))
    elif one_of("experiment", experiment, EXPERIMENTS) not in there:
        raise ConfigError(
            f"experiment = {experiment!r}: the table has no such row; its rows are of {', '.join(there)} "
            f"(the columns {STIMULATED!r} and {SILENCED!r} say which)"
        )
    if len(there) > 1:
        measured = replace(rows_of(measured, np.flatnonzero(there[experiment])), name=f"{measured.name}-{experiment}")
    return replace(measured, silenced=None) if experiment == STIMULATION else measured
