"""Damaged files for every reader: each ends in a result or in one line that names the file.

`python tests/fuzz.py --inputs 20000` (`make fuzz`) tries many; `tests/test_fuzz.py` a few. An input is a good file of
some kind with a few bytes, numbers or names changed. It is read in a child process whose memory is bounded, so that a
reader that crashes the interpreter, runs for long or takes all memory is a finding like a traceback is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzz_changes import Change, as_bytes, mutate

SECONDS = 10
"""That one input may take."""

MEMORY = 1 << 30
"""Bytes that one input may take, beyond what the interpreter and its libraries have."""


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Parameters
    ----------
    suffix
        End of its name.
    good
        Contents that are read without an error.
    read
        Reads a file.
    change
        Changes one in the way of its kind.
    """

    suffix: str
    good: tuple[bytes, ...]
    read: Callable[[Path], object]
    change: Change = mutate


@dataclass(frozen=True)
class Finding:
    """An input that a reader did not deal with."""

    kind: str
    seed: int
    what: str


def kinds(folder: Path) -> Mapping[str, Kind]:
    """The kinds of files, with good ones that are made here."""
    from fuzz_files import all_kinds

    return all_kinds(folder)


def inputs(names: Sequence[str], first: int, count: int) -> Iterator[tuple[str, int]]:
    """Kinds in turn, each with the seed of its change."""
    return ((names[seed % len(names)], seed) for seed in range(first, first + count))


def made(kind: Kind, name: str, seed: int) -> bytes:
    """The input of a seed."""
    rng = random.Random(f"{name} {seed}")
    good = rng.choice(kind.good)
    try:
        return kind.change(good, rng)
    except (ValueError, TypeError, KeyError, OSError, ArithmeticError, RuntimeError):
        return as_bytes(good, rng)  # no file can be written with that change


def run(first: int, count: int, *, only: str | None = None, say: Callable[[str], None] = print) -> list[Finding]:
    """Try inputs in a child process that is started anew whenever it ends.

    Parameters
    ----------
    first
        Seed of the first input.
    only
        Kind to keep to.
    """
    waiting: list[tuple[str, int]] | None = None
    found: list[Finding] = []
    while waiting is None or waiting:
        with _child(whole=waiting is None) as (child, ours, names):
            if waiting is None:
                chosen = [name for name in names if name.startswith(only or "")]
                say(f"{len(chosen)} kinds of files; each is read while it is whole")
                waiting = list(inputs(chosen, first, count))[::-1]
                tried = Counter(name for name, _ in waiting)
                say("inputs of each: " + ", ".join(f"{name} {number}" for name, number in sorted(tried.items())))
            found += _batch(waiting, child, ours)
    return found


@contextmanager
def _child(*, whole: bool) -> Iterator[tuple[Any, Connection, list[str]]]:
    """A process that reads inputs, and the kinds that it knows; `whole`: it reads good files first."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(theirs, whole), daemon=True)
    child.start()
    theirs.close()
    try:
        yield child, ours, ours.recv()
    finally:
        child.kill()
        child.join()


def _batch(waiting: list[tuple[str, int]], child: Any, ours: Connection) -> list[Finding]:
    """Give inputs to one child until it ends or nothing is left."""
    found: list[Finding] = []
    while waiting:
        name, seed = waiting.pop()
        ours.send((name, seed))
        if not ours.poll(SECONDS + 5):
            return [*found, Finding(name, seed, f"still running after {SECONDS + 5} s")]
        try:
            problem = ours.recv()
        except EOFError:
            child.join()
            return [*found, Finding(name, seed, f"the interpreter ended with code {child.exitcode}")]
        if problem:
            found.append(Finding(name, seed, problem))
    ours.send(None)
    child.join(5)
    return found


def _serve(channel: Connection, whole: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        known = kinds(folder)
        warnings.simplefilter("ignore")
        for kind in known.values() if whole else ():
            for at, content in enumerate(kind.good):
                path = folder / f"good{at}{kind.suffix}"
                path.write_bytes(content)
                kind.read(path)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        size = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        channel.send(sorted(known))
        while (given := channel.recv()) is not None:
            name, seed = given
            channel.send(examine(known[name], name, seed, folder))


def examine(kind: Kind, name: str, seed: int, folder: Path) -> str:
    """Read one input; returns what went wrong, empty where nothing did."""
    from connfit.errors import ConnfitError

    def late(*_: object) -> None:
        raise TimeoutError

    path = folder / f"input{kind.suffix}"
    path.write_bytes(made(kind, name, seed))
    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        try:
            kind.read(path)
        finally:
            signal.alarm(0)
    except ConnfitError as error:
        return _said(error)
    except TimeoutError:
        return f"more than {SECONDS} s"
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)
        where = next((one for one in reversed(at) if "connfit" in one.filename), at[-1])
        return f"{type(error).__name__}: {str(error)[:150]!r} at {Path(where.filename).name}:{where.lineno}"
    return ""


def _said(error: BaseException) -> str:
    """What is wrong with an error that a user would see; empty where nothing is."""
    text, cause = str(error), error
    while (cause := cause.__cause__ or cause.__context__) is not None:
        if isinstance(cause, MemoryError):
            return f"more than {MEMORY:,} bytes, said as {text[:150]!r}"
    return "" if text and "\n" not in text and len(text) < 20_000 else f"an error of {len(text)} letters: {text[:200]}"


def main() -> None:
    """Try many inputs and list what was found."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--inputs", type=int, default=20_000)
    options.add_argument("--first", type=int, default=0, help="seed of the first input")
    options.add_argument("--only", help="kinds of files whose names begin so")
    options.add_argument("--keep", type=Path, help="folder for the inputs that were findings")
    given = options.parse_args()
    began = time.monotonic()
    found = run(given.first, given.inputs, only=given.only)
    groups: dict[tuple[str, str], list[Finding]] = {}
    for one in found:
        groups.setdefault((one.kind, re.sub(r"\d+", "#", one.what)), []).append(one)
    for (kind, _), members in sorted(groups.items(), key=lambda item: -len(item[1])):
        print(f"{kind}: {len(members)} times, as seed {members[0].seed}: {members[0].what}")
    print(f"{given.inputs} inputs in {time.monotonic() - began:.0f} s: {len(found)} findings of {len(groups)} sorts")
    if given.keep and found:
        given.keep.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as place:
            known = kinds(Path(place))
            for one in found:
                (given.keep / f"{one.seed}{known[one.kind].suffix}").write_bytes(
                    made(known[one.kind], one.kind, one.seed)
                )
        (given.keep / "findings.json").write_text(json.dumps([vars(one) for one in found], indent=1))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
