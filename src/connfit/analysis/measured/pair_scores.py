"""One predictor, or a difference between two, on the pairs of a table: everything that `scores.json` says of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.analysis.measured.experiments import REST, experiment_of
from connfit.analysis.measured.measured_responses import PlacedResponses, ResponseRule, pairs_by
from connfit.analysis.measured.response_scores import (
    Estimate,
    Resamples,
    amplitude_ceiling,
    auroc,
    average_precision,
    rank_correlation,
    roc_curve,
    share,
)
from connfit.analysis.measured.scored_responses import DistanceScore, PredictorScores, TableFacts
from connfit.analysis.measured.wiring_predictors import FAR, Predictor
from connfit.errors import DataError

FALSE_ALARMS = np.linspace(0, 1, 51)
"""Where ROC curves are kept."""
NO_PAIRS = "it says nothing of any pair that responds, or of any that does not"
NO_AMPLITUDE = "the table has no amplitudes"
NO_SIGN = "it predicts no sign"


@dataclass(frozen=True, eq=False)
class Truth:
    """The tested pairs of a table and what was measured of them.

    Attributes
    ----------
    stimulated, responding
        [R] positions of the neurons in the connectome; from its number of neurons on, of `sets`.
    responds
        [R] whether the pair responds.
    amplitude
        [R] NaN where there is none; None without amplitudes.
    halves
        [R, 2]; None without halves.
    group
        [R] number of the neuron that varies: the silenced one where there is one, else the stimulated one.
    distance
        [R] connections on the shortest path.
    rows
        [R] rows of the placed table.
    sets, silenced
        See `PlacedResponses`.
    """

    stimulated: Int[np.ndarray, "R"]
    responding: Int[np.ndarray, "R"]
    responds: Bool[np.ndarray, "R"]
    amplitude: Float[np.ndarray, "R"] | None
    halves: Float[np.ndarray, "R 2"] | None
    group: Int[np.ndarray, "R"]
    distance: Float[np.ndarray, "R"]
    rows: Int[np.ndarray, "R"]
    sets: tuple[Int[np.ndarray, "k"], ...] = ()
    silenced: Int[np.ndarray, "R"] | None = None

    @classmethod
    def of(cls, placed: PlacedResponses, rule: ResponseRule, distance: Float[np.ndarray, "R"]) -> Truth:
        """Take the pairs that were tested and seen often enough.

        Raises
        ------
        DataError
            If none of them responds, or all do: there is nothing to rank.
        """
        measured = placed.measured
        found = measured.response(rule)
        rows = np.flatnonzero(np.isfinite(found))
        yes = int(np.nansum(found))
        if not 0 < yes < len(rows):
            which = "none responds" if not yes else "all respond"
            raise DataError(
                f"of {len(rows):,} pairs that were tested and seen at least {rule.min_observations} times {which}",
                path=measured.name,
                fix="Give other values of min_observations or q_below, or a table with pairs of both kinds",
            )
        group = pairs_by(varied(placed)[rows])[1]

        def some(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return cls(
            placed.stimulated[rows], placed.responding[rows], found[rows] > 0, some(measured.amplitude),
            some(measured.halves), group, distance[rows], rows, placed.sets, some(placed.silenced),
        )  # fmt: skip

    @property
    def groups(self) -> int:
        """Number of different neurons that vary."""
        return int(self.group.max()) + 1

    @property
    def over(self) -> str:
        """Which neurons vary from pair to pair, and are resampled: `stimulated` or `silenced`."""
        return "stimulated" if self.silenced is None else "silenced"


def varied(pairs: PlacedResponses | Truth) -> Int[np.ndarray, "R"]:
    """Return the neuron of each pair that varies, from which distances are counted: silenced, or else stimulated."""
    return pairs.stimulated if pairs.silenced is None else pairs.silenced


def table_facts(
    placed: PlacedResponses, truth: Truth, rows: int, resamples: Resamples, rule: ResponseRule | None = None
) -> TableFacts:
    """Count what is scored and what is left out, and find the ceiling of amplitudes.

    Parameters
    ----------
    rows
        Of the whole table.
    rule
        What counts as a response.
    """
    lost, experiment = placed.lost.response(rule or ResponseRule()), experiment_of(placed.measured)
    positive, halves, ceiling = None, Estimate(reason="the table has no halves of its observations"), None
    if truth.amplitude is not None:
        known = truth.responds & np.isfinite(truth.amplitude)
        positive = float((truth.amplitude[known] > 0).mean()) if known.any() else None
    if truth.halves is not None:
        known = np.isfinite(truth.halves).all(axis=1)
        if known.sum() > 1:
            values = rank_correlation(
                truth.halves[known, 0], truth.halves[known, 1], truth.group[known], resamples.weights
            )
            halves = resamples.estimate(values, why="halves do not vary")
            ceiling = resamples.estimate(amplitude_ceiling(values), why="halves do not agree at all")
    return TableFacts(
        name=placed.measured.name,
        experiment=experiment,
        rows=rows,
        unknown_neurons=len(placed.unknown),
        unknown=placed.unknown,
        unknown_rows=placed.lost.rows,
        unknown_pairs=int(np.isfinite(lost).sum()),
        unknown_responses=int(np.nansum(lost)),
        own_rows=placed.own_rows,
        not_tested_rows=placed.measured.rows - len(truth.rows),
        stimulated=0 if experiment == REST else len(np.unique(truth.stimulated)),
        silenced=0 if truth.silenced is None else truth.groups,
        responding=len(np.unique(truth.responding)),
        pairs=len(truth.rows),
        responses=int(truth.responds.sum()),
        positive_share=positive,
        half_correlation=halves,
        amplitude_ceiling=ceiling or Estimate(reason=halves.reason or "halves are missing"),
    )


def aurocs(values: Float[np.ndarray, "R"], truth: Truth, among: Bool[np.ndarray, "R"], resamples: Resamples) -> tuple[
    Float[np.ndarray, "B1"], Float[np.ndarray, "B1"]
]:  # fmt: skip
    """Return AUROC, pooled and within each neuron that varies, by resample, among some of the pairs."""
    return auroc(np.abs(values[among]), truth.responds[among], truth.group[among], resamples.weights)


def difference(one: Predictor, other: Predictor, truth: Truth, resamples: Resamples) -> tuple[Estimate, int]:
    """Return AUROC of one predictor minus that of another on the pairs of both, and how many these are."""
    both = np.isfinite(one.values) & np.isfinite(other.values)
    first, second = (aurocs(each.values, truth, both, resamples)[0] for each in (one, other))
    return resamples.estimate(first - second, why=NO_PAIRS), int(both.sum())


def score_predictor(predictor: Predictor, truth: Truth, resamples: Resamples) -> PredictorScores:
    """Score one predictor on the pairs that it says something of."""
    values, known = predictor.values, np.isfinite(predictor.values)
    size, responds, group, weights = np.abs(values[known]), truth.responds[known], truth.group[known], resamples.weights
    if not 0 < responds.sum() < len(responds):
        nothing = Estimate(reason=NO_PAIRS)
        return PredictorScores(
            predictor.name, predictor.label, predictor.kind, int(known.sum()), int(responds.sum()), nothing, nothing,
            nothing, nothing, nothing,
        )  # fmt: skip
    pooled, within = auroc(size, responds, group, weights)
    return PredictorScores(
        name=predictor.name,
        label=predictor.label,
        kind=predictor.kind,
        pairs=len(responds),
        responses=int(responds.sum()),
        auroc=resamples.estimate(pooled),
        auroc_within=resamples.estimate(within, why=f"no {resamples.over} neuron has pairs of both kinds"),
        average_precision=resamples.estimate(average_precision(size, responds, group, weights)),
        amplitude_correlation=_amplitude(predictor, truth, resamples),
        sign_agreement=_signs(predictor, truth, resamples),
        by_distance=_by_distance(values, truth, known, resamples),
        roc=tuple(np.round(roc_curve(size, responds, FALSE_ALARMS), 4).tolist()),
    )


def _amplitude(predictor: Predictor, truth: Truth, resamples: Resamples) -> Estimate:
    if truth.amplitude is None:
        return Estimate(reason=NO_AMPLITUDE)
    known = np.isfinite(predictor.values) & np.isfinite(truth.amplitude)
    if known.sum() < 2:
        return Estimate(reason="it says nothing of pairs with an amplitude")
    signed = predictor.values[known] if predictor.signed else np.abs(predictor.values[known])
    values = rank_correlation(signed, truth.amplitude[known], truth.group[known], resamples.weights)
    return resamples.estimate(values, why="predictions or amplitudes do not vary")


def _signs(predictor: Predictor, truth: Truth, resamples: Resamples) -> Estimate:
    if truth.amplitude is None:
        return Estimate(reason=NO_AMPLITUDE)
    if not predictor.signed:
        return Estimate(reason=NO_SIGN)
    values = np.nan_to_num(predictor.values)
    known = truth.responds & np.isfinite(truth.amplitude) & (values != 0) & (np.nan_to_num(truth.amplitude) != 0)
    if not known.any():
        return Estimate(reason="it predicts no sign of any response")
    same = np.sign(values[known]) == np.sign(truth.amplitude[known])
    return resamples.estimate(share(same, truth.group[known], resamples.weights))


def distance_names(distance: Float[np.ndarray, "R"]) -> np.ndarray:
    """Return the class of each distance: `1`, `2`, `3+`, `none`."""
    names = np.array([*map(str, range(FAR)), f"{FAR}+", "none"], object)
    return names[np.where(np.isfinite(distance), np.minimum(distance, FAR), FAR + 1).astype(int)]


def _by_distance(
    values: Float[np.ndarray, "R"], truth: Truth, known: Bool[np.ndarray, "R"], resamples: Resamples
) -> dict[str, DistanceScore]:
    names, found = distance_names(truth.distance), {}
    for name in (*map(str, range(1, FAR)), f"{FAR}+", "none"):
        among = known & (names == name)
        if not among.any():
            continue
        yes = int(truth.responds[among].sum())
        if 0 < yes < among.sum():
            estimate = resamples.estimate(aurocs(values, truth, among, resamples)[0])
        else:
            estimate = Estimate(reason="all of these pairs respond" if yes else "none of these pairs responds")
        found[name] = DistanceScore(int(among.sum()), yes, estimate)
    return found
