"""Tables of measured responses: which neurons answered when another was stimulated, one row per ordered pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from connfit.connectome import Connectome
from connfit.connectome.cell_words import MISSING_WORDS
from connfit.connectome.columns import NamedTable, TableSource, read_table
from connfit.errors import ConfigError, DataError, first_ten
from connfit.models.perturb import parse_neuron_set

STIMULATED, RESPONDING = "stimulated", "responding"
OBSERVATIONS, Q, RESPONDS = "observations", "q", "responds"
AMPLITUDES = ("amplitude", "mean_dff")
"""Names that the column of amplitudes can have."""
HALVES = ("half_1", "half_2")
YES, NO = ("1", "yes", "true"), ("0", "no", "false")
"""What a cell of the column `responds` can say, in small letters; an empty one: not tested."""

_FIX = "Correct the cell; rows count from 1 below the header"


@dataclass(frozen=True)
class ResponseRule:
    """What counts as a response, and which pairs are scored.

    Parameters
    ----------
    q_below
        A pair responds where its false discovery rate is below this, and does not where it is not.
    min_observations
        Pairs that were observed less often are left out.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    q_below: float = 0.05
    min_observations: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.q_below < 1:
            raise ConfigError(f"q_below = {self.q_below:g} must lie between 0 and 1")
        if self.min_observations < 1:
            raise ConfigError(f"min_observations = {self.min_observations} must be 1 or more")


@dataclass(frozen=True, eq=False)
class MeasuredResponses:
    """Measured responses of neurons to the stimulation of others.

    Attributes
    ----------
    name
        Of the file, or a word for a table in memory.
    stimulated, responding
        [R] ids of the neurons of each ordered pair, as text.
    observations
        [R] times that the pair was seen; None where the table does not say.
    q
        [R] false discovery rate that there is a response, NaN where it was not tested; None where the table says
        `responds` instead.
    responds
        [R] 1 where it responds, 0 where it does not, NaN where it was not tested; None where the table has `q`.
    amplitude
        [R] mean response in the units of the experiment, NaN where there is none; None without the column.
    halves
        [R, 2] mean response in two halves of the observations; None without these columns.
    """

    name: str
    stimulated: np.ndarray
    responding: np.ndarray
    observations: Int[np.ndarray, "R"] | None
    q: Float[np.ndarray, "R"] | None
    responds: Float[np.ndarray, "R"] | None
    amplitude: Float[np.ndarray, "R"] | None = None
    halves: Float[np.ndarray, "R 2"] | None = None

    @property
    def rows(self) -> int:
        """Number of ordered pairs R."""
        return len(self.stimulated)

    def response(self, rule: ResponseRule) -> Float[np.ndarray, "R"]:
        """Return 1 for a response, 0 for none, NaN where that was not tested or was seen too rarely."""
        if self.q is not None:
            found = np.where(np.isnan(self.q), np.nan, (self.q < rule.q_below).astype(np.float64))
        else:
            assert self.responds is not None
            found = self.responds
        if self.observations is None:
            return found
        return np.where(self.observations >= rule.min_observations, found, np.nan)


@dataclass(frozen=True, eq=False)
class PlacedResponses:
    """The pairs of a table that lie in a connectome.

    Attributes
    ----------
    measured
        These pairs alone.
    stimulated, responding
        [R] positions of the neurons in the connectome; from its number of neurons on, of `sets`.
    sets
        Positions of the neurons of each set that is stimulated, or read, together.
    unknown
        Ids of the table that the connectome lacks, in the table's order.
    lost
        The pairs that were left out because a neuron is unknown.
    own_rows
        Rows that were left out because a neuron answers its own stimulation.
    """

    measured: MeasuredResponses
    stimulated: Int[np.ndarray, "R"]
    responding: Int[np.ndarray, "R"]
    unknown: tuple[str, ...]
    lost: MeasuredResponses
    own_rows: int
    sets: tuple[Int[np.ndarray, "k"], ...] = ()


def read_measured(source: TableSource | MeasuredResponses, *, name: str | None = None) -> MeasuredResponses:
    """Read a table of measured responses.

    Columns: `stimulated`, `responding` (ids of neurons), and `q` or `responds`; where they are there, `observations`,
    `amplitude` or `mean_dff`, `half_1` and `half_2`. Other columns are not read. See docs/measured.md.

    Parameters
    ----------
    source
        A CSV (`.csv.gz`, `.tsv`), Parquet or Feather file, a DataFrame, or a table that was read already.
    name
        Of the table; default: that of the file without its ending.

    Raises
    ------
    DataError
        If the table cannot be used: names the file, the row and the column, and what would be right.
    """
    if isinstance(source, MeasuredResponses):
        return source if name is None else replace(source, name=name)
    table = read_table(source, "measured responses")
    table.require([STIMULATED, RESPONDING])
    stimulated, responding = (_ids(table, column) for column in (STIMULATED, RESPONDING))
    _refuse_repeated(stimulated, responding, table.path)
    there = [column for column in (Q, RESPONDS) if column in table.columns]
    if len(there) != 1:
        both = f"there are both columns {Q!r} and {RESPONDS!r}, which can contradict each other"
        raise DataError(
            both if there else f"there is neither a column {Q!r} nor a column {RESPONDS!r}: nothing says who responds",
            path=table.path,
            fix=f"Keep one of them: {Q!r}, the false discovery rate that there is a response, or {RESPONDS!r}, 1 or 0",
        )
    amplitudes = [column for column in AMPLITUDES if column in table.columns]
    if len(amplitudes) > 1:
        raise DataError(
            f"there are both columns {' and '.join(map(repr, amplitudes))}", path=table.path, fix="Keep one of them"
        )
    halves = [column for column in HALVES if column in table.columns]
    if len(halves) == 1:
        raise DataError(
            f"there is a column {halves[0]!r} and no other half",
            path=table.path,
            fix=f"Give both {' and '.join(HALVES)}",
        )
    stem = Path(table.path).name.partition(".")[0] if isinstance(source, str | Path) else "measured"
    return MeasuredResponses(
        name=name or stem or "measured",
        stimulated=stimulated,
        responding=responding,
        observations=table.counts(OBSERVATIONS) if OBSERVATIONS in table.columns else None,
        q=_within(_numbers(table, Q), table.path) if there == [Q] else None,
        responds=_words(table) if there == [RESPONDS] else None,
        amplitude=_numbers(table, amplitudes[0]) if amplitudes else None,
        halves=np.column_stack([_numbers(table, column) for column in HALVES]) if halves else None,
    )


def renamed(measured: MeasuredResponses, names: Mapping[str, str]) -> MeasuredResponses:
    """Replace names of neurons in a table by others, as names of an experiment by those of the connectome.

    Parameters
    ----------
    names
        New name by old name.

    Raises
    ------
    ConfigError
        If the table has no neuron of an old name.
    DataError
        If a pair is there twice under the new names.
    """
    if not names:
        return measured
    there = {*measured.stimulated, *measured.responding}
    for old in names:
        if old not in there:
            near = get_close_matches(old, sorted(there), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"rename: the table has no neuron {old!r}{hint}")
    stimulated, responding = (
        np.array([names.get(one, one) for one in ids], object) for ids in (measured.stimulated, measured.responding)
    )
    _refuse_repeated(stimulated, responding, measured.name)
    return replace(measured, stimulated=stimulated, responding=responding)


def place(measured: MeasuredResponses, connectome: Connectome) -> PlacedResponses:
    """Find the neurons of a table in a connectome; pairs of unknown neurons, and of a neuron with itself, are left out.

    What is no id may be a set of neurons (`connfit.models.perturb.parse_neuron_set`), stimulated or read together.

    Raises
    ------
    DataError
        If no pair is left; names the nearest ids.
    """
    index = pd.Index([str(one) for one in connectome.ids])
    at = [index.get_indexer(pd.Index(ids)) for ids in (measured.stimulated, measured.responding)]
    at, sets = _with_sets(at, (measured.stimulated, measured.responding), connectome)
    named = [*measured.stimulated[at[0] < 0], *measured.responding[at[1] < 0]]
    unknown = tuple(dict.fromkeys(named))
    absent = (at[0] < 0) | (at[1] < 0)
    own = ~absent & (at[0] == at[1])
    for row in np.flatnonzero(~absent & (np.maximum(*at) >= connectome.n)):
        one, other = (set(members(int(sites[row]), connectome.n, sets).tolist()) for sites in at)
        own[row] = not one.isdisjoint(other)
    keep = np.flatnonzero(~absent & ~own)
    if not len(keep):
        near = get_close_matches(unknown[0], index[:100_000], n=1) if unknown else []
        hint = f" Did you mean {near[0]!r} by {unknown[0]!r}?" if near else ""
        raise DataError(
            f"no pair of the table lies in connectome {connectome.name!r}: it has no neurons "
            f"{first_ten(map(repr, unknown))}" if unknown else "all pairs are of a neuron with itself",
            path=measured.name,
            fix=f"Write neurons by their id in the neuron table, as {index[0]!r}.{hint}",
        )  # fmt: skip
    lost = _rows(measured, np.flatnonzero(absent))
    return PlacedResponses(_rows(measured, keep), at[0][keep], at[1][keep], unknown, lost, int(own.sum()), sets)


def _with_sets(
    at: Sequence[Int[np.ndarray, "R"]], names: Sequence[np.ndarray], connectome: Connectome
) -> tuple[list[Int[np.ndarray, "R"]], tuple[Int[np.ndarray, "k"], ...]]:
    """Positions of what is no id but names a set of neurons, as `type:AVA`; what names none stays unknown."""
    found: dict[str, int] = {}
    sets: list[Int[np.ndarray, "k"]] = []
    filled = [one.copy() for one in at]
    for positions, texts in zip(filled, names, strict=True):
        for row in np.flatnonzero(positions < 0):
            text = str(texts[row])
            if text not in found:
                found[text] = -1
                if ":" in text:
                    try:
                        neurons = parse_neuron_set(text, connectome, option="measured responses:")
                    except ConfigError:
                        continue
                    if len(neurons) == 1:
                        found[text] = int(neurons[0])
                    else:
                        found[text] = connectome.n + len(sets)
                        sets.append(neurons)
            positions[row] = found[text]
    return filled, tuple(sets)


def members(site: int, neurons: int, sets: Sequence[Int[np.ndarray, "k"]]) -> Int[np.ndarray, "k"]:
    """Return the positions of the neurons of a site: a neuron, or from the number of neurons on one of the sets."""
    return np.array([site]) if site < neurons else sets[site - neurons]


def _rows(measured: MeasuredResponses, keep: Int[np.ndarray, "k"]) -> MeasuredResponses:
    def some(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[keep]

    return MeasuredResponses(
        measured.name, measured.stimulated[keep], measured.responding[keep], some(measured.observations),
        some(measured.q), some(measured.responds), some(measured.amplitude), some(measured.halves),
    )  # fmt: skip


def _refuse_repeated(stimulated: np.ndarray, responding: np.ndarray, path: str) -> None:
    """A pair that is there twice may be counted twice, or contradict itself."""
    again = pd.DataFrame({"stimulated": stimulated, "responding": responding}).duplicated().to_numpy()
    if again.any():
        row = int(np.flatnonzero(again)[0])
        raise DataError(
            f"row {row + 1}: the pair {stimulated[row]!r}, {responding[row]!r} is there already "
            f"({int(again.sum())} such rows)",
            path=path,
            fix="Keep one row per ordered pair: pool its observations, or score the experiments one by one",
        )


def _ids(table: NamedTable, column: str) -> np.ndarray:
    return np.array([str(one) for one in table.ids(column)], object)


_WORDS_AND_NUMBERS = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer, pa.types.is_floating,
    pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null,
)  # fmt: skip


def _texts(table: NamedTable, column: str) -> pd.Series:
    values = table.data.column(column)
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not any(is_kind(kind) for is_kind in _WORDS_AND_NUMBERS):
        raise DataError(
            f"column {column!r} holds {values.type}", path=table.path, fix="Write one number or word in each cell"
        )
    return values.cast(pa.string()).to_pandas().fillna("").str.strip()


def _numbers(table: NamedTable, column: str) -> Float[np.ndarray, "R"]:
    """A column of numbers, NaN where a cell is empty or says so."""
    table.require([column])
    text = _texts(table, column)
    missing = text.str.lower().isin(MISSING_WORDS).to_numpy()
    numbers = np.asarray(pd.to_numeric(text.where(~missing, "nan"), errors="coerce"), np.float64)
    _refuse(np.isnan(numbers) & ~missing, text, column, "is not a number", table.path)
    _refuse(np.isinf(numbers), text, column, "is not finite", table.path)
    return numbers


def _within(q: Float[np.ndarray, "R"], path: str) -> Float[np.ndarray, "R"]:
    _refuse((q < 0) | (q > 1), pd.Series(q), Q, "does not lie between 0 and 1", path)
    return q


def _words(table: NamedTable) -> Float[np.ndarray, "R"]:
    """The column `responds`."""
    text = _texts(table, RESPONDS).str.lower().str.removesuffix(".0")
    yes, no = (text.isin(words).to_numpy() for words in (YES, NO))
    missing = text.isin(MISSING_WORDS).to_numpy() & ~no
    _refuse(~yes & ~no & ~missing, text, RESPONDS, f"is none of {', '.join((*YES, *NO))}", table.path)
    return np.where(missing, np.nan, yes.astype(np.float64))


def _refuse(bad: Bool[np.ndarray, "R"], values: pd.Series, column: str, problem: str, path: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        many = f" ({int(bad.sum())} such rows)" if bad.sum() > 1 else ""
        raise DataError(f"row {row + 1}: {column} = {values.iloc[row]} {problem}{many}", path=path, fix=_FIX)


def pairs_by(positions: Sequence[int] | Int[np.ndarray, "R"]) -> tuple[Int[np.ndarray, "S"], Int[np.ndarray, "R"]]:
    """Return the neurons that are there, ascending, and of each pair the number of its neuron among them."""
    found, inverse = np.unique(np.asarray(positions), return_inverse=True)
    return found, inverse
