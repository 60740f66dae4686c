"""Cells: what one neuron does with its input in one step; one file a cell.

A cell is a subclass of `connfit.models.neuron.Neuron`. Registered as a `Cell` in `CELLS`, in a module here or in
another package behind an entry point of the group `connfit.cells`, it has a name that configurations (`model.cell`),
`--help`, studies and reports know. One that is not registered is named by where it is: `"package.module:Class"` or
`"path/to/file.py:Class"`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from connfit._registry import Entry, Options, Registry
from connfit._system.foreign import described, note_foreign, raised_at
from connfit._system.paths import user_path
from connfit.errors import ConfigError, ConnfitError, did_you_mean
from connfit.models.base import GROUPS
from connfit.models.checked_neuron import check_declared, place_of
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.neuron import Neuron


@dataclass(frozen=True, kw_only=True)
class Cell(Entry):
    """A kind of neuron by name.

    Parameters
    ----------
    name
        `model.cell` in configurations.
    neuron
        What a neuron does. Fields of the class are its options, as are the starting values of its parameters; those
        that section `model` has are taken from there, others from `model.cell_options`.
    does
        The same in words for tables; default: the first line of the class's docstring.
    in_studies
        Whether it is a row of every study whose run has another cell.
    """

    neuron: type[Neuron]
    does: str = ""
    in_studies: bool = True

    def __post_init__(self) -> None:
        if not self.does:
            object.__setattr__(self, "does", self.neuron.in_words())

    @property
    def row(self) -> str:
        """Name of its row in studies, and of the row's folders."""
        return self.name.replace("-", "_")

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of parameters that such a model can have; `model.groups` says which one does."""
        return *GROUPS, *(parameter.name for parameter in self.neuron.parameters)

    @property
    def forcible(self) -> bool:
        """Whether what read-outs see is a state, which state forcing can move."""
        return self.neuron.observed is Neuron.observed

    @property
    def options(self) -> type[Options]:
        """Class of its options."""
        return _options_of(self.neuron)

    def build(self, conditions: ModelConditions, **options: Any) -> ConnectomeModel:
        """Build the model with options of the cell."""
        return ConnectomeModel.wire(conditions, self.with_options(**options))

    def with_options(self, **options: Any) -> Neuron:
        """Return the neuron with options of the cell."""
        named = [parameter.name for parameter in self.neuron.parameters]
        starts = tuple((name, float(options.pop(name))) for name in named if options.get(name) is not None)
        try:
            return self.neuron(**options, starts=starts)
        except ConnfitError:
            raise
        # Whatever a user's class raises at options of the right types.
        except Exception as error:
            given = ", ".join(f"{key} = {value!r}" for key, value in options.items())
            raise ConfigError(
                f"{place_of(self.neuron)} cannot be made with {given or 'no options'} ({described(error)})"
            ) from error


CELLS: Registry[Cell] = Registry("cell", Cell, room=__name__, group="connfit.cells")
"""Cells by name."""


def find_cell(name: str) -> Cell:
    """Return the cell that `model.cell` names.

    Parameters
    ----------
    name
        That of a registered cell, `"package.module:Class"` or `"path/to/file.py:Class"`.

    Raises
    ------
    ConfigError
        If there is none, or it is no cell.
    """
    place, colon, attribute = name.rpartition(":")
    if name in CELLS or not colon:
        return CELLS.find(name, "model.cell")
    module = _file(name, place) if place.endswith(".py") else _package(name, place)
    found = getattr(module, attribute, None)
    if not (isinstance(found, type) and issubclass(found, Neuron)):
        there = [key for key, one in vars(module).items() if isinstance(one, type) and one is not Neuron]
        what = "is no subclass of connfit.models.Neuron" if found is not None else "is not there"
        raise ConfigError(f"model.cell = {name!r}: {attribute} {what}{did_you_mean(attribute, there)}")
    check_declared(found)
    where = f"{user_path(place).resolve()}:{attribute}" if place.endswith(".py") else name
    return Cell(name=where, label=attribute, neuron=found)


def _package(name: str, place: str) -> Any:
    """The module of a cell that Python finds, also in the working directory."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    with _imports(name, place):
        return import_module(place)


def _file(name: str, place: str) -> Any:
    """The module in a file, as the file is now."""
    path = user_path(place).resolve()
    if not path.is_file():
        raise ConfigError(f"model.cell = {name!r}: there is no file {path}")
    found = path.stat()
    return _module(name, path, (found.st_mtime_ns, found.st_size))


@cache
def _module(name: str, path: Path, version: tuple[int, int]) -> Any:
    """The module in a version of a file."""
    spec = spec_from_file_location(f"connfit_cell_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look names up
    with _imports(name, spec.name):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _imports(name: str, module: str) -> Iterator[None]:
    """Have an error of a module that is imported name the cell, the line and what it was."""
    note_foreign(module)
    try:
        yield
    # Whatever a user's file raises when it is imported, or ends with.
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"model.cell = {name!r} cannot be imported ({raised_at(error) or described(error)})"
        ) from error


@cache
def _options_of(neuron: type[Neuron]) -> type[Options]:
    """Options as their own class: fields of a cell, and the starting value of each of its parameters."""
    try:
        return _struct_of(neuron)
    # A type that is not there, or of which no option can be.
    except (NameError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{place_of(neuron)}: options are the fields of a frozen dataclass, with types as of a configuration "
            f"(numbers, text, Literal, lists), but here they cannot be read ({described(error)})"
        ) from error


def _struct_of(neuron: type[Neuron]) -> type[Options]:
    hints = get_type_hints(neuron, include_extras=True)
    own: list[Any] = [
        (one.name, hints[one.name]) if one.default is MISSING else (one.name, hints[one.name], one.default)
        for one in fields(neuron)
        if one.name != "starts"
    ]
    starts = [(one.name, float, one.start) for one in neuron.parameters]
    made = msgspec.defstruct(f"{neuron.__name__}Options", [*own, *starts], bases=(Options,), frozen=True, kw_only=True)
    assert issubclass(made, Options)
    return made
