"""What is said about the package in several places is the same in all of them."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

import connfit

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"arch": "arch-py", "matplotlib": "matplotlib-base"}
"""Packages that conda-forge has under other names."""
pytestmark = pytest.mark.skipif(not (ROOT / "conda").exists(), reason="an installed package has no recipe")


def project() -> dict[str, object]:
    """The table `project` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_the_same_everywhere() -> None:
    version = re.escape(connfit.__version__)
    for path, line in {
        "CITATION.cff": rf"^version: {version}$",
        "conda/recipe.yaml": rf'^  version: "{version}"$',
        "CHANGELOG.md": rf"^## \[{version}\]",
    }.items():
        assert re.search(line, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), path


def test_the_newest_release_comes_first_in_the_changelog_with_the_date_of_its_citation() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    releases = [re.findall(r"^\[([\d.]+)\] - (.+)$", heading)[0] for heading in headings[1:]]
    versions = [version for version, _ in releases]
    assert versions[0] == connfit.__version__
    assert versions == sorted(versions, key=lambda number: [int(part) for part in number.split(".")], reverse=True)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\ndate-released: {date.fromisoformat(releases[0][1])}\n" in citation


def test_the_conda_recipe_requires_what_the_project_requires() -> None:
    recipe = (ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    run = recipe.partition("\n  run:\n")[2].partition("\n\n")[0]
    found = {re.sub(r"^ *(- if: |then: |- )", "", line) for line in run.splitlines()}
    wanted = {f"python {project()['requires-python']}"}
    for requirement in project()["dependencies"]:  # type: ignore[union-attr]  # a list of text
        ((name, version, below),) = re.findall(
            r"^([\w-]+)>=([\d.]+)(?:; python_version < '([\d.]+)')?$", requirement
        )  # fmt: skip
        wanted.add(f"{CONDA_NAMES.get(name, name)} >={version}")
        wanted |= {f'match(python, "<{below}")'} if below else set()
    assert found == wanted


def test_wheels_are_tested_on_pythons_that_are_supported() -> None:
    workflow = (ROOT / ".github" / "workflows" / "wheels.yml").read_text(encoding="utf-8")
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", str(project()["requires-python"])).groups()  # type: ignore[union-attr]
    tested = [int(text) for text in re.findall(r'"3\.(\d+)"', workflow)]
    assert min(tested) == int(low) and max(tested) == int(high) - 1
