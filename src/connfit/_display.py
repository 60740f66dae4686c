"""Short representations of objects, as text and as the table that notebooks show."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from html import escape


class Displayed(ABC):
    """Base of classes that say in a line what they are; they define `_display`."""

    @abstractmethod
    def _display(self) -> tuple[str, Mapping[str, str]]:
        """Name of the object, and its facts by label."""

    def __repr__(self) -> str:
        name, facts = self._display()
        return f"<{name}: {', '.join(f'{label} {fact}' for label, fact in facts.items())}>"

    def _repr_html_(self) -> str:
        name, facts = self._display()
        rows = "".join(f"<tr><th>{escape(label)}</th><td>{escape(fact)}</td></tr>" for label, fact in facts.items())
        return f"<table><caption>{escape(name)}</caption><tbody>{rows}</tbody></table>"


def visible(text: str) -> str:
    r"""Return a name as it can be shown: control characters, bidirectional marks and halves of pairs as escapes.

    They would move a terminal's cursor, turn a line around or end the writing of a file.

    Examples
    --------
    >>> print(visible("\x1b[31mAVA"))
    \x1b[31mAVA
    """
    if text.isprintable():
        return text
    return "".join(_escape(letter) if unicodedata.category(letter) in _HIDDEN else letter for letter in text)


def unstorable(name: str) -> str:
    """Return why no file can hold a name; empty where one can."""
    if "\0" in name:
        return "holds NUL, which text in HDF5 cannot"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which UTF-8 cannot"
    return ""


_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
