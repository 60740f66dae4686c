"""A JSON document that keeps count of what is asked of it and is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Watched(Mapping[str, Any]):
    """An object of a document; `missed` has the path of every key that was asked for in vain, lists as `[]`."""

    def __init__(self, content: Mapping[str, Any], missed: set[str], at: str = "") -> None:
        self.content, self.missed, self.at = content, missed, at

    def __getitem__(self, key: str) -> Any:
        if key not in self.content:
            self.missed.add(f"{self.at}/{key}")
            raise KeyError(key)
        return watched(self.content[key], self.missed, f"{self.at}/{key}")

    def __contains__(self, key: object) -> bool:
        return key in self.content

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)


def watched(value: Any, missed: set[str], at: str = "") -> Any:
    """The value with every object in it watched."""
    if isinstance(value, Mapping):
        return Watched(value, missed, at)
    return [watched(one, missed, f"{at}[]") for one in value] if isinstance(value, list) else value
