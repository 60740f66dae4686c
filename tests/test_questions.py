"""The thirty questions: all are answered or said to be open, and every number of an answer is in the run's files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from answers import answers_of, check_numbers, check_text
from report_run import (
    add_gradients,
    add_measured,
    changed,
    complete_run,
    made_study,
    measured_record,
    results,
    run_directory,
)

from connfit._io import as_result, read_json, write_json
from connfit.analysis.gradients.gradient_results import GradientFidelity
from connfit.evaluation.evaluated import Evaluation
from connfit.report.prose import write_prose
from connfit.report.questions.questions import QUESTIONS, answer_all
from connfit.report.run_files import GRADIENT, STUDY, RunFiles
from connfit.report.sections import gradient_section, measured_section
from connfit.report.sections.limits import all_limits
from connfit.report.sections.measured_words import given
from connfit.report.traced import Quote, Traced, known


@pytest.fixture(scope="module", params=["complete", "fit", "metrics"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all files, one of a fit alone, and one of which only `metrics.json` is left."""
    folder = tmp_path_factory.mktemp("questions") / "run"
    if request.param == "complete":
        return complete_run(folder)
    if request.param == "fit":
        return run_directory(folder)
    folder.mkdir()
    write_json(folder / "metrics.json", Evaluation(parts=results()[0].parts, baselines=results()[0].baselines))
    return folder


def test_every_number_of_an_answer_is_in_the_files(run: Path) -> None:
    rows = check_numbers(run).values()
    assert sum(number["how"] != "name" for row in rows for number in row["numbers"]) >= 5


@pytest.mark.parametrize(
    ("template", "given", "numbers"),
    [
        ("sections/learning_verdict.j2", {}, 24),
        ("sections/recovery.j2", {}, 13),
        ("sections/record_next.j2", {}, 9),
        ("limits/gradients.j2", {"far": (1, "weights", "bias")}, 6),
        ("limits/recovery.j2", {"few": 0.5}, 4),
        (
            "limits/simulations.j2",
            {
                "names": ["silence-id-n1", "silence-id-n2"],
                "still": ["silence-id-n2"],
                "measured": False,
                "weak": ["made"],
            },
            4,
        ),
    ],
)
def test_every_number_of_a_text_is_in_the_files(
    template: str, given: dict[str, Any], numbers: int, tmp_path: Path
) -> None:
    run = complete_run(tmp_path / "run")
    prose = write_prose(template, RunFiles.read(run).documents(), **given)
    quotes = [{"text": one.text, "keys": one.keys, "how": one.how} for one in prose.quotes]
    assert len(quotes) >= numbers
    # Quotes are listed once; a sentence per horizon repeats some.
    check_text(prose.text, quotes * 4, answers_of(run)[1], template)


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
    for fc, expected in ((0.9, "Yes: in free run"), (0.1, "No: in free run")):
        metrics = changed(parts={"test": {"free_run": {"fc_corr": fc}}}, data={"fc_corr_train_vs_test": 0.5})
        (answer,) = [
            one for question, one in answer_all({"metrics.json": metrics}) if question.name == "better_connectivity"
        ]
        assert answer.text.startswith(expected)
        assert f"{fc:.3f}" in answer.text


def test_what_is_not_defined_is_said_with_its_reason() -> None:
    one_step = {"skill_vs_persistence": None, "reasons": {"skill_vs_persistence": "it diverged"}}
    metrics = changed(parts={"test": {"one_step": one_step}})
    answers = {question.name: one for question, one in answer_all({"metrics.json": metrics})}
    assert answers["unseen_frames"].status == "not answerable"
    assert "it diverged" in answers["unseen_frames"].text


def test_measured_responses_answer_what_no_simulation_can(tmp_path: Path) -> None:
    add_measured(run_directory(tmp_path / "run"))
    answer = check_numbers(tmp_path / "run")["unseen_perturbations"]
    assert answer["status"] == "answered"
    for text in (
        "of 400 pairs of neurons that were stimulated and watched, 40 respond",
        "AUROC of 0.625 (0.562 to 0.688), better",
        "before training 0.613", "The strongest opponent is two_steps of <wiring> 0.5 (0.750)",
        "beats 0 opponents, loses to 1, and is not distinguishable from 1",
    ):  # fmt: skip
        assert text in answer["answer"]
    assert any(
        "not ranked better by the model" in line for line in all_limits(RunFiles.read(tmp_path / "run").documents())
    )


def test_what_measured_responses_show_is_said_in_words_with_their_keys(tmp_path: Path) -> None:
    add_measured(run_directory(tmp_path / "run"))
    path, scores = "measured/made/scores.json", measured_record()
    prose = write_prose("sections/measured.j2", {path: scores}, **given(path, scores))
    quotes = [{"text": one.text, "keys": one.keys, "how": one.how} for one in prose.quotes]
    check_text(prose.text, quotes * 3, answers_of(tmp_path / "run")[1], "sections/measured.j2")
    for text in (
        "It ranks them worse than two_steps of <wiring> 0.5.", "Not distinguishable from it: untrained of",
        "What fitting adds to the wiring's start: 0.0125 of AUROC (−0.0375 to 0.0625), not",
        "7 rows are of 2 neurons that the connectome lacks: <b> and ZZ; 6 pairs that were tested are lost",
        "of at most 0.625 that halves of the measurements allow", "93.8 % of them with a positive amplitude",
    ):  # fmt: skip
        assert text in prose.text
    html = "".join(measured_section.measured_blocks({"made": scores}))
    assert "&lt;wiring&gt;" in html and "<wiring>" not in html and "cannot answer" in html
    (drawing,) = measured_section.measured_drawings({"made": scores})
    assert drawing.name == "measured_responses" and len(drawing.draw().axes) == 2


def test_keys_are_json_pointers() -> None:
    quotes: list[Quote] = []
    root = Traced({"a/b": {"m~n": [1.5, {"x": 2}]}}, ("metrics.json#",), quotes)["a/b"]
    assert (root["m~n"][0] - root["m~n"][1].x).write() == "−0.500"
    assert quotes[0].keys == ("metrics.json#/a~1b/m~0n/0", "metrics.json#/a~1b/m~0n/1/x")
    assert not known(root.none) and not known(root["m~n"][2])
    with pytest.raises(KeyError, match="no number"):
        root.absent.write()


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
    assert "Weights that stay at the connectome's predict as well as learned ones" in found
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
        fidelity = as_result(record, GradientFidelity)
        documents = {"metrics.json": results()[0], GRADIENT: fidelity, "config.json": config}
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
    documents = {"metrics.json": results()[0], GRADIENT: read_json(tmp_path / GRADIENT, GradientFidelity)}
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
    fidelity = read_json(tmp_path / GRADIENT, GradientFidelity)
    names = {one.name: one.draw() for one in gradient_section.drawings(fidelity)}
    assert set(names) == {"gradient_fidelity", "gradient_cost", "learning_curves"}
    assert "after equal time" in "".join(gradient_section.blocks(fidelity))


def test_phases_and_steps_of_a_fit_are_answered_from_its_best_epochs(tmp_path: Path) -> None:
    run_directory(tmp_path)
    config = {"train": {"free_run_frames": 8, "select_on": "horizon"}, "data": {"substeps": 2}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "record.json").write_text(json.dumps({"recordings": {"a/b": {"frame_rate_hz": 1.5}}}))
    rows = [
        ",,,,teacher-forced,",
        ",,,,teacher-forced,0.125",
        ",,,,teacher-forced,0.0625",
        ",,,,free-running,0.25",
        ",,,,free-running,0.1875",
    ]
    header = "epoch,train_loss,validation_loss,validation_skill,phase,selection"
    for last, best in ((0.375, "0.375"), (-0.5, "0.250")):
        (tmp_path / "history.csv").write_text("\n".join([header, *rows, f",,,,free-running,{last}"]) + "\n")
        answers = check_numbers(tmp_path)
        expected = f"mean skill some frames ahead on validation went from 0.125 to {best}: it helped."
        assert expected in answers["longer_horizon"]["answer"]
        assert "stretches of 8 frames" in answers["longer_horizon"]["answer"]
    (tmp_path / "history.csv").write_text(f"{header}\n,,,,teacher-forced,0.5\n,,,,free-running,0.25\n")
    answers = check_numbers(tmp_path)
    assert "0.500 to 0.250: it did not help" in answers["longer_horizon"]["answer"]
    assert answers["time_step"]["answer"].startswith("2 steps per frame, at 1.50 frames per second.")
