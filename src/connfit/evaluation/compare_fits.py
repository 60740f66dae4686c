"""Fits compared with each other on the frames of the same recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from connfit.config import EvaluateConfig
from connfit.errors import ConfigError, DataError, first_ten
from connfit.evaluation.intervals import paired_difference
from connfit.evaluation.predictions import predictions
from connfit.evaluation.squared_errors import ONE_STEP, PredictionErrors, errors_of
from connfit.recordings import Recording
from connfit.training.fitted import Fit


def compare(
    first: Fit,
    *others: Fit,
    names: Sequence[str] | None = None,
    part: str = "test",
    horizons: Sequence[int] = (ONE_STEP,),
) -> pd.DataFrame:
    """Compare fits with the first, frame by frame.

    Parameters
    ----------
    first, others
        Fits to the same recordings, of whatever connectome and options. Units that one of them lacks are left out.
    names
        One for each fit; default: `fit 1`, `fit 2`, ...
    part
        `"train"`, `"validation"` or `"test"`.
    horizons
        Frames ahead.

    Returns
    -------
    DataFrame
        One row for each other fit and horizon, indexed by `fit` and `frames_ahead`: `skill` over persistence, mean over
        recordings; `skill_of_first`; `difference`, the first minus the other, so that above zero the first is better;
        `low` and `high`, its 95 % interval over blocks of time (`connfit.evaluation.intervals.paired_difference`);
        and `excludes_zero`. NaN and None where something is not defined.

    Raises
    ------
    ConfigError
        If there is nothing to compare with, or not one name for each fit.
    DataError
        If the fits are not to the same recordings, cut and preprocessed alike.
    """
    fits = (first, *others)
    if not others:
        raise ConfigError("connfit.compare needs two fits or more")
    names = [f"fit {k + 1}" for k in range(len(fits))] if names is None else list(names)
    if len(names) != len(fits):
        raise ConfigError(f"{len(names)} names for {len(fits)} fits: give one for each")
    config = EvaluateConfig(horizons=tuple(horizons))
    shared = _shared_units(fits, names)
    errors = [[_errors(fit, name, units, part, config) for name, units in shared.items()] for fit in fits]
    rows = []
    for name, theirs in zip(names[1:], errors[1:], strict=True):
        for horizon in horizons:
            found = paired_difference([errors[0]], [theirs], horizon)
            rows.append(
                {
                    "fit": name,
                    "frames_ahead": horizon,
                    "skill": _mean_skill(theirs, horizon),
                    "skill_of_first": _mean_skill(errors[0], horizon),
                    "difference": found.value,
                    "low": found.low,
                    "high": found.high,
                    "excludes_zero": found.excludes_zero,
                }
            )
    numbers = dict.fromkeys(("skill", "skill_of_first", "difference", "low", "high"), float)
    return pd.DataFrame(rows).astype(numbers).set_index(["fit", "frames_ahead"])


def _errors(fit: Fit, name: str, units: Sequence[str], part: str, config: EvaluateConfig) -> PredictionErrors:
    """Errors on some units of a recording, of predictions from all units that the fit has."""
    recording = fit.recording(name)
    columns = [recording.units.index(unit) for unit in units]
    one_step, ahead = predictions(fit.forecaster(), recording, [part], config)
    return errors_of(one_step[:, columns], ahead[part][..., columns], recording.select_units(units), part, config)


def _mean_skill(errors: Sequence[PredictionErrors], horizon: int) -> float:
    skills = [recording.skill(horizon) for recording in errors]
    return float(np.mean([np.nan if skill is None else skill for skill in skills]))


def _shared_units(fits: Sequence[Fit], names: Sequence[str]) -> dict[str, list[str]]:
    """By name of a recording, the units of it that all fits have.

    Raises
    ------
    DataError
        If the fits are not to the same recordings.
    """
    found = {}
    recordings = [{recording.name: recording for recording in fit.cohort.recordings} for fit in fits]
    for name, others in zip(names[1:], recordings[1:], strict=True):
        if set(others) != set(recordings[0]):
            raise DataError(
                f"{names[0]} is a fit to {first_ten(recordings[0])}, {name} to {first_ten(others)}",
                fix="Compare fits to the same recordings",
            )
    for which, recording in recordings[0].items():
        units = [unit for unit in recording.units if all(unit in others[which].units for others in recordings)]
        for name, others in zip(names[1:], recordings[1:], strict=True):
            if not units or not _alike(recording, others[which], units):
                raise DataError(
                    f"recording {which!r} is not the same in {names[0]} and {name}",
                    fix="Fit both to the same values, cut and preprocessed alike",
                )
        found[which] = units
    return found


def _alike(first: Recording, other: Recording, units: Sequence[str]) -> bool:
    if first.require_parts() != other.require_parts() or first.frames != other.frames:
        return False
    values, others = first.select_units(units), other.select_units(units)
    return bool(
        np.array_equal(values.mask, others.mask)
        and np.array_equal(np.where(values.mask, values.values, 0), np.where(others.mask, others.values, 0))
    )
