"""All signs of criticality of a recording at once, and how they depend on thresholds, bins and surrogates.

No single one of them decides. A claim needs the same verdict over a range of thresholds and bins, and another one
for surrogates and null networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int, Shaped

from connfit.analysis.criticality.avalanches import Avalanches, find_avalanches
from connfit.analysis.criticality.branching import Branching, branching_ratio
from connfit.analysis.criticality.crackling import ScalingRelation, ShapeCollapse, scaling_relation, shape_collapse
from connfit.analysis.criticality.events import EventCounts, count_events, join_events
from connfit.analysis.criticality.fluctuations import Fluctuations, fluctuations
from connfit.analysis.criticality.power_law_evidence import PowerLawTest, examine_power_law
from connfit.analysis.criticality.surrogates import SURROGATES, Surrogate
from connfit.analysis.criticality.threshold import Threshold
from connfit.analysis.record import Result
from connfit.errors import ConfigError, DataError, one_of

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Settings(Result):
    """What stays the same over a table of results.

    Parameters
    ----------
    floor, floor_percentile, excess
        As in `find_avalanches`. Large populations need a floor, for they are never silent.
    size_xmin, duration_xmin
        Smallest size and duration of power laws; None to search.
    size_xmax, duration_xmax
        Largest; None for no end.
    min_tail
        Fewest avalanches in a power law.
    repeats
        Bootstrap samples of each analysis; 0 leaves out the test of goodness of fit and intervals, but for those of
        the scaling relation and the collapse, which use 50.
    max_lag
        Largest lag for the branching ratio, in frames; None for its default.
    offset
        Whether the branching ratio allows for slow drifts.
    frame_rate_hz
        To have time constants in seconds; None for frames.
    seed
        Of bootstraps and surrogates.
    """

    floor: float = 0.0
    floor_percentile: float | None = None
    excess: bool = False
    size_xmin: int | None = None
    duration_xmin: int | None = None
    size_xmax: int | None = None
    duration_xmax: int | None = None
    min_tail: int = 50
    repeats: int = 100
    max_lag: int | None = None
    offset: bool = False
    frame_rate_hz: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Criticality(Result):
    """Signs of criticality for one threshold, bin width and surrogate; None, with a reason, where not defined.

    Parameters
    ----------
    events
        How values became events.
    avalanches
        Avalanches that were found.
    count
        Number of whole avalanches.
    sizes, durations
        Tests of power laws.
    scaling
        Relation of the exponents.
    collapse
        Mean shapes.
    branching
        Branching ratio of the number of events per frame.
    branching_signal
        Branching ratio of the recorded mean over units: no threshold enters it.
    memory
        Fluctuations of the recorded mean over units.
    reasons
        By field: why there is no result.
    """

    events: EventCounts
    avalanches: Avalanches
    count: int
    sizes: PowerLawTest | None
    durations: PowerLawTest | None
    scaling: ScalingRelation | None
    collapse: ShapeCollapse | None
    branching: Branching | None
    branching_signal: Branching | None
    memory: Fluctuations | None
    reasons: dict[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The main numbers as one flat row of a table; None where not defined."""
        row: dict[str, Any] = {
            "threshold": str(self.events.threshold) if self.events.threshold else "events",
            "bin_frames": self.avalanches.bin_frames,
            "floor": self.avalanches.floor,
            "surrogate": self.events.surrogate or "data",
            "units": self.events.units,
            "avalanches": self.count,
            "cut": self.avalanches.cut,
            "active": self.avalanches.active,
        }
        for name, test in (("size", self.sizes), ("duration", self.durations)):
            row |= {
                f"{name}_exponent": test.fit.exponent if test else None,
                f"{name}_xmin": test.fit.xmin if test else None,
                f"{name}_tail": test.fit.tail if test else None,
                f"{name}_decades": test.fit.decades if test else None,
                f"{name}_p": test.goodness.p if test and test.goodness else None,
                f"{name}_regression": test.fit.regression.exponent if test else None,
            }
            for one in test.comparisons if test else ():
                row[f"{name}_or_{one.alternative}"] = one.favoured
        row |= {
            "predicted": self.scaling.predicted if self.scaling else None,
            "gamma": self.scaling.gamma if self.scaling else None,
            "consistent": self.scaling.consistent if self.scaling else None,
            "collapse_gamma": self.collapse.gamma if self.collapse else None,
            "m": self.branching.m if self.branching else None,
            "m_signal": self.branching_signal.m if self.branching_signal else None,
            "dfa": self.memory.exponent if self.memory else None,
        }
        return row


def criticality(
    values: Shaped[np.ndarray, "T N"],
    threshold: Threshold | None = None,
    *,
    bin_frames: int = 1,
    surrogate: str | None = None,
    units: Int[np.ndarray, "K"] | None = None,
    settings: Settings | None = None,
) -> Criticality:
    """Signs of criticality of a recording or a simulation.

    Parameters
    ----------
    values
        [time, unit]; NaN marks missing values. Without a threshold: events (bool, or whole numbers).
    threshold
        What makes values into events.
    bin_frames
        Bin width in frames.
    surrogate
        Analyse this one of `SURROGATES` instead.
    units
        Columns to use; None for all.
    settings
        See `Settings`.
    """
    thresholds = None if threshold is None else (threshold,)
    surrogates = ("data",) if surrogate is None else (surrogate,)
    return sensitivity(values, thresholds, (bin_frames,), surrogates=surrogates, units=units, settings=settings)[0]


def sensitivity(
    values: Shaped[np.ndarray, "T N"] | Sequence[Shaped[np.ndarray, "t n"]],
    thresholds: Sequence[Threshold] | None,
    bins: Sequence[int] = (1, 2, 4),
    *,
    surrogates: Sequence[str] = ("data", *SURROGATES),
    units: Int[np.ndarray, "K"] | None = None,
    settings: Settings | None = None,
    repeats: Callable[[Threshold | None, int], int] | None = None,
) -> list[Criticality]:
    """The same analysis over thresholds, bin widths and surrogates, for one of each proves nothing.

    The recording is read once for the data and once for each surrogate.

    Parameters
    ----------
    values
        [time, unit], as in `criticality`; or several recordings, each with its own levels, whose avalanches are one
        sample and whose activity is centred recording by recording.
    thresholds
        Thresholds; None for data that are events.
    bins
        Bin widths in frames.
    surrogates
        `"data"` and any of `SURROGATES`.
    units
        Columns to use; None for all.
    settings
        See `Settings`.
    repeats
        From threshold and bin width to bootstrap samples, to have more of them in some cells of the table than
        `settings.repeats`.

    Returns
    -------
    list[Criticality]
        By surrogate, then threshold, then bin width. `[one.row() for one in ...]` makes a table.
    """
    settings = settings or Settings()
    if not bins or not surrogates:
        raise ConfigError("bins and surrogates must not be empty")
    for kind in surrogates:
        one_of("surrogate", kind, ("data", *SURROGATES))
    of_cell = repeats or (lambda threshold, bin_frames: settings.repeats)
    cells = [of_cell(one, width) for one in thresholds or (None,) for width in bins]
    common = replace(settings, repeats=max(cells))
    recordings = [values] if isinstance(values, np.ndarray) else list(values)
    found = []
    for kind in surrogates:
        counted = []
        for k, one in enumerate(recordings):
            drawn = None if kind == "data" else Surrogate(kind, settings.seed + k)
            counted.append(count_events(one, thresholds, surrogate=drawn, units=units, without_spread="count"))
        # Neither the mean over units nor its memory depends on thresholds and bins.
        reasons: dict[str, str] = {}
        courses = [one[0].population for one in counted]
        memory = _attempt(reasons, "memory", lambda c=courses: _memory(c, common))
        signal = _attempt(reasons, "branching_signal", lambda c=courses: branching_of(c, common))
        for parts in zip(*counted, strict=True):
            own = dict(reasons)
            if not all(one.units for one in parts):
                own["events"] = f"no unit has a spread by the rule {parts[0].threshold}"
            counts = [np.where(one.observed, one.counts, np.nan) for one in parts]
            widths = {width: replace(settings, repeats=of_cell(parts[0].threshold, width)) for width in bins}
            most = max(widths.values(), key=lambda one: one.repeats)
            branching = _attempt(own, "branching", lambda c=counts, s=most: branching_of(c, s))
            shared = {"branching": branching, "branching_signal": signal, "memory": memory}
            for width, its in widths.items():
                found.append(_analyse(join_events(parts), width, its, shared, own))
    return found


def _attempt(reasons: dict[str, str], name: str, what: Callable[[], R]) -> R | None:
    """A result, or the reason why there is none: a table has gaps where data do not suffice."""
    try:
        return what()
    except DataError as error:
        reasons[name] = str(error)
        return None


def branching_of(courses: Sequence[np.ndarray], settings: Settings) -> Branching:
    shortest = min(len(one) for one in courses)
    max_lag = settings.max_lag or max(2, min(150, shortest // 10))
    # No pair of frames may belong to two recordings, nor a difference of their means look like memory.
    pieces = []
    for one in courses:
        level = np.nanmean(one) if np.isfinite(one).any() else 0.0
        pieces += [one - level, np.full(max_lag, np.nan)]
    return branching_ratio(
        np.concatenate(pieces[:-1]),
        max_lag=max_lag,
        offset=settings.offset,
        frame_rate_hz=settings.frame_rate_hz,
        repeats=settings.repeats,
        seed=settings.seed,
    )


def _memory(courses: Sequence[np.ndarray], settings: Settings) -> Fluctuations:
    return fluctuations(courses, repeats=settings.repeats, seed=settings.seed)


def _analyse(
    events: EventCounts, bin_frames: int, settings: Settings, shared: dict[str, Any], why: dict[str, str]
) -> Criticality:
    reasons = dict(why)
    avalanches = find_avalanches(
        events,
        bin_frames,
        floor=settings.floor,
        floor_percentile=settings.floor_percentile,
        excess=settings.excess,
    )
    common = {"repeats": settings.repeats, "seed": settings.seed, "min_tail": settings.min_tail}
    sizes = _attempt(
        reasons,
        "sizes",
        lambda: examine_power_law(avalanches.sizes, xmin=settings.size_xmin, xmax=settings.size_xmax, **common),
    )
    durations = _attempt(
        reasons,
        "durations",
        lambda: examine_power_law(
            avalanches.durations, xmin=settings.duration_xmin, xmax=settings.duration_xmax, **common
        ),
    )
    rest = {"repeats": settings.repeats or 50, "seed": settings.seed}
    scaling = None
    if sizes is None or durations is None:
        reasons["scaling"] = "the scaling relation was not tested, for it needs power laws of sizes and durations"
    else:
        scaling = _attempt(reasons, "scaling", lambda: scaling_relation(avalanches, sizes.fit, durations.fit, **rest))
    return Criticality(
        events=events,
        avalanches=avalanches,
        count=avalanches.count,
        sizes=sizes,
        durations=durations,
        scaling=scaling,
        collapse=_attempt(reasons, "collapse", lambda: shape_collapse(avalanches, **rest)),
        **shared,
        reasons=reasons,
    )
