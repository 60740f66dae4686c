"""Filters over time: removal of slow drift, smoothing."""

from __future__ import annotations

import numpy as np

from connfit.errors import ConfigError, one_of
from connfit.recordings import Recording
from connfit.recordings.preprocess.preprocessing_step import STEPS, Step
from connfit.recordings.preprocess.step_record import finish, hold_last, number, observed_values, segments, whole


def high_pass(
    recording: Recording, *, cutoff_hz: float, order: int = 1, direction: str = "causal", start: str = "steady"
) -> Recording:
    """Remove drift slower than `cutoff_hz` by a Butterworth high-pass filter.

    Parameters
    ----------
    recording
        [time, unit].
    cutoff_hz
        Corner frequency in Hz, below half the frame rate.
    order
        Order of the filter.
    direction
        `"causal"` (default): forward only, so that no frame depends on a later one. `"zero-phase"`: forward
        and backward, without delay, but a filtered frame then contains later frames: prediction from such
        values is easier than from the recording itself. It is applied to each part by itself.
    start
        State of the causal filter before the first frame: `"steady"`, as if the first value had always been
        there, or `"zero"`, which leaves a transient of the size of the mean.

    Notes
    -----
    A missing value is replaced by the last observed one inside the filter only.
    """
    import scipy.signal  # here: 40 MB that a run without filters does not need

    cutoff_hz = number("cutoff_hz", cutoff_hz, above=0)
    order = whole("order", order, least=1)
    one_of("direction", direction, ("causal", "zero-phase"))
    one_of("start", start, ("steady", "zero"))
    nyquist = recording.frame_rate / 2
    if cutoff_hz >= nyquist:
        raise ConfigError(
            f"cutoff_hz = {cutoff_hz:g} must be below half the frame rate, {nyquist:g} Hz, of recording "
            f"{recording.name!r}"
        )
    sos = scipy.signal.butter(order, cutoff_hz, btype="highpass", fs=recording.frame_rate, output="sos")
    values = observed_values(recording)
    options = {"cutoff_hz": cutoff_hz, "order": order, "direction": direction, "start": start}
    if direction == "causal":
        filled = hold_last(values)
        state = scipy.signal.sosfilt_zi(sos)[:, :, None] * filled[0] * (start == "steady")
        filtered, _ = scipy.signal.sosfilt(sos, filled, axis=0, zi=state)
        return finish(recording, filtered, "high_pass", options)
    filtered = np.empty_like(values)
    for block in segments(recording):
        length = block.stop - block.start
        # Mirrored by one period of the cutoff: the usual short, odd extension leaves a step of twice the
        # activity in the first frame, which takes as long to decay.
        padding = min(length - 1, round(recording.frame_rate / cutoff_hz))
        filtered[block] = scipy.signal.sosfiltfilt(
            sos, hold_last(values[block]), axis=0, padtype="even", padlen=padding
        )
    return finish(recording, filtered, "high_pass", options, looks_ahead=True)


STEPS.register(
    Step(name="high_pass", label="Butterworth filter that removes drift", apply=high_pass, removes_drift=True)
)


def smooth(
    recording: Recording, *, method: str = "exponential", tau_s: float | None = None, sigma_s: float | None = None
) -> Recording:
    """Smooth over time.

    Parameters
    ----------
    recording
        [time, unit].
    method
        `"exponential"`: running mean with weights exp(-age / tau_s) over the past, no frame depends on a
        later one. `"gaussian"`: centred, looks ahead, applied to each part by itself.
    tau_s
        Time constant in seconds, for `"exponential"`.
    sigma_s
        Standard deviation in seconds, for `"gaussian"`.
    """
    from scipy.ndimage import gaussian_filter1d

    one_of("method", method, ("exponential", "gaussian"))
    needed, other = ("tau_s", "sigma_s") if method == "exponential" else ("sigma_s", "tau_s")
    given = {"tau_s": tau_s, "sigma_s": sigma_s}
    if given[needed] is None or given[other] is not None:
        raise ConfigError(f"smooth with method = {method!r} needs {needed} and not {other}")
    width = number(needed, given[needed], above=0)
    values = observed_values(recording)
    if method == "exponential":
        return finish(
            recording, _exponential(values, width * recording.frame_rate), "smooth", {"method": method, "tau_s": width}
        )
    smoothed = np.empty_like(values)
    sigma = width * recording.frame_rate
    for block in segments(recording):
        seen = np.isfinite(values[block])
        total = gaussian_filter1d(np.where(seen, values[block], 0.0), sigma, axis=0, mode="constant")
        weight = gaussian_filter1d(seen.astype(np.float64), sigma, axis=0, mode="constant")
        smoothed[block] = np.where(seen, total / np.where(weight > 0, weight, 1.0), np.nan)
    return finish(recording, smoothed, "smooth", {"method": method, "sigma_s": width}, looks_ahead=True)


STEPS.register(Step(name="smooth", label="smoothing", apply=smooth, colours_noise=True))


def _exponential(values: np.ndarray, tau_frames: float) -> np.ndarray:
    """Exponential smoothing; after a gap the state has decayed by the frames that passed."""
    result = np.full_like(values, np.nan)
    state, age = values[0].copy(), np.zeros(values.shape[1])
    for t, row in enumerate(values):
        seen = np.isfinite(row)
        fresh = seen & ~np.isfinite(state)
        keep = np.exp(-np.where(t == 0, 0.0, age + 1) / tau_frames)
        state = np.where(fresh, row, np.where(seen, keep * state + (1 - keep) * row, state))
        age = np.where(seen, 0.0, age + 1)
        result[t] = np.where(seen, state, np.nan)
    return result
