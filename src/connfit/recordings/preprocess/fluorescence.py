"""Baselines of fluorescence: relative change, running baseline, bleaching."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from connfit.errors import one_of
from connfit.recordings import Recording
from connfit.recordings.preprocess.preprocessing_step import STEPS, Step
from connfit.recordings.preprocess.step_record import finish, number, observed_values, refuse_units, training_values


def delta_f_over_f(recording: Recording, *, percentile: float = 20.0, window_s: float | None = None) -> Recording:
    """Compute the relative change of fluorescence, (F - F0) / F0.

    Parameters
    ----------
    recording
        Raw fluorescence, positive, [time, unit].
    percentile
        F0 is this percentile, per unit,
    window_s
        of the training part (None), or of the last `window_s` seconds up to each frame.

    Raises
    ------
    DataError
        If F0 of a unit is not positive.
    """
    percentile = number("percentile", percentile, least=0, most=100)
    values = observed_values(recording)
    if window_s is None:
        base = np.nanpercentile(training_values(recording, values), percentile, axis=0)
        constants = {"baseline": base}
    else:
        base = _running_percentile(recording, values, percentile, number("window_s", window_s, above=0))
        constants = None
    low = np.where(np.isfinite(base), base, np.inf)
    refuse_units(
        recording,
        (low if low.ndim == 1 else low.min(axis=0)) <= 0,
        "have a baseline F0 that is not positive",
        "delta_f_over_f needs raw fluorescence; values around 0 are relative already",
    )
    return finish(
        recording,
        values / base - 1,
        "delta_f_over_f",
        {"percentile": percentile, "window_s": window_s},
        constants=constants,
        kind="dff",
        value_units="dimensionless",
    )


STEPS.register(Step(name="delta_f_over_f", label="relative change of fluorescence", apply=delta_f_over_f))


def running_baseline(recording: Recording, *, window_s: float, percentile: float = 20.0) -> Recording:
    """Subtract a percentile of the last `window_s` seconds up to each frame: removes drift without looking ahead.

    Parameters
    ----------
    recording
        [time, unit].
    window_s
        Length of the window in seconds; shorter at the start of the recording.
    percentile
        0 to 100.
    """
    percentile = number("percentile", percentile, least=0, most=100)
    window_s = number("window_s", window_s, above=0)
    values = observed_values(recording)
    base = _running_percentile(recording, values, percentile, window_s)
    return finish(recording, values - base, "running_baseline", {"window_s": window_s, "percentile": percentile})


STEPS.register(
    Step(
        name="running_baseline", label="subtraction of a running percentile", apply=running_baseline, removes_drift=True
    )
)


def remove_bleaching(recording: Recording, *, mode: str = "subtract") -> Recording:
    """Remove an exponential decline a·exp(-t/τ) + c, fitted per unit to the training part and continued beyond it.

    Parameters
    ----------
    recording
        [time, unit].
    mode
        `"subtract"`: take a·exp(-t/τ) away, keep c. `"divide"`: divide by the curve relative to its first
        value, which suits raw fluorescence, where bleaching scales signal and background alike.

    Notes
    -----
    τ is searched between 0.1 and 10 lengths of the training part; for each τ, a and c are least
    squares. A unit that does not decline (a < 0 for every τ) is left as it is: a = 0 in the record.

    Raises
    ------
    DataError
        If with `"divide"` a unit's curve does not stay positive.
    """
    one_of("mode", mode, ("subtract", "divide"))
    values = observed_values(recording)
    train = training_values(recording, values)
    start = recording.require_parts().train[0]
    seconds = (np.arange(recording.frames) - start) / recording.frame_rate
    amplitude, tau, offset = _fit_decline(train, seconds[start : start + len(train)])
    decline = amplitude * np.exp(-seconds[:, None] / tau)
    if mode == "subtract":
        corrected = values - decline
    else:
        curve = decline + offset
        refuse_units(
            recording,
            (curve <= 0).any(axis=0),
            "have a bleaching curve that does not stay positive",
            "Use mode='subtract', or raw fluorescence",
        )
        corrected = values * (amplitude + offset) / curve
    return finish(
        recording,
        corrected,
        "remove_bleaching",
        {"mode": mode},
        constants={"amplitude": amplitude, "time_constant_s": tau, "offset": offset},
    )


STEPS.register(
    Step(name="remove_bleaching", label="removal of an exponential decline", apply=remove_bleaching, removes_drift=True)
)


def _running_percentile(
    recording: Recording, values: Float[np.ndarray, "T P"], percentile: float, window_s: float
) -> Float[np.ndarray, "T P"]:
    frames = max(1, round(window_s * recording.frame_rate))
    return pd.DataFrame(values).rolling(frames, min_periods=1).quantile(percentile / 100).to_numpy()


def _fit_decline(
    values: Float[np.ndarray, "t P"], seconds: Float[np.ndarray, "t"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Amplitude, time constant in seconds and offset per unit: least squares over a grid of time constants."""
    span = max(seconds[-1] - seconds[0], 1e-9)
    taus = np.geomspace(0.1, 10, 80) * span
    curves = np.exp(-seconds[:, None] / taus)
    seen = np.isfinite(values).astype(np.float64)
    centre = np.nanmean(values, axis=0)
    y = np.where(seen > 0, values - centre, 0.0)
    n, sy = seen.sum(axis=0)[:, None], y.sum(axis=0)[:, None]
    se, see, sye = seen.T @ curves, seen.T @ curves**2, y.T @ curves
    spread = n * see - se**2
    amplitude = np.where(spread > 1e-12 * n * see, (n * sye - se * sy) / np.where(spread > 0, spread, 1), 0.0)
    offset = (sy - amplitude * se) / n
    error = -(amplitude * sye + offset * sy)
    error[amplitude <= 0] = np.inf
    best = np.argmin(error, axis=1)
    unit = np.arange(len(best))
    declines = np.isfinite(error[unit, best])
    return (
        np.where(declines, amplitude[unit, best], 0.0),
        taus[best],
        np.where(declines, offset[unit, best], 0.0) + centre,
    )
