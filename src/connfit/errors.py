"""Exceptions whose messages name the file, row, column or option, and what would be right."""

from __future__ import annotations

import errno
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

    _keeps_lines = False

    def __init__(self, problem: str) -> None:
        lines = problem.splitlines() if self._keeps_lines else [" ".join(problem.splitlines())]
        super().__init__("\n".join(visible(_LONG_WORD.sub(_cut, line)) for line in lines))


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


class UnitsError(DataError):
    """Units of a recording cannot be used; all of them are named.

    Parameters
    ----------
    problem, path, fix
        As of `DataError`.
    units
        Their names.
    """

    def __init__(
        self, problem: str, *, units: Iterable[str], path: str | Path | None = None, fix: str | None = None
    ) -> None:
        super().__init__(problem, path=path, fix=fix)
        self.units = tuple(units)


class UnclearError(DataError):
    """A file can be read only once an option says what the file does not.

    Parameters
    ----------
    problem, path, fix
        As of `DataError`.
    option
        Name of the reader's option that answers it.
    choices
        Values that it may have, where they are known.
    """

    def __init__(
        self,
        problem: str,
        *,
        option: str,
        choices: Iterable[str] = (),
        path: str | Path | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(problem, path=path, fix=fix)
        self.option = option
        self.choices = tuple(choices)


class DataWarning(UserWarning):
    """Data are implausible, or a part of a file was not read; they are used as they are."""


class ConfigError(ConnfitError):
    """An option is unknown, of the wrong type or out of range."""


class NotAvailableError(ConnfitError):
    """A dataset, an optional package or a compiled kernel that was asked for is not here.

    It says which file goes where, a line each.
    """

    _keeps_lines = True


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


_REFUSALS = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), ("no such file", "Check the path")),
    **dict.fromkeys((errno.EACCES, errno.EPERM), ("permission denied", "Allow your account to read it")),
    **dict.fromkeys((errno.EISDIR,), ("this is a folder", "Name a file")),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), ("the path is too long", "Check the path")),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), ("too many files are open", "Close some, or raise `ulimit -n`")),
    **dict.fromkeys((errno.ENOMEM,), ("there is not enough memory to read it", "Free memory, or use another machine")),
    **dict.fromkeys(
        (errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN),
        ("the disk or the network drive failed", "The file may be whole: try again, or copy it to another disk"),
    ),
}
"""What a system refuses that is no damage of a file, and what to do."""


def unreadable(error: BaseException, problem: str, *, path: str | Path, fix: str | None = None) -> DataError:
    """Return the error of a file that could not be read, with its true cause.

    Parameters
    ----------
    error
        What was raised. Libraries wrap errors of the system: those it was raised from count, too.
    problem, fix
        What is wrong, and what helps, where the system refused nothing: the file is damaged.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            refused, remedy = _REFUSALS[cause.errno]
            return DataError(refused, path=path, fix=remedy)
        if isinstance(cause, MemoryError):
            remedy = "Free memory; if the file is small, it is damaged: copy it again"
            return DataError("there is not enough memory to read it", path=path, fix=remedy)
        cause = cause.__cause__ or cause.__context__
    return DataError(f"{problem} ({' '.join(str(error).split())[:300]})", path=path, fix=fix)


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
