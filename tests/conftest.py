"""Fixtures shared by all tests."""

from __future__ import annotations

import atexit
import gc
import mmap
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from file_server import FileServer
from hypothesis import settings

# Before anything imports NumPy or SciPy, which load their BLAS then: its threads wait for each other by spinning, which
# on matrices as small as the tests' costs more than it gains, above all beside another worker. Subprocesses inherit it.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# Most of the suite's time is XLA compiling small programs that run once: less without its expensive passes.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Half of what remains is XLA lowering every fused loop through MLIR, and cutting a program into parts to be compiled by
# threads: 3.5 times less of a processor's time for tests/test_strengths.py without. Subprocesses inherit it too.
FLAGS = ("--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1")


def _set_flags() -> None:
    """Add those of `FLAGS` that this version of XLA has: it aborts on others."""
    package = find_spec("jaxlib")
    library = Path(package.origin or "").with_name("libjax_common.so") if package else Path()
    given = os.environ.get("XLA_FLAGS", "")
    if not library.is_file():
        return
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        names = {flag: flag.removeprefix("--").partition("=")[0] for flag in FLAGS}
        flags = [flag for flag, name in names.items() if name not in given and content.find(name.encode()) >= 0]
    os.environ["XLA_FLAGS"] = " ".join([*given.split(), *flags])


def _share_programs() -> None:
    """Let workers and subprocesses use each other's compiled programs: a fifth of the suite's time, see above."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # of the user, or this is a worker
        return
    folder = tempfile.mkdtemp(prefix="connfit-tests-programs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    # Every program, however small: it is compiled a hundred times otherwise.
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"


def _one_thread() -> None:
    """Tell a BLAS that a plugin of pytest has loaded by now, so that it did not see the variables."""
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(int(os.environ["OPENBLAS_NUM_THREADS"]), user_api="blas")


_set_flags()
_share_programs()
_one_thread()
# Where in the source an operation was written: read in profiles, of which tests take none.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
# Example by example, a busy machine is slow without being wrong.
settings.register_profile("connfit", deadline=None)
settings.load_profile("connfit")


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later collection of garbage, and collect seldom: JAX makes little of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


MOST_MAPPINGS = 40_000
"""Of a process, of the 65,530 that Linux grants by default: XLA maps several for each program, and crashes without."""

LOOK_AFTER_S = 3.0
"""Of a processor's time, in which some hundred programs are compiled; to count mappings takes up to 20 ms."""

_looked_s = time.process_time()


@pytest.fixture(autouse=True)
def few_mappings() -> Iterator[None]:
    """Forget compiled programs before there are too many for one process: some modules compile thousands."""
    global _looked_s
    yield
    if "jax" not in sys.modules or time.process_time() < _looked_s + LOOK_AFTER_S:
        return
    _looked_s = time.process_time()
    mappings = Path("/proc/self/maps")
    if mappings.is_file() and mappings.read_bytes().count(b"\n") > MOST_MAPPINGS:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with the public data sets; the test is skipped where it is absent."""
    candidates = [os.environ.get("CONNFIT_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    for candidate in candidates:
        if candidate and (Path(candidate) / "worm" / "neurons.csv").exists():
            return Path(candidate)
    pytest.skip("needs the worm data: set CONNFIT_DATA to the folder that holds worm/neurons.csv")


@pytest.fixture(scope="session", autouse=True)
def _kept_programs() -> Iterator[None]:
    """Let no command that runs in this process forget the programs of all tests: a third of the time of its next fit.

    Commands that tests start as processes do forget, and `tests/test_command_memory.py` sees that a fit asks for it.
    """
    from connfit.cli import fit_command

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_command, "forget_programs", lambda: None)
        yield


@pytest.fixture(scope="session")
def complete_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `report.html` of a run directory to which every command has added its files; not to be changed."""
    from report_run import complete_run

    from connfit.report import write_report

    return write_report(complete_run(tmp_path_factory.mktemp("complete") / "run"))


@pytest.fixture(scope="session")
def odd_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated run of two recordings whose names, and those of units, are odd; not to be changed."""
    from odd_names import fitted_run

    return fitted_run(tmp_path_factory.mktemp("odd") / "run")


@pytest.fixture(scope="module")
def dots() -> Iterator[None]:
    """Write dots in the place of the pictures of reports, in a module that looks at none."""
    from pictures import only_dots

    with pytest.MonkeyPatch.context() as patch:
        only_dots(patch.setattr)
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[FileServer]:
    """A file server that misbehaves on request."""
    from file_server import running

    with running() as one:
        yield one


@pytest.fixture
def quick_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, small pieces, no proxy."""
    from connfit.datasets import download

    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    monkeypatch.setattr(download, "_CHUNK", 1000)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def float64() -> Iterator[None]:
    """Run a test in double precision."""
    import jax  # not above: it imports NumPy

    with jax.enable_x64(True):
        yield
