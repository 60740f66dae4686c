"""The report: complete, self-contained, honest about who won, and safe whatever the names are."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from connfit.config import EvaluateConfig
from connfit.connectome import from_pairs
from connfit.errors import DataError
from connfit.evaluate import Persistence, VarRidge, evaluate_all, read_metrics, write_metrics
from connfit.recording import Recording
from connfit.report import page, print_table, write_report
from connfit.report.comparison import Row, comparison, limitations, number, observations_in_words, verdict

NASTY = '<script>alert("x")</script> & "units"'
UNITS, NEURONS = 5, 20
VOID = {"meta", "img", "br", "hr", "link"}


def recording(name: str, seed: int, frames: int = 300) -> Recording:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(UNITS, UNITS))
    x = np.zeros((frames, UNITS))
    for t in range(1, frames):
        x[t] = 0.8 * x[t - 1] + mix @ rng.normal(size=UNITS)
    units = (NASTY, *(f"u{k}" for k in range(1, UNITS)))
    return Recording(name, x, units, 1.5).split(train=0.6, validation=0.15)


@pytest.fixture(scope="module")
def results() -> tuple[dict[str, Any], Any]:
    """Metrics and forecasts of an autoregression that plays the model, for one recording."""
    one = recording("a", 1)
    metrics, forecasts = evaluate_all(VarRidge.fit(one), Persistence(), None, [one], EvaluateConfig(free_run_warmup=50))
    header = {"connfit": "0.1.0", "dataset": "made", "seed": 7, "surrogate": False}
    counts = {"weights": 12_345, "bias": 20}
    return {
        **header,
        **metrics,
        "parameters": counts,
        "performance": {"ms_per_step": 1.5, "first_step_s": None},
    }, forecasts


def run_directory(folder: Path, results: tuple[dict[str, Any], Any]) -> Path:
    """A run directory with every file that a report reads."""
    metrics, forecasts = results
    folder.mkdir(exist_ok=True)
    write_metrics(folder / "metrics.json", metrics)
    forecasts.save(folder / "forecasts.npz")
    rng = np.random.default_rng(0)
    text = pd.Series([""] * NEURONS)
    table = pd.DataFrame({"id": np.arange(NEURONS), **dict.fromkeys(("type", "region", "transmitter", "side"), text)})
    pre, post = rng.integers(0, NEURONS, 100), rng.integers(0, NEURONS, 100)
    brain = from_pairs("made", pre, post, np.ones(100, int), rng.choice([-1, 1], NEURONS), table)
    brain.save(folder / "connectome.h5")
    before = {"weights": rng.lognormal(-2, 1, brain.m), "time_constants": np.full(NEURONS, 0.3)}
    np.savez(folder / "parameters_initial.npz", **before)
    np.savez(
        folder / "parameters.npz",
        weights=0.9 * before["weights"],
        log_time_constants=np.log(rng.lognormal(0, 0.5, NEURONS)),
    )
    (folder / "config.json").write_text(json.dumps({"model": {"drive": "dense"}, "learner": {"window": 16}}))
    step = {"step": "high_pass", "cutoff_hz": 0.01, "offsets": list(range(50))}
    matching = {"steps": [step], "matched": ["u1"], "unmatched": [NASTY]}
    (folder / "record.json").write_text(
        json.dumps({"versions": {"jax": "0.10"}, "command": ["connfit", "fit"], "recordings": {"a": matching}})
    )
    (folder / "history.csv").write_text(
        "epoch,phase,train_loss,validation_loss,validation_skill\n0,teacher-forced,2.0,,\n1,free-running,1.0,1.5,-0.5\n"
    )
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, results: tuple[dict[str, Any], Any]) -> Path:
    """The report of a run directory with all files."""
    return write_report(run_directory(tmp_path_factory.mktemp("report") / "run", results))


class Checker(HTMLParser):
    """Balanced tags, and every address that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "data", "action")]
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
    assert all(address.startswith("data:image/png;base64,") for address in html.addresses)
    assert not re.search(r"url\(|@import|<script|<iframe|<link", path.read_text())
    assert html.tags.count("img") == 6
    names = {"horizon_skill", "traces", "functional_connectivity", "loss_history", "weights", "time_constants"}
    assert {one.stem for one in (path.parent / "figures").glob("*.png")} == names
    assert {one.stem for one in (path.parent / "figures").glob("*.svg")} == names


def test_report_says_what_it_must(report: Path, results: tuple[dict[str, Any], Any]) -> None:
    html = parsed(report)
    metrics = results[0]
    for text in (
        "connfit: made",
        f"12,365 parameters for {metrics['observations']['train']:,} observations",
        "Data against itself",
        number(metrics["data"]["fc_corr_train_vs_test"]),
        number(metrics["parts"]["test"]["one_step"]["mse"]),
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


def test_surrogate_banner(tmp_path: Path, results: tuple[dict[str, Any], Any]) -> None:
    write_metrics(tmp_path / "metrics.json", {**results[0], "surrogate": True})
    html = parsed(write_report(tmp_path))
    assert "SURROGATE" in html.text
    assert "generated by a teacher model" in html.text


def test_report_of_metrics_alone(tmp_path: Path, results: tuple[dict[str, Any], Any]) -> None:
    write_metrics(tmp_path / "metrics.json", {key: results[0][key] for key in ("parts", "baselines")})
    html = parsed(write_report(tmp_path))
    assert html.tags.count("img") == 1
    assert "were not recorded" in html.text


def test_report_of_several_recordings(tmp_path: Path) -> None:
    several = [recording("a", 1), recording("b", 2, frames=120)]
    metrics, forecasts = evaluate_all(Persistence(), None, None, several, EvaluateConfig(free_run_warmup=20))
    write_metrics(tmp_path / "metrics.json", metrics)
    forecasts.save(tmp_path / "forecasts.npz")
    html = parsed(write_report(tmp_path))
    assert "means over recordings" in html.text
    assert "Recording b" in html.text
    assert {"traces_0.png", "traces_1.png"} <= {one.name for one in (tmp_path / "figures").iterdir()}


@pytest.mark.parametrize(
    "name",
    ["metrics.json", "config.json", "record.json", "history.csv", "forecasts.npz", "parameters.npz", "connectome.h5"],
)
def test_a_damaged_file_is_named(name: str, tmp_path: Path, results: tuple[dict[str, Any], Any]) -> None:
    folder = run_directory(tmp_path / "run", results)
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
    def metrics(**changes: Any) -> dict[str, Any]:
        good: dict[str, Any] = {
            "one_step": {"mse": 1.0, "skill_vs_persistence": 0.3},
            "free_run": {"fc_corr": 0.8, "std_ratio": 1.0, "median_unit_r": 0.5},
        }
        for group, values in changes.items():
            good[group] = {**good.get(group, {}), **values}
        return {
            "parts": {"test": good},
            "parameters": {"weights": 10},
            "observations": {"train": 100},
            "data": {"fc_corr_train_vs_test": 0.5},
            "baselines": {"var_ridge": {"test": {"one_step": {"mse": 2.0}}}},
        }

    assert limitations(metrics()) == []
    found = limitations(metrics(**change))
    if expected is None:
        assert found == []
    else:
        assert len(found) == 1
        assert expected in found[0]


def test_rows_say_which_free_run_they_are_of(results: tuple[dict[str, Any], Any]) -> None:
    parts = results[0]["parts"]
    rows = {row.label: row for row in comparison(results[0])}
    driven, quiet = (parts["test"][key] for key in ("free_run", "free_run_deterministic"))
    assert rows["free run with residuals: FC correlation"].values["model"] == driven["fc_corr"]
    assert rows["free run without noise: FC correlation"].values["model"] == quiet["fc_corr"]
    assert driven["fc_corr"] != quiet["fc_corr"]
    # Independent noise cannot follow the data, and what decays has no connectivity: nobody wins there.
    contests = {label for label, row in rows.items() if label.startswith("free run") and row.better != "none"}
    assert contests == {
        "free run with residuals: FC correlation",
        "free run with residuals: std over data's",
        "free run without noise: median unit r",
    }
    alone = {"test": {**parts["test"], "free_run": quiet}}
    del alone["test"]["free_run_deterministic"]
    labels = [row.label for row in comparison({**results[0], "parts": alone})]
    assert labels[-3:] == [
        f"free run without noise: {what}" for what in ("FC correlation", "median unit r", "std over data's")
    ]


def test_parameters_and_observations_in_words() -> None:
    def words(parameters: int, observed: int) -> str:
        return observations_in_words({"parameters": {"weights": parameters}, "observations": {"train": observed}})

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


def test_terminal_table(results: tuple[dict[str, Any], Any]) -> None:
    stream = io.StringIO()
    print_table({**results[0], "dataset": "[red]made"}, Console(file=stream, width=140, color_system=None))
    text = stream.getvalue()
    assert "[red]made, test part" in text
    assert verdict(comparison(results[0])).split(".")[0] in text
    for name in ("model", "at initialisation", "mean", "persistence", "ridge VAR"):
        assert name in text
    best = comparison(results[0])[0]
    assert f"{number(best.values[best.winners[0]])}*" in text
    assert "Data against itself" in text
    assert "Free run with residuals: mean of 16 runs" in " ".join(text.split())


def test_report_can_be_written_again(report: Path) -> None:
    first = report.read_bytes()
    assert write_report(report.parent).read_bytes() == first
    assert read_metrics(report.parent / "metrics.json")["seed"] == 7
