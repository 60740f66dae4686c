"""The tables of the report as rows of text, as the page shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

from connfit.report.assemble import texts
from connfit.report.run_files import RunFiles


@dataclass
class ReportTable:
    """A table of the report.

    Parameters
    ----------
    section
        Anchor of its section, as `"scores"`.
    caption
        What stands above it; may be empty.
    rows
        Cells, the header first where there is one.
    """

    section: str
    caption: str = ""
    rows: list[list[str]] = field(default_factory=list)

    @property
    def words(self) -> str:
        """What it is about, in letters that any file name can have."""
        return re.sub(r"[^a-z0-9]+", "_", self.caption.lower())[:50].strip("_")


def report_tables(run: RunFiles) -> list[ReportTable]:
    """Return the tables of a run's report, in its order.

    Raises
    ------
    DataError
        If a file of the run is damaged.
    """
    return [
        table
        for section in texts(run)[1]
        for block in (*section.blocks, *section.after)
        for table in _tables(section.anchor, block)
    ]


def _tables(section: str, html: str) -> Iterator[ReportTable]:
    reader = _Tables(section)
    reader.feed(html)
    reader.close()
    yield from reader.found


class _Tables(HTMLParser):
    """Collects the cells of tables as `connfit.report.page.table` writes them."""

    def __init__(self, section: str) -> None:
        super().__init__()
        self.section = section
        self.found: list[ReportTable] = []
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "table":
            self.found.append(ReportTable(self.section))
        elif tag == "tr":
            self.found[-1].rows.append([])
        elif tag in ("th", "td", "caption"):
            self._text = []

    def handle_endtag(self, tag: str) -> None:
        if self._text is None or tag not in ("th", "td", "caption"):
            return
        text, self._text = " ".join("".join(self._text).replace("\xa0", " ").split()), None
        if tag == "caption":
            self.found[-1].caption = text
        else:
            self.found[-1].rows[-1].append(text)

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)
