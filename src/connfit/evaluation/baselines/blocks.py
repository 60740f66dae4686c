"""Which frames a baseline is fitted to, and on which its choices are made: never those of the test part."""

from __future__ import annotations

from collections.abc import Sequence

from connfit.recordings import Recording

VALIDATION = "validation"
LAST_FIFTH = "the last fifth of train"


def tuning_blocks(
    recordings: Sequence[Recording],
) -> tuple[list[tuple[int, int]], list[tuple[int, int]], str]:
    """Frames of each recording to fit to, frames to compare choices on, and what the latter are called.

    The latter are the validation parts; where nothing was observed in any of them, the last fifth of each
    training part, which is then left out of the former.
    """
    parts = [one.require_parts() for one in recordings]
    train, tune = [one.train for one in parts], [one.validation for one in parts]
    if any(one.mask[slice(*block)].any() for one, block in zip(recordings, tune, strict=True)):
        return train, tune, VALIDATION
    cuts = [last - max(1, (last - first) // 5) for first, last in train]
    tune = [(cut, last) for cut, (_, last) in zip(cuts, train, strict=True)]
    return [(first, cut) for cut, (first, _) in zip(cuts, train, strict=True)], tune, LAST_FIFTH


def named(recordings: Sequence[Recording]) -> str:
    """The recordings, for messages."""
    names = ", ".join(repr(one.name) for one in recordings)
    return f"recording {names}" if len(recordings) == 1 else f"recordings {names}"
