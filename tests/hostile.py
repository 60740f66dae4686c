"""A small project in which every name is hostile: to terminals, pages, tables, templates, formats and paths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from small import FRAME_RATE, OPTIONS, UNITS, teacher

NAMES: tuple[str, ...] = (
    "[/red]", "[bold]x[/]", "[link=https://example.org]y[/link]", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J",
    "a\rb", "a\nb", "a\tb", "bell\x07", "\u202eevil\u202c", "\u2066isolated", "zero\u200bwidth\ufeff", "e\u0301\u0323\u0489",
    "\u2028line", "9" * 5000, "²", "①", "=cmd|' /C calc'!A0", "@SUM(1)", "+1+1", "-2", "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>', "&amp;", "{{ 7*7 }}", "{% raw %}", "{# c #}", r"$\frac$", "$x_1^{2}$", "%s%d%n",
    "{0}", "{task.description}", "\\", "\\n", "'", '"', "a,b", "a;b", "`rm`", "inf", "-inf", "1e5", "0x10", "1_000",
    "../x", "/etc/passwd", "C:\\x", "CON", "x" * 600, "x" * 599 + "y", "Ava", "ava", "AVA", "a b", "a  b", "\U0001f9e0",
    "漢字", "a#b", "a:b", "a=b", "#", "*", "?", "~", "$HOME", "-", "--help", "true", ".", "..", ".hidden", "id", "all",
)  # fmt: skip
"""Names that can be stored. Words for what is missing (`NA`, `nan`) and names with blanks around them are others."""

UNSTORABLE = ("\ud800", "a\udcffb", "a\0b")
"""Names that no file in UTF-8, or no HDF5 file, can hold."""
