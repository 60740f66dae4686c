"""Write a run in one or more export formats, each into a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from connfit._io import scratch_folder
from connfit._system.claim import claims
from connfit._system.paths import user_path
from connfit.errors import ConfigError
from connfit.export.exported_run import ExportedRun
from connfit.export.formats import EXPORTS


@claims("out", make=True)
def export_run(
    run: str | Path,
    formats: Sequence[str],
    out: str | Path,
    *,
    tell: Callable[[str], None] = lambda name: None,
) -> list[Path]:
    """Write a run in other formats.

    Parameters
    ----------
    run
        Folder of a finished run; it is only read.
    formats
        Names of `connfit.export.formats.EXPORTS`.
    out
        Folder in which each format gets a folder of its name: whole, or not there at all.
    tell
        Called with the name of each format before it is written.

    Returns
    -------
    list
        The folder of each format.

    Raises
    ------
    ConfigError
        If there is no such format, or its folder is there already.
    NotAvailableError
        If a format needs a package that is not installed.
    DataError
        If there is no finished run.
    """
    chosen = [EXPORTS.find(name, "--to") for name in dict.fromkeys(formats)]
    if not chosen:
        raise ConfigError(f"name at least one format to export to: {', '.join(EXPORTS)}")
    folders = [Path(out) / each.name for each in chosen]
    for each, folder in zip(chosen, folders, strict=True):
        each.check_available()
        if os.path.lexists(folder):
            raise ConfigError(f"{folder} is there already: remove it, or give another folder")
    exported = ExportedRun(user_path(run))
    exported.require_run()
    for each, folder in zip(chosen, folders, strict=True):
        tell(each.name)
        with scratch_folder(folder) as scratch:
            each.write(exported, scratch)
            os.rename(scratch, folder)
    return folders
