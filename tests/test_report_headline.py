"""Who wins, in words: the strongest baseline by name, pooled and by the median unit, and what to try if it wins."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from report_run import results, run_directory
from rich.console import Console

from connfit._io import as_result, write_json
from connfit.evaluation.baselines.ar import Ar
from connfit.evaluation.baselines.mean import Mean
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.evaluated import Evaluation, Training
from connfit.evaluation.part_scores import BaselineScores, PartScores
from connfit.recordings import Recording
from connfit.report import print_table
from connfit.report.figures.drawings import drawings
from connfit.report.questions.questions import answer_all
from connfit.report.run_files import RunFiles
from connfit.report.sections.comparison import comparison, observations_in_words
from connfit.report.sections.fit_limits import limitations
from connfit.report.sections.headline import headline
from connfit.report.sections.order_of_sections import sections
from connfit.report.sections.recipe_section import recipe_blocks
from connfit.report.wording import first_of, listed, pretty, span, with_interval
from connfit.training.learning_rates import Rates, RateTrial
from connfit.training.recipe import Candidate, Recipe


def side(pooled: float, median: float, spread: float = 0.01) -> dict[str, Any]:
    one = {"value": median, "low": median - spread, "high": median + spread}
    return {
        "one_step": {"skill_vs_persistence": pooled},
        "horizon_skill": {"1": pooled - 0.01, "10": pooled},
        "horizon_median_unit": {"1": one, "10": one},
    }


def compared(name: str, difference: float, spread: float = 0.01, p: float | None = 0.02) -> dict[str, Any]:
    return {
        "baseline": name, "difference": difference, "low": difference - spread, "high": difference + spread,
        "units": 98, "better": 40, "p": p,
    }  # fmt: skip


def run(ours: tuple[float, float], theirs: tuple[float, float], **paired: Any) -> Evaluation:
    baselines = {"var_around_ar": {"test": side(*theirs)}, "mean": {"test": side(-3.0, -2.0)}}
    against = {"test": {1: paired}} if paired else {}
    given = {"parts": {"test": side(*ours)}, "baselines": baselines, "against_strongest": against}
    return as_result(given, Evaluation)


@pytest.mark.parametrize(
    ("pooled", "median", "expected"),
    [
        (0.05, 0.05, "The model wins, pooled and by the median unit."),
        (-0.05, -0.05, "VAR around AR wins, pooled and by the median unit."),
        (0.005, -0.005, "Neither wins: they are not distinguishable, pooled or by the median unit."),
        (
            0.05,
            -0.05,
            "Pooled over units the model wins, by the median unit VAR around AR wins. A few units carry "
            "the pooled lead.",
        ),
        (0.005, 0.05, "Pooled over units they are not distinguishable, by the median unit the model wins."),
    ],
)
def test_who_wins_is_decided_by_the_interval_of_the_difference(pooled: float, median: float, expected: str) -> None:
    metrics = run(
        (0.3, 0.3),
        (0.3 - pooled, 0.3 - median),
        pooled=compared("var_around_ar", pooled),
        median_unit=compared("var_around_ar", median),
    )
    text = headline(metrics)[0]
    assert text.startswith("One frame ahead the model has a skill over persistence of 0.300 pooled and 0.300 (0.290 to")
    assert "the strongest baseline is VAR around AR, with" in text
    assert expected in text
    assert "The model predicts 40 of 98 units better than VAR around AR (Wilcoxon signed-rank p = 0.02)" in text
    few = [
        line
        for line in limitations(metrics)
        if line.startswith("One frame ahead a few units carry the lead over baselines")
    ]
    assert bool(few) is (pooled == 0.05 and median < 0)


def test_a_baseline_that_wins_only_by_the_median_unit_is_named() -> None:
    metrics = run((0.15, 0.09), (0.1, 0.05))
    lds = BaselineScores(test=as_result(side(0.05, 0.116), PartScores))
    metrics = replace(metrics, baselines={**metrics.baselines, "lds": lds})
    text = headline(metrics)[0]
    assert "the strongest baseline is VAR around AR, with 0.100 pooled, and by the median unit LDS, with 0.116" in text
    assert "Pooled over units the model wins, by the median unit LDS wins." in text


def test_both_horizons_are_named() -> None:
    lines = headline(run((0.3, 0.3), (0.2, 0.2)))
    assert [line.split(" the model")[0] for line in lines] == ["One frame ahead", "10 frames ahead"]


@pytest.mark.parametrize("ours", [0.1, 0.3])
def test_what_to_try_is_said_where_a_baseline_is_ahead(ours: float) -> None:
    config = {
        "data": {"dataset": "worm", "recordings": ["a"]},
        "model": {"strengths": "free", "drive": "dense", "readout": "auto", "state_forcing": 1.5},
    }
    said = " ".join(headline(run((ours, ours), (0.2, 0.2)), config=config))
    assert ("To try where a baseline is ahead" in said) is (ours < 0.2)
    if ours < 0.2:
        for tried in ("--recording all", "`model.strengths` = `fixed` or `gain_per_neuron`", "`model.drive`",
                      "`model.state_forcing`", "evaluate DIR --full"):  # fmt: skip
            assert tried in said
        assert "`model.readout`" not in said
        config["model"] |= {"strengths": "fixed", "drive": "anatomical", "state_forcing": "auto"}
        said = " ".join(headline(run((ours, ours), (0.2, 0.2)), config=config))
        assert "fewer free parameters" not in said and "by hand" not in said
        assert "the step `high_pass`" in said
        config["data"]["preprocess"] = [{"step": "high_pass", "cutoff_hz": 0.01}, {"step": "scale"}]
        assert "high_pass" not in " ".join(headline(run((ours, ours), (0.2, 0.2)), config=config))


def test_old_runs_have_no_median_unit_and_still_a_winner() -> None:
    ours, theirs = (replace(as_result(side(skill, skill), PartScores), horizon_median_unit={}) for skill in (0.1, 0.2))
    metrics = Evaluation(parts={"test": ours}, baselines={"var_around_ar": BaselineScores(test=theirs)})
    assert "VAR around AR wins." in headline(metrics)[0] and "median" not in headline(metrics)[0]
    assert not any(row.key[0] == "horizon_median_unit" for row in comparison(metrics))
    alone = headline(replace(metrics, baselines={}))
    assert "No baseline was scored." in alone[0]


def test_the_report_and_the_terminal_begin_with_who_wins(tmp_path: Path) -> None:
    metrics = results()[0]
    said = headline(metrics)
    console = Console(width=80, record=True, file=io.StringIO())
    print_table(metrics, console)
    printed = re.sub(r"\s+", " ", console.export_text())
    assert all(line in printed for line in said)
    found = sections(RunFiles.read(run_directory(tmp_path / "run")), [])
    assert found[0].anchor == "summary"
    assert re.sub("<[^>]+>", "", found[0].blocks[0]) == said[0]
    html = found[1].blocks[0]
    assert re.search(r"median unit&#x27;s skill</th><td[^>]*>[−\d.]+ \([−\d.]+ to [−\d.]+\)", html)


@pytest.mark.parametrize("baselines", [1, 5, 12])
def test_the_terminal_table_cuts_no_number_however_many_baselines(baselines: int) -> None:
    var_ridge = results()[0].baselines["var_ridge"]
    metrics = replace(results()[0], baselines={f"my_long_baseline_{k}": var_ridge for k in range(baselines)})
    console = Console(width=80, record=True, file=io.StringIO())
    print_table(metrics, console)
    table = console.export_text().split("One frame ahead")[0]
    assert "…" not in table
    assert len(re.findall("my", table)) == baselines


def test_nobody_wins_one_step_connectivity() -> None:
    """The last frame, repeated, has the data's connectivity: a star for it says nothing."""
    rows = {row.label: row for row in comparison(results()[0])}
    row = rows["one step: FC correlation"]
    assert (row.values["persistence"] or 0) > 0.95 and row.winners == ()


def test_a_run_that_was_not_trained_says_so_everywhere(tmp_path: Path) -> None:
    folder = run_directory(tmp_path / "run")
    # As a run writes them: nothing was learned of what could have been.
    counts = results()[0].parameters or {}
    metrics = replace(
        results()[0],
        training=Training(trained=False, epochs=2),
        parameters=dict.fromkeys(counts, 0),
        parameters_available=counts,
    )
    write_json(folder / "metrics.json", metrics)
    assert headline(metrics)[0].startswith("This model was not trained: no epoch was better on validation")
    assert any(line.startswith("The model was not trained: no epoch of 2") for line in limitations(metrics))
    found = {one.anchor: one for one in sections(RunFiles.read(folder), [])}
    html = "".join(block for one in found.values() for block in (*one.blocks, *one.after, one.title))
    for text in (
        "model (not trained)",
        "parameters, not trained",
        "Parameters, as they started",
        "none of them trained",
    ):
        assert text in html, text
    for drawing in (*found["scores"].drawings, *found["parameters"].drawings):
        assert drawing.caption.endswith("The model was not trained: its parameters are those of the start.")
    assert "Fitted parameters" not in html and "fitted parameters" not in html
    answers = {question.name: answer.text for question, answer in answer_all({"metrics.json": metrics})}
    assert answers["determined_directions"].startswith("The model was not trained")
    assert "12,365 parameters stand, as they started, against" in answers["determined_directions"]
    assert "12,365 parameters, none of them trained, for" in observations_in_words(metrics)
    assert "12,365" in html and "not recorded" not in html
    assert any("more parameters (12,365) than observations" in line for line in limitations(metrics))
    nothing = replace(metrics, parameters_available={}, parameters={})
    assert observations_in_words(nothing).startswith("The fit had no parameter to learn")
    for training in (Training(trained=True, best_epoch=3, epochs=5, changed=("drive",)), Training()):
        trained = replace(results()[0], training=training)
        assert not any("not trained" in line for line in [*headline(trained), *limitations(trained)])


def test_strengths_of_the_recipe_are_said_as_what_was_found() -> None:
    """`model.weights` = `auto` is no start at random."""
    documents = {
        "metrics.json": results()[0],
        "config.json": {"model": {"weights": "auto"}},
        "record.json": {"recipe": {"chosen": {"weights": "input_fraction"}}},
    }
    answers = {question.name: answer.text for question, answer in answer_all(documents)}
    assert "started as shares of each neuron's input synapses" in answers["why_learn_strengths"]


RECIPE = Recipe(
    {"state_forcing": 1.0, "drive_start": "regression"},
    (
        Candidate({"state_forcing": 0.0, "drive_start": "regression"}, 0.0, 0.2),
        Candidate({"state_forcing": 1.0, "drive_start": "regression"}, 0.1, 0.2),
        Candidate({"state_forcing": 1.5, "drive_start": "regression"}, reason="its predictions are not finite"),
    ),
    "validation",
    "mean skill over persistence",
)
RATES = Rates(
    0.01, {"drive": 0.03}, {}, (RateTrial(0.01, {"drive": 0.03}, 0.3), RateTrial(0.1, {"drive": 0.03}, None)), 10
)


def test_what_was_chosen_automatically_is_shown_with_what_it_was_chosen_from(tmp_path: Path) -> None:
    """As `Recipe.record` and `Rates.record` write it, so that neither side can change alone."""
    assert recipe_blocks({}) == []
    folder = run_directory(tmp_path / "run")
    record = json.loads((folder / "record.json").read_text())
    found = {"recipe": msgspec.to_builtins(RECIPE), "learning_rates": msgspec.to_builtins(RATES)}
    (folder / "record.json").write_text(json.dumps({**record, **found}))
    made = "".join(next(one for one in sections(RunFiles.read(folder), []) if one.anchor == "made").blocks)
    assert "found among 3 untrained models by their predictions of the validation part" in made
    assert "its predictions are not finite" in made and "mean skill over persistence" in made
    assert "trainings of 10 epochs" in made and "diverged" in made
    starred = re.findall(r"<tr><th scope=\"row\">([^<]*)</th>(?:(?!</tr>).)*class=\"best\"", made)
    assert starred == ["1", "0.01"]


def test_white_noise_is_not_the_best_unit(tmp_path: Path) -> None:
    """By skill over persistence alone, noise that is predicted by its mean has 0.5 and comes first."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 4))
    for k, phi in ((1, 0.9), (2, 0.8), (3, 0.7)):
        for t in range(2, 400):
            values[t, k] += phi * 1.6 * values[t - 1, k] - 0.7 * values[t - 2, k]
    one = Recording("a", values, ("noise", "p", "q", "r"), 2.0).split(train=0.6, validation=0.15)
    metrics, forecasts = evaluate_all(Ar.fit(one), Mean.fit(one), ["mean"], [one])
    write_json(tmp_path / "metrics.json", metrics)
    forecasts.save(tmp_path / "forecasts.npz")
    drawing = next(one for one in drawings(RunFiles.read(tmp_path)) if one.name == "traces")
    titles = [axes.get_title("left") for axes in drawing.draw().axes]
    assert titles[0].startswith("best: ") and not titles[0].startswith("best: noise")
    assert "the better of persistence and the unit's own mean" in drawing.caption


def test_ranges_print_once_where_their_ends_are_alike() -> None:
    assert span(-0.02081, -0.02079) == "−0.0208"
    assert span(-0.0208, 0.5) == "−0.0208 to 0.500" and span(None, 1.0) == ""
    assert with_interval(0.1, (0.09999, 0.10001)) == "0.100" and with_interval(None, (0, 1)) == "–"


def test_long_lists_are_cut_with_a_count() -> None:
    names = [f"n{k}" for k in range(20)]
    assert listed(names) == "n0, n1, n2, n3, n4, n5 and 14 more"
    assert listed(names[:6]) == "n0, n1, n2, n3, n4 and n5" and listed(names[:1]) == "n0" and listed([]) == ""
    assert first_of(names, between="; ") == "n0; n1; n2; n3; n4; n5 and 14 more"


def test_unknown_baselines_have_names_too() -> None:
    assert pretty("var_around_ar") == "VAR around AR" and pretty("reduced_rank") == "reduced-rank regression"
    assert pretty("my_new_one") == "my new one"
