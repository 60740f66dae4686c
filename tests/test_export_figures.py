"""Figures at the widths of journals: their size, their text, and labels that do not touch."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pypdf
import pytest
from matplotlib.figure import Figure
from odd_names import UNITS
from overlaps import overlapping
from report_run import complete_run

from connfit.export.export_run import export_run
from connfit.export.formats import journal_figures
from connfit.report.assemble import texts
from connfit.report.figures.journal_page import SMALLEST, WIDTHS_MM, fit_to_width
from connfit.report.figures.style import look, new_figure
from connfit.report.run_files import RunFiles

WIDTHS = WIDTHS_MM[::2]
FEW = {"traces_0", "horizon_skill", "loss_history"}


@pytest.fixture(scope="module")
def figures(odd_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few, at the widest, which takes less time than all."""

    def few(files: RunFiles) -> tuple:
        head, sections, *others = texts(files)
        kept = [replace(section, drawings=[one for one in section.drawings if one.name in FEW]) for section in sections]
        return head, kept, *others

    out = tmp_path_factory.mktemp("figures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_figures, "WIDTHS_MM", WIDTHS[1:])
        patch.setattr(journal_figures, "texts", few)
        export_run(odd_run, ["figures"], out)
    return out / "figures"


@pytest.fixture(scope="module")
def of_widths(odd_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All, at the narrowest and the widest."""
    out = tmp_path_factory.mktemp("widths")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_figures, "WIDTHS_MM", WIDTHS)
        export_run(odd_run, ["figures"], out)
    return out / "figures"


def sizes(svg: str) -> list[float]:
    """Font sizes of an SVG in points; matplotlib's user unit is a point."""
    return [float(size) for size in re.findall(r"font(?:-size)?:[^;\"]*?([\d.]+)px", svg)]


@pytest.mark.slow
@pytest.mark.parametrize("millimetres", WIDTHS)
def test_pictures_have_the_width_and_text_that_can_be_read(of_widths: Path, millimetres: int) -> None:
    made = sorted((of_widths / f"{millimetres}mm").iterdir())
    names = {path.stem for path in made}
    assert {"traces_0", "horizon_skill", "loss_history"} <= names
    assert {path.suffix for path in made} == {".svg", ".pdf"} and len(made) == 2 * len(names)
    for name in names:
        text = (of_widths / f"{millimetres}mm" / f"{name}.svg").read_text(encoding="utf-8")
        width = float(str(ET.fromstring(text).get("width")).removesuffix("pt"))
        assert width / 72 * 25.4 == pytest.approx(millimetres, abs=0.01)
        assert sizes(text) and min(sizes(text)) >= SMALLEST - 1e-6
        page = pypdf.PdfReader(of_widths / f"{millimetres}mm" / f"{name}.pdf").pages[0]
        assert float(page.mediabox.width) / 72 * 25.4 == pytest.approx(millimetres, abs=0.01)
        fonts = page["/Resources"]["/Font"].values()  # type: ignore[index]
        assert {font.get_object()["/Subtype"] for font in fonts} <= {"/Type0", "/TrueType"}  # 42, not outlines of 3


def test_names_are_text_in_both(figures: Path) -> None:
    svg = (figures / "174mm" / "traces_0.svg").read_text(encoding="utf-8")
    shown = {"".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    everything = " ".join(shown)
    assert "one step, skill" in everything and "\x1b" not in svg
    assert any(unit.replace("\x1b", r"\x1b")[:5] in everything for unit in UNITS)
    words = pypdf.PdfReader(figures / "174mm" / "traces_0.pdf").pages[0].extract_text()
    assert "one step, skill" in words


def test_captions_and_what_is_left_out_are_said(figures: Path) -> None:
    readme = (figures / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"^## (\S+)$", readme, re.MULTILINE)
    made = len(list((figures / f"{WIDTHS[1]}mm").glob("*.svg")))
    assert set(names) == FEW
    assert made and made + len(re.findall(r"^Not at \d+ mm", readme, re.MULTILINE)) == len(names)
    assert "Skill over persistence on the test part" in readme


@pytest.mark.slow
def test_every_kind_of_figure_fits_into_two_columns(tmp_path: Path) -> None:
    run = RunFiles.read(complete_run(tmp_path / "run"))
    left_out = []
    for section in texts(run)[1]:
        for drawing in section.drawings:
            figure = drawing.draw()
            if fit_to_width(figure, 174):
                left_out.append(drawing.name)
            else:
                assert overlapping(figure) == []
    assert left_out == []


def test_labels_that_touch_are_found() -> None:
    def figure(**where: float) -> Figure:
        with look():
            made = new_figure(1.5, 3.0)
            axes = made.subplots()
            axes.text(0.2, 0.5, "one label")
            axes.text(**{"x": 0.6, "y": 0.5, **where}, s="another")
        return made

    assert fit_to_width(figure(), 85) == []
    assert fit_to_width(figure(x=0.25), 85) == ["'one label' and 'another'"]
    wide = figure()
    wide.text(0.98, 0.5, "beyond")
    assert "'beyond' is cut" in fit_to_width(wide, 85)
