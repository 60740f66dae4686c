"""The report: complete, self-contained, honest about who won, and safe whatever the names are."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from overlaps import overlapping
from pictures import only_dots
from report_run import NASTY, complete_run, record_next_record, recording, results, run_directory
from rich.console import Console

from connfit._io import as_result, write_json
from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.evaluation.evaluated import Evaluation
from connfit.report import page, print_table, write_report
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.picture_budget import draw_all
from connfit.report.figures.style import new_figure, save_figure
from connfit.report.run_files import RunFiles
from connfit.report.sections.comparison import Row, comparison, observations_in_words, verdict
from connfit.report.sections.fit_limits import limitations
from connfit.report.sections.order_of_sections import sections
from connfit.report.sections.record_next_section import (
    chosen,
    record_next_blocks,
    record_next_drawings,
    record_next_tables,
)
from connfit.report.wording import number

VOID = {"meta", "img", "br", "hr", "link"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run directory with all files."""
    return write_report(run_directory(tmp_path_factory.mktemp("report") / "run"))


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run directory to which every command has added its files, without its pictures."""
    with pytest.MonkeyPatch.context() as patch:
        only_dots(patch.setattr)
        return write_report(complete_run(tmp_path_factory.mktemp("complete") / "run"))


@pytest.mark.parametrize(("block", "tag"), [(page.paragraph, "p"), (lambda text: page.bullets([text]), "li")])
def test_options_in_sentences_are_set_as_code(block: Any, tag: str) -> None:
    found = block("remove it by `high_pass` <b>")
    assert f"<{tag}>remove it by <code>high_pass</code> &lt;b&gt;</{tag}>" in found


def test_a_table_without_titles_is_called_by_its_first_rows() -> None:
    found = page.table((), [("connfit", "0.2.0"), ("seed", "0"), ("<jax>", "0.8"), ("scipy", "1")])
    assert 'aria-label="Table of connfit, seed, &lt;jax&gt;"' in found
    assert 'aria-label="Table of part, score"' in page.table(("", "part", "score"), [("model", "test", "0.5")])


class Checker(HTMLParser):
    """Balanced tags, and every address that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.anchors: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "data", "action")]
        self.anchors += [value or "" for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(path: Path) -> Checker:
    checker = Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    checker.close()
    assert not checker.open
    checker.text = re.sub(r"\s+", " ", checker.text)
    return checker


def test_report_is_one_self_contained_file(report: Path) -> None:
    path, html = report, parsed(report)
    assert path.name == "report.html"
    assert path.stat().st_size < 10_000_000
    assert html.addresses
    links = [address for address in html.addresses if address.startswith("#")]
    images = [address for address in html.addresses if address.startswith("data:image/png;base64,")]
    assert len(links) + len(images) == len(html.addresses)
    assert {link[1:] for link in links} <= set(html.anchors)
    assert len(set(html.anchors)) == len(html.anchors)
    assert not re.search(r"url\(|@import|<script|<iframe|<link", path.read_text())
    assert html.tags.count("img") == 8
    names = {"horizon_skill", "traces", "functional_connectivity", "loss_history", "weights", "time_constants"}
    names |= {"share_of_possible", "explained"}
    assert {one.stem for one in (path.parent / "figures").glob("*.png")} == names
    assert {one.stem for one in (path.parent / "figures").glob("*.svg")} == names


def paragraphs(path: Path) -> list[str]:
    """The text of every paragraph of a page."""
    found = re.findall(r"<p[^>]*>(.*?)</p>", path.read_text(encoding="utf-8"), re.S)
    return [re.sub(r"<[^>]+>", "", text) for text in found]


def test_headings_go_down_one_level_at_a_time(complete: Path) -> None:
    levels = [int(tag[1]) for tag in parsed(complete).tags if re.match(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_added_file_has_its_section(report: Path, complete: Path) -> None:
    added = {"study", "gradient", "recovery", "perturbation", "measured", "record-next"}
    assert not added & set(parsed(report).anchors)
    whole = parsed(complete)
    assert added <= set(whole.anchors)
    assert whole.anchors.index("summary") < whole.anchors.index("limitations") < whole.anchors.index("questions")
    assert whole.tags.count("img") == 8 + 2 + 3 + 2 + 4 + 1 + 1
    assert whole.text.count(NASTY) > 3


def test_what_to_record_next_is_said_and_tabulated(complete: Path) -> None:
    text = " ".join(parsed(complete).text.split())
    for words in (
        "3 fits that differ in their seed alone disagree", "0.625 of a neuron's variance over time",
        f"The first to record is {NASTY}", "that of s0 would tell most about which fit is right: 2.50 nats",
        "2 neurons do not vary in the fits", "Caution: 3 fits are few: <b>", "made: neurons to record next, of 6",
        "The first 3 neurons to stimulate",
    ):  # fmt: skip
        assert words in text
    found = record_next_record()
    # Candidates that were not chosen are in the CSV file alone.
    assert [each.id for each in chosen(found)] == [NASTY, "n1", "n2", "n3"]
    nothing = replace(found, to_record=(), to_stimulate=(), cautions=())
    assert record_next_tables(nothing) == [] and record_next_drawings(nothing) == []
    assert "No neuron can be chosen" in " ".join(record_next_blocks(nothing))
    little = tuple(replace(one, information=1e-5) for one in found.to_stimulate)
    assert "none tells these fits apart" in " ".join(record_next_blocks(replace(found, to_stimulate=little)))
    for one in (replace(found, to_record=()), replace(found, to_stimulate=())):
        assert len(record_next_drawings(one)) == 1
        record_next_drawings(one)[0].draw()


def test_sentences_do_not_run_into_each_other(complete: Path) -> None:
    assert re.findall(r"\S*[A-Za-z)]\.[A-Z0-9]\S*", " ".join(paragraphs(complete))) == []


@pytest.mark.slow
def test_labels_of_figures_do_not_overlap(complete: Path) -> None:
    drawings = [drawing for section in sections(RunFiles.read(complete.parent), []) for drawing in section.drawings]
    found = {drawing.name: overlapping(drawing.draw()) for drawing in drawings}
    assert len(found) == 21 and {name: labels for name, labels in found.items() if labels} == {}


def test_figures_beyond_the_size_limit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawing(name: str, recording: str | None) -> Drawing:
        return Drawing(name, f"{name} shows.", recording, lambda: new_figure(1.0, 1.0))

    given = {"scores": [drawing("a", "movie 1"), drawing("b", None)], "parameters": [drawing("c", None)]}
    size = len(save_figure(new_figure(1.0, 1.0), tmp_path, "one")[0].read_bytes())
    monkeypatch.setattr("connfit.report.figures.picture_budget.MAX_IMAGE_BYTES", 2.5 * size)
    made = draw_all(given, tmp_path)
    assert [one.name for one, _ in made["scores"]] == ["a", "b"]
    shown = {one.name: "<img" in html for section in made.values() for one, html in section}
    # What belongs to one recording goes first.
    assert shown == {"a": False, "b": True, "c": True}
    assert "Too large for this page, see figures/a.png: a shows." in made["scores"][0][1]
    assert (tmp_path / "a.png").exists()


def test_report_says_what_it_must(report: Path) -> None:
    html = parsed(report)
    metrics = results()[0]
    for text in (
        "connfit: made",
        f"12,365 parameters for {metrics.observations['train']:,} observations",
        "Data against itself",
        number(metrics.data.fc_corr_train_vs_test),
        number(metrics.part("test").one_step.mse),
        "high pass (cutoff hz 0.01; offsets: 50 values)",
        "1 units matched, 1 without a neuron",
        "ridge VAR",
        "connfit fit",
        "1.5 ms",
        "There are more parameters",
        "Free run with residuals: mean of 16 runs after 50 recorded frames",
        "one of 16 simulated runs",
        "mean over 16 simulated runs",
    ):
        assert text in html.text, text
    assert NASTY in html.text
    assert "SURROGATE" not in html.text
    assert "nan" not in re.findall(r"[a-z]+", html.text)


def test_surrogate_banner(tmp_path: Path) -> None:
    write_json(tmp_path / "metrics.json", replace(results()[0], surrogate=True))
    html = parsed(write_report(tmp_path))
    assert "SURROGATE" in html.text
    assert "generated by a teacher model" in html.text


def test_report_of_metrics_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "metrics.json", Evaluation(parts=results()[0].parts, baselines=results()[0].baselines))
    html = parsed(write_report(tmp_path))
    assert html.tags.count("img") == 1
    assert "were not recorded" in html.text


def test_report_of_several_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_dots(monkeypatch.setattr)
    several = [recording("a", 1), recording("b", 2, frames=120)]
    metrics, forecasts = evaluate_all(Persistence(), None, None, several, EvaluateConfig(free_run_warmup=20))
    write_json(tmp_path / "metrics.json", metrics)
    forecasts.save(tmp_path / "forecasts.npz")
    html = parsed(write_report(tmp_path))
    assert "means over recordings" in html.text
    assert "Recording b" in html.text
    assert {"traces_0.png", "traces_1.png"} <= {one.name for one in (tmp_path / "figures").iterdir()}


@pytest.mark.parametrize(
    "name",
    ["metrics.json", "config.json", "record.json", "history.csv", "forecasts.npz", "parameters.npz", "connectome.h5"],
)
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    folder = run_directory(tmp_path / "run")
    (folder / name).write_text("epoch,phase\n0,1,2,3\n")
    with pytest.raises(DataError, match=re.escape(name)):
        write_report(folder)


def test_absent_folder_and_metrics_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such run directory"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"metrics\.json"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    "made",
    [
        page.paragraph(NASTY),
        page.paragraph(NASTY, "soft"),
        page.bullets([NASTY]),
        page.section(NASTY, "<p></p>"),
        page.folded(NASTY, "<p></p>"),
        page.code(NASTY),
        page.with_code(f"`{NASTY}` and `{NASTY}`"),
        page.picture(b"", NASTY),
        page.table([NASTY], [[NASTY, NASTY]], caption=NASTY, best=[[1]]),
    ],
)
def test_no_text_becomes_markup(made: str) -> None:
    assert "<script" not in made
    checker = Checker()
    checker.feed(made)
    assert NASTY in checker.text
    assert not checker.open


DRIVEN = {"noise": "training residuals", "runs": 16}
QUIET = {"free_run_deterministic": {"fc_corr": 0.1, "std_ratio": 0.4, "median_unit_r": 0.3}}


def row(better: Any, **values: float | None) -> Row:
    return Row(("one_step", "mse"), "measure", better, values, {})


@pytest.mark.parametrize(
    ("made", "winners"),
    [
        (row("higher", model=0.1, mean=0.3), ("mean",)),
        (row("lower", model=0.1, mean=0.3), ("model",)),
        (row("near 1", model=0.5, mean=1.9), ("mean",)),
        (row("near 1", model=0.0, mean=None), ()),
        (row("higher", model=0.2, mean=0.2, other=None), ("model", "mean")),
        (row("higher", model=None), ()),
        (row("none", model=0.1, mean=0.3), ()),
    ],
)
def test_winners(made: Row, winners: tuple[str, ...]) -> None:
    assert made.winners == winners


def test_verdict_says_who_is_better_where() -> None:
    rows = [row("lower", model=1.0, mean=2.0), row("higher", model=1.0, mean=2.0), row("higher", model=1.0, mean=1.0)]
    assert verdict(rows) == "The model is best in 1 of 3 rows: measure. It ties in measure. Mean is better in measure."
    assert "Nothing could be scored" in verdict([row("lower", model=None)])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"one_step": {"skill_vs_persistence": -0.1}}, "persistence is not beaten"),
        ({"free_run": {"fc_corr": 0.2}}, "In free run without noise the model's functional connectivity"),
        ({"free_run": {"fc_corr": None, "reasons": {"fc_corr": "it stands still"}}}, "it stands still"),
        ({"free_run": {"std_ratio": 0.3}}, "The free run without noise hardly moves"),
        ({"free_run": {"std_ratio": 3.0}}, "swings too widely"),
        ({"free_run": {"std_ratio": 0.07}}, "decays to a fixed point without noise"),
        ({"free_run": {"std_ratio": 0.3, "std_ratio_second_half": 0.001}}, "decays to a fixed point without noise"),
        ({"free_run": {"median_unit_r": 0.01}}, "do not follow the data"),
        ({"free_run": {**DRIVEN, "median_unit_r": 0.0}, **QUIET}, None),
        ({"free_run": {**DRIVEN, "fc_corr": 0.2}, **QUIET}, "In free run driven by its residuals the model's"),
        ({"free_run": {**DRIVEN, "std_ratio": 0.3}, **QUIET}, "The free run driven by its residuals hardly moves"),
        (
            {"free_run": DRIVEN, "free_run_deterministic": {"fc_corr": 0.1, "std_ratio": 0.07, "median_unit_r": 0.0}},
            "decays to a fixed point without noise: the standard deviation of that free run is 0.0700 times",
        ),
        ({"one_step": {"per_unit_skill": {"units": 10, "above_persistence": 2}}}, "Only 2 of 10 units"),
        ({"one_step": {"mse": 9.0}}, "ridge VAR predicts the test part better"),
    ],
)
def test_limitations_come_from_the_numbers(change: dict[str, Any], expected: str | None) -> None:
    def metrics(**changes: Any) -> Evaluation:
        good: dict[str, Any] = {
            "one_step": {"mse": 1.0, "skill_vs_persistence": 0.3},
            "free_run": {"fc_corr": 0.8, "std_ratio": 1.0, "median_unit_r": 0.5},
        }
        for group, values in changes.items():
            good[group] = {**good.get(group, {}), **values}
        given = {
            "parts": {"test": good},
            "parameters": {"weights": 10},
            "observations": {"train": 100},
            "data": {"fc_corr_train_vs_test": 0.5},
            "baselines": {"var_ridge": {"test": {"one_step": {"mse": 2.0}}}},
        }
        return as_result(given, Evaluation)

    assert limitations(metrics()) == []
    found = limitations(metrics(**change))
    if expected is None:
        assert found == []
    else:
        assert len(found) == 1
        assert expected in found[0]


def test_rows_say_which_free_run_they_are_of() -> None:
    rows = {row.label: row for row in comparison(results()[0])}
    driven, quiet = results()[0].part("test").free_run, results()[0].part("test").quiet_run
    assert rows["free run with residuals: FC correlation"].values["model"] == driven.fc_corr
    assert rows["free run without noise: FC correlation"].values["model"] == quiet.fc_corr
    assert driven.fc_corr != quiet.fc_corr
    # Independent noise cannot follow the data, and what decays has no connectivity: nobody wins there.
    contests = {label for label, row in rows.items() if label.startswith("free run") and row.better != "none"}
    assert contests == {
        "free run with residuals: FC correlation",
        "free run with residuals: std over data's",
        "free run without noise: median unit r",
    }
    alone = {"test": replace(results()[0].part("test"), free_run=quiet, free_run_deterministic=None)}
    labels = [row.label for row in comparison(replace(results()[0], parts=alone))]
    assert labels[-3:] == [
        f"free run without noise: {what}" for what in ("FC correlation", "median unit r", "std over data's")
    ]


def test_parameters_and_observations_in_words() -> None:
    def words(parameters: int, observed: int) -> str:
        return observations_in_words(Evaluation(parameters={"weights": parameters}, observations={"train": observed}))

    assert words(42_300, 41_760).startswith("42,300 parameters for 41,760 observations")
    assert "1.01 parameters for every observation" in words(42_300, 41_760)
    assert "4 observations for every parameter" in words(25, 100)
    assert "about one parameter" in words(100, 100)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.02843, "0.0284"),
        (-0.5, "−0.500"),
        (12.345, "12.3"),
        (1e-5, "1.00e−05"),
        (123456.0, "1.23e+05"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_terminal_table() -> None:
    stream = io.StringIO()
    print_table(replace(results()[0], dataset="[red]made"), Console(file=stream, width=140, color_system=None))
    text = stream.getvalue()
    assert "[red]made, test part" in text
    assert verdict(comparison(results()[0])).split(".")[0] in text
    for name in ("model", "un-", "mean", "persis-", "ridge"):
        assert name in text
    best = comparison(results()[0])[0]
    assert f"{number(best.values[best.winners[0]])}*" in text
    assert "Data against itself" in text
    assert "Free run with residuals: mean of 16 runs" in " ".join(text.split())


def test_report_can_be_written_again(report: Path) -> None:
    first = report.read_bytes()
    assert write_report(report.parent).read_bytes() == first
    assert read_evaluation(report.parent).seed == 7
