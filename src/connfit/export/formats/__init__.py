"""Export formats: what a run can be written as; one file a format.

A module here registers its `ExportFormat` in `EXPORTS`; other packages do the same through entry points of the group
`connfit.exports`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from connfit._registry import Entry, Registry
from connfit.errors import NotAvailableError
from connfit.export.exported_run import ExportedRun


@dataclass(frozen=True, kw_only=True)
class ExportFormat(Entry):
    """A format by name.

    Parameters
    ----------
    name
        After `--to`, and of the folder that it is written to.
    write
        Writes files into a new folder; raises a ConnfitError where a run has what the format cannot say.
    package
        Other package that it needs; empty: none.
    extra
        Extra of connfit that installs it.
    """

    write: Callable[[ExportedRun, Path], None]
    package: str = ""
    extra: str = ""

    def check_available(self) -> None:
        """Check that what it needs is installed.

        Raises
        ------
        NotAvailableError
            Says how to install it.
        """
        if self.package and find_spec(self.package) is None:
            raise NotAvailableError(
                f"the export format {self.name} needs {self.package}: pip install 'connfit[{self.extra}]'"
            )


EXPORTS: Registry[ExportFormat] = Registry("export format", ExportFormat, room=__name__, group="connfit.exports")
"""Export formats by name."""
