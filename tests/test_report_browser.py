"""The report in a real headless browser: on a phone and a desk, light and dark, and on paper."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, browser_page, find_browser

pypdf = pytest.importorskip("pypdf")

BROWSER = find_browser()
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="needs a Chromium or Chrome: install one, or set CONNFIT_BROWSER to its path"
)
PHONE, DESK = 390, 1280


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A tab of a browser."""
    assert BROWSER is not None
    with browser_page(tmp_path_factory.mktemp("profile"), BROWSER) as tab:
        yield tab


@pytest.fixture(params=[(width, dark) for width in (PHONE, DESK) for dark in (False, True)],
                ids=lambda one: f"{one[0]}-{'dark' if one[1] else 'light'}")  # fmt: skip
def shown(request: pytest.FixtureRequest, page: Page, complete_report: Path) -> Page:
    """The report, loaded anew at one width and in one colour scheme."""
    width, dark = request.param
    page.show(width, dark=dark)
    page.open(complete_report.as_uri())
    return page


def test_nothing_is_logged_and_nothing_is_fetched(shown: Page, complete_report: Path) -> None:
    kinds = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed"}
    assert [event for event in shown.events if event.get("method") in kinds] == []
    asked = {
        event["params"]["request"]["url"]
        for event in shown.events
        if event.get("method") == "Network.requestWillBeSent"
    }
    assert {address for address in asked if not address.startswith("data:image/png")} == {complete_report.as_uri()}


def test_the_page_is_no_wider_than_the_window(shown: Page) -> None:
    assert shown.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    # Only what scrolls by itself, within its own frame, may hold anything wider.
    beyond = shown.value("""
        Array.from(document.querySelectorAll('body *')).filter(one => {
            const box = one.getBoundingClientRect();
            return box.width > 0 && box.right > document.documentElement.clientWidth + 1
                && !one.closest('.scroll, .image');
        }).map(one => one.tagName + ' ' + one.textContent.slice(0, 40))
    """)
    assert beyond == []


def test_all_images_are_there_and_have_a_text(shown: Page) -> None:
    assert shown.value("document.images.length") >= 10
    wrong = shown.value(
        "Array.from(document.images).filter(one => one.naturalWidth < 300 || one.alt.length < 20).map(one => one.alt)"
    )
    assert wrong == []


def test_links_lead_somewhere(shown: Page) -> None:
    targets = shown.value("Array.from(document.links, one => one.getAttribute('href'))")
    assert len(targets) > 20
    broken = shown.value(
        "Array.from(document.links, one => one.getAttribute('href')).filter(one => !document.querySelector(one))"
    )
    assert broken == []


def test_text_stands_out_from_what_is_behind_it(shown: Page) -> None:
    """WCAG 2.1, success criterion 1.4.3: a contrast of at least 4.5, in both colour schemes."""
    pale = shown.value("""
        (() => {
            const parts = text => text.match(/[\\d.]+/g).map(Number);
            const luminance = rgb => rgb.slice(0, 3).map(one => one / 255)
                .map(one => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
                .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
            const behind = one => {
                for (let at = one; at; at = at.parentElement) {
                    const colour = parts(getComputedStyle(at).backgroundColor);
                    if (colour.length === 3 || colour[3] > 0) return colour;
                }
                return [255, 255, 255];
            };
            return Array.from(document.querySelectorAll('main *, header *'))
                .filter(one => Array.from(one.childNodes).some(part => part.nodeType === 3 && part.data.trim()))
                .filter(one => one.offsetParent && one.textContent.trim())
                .map(one => {
                    const [light, dark] = [luminance(parts(getComputedStyle(one).color)), luminance(behind(one))]
                        .sort((a, b) => b - a);
                    return [(light + 0.05) / (dark + 0.05), one.tagName + ' ' + one.textContent.slice(0, 30)];
                })
                .filter(([contrast]) => contrast < 4.5);
        })()
    """)
    assert pale == []


def test_headings_sections_and_landmarks_serve_a_screen_reader(shown: Page) -> None:
    assert shown.value("document.querySelectorAll('main, header, nav').length") == 3
    assert shown.value("Array.from(document.querySelectorAll('section'), one => one.getAttribute('aria-labelledby'))")
    unnamed = shown.value("""
        Array.from(document.querySelectorAll('section')).filter(
            one => !document.getElementById(one.getAttribute('aria-labelledby'))).length
    """)
    assert unnamed == 0
    # What scrolls must be reached by the keyboard and say what it is.
    silent = shown.value("""
        Array.from(document.querySelectorAll('.scroll, .image')).filter(
            one => one.tabIndex !== 0 || !one.getAttribute('aria-label')).length
    """)
    assert silent == 0


def test_on_paper_everything_is_open(page: Page, complete_report: Path) -> None:
    page.show(DESK, dark=True)
    page.open(complete_report.as_uri())
    wanted = page.value("Array.from(document.querySelectorAll('h2, h3, summary, caption'), one => one.textContent)")
    folded = page.value("Array.from(document.querySelectorAll('details td'), one => one.textContent).slice(-40)")
    pages = pypdf.PdfReader(io.BytesIO(page.pdf())).pages
    text = _letters(" ".join(one.extract_text() for one in pages))
    assert len(pages) > 5
    assert [one for one in [*wanted, *folded] if _letters(one) not in text] == []
    images = {(image.name, len(image.data)) for one in pages for image in one.images}
    assert len(images) >= page.value("new Set(Array.from(document.images, one => one.src)).size")


def test_numbers_of_the_page_are_those_of_the_files(page: Page, complete_report: Path) -> None:
    page.show(DESK, dark=False)
    page.open(complete_report.as_uri())
    shown = page.value("document.body.textContent")
    for row in json.loads((complete_report.parent / "questions.json").read_text())["questions"]:
        assert row["answer"].replace("`", "") in shown
        assert f"{row['number']}. {row['question']}" in shown


def _letters(text: str) -> str:
    """Letters and digits alone: where lines break, and whether f and i join, is the printer's choice."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text))
