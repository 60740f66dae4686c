"""Exceptions whose messages name the file, row, column or option, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from connfit._display import visible


class ConnfitError(Exception):
    """A mistake in a user's input: shown as one line by the command line, never as a traceback.

    What a file holds is quoted in it: line breaks become blanks, other control characters escapes, and a word of
    hundreds of letters is cut.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(visible(_LONG_WORD.sub(_cut, " ".join(problem.splitlines()))))


_LONG_WORD = re.compile(r"\S{300,}")


def _cut(word: re.Match[str]) -> str:
    return f"{word[0][:120]}... ({len(word[0]):,} letters)"


class DataError(ConnfitError):
    """A file or a table cannot be used as it is.

    Parameters
    ----------
    problem
        What is wrong, with row and column where they are known.
    path
        The file in which it was found.
    fix
        What the user can change.
    """

    def __init__(self, problem: str, *, path: str | Path | None = None, fix: str | None = None) -> None:
        where = f"{path}: " if path is not None else ""
        super().__init__(f"{where}{problem}{f'. {fix}' if fix else ''}")
        self.path = path
        self.fix = fix


class ConfigError(ConnfitError):
    """An option is unknown, of the wrong type or out of range."""


class NotAvailableError(ConnfitError):
    """A dataset, an optional package or a compiled kernel that was asked for is not here."""


class BusyError(ConnfitError):
    """Another process writes to the same folder."""


class DivergedError(ConnfitError):
    """The loss or the parameters stopped being finite during a fit.

    Parameters
    ----------
    problem
        What stopped being finite and where.
    epoch
        In which epoch of the fit, as in `history.csv`; None where there are no epochs.
    """

    def __init__(self, problem: str, *, epoch: int | None = None) -> None:
        super().__init__(problem)
        self.epoch = epoch


LONG_LIST = 30
"""Names beyond which a message gives the nearest alone."""


def one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    """Return `value` if it is allowed; otherwise raise a ConfigError with the nearest valid name."""
    choices = tuple(allowed)
    if value in choices:
        return value
    raise unknown(name, value, choices)


def unknown(name: str, value: str, allowed: Iterable[str]) -> ConfigError:
    """Return the error of a value that is not allowed, with the nearest that is."""
    choices = tuple(allowed)
    hint = did_you_mean(value, choices)
    if hint and len(choices) > LONG_LIST:
        return ConfigError(f"{name} is {value!r}, which there is not{hint}")
    return ConfigError(f"{name} is {value!r}, but must be one of {', '.join(choices)}{hint}")


def did_you_mean(value: object, allowed: Iterable[object]) -> str:
    """Return the end of a message that names the nearest of what is allowed; empty where nothing is near."""
    near = get_close_matches(str(value), [str(choice) for choice in allowed], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def first_ten(items: Iterable[object]) -> str:
    """List the first ten items and count the rest, for messages about many bad rows or ids."""
    listed = list(items)
    text = ", ".join(visible(str(item)) for item in listed[:10])
    return text + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
