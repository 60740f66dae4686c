"""Open tables of pieces by name: one file a piece, one registration that owns its name, label and options.

The modules of the room that holds a registry register their pieces when they are imported; other packages register
through entry points. Both happen when the registry is first looked into, so that importing connfit does no work.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from threading import RLock
from typing import Any, Generic, TypeVar

import msgspec

from connfit._system.foreign import note_foreign
from connfit.errors import ConfigError, unknown

LAST = 1000
"""Place of a piece that gives none."""

REGISTRIES: Mapping[str, str] = {
    "datasets": "connfit.datasets.registry:DATASETS",
    "readers": "connfit.recordings.readers:READERS",
    "preprocessing steps": "connfit.recordings.preprocess:STEPS",
    "connectome formats": "connfit.connectome.formats:FORMATS",
    "null connectomes": "connfit.connectome.nulls:NULLS",
    "cells": "connfit.models.cells:CELLS",
    "indicators": "connfit.models.observation:INDICATORS",
    "starts": "connfit.models.init.start:STARTS",
    "starting weights": "connfit.models.init.starting_weights:WEIGHTS",
    "learning rules": "connfit.training.learners:RULES",
    "baselines": "connfit.evaluation.baselines:BASELINES",
    "analyses": "connfit.analysis.analyses:ANALYSES",
    "export formats": "connfit.export.formats:EXPORTS",
}
"""Where each kind of piece is registered."""


class PluginWarning(UserWarning):
    """A piece of another package could not be registered; everything else works."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of one piece, each with its type, bounds (`msgspec.Meta`) and default.

    Examples
    --------
    >>> class Toy(Options, frozen=True):
    ...     decay: float = 0.9
    >>> read_options(Toy, {"decay": 0.5}, where="evaluate.options.toy")
    Toy(decay=0.5)
    """

    def as_dict(self) -> dict[str, object]:
        """Return the options by name."""
        return msgspec.structs.asdict(self)

    @classmethod
    def defaults(cls) -> dict[str, object]:
        """Return the default of each option; of one that must be given, None."""
        return {
            field.name: None if field.default is msgspec.NODEFAULT else field.default
            for field in msgspec.structs.fields(cls)
        }


OptionsT = TypeVar("OptionsT", bound=Options)


def read_options(kind: type[OptionsT], values: Mapping[str, Any] | None, *, where: str) -> OptionsT:
    """Validate the options of a piece as they stand in a configuration.

    Parameters
    ----------
    where
        Their place in the configuration, for messages.

    Raises
    ------
    ConfigError
        Names the option, and the nearest that exists.
    """
    given = dict(values or {})
    for name in given:
        if name not in kind.__struct_fields__:
            raise unknown(f"option of {where}", name, kind.__struct_fields__)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        text, _, at = str(error).partition(" - at ")
        raise ConfigError(f"{where}{at.strip('`').removeprefix('$')}: {text}") from error


def section_options(kind: type[OptionsT], section: object, others: Mapping[str, Any], *, where: str) -> OptionsT:
    """Validate the options of a piece, some of which a section of the configuration has itself.

    Parameters
    ----------
    section
        Whose fields of the same names are taken.
    others
        The options that it does not have.
    where
        Place of `others` in the configuration, as `"model.cell_options"`.

    Raises
    ------
    ConfigError
        As of `read_options`, and if `others` has what belongs into the section.
    """
    own = {name: getattr(section, name) for name in kind.__struct_fields__ if hasattr(section, name)}
    for name in own:
        if name in others:
            raise ConfigError(f"{where}.{name}: give it as {where.partition('.')[0]}.{name}")
    return read_options(kind, {**own, **others}, where=where)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What every registered piece says of itself; each kind of piece adds its own.

    Parameters
    ----------
    name
        In configurations, on the command line and in files.
    label
        In tables and figures.
    phrase
        In sentences, with its article; default: the label.
    place
        Position among its kind; pieces of one place stand in the order of registration.
    """

    name: str
    label: str
    phrase: str = ""
    place: int = LAST

    def option_defaults(self) -> dict[str, object]:
        """Return the piece's own options with their defaults; of one that must be given, None."""
        kind = getattr(self, "options", None)
        return kind.defaults() if isinstance(kind, type) and issubclass(kind, Options) else {}


EntryT = TypeVar("EntryT", bound=Entry)


def beside_section(options: Options, section: object) -> dict[str, object]:
    """Return the options of a piece that a section of the configuration does not have itself."""
    return {name: value for name, value in options.as_dict().items() if not hasattr(section, name)}


def plugin_versions() -> dict[str, str]:
    """Return the version of every other package that brings pieces, by its name; nothing of it is loaded."""
    groups = [group for group in entry_points().groups if group.startswith("connfit.")]
    points = (point for group in groups for point in entry_points(group=group))
    return {point.dist.name: point.dist.version for point in points if point.dist is not None}


class Registry(Mapping[str, EntryT], Generic[EntryT]):
    """The pieces of one kind by name, ordered by place; they can be added and never taken away.

    Parameters
    ----------
    kind
        What a piece is called in messages, as "baseline".
    entry
        Class of the entries.
    room
        Package whose modules register the pieces of connfit itself, as `"connfit.evaluation.baselines"`.
    group
        Entry points of other packages, as `"connfit.baselines"`: each loads to an entry and bears its name.

    Examples
    --------
    >>> registry = Registry("piece", Entry)
    >>> registry.register(Entry(name="hammer", label="hammer")).label
    'hammer'
    >>> registry["hamer"]
    Traceback (most recent call last):
    connfit.errors.ConfigError: piece is 'hamer', but must be one of hammer; did you mean 'hammer'?
    """

    def __init__(self, kind: str, entry: type[EntryT], *, room: str | None = None, group: str | None = None) -> None:
        self._kind, self._entry, self._room, self._group = kind, entry, room, group
        self._entries: dict[str, EntryT] = {}
        self._packages: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._complete = room is None and group is None
        self._loading = False
        self._lock = RLock()

    def register(self, entry: EntryT) -> EntryT:
        """Add a piece and return it.

        Raises
        ------
        TypeError
            If it is not an entry of this kind.
        ValueError
            If its name is empty or taken.
        """
        if not isinstance(entry, self._entry):
            raise TypeError(f"{entry!r} is no {self._entry.__name__}, as each {self._kind} must be")
        if not entry.name:
            raise ValueError(f"a {self._kind} must have a name")
        if entry.name in self._entries:
            raise ValueError(f"there are two {self._kind}s of the name {entry.name!r}")
        self._entries[entry.name] = entry
        package = self._packages[entry.name] = sys._getframe(1).f_globals.get("__name__", "").partition(".")[0]
        if package != "connfit":
            note_foreign(package)
        return entry

    def find(self, name: str, option: str | None = None) -> EntryT:
        """Return the piece of a name.

        Parameters
        ----------
        option
            What the name was given for, as `"data.null"`, for the message.

        Raises
        ------
        ConfigError
            If there is none; names the nearest, or the package whose piece could not be loaded.
        """
        self._load()
        if name in self._entries:
            return self._entries[name]
        if name in self._failures:
            raise ConfigError(f"{option or self._kind} is {name!r}: {self._failures[name]}")
        raise unknown(option or self._kind, name, self)

    def label(self, name: str) -> str:
        """Return the label of a name; of one that is not registered here, the name in words."""
        return self[name].label if name in self else name.replace("_", " ")

    def phrase(self, name: str) -> str:
        """Return what a name is called in sentences; of one that is not registered here, the name in words."""
        return (self[name].phrase if name in self else "") or self.label(name)

    def package(self, name: str) -> str:
        """Return the package that registered a piece."""
        self.find(name)
        return self._packages[name]

    @property
    def failures(self) -> Mapping[str, str]:
        """Pieces of other packages that could not be registered, and why."""
        self._load()
        return dict(self._failures)

    @property
    def short_name(self) -> str:
        """What its group of entry points is called without the package's name."""
        return (self._group or "").removeprefix("connfit.")

    def __getitem__(self, name: str) -> EntryT:
        return self.find(name)

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def get(self, name: str, default: EntryT | None = None) -> EntryT | None:
        """Return the piece of a name, or `default`."""
        return self[name] if name in self else default

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries, key=lambda name: self._entries[name].place))

    def __len__(self) -> int:
        self._load()
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<registry of {self._kind}s: {', '.join(self)}>"

    def _load(self) -> None:
        """Register everything that there is, once; a piece that looks in while it is loaded sees those before it."""
        if self._complete:
            return
        with self._lock:
            if self._complete or self._loading:
                return
            self._loading = True
            try:
                self._import_room()
                for point in entry_points(group=self._group) if self._group is not None else ():
                    self._load_point(point)
                self._complete = True
            finally:
                self._loading = False

    def _import_room(self) -> None:
        if self._room is not None:
            for module in iter_modules(import_module(self._room).__path__):
                import_module(f"{self._room}.{module.name}")

    def _load_point(self, point: EntryPoint) -> None:
        """Register the piece of another package; what goes wrong there is kept for whoever asks for it."""
        package = point.dist.name if point.dist is not None else point.value.partition(":")[0]
        note_foreign(point.value.partition(":")[0].partition(".")[0])
        try:
            entry = point.load()
            if isinstance(entry, self._entry) and entry.name != point.name:
                raise ValueError(f"its name is {entry.name!r}, and that of its entry point must be the same")
            if self._entries.get(point.name) is not entry:
                self.register(entry)
            self._packages[point.name] = package
        # Whatever a stranger's module raises when it is imported.
        except Exception as error:
            problem = f"this {self._kind} of the package {package!r} cannot be used ({type(error).__name__}: {error})"
            if point.name not in self._entries:
                self._failures[point.name] = problem
            warnings.warn(f"{point.name!r}: {problem}", PluginWarning, stacklevel=5)


def registries() -> dict[str, Registry[Any]]:
    """Return every registry by the kind of its pieces."""
    found = {}
    for kind, place in REGISTRIES.items():
        module, _, name = place.partition(":")
        found[kind] = getattr(import_module(module), name)
    return found
