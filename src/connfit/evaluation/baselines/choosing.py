"""How a baseline chooses: on which frames, which candidate, and what it records of that. Never on the test part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from connfit.recordings import Recording

VALIDATION = "validation"
LAST_FIFTH = "the last fifth of train"

MOST_TUNING_FRAMES = 16_384
"""Frames of a recording that choices are compared on, the last ones: more would hardly change which is best."""

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
    training part, which is then left out of the former. Of more than `MOST_TUNING_FRAMES` the last ones are taken,
    and what they are called says so.
    """
    parts = [recording.require_parts() for recording in recordings]
    train, tune = [part.train for part in parts], [part.validation for part in parts]
    if any(recording.mask[slice(*block)].any() for recording, block in zip(recordings, tune, strict=True)):
        return train, *_last(tune, VALIDATION)
    cuts = [last - max(1, (last - first) // 5) for first, last in train]
    tune = [(cut, last) for cut, (_, last) in zip(cuts, train, strict=True)]
    return [(first, cut) for cut, (first, _) in zip(cuts, train, strict=True)], *_last(tune, LAST_FIFTH)


def _last(tune: Sequence[tuple[int, int]], what: str) -> tuple[list[tuple[int, int]], str]:
    last = [(max(first, stop - MOST_TUNING_FRAMES), stop) for first, stop in tune]
    return last, what if last == list(tune) else f"the last {MOST_TUNING_FRAMES:,} frames of {what}"


def training_blocks(recordings: Sequence[Recording]) -> list[tuple[int, int]]:
    """Return the training parts: what is fitted to once the choices are made."""
    return [recording.require_parts().train for recording in recordings]


def named(recordings: Sequence[Recording]) -> str:
    """Return the recordings by name, for messages."""
    names = ", ".join(repr(recording.name) for recording in recordings)
    return f"recording {names}" if len(recordings) == 1 else f"recordings {names}"
