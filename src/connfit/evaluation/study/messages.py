"""What a worker of a study says about its tasks, one JSON line each."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True)
class Failure:
    """Why a task could not be done.

    Parameters
    ----------
    reason
        In words.
    diverged
        Whether a fit stopped being finite.
    epoch
        In which epoch, as in `history.csv`; None if it is not known.
    again
        Whether it may be done where it is tried again: its process or machine was lost, or refused memory or disk.
    """

    reason: str
    diverged: bool = False
    epoch: int | None = None
    again: bool = False


class Started(msgspec.Struct, frozen=True, tag_field="event", tag="started"):
    """A task was given to a worker."""

    task: str


class Progress(msgspec.Struct, frozen=True, tag_field="event", tag="progress"):
    """A fraction of a fit is done."""

    task: str
    fraction: float


class Finished(msgspec.Struct, frozen=True, tag_field="event", tag="done"):
    """A task has left its results."""

    task: str


class Failed(msgspec.Struct, frozen=True, tag_field="event", tag="failed"):
    """A task could not be done."""

    task: str
    why: Failure


Message = Started | Progress | Finished | Failed


def encoded(message: Message) -> str:
    """Return a message as the line that says it."""
    return msgspec.json.encode(message).decode() + "\n"


def decoded(line: str) -> Message:
    """Return the message that a line says."""
    return msgspec.json.decode(line, type=Message)
