"""Reading files in a process of little memory and time: what came of each file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

MEMORY = 400 << 20
"""Bytes beyond what the interpreter and its libraries have."""

SECONDS = 10

_PROGRAM = """
import importlib, json, resource, sys, time
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from connfit.errors import ConnfitError
module, name = sys.argv[1].split(":")
read = getattr(importlib.import_module(module), name)
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (size, size))
for path in map(Path, sys.argv[4:]):
    began = time.monotonic()
    try:
        read(path)
        said = ""
    except ConnfitError as error:
        said = str(error)
    print(json.dumps([said, time.monotonic() - began]), flush=True)
"""


def outcomes(
    reader: str, paths: Iterable[Path], *, memory: int = MEMORY, environment: Mapping[str, str] | None = None
) -> list[str]:
    """Read files with `module:function`, one after the other; the error of each, empty where there was none.

    A reader that ends the process, raises anything else, or takes longer than `SECONDS` fails the test.
    """
    listed = [str(path) for path in paths]
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, reader, str(memory), str(Path(__file__).parent), *listed],
        capture_output=True, text=True, timeout=30 + SECONDS * len(listed), env=os.environ | dict(environment or {}),
    )  # fmt: skip
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(lines) == len(listed), f"{listed[len(lines)]}: {ended.stderr[-2000:]}"
    late = [(path, took) for path, (_, took) in zip(listed, lines, strict=True) if took > SECONDS]
    assert not late
    return [said for said, _ in lines]
