"""Sessions of one animal, joined into one recording with a block for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from connfit.errors import DataError, first_ten
from connfit.recordings.inputs import Inputs
from connfit.recordings.recording import SAME_RATE, Recording
from connfit.recordings.stretches import BETWEEN


def join_sessions(name: str, sessions: Sequence[Recording]) -> Recording:
    """Join recordings of one animal: blocks one after the other, with `BETWEEN` frames in which nothing is observed.

    Models start anew in each session, and no forecast crosses the border (`connfit.recordings.stretches.as_blocks`).

    Parameters
    ----------
    name
        Of the animal.
    sessions
        In their order, as they were read: neither cut nor preprocessed. A unit that a session lacks is not observed
        there.

    Returns
    -------
    Recording
        Units in the order in which sessions first name them.

    Raises
    ------
    DataError
        If frame rates, kinds, units of the values or inputs differ, or no unit is in more than one session.
    """
    if not sessions:
        raise DataError(f"animal {name!r}: there is no session")
    if len(sessions) == 1:
        return replace(sessions[0], name=name)
    first = sessions[0]
    for other in sessions[1:]:
        for what, ours, theirs in (
            ("is of kind", first.kind, other.kind),
            ("has values in", first.value_units, other.value_units),
            ("has the inputs", _channels(first), _channels(other)),
        ):
            if ours != theirs:
                raise DataError(f"animal {name!r}: session {other.name!r} {what} {theirs}, {first.name!r} {ours}")
        if abs(other.frame_rate / first.frame_rate - 1) > SAME_RATE:
            raise DataError(
                f"animal {name!r}: session {other.name!r} has {other.frame_rate:g} frames per second, {first.name!r} "
                f"{first.frame_rate:g}",
                fix="Fit them as recordings of their own, with the step resample",
            )
    units = tuple(dict.fromkeys(unit for session in sessions for unit in session.units))
    if sum(len(session.units) for session in sessions) == len(units):
        listed = first_ten(session.name for session in sessions)
        raise DataError(
            f"animal {name!r}: sessions {listed} have no unit in common",
            fix="Give units of all sessions the same names (data.recording_files.unit_table), or fit them apart",
        )
    column = {unit: k for k, unit in enumerate(units)}
    values, masks, inside, known, blocks, epochs, start = [], [], [], [], [], {}, 0
    for number, session in enumerate(sessions):
        frames = session.frames + (BETWEEN if number else 0)
        block = np.full((frames, len(units)), np.nan, first.values.dtype)
        mask = np.zeros((frames, len(units)), bool)
        at = [column[unit] for unit in session.units]
        gap = frames - session.frames
        block[gap:, at], mask[gap:, at] = session.values, session.mask
        values.append(block)
        masks.append(mask)
        if session.inputs is not None:
            empty = np.zeros((gap, len(session.inputs.channels)))
            inside.append(np.concatenate([empty, session.inputs.values]))
            known.append(np.concatenate([empty.astype(bool), session.inputs.mask]))
        start += gap
        blocks += [(start + a, start + b) for a, b in session.blocks or ((0, session.frames),)]
        for epoch, stretches in session.epochs.items():
            epochs[epoch] = (*epochs.get(epoch, ()), *((start + a, start + b) for a, b in stretches))
        start += session.frames
    mask = np.concatenate(masks)
    inputs = None
    if first.inputs is not None:
        inputs = Inputs(np.concatenate(inside), first.inputs.channels, first.inputs.units, np.concatenate(known))
    return replace(
        first,
        name=name,
        units=units,
        values=np.where(mask, np.concatenate(values), np.nan).astype(first.values.dtype),
        mask=mask,
        inputs=inputs,
        times=None,
        epochs=epochs,
        blocks=tuple(blocks),
        notes={"sessions": {session.name: dict(session.notes) for session in sessions}},
    )


def _channels(recording: Recording) -> tuple[str, ...]:
    return () if recording.inputs is None else recording.inputs.channels
