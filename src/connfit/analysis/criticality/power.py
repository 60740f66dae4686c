"""Could a recording have shown criticality at all? Critical and subcritical branching seen as the recording sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.stats
from jaxtyping import Float, Shaped
from threadpoolctl import threadpool_limits

from connfit.analysis.analysis_options import BINS, THRESHOLDS
from connfit.analysis.criticality.avalanches import find_avalanches
from connfit.analysis.criticality.crackling import scaling_relation
from connfit.analysis.criticality.events import count_events, join_events
from connfit.analysis.criticality.judgement import Signal, judge, signal_of
from connfit.analysis.criticality.power_law import fit_power_law
from connfit.analysis.criticality.power_law_evidence import ALTERNATIVES, compare
from connfit.analysis.criticality.signature_table import DECADES, FLOORS, LEAST, floor_settings, verdict
from connfit.analysis.criticality.signatures import Settings, branching_of
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


@dataclass(frozen=True, eq=False)
class Sampling:
    """How a recording sees activity.

    Parameters
    ----------
    frames
        Of each recording.
    units
        Units.
    rates
        [unit] mean events per frame, for recordings of events; None for others.
    shared
        Variance of the mean over units over the mean variance of units: 1 where all are alike, 1/units where they are
        independent.
    """

    frames: tuple[int, ...]
    units: int
    rates: Float[np.ndarray, "N"] | None
    shared: float


def sampling_of(arrays: Sequence[Shaped[np.ndarray, "t n"]]) -> Sampling:
    """Frames, units, and event rates or shared variance of recordings, at most `MOST_UNITS` and `MOST_FRAMES`."""
    frames = [len(one) for one in arrays]
    while sum(frames) > MOST_FRAMES and len(frames) > 1:
        frames.pop()
    frames[0] = min(frames[0], MOST_FRAMES)
    units = min(arrays[0].shape[1], MOST_UNITS)
    chosen = np.linspace(0, arrays[0].shape[1] - 1, units).round().astype(int)
    values = np.concatenate([np.asarray(one[:, chosen], np.float64) for one in arrays[: len(frames)]])
    there = np.isfinite(values)
    values = values[:, there.any(axis=0)]
    finite = values[np.isfinite(values)]
    events = bool(len(finite)) and bool((finite >= 0).all()) and bool((finite == np.floor(finite)).all())
    variance = float(np.nanvar(values, axis=0).mean()) if len(finite) else 0.0
    course = values[np.isfinite(values).all(axis=1)].mean(axis=1)
    shared = float(course.var() / variance) if variance > 0 and len(course) > 1 else 1.0
    rates = np.nanmean(values, axis=0) if events else None
    return Sampling(tuple(frames), values.shape[1], rates, float(np.clip(shared, 1 / max(units, 1), 1.0)))


def simulate_recordings(
    sampling: Sampling, ratio: float, drive: float, rng: np.random.Generator
) -> list[Float[np.ndarray, "t n"]]:
    """Recordings of branching with Poisson offspring and drive, as many frames, units and as much noise as sampled.

    Recordings of events see each event of the process with the probability, and in the units, that give the event
    rates of the recording. In others every unit shows the activity of the whole through noise of its own, as much as
    leaves the shared variance of the recording.
    """
    out = []
    for frames in sampling.frames:
        now, course = 0, np.empty(frames)
        for t in range(-BURN_IN, frames):
            now = int(rng.poisson(ratio * now + drive))
            if t >= 0:
                course[t] = now
        mean = max(float(course.mean()), 1e-9)
        if sampling.rates is not None:
            out.append(rng.poisson(course[:, None] * (sampling.rates / mean)).astype(np.float64))
            continue
        # shared = (s² + n / units) / (s² + n), for the variance s² of the activity and n of the noise.
        excess = max(sampling.shared - 1 / sampling.units, 1e-3)
        noise = float(course.var()) * (1 - sampling.shared) / excess
        out.append(course[:, None] + rng.normal(0, max(noise, 1e-12) ** 0.5, (frames, sampling.units)))
    return out


def word_of(arrays: Sequence[Shaped[np.ndarray, "t n"]], floor: str | None = None, seed: int = 0) -> str:
    """The word that a recording would get, by the rules of `connfit.analysis.criticality.judgement`.

    Less is computed than in an analysis: only what a word depends on, and no goodness of fit at the reference.

    Parameters
    ----------
    arrays
        [time, unit] per recording.
    floor
        Of `FLOORS`; None for the one under which most cells have avalanches enough, as in an analysis.
    seed
        Of bootstraps and surrogates.
    """
    found = {}
    for one in (floor,) if floor else FLOORS:
        settings = replace(floor_settings(one, Settings(min_tail=LEAST)), seed=seed)
        with threadpool_limits(1, user_api="blas"):
            try:
                found[one] = (settings, verdict(_rows(arrays, settings)))
            except DataError:
                continue
    if not found:
        return "undecidable"
    settings, own = max(found.values(), key=lambda each: each[1]["enough"])
    if judge({"data": own}) != WORD:
        return judge({"data": own})
    rng = np.random.default_rng((seed, 7))
    with threadpool_limits(1, user_api="blas"):
        shuffled = verdict(_rows([rng.permuted(one, axis=0) for one in arrays], settings))
    counts = {"data": own, "shuffle": shuffled}
    if judge(counts) != WORD:
        return judge(counts)
    return judge(counts, _signal([np.asarray(one, np.float64).mean(axis=1) for one in arrays], settings))


def _signal(courses: Sequence[np.ndarray], settings: Settings) -> Signal:
    try:
        branching = branching_of(courses, replace(settings, repeats=60))
    except DataError:
        branching = None
    return signal_of(branching.interval if branching else None, courses, settings.seed)


def _rows(arrays: Sequence[np.ndarray], settings: Settings) -> list[dict[str, Any]]:
    """What `verdict` asks of each threshold and bin."""
    counted = [count_events(one, THRESHOLDS, without_spread="count") for one in arrays]
    rows = []
    for parts in zip(*counted, strict=True):
        if all(one.units for one in parts):
            rows += [_row(join_events(parts), width, settings) for width in BINS]
    return rows


def _row(events: Any, bin_frames: int, settings: Settings) -> dict[str, Any]:
    found = find_avalanches(
        events, bin_frames, floor=settings.floor, floor_percentile=settings.floor_percentile, excess=settings.excess
    )
    row: dict[str, Any] = dict.fromkeys(("sizes_stand", "durations_stand", "gamma_consistent"))
    try:
        sizes = fit_power_law(found.sizes, min_tail=settings.min_tail)
        durations = fit_power_law(found.durations, min_tail=settings.min_tail)
    except DataError:
        return row
    stand = True
    for name, fit, values in (("sizes", sizes, found.sizes), ("durations", durations, found.durations)):
        # What comes after the first that does not stand changes no word.
        stand = stand and not fit.at_bound and fit.decades >= DECADES
        stand = stand and not any(one.favoured in ALTERNATIVES for one in compare(values, fit))
        row[f"{name}_stand"] = stand
    if stand:
        try:
            row["gamma_consistent"] = scaling_relation(
                found, sizes, durations, repeats=50, seed=settings.seed
            ).within_tolerance
        except DataError:
            pass
    return row


def criticality_power(
    arrays: Sequence[Shaped[np.ndarray, "t n"]], floor: str, draws: int, seed: int = 0
) -> dict[str, Any]:
    """How often critical branching, and subcritical, would be called critical in recordings such as these.

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

    Returns
    -------
    dict
        `draws`, `frames`, `units`, `floor`, `shared_variance` or `events_per_frame`; `critical` and `control`, each
        `m`, `drive`, `called` of the draws, their `share` and its 95 % `interval` (Clopper & Pearson 1934), and the
        `words` that were found.
    """
    sampling = sampling_of(arrays)
    out: dict[str, Any] = {
        "draws": draws,
        "frames": int(sum(sampling.frames)),
        "units": sampling.units,
        "floor": floor,
        "events_per_frame": None if sampling.rates is None else float(sampling.rates.sum()),
        "shared_variance": sampling.shared,
    }
    for name, ratio, drive in (("critical", CRITICAL, DRIVE), ("control", CONTROL, CONTROL_DRIVE)):
        words: dict[str, int] = {}
        for k in range(draws):
            rng = np.random.default_rng((seed, k, round(1000 * ratio)))
            word = word_of(simulate_recordings(sampling, ratio, drive, rng), floor, seed + k)
            words[word] = words.get(word, 0) + 1
        called = words.get(WORD, 0)
        interval = scipy.stats.binomtest(called, draws).proportion_ci(0.95)
        out[name] = {
            "m": ratio,
            "drive": drive,
            "called": called,
            "share": called / draws,
            "interval": [float(interval.low), float(interval.high)],
            "words": words,
        }
    return out
