"""Help that lists what is registered, pieces of other packages included; it is looked up only where it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from typer.core import TyperCommand

from connfit.config import LearnerConfig, ModelConfig

if TYPE_CHECKING:
    from connfit._registry import Registry


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _rules() -> str:
    from connfit.training.learners import RULES

    return _names(RULES) + _options("learner.rule_options", RULES, LearnerConfig)


def _cells() -> str:
    from connfit.models.cells import CELLS

    return _names(CELLS) + _options("model.cell_options", CELLS, ModelConfig)


def _nulls() -> str:
    from connfit.connectome.nulls import NULLS

    return _names(NULLS) + _options("data.null_options", NULLS)


def _baselines() -> str:
    from connfit.evaluation.baselines import BASELINES

    return _names(BASELINES) + _options("evaluate.baseline_options", BASELINES, by_name=True)


def _analyses() -> str:
    from connfit.analysis.analyses import ANALYSES

    return _names(ANALYSES) + _options("", ANALYSES, by_name=True)


def _readers() -> str:
    from connfit.recordings.readers import READERS

    return _names(READERS)


def _exports() -> str:
    from connfit.export.formats import EXPORTS

    return _names(f"{name} ({entry.label})" for name, entry in EXPORTS.items())


def _connectomes() -> str:
    from connfit.connectome.formats import FORMATS

    return _names(FORMATS)


def _rows() -> str:
    from connfit.connectome.nulls import NULLS
    from connfit.evaluation.baselines import BASELINES
    from connfit.training.learners import RULES

    rules = (rule.row for rule in RULES.values() if rule.in_studies)
    nulls = (null.name for null in NULLS.values() if null.in_studies)
    return f"learning rules ({_names(rules)}), null connectomes ({_names(nulls)}) and baselines ({_names(BASELINES)})"


def _options(
    where: str, registry: Registry[Any], section: type[msgspec.Struct] | None = None, *, by_name: bool = False
) -> str:
    """Own options of pieces with their defaults, as they are set, but those that a section has for all of them."""
    shared = () if section is None else section.__struct_fields__
    found = [
        f"--set {f'{where}.{name}'.strip('.') if by_name else where}.{option}={value!r}"
        + ("" if by_name else f" of {name}")
        for name, piece in registry.items()
        for option, value in piece.option_defaults().items()
        if option not in shared
    ]
    return f"; with the options {_names(found)}" if found else ""


LISTS: dict[str, Callable[[], str]] = {
    "{cells}": _cells, "{rules}": _rules, "{nulls}": _nulls, "{baselines}": _baselines, "{rows}": _rows,
    "{analyses}": _analyses, "{readers}": _readers, "{connectomes}": _connectomes, "{exports}": _exports,
}  # fmt: skip
"""What stands in help texts for a list of names."""


class PieceCommand(TyperCommand):
    """A command whose help says which pieces there are."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help with all lists filled in."""
        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text:
                filled = re.sub(r"{\w+}", lambda found: LISTS[found.group()](), text)
                parameter.help = filled  # pyright: ignore[reportAttributeAccessIssue]
        super().format_help(ctx, formatter)
