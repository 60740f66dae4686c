"""How far the seeds of a study agree on parameters and predictions, as `study/study.json` holds it."""

from __future__ import annotations

from dataclasses import dataclass

from connfit._io import optional


@dataclass(frozen=True)
class Agreement:
    """How far seeds agree on one group of parameters: means over all pairs of seeds.

    Parameters
    ----------
    group
        Name of the group, or of a part of it.
    count
        Parameters.
    seeds
        Number of seeds.
    start_pearson, start_spearman
        Correlation of the values before the fit; 1 if seeds start alike.
    pearson, spearman
        The same after the fit.
    log_pearson
        Of the natural logarithm of the values, over those above 0 in all seeds; None for a group with negative values.
    positive
        Share of the values that are above 0 in all seeds.
    change_pearson, change_spearman
        Of the change from each seed's own start.
    change_low, change_high
        Smallest and largest `change_pearson` among pairs.
    moved
        Size of the change over the size of the start (root mean squares, mean over seeds); None from a start at 0.
    spread_ratio
        Spread between seeds after the fit over the spread before it (root mean square over parameters): below 1 seeds
        have come nearer to each other, above 1 they have drifted apart; None if they start alike.
    reason
        Why numbers are missing.
    """

    group: str = ""
    count: int = 0
    seeds: int = 0
    start_pearson: float | None = None
    start_spearman: float | None = None
    pearson: float | None = None
    spearman: float | None = None
    log_pearson: float | None = None
    positive: float | None = None
    change_pearson: float | None = None
    change_spearman: float | None = None
    change_low: float | None = None
    change_high: float | None = None
    moved: float | None = None
    spread_ratio: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class PredictionAgreement:
    """How far predictions of several seeds agree: means over pairs of seeds, all units and recordings pooled.

    Parameters
    ----------
    frames_ahead
        Horizon in frames.
    count
        Values that all seeds predict.
    pearson
        Correlation of the predictions, units centred on their own mean over seeds and frames: differences between
        units, which any model knows, would make it 1.
    change_pearson
        Correlation of what is predicted to change: prediction minus the last observed value, not centred. Frames are
        nearly copies of each other, so this is what the models say beyond that.
    reason
        Why a number is missing.
    """

    frames_ahead: int = 0
    count: int = 0
    pearson: float | None = None
    change_pearson: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Reproducibility:
    """Agreement of the seeds of the connectome model.

    Parameters
    ----------
    seeds
        That are compared.
    groups, weights_by_region
        Of each group of parameters, and of the weights by region of the postsynaptic neuron.
    predictions
        One frame ahead, and far ahead.
    flat
        Groups whose changes do not agree although predictions do.
    text
        The same in sentences.
    reason
        Why nothing is compared.
    """

    seeds: tuple[int, ...] = ()
    groups: tuple[Agreement, ...] = ()
    weights_by_region: tuple[Agreement, ...] = ()
    predictions: tuple[PredictionAgreement, ...] = ()
    flat: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    reason: str | None = optional()
