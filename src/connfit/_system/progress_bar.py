"""Progress bars that are silent where nothing can be redrawn."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress, ProgressColumn


class ProgressBar(Progress):
    """A bar on a terminal, and nothing elsewhere, unless `live` says otherwise.

    A disabled one of rich before 14.3 still ends with an empty line, in logs of batch jobs for example.
    """

    def __init__(
        self, *columns: ProgressColumn, console: Console, live: bool | None = None, transient: bool = False
    ) -> None:
        live = console.is_terminal if live is None else live
        super().__init__(*columns, console=console, disable=not live, transient=transient)

    def stop(self) -> None:
        """End the bar."""
        if not self.disable:
            super().stop()
