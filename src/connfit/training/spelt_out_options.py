"""Options of a run with all that they stand for, as its directory keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

import msgspec

from connfit._registry import beside_section, registries
from connfit.config import Config, InputsConfig, LearnerConfig
from connfit.connectome.nulls import check_null
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.training.learners import RULES
from connfit.training.learners.learner import Learner


def inputs_option(config: Config, cohort: Cohort) -> InputsConfig:
    """Return section `inputs` with channels and lags spelt out."""
    use = cohort.inputs
    if use is None:
        return config.inputs
    return msgspec.structs.replace(config.inputs, channels=use.channels, lags=use.lags)


def null_options(config: Config) -> dict[str, Any]:
    """Return the options of the null connectome, all of them."""
    null, given = config.data.null, config.data.null_options
    return given if null is None else check_null(null, given)[1].as_dict()


def spelt_out(config: Config, learner: Learner[Any]) -> LearnerConfig:
    """Return section `learner` with the dials of the learner, or its rule with all options that are not in it."""
    given = config.learner
    if given.preset is not None:
        own = beside_section(RULES[given.preset].options_of(given), given)
        if own:
            return msgspec.structs.replace(given, window=learner.window, rule_options=own)
    return msgspec.structs.replace(given, **learner.spelt_out())


def baseline_options(config: Config) -> dict[str, Any]:
    """Return options of baselines, with those of other packages spelt out; connfit's own are in section `evaluate`."""
    given = config.evaluate.baseline_options
    others = {point.name for point in entry_points(group="connfit.baselines")}
    if not others.intersection(config.evaluate.baselines):
        return given
    known = registries()["baselines"]
    pieces = [known[name] for name in config.evaluate.baselines if name in others]
    return {**given, **{piece.name: piece.options_of(config.evaluate).as_dict() for piece in pieces}}


def names_option(config: Config, recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Return the names of a dataset's recordings, spelt out, so that "all" stays what it was."""
    if config.data.dataset in (None, "demo") or config.data.recording_files is not None:
        return config.data.recordings
    return tuple(recording.name for recording in recordings)
