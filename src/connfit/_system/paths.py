"""File names: as users write them, and of what is not finished yet."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from connfit.errors import ConfigError

LONGEST = 4096
"""Letters of a path that Linux takes."""

UNFINISHED = re.compile(r"\.(?P<of>.+)\.\d+(-[0-9a-f]+)?\.part")
"""Names of what a process that is still there writes, or one that ended early has left: see `unfinished`."""


def user_path(name: str | Path) -> Path:
    """Return the path that a user means: with `~` and environment variables, unless a file has that very name.

    Raises
    ------
    ConfigError
        If no file can have such a name.

    Examples
    --------
    >>> user_path("~/data") == Path.home() / "data"
    True
    """
    text = str(name)
    if "\0" in text:
        raise ConfigError(f"{text!r}: a file name cannot hold NUL")
    if len(text) > LONGEST or any(len(os.fsencode(part)) > 255 for part in Path(text).parts):
        raise ConfigError(f"{text}: longer than a file name can be")
    path = Path(text)
    if ("$" not in text and not text.startswith("~")) or path.exists():
        return path
    try:
        return Path(os.path.expandvars(text)).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: there is no such user") from error


def unfinished(path: Path) -> Path:
    """Return a name beside `path` for what is not finished yet.

    No other thread or process has it, on another machine neither, where process numbers are the same. The next command
    on the folder sweeps it (`connfit._system.claim.sweep`).
    """
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(8)}.part")
