"""The documentation site has a place for every page, and every public name has its text in the API reference."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NAVIGATION = ROOT / "mkdocs.yml"
pytestmark = pytest.mark.skipif(not NAVIGATION.exists(), reason="no documentation here")


@pytest.fixture(scope="module")
def site() -> Iterator[None]:
    """Let scripts of docs/site be imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs" / "site"))
        yield


@pytest.fixture(scope="module")
def public(site: None) -> dict[str, Any]:
    """Public objects by the names that the reference must have."""
    from public_names import public_names, public_objects  # pyright: ignore[reportMissingImports]

    every = public_objects()
    return {name: every[name] for name in public_names()}


def test_every_page_is_in_the_navigation() -> None:
    navigation = NAVIGATION.read_text(encoding="utf-8").partition("\nnav:\n")[2]
    named = set(re.findall(r"([\w./-]+\.(?:md|py))\s*$", navigation, re.MULTILINE))
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in [*docs.rglob("*.md"), *docs.glob("tutorials/*.py")]}
    assert pages and pages <= named, f"mkdocs.yml has no place for {sorted(pages - named)}"
    listed = {name for name in named if not name.startswith("project/") and not name.endswith("index.md")}
    assert listed <= pages, f"mkdocs.yml names what is not there: {sorted(listed - pages)}"


def test_the_reference_has_every_public_name(public: dict[str, Any]) -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
    shown = re.findall(r"^::: (\S+)$", pages, re.MULTILINE)
    assert len(shown) == len(set(shown)), "a name is shown twice"
    assert set(shown) == set(public)


def test_every_public_name_says_what_it_is(public: dict[str, Any]) -> None:
    silent = [name for name, value in public.items() if callable(value) and not _own_text(value)]
    assert silent == []


def test_public_methods_say_what_they_do(public: dict[str, Any]) -> None:
    silent = []
    for name, value in public.items():
        if inspect.isclass(value):
            fields = getattr(value, "__annotations__", {})
            own = [key for key in vars(value) if key[0] != "_" and key not in fields]
            silent += [f"{name}.{key}" for key in own if not _method_text(value, key)]
    assert silent == []


def _method_text(value: type, key: str) -> str:
    """The docstring of a method or property, its own or that of the one it replaces; of other attributes a word."""
    found = [vars(base)[key] for base in value.__mro__ if key in vars(base)]
    functions = [getattr(each, "__func__", None) or getattr(each, "fget", None) or each for each in found]
    if not inspect.isfunction(functions[0]):
        return "a value"
    return next((text for each in functions if (text := inspect.getdoc(each))), "")


PAGE = '<h1 id="top">A</h1><img src="a.svg" alt="A"><a href="b.html#there">b</a><a href="https://example.org">c</a>'


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("", ""), None),
        (("a.svg", "https://example.org/a.svg"), "a.html: loads https://example.org/a.svg"),
        (("<h1", "<style>@import url(//example.org/a.css);</style><h1"), "a.html: loads //example.org/a.css"),
        (("<h1", '<link rel="preconnect" href="https://example.org"><h1'), "a.html: loads https://example.org"),
        (("b.html#there", "b.html#here"), "a.html: b.html#here: there is no such anchor"),
        (("b.html", "c.html"), "a.html: c.html#there leads nowhere"),
        ((' alt="A"', ""), "a.html: a picture without a text: a.svg"),
    ],
)
def test_what_is_wrong_with_a_built_site_is_found(
    site: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], problem: str | None
) -> None:
    import check_site  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(check_site, "public_names", lambda: ["connfit.fit"])
    (tmp_path / "a.html").write_text(PAGE.replace(*change) if change[0] else PAGE, encoding="utf-8")
    (tmp_path / "b.html").write_text('<p id="there">B</p>', encoding="utf-8")
    (tmp_path / "a.svg").write_text("<svg/>", encoding="utf-8")
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "fitting.html").write_text('<h2 id="connfit.fit">fit</h2>', encoding="utf-8")
    assert check_site.problems(tmp_path) == ([problem] if problem else [])
    (tmp_path / "reference" / "fitting.html").write_text("", encoding="utf-8")
    assert "connfit.fit is not in the API reference" in check_site.problems(tmp_path)


def _own_text(value: Any) -> str:
    """The docstring of an object itself, not one that it inherits or that a dataclass makes."""
    text = vars(value).get("__doc__") if inspect.isclass(value) else inspect.getdoc(value)
    return "" if (text or "").startswith(f"{value.__name__}(") else (text or "").strip()
