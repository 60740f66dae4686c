"""Sparse non-negative deconvolution of calcium traces."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float

from connfit.errors import DataError, NotAvailableError
from connfit.recordings import Recording
from connfit.recordings.preprocess.preprocessing_step import STEPS, Step
from connfit.recordings.preprocess.step_record import (
    finish,
    hold_last,
    long_gaps,
    number,
    observed_values,
    refuse_units,
    segments,
    training_values,
)

LEAST_FRAMES = 50
LONGEST_GAP_FRAMES = 10
"""Longest stretch without any observed unit that a trace is continued across, by holding its last value."""


def deconvolve(recording: Recording, *, tau_s: float | None = None) -> Recording:
    """Estimate activity per frame from calcium, by OASIS: sparse, non-negative, first-order decay.

    Parameters
    ----------
    recording
        Calcium traces, [time, unit].
    tau_s
        Decay time constant of the indicator in seconds. Default: estimated per unit.

    Returns
    -------
    Recording
        Values are the activity in each frame in the units of the trace, at least 0.

    Notes
    -----
    Baseline, decay, noise and sparsity are estimated per unit on the training part and recorded. With
    them fixed, the traces are deconvolved in each part by itself, for the activity in a frame is
    inferred from later frames too. The first frame of a part is 0: what came before is not known. The same holds
    for stretches of more than 10 frames in which no unit was observed: the trace is not continued across them.

    Source: Friedrich, Zhou & Paninski 2017, doi:10.1371/journal.pcbi.1005423.

    Raises
    ------
    NotAvailableError
        If oasis-deconv is not installed.
    DataError
        If the training part is too short, or a unit has no decay that can be estimated.
    """
    try:
        from oasis.functions import GetSn, constrained_oasisAR1
        from oasis.oasis_methods import oasisAR1
    except ImportError as error:
        raise NotAvailableError(
            "the step 'deconvolve' needs oasis-deconv: pip install oasis-deconv (Python 3.11 to 3.13; for newer ones "
            "it is built from source), or leave the step out"
        ) from error
    if tau_s is not None:
        tau_s = number("tau_s", tau_s, above=0)
    values = observed_values(recording)
    gaps = long_gaps(recording, LONGEST_GAP_FRAMES)
    train = training_values(recording, values)[~gaps[recording.require_parts()["train"]]]
    if len(train) < LEAST_FRAMES:
        raise DataError(
            f"recording {recording.name!r}: {len(train)} training frames are too few for a deconvolution",
            fix=f"It needs at least {LEAST_FRAMES}",
        )
    refuse_units(
        recording,
        np.nanstd(train, axis=0) == 0,
        "do not vary in the training part",
        "Leave them out with the step 'select'",
    )

    filled = hold_last(train)
    baseline, decay, sparsity = np.zeros((3, len(recording.units)))
    for k in range(len(recording.units)):
        trace = np.ascontiguousarray(filled[:, k])
        # OASIS divides by the decay; where none can be estimated, it is refused below by name.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            # It also warns that the spectrum of a short trace has fewer frequencies.
            warnings.simplefilter("ignore", UserWarning)
            try:
                noise = float(GetSn(trace))
                decay[k] = _decay(trace, noise) if tau_s is None else np.exp(-1 / (recording.frame_rate * tau_s))
                if 0 < decay[k] < 1:
                    fitted = constrained_oasisAR1(
                        trace, float(decay[k]), noise, optimize_b=True, b_nonneg=False, penalty=1
                    )
                    baseline[k], sparsity[k] = fitted[2], fitted[4]
            except (ValueError, ZeroDivisionError, FloatingPointError, np.linalg.LinAlgError):
                decay[k] = np.nan
    usable = np.isfinite(baseline) & np.isfinite(sparsity) & (decay > 0) & (decay < 1)
    refuse_units(
        recording,
        ~usable,
        "have no decay that can be estimated",
        "Give the indicator's decay with tau_s, or leave them out with the step 'select'",
    )

    activity = np.zeros_like(values)
    for block in segments(recording, longest_gap=LONGEST_GAP_FRAMES):
        calcium = hold_last(values[block]) - baseline
        for k in range(len(recording.units)):
            _, activity[block, k] = oasisAR1(
                np.ascontiguousarray(calcium[:, k]), float(decay[k]), lam=float(sparsity[k])
            )
        activity[block.start] = 0.0
    return finish(
        recording,
        np.maximum(activity, 0.0),
        "deconvolve",
        {"tau_s": tau_s},
        constants={
            "baseline": baseline,
            "decay_per_frame": decay,
            "sparsity": sparsity,
            "time_constant_s": -1 / (recording.frame_rate * np.log(decay)),
        },
        looks_ahead=True,
        kind="rate",
        value_units=f"{recording.value_units} per frame",
    )


STEPS.register(
    Step(name="deconvolve", label="sparse activity from calcium (OASIS)", apply=deconvolve, colours_noise=True)
)


def _decay(trace: Float[np.ndarray, "t"], noise: float, lags: int = 10) -> float:
    """Decay per frame of a first-order process plus white noise, from its autocovariance.

    The least-squares estimate of OASIS, shrunk by 0.98 as there. OASIS itself replaces an estimate outside 0..1 by
    a random number; here it is returned, and refused by the caller.
    """
    centred = trace - trace.mean()
    covariance = np.array([centred[k:] @ centred[: len(centred) - k] for k in range(lags + 2)]) / len(centred)
    before = covariance[:-1].copy()
    before[0] -= noise**2
    return 0.98 * float(before @ covariance[1:] / (before @ before))
