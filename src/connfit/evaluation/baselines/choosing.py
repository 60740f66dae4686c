"""How a baseline chooses: on which frames, which candidate, and what it records of that. Never on the test part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from connfit.recordings import Recording

VALIDATION = "validation"
LAST_FIFTH = "the last fifth of train"

Facts = Mapping[str, float | int | str | bool | Sequence[str]]
"""What was chosen, for the record: `chosen` of a baseline in `metrics.json`."""

ChoiceT = TypeVar("ChoiceT")


def least(candidates: Iterable[tuple[float, ChoiceT]]) -> tuple[float, ChoiceT] | None:
    """Return the candidate of least error on the tuning frames, the first of several; None where there is none."""
    return min(candidates, key=lambda candidate: candidate[0], default=None)


def at_edge(value: float, tried: Sequence[float]) -> bool:
    """Return whether a choice is the smallest or the largest of those that were tried."""
    return len(tried) > 1 and value in (min(tried), max(tried))


def tuning_blocks(
    recordings: Sequence[Recording],
) -> tuple[list[tuple[int, int]], list[tuple[int, int]], str]:
    """Return the frames of each recording to fit to, those to compare choices on, and what the latter are called.

    The latter are the validation parts; where nothing was observed in any of them, the last fifth of each
    training part, which is then left out of the former.
    """
    parts = [recording.require_parts() for recording in recordings]
    train, tune = [part.train for part in parts], [part.validation for part in parts]
    if any(recording.mask[slice(*block)].any() for recording, block in zip(recordings, tune, strict=True)):
        return train, tune, VALIDATION
    cuts = [last - max(1, (last - first) // 5) for first, last in train]
    tune = [(cut, last) for cut, (_, last) in zip(cuts, train, strict=True)]
    return [(first, cut) for cut, (first, _) in zip(cuts, train, strict=True)], tune, LAST_FIFTH


def training_blocks(recordings: Sequence[Recording]) -> list[tuple[int, int]]:
    """Return the training parts: what is fitted to once the choices are made."""
    return [recording.require_parts().train for recording in recordings]


def named(recordings: Sequence[Recording]) -> str:
    """Return the recordings by name, for messages."""
    names = ", ".join(repr(recording.name) for recording in recordings)
    return f"recording {names}" if len(recordings) == 1 else f"recordings {names}"
