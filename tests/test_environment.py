"""What the environment says is checked, in Python as on the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from small import first_fast

from connfit._system.devices import jax_refusals
from connfit._system.environment import check_environment, whole_number
from connfit.datasets.fetch import cache_root, search_folders
from connfit.errors import ConfigError

WRONG = [
    *((name, value) for name in ("CONNFIT_THREADS", "CONNFIT_MAX_BYTES") for value in (
        "abc", "0", "-1", "1e9", "1.5", "\u00b2", "9" * 5000)),
    ("CONNFIT_OPS", "fast"), ("CONNFIT_ISA", "avx"), ("CONNFIT_DATA", "/etc/passwd"),
    ("CONNFIT_CACHE", "/etc/passwd"), ("CONNFIT_THREAD", "2"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_nonsense_is_an_error_that_names_the_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        check_environment()


def test_what_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("THREADS", "MAX_BYTES", "OPS", "ISA", "DATA", "CACHE"):
        monkeypatch.setenv(f"CONNFIT_{name}", "")
    check_environment()
    assert whole_number("CONNFIT_THREADS") is None
    monkeypatch.setenv("CONNFIT_THREADS", "1000000000")
    assert whole_number("CONNFIT_THREADS") == 10**9


def test_python_is_told_at_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNFIT_THREADS", "abc")
    from connfit.models.ops.operators import resolve

    with pytest.raises(ConfigError, match="CONNFIT_THREADS='abc'"):
        resolve("auto", np.dtype(np.float32))
    monkeypatch.setenv("CONNFIT_DATA", "/etc/passwd")
    with pytest.raises(ConfigError, match="CONNFIT_DATA=/etc/passwd"):
        search_folders("worm")


def test_a_cache_whose_place_is_not_known_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNFIT_CACHE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: f"~/.cache/{name}")
    with pytest.raises(ConfigError, match="set CONNFIT_CACHE"):
        cache_root()


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "connfit", "data", "list"], capture_output=True, text=True,
        env=os.environ | {"CONNFIT_THREADS": "abc"},
    )  # fmt: skip
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and "CONNFIT_THREADS='abc'" in ended.stderr


REFUSED = [
    ("JAX_ENABLE_X64", "maybe", "true or false"), ("JAX_NUM_CPU_DEVICES", "abc", "a whole number"),
    ("JAX_ARRAY_GARBAGE_COLLECTION_GUARD", "maybe", "one of allow, log, fatal"),
    ("JAX_COMPILER_DETAILED_LOGGING_MIN_OPS", "1.5", "a whole number"),
    ("JAX_DEFAULT_DEVICE", "gpus", "a platform name string like 'cpu'"),
    ("JAX_PLATFORMS", "gpus", "unset it"), ("JAX_PLATFORM_NAME", "gpus", "unset it"),
    ("XLA_FLAGS", "--gpus=2", "--name=value"),
    ("XLA_FLAGS", "--xla_cpu_enable_fast_math=maybe", "--name=value"), ("XLA_FLAGS", "/nonexistent", "name of a file"),
]  # fmt: skip
"""What JAX answers with an error of its own while it is imported, and XLA by ending the process."""


@pytest.mark.parametrize(("name", "value", "right"), first_fast(REFUSED, 4))
def test_what_jax_refuses_is_one_line_that_names_the_variable(name: str, value: str, right: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "connfit", "report", "nowhere"], capture_output=True, text=True,
        env=os.environ | {name: value},
    )  # fmt: skip
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1, ended.stderr
    assert f"{name}={value!r}" in ended.stderr and right in ended.stderr


def test_python_is_told_what_jax_refuses() -> None:
    program = "import connfit as cf\ntry: cf.fit\nexcept cf.ConnfitError as error: print(error)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | {"JAX_ENABLE_X64": "2"}
    )
    assert ended.returncode == 0 and ended.stdout.startswith("JAX_ENABLE_X64='2' is refused by JAX"), ended


def test_an_error_that_has_nothing_to_do_with_variables_stays_itself() -> None:
    with pytest.raises(ValueError, match="too many"), jax_refusals():
        raise ValueError("too many")
    with pytest.raises(TypeError), jax_refusals():
        jnp.zeros(3).reshape("HOME")  # type: ignore[arg-type]


@pytest.mark.parametrize("shut", ["1>&-", "0<&-", "| head -1", "2>&-"])
def test_streams_that_are_shut_cost_no_traceback(shut: str, tmp_path: Path) -> None:
    environment = os.environ | {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = subprocess.run(
        f"{sys.executable} -m connfit data list {shut}", shell=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
