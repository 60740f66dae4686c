"""Changes of a file that keep its form: as bytes, text, integers, JSON or TOML, or of what is packed in it."""

from __future__ import annotations

import json
import random
import re
import tomllib
from collections.abc import Callable
from typing import Any

Change = Callable[[bytes, random.Random], bytes]
"""A file, changed; it is one of `Kind`."""

TOKENS = (
    b"nan", b"inf", b"-inf", b"-1", b"0", b"1e999", b"0x10", b"1e-400", b"99999999999999999999", b"2147483648", b"NA",
    b"n/a", b"null", b"", b"\0", b"\n", b"\n\n", b",", b'"', b"[", b"{", b"[" * 3000, b"\xff\xfe", b"\xed\xa0\x80",
    "\u00b2".encode(), "\u202e".encode(), b"\x1b[31m", b"[/red]", b"$\\frac$", b"9" * 5000, b"..", b"/etc/passwd", b"~",
    b"true", b"1970-01-01", b"1.5.2", b"A" * 70000, b"9223372036854775808", b"1e308", b"-0", b"1_000", b"+5",
)  # fmt: skip
"""What text is replaced by."""

NUMBERS = (0, 1, 2, 3, 5, 127, 128, 255, 300, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63)
"""What integers in binary files are replaced by."""

VALUES = (
    None, True, False, 0, 1, -1, 3, 10**6, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**70, 10**400, 1e308, -1e308, 5e-324,
    float("nan"), float("inf"), -0.5, 0.5, "", "x", "nan", "auto", "\u202e", "\0", "\x1b[31m", "\ud800", "a/b", "..",
    "~", "$HOME", [], [[]], [None], [0, 1], {}, {"a": 1}, {"": {}}, [1, 2, 3], ["x"] * 50, [0.5] * 3000, "x" * 5000,
)  # fmt: skip
"""What values in JSON are replaced by."""


def restructured(values: Any, rng: random.Random) -> Any:
    """Replace, remove, rename, exchange or repeat something at any depth of JSON."""
    inside = list(values) if isinstance(values, dict) else list(range(len(values))) if isinstance(values, list) else []
    if not inside or rng.random() < 0.05:
        return rng.choice(VALUES)
    at = rng.choice(inside)
    match rng.randrange(10):
        case 0:
            del values[at]
        case 1:
            values[at] = rng.choice(VALUES)
        case 2 if isinstance(values, dict):
            values[rng.choice(("x", "", "a/b", "1", "-1", str(2**70), "\0"))] = values.pop(at)
        case 2:
            values.append(values[at])
        case 3:
            other = rng.choice(inside)
            values[at], values[other] = values[other], values[at]
        case 4 if isinstance(values[at], int | float):
            values[at] *= rng.choice((-1, 0, 1e3, 1e-3, 1e30, 10**30))
        case _:
            values[at] = restructured(values[at], rng)
    return values


def several(values: Any, rng: random.Random) -> Any:
    """Restructure a few times."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        values = restructured(values, rng)
    return values


def as_json(content: bytes, rng: random.Random) -> bytes:
    """Change values and keys of JSON."""
    return json.dumps(several(json.loads(content), rng)).encode()


def as_toml(content: bytes, rng: random.Random) -> bytes:
    """Change values and keys of TOML, of which there is no text for what TOML cannot say."""
    values = several(tomllib.loads(content.decode()), rng)
    table = values if isinstance(values, dict) else {"x": values}
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in table.items()).encode("utf-8", "replace")


def toml(value: Any) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def as_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change a few places as bytes, as text or as integers."""
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


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Change a file in the way of its kind, known by its first bytes, or as bytes."""
    from fuzz_shapes import SHAPES

    if rng.random() < 0.6:
        for first, change in SHAPES.items():
            if content.startswith(first):
                return change(content, rng)
    return as_bytes(content, rng)
