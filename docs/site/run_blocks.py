"""Run the Python of every page, and the commands that begin with the repository's own examples, in an empty folder.

Usage: python docs/site/run_blocks.py

Blocks of one page share their names, as a reader's session would; `given.py` makes the runs that pages speak of. The
README's are run by `make test`. Other commands need a reader's files: `tests/test_docs_blocks.py` has the command line
parse them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
GIVEN = re.compile(r'"runs/(s\d|worm)"')
ABSENT = re.compile(r"NotAvailableError: (dataset '[^']+')")
"""Data that cannot be fetched from a public address, and is not on every machine."""
OF_EXAMPLES = re.compile(r"(python|connfit fit) examples/")


def programs() -> Iterator[tuple[Path, list[str], str]]:
    """Page, program and its input, in the order of the pages; nothing twice."""
    seen = set()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
        python = "\n".join(text for language, text in blocks if language == "python")
        if python:
            yield page, [sys.executable, "-"], python
        for language, text in blocks:
            lines = tuple(re.sub(r"\s*#.*", "", line) for line in text.strip().splitlines())
            if language == "sh" and lines not in seen and all(OF_EXAMPLES.match(line) for line in lines):
                seen.add(lines)
                yield page, ["bash", "-e"], text


def main() -> int:
    """Run all of it; print what failed, and return whether anything did."""
    failed = 0
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for page, program, text in programs():
        with tempfile.TemporaryDirectory() as folder:
            if GIVEN.search(text):
                subprocess.run([sys.executable, Path(__file__).with_name("given.py")], cwd=folder, check=True)
            shutil.copytree(ROOT / "examples", Path(folder) / "examples", ignore=shutil.ignore_patterns("data"))
            before = time.perf_counter()
            ran = subprocess.run(program, input=text, cwd=folder, env={**os.environ, "PATH": path}, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        name = page.relative_to(ROOT)
        if ran.returncode and (absent := ABSENT.search(ran.stdout)):
            print(f"{name}: {program[0].rpartition('/')[2]}, left out: {absent[1]} is not here (set CONNFIT_DATA)")
            continue
        print(f"{name}: {program[0].rpartition('/')[2]}, {time.perf_counter() - before:.0f} s")
        if ran.returncode:
            failed += 1
            print(text, ran.stdout, f"{name}: exit status {ran.returncode}", sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
