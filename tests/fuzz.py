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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SECONDS = 10
"""That one input may take."""

MEMORY = 1 << 30
"""Bytes that one input may take, beyond what the interpreter and its libraries have."""

TOKENS = (
    b"nan", b"inf", b"-inf", b"-1", b"0", b"1e999", b"0x10", b"1e-400", b"99999999999999999999", b"2147483648", b"NA",
    b"n/a", b"null", b"", b"\0", b"\n", b"\n\n", b",", b'"', b"[", b"{", b"[" * 3000, b"\xff\xfe", b"\xed\xa0\x80",
    "\u00b2".encode(), "\u202e".encode(), b"\x1b[31m", b"[/red]", b"$\\frac$", b"9" * 5000, b"..", b"/etc/passwd", b"~",
    b"true", b"1970-01-01", b"1.5.2", b"A" * 70000,
)  # fmt: skip
"""What text is replaced by."""

NUMBERS = (0, 1, 2, 3, 5, 127, 128, 255, 300, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63)
"""What integers in binary files are replaced by."""


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
    """

    suffix: str
    good: tuple[bytes, ...]
    read: Callable[[Path], object]


@dataclass(frozen=True)
class Finding:
    """An input that a reader did not deal with."""

    kind: str
    seed: int
    what: str


VALUES = (
    None, True, 0, -1, 2**70, 1e308, -0.5, "", "x", "nan", "\u202e", [], [[]], [None], {}, {"a": 1},
    [1, 2, 3], ["x"] * 50,
)  # fmt: skip
"""What values in JSON are replaced by."""


def restructured(values: Any, rng: random.Random) -> Any:
    """Replace, remove, rename or repeat something at any depth of JSON."""
    inside = list(values) if isinstance(values, dict) else list(range(len(values))) if isinstance(values, list) else []
    if not inside or rng.random() < 0.05:
        return rng.choice(VALUES)
    at = rng.choice(inside)
    match rng.randrange(8):
        case 0:
            del values[at]
        case 1:
            values[at] = rng.choice(VALUES)
        case 2 if isinstance(values, dict):
            values[rng.choice(("x", "", "a/b", "1", "-1"))] = values.pop(at)
        case 2:
            values.append(values[at])
        case _:
            values[at] = restructured(values[at], rng)
    return values


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Change a few places of a file, as JSON, as bytes, as text or as integers."""
    if content[:1] == b"{" and rng.random() < 0.6:
        values = json.loads(content)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            values = restructured(values, rng)
        return json.dumps(values).encode()
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not data:
            return bytes(data)
        at = rng.randrange(len(data))
        match rng.randrange(9):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del data[at:]
            case 3:
                del data[at : at + rng.choice((1, 2, 4, 8, 64, 1000))]
            case 4:
                data[at:at] = rng.choice(TOKENS)
            case 5:
                data[at:at] = data[at : at + rng.choice((1, 8, 64, 1000))]
            case 6:
                width = rng.choice((1, 2, 4, 8))
                value = rng.choice(NUMBERS) % (1 << 8 * width)
                data[at : at + width] = value.to_bytes(width, rng.choice(("little", "little", "big")))
            case 7:
                words = [found.span() for found in re.finditer(rb"[A-Za-z0-9_.+-]+", bytes(data[:200_000]))]
                if words:
                    first, last = rng.choice(words)
                    data[first:last] = rng.choice(TOKENS)
            case _:
                lines = bytes(data).splitlines(keepends=True)
                here, there = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[here], lines[there] = lines[there], lines[here]
                data = bytearray(b"".join(lines))
    return bytes(data)


def kinds(folder: Path) -> Mapping[str, Kind]:
    """The kinds of files, with good ones that are made here."""
    from fuzz_files import all_kinds

    return all_kinds(folder)


def inputs(known: Mapping[str, Kind], first: int, count: int) -> Iterator[tuple[str, int]]:
    """Kinds in turn, each with the seed of its change."""
    names = sorted(known)
    return ((names[seed % len(names)], seed) for seed in range(first, first + count))


def made(kind: Kind, name: str, seed: int) -> bytes:
    """The input of a seed."""
    rng = random.Random(f"{name} {seed}")
    return mutate(rng.choice(kind.good), rng)


def run(first: int, count: int, *, only: str | None = None, say: Callable[[str], None] = print) -> list[Finding]:
    """Try inputs in a child process that is started anew whenever it ends.

    Parameters
    ----------
    first
        Seed of the first input.
    only
        Kind to keep to.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        known = {name: kind for name, kind in kinds(folder).items() if only in (None, name)}
        for kind in known.values():
            for at, content in enumerate(kind.good):
                path = folder / f"good{at}{kind.suffix}"
                path.write_bytes(content)
                kind.read(path)
        say(f"{len(known)} kinds of files; each is read while it is whole")
    waiting, found = list(inputs(known, first, count))[::-1], []
    while waiting:
        found += _batch(waiting)
    return found


def _batch(waiting: list[tuple[str, int]]) -> list[Finding]:
    """Give inputs to one child until it ends or nothing is left."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(theirs,), daemon=True)
    child.start()
    theirs.close()
    assert ours.recv() == "ready"
    found: list[Finding] = []
    try:
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
    finally:
        child.kill()
        child.join()


def _child(channel: Connection) -> None:
    with tempfile.TemporaryDirectory() as place:
        _serve(channel, Path(place))


def _serve(channel: Connection, folder: Path) -> None:
    known = kinds(folder)
    warnings.simplefilter("ignore")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel.send("ready")
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
        kind.read(path)
    except ConnfitError as error:
        text = str(error)
        signal.alarm(0)
        return (
            "" if text and "\n" not in text and len(text) < 20_000 else f"an error of {len(text)} letters: {text[:200]}"
        )
    except TimeoutError:
        return f"more than {SECONDS} s"
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)
        where = next((one for one in reversed(at) if "connfit" in one.filename), at[-1])
        return f"{type(error).__name__}: {str(error)[:150]!r} at {Path(where.filename).name}:{where.lineno}"
    finally:
        signal.alarm(0)
    return ""


def main() -> None:
    """Try many inputs and list what was found."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--inputs", type=int, default=20_000)
    options.add_argument("--first", type=int, default=0, help="seed of the first input")
    options.add_argument("--only", help="kind of file")
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
