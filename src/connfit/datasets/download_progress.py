"""Downloads as a person sees them: a bar with size and speed, or lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from connfit._console import Output, literal
from connfit._display import visible
from connfit.datasets.download import Watch
from connfit.datasets.registry import DataFile

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def shown(console: Console | None = None) -> Iterator[Watch]:
    """Show downloads on a console, or stderr, while this is entered."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from connfit._system.progress_bar import ProgressBar

    console = console or Output(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    title = TextColumn("{task.description}", markup=False)
    bar = ProgressBar(title, *columns, console=console)

    def say(text: str) -> None:
        console.print(literal(text), highlight=False, soft_wrap=True)

    def begin(file: DataFile, target: Path) -> None:
        if console.is_terminal:
            for task in bar.task_ids:
                bar.stop_task(task)
            bar.add_task(visible(target.name), total=file.bytes)
        else:
            size = "size not known" if file.bytes is None else f"{file.bytes:,} bytes"
            say(f"downloading {target.name} ({size}) from {file.url}")

    def advance(done: int, total: int | None) -> None:
        if console.is_terminal:
            task = bar.task_ids[-1]
            if not bar.tasks[-1].completed and done:
                # Bytes of an earlier download are not speed.
                bar.reset(task, total=total, completed=done)
            else:
                bar.update(task, completed=done, total=total)

    with bar:
        yield Watch(begin, advance, say)
