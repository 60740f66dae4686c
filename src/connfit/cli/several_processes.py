"""Options of commands that several processes run together, and what each of them does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from connfit._system import process_group

Distributed = Annotated[
    bool,
    typer.Option(
        process_group.OPTION,
        help="Fit with other processes of this command: found by SLURM, or by --coordinator.",
    ),
]
Coordinator = Annotated[
    str | None, typer.Option(help="Address of the first process.", metavar="HOST:PORT", show_default="SLURM's")
]
Process = Annotated[int | None, typer.Option(help="Number of this process, from 0 on.", show_default="SLURM's")]
Processes = Annotated[int | None, typer.Option(help="How many processes there are.", show_default="SLURM's")]

_MEANS = (process_group.OPTION, "--coordinator", "--process", "--processes")


def asks_to_join(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for several processes: nothing may ask for a device before they have met."""
    return any(argument.partition("=")[0] in _MEANS for argument in arguments)


def together(
    distributed: bool,
    coordinator: str | None,
    process: int | None,
    number: int | None,
    *,
    write: Callable[[], None],
    take_part: Callable[[], None],
) -> None:
    """Run a command by itself, or with other processes, of which the first writes.

    Parameters
    ----------
    write, take_part
        What the first process does, which parts from the others itself once they have fitted; and what they do.
    """
    if not (distributed or coordinator is not None or process is not None or number is not None):
        write()
        return
    process_group.join(coordinator, process, number)
    if process_group.first():
        write()
    else:
        take_part()
        process_group.leave()
