"""Kill commands, go on as a user would, and compare with a run that nothing disturbed; run pairs on one folder.

    python benchmarks/kills.py                        # 100 kills, 20 pairs: about 40 minutes on two cores
    python benchmarks/kills.py --only report --kills 10 --pairs 0

A command is killed by SIGKILL, SIGTERM or SIGINT, at a write event (just before a file is opened for writing, renamed,
linked or removed, or some milliseconds after) or at a random moment; a third of the commands that go on are killed,
too. Afterwards every number must be that of an undisturbed run, durations and dates apart, and every folder must hold
the same files: run directory, cache, data and temporary files. Two commands on one folder must leave what one of them
leaves, or one after the other; who is refused is told in one line by whom.

Exits with 1 if anything differs or is left behind; the folder of such a case is kept and named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from file_server import FileServer, Served, running  # noqa: E402
from same_folders import differences, snapshot  # noqa: E402
from small import write_files  # noqa: E402
from test_registry import plug_in  # noqa: E402

HOOK = '''
"""Loaded by every Python process of a command: counts its write events, and ends it at one of them."""
import os, signal, sys, threading, time

role = "worker" if any("study.worker" in word for word in sys.orig_argv) else "command"
under = os.environ.get("KILLS_UNDER")
at, late, how = (float(word) for word in os.environ.get("KILLS_AT", "0 0 9").split())
mine = os.environ.get("KILLS_ROLE", "command") == role
seen = 0


def end():
    time.sleep(late)
    if role == "worker":
        os.killpg(0, signal.SIGKILL)  # the whole command: as when the machine goes down
    os.kill(os.getpid(), int(how))


def heard(event, args):
    global seen
    if event == "open":
        path, mode, flags = args
        writes = isinstance(path, (str, bytes)) and (flags or 0) & (os.O_WRONLY | os.O_RDWR)
    elif event in ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"):
        path, writes = args[0], True
    else:
        return
    if not writes or not os.path.abspath(os.fsdecode(path)).startswith(under):
        return
    seen += 1
    if os.environ.get("KILLS_COUNTS") and role == "command":
        os.truncate(os.environ["KILLS_COUNTS"], seen)
    if mine and seen == at:
        threading.Thread(target=end, daemon=True).start() if late else end()


if under:
    sys.addaudithook(heard)
'''

FILES = """
import os
from connfit.datasets.registry import DataFile, Dataset

TOY = Dataset(
    name="served", label="Files of a server on this machine", organism="none", licence="CC0", citation="nobody",
    source="made up", sizes={}, connectome=None, recording=None, recordings=("1",),
    files=tuple(DataFile(**file) for file in __import__("json").loads(os.environ.get("KILLS_FILES", "[]"))),
)
"""

PATIENCE_S = 3600
"""For one command, on a machine that others use."""

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

OPTIONS = (
    "--epochs", "2", "--set", "train.free_run_epochs=1", "--set", 'evaluate.baselines=["mean","persistence"]',
    "--set", "evaluate.left_out_units=0",
)  # fmt: skip
FIT = ("fit", "own.toml", "--out", "run", *OPTIONS)
STUDY = ("evaluate", "run", "--full", "--seeds", "2", "--rows", "untrained", "--rows", "shuffle_signs", "--jobs", "2")
ANALYZE = ("analyze", "run", "--repeats", "20", "--power-draws", "0", "--eigenvalues", "4", "--neurons", "10")
SHIU = (
    "simulate", "--model", "shiu", "--data", "own.toml", "--out", "spikes", "--stimulate", "id:n3=100",
    "--readout", "id:n4", "--screen", "id:n5", "--trials", "2", "--seconds", "0.2",
)  # fmt: skip
CHECK = (
    "check", "edges.csv", "neurons.csv", "movie1.npz", "--sign-rule", "fly-paper", "--figure", "data.svg",
    "--write", "checked.toml",
)  # fmt: skip
SIMULATE = ("simulate", "run", "--silence", "id:n3", "--seconds", "5", "--name", "one")
MAKE = ("data", "make", "fly-surrogate", "--scale", "0.01", "--out", "store")
FETCH = ("data", "fetch", "served", "--to", "store")


def same(command: Sequence[str]) -> Callable[[Path], Sequence[str]]:
    return lambda folder: command


def after_fit(folder: Path) -> Sequence[str]:
    return ("resume", "run") if (folder / "run" / "config.json").exists() else FIT


@dataclass(frozen=True)
class Case:
    """A command, what must have been run before, how a user goes on after a kill, and its share of 100 kills."""

    command: Sequence[str]
    before: Sequence[Sequence[str]]
    again: Callable[[Path], Sequence[str]]
    share: int


CASES = {
    "fit": Case(FIT, (), after_fit, 14),
    "evaluate": Case(("evaluate", "run"), (FIT,), same(("evaluate", "run")), 14),
    "evaluate --full": Case(STUDY, (FIT,), same(STUDY), 8),
    "analyze": Case(ANALYZE, (FIT,), same(ANALYZE), 10),
    "simulate": Case(SIMULATE, (FIT,), same(SIMULATE), 8),
    "simulate --model": Case(SHIU, (), same(SHIU), 8),
    "check": Case(CHECK, (), same(CHECK), 4),
    "report": Case(("report", "run"), (FIT,), same(("report", "run")), 12),
    "data make": Case(MAKE, (), same(MAKE), 8),
    "data fetch": Case(FETCH, (), same(FETCH), 14),
}

SEVEN = (*FIT, "--seed", "7")
PAIRS = {
    "fit + fit": ((), FIT, SEVEN, 5),
    "fit + evaluate": ((), FIT, ("evaluate", "run"), 2),
    "evaluate + report": ((FIT,), ("evaluate", "run"), ("report", "run"), 3),
    "analyze + report": ((FIT,), ANALYZE, ("report", "run"), 2),
    "evaluate --full, twice": ((FIT,), STUDY, (*STUDY, "--seeds", "1"), 2),
    "data make, twice": ((), MAKE, MAKE, 2),
    "data fetch, twice": ((), FETCH, FETCH, 4),
}
"""What was run before, two commands, and the share of 20 pairs."""

REFUSED = re.compile(r"in use by process \d+ on |holds a run already|no run here|no such run|has not finished")


@dataclass
class Place:
    """Where commands are run, and what is made there only once."""

    work: Path
    environment: dict[str, str]
    made: dict[tuple[Any, ...], Path] = field(default_factory=dict)

    def start(self, folder: Path, command: Sequence[str], **kills: str) -> subprocess.Popen[str]:
        own = {"CONNFIT_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp"), "KILLS_UNDER": str(folder)}
        return subprocess.Popen(
            [sys.executable, "-m", "connfit", *command], cwd=folder, env={**self.environment, **own, **kills},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, folder: Path, command: Sequence[str], **kills: str) -> tuple[int, str]:
        process = self.start(folder, command, **kills)
        error = process.communicate(timeout=PATIENCE_S)[1]
        return process.returncode, error

    def new(self, name: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"{re.sub('[^a-z]+', '-', name)}-", dir=self.work))
        write_files(folder)
        (folder / "tmp").mkdir()
        return folder

    def after(self, *commands: Sequence[str]) -> Path:
        """A folder in which these commands were run one after the other, undisturbed; not to be changed."""
        if commands not in self.made:
            folder = self.new("undisturbed")
            for done in range(len(commands), 0, -1):
                if commands[:done] in self.made:
                    copy(self.made[commands[:done]], folder)
                    commands_left = commands[done:]
                    break
            else:
                commands_left = commands
            for command in commands_left:
                code, error = self.run(folder, command)
                if code and command == commands[0]:
                    raise SystemExit(f"undisturbed, {' '.join(command)}: exit {code}: {error}")
            self.made[commands] = folder
        return self.made[commands]


def copy(source: Path, target: Path) -> None:
    """Copy with times, by which figures are known to be drawn already."""
    shutil.rmtree(target)
    shutil.copytree(source, target)


def kill_often(place: Place, name: str, kills: int, rng: np.random.Generator) -> tuple[Counter[str], list[str]]:
    """Kill a command so many times; counts by kind of kill, and problems."""
    case, counts, problems = CASES[name], Counter[str](), []
    for done in range(1, len(case.before) + 1):
        place.after(*case.before[:done])
    right = snapshot(place.after(*case.before, case.command))
    log = place.work / "counts"
    log.write_bytes(b"")
    trial = place.new(name)
    if case.before:
        copy(place.after(*case.before), trial)
    began = time.perf_counter()
    place.run(trial, case.command, KILLS_COUNTS=str(log))
    events, whole_s = log.stat().st_size, time.perf_counter() - began
    began = time.perf_counter()
    problems += [f"undisturbed, a second time: {text}" for text in differences(snapshot(trial), right)]
    shutil.rmtree(trial)
    while counts["kills"] < kills:
        folder, command, story = place.new(name), case.command, []
        if case.before:
            copy(place.after(*case.before), folder)
        while True:
            how = SIGNALS[counts["kills"] % len(SIGNALS)]
            if counts["kills"] % 3:
                at = int(rng.integers(1, max(events, 2) + 1))
                late = float(rng.choice([0, rng.uniform(0, 0.02)]))
                role = "worker" if "--full" in command and rng.random() < 0.5 else "command"
                code, error = place.run(folder, command, KILLS_AT=f"{at} {late:.4f} {int(how)}", KILLS_ROLE=role)
                what, kind = f"{how.name} at write event {at} of {events} ({role}) + {late:.3f} s", "at write events"
            else:
                process = place.start(folder, command)
                try:
                    process.wait(delay := float(rng.uniform(0, whole_s)))
                except subprocess.TimeoutExpired:
                    process.send_signal(how)
                error = process.communicate(timeout=PATIENCE_S)[1]
                code, what, kind = process.returncode, f"{how.name} after {delay:.2f} s", "at random"
            hit = code in (-how, 128 + how, -signal.SIGKILL) or "\nKeyboardInterrupt" in error  # as Python starts
            if hit:
                counts.update(["kills", kind, how.name])
                story.append(f"{' '.join(command[:2])}: {what}")
            elif code:
                problems.append(f"{what}: exit {code}: {error[-300:]}")
                break
            if not hit or counts["kills"] >= kills or rng.random() > 1 / 3:
                break
            command = case.again(folder)
        if not story:
            shutil.rmtree(folder)
            continue
        code, error = place.run(folder, case.again(folder))
        wrong = [f"exit {code}: {error[-400:]}"] if code else list(differences(snapshot(folder), right))
        counts.update(["ended alike" if not wrong else "ended otherwise"])
        if wrong:
            problems.append(f"{folder}: {', then '.join(story)}: {'; '.join(wrong[:4])} ({len(wrong)})")
        else:
            shutil.rmtree(folder)
        print(f"  {', then '.join(story)}: ended {'otherwise' if wrong else 'alike'}", flush=True)
    counts["seconds"] = round(time.perf_counter() - began)
    return counts, problems


def run_pairs(place: Place, name: str, pairs: int, rng: np.random.Generator) -> tuple[Counter[str], list[str]]:
    """Run two commands at once on one folder; counts by what became of them, and problems."""
    before, first, second, _ = PAIRS[name]
    counts, problems = Counter[str](), []
    orders = [(*before, first), (*before, second), (*before, first, second), (*before, second, first)]
    for number in range(pairs):
        folder = place.new(name)
        if before:
            copy(place.after(*before), folder)
        one = place.start(folder, first)
        time.sleep(0 if number == 0 else float(rng.uniform(0, 12 if "data" not in name else 1)))
        two = place.start(folder, second)
        ended = [(process.communicate(timeout=PATIENCE_S)[1], process.returncode) for process in (one, two)]
        counts.update(["pairs", f"exit {ended[0][1]} and {ended[1][1]}"])
        wrong = [
            f"exit {code}: {error[-300:]}"
            for error, code in ended
            if code and (code != 2 or not REFUSED.search(error.strip().rpartition("\n")[2]))
        ]
        if all(code for _, code in ended):
            wrong.append("neither won")
        found = snapshot(folder)
        apart = []
        for order in orders:
            apart = list(differences(found, snapshot(place.after(*order))))
            if not apart:
                break
        wrong += apart[:3]
        if wrong:
            problems.append(f"{folder}: {'; '.join(wrong)}")
        else:
            shutil.rmtree(folder)
    return counts, problems


@contextmanager
def serving() -> Iterator[str]:
    """A server with the files of the data set `served`; gives what is registered of them, as JSON."""
    with running() as server:
        yield json.dumps([file for file in registered(server)])


def registered(server: FileServer) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(0)
    for path, size, published in (("a.bin", 400_000, True), ("b.csv", 200_000, False), ("c/d.bin", 300_000, True)):
        data = rng.bytes(size)
        known = {"bytes": size, "sha256": hashlib.sha256(data).hexdigest() if published else None}
        yield {"path": path, "url": server.serve(path, Served(data, pace_s=0.01)), **known}


def main() -> None:
    """Kill, run pairs, print a table; see the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="Over all commands.")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--only", action="append", help="This command, or this pair; may be repeated.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # A shell's background jobs ignore it, and so would every command that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    work = Path(tempfile.mkdtemp(prefix="connfit-kills-"))
    hooks = work / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(HOOK)
    plug_in(hooks, "served_files", FILES, {"connfit.datasets": {"served": "served_files:TOY"}})
    environment = {
        **os.environ, "PYTHONPATH": str(hooks), "JAX_COMPILATION_CACHE_DIR": str(work / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "NO_PROXY": "127.0.0.1", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    rng, wrong = np.random.default_rng(options.seed), []
    with serving() as files:
        place = Place(work, {**environment, "KILLS_FILES": files})
        for names, run in ((CASES, kill_often), (PAIRS, run_pairs)):
            chosen = [name for name in names if name in (options.only or names)]
            of = [names[name].share if names is CASES else names[name][3] for name in chosen]
            wanted = options.kills if names is CASES else options.pairs
            for name, share in zip(chosen, of, strict=True):
                count = round(wanted * share / sum(of))
                if not count:
                    continue
                counts, problems = run(place, name, count, rng)
                print(f"{name}: {', '.join(f'{value} {key}' for key, value in counts.items())}", flush=True)
                print("".join(f"  {problem}\n" for problem in problems), end="", flush=True)
                wrong += problems
    if wrong:
        raise SystemExit(f"{len(wrong)} problems; folders are kept in {work}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
