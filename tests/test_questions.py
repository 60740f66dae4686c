"""The thirty questions: all are answered or said to be open, and every number of an answer is in the run's files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from answers import answers_of, check_numbers
from report_run import add_gradients, complete_run, made_study, results, run_directory

from connfit.evaluation.metrics_file import write_metrics
from connfit.report.questions.evidence import Evidence
from connfit.report.questions.questions import QUESTIONS, answer_all
from connfit.report.run_files import GRADIENT, STUDY
from connfit.report.sections import gradient_section
from connfit.report.sections.limits import all_limits


@pytest.fixture(scope="module", params=["complete", "fit", "metrics"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all files, one of a fit alone, and one of which only `metrics.json` is left."""
    folder = tmp_path_factory.mktemp("questions") / "run"
    if request.param == "complete":
        return complete_run(folder)
    if request.param == "fit":
        return run_directory(folder)
    folder.mkdir()
    write_metrics(folder / "metrics.json", {key: results()[0][key] for key in ("parts", "baselines")})
    return folder


def test_every_number_of_an_answer_is_in_the_files(run: Path) -> None:
    rows = check_numbers(run).values()
    assert sum(number["how"] != "name" for row in rows for number in row["numbers"]) >= 5


def test_all_questions_are_there_and_what_is_open_says_why(run: Path) -> None:
    rows, _ = answers_of(run)
    assert len(rows) == len(QUESTIONS) == 30
    assert [row["number"] for row in rows] == list(range(1, 31))
    assert len({row["name"] for row in rows}) == 30
    for row in rows:
        assert row["question"].endswith("?")
        assert row["answer"].endswith(".")
        assert row["status"] in ("answered", "partly", "not answerable")
        if row["status"] == "answered":
            assert "run `" not in row["answer"], row["name"]


def test_a_run_with_more_files_answers_more(tmp_path: Path) -> None:
    def open_ones(folder: Path) -> set[str]:
        return {row["name"] for row in answers_of(folder)[0] if row["status"] == "not answerable"}

    few, more = open_ones(run_directory(tmp_path / "a")), open_ones(complete_run(tmp_path / "b"))
    assert more < few
    assert {"gradient_bias", "lower_loss_on_test", "unseen_perturbations"} <= few - more
    assert {"across_seeds", "regions_alone", "why_learn_strengths"} <= few - more


def test_an_answer_follows_the_numbers() -> None:
    metrics = json.loads(json.dumps(results()[0]))
    for fc, expected in ((0.9, "Yes: in free run"), (0.1, "No: in free run")):
        metrics["parts"]["test"]["free_run"]["fc_corr"] = fc
        metrics["data"]["fc_corr_train_vs_test"] = 0.5
        (answer,) = [
            one for question, one in answer_all({"metrics.json": metrics}) if question.name == "better_connectivity"
        ]
        assert answer.text.startswith(expected)
        assert f"{fc:.3f}" in answer.text


def test_what_is_not_defined_is_said_with_its_reason() -> None:
    metrics = json.loads(json.dumps(results()[0]))
    metrics["parts"]["test"]["one_step"].update(
        skill_vs_persistence=None, reasons={"skill_vs_persistence": "it diverged"}
    )
    answers = {question.name: one for question, one in answer_all({"metrics.json": metrics})}
    assert answers["unseen_frames"].status == "not answerable"
    assert "it diverged" in answers["unseen_frames"].text


def test_keys_are_json_pointers() -> None:
    evidence = Evidence({"metrics.json": {"a/b": {"m~n": [1.5, {"x": 2}]}}, "h.csv": {"loss": [3.0]}})
    assert evidence.get("#/a~1b/m~0n/0") == 1.5
    assert evidence.get("metrics.json#/a~1b/m~0n/1/x") == 2
    assert evidence.get("h.csv#/loss/0") == 3.0
    assert evidence.get("#/a~1b/none") is None and evidence.get("other.json#/a") is None
    assert evidence.get("#/a~1b/m~0n/2") is None
    assert evidence.say("#/a~1b/m~0n/0", "#/a~1b/m~0n/1/x", how="difference") == "−0.500"
    assert evidence.quotes[0].keys == ("metrics.json#/a~1b/m~0n/0", "metrics.json#/a~1b/m~0n/1/x")
    with pytest.raises(KeyError, match="no number"):
        evidence.say("#/absent")


@pytest.mark.parametrize(
    ("outcomes", "expected", "limit"),
    [
        ({}, "One frame ahead the real wiring beats shuffle signs and Erdős–Rényi graph.", None),
        (
            {"shuffle_signs": "tie", "erdos_renyi": "worse"},
            "the real wiring is not distinguishable from shuffle signs; loses to Erdős–Rényi graph.",
            "None of 2 null connectomes is worse than the real wiring at any horizon",
        ),
        (
            {"erdos_renyi": "tie"},
            "beats shuffle signs; is not distinguishable from Erdős–Rényi graph.",
            "it beats 1 of 2 at 1 frame",
        ),
    ],
)
def test_a_study_says_who_wins_whoever_it_is(outcomes: dict[str, str], expected: str, limit: str | None) -> None:
    documents = {"metrics.json": results()[0], STUDY: made_study(outcomes)}
    (answer,) = [one for question, one in answer_all(documents) if question.name == "null_connectomes"]
    assert answer.status == "answered"
    assert expected in answer.text
    assert "with 95 % intervals" in answer.text
    assert ("(−0.150 to −0.0500)" in answer.text) is ("worse" in outcomes.values())
    found = [line for line in all_limits(documents) if "wiring" in line]
    assert (not found) if limit is None else (len(found) == 1 and limit in found[0])


def test_what_wins_without_a_connectome_or_learning_is_a_limitation() -> None:
    documents = {"metrics.json": results()[0], STUDY: made_study({"gru": "worse", "fixed_strengths": "tie"})}
    found = " ".join(all_limits(documents))
    assert (
        "Some models without a connectome do better than this one over seeds and blocks of time: the GRU, 1 and 10 "
        "frames" in found
    )
    assert "Weights that stay at the synapse counts predict as well as learned ones" in found
    assert "what the fit changed in weights does not agree between them" in found
    before = " ".join(all_limits({"metrics.json": results()[0]}))
    assert "GRU" not in before and "Seeds" not in before


def test_a_rule_far_from_the_exact_gradient_is_a_limitation(tmp_path: Path) -> None:
    add_gradients(tmp_path)
    record = json.loads((tmp_path / GRADIENT).read_text())
    rows = record["parameters"]["fitted"]
    config = {"learner": {"credit": "neuron", "carry": "trace", "window": 16}}
    rule = next(row for row in rows if row["label"] == "d-rtrl")
    for cosine, stated in ((0.99, False), (0.5, True)):
        rule["groups"]["weights"]["cosine"] = cosine
        documents = {"metrics.json": results()[0], GRADIENT: record, "config.json": config}
        assert any("d-rtrl, has a gradient of the weights" in line for line in all_limits(documents)) is stated


def test_whether_temporal_credit_matters_is_answered_from_learning_curves(tmp_path: Path) -> None:
    complete_run(tmp_path)
    answer = check_numbers(tmp_path)["lower_loss_on_test"]
    assert answer["status"] == "answered"
    for text in (
        "After equal steps", "After equal time", "(hybrid) minus that of the best without (immediate, K = 16)",
        "one frame ahead 0.0125 (−0.0375 to 0.0625), so the cheap rule is as good",
        "10 frames ahead −0.125 (−0.250 to −0.0625), so the cheap rule wins",
    ):  # fmt: skip
        assert text in answer["answer"]
    documents = {"metrics.json": results()[0], GRADIENT: json.loads((tmp_path / GRADIENT).read_text())}
    assert any(
        "The cheap rule, without any credit through time, wins after equal steps 10 frames ahead; is as good" in line
        for line in all_limits(documents)
    )


def test_learning_curves_of_earlier_releases_are_read(tmp_path: Path) -> None:
    """They have rules without optimisers, and nothing of the test part."""
    complete_run(tmp_path)
    record = json.loads((tmp_path / GRADIENT).read_text())
    curve = {"rule": "hybrid", "window": 16, "steps": [4, 8], "seconds": [1.0, 2.0], "train_loss": [2.0, 1.0]}
    at = {"rules": {"hybrid": {"epochs": 2, "train_loss": 1.0, "validation_skill": -0.25}}}
    record["learning_curves"] = {
        "curves": [curve], "equal_steps": {"steps": 8} | at, "equal_seconds": {"seconds": 2.0} | at
    }  # fmt: skip
    (tmp_path / GRADIENT).write_text(json.dumps(record))
    shutil.rmtree(tmp_path / "study")
    answer = check_numbers(tmp_path)["lower_loss_on_test"]
    assert answer["status"] == "partly" and "validation skill −0.250" in answer["answer"]
    names = {one.name: one.draw() for one in gradient_section.drawings(record)}
    assert set(names) == {"gradient_fidelity", "gradient_cost", "learning_curves"}
    assert "after equal time" in "".join(gradient_section.blocks(record))
