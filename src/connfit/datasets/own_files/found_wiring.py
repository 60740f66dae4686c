"""The connectome of a user's files: which tables and columns, which signs, and what is open."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace as with_options

from connfit import config as configuration
from connfit.config import DataConfig
from connfit.connectome.signs import RULES, UNKNOWN_POLICIES
from connfit.datasets.loading import connectome_from_config
from connfit.datasets.own_files.checked_connectome import CheckedConnectome, check_connectome
from connfit.datasets.own_files.matrix_files import matrix_size, names_in_mat, names_in_texts
from connfit.datasets.own_files.sorting import SortedFiles, Table
from connfit.datasets.own_files.table_columns import edge_columns, neuron_columns
from connfit.datasets.own_files.user_answers import Answers, Question
from connfit.datasets.own_files.usual_names import EDGE_COLUMNS, NEURON_COLUMNS
from connfit.datasets.registry import DATASETS
from connfit.errors import ConfigError, ConnfitError, UnclearError, did_you_mean, first_ten

_ALL = ("excitatory", "inhibitory")
_NEEDED = {"pre": "the presynaptic neuron", "post": "the postsynaptic neuron"}


@dataclass
class FoundWiring:
    """Options of `data` that say what the connectome is, and what is in it.

    Parameters
    ----------
    values
        Options of the section, with absolute paths.
    said
        By option, how its value came about.
    labels
        The text file that names the rows of a matrix.
    """

    values: dict[str, Any] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    connectome: CheckedConnectome | None = None
    labels: Path | None = None


def found_wiring(files: SortedFiles, answers: Answers) -> FoundWiring:
    """Find the connectome among files, and read it.

    Raises
    ------
    ConfigError
        If a dataset is named beside tables, or an answer names no column.
    """
    roles = {**EDGE_COLUMNS, **NEURON_COLUMNS}
    for role in answers.columns:
        if role not in roles:
            raise ConfigError(
                f"there is no role {role!r} of a column, but {', '.join(roles)}{did_you_mean(role, roles)}"
            )
    found = FoundWiring()
    if files.dataset is not None:
        if files.edges or files.neurons:
            table = (*files.edges, *files.neurons)[0].path
            raise ConfigError(f"the dataset {files.dataset} and the table {table} are both a connectome: keep one")
        found.values["dataset"] = files.dataset
        for option in ("sign_rule", "unknown_transmitter"):
            if (given := getattr(answers, option)) is not None:
                found.values[option] = given
        _read(found, files.dataset, {})
        return found
    edges, neurons = _table(found, files.edges, "edges"), _table(found, files.neurons, "neurons")
    if not files.edges and not files.neurons:
        found.questions.clear()
        suited = ", ".join(name for name, dataset in DATASETS.items() if dataset.connectome is not None)
        text = f"no connectome was found: name an edge table and a neuron table, or a dataset ({suited})"
        found.questions.append(Question("connectome", "data.dataset", text))
        return found
    tables: dict[str, Any] = {}
    found.values["connectome"] = tables
    if edges is not None:
        format = answers.wiring_format or edges.format
        tables["edges"] = str(edges.path.resolve())
        if format != "tables":
            tables["format"] = format
            found.said["data.connectome.format"] = "given" if answers.wiring_format else "by what is in the file"
    if neurons is not None:
        tables["neurons"] = str(neurons.path.resolve())
    elif edges is not None and not files.neurons:
        found.said["data.connectome.edges"] = "there is no neuron table: neurons are those that it names"
    columns: dict[str, str] = {}
    if edges is not None and "format" not in tables:
        columns |= _of_edges(found, edges, answers, tables)
    if neurons is not None and neurons.peek.header:
        named = neuron_columns(neurons, answers.columns, edges if columns else None, columns.get("pre"))
        columns |= named.columns
        found.said |= {f"data.connectome.{role}": why for role, why in named.why.items()}
        if "id" not in named.columns:
            text = f"which column of {neurons.path.name} holds the ids that the edge table has"
            found.questions.append(Question("columns", "data.connectome.id", text, neurons.peek.header))
    columns |= {role: title for role, title in answers.columns.items() if role not in columns}
    tables |= columns
    if answers.wiring_options:
        tables["options"] = {**tables.get("options", {}), **answers.wiring_options}
    if edges is not None and neurons is None and tables.get("format") == "matrix" and not edges.peek.header:
        _name_rows(found, edges.path, files.texts)
    _signs(found, answers)
    if edges is not None and not any(
        ask.option in ("columns", "neurons", "names", "labels") for ask in found.questions
    ):
        source = f"{edges.path}, {neurons.path}" if neurons is not None else str(edges.path)
        _read(found, source, columns)
        _ask_for_signs(found, answers)
    return found


def _of_edges(found: FoundWiring, edges: Table, answers: Answers, tables: dict[str, Any]) -> dict[str, str]:
    """Columns of an edge table; without one of sizes each row is a synapse."""
    of_edges = edge_columns(edges, answers.columns)
    found.said |= {f"data.connectome.{role}": why for role, why in of_edges.why.items()}
    for role, what in _NEEDED.items():
        if role not in of_edges.columns:
            text = f"which column of {edges.path.name} holds {what}"
            found.questions.append(Question("columns", f"data.connectome.{role}", text, edges.peek.header))
    if not {"count", "weight"} & set(of_edges.columns):
        tables["options"] = {"row_is_synapse": True}
        found.said["data.connectome.options.row_is_synapse"] = "no column of counts or weights: each row is a synapse"
    return dict(of_edges.columns)


def _name_rows(found: FoundWiring, path: Path, texts: Sequence[Path]) -> None:
    """Find what names the rows of a matrix without names: a variable of its MAT-file, or a text file beside it."""
    options = found.values["connectome"].setdefault("options", {})
    size = matrix_size(path)
    if size is None or {"labels", "names"} & set(options):
        return
    inside = names_in_mat(path, size) if path.name.lower().endswith(".mat") else ()
    beside = tuple(names_in_texts(texts, size).values())
    if len(inside) == 1:
        options["names"] = inside[0]
        found.said["data.connectome.options.names"] = f"it holds {size} words"
    elif inside:
        text = f"which variable of {path.name} names its {size} rows"
        found.questions.append(Question("names", "data.connectome.options.names", text, inside))
    elif len(beside) == 1:
        found.labels = beside[0]
        options["labels"] = Path(os.path.relpath(beside[0].resolve(), path.resolve().parent)).as_posix()
        found.said["data.connectome.options.labels"] = f"its {size} lines begin with different words"
    elif beside:
        text = f"which file names the {size} rows of {path.name}"
        found.questions.append(Question("labels", "data.connectome.options.labels", text, tuple(map(str, beside))))


def _table(found: FoundWiring, tables: Sequence[Table], what: str) -> Table | None:
    if len(tables) == 1:
        return tables[0]
    words = {"edges": "edge table", "neurons": "neuron table"}[what]
    if tables:
        names = tuple(str(table.path) for table in tables)
        text = f"which of {len(names)} files is the {words}: {first_ten(names)}"
        found.questions.append(Question(what, f"data.connectome.{what}", text, names))
    elif what == "edges":
        found.questions.append(Question(what, f"data.connectome.{what}", f"no {words} was found: name it"))
    return None


def _signs(found: FoundWiring, answers: Answers) -> None:
    if answers.sign_rule is not None:
        found.values["sign_rule"] = answers.sign_rule
        found.said["data.sign_rule"] = "given"
    if answers.unknown_transmitter is not None:
        found.values["unknown_transmitter"] = answers.unknown_transmitter
        found.said["data.unknown_transmitter"] = "given"


def _read(found: FoundWiring, source: str, columns: dict[str, str]) -> None:
    """Read the connectome; without a sign rule its signs mean nothing yet."""
    data = configuration.from_dict({"data": found.values}).data
    problems: list[str] = []
    for trial in _trials(data):
        try:
            found.connectome = check_connectome(source, connectome_from_config(trial), columns)
        except UnclearError as error:
            key = f"data.connectome.options.{error.option}"
            if not any(question.key == key for question in found.questions):
                found.questions.append(Question(error.option, key, str(error), error.choices))
            return
        except ConnfitError as error:
            problems.append(str(error))
            continue
        rows = trial.connectome.options.get("rows") if trial.connectome is not None else None
        if rows is not None and "rows" not in found.values["connectome"].get("options", {}):
            text = "what the rows of the matrix are: pre, what each sends, or post, what each receives"
            found.questions.append(Question("rows", "data.connectome.options.rows", text, ("pre", "post")))
        return
    found.problems += problems[:1]


def _trials(data: DataConfig) -> Iterator[DataConfig]:
    """Configurations that may be read before everything is known, the likeliest first.

    Neurons that a rule does not cover are counted, and asked for. Edges with signs of their own take no rule, and a
    matrix that is not symmetric needs to know its rows.
    """
    if data.connectome is None:
        yield data
        return
    unknown = "excitatory" if data.unknown_transmitter in (None, "error") else data.unknown_transmitter
    plain = with_options(data, unknown_transmitter=unknown)
    ways = [with_options(plain, sign_rule=data.sign_rule or "shiu")]
    if data.sign_rule is None:
        ways.append(with_options(plain, sign_rule=None))
    yield from ways
    if data.connectome.format == "matrix" and "rows" not in data.connectome.options:
        for way in ways:
            assert way.connectome is not None
            tables = with_options(way.connectome, options={**way.connectome.options, "rows": "pre"})
            yield with_options(way, connectome=tables)


def _ask_for_signs(found: FoundWiring, answers: Answers) -> None:
    """Ask for what no file can say: which sign a transmitter has, and neurons without a known one."""
    if found.connectome is None or found.connectome.has_signs:
        return
    total, known = found.connectome.summary.neurons, found.connectome.unknown
    if not any(found.connectome.transmitters):
        if answers.unknown_transmitter is None:
            text = "what neurons are: none has a transmitter, and the edges have no signs"
            found.questions.append(Question("unknown_transmitter", "data.unknown_transmitter", text, _ALL))
        return
    if answers.sign_rule is None:
        covered = ", ".join(f"{rule} ({total - known[rule]:,} of {total:,} neurons)" for rule in RULES)
        text = f"which sign each transmitter has: {covered}, or a CSV file with the columns transmitter,sign"
        found.questions.append(Question("sign_rule", "data.sign_rule", text, tuple(RULES)))
    notes = found.connectome.connectome.notes
    unknown = int(notes.get("unknown_transmitter_neurons", 0)) if answers.sign_rule is not None else 0
    if unknown and answers.unknown_transmitter is None:
        words = first_ten(f"{word or '(empty)'} ({count})" for word, count in notes["unknown_transmitters"].items())
        rule = answers.sign_rule
        text = f"what to do with {unknown:,} of {total:,} neurons whose transmitter {rule} does not cover: {words}"
        found.questions.append(Question("unknown_transmitter", "data.unknown_transmitter", text, UNKNOWN_POLICIES[1:]))
