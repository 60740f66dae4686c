"""A Connectome from an edge table and a neuron table with named columns."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from connfit.connectome import TABLE_COLUMNS, Connectome, from_pairs
from connfit.connectome.cell_words import alike, lost_digits, whole_number
from connfit.connectome.columns import IdArray, NamedTable, TableSource
from connfit.connectome.edge_sizes import edge_sizes, signs_of_neurons
from connfit.connectome.signs import ALIASES, EDGE_SIGNS, SignRule, Signs, assign_signs
from connfit.connectome.table_files import read_table
from connfit.errors import ConfigError, DataError, DataWarning, first_ten, one_of

_ELECTRICAL_WORDS = {"electrical", "electric", "gap", "gap_junction", "gap junction", "gapjunction"}
_MANY_LOOPS = 0.5
_CHEMICAL_WORDS = {"chemical", "chem", "chemical synapse", "synapse"}


def connectome_from_tables(
    name: str,
    edges: TableSource,
    neurons: TableSource | None,
    *,
    pre: str = "pre",
    post: str = "post",
    count: str | None = "synapses",
    weight: str | None = None,
    sign: str | None = None,
    id: str = "id",
    type: str | None = None,
    region: str | None = None,
    transmitter: str | None = None,
    side: str | None = None,
    connection_type: str | None = None,
    sign_rule: SignRule | None = None,
    unknown_transmitter: str = "error",
    electrical: str = "drop",
    self_connections: str = "keep",
    min_synapses: int = 1,
    notes: Mapping[str, Any] | None = None,
) -> Connectome:
    """Build a connectome from an edge table and a neuron table.

    Parameters
    ----------
    name
        Name of the dataset.
    edges, neurons
        CSV, CSV.gz, Parquet or Feather files, or DataFrames. `neurons=None`: the neurons are those that the edges name.
    pre, post, count
        Columns of the edge table: ids of the presynaptic and postsynaptic neuron, number of synapses.
        Rows of one pair are summed. `count=None`: every row is one synapse.
    weight
        Column of the edge table with real-valued weights, in place of counts; 0 says that there is no connection,
        and negative ones are inhibitory.
    sign
        Column of the edge table with the sign of each connection (`connfit.connectome.edge_sizes.edge_sizes`). Where
        it is given, or weights are negative, transmitters say nothing of signs.
    id
        Column of the neuron table with unique ids (whole numbers up to 64 bits, or text).
    type, region, transmitter, side
        Columns of the neuron table. `None`: the column of that very name where there is one, else empty.
    connection_type
        Column of the edge table that says `chemical` or `electrical`. `None`: all are chemical.
    sign_rule
        Which sign a transmitter has: `"fly-paper"`, `"shiu"`, `"worm"`, a CSV file with the columns
        `transmitter,sign`, or a mapping; see `connfit.connectome.signs.sign_table`. None: where the edges say signs, or
        no neuron has a transmitter.
    unknown_transmitter
        For neurons whose transmitter the rule does not cover: `"error"`, `"excitatory"`, `"inhibitory"`, `"drop"`.
    electrical
        `"include"`: electrical synapses become undirected, unsigned connections. A source may list
        each in one direction or, with the same count, in both. `"drop"`: they are left out and counted.
    self_connections
        `"keep"` (default) or `"drop"`: connections of a neuron to itself.
    min_synapses
        Chemical connections with fewer synapses in all are left out and counted.
    notes
        Facts about the source, kept beside what is counted here.

    Returns
    -------
    Connectome
        Neurons in the order of the neuron table; whatever was left out is counted in `notes`.

    Raises
    ------
    DataError
        If a table cannot be used: the message names the file, the column or row, and the fix.
    ConfigError
        If an option has no such value.

    Warns
    -----
    DataWarning
        If something is implausible, as ids that lost digits; `notes["cautions"]` has it, too.
    """
    if pre == post:
        raise ConfigError(f"pre and post are both the column {pre!r}: every connection would be of a neuron to itself")
    one_of("electrical", electrical, ("drop", "include"))
    one_of("self_connections", self_connections, ("keep", "drop"))
    if min_synapses < 1:
        raise ConfigError(f"min_synapses = {min_synapses} must be at least 1")

    named = {"type": type, "region": region, "transmitter": transmitter, "side": side}
    columns = [column for column in (pre, post, count, weight, sign, connection_type) if column]
    if neurons is None:
        edge_table = read_table(edges, "edges", columns=columns)
        neuron_table = _named_by(edge_table, pre, post)
        id, named = "id", dict.fromkeys(named)
    else:
        neuron_table = read_table(neurons, "neurons")
    table = _neuron_frame(neuron_table, id, named)
    ids = table["id"].to_numpy()
    if neurons is not None:
        whole = [pre, post] if ids.dtype.kind == "i" else []
        edge_table = read_table(edges, "edges", columns=columns, integers=[*whole, *([count] if count else [])])
    at_pre, at_post = (_positions(edge_table, column, ids, neuron_table.path) for column in (pre, post))
    gap = electrical_rows(edge_table, connection_type)
    sizes = edge_sizes(edge_table, count=count, weight=weight, sign=sign, gap=gap)
    counts, edge_signs = sizes.values, sizes.signs
    if sizes.weighted and min_synapses > 1:
        raise ConfigError(f"min_synapses = {min_synapses} counts synapses, but column {weight!r} holds weights")
    signs = _signs_by(table["transmitter"].to_list(), sign_rule, unknown_transmitter, edge_signs, edge_table.path)

    cautions = [
        *_doubtful_words(neuron_table, named),
        *(_doubtful_transmitters(signs) if signs.table else []),
        *_doubtful_rows(ids, at_pre, at_post, counts if count or weight else None, edge_table.path),
    ]
    for caution in cautions:
        warnings.warn(caution, DataWarning, stacklevel=2)

    left_out: dict[str, int] = {}
    keep = np.ones(len(counts), bool)
    if sizes.weighted:
        left_out["zero_weight_rows_dropped"] = int((counts == 0).sum())
        keep = counts > 0
    if electrical == "drop" and gap.any():
        left_out["electrical_rows_dropped"] = int((keep & gap).sum())
        keep &= ~gap
    if self_connections == "drop":
        loops = keep & (at_pre == at_post)
        left_out["self_connection_rows_dropped"] = int(loops.sum())
        keep &= ~loops
    if signs.dropped.any():
        silent = keep & ~gap & signs.dropped[at_pre]
        left_out["unknown_transmitter_rows_dropped"] = int(silent.sum())
        left_out["unknown_transmitter_synapses_dropped"] = counts[silent].sum().item()
        keep &= ~silent
    at_pre, at_post, counts, gap = at_pre[keep], at_post[keep], counts[keep], gap[keep]
    edge_signs = None if edge_signs is None else edge_signs[keep]

    if gap.any():
        g_pre, g_post, g_counts = symmetrise(at_pre[gap], at_post[gap], counts[gap], ids, edge_table.path)
        at_pre, at_post = np.concatenate([at_pre[~gap], g_pre]), np.concatenate([at_post[~gap], g_post])
        counts = np.concatenate([counts[~gap], g_counts])
        if edge_signs is not None:
            edge_signs = np.concatenate([edge_signs[~gap], np.ones(len(g_counts), np.int8)])
        gap = np.arange(len(counts)) >= len(counts) - len(g_counts)
    if min_synapses > 1:
        weak = _weak(at_pre, at_post, counts, gap, len(ids), min_synapses)
        left_out["weak_rows_dropped"] = int(weak.sum())
        at_pre, at_post, counts, gap = at_pre[~weak], at_post[~weak], counts[~weak], gap[~weak]
        edge_signs = None if edge_signs is None else edge_signs[~weak]
    of_neurons = signs.values
    if edge_signs is not None:
        of_neurons = signs_of_neurons(at_pre[~gap], counts[~gap], edge_signs[~gap], len(ids))
    return from_pairs(
        name,
        at_pre,
        at_post,
        counts,
        of_neurons,
        table,
        electrical=gap,
        mixed_signs=edge_signs,
        notes={
            **(notes or {}),
            **signs.notes(),
            "electrical": electrical,
            "self_connections": self_connections,
            "min_synapses": min_synapses,
            "edge_rows": edge_table.rows,
            **left_out,
            **({"cautions": cautions} if cautions else {}),
        },
    )


def symmetrise(
    pre: Int[np.ndarray, "R"],
    post: Int[np.ndarray, "R"],
    counts: Int[np.ndarray, "R"] | Float[np.ndarray, "R"],
    ids: IdArray,
    path: str,
) -> tuple[Int[np.ndarray, "S"], Int[np.ndarray, "S"], Int[np.ndarray, "S"] | Float[np.ndarray, "S"]]:
    """Make gap junctions undirected, each in both directions once, from rows that list one or both directions.

    Parameters
    ----------
    pre, post, counts
        [R] rows as listed; rows of one ordered pair are summed first.
    ids, path
        Ids by position and the file, for the message.

    Raises
    ------
    DataError
        If a pair is listed in both directions with different counts.
    """
    n = len(ids)
    key, inverse = np.unique(pre.astype(np.int64) * n + post, return_inverse=True)
    total = np.zeros(len(key), counts.dtype)
    np.add.at(total, inverse, counts)
    a, b = key // n, key % n
    found = np.searchsorted(key, b * n + a)
    found = np.minimum(found, len(key) - 1)
    both = key[found] == b * n + a
    unequal = both & (total != total[found])
    if unequal.any():
        k = int(np.flatnonzero(unequal)[0])
        raise DataError(
            f"electrical connection {ids[a[k]]} - {ids[b[k]]} has {total[k]} junctions in one direction "
            f"and {total[found[k]]} in the other "
            f"({int(unequal.sum()) // 2} such pairs)",
            path=path,
            fix="A gap junction has no direction: list it once, or in both directions with the same count",
        )
    single = ~both
    return np.concatenate([a, b[single]]), np.concatenate([b, a[single]]), np.concatenate([total, total[single]])


def _named_by(edges: NamedTable, pre: str, post: str) -> NamedTable:
    """A neuron table of the ids that an edge table names, in the order in which they appear there."""
    both = [edges.ids(column) for column in (pre, post)]
    if len({ids.dtype.kind for ids in both}) > 1:
        both = [ids.astype(str).astype(object) for ids in both]
    ids = pd.unique(np.concatenate(both))
    if not len(ids):
        raise DataError("there are no rows, and so no neurons", path=edges.path, fix="Give a neuron table")
    return read_table(pd.DataFrame({"id": ids}), f"{edges.path} (no neuron table)")


def _signs_by(
    transmitters: list[str],
    rule: SignRule | None,
    unknown: str,
    edge_signs: Int[np.ndarray, "R"] | None,
    path: str,
) -> Signs:
    """Signs by transmitters; all +1, which nothing uses, where the edges say them."""
    if edge_signs is not None:
        if rule is not None:
            raise ConfigError(
                f"{path}: the edges have signs of their own, and sign_rule = {rule!r} would set others: leave it out"
            )
        none = np.zeros(len(transmitters), bool)
        return Signs(np.ones(len(none), np.int8), none, EDGE_SIGNS, {}, "none", {})
    if rule is not None:
        return assign_signs(transmitters, rule, unknown=unknown)
    if any(transmitters):
        raise ConfigError(
            "sign_rule is not set: choose 'fly-paper', 'shiu', 'worm' or a CSV file transmitter,sign for the "
            f"transmitters of the neuron table, as {next(word for word in transmitters if word)!r}"
        )
    if unknown in ("error", "drop"):
        raise ConfigError(
            "no neuron has a transmitter, and the edges have no signs: set unknown_transmitter = 'excitatory' (or "
            "'inhibitory'), name a column of the edges with sign, or one of the neurons with transmitter"
        )
    return replace(assign_signs(transmitters, {}, unknown=unknown), rule="none: there are no transmitters")


def _neuron_frame(source: NamedTable, id: str, named: Mapping[str, str | None]) -> pd.DataFrame:
    """The neuron table with the standard columns first; further columns keep their names."""
    source.require([id, *(column for column in named.values() if column)])
    ids = source.unique_ids(id)
    used = {id: "id"}
    frame = {"id": pd.Series(ids) if ids.dtype.kind == "i" else pd.Series(ids).astype("str")}
    for standard in TABLE_COLUMNS[1:]:
        column = named[standard] or (standard if standard in source.columns else None)
        if column is not None:
            used[column] = standard
        frame[standard] = pd.Series(source.text(column) if column else [""] * len(ids), dtype="str")
    for column in source.columns:
        if column not in used:
            frame[column if column not in frame else f"{column}_source"] = source.other(column)
    return pd.DataFrame(frame)


def _doubtful_words(table: NamedTable, named: Mapping[str, str | None]) -> list[str]:
    """Caution where a word such as NA counts as missing, though it could be a name, and where names look the same."""
    found = []
    for standard, given in named.items():
        column = given or standard
        words = table.taken_for_missing(column) if column in table.columns else []
        if words:
            listed = first_ten(map(repr, words))
            problem = f"column {column!r} says {listed}, which counts as empty"
            found.append(f"{table.path}: {problem}: call it otherwise if it is a name")
        if column in table.columns and (pairs := alike(dict.fromkeys(table.text(column)))):
            listed = first_ten(f"{one!a} and {other!a}" for one, other in pairs)
            found.append(f"{table.path}: column {column!r} has names that look the same: {listed}")
    return found


def _doubtful_transmitters(signs: Signs) -> list[str]:
    """Caution where a transmitter that the rule does not cover is spelt nearly as one that there is."""
    found = []
    for word, neurons in signs.unknown.items():
        others = signs.table if word in ALIASES.values() else {*ALIASES, *signs.table}
        near = get_close_matches(word, others, n=1, cutoff=0.8) if len(word) > 3 else []
        if near:
            found.append(f"transmitter {word!r} of {neurons} neurons counts as unknown; did you mean {near[0]!r}?")
    return found


def _doubtful_rows(
    ids: IdArray,
    pre: Int[np.ndarray, "R"],
    post: Int[np.ndarray, "R"],
    counts: Int[np.ndarray, "R"] | Float[np.ndarray, "R"] | None,
    path: str,
) -> list[str]:
    """Caution where ids seem to have lost digits, rows are all there twice, or most join a neuron to itself."""
    found = []
    if ids.dtype.kind == "i" and lost_digits(ids):
        found.append(f"ids such as {ids[0]} lost their last digits in a spreadsheet, or as floating point numbers")
    if counts is not None and len(pre) > 3:
        codes = counts if counts.dtype.kind == "i" else pd.factorize(counts)[0]
        rows = np.sort((post * len(ids) + pre) * (1 << 20) + codes % (1 << 20))
        different = np.diff(rows) != 0
        # Every row is equal to the one before it or the one behind it.
        if (~different[0]) & (~different[-1]) & ~(different[1:] & different[:-1]).any():
            found.append(f"{path}: every row is there more than once, and rows of one pair are summed")
    loops = float((pre == post).mean())
    if loops > _MANY_LOOPS and len(ids) > 10:
        found.append(f"{path}: {loops:.0%} of the rows join a neuron to itself")
    return found


def _positions(table: NamedTable, column: str, ids: IdArray, neuron_path: str) -> Int[np.ndarray, "R"]:
    listed = table.ids(column)
    if ids.dtype.kind != "i" and listed.dtype.kind == "i":
        # All ids of this column look like numbers, but among the neurons some do not: compare as text.
        listed = listed.astype(str).astype(object)
    if ids.dtype.kind == "i" and listed.dtype.kind != "i":
        known = set(ids.tolist())
        unknown = [name for name in dict.fromkeys(listed) if whole_number(name) not in known]
    else:
        at = pd.Index(ids).get_indexer(pd.Index(listed))
        if (at >= 0).all():
            return at.astype(np.int64)
        unknown = list(dict.fromkeys(listed[at < 0].tolist()))
    raise DataError(
        f"{len(unknown)} ids in column {column!r} are not in the neuron table {neuron_path}: {first_ten(unknown)}",
        path=table.path,
        fix="Add these neurons to the neuron table, or remove their connections",
    )


def electrical_rows(table: NamedTable, column: str | None) -> Bool[np.ndarray, "R"]:
    """Find electrical connections: [rows] True; a DataError names the first row that is of neither type."""
    if column is None:
        return np.zeros(table.rows, bool)
    words = pd.Series(table.text(column), dtype="str").str.lower()
    electrical = words.isin(_ELECTRICAL_WORDS).to_numpy()
    neither = np.flatnonzero(~electrical & ~words.isin(_CHEMICAL_WORDS).to_numpy())
    if len(neither):
        raise DataError(
            f"row {neither[0] + 1}: column {column!r} says {words[neither[0]]!r} ({len(neither)} rows of another type)",
            path=table.path,
            fix="The type of a connection must be 'chemical' or 'electrical'",
        )
    return electrical


def _weak(
    pre: Int[np.ndarray, "R"],
    post: Int[np.ndarray, "R"],
    counts: Int[np.ndarray, "R"],
    gap: Bool[np.ndarray, "R"],
    n: int,
    least: int,
) -> Bool[np.ndarray, "R"]:
    """Chemical rows whose pair has fewer than `least` synapses over all its rows."""
    _, inverse = np.unique(post * n + pre, return_inverse=True)
    total = np.zeros(len(counts), np.int64)
    np.add.at(total, inverse, np.where(gap, 0, counts))
    return ~gap & (total[inverse] < least)
