"""Connectomes that were read once, kept as binary files that open at once.

They lie in `connectomes/` of the cache (`$CONNFIT_CACHE`, or the user's cache folder). Every file can be deleted at any
time; it is then made again.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from connfit._system.claim import claimed, tidy
from connfit.connectome import FORMAT_VERSION, Connectome
from connfit.connectome.signs import sign_table
from connfit.datasets.fetch import CACHE_VARIABLE, cache_root
from connfit.errors import ConfigError, DataError, NotAvailableError

READER_VERSION = 1
"""Counted up when a reader changes what it makes of the same file."""


_ONE_THREAD = threading.Lock()
"""Of this process; a lock on the folder is between processes."""


def cache_folder() -> Path:
    """Return the folder of the cached connectomes; it need not exist."""
    return cache_root() / "connectomes"


def cached(
    name: str,
    read: Callable[..., Connectome],
    files: Mapping[str, Path | None],
    options: Mapping[str, Any],
    /,
    **about: Any,
) -> Connectome:
    """Open the connectome that `read` makes of files with options from the cache, or make it and keep it there.

    Parameters
    ----------
    name
        Part of the file name.
    read
        Called with files, options and `about` by name.
    files
        What it is made of. A file counts as the same while its place, size and time of change are.
    options
        Those of the keyword-only parameters of `read` that differ from their defaults; a `sign_rule` counts by its
        content.
    **about
        Name and notes, which follow from the name above.

    Returns
    -------
    Connectome
        Its large arrays are mapped from the cache. A damaged file in the cache is made again, and a cache that
        cannot be written to is done without; both with a warning.
    """
    parameters = inspect.signature(read).parameters.values()
    options = {known.name: known.default for known in parameters if known.kind is known.KEYWORD_ONLY} | dict(options)
    try:
        path = cache_folder() / f"{name}-{_key(name, files, options)}.h5"
    except (NotAvailableError, ConfigError) as error:
        warnings.warn(f"the connectome {name!r} could not be kept in the cache: {error}", stacklevel=2)
        return read(**files, **options, **about)
    if path.is_file():
        tidy(path.parent)
        try:
            return Connectome.load(path)
        except DataError as error:
            warnings.warn(f"the cached connectome is made again: {error}", stacklevel=2)
    brain = read(**files, **options, **about)
    try:
        with _ONE_THREAD, claimed(path.parent, wait=True):
            brain.save(path)
    except (OSError, DataError) as error:
        warnings.warn(
            f"the connectome {name!r} could not be kept in the cache {path.parent} ({error}); it will be read again "
            f"the next time. Set {CACHE_VARIABLE} to a folder with space",
            stacklevel=2,
        )
        return brain
    # Read back, so that the first use and all later ones have the very same arrays, mapped instead of held.
    return Connectome.load(path)


def _key(name: str, files: Mapping[str, Path | None], options: Mapping[str, Any]) -> str:
    parts = {
        "name": name,
        "reader": READER_VERSION,
        "format": FORMAT_VERSION,
        "files": {role: _identity(path) for role, path in files.items()},
        "options": {key: _content(key, value) for key, value in options.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def _identity(path: Path | None) -> tuple[str, int, int] | None:
    if path is None:
        return None
    found = path.stat()
    return str(path.resolve()), found.st_size, found.st_mtime_ns


def _content(key: str, value: object) -> object:
    """A sign rule by name and signs, for its file may change; anything else as it is."""
    if key != "sign_rule" or value == "published":
        return value
    rule, signs = sign_table(value)  # pyright: ignore[reportArgumentType]
    return [rule, dict(signs)]
