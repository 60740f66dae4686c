"""A baseline, a null connectome and a learning rule of another package: one file and its entry points, nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small import write_files
from test_registry import plug_in

TOYS = '''
"""Three toys: what a package needs to add pieces to connfit."""
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
import numpy as np

from connfit._registry import Options
from connfit.connectome.nulls import Null
from connfit.connectome.nulls.redraw import as_null
from connfit.evaluation.baselines import Baseline
from connfit.training.learners import LearningRule


@dataclass(frozen=True)
class Shrunken:
    """Predicts a share of the last value."""

    share: float
    name: str = "toy_share"
    parameters: int = 1

    def one_step(self, recording):
        return np.concatenate([np.full((1, len(recording.units)), np.nan), self.share * recording.values[:-1]])

    def horizon(self, recording, starts, steps):
        powers = self.share ** np.arange(1, steps + 1)
        return recording.values[starts][:, None, :] * powers[None, :, None]

    def free_run(self, recording, start, frames, warmup, noise=None):
        last = recording.values[start - 1] if warmup else np.full(len(recording.units), np.nan)
        powers = self.share ** np.arange(1, frames + 1)
        run = last * powers[:, None]
        return run if noise is None else run + noise


class ShareOptions(Options, frozen=True):
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5


def fit(recording, config, *, share):
    return Shrunken(share)


SHARE = Baseline(
    name="toy_share", label="toy share", phrase="the toy share", fit=fit, does="predicts a share of the last value",
    parameters="one", options=ShareOptions, linear=True,
)


def flip(connectome, *, seed=0, every=1):
    signs = np.where(np.arange(connectome.n) % every == 0, -connectome.signs, connectome.signs)
    said = {"seed": seed, "preserves": "wiring", "destroys": "signs", "every": every}
    return as_null(connectome, replace(connectome, signs=signs), "toy_flip", said)


class FlipOptions(Options, frozen=True):
    every: Annotated[int, msgspec.Meta(ge=1)] = 1


FLIP = Null(
    name="toy_flip", label="toy flip", make=flip, keeps="wiring", changes="every sign", options=FlipOptions,
    seeded=False,
)
RULE = LearningRule(name="toy-rule", label="toy rule", credit="network", carry="history", does="a toy", by_window=True)
'''

GROUPS = {
    "connfit.baselines": {"toy_share": "connfit_toys:SHARE", "absent": "connfit_toys:ABSENT"},
    "connfit.nulls": {"toy_flip": "connfit_toys:FLIP"},
    "connfit.rules": {"toy-rule": "connfit_toys:RULE"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a package with three toys is installed, beside data of the user's own."""
    folder = tmp_path_factory.mktemp("plugins")
    plug_in(folder, "connfit_toys", TOYS, GROUPS)
    write_files(folder)
    return folder


DRIVER = """
import json, sys
from pictures import only_dots
from typer.testing import CliRunner
from connfit.cli import app

only_dots()
for arguments in json.loads(sys.argv[1]):
    ran = CliRunner().invoke(app, arguments)
    print(json.dumps([ran.exit_code, f"{ran.output} {ran.exception or ''}"]))
"""


def connfit(folder: Path, *commands: tuple[str, ...]) -> list[tuple[int, str]]:
    """Exit code and output of commands, in one process of its own that finds the toys."""
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(commands)],
        env={
            **os.environ,
            "PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parent}",
            "COLUMNS": "200",
            "NO_COLOR": "1",
        },
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    return [(code, " ".join(text.replace("│", " ").split())) for code, text in found]


QUICK = (
    "--set", "train.epochs=1", "--set", "train.free_run_epochs=0", "--set", "evaluate.free_run_runs=2",
    "--set", "evaluate.horizon_starts=8", "--set", "evaluate.left_out_units=0", "--set", "train.learning_rate=0.01",
    "--set", "model.drive_start=persistence", "--set", "model.state_forcing=0.0", "--set", "model.weights=counts",
    "--set", "model.time_constant_frames=0.5",
)  # fmt: skip


def test_toys_are_in_the_help_and_wrong_names_are_errors_before_anything_is_fitted(folder: Path) -> None:
    wrong = {
        ("--null", "toy_flop"): "data.null is 'toy_flop', but must be one of",
        ("--preset", "toy-role"): "did you mean 'toy-rule'?",
        ("--baseline", "toy_shar"): "evaluate.baselines is 'toy_shar', but must be one of",
        ("--baseline", "absent"): "this baseline of the package 'connfit_toys' cannot be used",
        ("--null", "toy_flip", "--set", "data.null_options.every=0"): "data.null_options.every: Expected `int` >= 1",
        ("--null", "toy_flip", "--set", "data.null_options.evry=1"): "did you mean 'every'?",
        ("--set", "data.null_options.every=1"): "set data.null too",
        ("--set", "evaluate.baseline_options.toy_share.share=2"): "evaluate.baseline_options.toy_share.share: Expected",
    }
    own, out = str(folder / "own.toml"), folder / "wrong"
    helped, errors = (
        [("fit", "--help"), ("evaluate", "--help"), ("compare", "--help")],
        [("fit", own, "--out", str(out), *arguments) for arguments in wrong],
    )
    (_, fit), (_, evaluate), (_, compare), *refused = connfit(folder, *helped, *errors)
    assert "bptt, toy-rule." in fit and "no_recurrence, toy_flip; with" in fit and "region_rnn, toy_share; with" in fit
    assert "--set data.null_options.every=1 of toy_flip" in fit
    assert "--set evaluate.baseline_options.toy_share.share=0.5" in fit
    assert "PluginWarning: 'absent': this baseline of the package 'connfit_toys' cannot be used" in fit
    assert all(name in evaluate for name in ("toy_rule)", "toy_flip)", "toy_share)")) and "toy_flip" in compare
    for (code, said), message in zip(refused, wrong.values(), strict=True):
        assert code and message in said, said
    assert not out.exists(), "nothing was begun"


def test_toys_are_fitted_studied_and_reported(folder: Path) -> None:
    real, null = folder / "real", folder / "null"
    own = str(folder / "own.toml")
    share = ("--baseline", "mean", "--baseline", "toy_share", "--set", "evaluate.baseline_options.toy_share.share=0.25")
    flip = ("--null", "toy_flip", "--set", "data.null_options.every=2")
    rows = ("--rows", "toy_share", "--rows", "toy_rule")
    study = ("evaluate", str(real), "--full", "--seeds", "1")
    done = connfit(
        folder,
        ("fit", own, "--out", str(real), *share, *QUICK),
        ("fit", own, "--out", str(null), *flip, *share, *QUICK),
        ("compare", str(real), str(null)),
        (*study, "--dry-run"),
        (*study, "--jobs", "1", *rows),
    )
    assert [code for code, _ in done] == [0] * 5, done
    assert all(name in done[3][1] for name in ("toy_share", "toy_flip", "toy_rule"))
    metrics = read(real / "metrics.json")
    baseline = metrics["baselines"]["toy_share"]
    recordings = len(metrics["recordings"])
    assert baseline["parameters"] == recordings and baseline["test"]["one_step"]["mse"] > 0
    assert "toy_flip, seed 3" in metrics["nulls"]
    assert read(null / "record.json")["connectome"]["notes"]["null"] == {
        "name": "toy_flip", "seed": 3, "preserves": "wiring", "destroys": "signs", "every": 2,
    }  # fmt: skip
    table = {row["name"]: row for row in read(real / "study" / "study.json")["rows"]}
    assert list(table) == ["connectome", "toy_rule", "toy_share"]
    assert [row["group"] for row in table.values()] == ["connectome", "learning", "baseline"]
    assert all(row["seeds"] and not row["failed"] for row in table.values()), table
    learner = read(Path(table["toy_rule"]["runs"][0]) / "config.json")["learner"]
    assert (learner["credit"], learner["carry"]) == ("network", "history")
    assert table["toy_share"]["changes"] == "predicts a share of the last value"
    assert table["toy_share"]["parameters"] == {"all": recordings}
    page = (real / "report.html").read_text(encoding="utf-8")
    assert all(label in page for label in ("toy share", "the toy share", "toy flip", "toy rule"))


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
