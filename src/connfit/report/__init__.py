"""Figures, the terminal's table and `report.html`, from the files of a run directory."""

from __future__ import annotations

from connfit.report.html import write_report
from connfit.report.table import print_table

__all__ = ["print_table", "write_report"]
