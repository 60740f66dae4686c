"""What a format of connectomes is, the table of all formats, and the one function that reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connfit._registry import Entry, Options, Registry, read_options
from connfit._system.paths import user_path
from connfit.connectome import Connectome
from connfit.connectome.columns import TableSource
from connfit.connectome.signs import SignRule
from connfit.connectome.tables import connectome_from_tables
from connfit.errors import DataError

if TYPE_CHECKING:
    from connfit._typing import JSON

COLUMNS = ("pre", "post", "count", "weight", "sign", "id", "type", "region", "transmitter", "side", "connection_type")
"""Columns that a user can name."""

OPTIONS_AT = "data.connectome.options"
"""Where a configuration has the options of a format."""


@dataclass(frozen=True, eq=False)
class WiringTables:
    """A connectome as its format has it.

    Parameters
    ----------
    edges
        A row for each connection.
    neurons
        A row for each neuron; None where the format has none, and neurons are those that edges name.
    columns
        Which of `COLUMNS` the tables have under which name, where a user names none.
    notes
        What else the format says.
    """

    edges: TableSource
    neurons: TableSource | None
    columns: Mapping[str, str]
    notes: Mapping[str, JSON] = field(default_factory=dict)


class NoOptions(Options, frozen=True):
    """Of a format without options."""


@dataclass(frozen=True, kw_only=True)
class ConnectomeFormat(Entry):
    """A registered format of connectomes.

    Parameters
    ----------
    name
        In configurations.
    label
        The same in tables.
    suffixes
        Ends of file names in lower case, with their dots; the longest that fits decides. None for formats that
        a configuration must name.
    read
        Function of the file of connections, that of neurons (or None) and options that returns `WiringTables`.
    options
        Its options, for `data.connectome.options`.

    Raises
    ------
    ValueError
        If a suffix is not of this form.
    """

    read: Callable[[Path, Path | None, Any], WiringTables]
    suffixes: tuple[str, ...] = ()
    options: type[Options] = NoOptions

    def __post_init__(self) -> None:
        if any(not end.startswith(".") or end != end.lower() for end in self.suffixes):
            raise ValueError(f"format {self.name!r}: {self.suffixes} must be ends of file names such as '.csv'")

    def option_defaults(self) -> dict[str, object]:
        """Return its options with their defaults."""
        return self.options.defaults()


FORMATS: Registry[ConnectomeFormat] = Registry(
    "format of connectomes", ConnectomeFormat, room="connfit.connectome.formats", group="connfit.connectomes"
)
"""Formats by name."""


def find_format(path: str | Path, format: str = "auto") -> ConnectomeFormat:
    """Return the format of a name, or the one that a file's name says.

    Raises
    ------
    ConfigError
        If there is no such format.
    DataError
        If the file's name says none.
    """
    if format != "auto":
        return FORMATS.find(format)
    file = user_path(path).name.lower()
    fits = [(end, known) for known in FORMATS.values() for end in known.suffixes if file.endswith(end)]
    if not fits:
        raise DataError(
            "the format of this connectome is not known by its file name",
            path=path,
            fix=f"Name it with format = one of {', '.join(FORMATS)}",
        )
    return max(fits, key=lambda fit: len(fit[0]))[1]


def read_connectome(
    edges: str | Path,
    neurons: str | Path | None = None,
    *,
    format: str = "auto",
    options: Mapping[str, Any] | None = None,
    name: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    sign_rule: SignRule | None = None,
    notes: Mapping[str, Any] | None = None,
    **choices: Any,
) -> Connectome:
    """Read a connectome from files of any format.

    Parameters
    ----------
    edges, neurons
        The file of connections, and that of neurons. Without one, neurons are those that the connections name, or that
        the first file has.
    format
        One of `FORMATS`, or `"auto"`: by the ending of the first file's name.
    options
        Of the format.
    name
        Of the connectome. Default: the first file's name up to its first dot.
    columns
        Names of columns, by what they hold (`COLUMNS`), where they are not those of the format.
    sign_rule, notes, choices
        As in `connfit.connectome_from_tables`: `unknown_transmitter`, `electrical`, `self_connections`,
        `min_synapses`.

    Raises
    ------
    DataError
        If a file cannot be used.
    ConfigError
        If an option has no such value.

    Warns
    -----
    DataWarning
        If something is implausible.
    """
    known = find_format(edges, format)
    tables = known.read(
        user_path(edges),
        None if neurons is None else user_path(neurons),
        read_options(known.options, options, where=OPTIONS_AT),
    )
    return connectome_of(
        tables,
        name or user_path(edges).name.split(".")[0],
        columns=columns,
        sign_rule=sign_rule,
        notes={"format": known.name, **(notes or {})},
        **choices,
    )


def connectome_of(
    tables: WiringTables,
    name: str,
    *,
    columns: Mapping[str, str | None] | None = None,
    sign_rule: SignRule | None = None,
    notes: Mapping[str, Any] | None = None,
    **choices: Any,
) -> Connectome:
    """Build the connectome of tables that a format has read; arguments as in `read_connectome`."""
    named = {key: value for key, value in (columns or {}).items() if value is not None}
    found = dict(tables.columns)
    if "weight" in named or "count" in named:
        # A user who names either means it in place of what the format has.
        found = {key: value for key, value in found.items() if key not in ("weight", "count")}
    return connectome_from_tables(
        name,
        tables.edges,
        tables.neurons,
        **{"count": None, **found, **named},
        sign_rule=sign_rule,
        notes={**tables.notes, **(notes or {})},
        **choices,
    )
