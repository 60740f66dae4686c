"""Short representations of objects, as text and as the table that notebooks show."""

from __future__ import annotations

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
