"""The frame of the HTML report and the small pieces it is made of. Every text is escaped here."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template

from connfit._display import visible

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>$title</title>
<style>
$style
</style>
</head>
<body>
<a class="skip" href="#summary">To the summary</a>
$body
</body>
</html>
""")

STYLE = resources.files("connfit.report").joinpath("page.css").read_text(encoding="utf-8")


def escaped(words: str) -> str:
    """Words for a page: HTML as text, letters that cannot be shown or turn a line around as escapes."""
    return escape("\n".join(map(visible, words.split("\n"))))


def section(title: str, *parts: str, anchor: str = "") -> str:
    """Return a section, which links reach by its anchor; nothing where it has no content."""
    content = "\n".join(part for part in parts if part)
    if not content:
        return ""
    reached = f' id="{escaped(anchor)}" aria-labelledby="{escaped(anchor)}-title"' if anchor else ""
    named = f' id="{escaped(anchor)}-title"' if anchor else ""
    return f"<section{reached}>\n<h2{named}>{escaped(title)}</h2>\n{content}\n</section>"


def heading(text: str) -> str:
    """Return a heading within a section."""
    return f"<h3>{escaped(text)}</h3>"


def contents(sections: Iterable[tuple[str, str]]) -> str:
    """Return a list of links to sections, given as anchor and title."""
    lines = "".join(f"<li>{link(title, anchor)}</li>" for anchor, title in sections)
    return f'<nav aria-label="Contents"><ol>{lines}</ol></nav>' if lines else ""


def link(text: str, anchor: str) -> str:
    """Return a link within the page."""
    return f'<a href="#{escaped(anchor)}">{escaped(text)}</a>'


def facts(items: Iterable[tuple[str, str, str]]) -> str:
    """Return key numbers side by side, each as its name, the number and what to read it against."""
    cells = "".join(
        f"<div><dt>{escaped(name)}</dt><dd><b>{escaped(value)}</b> <span>{escaped(note)}</span></dd></div>"
        for name, value, note in items
    )
    return f'<dl class="facts">{cells}</dl>' if cells else ""


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{_sentences(text)}</p>' if kind else f"<p>{_sentences(text)}</p>"


def bullets(items: Iterable[str]) -> str:
    lines = "".join(f"<li>{_sentences(item)}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else ""


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    best: Sequence[Sequence[int]] = (),
    text: bool = False,
) -> str:
    """Return a table that scrolls sideways on a narrow screen.

    Parameters
    ----------
    best
        For each row the columns to mark; they are starred too, for readers who see no colour.
    text
        Cells hold words: left-aligned, wrapping.
    """
    if not rows:
        return ""
    # A corner that heads nothing is no header.
    head = "".join(f'<th scope="col">{escaped(name)}</th>' if name else "<td></td>" for name in header)
    body = []
    for at, row in enumerate(rows):
        marked = best[at] if at < len(best) else ()
        cells = [f'<th scope="row">{escaped(row[0])}</th>']
        cells += [
            f'<td class="best">{escaped(cell)}&nbsp;*</td>' if column in marked else f"<td>{escaped(cell)}</td>"
            for column, cell in enumerate(row[1:], start=1)
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    title = f"<caption>{escaped(caption)}</caption>" if caption else ""
    top = f"<thead><tr>{head}</tr></thead>" if header else ""
    kind = ' class="text"' if text else ""
    what = [column for column in header if column] or [row[0] for row in rows[:3]]
    name = escaped(caption or f"Table of {', '.join(what)}")
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table{kind}>{title}{top}'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def picture(png: bytes, caption: str, *, narrow: bool = False) -> str:
    """Return a figure with its image inside the page.

    The first sentence of the caption stands for the image where it cannot be seen; the caption, which follows, has
    the rest.
    """
    data = base64.b64encode(png).decode("ascii")
    kind = ' class="narrow"' if narrow else ""
    alt = escaped(first_sentence(caption))
    image = (
        f'<div class="image" role="region" aria-label="Figure: {alt}" tabindex="0"><img alt="{alt}" '
        f'src="data:image/png;base64,{data}"></div>'
    )
    return f"<figure{kind}>{image}<figcaption>{escaped(caption)}</figcaption></figure>"


def first_sentence(text: str) -> str:
    """Return the text up to the first full stop that ends a sentence: one before a space and a capital letter."""
    return re.split(r"(?<=\.)\s+(?=[A-Z0-9])", text, maxsplit=1)[0]


def folded(summary: str, *parts: str, is_open: bool = False) -> str:
    """Return content that opens on a click; nothing where there is none."""
    content = "\n".join(part for part in parts if part)
    return (
        f"<details{' open' if is_open else ''}><summary>{escaped(summary)}</summary>\n{content}\n</details>"
        if content
        else ""
    )


def with_code(text: str) -> str:
    """Set plain text in which what stands between backticks is a command or an option."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(text))


def _sentences(text: str) -> str:
    """Set sentences, in which a name of the user's may stand between backticks of its own, which it keeps."""
    ours = r"`(connfit [^`]+|--set [^`]+|[a-z]+(?:[._][a-z_]+)+)`"
    return re.sub(ours, r"<code>\1</code>", escaped(text))


def code(text: str) -> str:
    return f"<pre>{escaped(text)}</pre>"
