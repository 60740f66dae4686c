"""Consoles that print names as they are: nothing in them is markup, and none steers the terminal."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.table import Table
from rich.text import Text

from connfit._display import visible

UNLIMITED = 10_000
"""Columns of a file or a pipe."""


class Output(Console):
    """A console that cuts no number, lets no name steer the terminal, and whose end is not that of the command.

    Columns of numbers keep their width where the window is too narrow for a table: its lines go on below, as any long
    line does. Without a terminal, as in a batch job, lines have the length they need, unless `COLUMNS` says another.
    Once it cannot be written to it is silent, and `lost` says why: files are of more worth than what is printed.
    """

    lost: OSError | None = None

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False)
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = UNLIMITED

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `rich` does, tables at least as wide as their numbers need."""
        needed = max((self._needed(table) for table in objects if isinstance(table, Table)), default=0)
        given = self.width
        try:
            self.width = max(given, needed)
            super().print(*objects, **options)
        finally:
            self.width = given

    def render_str(self, text: str, **options: Any) -> Text:
        """Render text with control characters escaped."""
        return super().render_str(_by_line(text), **options)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """Show a spinner beside a text."""
        return super().status(literal(status) if isinstance(status, str) else status, **options)

    def on_broken_pipe(self) -> None:
        """Go on without whoever read the output, as in `connfit ... | head`."""
        self.lose(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def lose(self, error: OSError) -> None:
        """Print nothing any more; what is still to be written goes nowhere."""
        self.quiet, self.lost = True, error
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())

    def settle(self) -> OSError | None:
        """Write what is still to be written; returns why not all was."""
        try:
            self.file.flush()
        except OSError as error:
            self.lose(error)
        return self.lost

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError as error:
            self.lose(error)

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Write out what was laid out: whatever way a text came, its control characters are escaped."""
        return super()._render_buffer(
            segment if segment.control else Segment(_by_line(segment.text), segment.style) for segment in buffer
        )

    def _needed(self, table: Table) -> int:
        """Width at which no number is cut and no word of the other columns."""
        wide, needed = self.options.update(max_width=UNLIMITED), table._extra_width
        for column in table.columns:
            column.no_wrap = column.no_wrap or column.justify == "right"
            measured = table._measure_column(self, wide, column)
            needed += measured.maximum if column.no_wrap else measured.minimum
        return needed


def literal(*lines: str, style: str = "") -> Text:
    """Return names, or sentences that hold some, for any console: as they are, control characters as escapes."""
    return Text("\n".join(map(visible, lines)), style=style)


def _by_line(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(visible, text.split("\n")))
