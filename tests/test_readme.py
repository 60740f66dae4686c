"""The Python of README.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from small import search_little

from connfit.evaluation.baselines import recurrent_training

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8") if README.exists() else ""
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(BLOCKS)) or [pytest.param(0, marks=pytest.mark.skip("no README.md"))])
def test_block_runs(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    search_little(monkeypatch, values=1)
    monkeypatch.setattr(recurrent_training, "MAX_STEPS", recurrent_training.CHECK)
    monkeypatch.setattr(recurrent_training, "TRIALS", 1)
    monkeypatch.chdir(tmp_path)  # what a block writes does not land in the project
    line = TEXT[: TEXT.index(BLOCKS[number])].count("\n")
    code = compile("\n" * line + BLOCKS[number], str(README), "exec")
    exec(code, {"__name__": "__main__"})
