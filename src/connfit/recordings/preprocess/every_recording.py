"""Preprocessing of recordings that are fitted together: what cannot be used is named at once for all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from connfit.errors import UnitsError, first_ten
from connfit.recordings import Recording
from connfit.recordings.empty_units import without_empty_units
from connfit.recordings.plausibility import examined
from connfit.recordings.preprocess import preprocess
from connfit.recordings.preprocess.step_record import unusable_units

Steps = Sequence[Mapping[str, Any]]


def preprocess_all(recordings: Sequence[Recording], steps: Sequence[Steps]) -> tuple[Recording, ...]:
    """Apply to each recording its steps, after cautions on what is implausible and without units that nobody observed.

    Parameters
    ----------
    recordings
        Cut into parts.
    steps
        Those of each recording.

    Raises
    ------
    UnitsError
        If units cannot be preprocessed: it names those of all recordings, and the line of a configuration without them.
    ConfigError
        If a step or an option of it is wrong.
    """
    done, problems, units, first = [], [], [], None
    for recording, its_steps in zip(recordings, steps, strict=True):
        chosen, others = choose_units(recording, its_steps)
        chosen = without_empty_units(examined(chosen))
        try:
            done.append(preprocess(chosen, others, first=len(its_steps) - len(others)))
        except UnitsError as error:
            bad = [unit for unit in chosen.units if unit in {*error.units, *unusable_units(chosen)}]
            problems.append(
                f"recording {recording.name!r}: units that do not vary, or are not observed, in the training part: "
                f"{first_ten(bad)} ({len(bad)} of {len(chosen.units)})"
            )
            units, first = [*dict.fromkeys([*units, *bad])], first or its_steps
    if first is None:
        return tuple(done)
    everywhere = all(set(units) <= set(recording.units) for recording in recordings)
    drop = {"step": "select", "drop": units, **({} if everywhere else {"absent": "skip"})}
    raise UnitsError(
        "; ".join(problems), units=units, fix=f"Leave them out, under [data]: preprocess = {as_toml([drop, *first])}"
    )


def choose_units(recording: Recording, steps: Steps) -> tuple[Recording, Steps]:
    """Apply the steps `select` that come first; return the recording and the other steps."""
    leading = 0
    while leading < len(steps) and isinstance(steps[leading], Mapping) and steps[leading].get("step") == "select":
        leading += 1
    return preprocess(recording, steps[:leading]), steps[leading:]


def as_toml(value: object) -> str:
    """Write a value as TOML in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {as_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
