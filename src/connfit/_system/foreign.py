"""Code that is not connfit's, as cells in a user's file and pieces of other packages: where its errors come from."""

from __future__ import annotations

import traceback
from pathlib import Path

_LONGEST = 200

_modules: set[str] = set()


def note_foreign(module: str) -> None:
    """Keep that a module, with all that is in it, is somebody else's."""
    _modules.add(module)


def raised_at(error: BaseException) -> str | None:
    """Describe an error that went through foreign code: kind, file, line, function, message; None for any other."""
    found = [
        (frame.f_code, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_foreign(frame.f_globals.get("__name__"))
    ]
    if not found:
        return None
    code, line = found[-1]
    where = f"{Path(code.co_filename).name}, line {line}"
    inside = "" if code.co_name == "<module>" else f", in {code.co_qualname}"
    return f"{described(error)} ({where}{inside})"


def described(error: BaseException) -> str:
    """Return the kind of an error and its first words, in one line."""
    words = " ".join(str(error).partition("\n")[0].split())
    return f"{type(error).__name__}: {words[:_LONGEST]}" if words else type(error).__name__


def _is_foreign(module: object) -> bool:
    return isinstance(module, str) and any(module == one or module.startswith(f"{one}.") for one in _modules)
