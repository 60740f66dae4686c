"""Indicators by name, with time constants from single action potentials.

Half-times are converted as those of one exponential, ``τ = t½ / ln 2``. A time to peak t_p is converted to the rise τ_r
for which the response of both filters peaks then, ``t_p = τ_r τ_d / (τ_d - τ_r) ln(τ_d / τ_r)``. Both are starting
points: kinetics depend on temperature, on the calcium of the cell and on where the indicator sits; in nuclei, as in
whole-brain recordings of worms, it is slower.
"""

from __future__ import annotations

from math import log

from connfit.models.observation import INDICATORS, Indicator

CHEN = (
    "Chen et al. 2013, Nature 499:295, mouse visual cortex in vivo, 1 action potential: half-time of decay {} ms, time "
    "to peak {} ms"
)
ZHANG = (
    "Zhang et al. 2023, Nature 615:884, rat neurons in culture, 1 action potential: half-time of decay {} ms, of rise "
    "{} ms"
)


def of_half_time(milliseconds: float) -> float:
    """Return the time constant in seconds of a half-time."""
    return milliseconds / 1000 / log(2)


def of_peak_time(milliseconds: float, decay_s: float) -> float:
    """Return the time constant of the rise in seconds, by bisection."""
    low, high, peak = 1e-6, decay_s * (1 - 1e-6), milliseconds / 1000
    for _ in range(60):
        middle = (low + high) / 2
        early = middle * decay_s / (decay_s - middle) * log(decay_s / middle) < peak
        low, high = (middle, high) if early else (low, middle)
    return (low + high) / 2


INDICATORS.register(Indicator(name="none", label="no indicator", order=0, place=0))
INDICATORS.register(Indicator(name="order-1", label="indicator with a decay", order=1, place=1))
INDICATORS.register(Indicator(name="order-2", label="indicator with rise and decay", order=2, place=2))
for place, (name, decay, peak) in enumerate((("GCaMP6s", 550, 179), ("GCaMP6m", 270, 80), ("GCaMP6f", 142, 45)), 10):
    decay_s = of_half_time(decay)
    INDICATORS.register(
        Indicator(
            name=name, label=name, order=2, decay_s=decay_s, rise_s=of_peak_time(peak, decay_s), place=place,
            source=CHEN.format(decay, peak),
        )
    )  # fmt: skip
for place, (name, decay, rise) in enumerate(
    (("jGCaMP7f", 181.9, 24.8), ("jGCaMP8s", 306.7, 10.1), ("jGCaMP8m", 118.3, 7.1), ("jGCaMP8f", 67.4, 7.1)), 20
):
    INDICATORS.register(
        Indicator(
            name=name, label=name, order=2, decay_s=of_half_time(decay), rise_s=of_half_time(rise), place=place,
            source=ZHANG.format(decay, rise),
        )
    )  # fmt: skip
