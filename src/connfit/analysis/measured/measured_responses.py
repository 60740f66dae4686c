"""Tables of measured responses: which neurons answered when another was stimulated, or silenced, one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from connfit.analysis.measured.response_columns import ids, numbers, within, words
from connfit.connectome import Connectome
from connfit.connectome.columns import NamedTable, TableSource
from connfit.connectome.table_files import read_table
from connfit.errors import ConfigError, DataError, first_ten
from connfit.models.perturb import parse_neuron_set

STIMULATED, SILENCED, RESPONDING = "stimulated", "silenced", "responding"
OBSERVATIONS, Q, RESPONDS = "observations", "q", "responds"
AMPLITUDES = ("amplitude", "mean_dff")
"""Names that the column of amplitudes can have."""
HALVES = ("half_1", "half_2")


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
    """Measured responses of neurons to the stimulation of others, or their change when further ones are silenced.

    Attributes
    ----------
    name
        Of the file, or a word for a table in memory.
    stimulated, responding
        [R] ids of the neurons of each ordered pair, as text; `stimulated` is empty where nobody was.
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
    silenced
        [R] ids of the neurons that were silent meanwhile, empty where nobody was; None where nobody was in any row. A
        response is then a change: of the response to the stimulus, or from rest where nobody was stimulated.
    """

    name: str
    stimulated: np.ndarray
    responding: np.ndarray
    observations: Int[np.ndarray, "R"] | None
    q: Float[np.ndarray, "R"] | None
    responds: Float[np.ndarray, "R"] | None
    amplitude: Float[np.ndarray, "R"] | None = None
    halves: Float[np.ndarray, "R 2"] | None = None
    silenced: np.ndarray | None = None

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
        Positions of the neurons of each set that is stimulated, silenced, or read together; of nobody, none.
    unknown
        Ids of the table that the connectome lacks, in the table's order.
    lost
        The pairs that were left out because a neuron is unknown.
    own_rows
        Rows that were left out because a neuron answers its own stimulation, or its own silence.
    silenced
        [R] as `stimulated`, of the silenced neurons; None where nobody is.
    """

    measured: MeasuredResponses
    stimulated: Int[np.ndarray, "R"]
    responding: Int[np.ndarray, "R"]
    unknown: tuple[str, ...]
    lost: MeasuredResponses
    own_rows: int
    sets: tuple[Int[np.ndarray, "k"], ...] = ()
    silenced: Int[np.ndarray, "R"] | None = None


def read_measured(source: TableSource | MeasuredResponses, *, name: str | None = None) -> MeasuredResponses:
    """Read a table of measured responses.

    Columns: `stimulated`, `responding` (ids of neurons), and `q` or `responds`; where they are there, `silenced`,
    `observations`, `amplitude` or `mean_dff`, `half_1` and `half_2`. Other columns are not read. See docs/measured.md.

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
    silenced = _silenced(table)
    stimulated = ids(table, STIMULATED, may_be_empty=silenced is not None)
    responding = ids(table, RESPONDING)
    _refuse_nobody(stimulated, silenced, table.path)
    _refuse_repeated(stimulated, silenced, responding, table.path)
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
        q=within(numbers(table, Q), Q, table.path) if there == [Q] else None,
        responds=words(table, RESPONDS) if there == [RESPONDS] else None,
        amplitude=numbers(table, amplitudes[0]) if amplitudes else None,
        halves=np.column_stack([numbers(table, column) for column in HALVES]) if halves else None,
        silenced=silenced,
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
    silenced = measured.silenced
    there = {*measured.stimulated, *measured.responding, *(() if silenced is None else silenced)} - {""}
    for old in names:
        if old not in there:
            near = get_close_matches(old, sorted(there), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"rename: the table has no neuron {old!r}{hint}")

    def new(given: np.ndarray) -> np.ndarray:
        return np.array([names.get(each, each) for each in given], object)

    stimulated, responding = new(measured.stimulated), new(measured.responding)
    silenced = None if silenced is None else new(silenced)
    _refuse_repeated(stimulated, silenced, responding, measured.name)
    return replace(measured, stimulated=stimulated, responding=responding, silenced=silenced)


def place(measured: MeasuredResponses, connectome: Connectome) -> PlacedResponses:
    """Find the neurons of a table in a connectome; pairs of unknown neurons, and of a neuron with itself, are left out.

    What is no id may be a set of neurons (`connfit.models.perturb.parse_neuron_set`), stimulated or read together.

    Raises
    ------
    DataError
        If no pair is left; names the nearest ids.
    """
    index = pd.Index([str(one) for one in connectome.ids])
    names = [measured.stimulated, measured.responding]
    names += [] if measured.silenced is None else [measured.silenced]
    at, sets = _with_sets([index.get_indexer(pd.Index(each)) for each in names], names, connectome)
    unknown = tuple(dict.fromkeys(name for each, sites in zip(names, at, strict=True) for name in each[sites < 0]))
    absent = np.any([sites < 0 for sites in at], axis=0)
    own = np.zeros(measured.rows, bool)
    driven, responding = [at[0], *at[2:]], at[1]
    for sites in driven:
        own |= ~absent & (sites == responding)
        for row in np.flatnonzero(~absent & (np.maximum(sites, responding) >= connectome.n)):
            one, other = (set(members(int(each[row]), connectome.n, sets).tolist()) for each in (sites, responding))
            own[row] |= not one.isdisjoint(other)
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
    silenced = None if measured.silenced is None else at[2][keep]
    lost = rows_of(measured, np.flatnonzero(absent))
    return PlacedResponses(
        rows_of(measured, keep), at[0][keep], at[1][keep], unknown, lost, int(own.sum()), sets, silenced
    )


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
                if not text:  # nobody
                    found[text] = connectome.n + len(sets)
                    sets.append(np.zeros(0, np.int64))
                elif ":" in text:
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


def rows_of(measured: MeasuredResponses, keep: Int[np.ndarray, "k"]) -> MeasuredResponses:
    """Return some of the rows of a table."""

    def some(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[keep]

    return MeasuredResponses(
        measured.name, measured.stimulated[keep], measured.responding[keep], some(measured.observations),
        some(measured.q), some(measured.responds), some(measured.amplitude), some(measured.halves),
        some(measured.silenced),
    )  # fmt: skip


def _silenced(table: NamedTable) -> np.ndarray | None:
    """Who was silenced; None without the column, or where nobody was in any row."""
    if SILENCED not in table.columns:
        near = get_close_matches(SILENCED, table.columns, n=1, cutoff=0.8)
        if near:
            raise DataError(
                f"column {near[0]!r} would not be read",
                path=table.path,
                fix=f"Call it {SILENCED!r} if it says who was silenced, else by a name that is less like it",
            )
        return None
    found = ids(table, SILENCED, may_be_empty=True)
    return found if (found != "").any() else None


def _refuse_nobody(stimulated: np.ndarray, silenced: np.ndarray | None, path: str) -> None:
    """In every row somebody is stimulated or silenced."""
    nobody = (stimulated == "") & (silenced == "") if silenced is not None else np.zeros(len(stimulated), bool)
    if nobody.any():
        raise DataError(
            f"row {int(np.flatnonzero(nobody)[0]) + 1}: {STIMULATED!r} and {SILENCED!r} are both empty "
            f"({int(nobody.sum())} such rows)",
            path=path,
            fix="Say who was stimulated, or who was silenced at rest, or delete the row",
        )


def _refuse_repeated(stimulated: np.ndarray, silenced: np.ndarray | None, responding: np.ndarray, path: str) -> None:
    """A pair that is there twice may be counted twice, or contradict itself."""
    columns = {"stimulated": stimulated, "responding": responding}
    columns |= {} if silenced is None else {"silenced": silenced}
    again = pd.DataFrame(columns).duplicated().to_numpy()
    if again.any():
        row = int(np.flatnonzero(again)[0])
        silent = f" with {silenced[row]!r} silenced" if silenced is not None and silenced[row] else ""
        raise DataError(
            f"row {row + 1}: the pair {stimulated[row]!r}, {responding[row]!r}{silent} is there already "
            f"({int(again.sum())} such rows)",
            path=path,
            fix="Keep one row per ordered pair: pool its observations, or score the experiments one by one",
        )


def pairs_by(positions: Sequence[int] | Int[np.ndarray, "R"]) -> tuple[Int[np.ndarray, "S"], Int[np.ndarray, "R"]]:
    """Return the neurons that are there, ascending, and of each pair the number of its neuron among them."""
    found, inverse = np.unique(np.asarray(positions), return_inverse=True)
    return found, inverse
