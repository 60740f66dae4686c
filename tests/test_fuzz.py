"""Damaged files of every kind: a few here; `make fuzz` tries many."""

from __future__ import annotations

import random
from pathlib import Path

import fuzz
import pytest


@pytest.mark.filterwarnings("ignore::connfit.errors.DataWarning")
def test_damaged_files_end_in_a_result_or_one_line() -> None:
    assert fuzz.run(7_000_000, 60, say=lambda _: None) == []


def test_a_reader_that_raises_anything_else_is_found(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        raise KeyError(path.read_bytes())

    kind = fuzz.Kind(".txt", (b"1,2\n3,4\n",), read)
    assert "KeyError" in fuzz.examine(kind, "text", 0, tmp_path)


def test_an_input_is_that_of_its_seed() -> None:
    content = b"a,b\n1,2\n" * 20
    changed = [fuzz.mutate(content, random.Random(seed)) for seed in range(40)]
    assert changed == [fuzz.mutate(content, random.Random(seed)) for seed in range(40)]
    assert sum(text != content for text in changed) > 30
