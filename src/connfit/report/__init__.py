"""Figures, the terminal's table and `report.html`, from the files of a run directory."""

from __future__ import annotations

from connfit.report.assemble import write_report
from connfit.report.console import print_table

__all__ = ["print_table", "write_report"]
