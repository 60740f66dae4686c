"""Hooks of mkdocs: files outside docs/ become pages, and links that work in the repository work on the site.

README.md is the site's first page. A link to a folder leads to a page that lists it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LISTED = {"docs/schema": "Result files", "examples/own_data": "Own tables and recordings"}
"""Folders that pages link to, and the titles of their pages."""
SHOWN = {".py": "python", ".toml": "toml"}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def outside() -> list[str]:
    """Paths in the repository of the files beside docs/ that the site has."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "CITATION.cff")]
    found += [
        *(ROOT / "benchmarks").glob("*.md"),
        *shown("examples/own_data"),
        *(ROOT / "examples/measured").glob("*.csv"),
    ]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def site_path(path: str) -> str:
    """Where a file or folder of the repository is on the site."""
    if path == "README.md":
        return "index.md"
    if path in LISTED:
        path += "/index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"project/{path}"


def shown(folder: str) -> list[Path]:
    """Files of a folder that pages link to."""
    return sorted(path for path in (ROOT / folder).iterdir() if path.suffix in {".json", *SHOWN})


def listing(folder: str) -> str:
    """The page of a folder: its files, with those that are short to read shown."""
    lines = [f"# {LISTED[folder]}", ""]
    lines += [f"- [{path.name}]({path.name})" for path in shown(folder)]
    for path in shown(folder):
        if path.suffix in SHOWN:
            lines += ["", f"## {path.name}", "", f"```{SHOWN[path.suffix]}", path.read_text(encoding="utf-8"), "```"]
    return "\n".join(lines) + "\n"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files beside docs/, and the pages of folders."""
    for path in outside():
        files.append(File.generated(config, site_path(path), abs_src_path=str(ROOT / path)))
    for folder in LISTED:
        files.append(File.generated(config, site_path(folder), content=listing(folder)))
    return files


def in_repository(page: str) -> str:
    """Where in the repository a page of the site comes from."""
    if page == "index.md":
        return "README.md"
    return page.removeprefix("project/") if page.startswith("project/") else f"docs/{page}"


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let relative links lead where they lead in the repository."""
    here = in_repository(page.file.src_uri)

    def there(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link[1]))
        if not (ROOT / target).exists():
            return link[0]  # mkdocs names it
        return posixpath.relpath(site_path(target), posixpath.dirname(page.file.src_uri) or ".") + (link[2] or "")

    return LINK.sub(there, markdown)


OF_NOTEBOOK = re.compile(r'(?<=href=")(?!\w+:)([^"#]+)\.(?:md|py)(?=["#])')


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links of a tutorial lead to the pages of the files that they name: it comes here as HTML."""
    return OF_NOTEBOOK.sub(r"\1.html", html) if page.file.src_uri.startswith("tutorials/") else html


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Name the search box for screen readers."""
    return output.replace(
        'data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'
    )
