"""The rooms of the package, and that importing does no work. That imports go one way is import-linter's to check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import connfit

SOURCE = Path(connfit.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
ROOMS = {
    "_system", "analysis", "cli", "config", "connectome", "datasets", "evaluation", "export", "models", "recordings",
    "report", "training",
}  # fmt: skip
LOOSE = {"__init__", "__main__", "_console", "_display", "_io", "_registry", "_typing", "_version", "errors", "plugins"}


def test_the_rooms_are_those_of_the_architecture() -> None:
    assert {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists()} == ROOMS
    assert {path.stem for path in SOURCE.glob("*.py")} == LOOSE
    assert (SOURCE / "py.typed").exists()


def test_no_two_modules_have_one_name() -> None:
    names = Counter(path.stem for path in MODULES if path.stem != "__init__" and path.parent != SOURCE)
    assert {name for name, count in names.items() if count > 1} == set()


def test_no_module_is_long() -> None:
    lines = {str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_every_room_says_what_lives_there() -> None:
    for path in MODULES:
        assert path.read_text(encoding="utf-8").startswith('"""'), path


PROBE = """
import importlib, json, pkgutil, sys
import connfit
first = sorted(name for name in ("matplotlib", "typer", "pynwb", "oasis") if name in sys.modules)
for module in pkgutil.walk_packages(connfit.__path__, "connfit."):
    if module.name != "connfit.__main__" and "kernels" not in module.name:
        importlib.import_module(module.name)
from jax._src import xla_bridge
print(json.dumps({"early": first, "backends": xla_bridge.backends_are_initialized()}))
"""


def test_importing_makes_no_files_and_touches_no_device(tmp_path: Path) -> None:
    home = {key: str(tmp_path) for key in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "CONNFIT_DATA")}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE],
        cwd=tmp_path,
        env={**os.environ, **home, "MPLCONFIGDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"early": [], "backends": False}
    # Matplotlib keeps a list of fonts from its first import on; that is its own, and only the report pays for it.
    assert [
        path.name for path in tmp_path.rglob("*") if "matplotlib" not in str(path) and "fontlist" not in path.name
    ] == []


@pytest.mark.parametrize("module", ["connfit", "connfit.cli"])
def test_the_command_line_and_the_package_start_without_what_takes_long_to_import(module: str) -> None:
    slow = "asyncio", "h5py", "jax", "numpy", "pandas", "scipy", "xarray"
    probe = f"import sys, {module}; print([name for name in {slow} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_public_names_exist() -> None:
    assert sorted(connfit.__all__) == list(dict.fromkeys(sorted(connfit.__all__)))
    assert all(hasattr(connfit, name) for name in connfit.__all__)
