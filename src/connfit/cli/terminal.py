"""What all commands share: consoles, options of the same meaning, progress, exit codes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from connfit import config as configuration
from connfit._console import Output
from connfit._system.paths import user_path
from connfit._system.signals import signal_number

if TYPE_CHECKING:
    from connfit.evaluation.study.runner import StudyProgress

out_console = Output()
err_console = Output(stderr=True)

EXIT_MISTAKE = 2
"""A user's mistake: wrong option, file or value; or what the machine refused."""
EXIT_SIGNAL = 128
"""Added to the number of the signal that ended a command."""


def refuse(problem: str, code: int = EXIT_MISTAKE) -> NoReturn:
    """Exit with one line that says why."""
    say_problem(problem)
    raise SystemExit(code)


def say_problem(problem: str) -> None:
    """Print the one line that says why a command ended."""
    err_console.print(f"connfit: {problem}", style="red", highlight=False, soft_wrap=True)


def system_error(error: BaseException) -> str:
    """Describe what the machine refused, what is safe, and how to go on."""
    if isinstance(error, MemoryError):
        what = "out of memory"
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        what = f"{where}{error.strerror or error}"
    else:
        what = f"a library could not be loaded ({error})"
    return (
        f"{what}. Finished files are whole: once that is mended, `connfit resume DIR` goes on with a fit, any other "
        "command can be given again"
    )


Out = Annotated[
    Path | None,
    typer.Option("--out", parser=user_path, metavar="DIR", help="Folder of the run.", show_default="runs/<dataset>"),
]
Setting = Annotated[
    list[str] | None, typer.Option("--set", help="Any option of the configuration, as section.key=value.")
]
RunFolder = Annotated[Path, typer.Argument(parser=user_path, metavar="DIR", help="Folder of a run.")]
Source = Annotated[
    str, typer.Argument(help="Name of a dataset, or a configuration file (TOML or JSON).", metavar="DATASET|CONFIG")
]


def draw_again(folder: Path) -> None:
    """Draw the report of a run directory to which a command has added files; do nothing where no run was evaluated."""
    from connfit.report import write_report

    if not (folder / "metrics.json").exists():
        return
    with err_console.status("drawing figures"):
        path = write_report(folder)
    out_console.print(f"report: {path}", highlight=False, soft_wrap=True)


def dataset_config(name: str, recordings: list[str] | None = None) -> configuration.Config:
    """Return the default configuration of a named dataset, with the options that suit it.

    Raises
    ------
    ConfigError
        If there is no such dataset; names the nearest.
    """
    from connfit.datasets.registry import DATASETS

    dataset = DATASETS[name]
    config = configuration.from_dict({"data": {"dataset": name, "recordings": recordings or []}})
    return configuration.override(
        config, [f"{key}={configuration.as_json(value)}" for key, value in dataset.fit.items()]
    )


def free_folder(name: str) -> Path:
    """Return `runs/<name>`, or the first of `runs/<name>-2`, `-3`, ... that holds no run yet."""
    folder, number = Path("runs", name), 1
    while (folder / "config.json").exists():
        number += 1
        folder = Path("runs", f"{name}-{number}")
    return folder


@contextmanager
def interruptible(folder: Path, again: str | None = None) -> Iterator[None]:
    """Explain how to go on after an interrupt, or another signal to end (at which typer would not say a word).

    Parameters
    ----------
    folder
        Of a fit, which can be resumed if it is a run by then; any other command is given again.
    """
    try:
        yield
    except KeyboardInterrupt as stopped:
        command = again or f"connfit resume {folder}"
        end_interrupted(stopped, command if (folder / "config.json").exists() else None)


def end_interrupted(stopped: KeyboardInterrupt, again: str | None) -> NoReturn:
    """Exit with one line that says by which command to go on."""
    by = f" ({stopped})" if str(stopped) not in ("", "SIGINT") else ""
    say_problem(f"interrupted{by}{f'; go on with `{again}`' if again else ''}")
    raise typer.Exit(EXIT_SIGNAL + signal_number(stopped)) from None


class StoppableGroup(TyperGroup):
    """Commands that end with one line where they are interrupted; given again they go on, or start anew."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the arguments."""
        with _told():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _told():
            return super().invoke(ctx)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stopped:
        end_interrupted(stopped, shlex.join(["connfit", *sys.argv[1:]]))


@contextmanager
def study_progress() -> Iterator[Callable[[StudyProgress], None]]:
    """Show a bar over all fits of a study with the time left; without a terminal, a line for every tenth."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    from connfit._system.progress_bar import ProgressBar

    bar = ProgressBar(
        TextColumn("{task.description}", markup=False), BarColumn(),
        TextColumn("{task.completed:.1f}/{task.total} fits"), TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"), console=err_console,
    )  # fmt: skip
    task = bar.add_task("study", total=None, left="")
    spoken: set[int] = set()

    def show(now: StudyProgress) -> None:
        left = "" if now.left_seconds is None else f"about {now.left_seconds / 60:.0f} min left"
        bar.update(
            task,
            description=", ".join(now.running) or "study",
            total=now.total,
            completed=now.done + sum(now.running.values()),
            left=left,
        )
        tenth = 10 * now.done // max(now.total, 1)
        if not err_console.is_terminal and tenth not in spoken:
            spoken.add(tenth)
            err_console.print(f"study: {now.done}/{now.total} fits after {now.seconds:.0f} s  {left}", highlight=False)

    with bar:
        yield show
