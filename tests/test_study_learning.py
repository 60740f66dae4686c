"""Rows of a study that change how is learned: the rules and the optimiser that the run itself does not have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict
from report_run import made_study, results
from small import write_files

from connfit import config as configuration
from connfit.config import Config
from connfit.evaluation.evaluate_run import evaluate_run
from connfit.evaluation.study.rows import PlannedRow, row_config, study_rows
from connfit.evaluation.study.run_study import StudyOptions, run_study
from connfit.evaluation.study.study import Study
from connfit.report.questions.questions import QUESTIONS
from connfit.report.run_files import STUDY
from connfit.report.sections.limits import all_limits
from connfit.training import runs

RULES = {
    "hybrid": ("network", "trace", 8),
    "d_rtrl": ("neuron", "trace", 8),
    "tbptt": ("network", "none", 8),
    "pp_prop": ("neuron", "factorised", 8),
    "immediate": ("neuron", "none", 1),
}


def base(learner: dict[str, Any] | None = None, **train: Any) -> Config:
    options = {"data": {"dataset": "worm"}, "learner": learner or {"window": 8}, "train": train}
    return configuration.from_dict(options)


def learning(config: Config) -> dict[str, PlannedRow]:
    return {row.name: row for row in study_rows(config, ()) if row.group == "learning"}


@pytest.mark.parametrize("own", RULES)
def test_the_rules_that_a_run_does_not_use_are_rows(own: str) -> None:
    credit, carry, window = RULES[own]
    config = base({"credit": credit, "carry": carry, "window": window})
    rows = learning(config)
    assert set(rows) == {*RULES, "rmsprop"} - {own}
    for name, row in rows.items():
        made = row_config(row, config, 0)
        changed = {key for key, value in asdict(made).items() if value != asdict(config)[key]}
        if name == "rmsprop":
            assert (
                changed == {"train"} and made.train == configuration.override(config, ["train.optimiser=rmsprop"]).train
            )
            continue
        assert changed == {"learner"}
        expected = RULES[name] if own != "immediate" else (*RULES[name][:2], 16)
        assert (made.learner.credit, made.learner.carry, made.learner.window) == expected
        assert f"(K = {made.learner.window})" in row.changes and row.fitted


def test_rows_of_runs_with_a_preset_no_credit_or_rmsprop() -> None:
    assert set(learning(base({"preset": "d-rtrl"}))) == {"hybrid", "tbptt", "pp_prop", "immediate", "rmsprop"}
    assert "immediate" not in learning(base({"credit": "none", "window": 16}))
    assert "immediate" not in learning(base({"preset": "immediate"}))
    rows = learning(base(optimiser="rmsprop"))
    assert "rmsprop" not in rows and row_config(rows["adam"], base(optimiser="rmsprop"), 0).train.optimiser == "adam"


@pytest.mark.slow
def test_they_are_fitted_and_a_rule_that_is_undefined_says_why(tmp_path: Path) -> None:
    write_files(tmp_path)
    config = configuration.override(
        configuration.read(tmp_path / "own.toml"),
        ["train.epochs=2", "train.free_run_epochs=0", "model.state_forcing=0.5", 'evaluate.baselines=["mean"]'],
    )
    evaluate_run(runs.start(config, tmp_path / "run"), tmp_path / "run")
    study = run_study(tmp_path / "run", StudyOptions(seeds=1, rows=("pp_prop", "immediate", "rmsprop"), jobs=1))
    rows = {row.name: row for row in study.rows}
    assert [row.group for row in study.rows] == ["connectome", *["learning"] * 3]
    assert all(rows[name].difference_at(1).value not in (0, None) for name in ("immediate", "rmsprop"))
    assert not rows["pp_prop"].seeds and "use carry = 'trace' or 'none'" in str(rows["pp_prop"].reason)
    made = {name: configuration.read(Path(rows[name].runs[0]) / "config.json") for name in ("immediate", "rmsprop")}
    assert (made["immediate"].learner.window, made["immediate"].learner.carry) == (1, "none")
    assert made["rmsprop"].train.optimiser == "rmsprop" and made["rmsprop"].learner.carry == "trace"


def with_learning(outcome: str) -> Study:
    """A made study with a row without credit through time in the place of an ablation."""
    study = made_study({"no_drive": outcome})
    row = next(row for row in study.rows if row.name == "no_drive")
    learning_row = replace(row, name="immediate", group="learning")
    return replace(study, rows=tuple(learning_row if other is row else other for other in study.rows))


def test_a_cheap_rule_that_wins_is_a_limitation_and_answers_the_question() -> None:
    words = "Some other learning rules or optimisers do better than this one"
    for outcome, stated in (("worse", True), ("better", False)):
        documents = {"metrics.json": results()[0], STUDY: with_learning(outcome)}
        assert (
            any(
                line.startswith(words) and "the rule without credit through time" in line
                for line in all_limits(documents)
            )
            is stated
        )
    question = next(one for one in QUESTIONS if one.name == "lower_loss_on_test")
    answer = question.answer_from({"metrics.json": results()[0], STUDY: with_learning("worse")})
    assert answer.status == "answered" and "loses to the rule without credit through time" in answer.text
