"""Could a recording have shown criticality at all? Critical and subcritical branching seen as the recording sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float, Shaped
from threadpoolctl import threadpool_limits

from connfit._io import optional
from connfit.analysis.analysis_options import BINS, THRESHOLDS
from connfit.analysis.criticality.crackling import scaling_relation
from connfit.analysis.criticality.events import EventCounts, count_events, join_events
from connfit.analysis.criticality.judgement import Signal, growth_of_noise, judge
from connfit.analysis.criticality.power_law import fit_power_law
from connfit.analysis.criticality.power_law_evidence import ALTERNATIVES, compare
from connfit.analysis.criticality.signature_table import (
    DECADES,
    FLOORS,
    LEAST,
    GridCell,
    floor_settings,
    verdict,
)
from connfit.analysis.criticality.signatures import Settings
from connfit.analysis.criticality.subsampling import mean_of_observed
from connfit.errors import DataError

CRITICAL, CONTROL = 1.0, 0.9
"""Branching ratios of simulated recordings, per frame."""

DRIVE = 0.3
"""Events per frame that begin by themselves in critical branching: seldom enough that most activity is offspring."""

CONTROL_DRIVE = 1.0
"""The same in the control, whose mean activity is then 10 events."""

BURN_IN = 1000
"""Frames before the first that counts."""

MOST_UNITS, MOST_FRAMES = 200, 20_000
"""Largest simulated recordings: more take too long and are said to be left out."""

WORD = "consistent with criticality"


@dataclass(frozen=True)
class PowerDraws:
    """How often simulated branching is called critical.

    Parameters
    ----------
    m, drive
        Its branching ratio per frame, and events per frame that begin by themselves.
    called, share, interval
        Draws that are called critical, their share and its 95 % interval (Clopper & Pearson 1934).
    words
        Draws by the word that they get.
    """

    m: float = 1.0
    drive: float = 0.0
    called: int = 0
    share: float = 0.0
    interval: tuple[float, float] = (0.0, 1.0)
    words: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Power:
    """How often critical branching, and subcritical, would be called critical in recordings such as these.

    Parameters
    ----------
    draws
        Simulated recordings of either kind; 0 where the power was not assessed.
    frames
        Of all recordings.
    units
        The most that a recording has.
    floor
        The separation of avalanches.
    events_per_frame, shared_variance
        What simulations have in common with the recordings; the first of recordings of events alone.
    critical, control
        Branching at its critical point, and below it.
    reason
        Why the power was not assessed.
    """

    draws: int = 0
    frames: int | None = None
    units: int | None = None
    floor: str | None = None
    events_per_frame: float | None = None
    shared_variance: float | None = None
    critical: PowerDraws | None = None
    control: PowerDraws | None = None
    reason: str | None = optional()


@dataclass(frozen=True, eq=False)
class Sampling:
    """How a recording sees activity.

    Parameters
    ----------
    frames, units
        Of each recording.
    rates
        [unit] mean events per frame of each recording, for recordings of events; None for others.
    shared
        Variance of the mean over units over the mean variance of units: 1 where all are alike, 1/units where they are
        independent. Mean over recordings, by frames.
    observed
        [time, unit] of each recording: where it was observed.
    """

    frames: tuple[int, ...]
    units: tuple[int, ...]
    rates: tuple[Float[np.ndarray, "N"], ...] | None
    shared: float
    observed: tuple[Bool[np.ndarray, "t n"], ...]


def sampling_of(arrays: Sequence[Shaped[np.ndarray, "t n"]]) -> Sampling:
    """Measure frames, units, and event rates or shared variance of recordings, at most `MOST_UNITS` and `MOST_FRAMES`.

    Units may differ between recordings; values may be missing (NaN).
    """
    frames = [len(values) for values in arrays]
    while sum(frames) > MOST_FRAMES and len(frames) > 1:
        frames.pop()
    frames[0] = min(frames[0], MOST_FRAMES)
    each = []
    for values in arrays[: len(frames)]:
        chosen = np.linspace(0, values.shape[1] - 1, min(values.shape[1], MOST_UNITS)).round().astype(int)
        seen = np.asarray(values[:MOST_FRAMES, chosen], np.float64)
        each.append(seen[:, np.isfinite(seen).any(axis=0)])
    finite = np.concatenate([values[np.isfinite(values)] for values in each])
    events = bool(len(finite)) and bool((finite >= 0).all()) and bool((finite == np.floor(finite)).all())
    known = [(part, n) for values, n in zip(each, frames, strict=True) if (part := _shared(values)) is not None]
    shared = float(np.average([part for part, _ in known], weights=[n for _, n in known])) if known else 1.0
    units = tuple(values.shape[1] for values in each)
    shared = float(np.clip(shared, 1 / max(units), 1.0))
    observed = tuple(np.isfinite(values) for values in each)
    rates = tuple(np.nanmean(values, axis=0) for values in each) if events else None
    return Sampling(tuple(frames), units, rates, shared, observed)


def _shared(values: Float[np.ndarray, "t n"]) -> float | None:
    """Variance of the mean over units over the mean variance of units, from pairs of values that were observed."""
    there = np.isfinite(values)
    if not there.any():
        return None
    x = np.where(there, values - np.nanmean(values, axis=0), 0.0)
    pairs = there.T.astype(np.float64) @ there
    covariance = np.divide(x.T @ x, pairs, out=np.zeros_like(pairs), where=pairs > 0)
    variance = float(np.diag(covariance).mean())
    return float(covariance[pairs > 0].mean()) / variance if variance > 0 else None


def simulate_recordings(
    sampling: Sampling, ratio: float, drive: float, rng: np.random.Generator
) -> list[Float[np.ndarray, "t n"]]:
    """Simulate branching with Poisson offspring and drive, in as many frames and units and as much noise as sampled.

    Recordings of events see each event of the process with the probability, and in the units, that give the event
    rates of the recording. In others every unit shows the activity of the whole through noise of its own, as much as
    leaves the shared variance of the recording. What was not observed is missing there too.
    """
    out = []
    for number, (frames, units) in enumerate(zip(sampling.frames, sampling.units, strict=True)):
        now, course = 0, np.empty(frames)
        for t in range(-BURN_IN, frames):
            now = int(rng.poisson(ratio * now + drive))
            if t >= 0:
                course[t] = now
        mean = max(float(course.mean()), 1e-9)
        if sampling.rates is not None:
            drawn = rng.poisson(course[:, None] * (sampling.rates[number] / mean)).astype(np.float64)
        else:
            # shared = (s² + n / units) / (s² + n), for the variance s² of the activity and n of the noise.
            noise = float(course.var()) * (1 - sampling.shared) / max(sampling.shared - 1 / units, 1e-3)
            drawn = course[:, None] + rng.normal(0, max(noise, 1e-12) ** 0.5, (frames, units))
        out.append(np.where(sampling.observed[number], drawn, np.nan))
    return out


def word_of(arrays: Sequence[Shaped[np.ndarray, "t n"]], floor: str | None = None, seed: int = 0) -> str:
    """Return the word that a recording would get, by the rules of `connfit.analysis.criticality.judgement`.

    Less is computed than in an analysis: only what a word depends on, and no goodness of fit at the reference.

    Parameters
    ----------
    arrays
        [time, unit] per recording.
    floor
        Of `FLOORS`; None for the one under which most cells have enough avalanches, as in an analysis.
    seed
        Of bootstraps and surrogates.
    """
    found = {}
    for rule in (floor,) if floor else FLOORS:
        settings = replace(floor_settings(rule, Settings(min_tail=LEAST)), seed=seed)
        try:
            found[rule] = (settings, verdict(_cells(arrays, settings)))
        except DataError:
            continue
    if not found:
        return "undecidable"
    settings, own = max(found.values(), key=lambda each: each[1].enough)
    counts = {"data": own}
    word = judge(counts)
    if word == WORD:
        rng = np.random.default_rng((seed, 7))
        counts["shuffle"] = verdict(_cells([rng.permuted(values, axis=0) for values in arrays], settings))
        word = judge(counts)
    return judge(counts, _signal(arrays, settings)) if word == WORD else word


def _signal(arrays: Sequence[np.ndarray], settings: Settings) -> Signal:
    courses = [mean_of_observed(values) for values in arrays]
    try:
        branching = replace(settings, repeats=60).branching(courses)
    except DataError:
        branching = None
    return Signal(branching, None, growth_of_noise(courses, settings.seed))


def _cells(arrays: Sequence[np.ndarray], settings: Settings) -> list[GridCell]:
    """What `verdict` asks of each threshold and bin."""
    counted = [count_events(values, THRESHOLDS, without_spread="count") for values in arrays]
    with threadpool_limits(1, user_api="blas"):
        return [
            _cell(join_events(parts), width, settings)
            for parts in zip(*counted, strict=True)
            if all(events.units for events in parts)
            for width in BINS
        ]


def _cell(events: EventCounts, bin_frames: int, settings: Settings) -> GridCell:
    found = settings.avalanches(events, bin_frames)
    try:
        sizes = fit_power_law(found.sizes, min_tail=settings.min_tail)
        durations = fit_power_law(found.durations, min_tail=settings.min_tail)
    except DataError:
        return GridCell()
    stand, standing = True, []
    for fit, values in ((sizes, found.sizes), (durations, found.durations)):
        # What comes after the first that does not stand changes no word.
        stand = stand and not fit.at_bound and fit.decades >= DECADES
        stand = stand and not any(compared.favoured in ALTERNATIVES for compared in compare(values, fit))
        standing.append(stand)
    consistent = None
    if stand:
        try:
            consistent = scaling_relation(found, sizes, durations, repeats=50, seed=settings.seed).within_tolerance
        except DataError:
            pass
    return GridCell(sizes_stand=standing[0], durations_stand=standing[1], gamma_consistent=consistent)


def criticality_power(arrays: Sequence[Shaped[np.ndarray, "t n"]], floor: str, draws: int, seed: int = 0) -> Power:
    """Simulate critical and subcritical branching as recordings such as these see it, and judge each draw.

    Parameters
    ----------
    arrays
        [time, unit] per recording.
    floor
        The separation of avalanches that the verdict on the recording used.
    draws
        Simulated recordings of either kind.
    seed
        Of the simulations.
    """
    sampling = sampling_of(arrays)

    def called(ratio: float, drive: float) -> PowerDraws:
        words: dict[str, int] = {}
        for k in range(draws):
            rng = np.random.default_rng((seed, k, round(1000 * ratio)))
            word = word_of(simulate_recordings(sampling, ratio, drive, rng), floor, seed + k)
            words[word] = words.get(word, 0) + 1
        count = words.get(WORD, 0)
        interval = scipy.stats.binomtest(count, draws).proportion_ci(0.95)
        return PowerDraws(ratio, drive, count, count / draws, (float(interval.low), float(interval.high)), words)

    return Power(
        draws=draws,
        frames=sum(sampling.frames),
        units=max(sampling.units),
        floor=floor,
        events_per_frame=None if sampling.rates is None else float(np.mean([rates.sum() for rates in sampling.rates])),
        shared_variance=sampling.shared,
        critical=called(CRITICAL, DRIVE),
        control=called(CONTROL, CONTROL_DRIVE),
    )
