"""What tests of downloads share: contents, a registered file, and a watch that keeps what it is told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from connfit.datasets.download import Watch
from connfit.datasets.registry import DataFile

CONTENT = np.random.default_rng(0).bytes(50_000)
OTHER = np.random.default_rng(1).bytes(50_000)


class Said:
    """A watch that keeps what it is told, and interrupts after so many bytes."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.lines: list[str] = []
        self.progress: list[tuple[int, int | None]] = []
        self.interrupt_at = interrupt_at
        self.watch = Watch(advance=self.advance, say=self.lines.append)

    def advance(self, done: int, total: int | None) -> None:
        self.progress.append((done, total))
        if self.interrupt_at is not None and done >= self.interrupt_at:
            raise KeyboardInterrupt


def registered(url: str | None, content: bytes | None = CONTENT, *, size: int | None = None) -> DataFile:
    checksum = None if content is None else hashlib.sha256(content).hexdigest()
    return DataFile("sub/a.bin", len(content) if content is not None else size, checksum, url)


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.rglob("*") if one.is_file())
