"""Baselines, nulls, cells and learning rules of another package: one file and its entry points, nothing else."""

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
"""Five toys: what a package needs to add pieces to connfit."""
from dataclasses import dataclass, replace
from typing import Annotated

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from connfit.models.base import key_of
from connfit.models.neuron import relu
from connfit.models.windows import read_out, run_window, states_after
from connfit.plugins import (
    Baseline, Cell, Learner, LearningRule, Neuron, Null, Options, WindowResult, as_null,
)


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
RULE = LearningRule.windowed(
    name="toy-rule", label="toy rule", credit="network", carry="history", does="a toy", by_window=True
)


@dataclass(frozen=True)
class Ceiling(Neuron):
    """Rates below a ceiling."""

    ceiling: Annotated[float, msgspec.Meta(gt=0)] = 10.0

    def step(self, theta, h, x):
        alpha, steady = theta["time_constants"], self.ceiling * jnp.tanh(relu(x[0]) / self.ceiling)
        return alpha * h[0] + (1 - alpha) * steady


CEILING = Cell(name="toy-cell", label="toy cell", phrase="the toy cell", neuron=Ceiling)


@dataclass(frozen=True)
class Autodiff(Learner):
    """The gradient of each window by itself, by reverse-mode differentiation."""

    window: int
    pace: float

    def start(self, model, batch, trained):
        return model.rest(batch)

    def step(self, model, params, memory, window, trained):
        def loss(moving):
            everything = {**params, **moving}
            end, seen = run_window(model, everything, memory, window.inputs, window.forced)
            y = read_out(model, everything, states_after(model, everything, seen, end))
            return (window.weights * (y - window.targets) ** 2).sum(), (y, end)

        moving = {key: params[key] for key in (key_of(group, params) for group in trained)}
        (value, (y, end)), gradient = jax.value_and_grad(loss, has_aux=True)(moving)
        return WindowResult(value, {key: self.pace * one for key, one in gradient.items()}, y), end


class PaceOptions(Options, frozen=True):
    pace: Annotated[float, msgspec.Meta(gt=0)] = 1.0


OWN = LearningRule(
    name="toy-own", label="toy own", phrase="the toy of its own", make=Autodiff, does="differentiates each window",
    by_window=True, options=PaceOptions,
)
'''

GROUPS = {
    "connfit.baselines": {"toy_share": "connfit_toys:SHARE", "absent": "connfit_toys:ABSENT"},
    "connfit.nulls": {"toy_flip": "connfit_toys:FLIP"},
    "connfit.rules": {"toy-rule": "connfit_toys:RULE", "toy-own": "connfit_toys:OWN"},
    "connfit.cells": {"toy-cell": "connfit_toys:CEILING"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a package with five toys is installed, beside data of the user's own."""
    folder = tmp_path_factory.mktemp("plugins")
    plug_in(folder, "connfit_toys", TOYS, GROUPS)
    write_files(folder)
    return folder


DRIVER = """
import json, sys
from pictures import only_dots
from small import coarse_grid
from typer.testing import CliRunner
from connfit.cli import app

only_dots()
coarse_grid()
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
        ("--preset", "toy-own", "--set", "learner.rule_options.pace=0"): "rule_options.pace: Expected `float` > 0",
        ("--preset", "toy-own", "--credit", "neuron"): "are both set: keep one",
        ("--set", "learner.rule_options.pace=1"): "name it as learner.preset",
        ("--cell", "toy-cel"): "two-channel, lif, adaptive-lif, toy-cell; did you mean 'toy-cell'?",
        ("--cell", "toy-cell", "--set", "model.cell_options.ceiling=0"): "cell_options.ceiling: Expected `float` > 0",
        ("--cell", "toy-cell", "--set", "model.nonlinearity=softplus"): "is of the cell 'rate', but model.cell = 'toy",
        ("--set", "model.cell_options.nonlinearity=softplus"): "give it as model.nonlinearity",
        ("--set", 'model.learn=["weight"]'): "did you mean 'weights'?",
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
    assert "bptt, toy-rule, toy-own; with the options --set learner.rule_options.pace=1.0 of toy-own." in fit
    assert "two-channel, lif, adaptive-lif, toy-cell; with the options" in fit
    assert " --set model.cell_options.calcium_decay=1.0 of rate-calcium" in fit
    assert "--set model.cell_options.ceiling=10.0 of toy-cell." in fit
    assert "no_recurrence, toy_flip; with" in fit and "region_rnn, toy_share; with" in fit
    assert "--set data.null_options.every=1 of toy_flip" in fit
    assert "--set evaluate.baseline_options.toy_share.share=0.5" in fit
    assert "PluginWarning: 'absent': this baseline of the package 'connfit_toys' cannot be used" in fit
    assert all(name in evaluate for name in ("toy_rule, toy_own)", "toy_flip)", "toy_share)")) and "toy_flip" in compare
    for (code, said), message in zip(refused, wrong.values(), strict=True):
        assert code and message in said, said
    assert not out.exists(), "nothing was begun"


@pytest.mark.slow
def test_toys_are_fitted_studied_and_reported(folder: Path) -> None:
    real, null, own_class = folder / "real", folder / "null", folder / "own_class"
    own = str(folder / "own.toml")
    share = ("--baseline", "mean", "--baseline", "toy_share", "--set", "evaluate.baseline_options.toy_share.share=0.25")
    flip = ("--null", "toy_flip", "--set", "data.null_options.every=2")
    rows = tuple(word for row in ("toy_share", "toy_rule", "toy_own", "toy_cell") for word in ("--rows", row))
    pieces = ("--cell", "toy-cell", "--preset", "toy-own", "--set", "model.cell_options.ceiling=5", "--window", "4")
    study = ("evaluate", str(real), "--full", "--seeds", "1")
    done = connfit(
        folder,
        ("fit", own, "--out", str(real), *share, *QUICK),
        ("fit", own, "--out", str(null), *flip, *share, *QUICK),
        ("compare", str(real), str(null)),
        (*study, "--dry-run"),
        (*study, "--jobs", "1", *rows),
        ("fit", own, "--out", str(own_class), *pieces, *share, *QUICK, "--set", "learner.rule_options.pace=0.5"),
        ("resume", str(own_class)),
        ("gradcheck", str(real), "--frames", "20", "--segments", "1"),
        ("list", "--json"),
    )
    assert [code for code, _ in done] == [0] * 9, done
    assert all(name in done[3][1] for name in ("toy_share", "toy_flip", "toy_rule", "toy_own", "toy_cell"))
    check_list(json.loads(done[8][1]))
    kept = read(own_class / "config.json")
    assert (kept["model"]["cell"], kept["model"]["cell_options"]) == ("toy-cell", {"ceiling": 5})
    # Options that nobody gave are written down too, and so is the package.
    assert kept["learner"]["rule_options"] == {"pace": 0.5}
    assert kept["evaluate"]["baseline_options"] == {"toy_share": {"share": 0.25}}
    assert read(null / "config.json")["data"]["null_options"] == {"every": 2}
    assert read(own_class / "record.json")["versions"]["connfit_toys"] == "1.0"
    assert (kept["learner"]["preset"], kept["learner"]["credit"], kept["learner"]["window"]) == ("toy-own", None, 4)
    assert read(own_class / "metrics.json")["training"]["epochs"] == 1
    weights = {
        row["label"]: row["groups"]["weights"]["cosine"]
        for row in read(real / "gradient_fidelity.json")["parameters"]["start"]
    }
    assert abs(weights["toy-own, K = 4"] - weights["tbptt, K = 4"]) < 1e-3
    metrics = read(real / "metrics.json")
    baseline = metrics["baselines"]["toy_share"]
    recordings = len(metrics["recordings"])
    assert baseline["parameters"] == recordings and baseline["test"]["one_step"]["mse"] > 0
    assert "toy_flip, seed 3" in metrics["nulls"]
    assert read(null / "record.json")["connectome"]["notes"]["null"] == {
        "name": "toy_flip", "seed": 3, "preserves": "wiring", "destroys": "signs", "every": 2,
    }  # fmt: skip
    table = {row["name"]: row for row in read(real / "study" / "study.json")["rows"]}
    assert {name: row["group"] for name, row in table.items()} == {
        "connectome": "connectome", "toy_cell": "ablation", "toy_rule": "learning", "toy_own": "learning",
        "toy_share": "baseline",
    }  # fmt: skip
    assert all(row["seeds"] and not row["failed"] for row in table.values()), table
    learner = read(Path(table["toy_rule"]["runs"][0]) / "config.json")["learner"]
    assert (learner["credit"], learner["carry"]) == ("network", "history")
    cell, rule = (read(Path(table[name]["runs"][0]) / "config.json") for name in ("toy_cell", "toy_own"))
    assert cell["model"]["cell_options"] == {"ceiling": 10.0} and rule["learner"]["rule_options"] == {"pace": 1.0}
    assert table["toy_share"]["changes"] == "predicts a share of the last value"
    assert table["toy_share"]["parameters"] == {"all": recordings}
    page = (real / "report.html").read_text(encoding="utf-8")
    labels = ("toy share", "the toy share", "toy flip", "toy rule", "the toy cell", "the toy of its own")
    assert [label for label in labels if label not in page] == []


def check_list(kinds: dict[str, list[dict[str, Any]]]) -> None:
    """`connfit list` has the toys, with their options and their package, beside connfit's own."""
    listed = {(kind, piece["name"]): piece for kind, pieces in kinds.items() for piece in pieces}
    toys = {key: piece["options"] for key, piece in listed.items() if piece["package"] == "connfit_toys"}
    assert toys == {
        ("null connectomes", "toy_flip"): {"every": 1},
        ("cells", "toy-cell"): {"ceiling": 10.0},
        ("learning rules", "toy-rule"): {"trace_dtype": "float32", "trace_decay": 0.9},
        ("learning rules", "toy-own"): {"pace": 1.0},
        ("baselines", "toy_share"): {"share": 0.5},
    }
    assert listed["cells", "rate"]["options"] == {"nonlinearity": "relu"}
    assert {piece["package"] for piece in listed.values()} == {"connfit", "connfit_toys"}


CONTRACT = """
from contracts import check_cell
from small import teacher

check_cell("toy-cell", *teacher(), options={"ceiling": 0.8})
"""


@pytest.mark.slow
def test_the_cell_keeps_the_contract(folder: Path) -> None:
    path = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    ran = subprocess.run(
        [sys.executable, "-c", CONTRACT], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
