"""Imports go one way, and importing does no work."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import connfit

SOURCE = Path(connfit.__file__).parent

# From left to right: a unit (module or subpackage) imports from the groups before its own and from itself only.
ORDER = (
    {"errors", "_types", "huge_pages", "allocator"},
    {"region_synapses", "connectome_checks"},
    {"config", "connectome", "recording", "checkpoint", "optimiser"},
    {"anatomy", "matching", "preprocess", "ops", "training_range"},
    {"data", "cohort", "models", "evaluate", "nulls"},
    {"learn", "simulate", "perturb", "analyze", "rates", "held_rates"},
    {"training_step", "validation", "report"},
    {"train", "memory", "recipe"},
    {"job"},
    {"run", "evaluation_run", "gradient_fidelity", "learning_curves"},
    {"gradcheck", "perturbation_run", "recovery", "study", "brain_analysis"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)
LEVEL = {unit: level for level, units in enumerate(ORDER) for unit in units}

# What the order alone does not say.
ONLY = {
    "config": {"errors", "_types"},
    "ops": {"errors", "_types"},
    "preprocess": {"errors", "_types", "recording"},
    "evaluate": {"errors", "_types", "config", "recording"},
    "report": {"errors", "_types", "config", "connectome", "checkpoint", "recording", "evaluate", "analyze"},
}
OUTSIDE = {"matplotlib": {"report"}, "typer": {"cli"}}


def unit_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).parts
    return parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import of a file, wherever in it; `from connfit import x` is connfit.x."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            submodule = node.module == "connfit"
            for name in [f"connfit.{alias.name}" for alias in node.names] if submodule else [node.module or ""]:
                yield node.lineno, name


MODULES = sorted(SOURCE.rglob("*.py"))


def test_every_module_has_its_place() -> None:
    assert {unit_of(path) for path in MODULES} == set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_come_from_the_left(path: Path) -> None:
    unit = unit_of(path)
    for line, name in imported(path):
        top, *rest = name.split(".")
        where = f"{path.name}:{line}: {unit} imports {name}"
        if top in OUTSIDE:
            assert unit in OUTSIDE[top], where
        # connfit.__version__ and the like come from the package itself, which only those to the right of it may use;
        # evaluation_run reads the version alone, when it runs.
        if top != "connfit" or not rest or rest[0] == unit or rest[0] == "__version__":
            continue
        assert rest[0] in LEVEL, f"{where}: import the module that defines it"
        assert LEVEL[rest[0]] < LEVEL[unit], where
        assert rest[0] in ONLY.get(unit, LEVEL), where


@pytest.mark.parametrize("package", ["evaluate", "analyze"])
def test_evaluation_knows_nothing_of_fitting(package: str) -> None:
    """Stated on its own, for a fit that could reach into its own scores would be worth nothing."""
    for path in (SOURCE / package).glob("*.py"):
        for line, name in imported(path):
            assert name.split(".")[1:2] not in (["learn"], ["train"], ["training_step"], ["run"]), f"{path}:{line}"


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


def test_public_names_exist() -> None:
    assert sorted(connfit.__all__) == list(dict.fromkeys(sorted(connfit.__all__)))
    assert all(hasattr(connfit, name) for name in connfit.__all__)
