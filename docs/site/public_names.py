"""The names that users and other packages import, each to be in the API reference with a docstring."""

from __future__ import annotations

import inspect
from typing import Any

import connfit
import connfit.config
import connfit.errors
import connfit.models
import connfit.plugins
import connfit.report.plot

SAID_ELSEWHERE = {"__version__"}
"""Plain values that need no entry."""


def public_objects() -> dict[str, Any]:
    """Every public object by the name under which the reference has it."""
    found = {f"connfit.{name}": getattr(connfit, name) for name in connfit.__all__}
    found |= {f"connfit.plugins.{name}": getattr(connfit.plugins, name) for name in connfit.plugins.__all__}
    errors = inspect.getmembers(connfit.errors, inspect.isclass)
    found |= {f"connfit.errors.{name}": value for name, value in errors if value.__module__ == "connfit.errors"}
    for module in (connfit.config, connfit.models, connfit.report.plot):
        found |= {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
    return {
        name: value
        for name, value in found.items()
        if name.rpartition(".")[2] not in SAID_ELSEWHERE and not inspect.ismodule(value)
    }


def is_exported_by_connfit(name: str, value: Any) -> bool:
    """Whether the reference has an object as `connfit.NAME`, so that it needs no second entry."""
    short = name.rpartition(".")[2]
    return name.count(".") > 1 and getattr(connfit, short, None) is value


def public_names() -> list[str]:
    """Names that the reference must have."""
    return [name for name, value in public_objects().items() if not is_exported_by_connfit(name, value)]
