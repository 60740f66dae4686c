"""Consoles that print names as they are: nothing in them is markup, and none steers the terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable
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
    """A console that cuts no number and lets no name steer the terminal.

    Columns of numbers keep their width where the window is too narrow for a table: its lines go on below, as any long
    line does. Without a terminal, as in a batch job, lines have the length they need, unless `COLUMNS` says another.
    """

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
