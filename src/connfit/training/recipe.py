"""The recipe: how a model starts, found for any recording by one procedure from training and validation frames alone.

How states follow what was recorded, what units keep of their own past, and how much of the coupling between units goes
through the wiring decide more about a fit than training does, and differ between recordings. Options of a configuration
that say `"auto"` are therefore searched, one or two at a time in the order in which each start wants it (`searched` of
`connfit.models.init.start.Start`; some again, for what is best of one option depends on the others), each with the best
of those before it; a candidate is an untrained model, and its value is what epochs of a fit are compared by
(`connfit.training.validation`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any, Literal

import msgspec

from connfit._system.stages import tell
from connfit.config import AUTO, FALLBACK, OF_EACH_UNIT, ModelConfig
from connfit.errors import ConfigError, ConnfitError, DataError, one_of
from connfit.models.cells import find_cell
from connfit.models.init.start import STARTS, Start
from connfit.models.init.starting_weights import WEIGHTS, StartingWeights
from connfit.models.neuron import Neuron
from connfit.models.observation import INDICATOR_GROUPS, observe
from connfit.recordings import Parts, Recording
from connfit.recordings.cohort import Cohort
from connfit.training.validation import Validation

STATE_FORCING = (0.0, 0.5, 1.0, 1.5, 1.75)
TIME_CONSTANT_FRAMES = (0.5, 1.0, 2.0, 4.0, OF_EACH_UNIT)
OWN_SHRINKAGE = (0.0, 0.25, 0.5, 0.75)
DRIVE_RIDGE = (0.0, 300.0, 1000.0, 3000.0, 10000.0)

GRID: Mapping[str, Sequence[float | str]] = {
    "state_forcing": STATE_FORCING,
    "time_constant_frames": TIME_CONSTANT_FRAMES,
    "own_shrinkage": OWN_SHRINKAGE,
    "drive_ridge": DRIVE_RIDGE,
}
"""What each option may be found to be."""

NAMES: Mapping[str, Mapping[str, Start] | Mapping[str, StartingWeights]] = {"drive_start": STARTS, "weights": WEIGHTS}
"""Where each name is found, among those that may be chosen automatically."""

BEGIN: Mapping[str, Any] = {
    "time_constant_frames": 0.5, "own_shrinkage": 0.25, "weights": FALLBACK["weights"], "drive_ridge": 0.0,
}  # fmt: skip
"""Values of the options whose stage has not come yet."""

SHARE_TO_TUNE_ON = 0.2
"""Of a training part, where there is no validation part."""


@dataclass(frozen=True)
class StartOptions:
    """Options of section `model` that a recipe can find, each with a value."""

    drive_start: str
    state_forcing: float
    time_constant_frames: float | Literal["unit"]
    weights: str
    own_shrinkage: float
    drive_ridge: float

    @classmethod
    def of(cls, options: ModelConfig) -> StartOptions:
        """Return the start options of options without `auto`."""
        values = {name: getattr(options, name) for name in FALLBACK}
        return msgspec.convert({**values, "drive_ridge": values["drive_ridge"] or 0.0}, cls)


@dataclass(frozen=True)
class Candidate:
    """One start that was tried.

    Parameters
    ----------
    options
        Of section `model`.
    value
        By which candidates are compared; None if the start could not be made, or predicts nothing finite.
    skill
        Skill over persistence one frame ahead.
    reason
        Why there is no value.
    """

    options: Mapping[str, Any]
    value: float | None = None
    skill: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Recipe:
    """What was chosen, and from what.

    Parameters
    ----------
    chosen
        Value of each option of section `model` that said `"auto"`.
    candidates
        In the order in which they were tried.
    tuned_on
        `"validation"`, or `"the last fifth of train"` where there is no validation part.
    measure
        What the values are.
    """

    chosen: Mapping[str, Any]
    candidates: tuple[Candidate, ...] = ()
    tuned_on: str = "validation"
    measure: str = ""

    def resolve(self, options: ModelConfig) -> ModelConfig:
        """Return the options with what was chosen in place of `"auto"`."""
        return msgspec.structs.replace(options, **{name: self.chosen[name] for name in automatic(options)})


def automatic(options: ModelConfig) -> tuple[str, ...]:
    """Return the names of the options that say `"auto"`."""
    return tuple(name for name in FALLBACK if getattr(options, name) == AUTO)


def check_names(options: ModelConfig) -> None:
    """Raise an error for unknown cells, groups of parameters, starts or weights, before any data is read."""
    groups = (*find_cell(options.cell).groups, *INDICATOR_GROUPS)
    seen = options.observation
    observe(Neuron(), seen.indicator, step_s=1.0, decay_s=seen.decay_s, rise_s=seen.rise_s, bounds=seen.bounds)
    for group in options.learn or ():
        one_of("model.learn", group, groups)
    for option, names in NAMES.items():
        if (name := getattr(options, option)) != AUTO:
            one_of(f"model.{option}", name, (*names, AUTO))
    if options.start_options and options.drive_start == AUTO:
        raise ConfigError("model.start_options are of one start: name it as model.drive_start")


def find_recipe(
    options: ModelConfig,
    score: Callable[[ModelConfig], Validation],
    *,
    forcible: bool = True,
    regressible: bool = True,
    single_neurons: bool = True,
    tuned_on: str = "validation",
    measure: str = "",
) -> Recipe:
    """Search the options that say `"auto"`.

    Parameters
    ----------
    options
        Of the model. What they say is kept; only `"auto"` is searched.
    score
        Builds the untrained model of options without `"auto"` and scores it.
    forcible, regressible
        Whether state forcing, and starts that need a frame for every model step, are possible at all with the other
        options.
    single_neurons
        Whether units are single neurons that see a frame for every model step, so that each can have a time constant of
        its own.
    tuned_on, measure
        For the record.

    Raises
    ------
    DataError
        If no start at all could be made; with the reason of the first.
    """
    free = automatic(options)
    if not free:
        return Recipe({}, (), tuned_on, measure)
    allowed = {name: (_choices(name, options) if name in free else [getattr(options, name)]) for name in FALLBACK}
    if not forcible and "state_forcing" in free:
        allowed["state_forcing"] = [0.0]
    if not single_neurons and "time_constant_frames" in free:
        allowed["time_constant_frames"] = [value for value in allowed["time_constant_frames"] if value != OF_EACH_UNIT]
    if not regressible and "drive_start" in free:
        allowed["drive_start"] = [name for name in allowed["drive_start"] if not STARTS[name].single_steps]
    stages = [names for start in allowed["drive_start"] for names in STARTS.find(start, "model.drive_start").searched]
    most = sum(prod(len(allowed[name]) for name in names) for names in stages)
    tried: dict[tuple[Any, ...], Candidate] = {}

    def attempt(values: Mapping[str, Any]) -> Candidate:
        complete = _complete(values)
        key = tuple(complete.values())
        if key not in tried:
            tell(f"finding a start: {len(tried) + 1} of at most {most}")
            tried[key] = _tried({name: complete[name] for name in free}, complete)
        return tried[key]

    def _tried(named: Mapping[str, Any], complete: Mapping[str, Any]) -> Candidate:
        try:
            found = score(msgspec.structs.replace(options, **complete))
        except ConnfitError as error:
            return Candidate(named, reason=str(error))
        if found.value == float("-inf"):
            return Candidate(named, reason="its predictions are not finite")
        return Candidate(named, found.value, found.skill)

    for start in allowed["drive_start"]:
        now = {name: BEGIN[name] if BEGIN.get(name) in choice else choice[0] for name, choice in allowed.items()}
        now["drive_start"] = start
        for names in STARTS.find(start, "model.drive_start").searched:
            choices = product(*(allowed[name] for name in names))
            here = [{**now, **dict(zip(names, values, strict=True))} for values in choices]
            now = max(here, key=lambda values: _value(attempt(values)))
    best = max(tried.values(), key=_value)
    if best.value is None:
        raise DataError(
            f"no start of the model could be made: {best.reason}",
            fix="Set model.drive_start to persistence and model.state_forcing to 0, or see what is wrong with the data",
        )
    return Recipe(dict(best.options), tuple(tried.values()), tuned_on, measure)


def tuning_cohort(cohort: Cohort) -> tuple[Cohort, str]:
    """Return the cohort whose validation parts score candidates: itself, or with training parts cut at four fifths."""
    if cohort.observations("validation"):
        return cohort, "validation"
    return replace(
        cohort, recordings=tuple(_cut(recording) for recording in cohort.recordings)
    ), "the last fifth of train"


def _cut(recording: Recording) -> Recording:
    parts = recording.require_parts()
    start, stop = parts.train
    at = stop - max(1, round(SHARE_TO_TUNE_ON * (stop - start)))
    return replace(recording, parts=Parts((start, at), (at, stop), parts.test))


def _choices(name: str, options: ModelConfig) -> list[Any]:
    """What an option may be found to be, given the others."""
    if name == "drive_ridge" and options.drive != "dense":
        return [0.0]
    if name == "time_constant_frames":
        low, high = options.time_constant_bounds_frames
        numbers = [value for value in GRID[name] if isinstance(value, float) and low <= value <= high] or [low]
        return [*numbers, *(value for value in GRID[name] if value == OF_EACH_UNIT)]
    if name in NAMES:
        spiking = find_cell(options.cell).neuron.spikes
        pieces = [piece for piece in NAMES[name].values() if piece.automatic]
        return [piece.name for piece in pieces if not isinstance(piece, Start) or piece.spiking == spiking]
    return list(GRID[name])


def _complete(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options that differ only in what does not act are the same candidate."""
    complete = {name: values[name] for name in FALLBACK}
    own = STARTS[complete["drive_start"]].options.__struct_fields__
    foreign = {name for start in STARTS.values() for name in start.options.__struct_fields__} - set(own)
    idle = [name for name in FALLBACK if name in foreign and values[name] in (BEGIN.get(name), FALLBACK[name])]
    return complete | {name: FALLBACK[name] for name in idle}


def _value(candidate: Candidate) -> float:
    return float("-inf") if candidate.value is None else candidate.value
