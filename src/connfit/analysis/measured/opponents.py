"""Further models beside the one that is scored: other fits, and untrained models on null connectomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from connfit._system.paths import user_path
from connfit.connectome import Connectome
from connfit.connectome.nulls import NULLS
from connfit.errors import DataError
from connfit.evaluation.study.row_status import why_identity
from connfit.models.base import Model, Params
from connfit.recordings.cohort import Cohort
from connfit.training.fitted import Fit
from connfit.training.problem import Job, build, prepare
from connfit.training.runs import load_fit

ALL = "all"


@dataclass(frozen=True, eq=False)
class Opponent:
    """A further model.

    Parameters
    ----------
    label, kind
        See `connfit.analysis.measured.wiring_predictors.Predictor`.
    """

    label: str
    kind: str
    model: Model
    params: Params
    connectome: Connectome
    cohort: Cohort


@dataclass(frozen=True, eq=False)
class Opponents:
    """Further models by the name of their row, and why some that were asked for are not there.

    Parameters
    ----------
    models
        By name.
    left_out
        Reasons by the name that the row would have.
    """

    models: Mapping[str, Opponent] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def all_opponents(fitted: Fit, against: Sequence[str | Path | Fit], nulls: Sequence[str]) -> Opponents:
    """Return other fits, and untrained models on null connectomes, as opponents of a fit."""
    others = other_fits(against)
    untrained = untrained_nulls(fitted.require_job(), nulls)
    return Opponents({**others, **untrained.models}, untrained.left_out)


def other_fits(against: Sequence[str | Path | Fit]) -> dict[str, Opponent]:
    """Return fits, or those of run directories, as opponents; those on null connectomes say so."""
    found: dict[str, Opponent] = {}
    for number, given in enumerate(against, 1):
        other = given if isinstance(given, Fit) else load_fit(given)
        null = other.connectome.notes.get("null")
        kind = "null" if null else "run"
        what = f"fit on {other.require_job().config.data.null}" if null else f"run {number}"
        label = what if isinstance(given, Fit) else f"{what} ({user_path(given).name})"
        found[f"{kind}_{number}"] = Opponent(label, kind, other.model, other.params, other.connectome, other.cohort)
    return found


def null_names(nulls: Sequence[str]) -> list[str]:
    """Return the null connectomes that are asked for, `"all"` being those of every study.

    Raises
    ------
    ConfigError
        If there is none of a name.
    """
    names = [name for name, null in NULLS.items() if null.in_studies] if ALL in nulls else list(nulls)
    for name in names:
        NULLS.find(name, "nulls")
    return list(dict.fromkeys(names))


def untrained_nulls(job: Job, nulls: Sequence[str]) -> Opponents:
    """Build untrained models on null connectomes, each with a recipe of its own, as that of the real one was found.

    A null that comes out like the real wiring is left out with the reason, and so is one of `"all"` for which the
    connectome lacks something, as regions.

    Raises
    ------
    DataError
        If the connectome lacks what a null needs that was asked for by name.
    """
    found: dict[str, Opponent] = {}
    left_out: dict[str, str] = {}
    for name in null_names(nulls):
        row = f"untrained_{name}"
        data = msgspec.structs.replace(job.config.data, null=name, null_options={})
        config, given = msgspec.structs.replace(job.config, data=data), job.given
        try:
            other = (
                prepare(config) if given is None else build(config, given.connectome, given.recordings, given.held_out)
            )
        except DataError as error:
            if name in nulls:
                raise
            left_out[row] = str(error)
            continue
        same = why_identity(job.connectome, other.connectome, name, other.options.weights, config.seed)
        if same is not None:
            left_out[row] = same
            continue
        found[row] = Opponent(
            f"untrained model on {name}", "null", other.model, other.params, other.connectome, other.cohort
        )
    return Opponents(found, left_out)
