"""Whatever adds files to a run directory draws its report again, and no picture twice for nothing."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.figure import Figure
from report_run import add_gradients, add_simulation, run_directory

from connfit import cli, report
from connfit.analysis import perturbation, pipeline, record_next, recovery
from connfit.analysis.gradients import gradcheck
from connfit.analysis.measured import score_run
from connfit.analysis.perturbation_results import Perturbation
from connfit.analysis.record_next import ranking
from connfit.evaluation import evaluate_run
from connfit.report import console_measured, console_record_next, result_figures
from connfit.report.figures import gradient_figure, perturbation_figure, recovery_figure, style
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.picture_budget import draw_all
from connfit.report.figures.style import new_figure, save_figure
from connfit.report.run_files import RunFiles
from connfit.report.sections import analysis_section
from connfit.report.sections.order_of_sections import sections
from connfit.training import runs


def _null_of(folder: Path) -> Path:
    """A run of which nothing but its configuration and scores are looked at."""
    shutil.copytree(folder, folder.parent / "null")
    (folder.parent / "null" / "config.json").write_text('{"data": {"dataset": "demo", "null": "rewire_degrees"}}')
    return folder.parent / "null"


ADDING: dict[str, Callable[[Path], list[str]]] = {
    "evaluate": lambda folder: ["evaluate", str(folder)],
    "compare": lambda folder: ["compare", str(folder), str(_null_of(folder))],
    "report": lambda folder: ["report", str(folder)],
    "gradcheck": lambda folder: ["gradcheck", str(folder)],
    "recover": lambda folder: ["recover", "--quick", "--out", str(folder / "recovery")],
    "simulate": lambda folder: ["simulate", str(folder), "--silence", "id:n1"],
    "analyze": lambda folder: ["analyze", str(folder)],
    "record_next": lambda folder: ["record-next", str(folder), str(folder)],
    "perturb_score": lambda folder: ["perturb-score", str(folder), "--measured", "responses.csv"],
}
NOT_HERE = {"demo", "fit", "resume", "list", "export", "check", "new"}
"""Commands that make a run and end in the same function as `evaluate`, and those that write nothing into one."""


def test_every_command_is_known_to_this_test() -> None:
    """A new command belongs into one of the two sets above."""
    names = {command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback}
    assert names == set(ADDING) | NOT_HERE


@pytest.mark.parametrize("command", ADDING)
def test_every_command_that_adds_files_draws_the_report_again(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the commands compute is left out here: it takes minutes, and other tests look at it."""
    folder = run_directory(tmp_path / "run")
    (folder / "config.json").write_text('{"data": {"dataset": "demo"}}')
    drawn: list[Path] = []

    def draw(out: Path, **_: Any) -> Path:
        drawn.append(Path(out))
        return Path(out) / "report.html"

    def nothing(*_: Any, **__: Any) -> Any:
        return {}

    monkeypatch.setattr(report, "write_report", draw)
    monkeypatch.setattr(report, "print_table", nothing)
    for module, name, value in (
        (runs, "load_fit", lambda _: SimpleNamespace(unchanged_warning=lambda: None)),
        (evaluate_run, "evaluate_run", nothing),
        (evaluate_run, "compare_with_nulls", nothing),
        (gradcheck, "job_of_run", lambda _: (None, None)),
        (gradcheck, "check_gradients", nothing),
        (gradient_figure, "print_fidelity", nothing),
        (recovery, "recover", nothing),
        (recovery_figure, "print_recovery", nothing),
        (pipeline, "analyze", nothing),
        (analysis_section, "print_analysis", nothing),
        (perturbation_figure, "print_perturbation", nothing),
        (record_next, "record_next", lambda *_: SimpleNamespace(cautions=())),
        (ranking, "write_record_next", lambda *_: folder / "record_next.json"),
        (console_record_next, "print_record_next", nothing),
        (score_run, "perturb_score", lambda *_, **__: SimpleNamespace(table=SimpleNamespace(name="made"))),
        (console_measured, "print_measured", nothing),
        *((result_figures, f"draw_{what}", nothing) for what in ("analysis", "gradients", "perturbation", "recovery")),
    ):
        monkeypatch.setattr(module, name, value)
    # Imported before `load_fit` is replaced, which it would keep.
    monkeypatch.setattr(perturbation, "run_experiment", lambda *_, **__: (Perturbation(), folder / "simulations"))
    monkeypatch.setattr(sys, "argv", ["connfit", *ADDING[command](folder)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert drawn == [folder]


def test_a_folder_that_is_no_evaluated_run_is_left_alone(tmp_path: Path) -> None:
    from connfit.cli.terminal import draw_again

    draw_again(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_was_added_is_in_the_report(tmp_path: Path) -> None:
    folder = run_directory(tmp_path / "run")
    add_gradients(folder)
    add_simulation(folder, "silence-id-n1")
    assert {"gradient", "perturbation"} <= {one.anchor for one in sections(RunFiles.read(folder), [])}


def test_pictures_are_kept_until_what_they_show_changes(tmp_path: Path) -> None:
    (tmp_path / "forecasts.npz").write_bytes(b"")
    os.utime(tmp_path / "forecasts.npz", (0, 0))
    drawn: list[str] = []

    def drawing(name: str, caption: str = "It shows.", sources: tuple[str, ...] = ("forecasts.npz",)) -> Drawing:
        def draw() -> Figure:
            drawn.append(name)
            return new_figure(1.0, 1.0)

        return Drawing(name, caption, None, draw, sources=sources)

    def made(*drawings: Drawing, fresh: bool = False) -> list[str]:
        drawn.clear()
        shown = draw_all({"scores": drawings}, tmp_path / "figures", fresh=fresh)["scores"]
        assert all("<img" in html for _, html in shown)
        return sorted(drawn)

    a, b = drawing("a"), drawing("b", sources=())
    assert made(a, b) == ["a", "b"]
    assert made(a, b) == ["b"], "a figure without sources is drawn each time"
    assert made(a, b, fresh=True) == ["a", "b"]
    assert made(drawing("a", "It shows other numbers.")) == ["a"]
    assert made(a) == ["a"] and made(a) == []
    os.utime(tmp_path / "forecasts.npz")
    assert made(a) == ["a"]
    (tmp_path / "kept.png").touch()
    too_long = json.dumps({"x" * 300: ""})
    for damage in ("damaged", "[" * 10**5, '{"../kept": "", "\\u0000": "", "\\ud800": "", "": "", "c/d": 5}', too_long):
        (tmp_path / "figures" / "drawn.json").write_text(damage)
        assert made(a) == ["a"]
    assert (tmp_path / "kept.png").exists(), "it names no file elsewhere"
    made(a, b)
    made(b)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"b", "drawn"}, "nothing shows a any more"


def test_a_picture_is_whole_or_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a kill cut short would be younger than what it shows, and be kept."""
    save_figure(new_figure(1.0, 1.0), tmp_path, "a")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def killed(canvas: Any, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(style.FigureCanvasSVG, "print_svg", killed)
    with pytest.raises(KeyboardInterrupt):
        save_figure(new_figure(2.0, 1.0), tmp_path, "a")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
