"""`connfit export`: a run as files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connfit._console import literal
from connfit._system.paths import user_path
from connfit.cli.terminal import err_console, out_console


def export(
    run: Annotated[Path, typer.Argument(parser=user_path, metavar="DIR", help="Folder of a run; it is only read.")],
    to: Annotated[list[str], typer.Option("--to", metavar="FORMAT", help="May be repeated: {exports}.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", parser=user_path, metavar="FOLDER", help="Each format gets a new folder of its name here."
        ),
    ],
) -> None:
    """Write a run in other formats: tables, scripts, NWB, figures for a journal."""
    from connfit.export.export_run import export_run

    with err_console.status("reading") as status:
        folders = export_run(run, to, out, tell=lambda name: status.update(literal(f"writing {name}")))
    for folder in folders:
        out_console.print(f"written to {folder}", highlight=False, soft_wrap=True)
