"""Faults of the machine for every command: each ends in one line, and going on gives the numbers of a quiet run.

`python tests/faults.py` (as root, for it mounts small disks) tries all; `--fault` and `--command` choose by a part of
the name. `tests/test_system_errors.py` tries a few.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

from file_server import Served, running  # noqa: E402
from same_folders import differences, snapshot  # noqa: E402
from small import write_files  # noqa: E402

PYTHON = sys.executable
QUICK = (
    "--epochs", "2", "--set", "train.free_run_epochs=1", "--set", 'evaluate.baselines=["mean", "ar"]',
)  # fmt: skip

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "fit": ("fit", "{config}", "--out", "{out}", *QUICK),
    "resume": ("resume", "{run}"),
    "evaluate": ("evaluate", "{run}"),
    "study": ("evaluate", "{run}", "--full", "--seeds", "1", "--rows", "ar", "--rows", "rewire_degrees"),
    "report": ("report", "{run}"),
    "check": (
        "check", *(f"{{data}}/{name}" for name in ("edges.csv", "neurons.csv", "movie1.npz")), "--sign-rule",
        "fly-paper", "--figure", "{out}/data.svg", "--write", "{out}/checked.toml",
    ),
    "fit on devices": ("fit", "{config}", "--out", "{out}", *QUICK, "--set", "train.devices=2"),
    "shiu": (
        "simulate", "--model", "shiu", "--data", "{config}", "--out", "{out}", "--stimulate", "id:n3=100",
        "--readout", "id:n4", "--screen", "id:n5", "--trials", "2", "--seconds", "0.2",
    ),
    "simulate": ("simulate", "{run}", "--silence", "id:n3", "--seconds", "3"),
    "analyze": ("analyze", "{run}", "--repeats", "20", "--power-draws", "0"),
    "gradcheck": (
        "gradcheck", "{config}", "--out", "{out}", "--frames", "20", "--segments", "1", "--window", "4",
        "--epochs", "0",
    ),
    "recover": (
        "recover", "--out", "{out}", "--neurons", "40", "--frames", "100", "--recorded", "1", "--noise", "0.5",
        "--observation-noise", "0", "--strengths", "known", "--seeds", "1", "--updates", "4",
    ),
    "export": ("export", "{run}", "--to", "tables", "--to", "numpy", "--out", "{out}"),
    "data make": ("data", "make", "fly-surrogate", "--scale", "0.01", "--out", "{out}"),
    "data fetch": ("data", "fetch", "worm", "--to", "{out}"),
    "data list": ("data", "list"),
    "list": ("list", "--json"),
}  # fmt: skip

ENVIRONMENT: Mapping[str, Mapping[str, str]] = {
    "fit on devices": {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
}
"""What a command needs to be set."""

FETCH = """
import hashlib, sys
from dataclasses import replace
from connfit.datasets import download
from connfit.datasets.registry import DATASETS, DataFile
url, size, checksum = sys.argv[1], int(sys.argv[2]), sys.argv[3]
download.PAUSE_S = 0.0
DATASETS._entries["worm"] = replace(DATASETS["worm"], files=(DataFile("one", size, checksum, url),))
sys.argv = ["connfit", *sys.argv[4:]]
from connfit.__main__ import main
main()
"""


_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

_REACHABLE = f"""
home=$(dirname "$(dirname "$(readlink -f {shlex.quote(PYTHON)})")")
mkdir -p /tmp/.python && mount --bind "$home" /tmp/.python && mount -t tmpfs -o mode=755 none /root
mkdir -p "$home" && mount --bind /tmp/.python "$home" && umount /tmp/.python;
"""
"""Have everybody reach an interpreter that lies in root's home, for one process."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    err: str
    seconds: float
    unheard: bool = False
    """Whether a line has nowhere to go."""

    @property
    def line(self) -> str:
        """The line that says why, or the last one."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("connfit: ") and "caution: " not in line]
        return (said or lines or [""])[-1]

    def problem(self, codes: Sequence[int]) -> str:
        """What is wrong with how it ended; empty where nothing is."""
        said = sum(line.startswith("connfit: ") for line in self.err.splitlines())
        said -= self.err.count("connfit: caution: ")
        if "Traceback" in self.err:
            return "a traceback"
        if self.code not in codes:
            return f"code {self.code} instead of {', '.join(map(str, codes))}"
        if said != (self.code > 0 and self.code != 141) and not self.unheard:
            return f"{said} lines"
        return ""


@dataclass
class Place:
    """Where commands are tried: files of a small brain, a finished run, and a folder for what a trial writes."""

    root: Path
    good: Path
    config: Path
    fetch: tuple[str, ...]
    env: dict[str, str]
    quiet: dict[str, tuple[dict[str, object], float]] = field(default_factory=dict)

    def command(self, name: str, folder: Path) -> list[str]:
        """The arguments of a command that writes into a folder."""
        run, out = folder / "run", folder / "out"
        words = [part.format(config=self.config, data=self.config.parent, run=run, out=out) for part in COMMANDS[name]]
        program = ["-c", FETCH, *self.fetch] if name == "data fetch" else ["-m", "connfit"]
        return [PYTHON, *program, *words]

    def fresh(self, folder: Path, name: str) -> Path:
        """A folder with what a command needs."""
        folder.mkdir(parents=True, exist_ok=True)
        if "{run}" in " ".join(COMMANDS[name]):
            shutil.copytree(self.good, folder / "run")
        return folder

    def run(
        self,
        name: str,
        folder: Path,
        *,
        before: str = "",
        after: str = "",
        env: Mapping[str, str | None] | None = None,
        user: bool = False,
        own_mounts: bool = False,
        meanwhile: Callable[[subprocess.Popen[bytes]], None] | None = None,
    ) -> Ended:
        """Run a command, after some shell commands, with redirections behind it."""
        given = {
            key: value
            for key, value in {**self.env, **ENVIRONMENT.get(name, {}), **(env or {})}.items()
            if value is not None
        }
        run = "" if "|" in after else "exec "  # a pipe needs the shell
        text = f"{before} {run}{shlex.join(self.command(name, folder))} {after}"
        shell = ["bash", "-c", text]
        if user:
            shell = ["unshare", "-m", "bash", "-c", f"{_REACHABLE} exec {shlex.join([*_NOBODY, *shell])}"]
        if own_mounts:
            shell = ["unshare", "-m", *shell]
        began = time.monotonic()
        process = subprocess.Popen(
            shell, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=given, cwd=self.root,
        )  # fmt: skip
        if meanwhile:
            threading.Thread(target=meanwhile, args=(process,), daemon=True).start()
        try:
            err = process.communicate(timeout=600)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            err = process.communicate()[1]
        return Ended(process.returncode, err.decode(errors="replace"), time.monotonic() - began, "2>" in after)

    def undisturbed(self, name: str) -> tuple[dict[str, object], float]:
        """What a command leaves that nothing disturbs, and the seconds that it takes."""
        if name not in self.quiet:
            folder = self.fresh(Path(tempfile.mkdtemp(dir=self.root)), name)
            ended = self.run(name, folder)
            assert ended.code == 0, ended.err
            self.quiet[name] = snapshot(folder), ended.seconds
        return self.quiet[name]

    @contextlib.contextmanager
    def disk(self, name: str, kilobytes: int) -> Iterator[Path]:
        """A small disk of its own, with as much free space beside what a command needs."""
        needed = sum(-(-path.stat().st_size // 4096) * 4 + 4 for path in self.good.rglob("*"))
        size = kilobytes + 16 + (needed if "{run}" in " ".join(COMMANDS[name]) else 0)
        folder = Path(tempfile.mkdtemp(dir=self.root))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", folder], check=True)
        try:
            yield self.fresh(folder, name)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def prepared() -> Iterator[Place]:
    """Files and a finished run in a temporary folder, whose name `same_folders` leaves out of what it compares."""
    content = random.Random(0).randbytes(3_000_000)
    import hashlib

    with tempfile.TemporaryDirectory(prefix="connfit-kills-") as name, running() as server:
        root = Path(name)
        root.chmod(0o755)
        env = {
            **os.environ, "CONNFIT_CACHE": str(root / "cache"), "NO_PROXY": "127.0.0.1", "COLUMNS": "10000",
            "JAX_COMPILATION_CACHE_DIR": str(root / "compiled"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        fetch = (server.serve("one", Served(content)), str(len(content)), hashlib.sha256(content).hexdigest())
        place = Place(root, root / "good", write_files(root), fetch, env)
        ended = place.run("fit", root / "first")
        assert ended.code == 0, ended.err
        (root / "first" / "out").rename(place.good)
        yield place


# A fault tries one command; it returns how that ended, and which codes are right.
Fault = Callable[[Place, str], tuple[Ended, Sequence[int]]]

WRITES = tuple(name for name in COMMANDS if "{" in " ".join(COMMANDS[name]))


def full_disk(kilobytes: int) -> Fault:
    def fault(place: Place, name: str) -> tuple[Ended, Sequence[int]]:
        with place.disk(name, kilobytes) as folder:
            ended = place.run(name, folder)
            # What one could do by hand: make room.
            subprocess.run(["mount", "-o", "remount,size=60m", folder], check=True)
            again = go_on(place, name, folder)
        return joined(ended, again), (0, 2)

    return fault


def go_on(place: Place, name: str, folder: Path) -> str:
    """Do what the line says; returns what is wrong with that."""
    then, fits = name, name.startswith("fit")
    if fits and (folder / "out" / "config.json").exists():
        (folder / "out").rename(folder / "run")
        then = "resume"
    if name == "check":  # which overwrites no configuration
        (folder / "out" / "checked.toml").unlink(missing_ok=True)
    ended = place.run(then, folder, env=ENVIRONMENT.get(name))
    if ended.code:
        return f"going on ends with {ended.code}: {ended.line}"
    if then == "resume" and fits:
        (folder / "run").rename(folder / "out")
    other = list(differences(snapshot(folder), place.undisturbed(name)[0]))
    return f"{len(other)} differences: {'; '.join(other[:3])}" if other else ""


def joined(ended: Ended, again: str) -> Ended:
    return replace(ended, err=f"{ended.err}\nTraceback: {again}") if again else ended


def read_only_mount(place: Place, name: str) -> tuple[Ended, Sequence[int]]:
    with place.disk(name, 2000) as folder:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        return place.run(name, folder), (2,)


def read_only_bind(place: Place, name: str) -> tuple[Ended, Sequence[int]]:
    folder = place.fresh(Path(tempfile.mkdtemp(dir=place.root)), name)
    before = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} &&"
    ended = place.run(name, folder, before=before, own_mounts=True)
    return joined(ended, go_on(place, name, folder)), (2,)


def read_only_folder(place: Place, name: str) -> tuple[Ended, Sequence[int]]:
    folder = place.fresh(Path(tempfile.mkdtemp(dir=place.root)), name)
    folder.chmod(0o755)
    return place.run(name, folder, user=True, env={"HOME": "/nonexistent"}), (2,)


def in_a_file(place: Place, name: str) -> tuple[Ended, Sequence[int]]:
    afile = Path(tempfile.mkstemp(dir=place.root)[1])
    return place.run(name, afile), (2,)


def deleted_folder(seconds: float) -> Fault:
    def fault(place: Place, name: str) -> tuple[Ended, Sequence[int]]:
        folder = place.fresh(Path(tempfile.mkdtemp(dir=place.root)), name)

        def delete(_: object) -> None:
            time.sleep(seconds)
            shutil.rmtree(folder, ignore_errors=True)

        return place.run(name, folder, meanwhile=delete), (0, 2)

    return fault


def with_shell(
    before: str = "",
    after: str = "",
    *,
    codes: Sequence[int],
    user: bool = False,
    own_mounts: bool = False,
    then: bool = False,
    **env: str | None,
) -> Fault:
    """Commands of a shell come before; `then` goes on without them."""

    def fault(place: Place, name: str) -> tuple[Ended, Sequence[int]]:
        folder = place.fresh(Path(tempfile.mkdtemp(dir=place.root)), name)
        if user:
            subprocess.run(["chown", "-R", "65534:65534", folder], check=True)
            folder.chmod(0o755)
        text = before.format(root=place.root, folder=folder)
        ended = place.run(name, folder, before=text, after=after, user=user, own_mounts=own_mounts, env=env)
        return joined(ended, go_on(place, name, folder) if then else ""), codes

    return fault


def bad_folder(variable: str, *, read_only: bool = False) -> Fault:
    """A variable names a folder on a disk without space, or one that cannot be written to: done without."""

    def fault(place: Place, name: str) -> tuple[Ended, Sequence[int]]:
        folder = place.fresh(Path(tempfile.mkdtemp(dir=place.root)), name)
        with place.disk("list", 0) as disk:
            (disk / "sub").mkdir()
            with contextlib.suppress(OSError):
                (disk / "filler").write_bytes(bytes(1 << 20))
            if read_only:
                subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            return place.run(name, folder, env={variable: str(disk / "sub")}), (0,)

    return fault


def stopped(number: int, share: float) -> Fault:
    """A signal after some share of the time that the command takes."""

    def fault(place: Place, name: str) -> tuple[Ended, Sequence[int]]:
        folder = place.fresh(Path(tempfile.mkdtemp(dir=place.root)), name)
        whole = place.undisturbed(name)[1]

        def stop(process: subprocess.Popen[bytes]) -> None:
            time.sleep(0.4 + share * whole)
            process.send_signal(number)

        ended = place.run(name, folder, meanwhile=stop)
        # Before its handlers are there, or when Python takes them back at the end, a signal ends a process itself.
        return joined(ended, go_on(place, name, folder)), (128 + number, 0, -number)

    return fault


_NO_SHM = """
mkdir {folder}.dev; for one in null zero full random urandom; do touch {folder}.dev/$one
mount --bind /dev/$one {folder}.dev/$one; done; mount --rbind {folder}.dev /dev;
"""

_FULL_SHM = "mount -t tmpfs -o size=4k none /dev/shm && head -c 99999 /dev/zero > /dev/shm/filler 2> /dev/null;"

_NO_TMP = """
mount --bind {folder} {folder}; for one in /tmp /var/tmp /usr/tmp; do
test -d $one && mount --rbind $one $one && mount -o remount,ro,bind $one; done;
"""

CACHES = (
    "TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "CONNFIT_CACHE", "MPLCONFIGDIR", "JAX_COMPILATION_CACHE_DIR",
    "NUMBA_CACHE_DIR", "PYTHONPYCACHEPREFIX",
)  # fmt: skip
"""Variables that name folders in which programs keep what they could do without."""

CACHING = ("fit", "report", "data make", "data fetch")

FAULTS: Mapping[str, tuple[Fault, Sequence[str]]] = {
    **{f"disk full at {size} kB": (full_disk(size), WRITES) for size in (0, 40, 200, 600, 800, 1200)},
    "read-only mount": (read_only_mount, WRITES),
    "read-only bind": (read_only_bind, WRITES),
    "read-only folder": (read_only_folder, WRITES),
    "out in a file": (in_a_file, WRITES),
    **{f"folder deleted after {at} s": (deleted_folder(at), WRITES) for at in (1.5, 3, 4.5)},
    "working directory deleted": (
        with_shell("mkdir -p {root}/gone; cd {root}/gone; rmdir {root}/gone;", codes=(0, 2)),
        tuple(COMMANDS),
    ),
    **{
        f"ulimit -f {size}": (with_shell(f"ulimit -f {size};", codes=(0, 2), then=True), WRITES) for size in (0, 4, 100)
    },
    **{
        f"ulimit -v {size}": (with_shell(f"ulimit -v {size};", codes=(0, 2)), tuple(COMMANDS))
        for size in (100_000, 300_000, 700_000, 1_200_000, 2_000_000, 3_000_000)
    },
    **{f"ulimit -n {size}": (with_shell(f"ulimit -n {size};", codes=(0, 2)), tuple(COMMANDS)) for size in (5, 16, 24)},
    **{
        f"ulimit -u {size}": (with_shell(f"ulimit -u {size};", codes=(0, 2), user=True), tuple(COMMANDS))
        for size in (1, 4, 10)
    },
    **{
        f"{variable} {'read-only' if read_only else 'full'}": (bad_folder(variable, read_only=read_only), CACHING)
        for variable in CACHES
        for read_only in (False, True)
    },
    **{
        f"{variable} {label}": (with_shell(codes=(0,), **{variable: place}), CACHING)
        for variable in CACHES
        for label, place in (("a file", "/etc/hostname"), ("that cannot be made", "/proc/none/x"))
        if (variable, label) != ("CONNFIT_CACHE", "a file")
    },
    "CONNFIT_CACHE a file": (with_shell(codes=(2,), CONNFIT_CACHE="/etc/hostname"), CACHING),
    "TMPDIR missing": (with_shell(codes=(0,), TMPDIR="/nonexistent"), WRITES),
    "no temporary folder": (with_shell(_NO_TMP, codes=(0, 2), own_mounts=True, then=True), WRITES),
    "/dev/shm full": (with_shell(_FULL_SHM, codes=(0,), own_mounts=True), WRITES),
    "/dev/shm missing": (with_shell(_NO_SHM, codes=(0,), own_mounts=True), WRITES),
    **{
        f"cache of {label}": (with_shell(codes=(0,), **{"HOME": None, "CONNFIT_CACHE": None, **env}), WRITES)
        for label, env in (
            ("nobody's home", {}),
            ("a HOME that is absent", {"HOME": "/nonexistent"}),
            ("a HOME that is a file", {"HOME": "/etc/hostname"}),
            ("a HOME without a root", {"HOME": "here"}),
            ("an XDG_CACHE_HOME that is a file", {"XDG_CACHE_HOME": "/etc/hostname"}),
            ("an XDG_CACHE_HOME in /proc", {"XDG_CACHE_HOME": "/proc/none"}),
        )
    },
    "stdout full": (with_shell(after=">/dev/full", codes=(0, 2)), tuple(COMMANDS)),
    "stderr full": (with_shell(after="2>/dev/full", codes=(0, 2)), tuple(COMMANDS)),
    "both full": (with_shell(after=">/dev/full 2>&1", codes=(0, 2)), tuple(COMMANDS)),
    "closed streams": (with_shell(after=">&- 2>&- <&-", codes=(0,)), tuple(COMMANDS)),
    "head": (with_shell(after="| head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", codes=(0, 141)), tuple(COMMANDS)),
    **{
        f"{label} at {share:.0%}": (stopped(number, share), WRITES)
        for share in (0, 0.2, 0.45, 0.7, 0.9)
        for label, number in (("SIGINT", 2), ("SIGTERM", 15), ("SIGHUP", 1))
    },
}


def main() -> None:
    """Try faults, and list how commands end."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--fault", default="", help="part of the name of faults")
    options.add_argument("--command", default="", help="commands, separated by commas")
    given = options.parse_args()
    wrong = 0
    with prepared() as place:
        for label, (fault, commands) in FAULTS.items():
            for name in commands:
                if given.fault not in label or (given.command and name not in given.command.split(",")):
                    continue
                ended, codes = fault(place, name)
                problem = ended.problem(codes)
                wrong += bool(problem)
                said = ended.line[:300].replace(str(place.root), ".")
                mark = "!!" if problem else "ok"
                print(f"{mark} {label} | {name} | {ended.code} | {ended.seconds:.1f} s | {said}", flush=True)
                if problem:
                    print(f"   {problem}: ...{ended.err[-1500:]}", flush=True)
    print(f"{wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
