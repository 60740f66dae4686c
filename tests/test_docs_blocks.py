"""Commands, options, configurations and links of README.md, CONTRIBUTING.md and docs/ exist as they are written there.

`tests/test_readme.py` runs the README's Python, `make docs` that of all pages.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.main import get_command

from connfit import cli
from connfit import config as configuration

ROOT = Path(__file__).parents[1]
PAGES = [path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if path.exists()]
PAGES += [path for path in sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
LANGUAGES = {"sh", "python", "toml", ""}
SHELL = {"cd", "export", "pip", ".", "tar"}
"""Programs of the system, which need no check here."""
PLACEHOLDERS = {"...", "…"}
SECTIONS = {field.name for field in msgspec.structs.fields(configuration.Config)}
GROUP: Any = get_command(cli.app)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


def blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    """Line, language and text of each code block of a page."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        yield text[: found.start()].count("\n") + 1, found[2].strip(), found[3]


def command_lines(text: str) -> Iterator[list[str]]:
    """Words of each command of a shell block, without comments and what assigns variables."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=\S*", words[0]):
            words = words[1:]
        if words:
            yield words


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """The command of connfit that words name, and what follows its name."""
    command = GROUP
    while hasattr(command, "commands"):  # a group
        if not words and command.invoke_without_command:
            break
        assert words and words[0] in command.commands, f"connfit has no command {' '.join(words[:1])!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def check_options(command: Any, words: list[str]) -> None:
    """Fail for options that a command does not have."""
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    named = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} - {"--help"}
    assert named <= known, f"{command.name} has no {sorted(named - known)}"


def check_settings(words: list[str]) -> None:
    """Fail for `--set` of an option that does not exist, or with a value that it refuses."""
    given = [after for word, after in pairwise(words) if word == "--set"]
    empty = configuration.from_dict({"data": {}})
    for setting in given:
        if ".py:" not in setting and not any(mark in setting for mark in PLACEHOLDERS):
            configuration.override(empty, [setting])


def check_connfit(words: list[str]) -> None:
    """Fail for a command line that the real one would not accept."""
    command, rest = find_command(words)
    check_options(command, rest)
    check_settings(rest)
    if not PLACEHOLDERS & set(rest) and "--help" not in rest:
        command.make_context(command.name, list(rest))


def check_script(words: list[str]) -> None:
    """Fail for a script that is not in the repository, or an option that it does not name."""
    if words[0] == "-m":
        return
    script = ROOT / words[0]
    assert script.is_file(), f"there is no {words[0]}"
    source = script.read_text(encoding="utf-8")
    options = [word.partition("=")[0] for word in words[1:] if word.startswith("--")]
    assert [option for option in options if f'"{option}"' not in source] == [], words[0]


def is_written(words: list[str], written: set[str]) -> bool:
    """Whether a command runs a script that one before it in the same block has written."""
    return words[0].startswith("python") and any(words[1].startswith(f"{folder}/") for folder in written)


def check_make(words: list[str]) -> None:
    """Fail for a target that the Makefile does not have."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [word for word in words if not re.search(rf"^{re.escape(word)}:", text, re.MULTILINE)] == []


def check_dask(words: list[str]) -> None:
    """Fail for a command line that dask would not accept."""
    command = import_module(f"distributed.cli.dask_{words[0]}").main
    check_options(command, words[1:])
    command.make_context(words[0], words[1:])


def check_srun(words: list[str]) -> None:
    """What SLURM starts is a command of connfit."""
    CHECKS["connfit"](words[words.index("connfit") + 1 :])


CHECKS = {
    "dask": check_dask,
    "connfit": check_connfit,
    "python": check_script,
    "python3": check_script,
    "make": check_make,
    "srun": check_srun,
}


@pages
def test_commands_are_accepted(page: Path) -> None:
    for line, language, text in blocks(page):
        assert language in LANGUAGES, f"line {line}: nothing checks blocks of {language}"
        if language == "sh":
            written = {after for words in command_lines(text) for word, after in pairwise(words) if word == "--out"}
            for words in command_lines(text):
                if is_written(words, written):
                    continue
                assert words[0] in {*CHECKS, *SHELL}, f"line {line}: nothing checks {words[0]}"
                if words[0] in CHECKS:
                    CHECKS[words[0]](words[1:])
        elif not language:
            assert not re.search(r"^(connfit [a-z-]+ |import |python3? |\[data\])", text, re.MULTILINE), (
                f"line {line}: of which language?"
            )


@pages
def test_commands_in_sentences_exist(page: Path) -> None:
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for said in re.findall(r"`(connfit [a-z][^`]*)`", prose):
        words = shlex.split(said.replace("'", "")) if said.count('"') % 2 == 0 else said.split()
        if words[1] in PLACEHOLDERS:
            continue
        command, rest = find_command(words[1:])
        check_options(command, rest)


@pages
def test_configurations_are_read(page: Path) -> None:
    for line, language, text in blocks(page):
        if language == "toml":
            values = tomllib.loads(text)
            if set(values) != {"project"}:
                assert set(values) <= SECTIONS, f"line {line}: sections are {sorted(SECTIONS)}"
                configuration.from_dict({"data": {}} | values)


@pages
def test_python_compiles(page: Path) -> None:
    for line, language, text in blocks(page):
        if language == "python":
            compile("\n" * line + text, str(page), "exec")


@pages
def test_links_lead_somewhere(page: Path) -> None:
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    links = [
        target for target in re.findall(r"\]\(([^)#\s]+)", prose) if "://" not in target and "mailto:" not in target
    ]
    assert [target for target in links if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("tutorial", sorted((ROOT / "docs" / "tutorials").glob("*.py")), ids=lambda path: path.stem)
def test_commands_of_tutorials_are_accepted(tutorial: Path) -> None:
    text = tutorial.read_text(encoding="utf-8")
    commands = re.findall(r"^# !(connfit .*)$", text, re.MULTILINE)
    assert commands or "import connfit as cf" in text
    for command in commands:
        check_connfit(shlex.split(command)[1:])


def test_the_first_tutorial_takes_at_most_eight_commands_or_ten_lines() -> None:
    text = (ROOT / "docs" / "tutorials" / "worm.py").read_text(encoding="utf-8")
    assert len(re.findall(r"^# !", text, re.MULTILINE)) <= 8
    python = text.partition("# ## The same in ten lines of Python")[2].partition("# %%\n")[2].partition("\n# %%")[0]
    assert 0 < len([line for line in python.splitlines() if line.strip()]) <= 10
