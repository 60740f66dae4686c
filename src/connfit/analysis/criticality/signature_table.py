"""Signs of criticality of data, of fitted and untrained models, and of surrogates, over thresholds and bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Shaped
from threadpoolctl import threadpool_limits

from connfit.analysis.analysis_options import BINS, REFERENCE, THRESHOLDS, AnalysisOptions
from connfit.analysis.criticality.judgement import GRID_SURROGATES
from connfit.analysis.criticality.power_law_evidence import ALTERNATIVES, PowerLawTest
from connfit.analysis.criticality.signatures import Criticality, Settings, sensitivity
from connfit.analysis.criticality.surrogates import SURROGATES
from connfit.analysis.criticality.threshold import Threshold
from connfit.errors import DataError

FLOORS = {
    "silence": "an avalanche lies between bins without events",
    "median": "an avalanche lies between bins with no more than the median number of events, which do not count",
}
"""What separates avalanches. Populations that are never silent need the second (Poil et al. 2012)."""

LEAST = 50
"""Fewest avalanches within the range of a power law."""

DECADES = 1.0
"""A straight line over less than this is not called a power law (Stumpf & Porter 2012, doi 10.1126/science.1216142)."""


@dataclass(frozen=True, eq=False)
class Source:
    """Activity that is examined.

    Parameters
    ----------
    name
        Key in files: `data_units`, `model_units`, `model_neurons`, ...
    what
        In words.
    arrays
        [time, unit] per recording; NaN where nothing was observed.
    floors
        Of `FLOORS`.
    surrogates
        Kinds of `SURROGATES` at the reference threshold; those of `GRID_SURROGATES` among them over all.
    """

    name: str
    what: str
    arrays: Sequence[Shaped[np.ndarray, "t n"]]
    floors: tuple[str, ...] = tuple(FLOORS)
    surrogates: tuple[str, ...] = tuple(SURROGATES)


def examine_source(source: Source, options: AnalysisOptions, frame_rate_hz: float) -> dict[str, Any]:
    """All signs of one source: the reference analysis in full, and a table over thresholds, bins and surrogates.

    Returns
    -------
    dict
        `reference.<floor>.<surrogate or data>`: the record of `connfit.analysis.criticality.signatures.Criticality`;
        `grid`: rows; `verdict`: by floor and surrogate, in how many cells of the table a power law stands;
        `thresholds_left_out`: thresholds that do not apply, as by a MAD of 0, with the reason; `reasons`.
    """
    settings = Settings(min_tail=LEAST, repeats=0, frame_rate_hz=frame_rate_hz, seed=options.seed)
    reference: dict[str, Any] = {}
    grid: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    for floor in source.floors:
        own = floor_settings(floor, settings)
        reference[floor] = {}
        for kind in ("data", *source.surrogates):
            over_all = kind == "data" or kind in GRID_SURROGATES

            def repeats(threshold: Threshold | None, bin_frames: int, full: bool = over_all) -> int:
                return options.repeats if full and threshold == REFERENCE and bin_frames == 1 else 0

            try:
                # Threads of BLAS cost more than they give in fits of two numbers.
                with threadpool_limits(1, user_api="blas"):
                    found = sensitivity(
                        source.arrays,
                        THRESHOLDS if over_all else (REFERENCE,),
                        BINS if over_all else (1,),
                        surrogates=(kind,),
                        settings=own,
                        repeats=repeats,
                    )
            except DataError as error:
                reasons[kind] = str(error)
                continue
            one = next(each for each in found if each.events.threshold == REFERENCE and each.avalanches.bin_frames == 1)
            reference[floor][kind] = {**one.record(), "row": one.row(), "histograms": _histograms(one)}
            if over_all:
                grid += [{"floor_rule": floor, **_cell(each)} for each in found]
    return {
        "what": source.what,
        "recordings": len(source.arrays),
        "frames": int(sum(len(one) for one in source.arrays)),
        "units": int(source.arrays[0].shape[1]),
        "reference": reference,
        "grid": grid,
        "verdict": {floor: _verdicts(grid, floor) for floor in source.floors},
        "thresholds_left_out": _left_out(grid),
        "reasons": reasons,
    }


def floor_settings(floor: str, settings: Settings) -> Settings:
    """Settings with one of `FLOORS`."""
    return settings if floor == "silence" else replace(settings, floor_percentile=50.0, excess=True)


def _verdicts(grid: Sequence[Mapping[str, Any]], floor: str) -> dict[str, dict[str, int]]:
    """`verdict` of the data and of each surrogate that went through the table."""
    kinds = dict.fromkeys(row["surrogate"] for row in grid if row["floor_rule"] == floor)
    without = _left_out(grid)
    return {
        kind: verdict(
            [
                row
                for row in grid
                if row["floor_rule"] == floor and row["surrogate"] == kind and row["threshold"] not in without
            ]
        )
        for kind in kinds
    }


def _left_out(grid: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Thresholds that do not apply to the data, with the reason; they count for no surrogate either."""
    return {
        row["threshold"]: row["reasons"]["events"]
        for row in grid
        if row["surrogate"] == "data" and "events" in row["reasons"]
    }


def _cell(one: Criticality) -> dict[str, Any]:
    """A row of the table: its numbers, and whether a power law stands there."""
    sizes, durations = stands(one.sizes), stands(one.durations)
    threshold = one.events.threshold
    return {
        **_finite(one.row()),
        "rule": threshold.rule if threshold else None,
        "level": threshold.level if threshold else None,
        "over": threshold.over if threshold else None,
        "sizes_stand": sizes,
        "durations_stand": durations,
        "gamma_consistent": one.scaling.within_tolerance if one.scaling else None,
        "reasons": dict(one.reasons),
    }


def stands(test: PowerLawTest | None) -> bool | None:
    """Whether a power law stands: over a decade or more, no alternative is favoured, and goodness of fit, where it
    was tested, has p of at least 0.1. None where too few avalanches were found to say.
    """
    if test is None:
        return None
    better = any(one.favoured in ALTERNATIVES for one in test.comparisons)
    rejected = test.goodness is not None and test.goodness.p < 0.1
    return not (better or rejected or test.fit.at_bound or test.fit.decades < DECADES)


def verdict(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Counts over cells of the table.

    `cells`: all whose threshold applies to the data; `enough`: those with fits of sizes and durations; `sizes`,
    `durations`: in which the power law stands; `both`; `tested`: those of `both` with enough durations to test the
    scaling relation; `all`: those in which it holds within its interval and
    `connfit.analysis.criticality.crackling.TOLERANCE`.
    """
    enough = [one for one in rows if one["sizes_stand"] is not None and one["durations_stand"] is not None]
    both = [one for one in enough if one["sizes_stand"] and one["durations_stand"]]
    return {
        "cells": len(rows),
        "enough": len(enough),
        "sizes": sum(one["sizes_stand"] for one in enough),
        "durations": sum(one["durations_stand"] for one in enough),
        "both": len(both),
        "tested": sum(one["gamma_consistent"] is not None for one in both),
        "all": sum(bool(one["gamma_consistent"]) for one in both),
    }


def _histograms(one: Criticality) -> dict[str, Any]:
    """Sizes, durations and mean size of each duration, as distinct values with their numbers, for figures."""
    found = one.avalanches
    out: dict[str, Any] = {}
    for name, values in (("size", found.sizes), ("duration", found.durations)):
        value, number = np.unique(values, return_counts=True)
        out[name] = {"value": value.tolist(), "number": number.tolist()}
    duration, index = np.unique(found.durations, return_inverse=True)
    mean = np.bincount(index, weights=found.sizes, minlength=len(duration)) / np.maximum(np.bincount(index), 1)
    out["mean_size"] = {"duration": duration.tolist(), "size": mean.tolist()}
    out["shapes"] = one.collapse.shapes.tolist() if one.collapse else None
    return out


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()}
