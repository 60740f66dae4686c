"""Drawing needs no backend and parses no names; a figure that fails costs itself alone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from connfit._display import visible
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.picture_budget import draw_all
from connfit.report.figures.style import look, new_figure, save_figure

NAMES = (
    "中文",
    "\ud800",
    "a\x00b",
    r"$\frac$",
    "$x",
    "a_b^c",
    "[/red]",
    "\x1b[31m",
    "\u202eabc",
    "\u00b2",
    "<b>",
    "%s {x}",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_drawn_as_it_is(name: str, tmp_path: Path) -> None:
    with look():
        figure = new_figure(2)
        axes = figure.add_subplot(title=name, xlabel=name, xscale="log", yscale="log")
        axes.plot([1e-3, 1, 10], [1, 2, 1e4], label=name)
        axes.legend()
        axes.set_yticks([1, 100], [name, name])
    for path in save_figure(figure, tmp_path, "figure"):
        assert path.stat().st_size > 1000
    assert [text.get_text() for text in axes.get_yticklabels()] == [visible(name), visible(name)]


def test_powers_of_ten_are_written_without_mathtext(tmp_path: Path) -> None:
    figure = new_figure(2)
    figure.add_subplot(xscale="log").plot([1e-4, 1e5], [0, 1])
    save_figure(figure, tmp_path, "figure")
    labels = {text.get_text() for text in figure.axes[0].get_xticklabels()}
    assert {"10⁻⁴", "10⁰", "10²"} <= labels


def test_a_figure_that_cannot_be_drawn_costs_itself(tmp_path: Path) -> None:
    def broken() -> Figure:
        raise RuntimeError("no glyph")

    def good() -> Figure:
        figure = new_figure(2)
        figure.add_subplot()
        return figure

    with pytest.warns(UserWarning, match=r"figure bad could not be drawn \(RuntimeError: no glyph\)"):
        made = draw_all({"a": [Drawing("bad", "Bad.", None, broken), Drawing("good", "Good.", None, good)]}, tmp_path)
    texts = [html for _, html in made["a"]]
    assert "could not be drawn (RuntimeError: no glyph): Bad." in texts[0]
    assert (tmp_path / "good.png").exists() and "<img" in texts[1]


BACKENDS = ("module://matplotlib_inline.backend_inline", "no such backend", "svg")
FORKED = """
import os, sys
import numpy as np, statsmodels.api
from connfit.evaluation import block_bootstrap, evaluate_run
assert "matplotlib" not in sys.modules
for backend in sys.argv[1:]:
    if (child := os.fork()) == 0:
        os.environ["MPLBACKEND"] = backend
        block_bootstrap.block_length(np.random.default_rng(0).normal(size=(200, 1)))
        import connfit.report, matplotlib
        print(matplotlib.get_backend(), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"failed with {backend}")
"""


def test_no_backend_is_asked_for() -> None:
    """In a process for each: what they import before Matplotlib is imported once."""
    command = [sys.executable, "-c", FORKED, *BACKENDS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    there = find_spec("matplotlib_inline") is not None  # as after `make docs`: then it stays what was asked for
    assert done.stdout.split() == [BACKENDS[0] if there else "agg", "agg", "svg"], done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EFBIG])
def test_a_disk_that_takes_no_more_ends_drawing_at_once(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says so, instead of one for every figure and then one for the page."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number), "a.svg")

    monkeypatch.setattr("connfit.report.figures.picture_budget.save_figure", refused)
    with pytest.raises(OSError) as caught:
        draw_all({"a": [Drawing("good", "Good.", None, Figure)]}, tmp_path)
    assert caught.value.errno == number
