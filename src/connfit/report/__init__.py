"""Figures, the terminal's tables and `report.html`, from the files of a run directory.

`sections` and `questions` choose what is shown, `templates` hold the sentences, `figures` draw.
"""

from __future__ import annotations

from connfit._system.backend import usable_backend

usable_backend()

from connfit.report.assemble import write_report  # noqa: E402  (imports matplotlib)
from connfit.report.console import print_table  # noqa: E402

__all__ = ["print_table", "write_report"]
