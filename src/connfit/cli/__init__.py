"""The command line; one module per group of commands, one row here for each command."""

from __future__ import annotations

import io
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from inspect import signature
from typing import Annotated

import typer

from connfit._system import process_group
from connfit._system.claim import claims
from connfit._system.devices import check_device, jax_refusals, variables_set
from connfit._system.environment import check_environment
from connfit._system.foreign import raised_at
from connfit._system.kept_programs import keep_programs
from connfit._system.signals import signal_number
from connfit._version import __version__
from connfit.cli.analyze_command import analyze
from connfit.cli.check_command import check, new
from connfit.cli.data_command import data_app
from connfit.cli.evaluate_command import compare, evaluate, report
from connfit.cli.export_command import export
from connfit.cli.fit_command import demo, fit, resume
from connfit.cli.gradcheck_command import gradcheck
from connfit.cli.list_command import list_pieces
from connfit.cli.perturb_score_command import perturb_score
from connfit.cli.piece_help import PieceCommand
from connfit.cli.record_next_command import record_next
from connfit.cli.recover_command import recover
from connfit.cli.several_processes import asks_to_join
from connfit.cli.simulate_command import simulate
from connfit.cli.terminal import (
    EXIT_SIGNAL,
    StoppableGroup,
    err_console,
    out_console,
    refuse,
    system_error,
)
from connfit.errors import ConnfitError

app: typer.Typer = typer.Typer(
    cls=StoppableGroup,
    help="Fit whole-brain models whose wiring is a connectome to recorded activity.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    demo, check, new, fit, resume, evaluate, compare, report, export, gradcheck, recover, simulate, perturb_score,
    analyze, record_next,
)  # fmt: skip
for command in COMMANDS:
    # A command that is given a run directory holds it: two at once would mix their files.
    # That of `resume` does so itself: of several processes that resume together, the first.
    holds = "folder" in signature(command).parameters and command is not resume
    held = claims("folder")(command) if holds else command
    app.command(cls=PieceCommand)(held)
app.command("list")(list_pieces)
app.add_typer(data_app, name="data")

WITHOUT_DEVICE = ("list", "data", "check", "new")
"""Commands that compute nothing, or find the device themselves."""

WITHOUT_PROGRAMS = ("list", "new")
"""Commands that compile nothing."""


def main() -> None:
    """Run the command line; answer a user's mistake with one line instead of a traceback."""
    try:
        _run()
    except SystemExit as ended:
        process_group.end_at_once(ended.code)
        raise
    except BaseException:
        process_group.end_with_traceback()
        raise


def _run() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A letter that the terminal's encoding lacks is no reason to end a run.
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings(), jax_refusals():
            warnings.showwarning = _caution
            app()
    except SystemExit as ended:
        lost = out_console.settle()
        if lost is None or ended.code:
            raise
        if isinstance(lost, BrokenPipeError):
            # Whoever reads the output has seen enough, as in `connfit ... | head`.
            raise SystemExit(EXIT_SIGNAL + signal.SIGPIPE) from None
        refuse(f"not all could be printed ({lost.strerror}). All files are written")
    except KeyboardInterrupt as stopped:  # before the command began
        refuse("interrupted", EXIT_SIGNAL + signal_number(stopped))
    except ConnfitError as error:
        refuse(str(error))
    except (OSError, MemoryError, ImportError) as error:
        refuse(system_error(error))
    # XLA has no class of its own for what it cannot allocate, and pieces of others may raise anything.
    except Exception as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
            refuse(system_error(MemoryError()))
        where = raised_at(error)
        if where is None:
            raise
        refuse(f"{where}: this is not code of connfit; mend it there. Finished files are whole")


def _caution(message: Warning | str, *where: object, **how: object) -> None:
    """Show a warning as a line, not with the place in the source that it comes from."""
    err_console.print(f"connfit: caution: {message}", style="yellow", highlight=False, soft_wrap=True)


def _version(wanted: bool) -> None:
    if wanted:
        out_console.print(f"connfit {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Fit whole-brain models whose wiring is a connectome to recorded activity."""
    check_environment()
    if context.invoked_subcommand not in WITHOUT_PROGRAMS:
        from connfit.datasets.fetch import cache_root

        with suppress(ConnfitError):  # no folder for what can be made again: said where one is needed
            keep_programs(cache_root())
    if variables_set() and context.invoked_subcommand not in WITHOUT_DEVICE and not asks_to_join(sys.argv):
        check_device()
