"""Part of `make check`: every type of what `connfit.__all__` exports is known to whoever imports it."""

from __future__ import annotations

import inspect
import json
import os
import site
import subprocess
import sys
from pathlib import Path

import connfit

SOURCE = Path(__file__).parents[1] / "src"


def exported() -> tuple[str, ...]:
    """Full names of what is exported, where it is defined."""
    found = []
    for name in connfit.__all__:
        value = getattr(connfit, name)
        if inspect.ismodule(value):
            found.append(value.__name__)
        elif hasattr(value, "__qualname__"):
            found.append(f"{value.__module__}.{value.__qualname__}")
        found.append(f"connfit.{name}")
    return tuple(found)


def main() -> int:
    """Print what is wrong, and return how often."""
    # The checker looks for imported packages on this path alone.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), *site.getsitepackages()])}
    checker = Path(sys.executable).with_name("basedpyright")
    options = ["--verifytypes", "connfit", "--ignoreexternal", "--outputjson"]
    ran = subprocess.run([checker, *options], env=environment, capture_output=True, text=True)
    symbols = json.loads(ran.stdout)["typeCompleteness"]["symbols"]
    public, wrong = exported(), 0
    known = {symbol["name"] for symbol in symbols}
    absent = [name for name in connfit.__all__ if f"connfit.{name}" not in known and not name.startswith("__")]
    for name in absent:
        print(f"connfit.{name}: the checker does not see it")
    for symbol in symbols:
        name = symbol["name"]
        if symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]:
            continue
        if any(name == one or name.startswith(f"{one}.") for one in public):
            wrong += 1
            for said in symbol["diagnostics"] or [{"message": "its type is not known"}]:
                print(f"{name}: {said['message']}")
    print(f"{len(symbols)} symbols, {wrong} of the public ones without a known type")
    return wrong + len(absent)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
