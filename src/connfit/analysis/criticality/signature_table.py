"""Signs of criticality of data, of fitted and untrained models, and of surrogates, over thresholds and bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Shaped
from threadpoolctl import threadpool_limits

from connfit._io import optional
from connfit.analysis.analysis_options import BINS, REFERENCE, THRESHOLDS, AnalysisOptions
from connfit.analysis.criticality.judgement import (
    GRID_SURROGATES,
    CellCounts,
    Signal,
    best_floor,
    growth_of_noise,
    judge,
)
from connfit.analysis.criticality.power_law_evidence import ALTERNATIVES, PowerLawTest
from connfit.analysis.criticality.signatures import Criticality, Settings, SignatureRow, sensitivity
from connfit.analysis.criticality.subsampling import mean_of_observed
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
    what
        In words.
    arrays
        [time, unit] per recording; NaN where nothing was observed.
    floors
        Of `FLOORS`.
    surrogates
        Kinds of `SURROGATES` at the reference threshold; those of `GRID_SURROGATES` among them over all.
    """

    what: str
    arrays: Sequence[Shaped[np.ndarray, "t n"]]
    floors: tuple[str, ...] = tuple(FLOORS)
    surrogates: tuple[str, ...] = tuple(SURROGATES)


@dataclass(frozen=True)
class GridCell(SignatureRow):
    """A cell of the table, and whether a power law stands there.

    Parameters
    ----------
    floor_rule
        What separates avalanches, of `FLOORS`.
    rule, level, over
        Of the threshold.
    sizes_stand, durations_stand
        See `stands`.
    gamma_consistent
        Whether the scaling relation holds within its tolerance; None where it could not be tested.
    reasons
        As in `Criticality`.
    """

    floor_rule: str = ""
    rule: str | None = None
    level: float | None = None
    over: str | None = None
    sizes_stand: bool | None = None
    durations_stand: bool | None = None
    gamma_consistent: bool | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceSignatures:
    """All signs of criticality of one source: the reference analysis in full, and a table over thresholds and bins.

    Parameters
    ----------
    what
        The source in words.
    recordings, frames, units
        How much of it there is.
    reference
        By floor, then by surrogate or `"data"`.
    grid
        The table; None where there is no activity.
    verdict
        By floor and surrogate, in how many cells of the table power laws stand.
    thresholds_left_out
        Thresholds that do not apply, as by a MAD of 0, with the reason.
    reasons
        By surrogate: why there is none.
    signal
        What the mean activity says.
    reason
        Why there is no activity.
    """

    what: str = ""
    recordings: int = 0
    frames: int = 0
    units: int = 0
    reference: Mapping[str, Mapping[str, Criticality]] = field(default_factory=dict)
    grid: tuple[GridCell, ...] | None = None
    verdict: Mapping[str, Mapping[str, CellCounts]] = field(default_factory=dict)
    thresholds_left_out: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    signal: Signal | None = None
    reason: str | None = optional()

    @property
    def floor(self) -> str | None:
        """The separation of avalanches under which most cells have enough of them; None where none was analysed."""
        return best_floor(self.verdict)

    @property
    def judgement(self) -> str | None:
        """The word for its avalanches; None where none were analysed."""
        return None if self.floor is None else judge(self.verdict[self.floor], self.signal)


def examine_source(source: Source, options: AnalysisOptions, frame_rate_hz: float) -> SourceSignatures:
    """Examine one source: the reference analysis in full, and a table over thresholds, bins and surrogates."""
    settings = Settings(min_tail=LEAST, repeats=0, frame_rate_hz=frame_rate_hz, seed=options.seed)
    reference: dict[str, dict[str, Criticality]] = {floor: {} for floor in source.floors}
    grid: list[GridCell] = []
    reasons: dict[str, str] = {}
    for floor in source.floors:
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
                        settings=floor_settings(floor, settings),
                        repeats=repeats,
                    )
            except DataError as error:
                reasons[kind] = str(error)
                continue
            reference[floor][kind] = next(
                cell for cell in found if cell.events.threshold == REFERENCE and cell.avalanches.bin_frames == 1
            )
            if over_all:
                grid += [_cell(floor, cell) for cell in found]
    left_out = {
        cell.threshold: cell.reasons["events"] for cell in grid if cell.surrogate == "data" and "events" in cell.reasons
    }
    return SourceSignatures(
        what=source.what,
        recordings=len(source.arrays),
        frames=sum(len(values) for values in source.arrays),
        units=int(source.arrays[0].shape[1]),
        signal=_signal(reference, source, options.seed),
        # What no threshold enters stands once, in `signal`.
        reference={
            floor: {
                kind: replace(found, branching_signal=None, memory=None) if kind == "data" else found
                for kind, found in kinds.items()
            }
            for floor, kinds in reference.items()
        },
        grid=tuple(grid),
        verdict={floor: _verdicts(grid, floor, left_out) for floor in source.floors},
        thresholds_left_out=left_out,
        reasons=reasons,
    )


def floor_settings(floor: str, settings: Settings) -> Settings:
    """Return settings with one of `FLOORS`."""
    return settings if floor == "silence" else replace(settings, floor_percentile=50.0, excess=True)


def _signal(reference: Mapping[str, Mapping[str, Criticality]], source: Source, seed: int) -> Signal | None:
    found = next((kinds["data"] for kinds in reference.values() if "data" in kinds), None)
    if found is None:
        return None
    linear = growth_of_noise([mean_of_observed(values) for values in source.arrays], seed)
    return Signal(found.branching_signal, found.memory, linear)


def _verdicts(grid: Sequence[GridCell], floor: str, left_out: Mapping[str, str]) -> dict[str, CellCounts]:
    """Counts of the data and of each surrogate that went through the table; thresholds left out count for none."""
    own = [cell for cell in grid if cell.floor_rule == floor]
    return {
        kind: verdict([cell for cell in own if cell.surrogate == kind and cell.threshold not in left_out])
        for kind in dict.fromkeys(cell.surrogate for cell in own)
    }


def _cell(floor: str, found: Criticality) -> GridCell:
    threshold = found.events.threshold
    return GridCell(
        **vars(found.row),
        floor_rule=floor,
        rule=threshold.rule if threshold else None,
        level=threshold.level if threshold else None,
        over=threshold.over if threshold else None,
        sizes_stand=stands(found.sizes),
        durations_stand=stands(found.durations),
        gamma_consistent=found.scaling.within_tolerance if found.scaling else None,
        reasons=found.reasons,
    )


def stands(test: PowerLawTest | None) -> bool | None:
    """Judge whether a power law holds: over a decade or more, no alternative is favoured, and goodness of fit, if
    tested, has p of at least 0.1. None where too few avalanches were found to say.
    """
    if test is None:
        return None
    better = any(compared.favoured in ALTERNATIVES for compared in test.comparisons)
    rejected = test.goodness is not None and test.goodness.p < 0.1
    return not (better or rejected or test.fit.at_bound or test.fit.decades < DECADES)


def verdict(cells: Sequence[GridCell]) -> CellCounts:
    """Count the cells of the table in which power laws and the scaling relation hold."""
    enough = [cell for cell in cells if cell.sizes_stand is not None and cell.durations_stand is not None]
    both = [cell for cell in enough if cell.sizes_stand and cell.durations_stand]
    return CellCounts(
        cells=len(cells),
        enough=len(enough),
        sizes=sum(bool(cell.sizes_stand) for cell in enough),
        durations=sum(bool(cell.durations_stand) for cell in enough),
        both=len(both),
        tested=sum(cell.gamma_consistent is not None for cell in both),
        all=sum(bool(cell.gamma_consistent) for cell in both),
    )
