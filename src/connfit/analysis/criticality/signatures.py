"""All signs of criticality of a recording at once, and how they depend on thresholds, bins and surrogates.

No single one of them decides. A claim needs the same verdict over a range of thresholds and bins, and another one
for surrogates and null networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Shaped

from connfit._io import optional
from connfit.analysis.criticality.avalanches import AvalancheBins, Avalanches, find_avalanches
from connfit.analysis.criticality.branching import Branching, joint_branching
from connfit.analysis.criticality.crackling import (
    CollapsedShapes,
    ScalingRelation,
    ShapeCollapse,
    scaling_relation,
    shape_collapse,
)
from connfit.analysis.criticality.events import EventCounts, EventRule, count_events, join_events
from connfit.analysis.criticality.fluctuations import Fluctuations, fluctuations
from connfit.analysis.criticality.histograms import Histograms, histograms_of
from connfit.analysis.criticality.power_law_evidence import PowerLawTest, examine_power_law
from connfit.analysis.criticality.surrogates import SURROGATES, Surrogate
from connfit.analysis.criticality.threshold import Threshold
from connfit.analysis.result import narrowed
from connfit.errors import ConfigError, DataError, one_of

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What stays the same over a table of results.

    Parameters
    ----------
    floor, floor_percentile, excess
        As in `find_avalanches`. Large populations need a floor, for they are never silent.
    min_tail
        Fewest avalanches in a power law, whose xmin is searched.
    repeats
        Bootstrap samples of each analysis; 0 leaves out the test of goodness of fit and intervals, but for those of
        the scaling relation and the collapse, which use 50.
    frame_rate_hz
        To have time constants in seconds; None for frames.
    seed
        Of bootstraps and surrogates.
    """

    floor: float = 0.0
    floor_percentile: float | None = None
    excess: bool = False
    min_tail: int = 50
    repeats: int = 100
    frame_rate_hz: float | None = None
    seed: int = 0

    def avalanches(self, events: EventCounts, bin_frames: int) -> Avalanches:
        """Find avalanches between bins that count as silent."""
        return find_avalanches(
            events, bin_frames, floor=self.floor, floor_percentile=self.floor_percentile, excess=self.excess
        )

    def branching(self, courses: Sequence[np.ndarray]) -> Branching:
        """Estimate the branching ratio of activity in one or several recordings."""
        return joint_branching(courses, frame_rate_hz=self.frame_rate_hz, repeats=self.repeats, seed=self.seed)


@dataclass(frozen=True)
class SignatureRow:
    """The main numbers of `Criticality` as one flat row of a table; None where not defined.

    Parameters
    ----------
    threshold, bin_frames, floor, surrogate, units, avalanches, cut, active
        What was analysed; see `EventRule` and `AvalancheBins`.
    size_exponent, size_xmin, size_tail, size_decades, size_p, size_regression
        Power law of sizes, p of its goodness of fit, and the exponent of a line in a log-log histogram.
    size_or_lognormal, size_or_exponential, size_or_truncated_power_law
        Which of the two is favoured by likelihood.
    predicted, gamma, consistent
        The scaling relation.
    collapse_gamma, m, m_signal, dfa
        Exponent of the collapse, branching ratio of events and of the mean over units, exponent of its fluctuations.
    """

    threshold: str = "events"
    bin_frames: int = 1
    floor: float = 0.0
    surrogate: str = "data"
    units: int = 0
    avalanches: int = 0
    cut: int = 0
    active: float = 0.0
    size_exponent: float | None = None
    size_xmin: int | None = None
    size_tail: int | None = None
    size_decades: float | None = None
    size_p: float | None = None
    size_regression: float | None = None
    size_or_lognormal: str | None = optional()
    size_or_exponential: str | None = optional()
    size_or_truncated_power_law: str | None = optional()
    duration_exponent: float | None = None
    duration_xmin: int | None = None
    duration_tail: int | None = None
    duration_decades: float | None = None
    duration_p: float | None = None
    duration_regression: float | None = None
    duration_or_lognormal: str | None = optional()
    duration_or_exponential: str | None = optional()
    duration_or_truncated_power_law: str | None = optional()
    predicted: float | None = None
    gamma: float | None = None
    consistent: bool | None = None
    collapse_gamma: float | None = None
    m: float | None = None
    m_signal: float | None = None
    dfa: float | None = None


@dataclass(frozen=True)
class Criticality:
    """Signs of criticality for one threshold, bin width and surrogate; None, with a reason, where not defined.

    Parameters
    ----------
    events, avalanches
        How values became events, and events avalanches.
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
    branching_signal, memory
        Branching ratio and fluctuations of the recorded mean over units: no threshold enters them. Of the data they
        are written once, as the signal of the source.
    reasons
        By field: why there is no result.
    row
        The main numbers.
    histograms
        Of avalanches, for figures.
    """

    events: EventRule = field(default_factory=EventRule)
    avalanches: AvalancheBins = field(default_factory=AvalancheBins)
    count: int = 0
    sizes: PowerLawTest | None = None
    durations: PowerLawTest | None = None
    scaling: ScalingRelation | None = None
    collapse: ShapeCollapse | None = None
    branching: Branching | None = None
    branching_signal: Branching | None = optional()
    memory: Fluctuations | None = optional()
    reasons: Mapping[str, str] = field(default_factory=dict)
    row: SignatureRow = field(default_factory=SignatureRow)
    histograms: Histograms = field(default_factory=Histograms)


def sensitivity(
    values: Shaped[np.ndarray, "T N"] | Sequence[Shaped[np.ndarray, "t n"]],
    thresholds: Sequence[Threshold] | None,
    bins: Sequence[int] = (1, 2, 4),
    *,
    surrogates: Sequence[str] = ("data", *SURROGATES),
    settings: Settings | None = None,
    repeats: Callable[[Threshold | None, int], int] | None = None,
) -> list[Criticality]:
    """Analyse a recording over thresholds, bin widths and surrogates, for one of each proves nothing.

    The recording is read once for the data and once for each surrogate.

    Parameters
    ----------
    values
        [time, unit]; NaN marks missing values. Or several recordings, each with its own levels, whose avalanches are
        one sample and whose activity is centred recording by recording.
    thresholds
        What makes values into events; None for data that are events (bool, or whole numbers).
    bins
        Bin widths in frames.
    surrogates
        `"data"` and any of `SURROGATES`.
    settings
        See `Settings`.
    repeats
        From threshold and bin width to bootstrap samples, to have more of them in some cells of the table than
        `settings.repeats`.

    Returns
    -------
    list[Criticality]
        By surrogate, then threshold, then bin width; the `row` of each makes a table.
    """
    settings = settings or Settings()
    if not bins or not surrogates:
        raise ConfigError("bins and surrogates must not be empty")
    for kind in surrogates:
        one_of("surrogate", kind, ("data", *SURROGATES))
    of_cell = repeats or (lambda threshold, bin_frames: settings.repeats)
    most = max(of_cell(threshold, width) for threshold in thresholds or (None,) for width in bins)
    common = replace(settings, repeats=most)
    recordings = [values] if isinstance(values, np.ndarray) else list(values)
    found = []
    for kind in surrogates:
        counted = []
        for k, recording in enumerate(recordings):
            drawn = None if kind == "data" else Surrogate(kind, settings.seed + k)
            counted.append(count_events(recording, thresholds, surrogate=drawn, without_spread="count"))
        # Neither the mean over units nor its memory depends on thresholds and bins.
        reasons: dict[str, str] = {}
        courses = [events[0].population for events in counted]
        memory = _attempt(
            reasons, "memory", lambda c=courses: fluctuations(c, repeats=common.repeats, seed=common.seed)
        )
        signal = _attempt(reasons, "branching_signal", lambda c=courses: common.branching(c))
        for parts in zip(*counted, strict=True):
            own = dict(reasons)
            if not all(events.units for events in parts):
                own["events"] = f"no unit has a spread by the rule {parts[0].threshold}"
            counts = [np.where(events.observed, events.counts, np.nan) for events in parts]
            widths = {width: replace(settings, repeats=of_cell(parts[0].threshold, width)) for width in bins}
            fullest = max(widths.values(), key=lambda each: each.repeats)
            branching = _attempt(own, "branching", lambda c=counts, s=fullest: s.branching(c))
            joined = join_events(parts)
            for width, its in widths.items():
                found.append(_analyse(joined, width, its, branching, signal, memory, own))
    return found


def _attempt(reasons: dict[str, str], name: str, what: Callable[[], T]) -> T | None:
    """A result, or the reason why there is none: a table has gaps where data do not suffice."""
    try:
        return what()
    except DataError as error:
        reasons[name] = str(error)
        return None


def _analyse(
    events: EventCounts,
    bin_frames: int,
    settings: Settings,
    branching: Branching | None,
    signal: Branching | None,
    memory: Fluctuations | None,
    why: Mapping[str, str],
) -> Criticality:
    reasons = dict(why)
    avalanches = settings.avalanches(events, bin_frames)

    def test(name: str) -> PowerLawTest | None:
        values, least = getattr(avalanches, name), settings.min_tail
        return _attempt(
            reasons,
            name,
            lambda: examine_power_law(values, repeats=settings.repeats, seed=settings.seed, min_tail=least),
        )

    sizes, durations = test("sizes"), test("durations")
    rest = {"repeats": settings.repeats or 50, "seed": settings.seed}
    scaling = None
    if sizes is None or durations is None:
        reasons["scaling"] = "the scaling relation was not tested, because it needs power laws of sizes and durations"
    else:
        scaling = _attempt(reasons, "scaling", lambda: scaling_relation(avalanches, sizes.fit, durations.fit, **rest))
    shapes: CollapsedShapes | None = _attempt(reasons, "collapse", lambda: shape_collapse(avalanches, **rest))
    row = SignatureRow(
        threshold=str(events.threshold) if events.threshold else "events",
        bin_frames=bin_frames,
        floor=avalanches.floor,
        surrogate=events.surrogate or "data",
        units=events.units,
        avalanches=avalanches.count,
        cut=avalanches.cut,
        active=avalanches.active,
        predicted=scaling.predicted if scaling else None,
        gamma=scaling.gamma if scaling else None,
        consistent=scaling.consistent if scaling else None,
        collapse_gamma=shapes.gamma if shapes else None,
        m=branching.m if branching else None,
        m_signal=signal.m if signal else None,
        dfa=memory.exponent if memory else None,
        **_of_law("size", sizes),
        **_of_law("duration", durations),
    )
    return Criticality(
        events=narrowed(events, EventRule),
        avalanches=narrowed(avalanches, AvalancheBins),
        count=avalanches.count,
        sizes=sizes,
        durations=durations,
        scaling=scaling,
        collapse=narrowed(shapes, ShapeCollapse) if shapes else None,
        branching=branching,
        branching_signal=signal,
        memory=memory,
        reasons=reasons,
        row=row,
        histograms=histograms_of(avalanches, shapes),
    )


def _of_law(what: str, test: PowerLawTest | None) -> dict:
    """Fields of a row that begin with `size` or `duration`."""
    if test is None:
        return {}
    fit = test.fit
    numbers = {name: getattr(fit, name) for name in ("exponent", "xmin", "tail", "decades")}
    numbers |= {"p": test.goodness.p if test.goodness else None, "regression": fit.regression.exponent}
    numbers |= {f"or_{compared.alternative}": compared.favoured for compared in test.comparisons}
    return {f"{what}_{name}": value for name, value in numbers.items()}
