"""Every key that the report's tables and sentences ask `metrics.json` for is written by a real run."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small import write_files

from connfit import config as configuration
from connfit.evaluation.evaluate_run import evaluate_run
from connfit.report import print_table
from connfit.report.figures.drawings import drawings
from connfit.report.run_files import RunFiles
from connfit.report.sections.fit_limits import limitations
from connfit.report.sections.headline import headline
from connfit.report.sections.held_out_section import held_out_limits
from connfit.report.sections.score_tables import connectivity_blocks, held_out_blocks, score_blocks
from connfit.report.sections.summary import against_itself, summary
from connfit.training import runs

OPTIONAL = {
    "nulls": "connfit compare",
    "training": "runs that say whether they were trained",
    "reason": "a baseline that could not be fitted",
    "reasons": "what is not defined, with why",
    "chosen": "baselines that choose something",
}
"""Keys that a good run may lack, and who writes them."""


class Asked(dict[str, Any]):
    """A mapping that notes which keys were asked for where it lacks them, each with the keys that led to it."""

    def __init__(self, content: dict[str, Any], path: tuple[str, ...], lacking: set[tuple[str, ...]]) -> None:
        super().__init__({key: _wrapped(value, (*path, key), lacking) for key, value in content.items()})
        self.path, self.lacking = path, lacking

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self.lacking.add((*self.path, key))
        return super().get(key, default)


def _wrapped(value: Any, path: tuple[str, ...], lacking: set[tuple[str, ...]]) -> Any:
    return Asked(value, path, lacking) if isinstance(value, dict) else value


def lacking_keys(metrics: dict[str, Any], folder: Path) -> set[tuple[str, ...]]:
    """Keys that all that is made of `metrics.json` asks for and does not find."""
    lacking: set[tuple[str, ...]] = set()
    asked = Asked(metrics, (), lacking)
    made = RunFiles.read(folder)
    object.__setattr__(made, "metrics", asked)
    print_table(asked, Console(file=io.StringIO(), width=80), config=made.config)
    headline(asked)
    for blocks in (score_blocks, held_out_blocks, connectivity_blocks, held_out_limits, against_itself):
        blocks(asked)
    limitations(asked, made.record)
    summary(made)
    list(drawings(made))
    return lacking


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run on one recording with another one held out, trained for one epoch and evaluated."""
    folder = tmp_path_factory.mktemp("keys")
    config = configuration.override(
        configuration.read(write_files(folder)),
        ['data.held_out=["movie2"]', "train.epochs=1", "train.free_run_epochs=0", "evaluate.horizons=[1,2,5]"],
    )
    out = folder / "run"
    evaluate_run(runs.start(config, out), out)
    yield out


def test_every_key_that_is_asked_for_is_written(made: Path) -> None:
    metrics = json.loads((made / "metrics.json").read_text())
    assert metrics["held_out"]["recordings"], "a run without held-out animals asks for less"
    lacking = {path for path in lacking_keys(metrics, made) if not set(path) & set(OPTIONAL)}
    assert not lacking, f"nobody writes {sorted('/'.join(path) for path in lacking)}"


@pytest.mark.parametrize(
    "path",
    [
        ("parts", "test", "one_step", "skill_vs_persistence"),
        ("parts", "test", "horizon_median_unit", "2", "low"),
        ("baselines", "ar", "test", "horizon_median_unit", "1"),
        ("parts", "test", "one_step", "per_unit_skill", "above_both"),
        ("against_strongest", "test", "1"),
        ("against_strongest", "test", "1", "pooled", "baseline"),
        ("held_out", "parts", "held_out", "free_run", "fc_corr"),
        ("held_out", "baselines", "ar", "held_out", "horizon_median_unit"),
        ("data", "fc_corr_train_vs_test"),
    ],
)
def test_a_key_that_nobody_writes_is_found(path: tuple[str, ...], made: Path) -> None:
    metrics = json.loads((made / "metrics.json").read_text())
    parent: Any = metrics
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    lacking = lacking_keys(metrics, made)
    assert any(one[-1] == path[-1] and not set(one) & set(OPTIONAL) for one in lacking), lacking
