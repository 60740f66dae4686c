"""Findings of an analysis in words, each made from its numbers by a rule that is stated here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connfit.analysis.criticality.judgement import JUDGED, LEVEL, best_floor, judge, signal_in

FAR = 10.0
"""Times its first mean rate beyond which a free run without noise counts as one that grows."""

SURROGATE_WORDS = {"shuffle": "time-shuffled", "phase_together": "phase-randomised"}


def findings(record: Mapping[str, Any]) -> list[str]:
    """One or two sentences per analysis; what could not be said is said to be so."""
    lines = [line for name in record["sources"] for line in avalanche_finding(name, record["sources"][name])]
    lines += power_finding(record)
    lines += _branching(record)
    lines += _stability(record)
    lines += _weights(record)
    lines += _time_constants(record)
    return lines


def avalanche_finding(name: str, source: Mapping[str, Any]) -> list[str]:
    """What the table over thresholds and bins says of one source."""
    if source.get("grid") is None:
        return [f"Avalanches, {source.get('what', name)}: not analysed ({source.get('reason')})."]
    floor = best_floor(source)
    if floor is None:
        return [f"Avalanches, {source['what']}: not analysed ({'; '.join(source['reasons'].values())})."]
    kinds = source["verdict"][floor]
    own = kinds["data"]
    text = (
        f"Avalanches, {source['what']}: {own['enough']} of {own['cells']} combinations of threshold and bin have "
        f"avalanches enough; in {own['both']} of them power laws of sizes and durations hold over a decade and no "
        f"alternative fits better; the scaling relation holds in {own['all']} of {own['tested']} of these in which it "
        "can be tested"
    )
    others = [
        f"for {word} surrogates {kinds[one]['both']} of {kinds[one]['enough']} and {kinds[one]['all']} of "
        f"{kinds[one]['tested']}"
        for one, word in SURROGATE_WORDS.items()
        if one in kinds
    ]
    text += f" ({', '.join(others)})" if others else ""
    signal = signal_in(source)
    if signal is not None and signal.p is not None:
        grows = "noise grows with activity" if signal.p <= LEVEL else "noise is not seen to grow with activity"
        text += f"; {grows} (p = {signal.p:.2g} against linear processes of the same spectrum)"
    without = source.get("thresholds_left_out") or {}
    if without:
        text += f"; {len(without)} thresholds do not apply and are left out ({'; '.join(without)})"
    return [f"{text}. {JUDGED[judge(kinds, signal)]}"]


NO_EVIDENCE = "That a recording is not called consistent with criticality is no evidence against it."


def power_finding(record: Mapping[str, Any]) -> list[str]:
    """How likely it was that a critical brain would have been called so."""
    power = record.get("power")
    if not power or not power.get("draws"):
        why = (power or {}).get("reason") or "no simulations were asked for"
        return [f"Power to see criticality in this recording was not assessed ({why}). {NO_EVIDENCE}"]
    called, control = power["critical"], power["control"]
    low, high = called["interval"]
    return [
        f"Could this recording have shown criticality? Critical branching simulated with as many frames "
        f"({power['frames']:,}) and units ({power['units']}) and seen through as much sampling and noise is called "
        f"consistent with criticality in {called['called']} of {power['draws']} draws (95 % {low:.0%} to {high:.0%}), "
        f"branching with m = {control['m']} in {control['called']} of {power['draws']}. {NO_EVIDENCE}"
    ]


def _branching(record: Mapping[str, Any]) -> list[str]:
    lines = []
    for source in record["sources"].values():
        found = (source.get("signal") or {}).get("branching")
        if not found or found["m"] is None:
            continue
        text = f"Branching ratio of the mean activity, {source['what']}: m = {found['m']:.3f} per frame"
        if found["interval"]:
            low, high = found["interval"]
            text += f" (95 % {_span(f'{low:.3f}', f'{high:.3f}')})"
            text += ", below 1" if high < 0.9995 else ", not distinguishable from 1"
        elif found["m"] > 1:
            text += ", above 1: activity grows over the run"
        if found["amplitude"] > 1.1:
            text += (
                f"; but the amplitude {found['amplitude']:.2f} is above the 1 of a branching process: slopes do not "
                "fall as one exponential"
            )
        if found["time_constant"]:
            text += f"; time constant {found['time_constant']:.3g} s, as slow activity of any origin has"
        lines.append(text + ".")
    return lines


def _stability(record: Mapping[str, Any]) -> list[str]:
    stability, lines = record["stability"], []
    radius = {
        (when, name): (stability[when].get(name) or {}).get("radius")
        for when in ("before", "after")
        for name in ("weights", "jacobian_open", "jacobian_closed")
    }

    def change(name: str) -> str:
        first, last = radius["before", name], radius["after", name]
        return f"{_number(first)} before and {_number(last)} after the fit"

    text = (
        f"Spectral radius of the recurrent weights: {change('weights')}; of one step at rest without the loop through "
        f"read-out and drive: {change('jacobian_open')}; with it, as in a free run: {change('jacobian_closed')}."
    )
    control = stability["linear_model"]["data"]
    if control:
        text += (
            f" A linear model of the data, frame to frame, has {control['radius']:.3f}: that much comes from fitting "
            "slow signals."
        )
    rests = [when for when in ("before", "after") if not stability[when]["rest"]["reached"]]
    if rests:
        text += (
            f" {' and '.join(rests).capitalize()} the fit the free run without noise does not come to rest within "
            "2,000 steps: there the Jacobians are of one moment only."
        )
    lines.append(text)
    grows = _grows(stability["after"]["rest"])
    for name, words in (("lyapunov_free", "without noise"), ("lyapunov_driven", "driven by residuals")):
        found = stability["after"].get(name)
        if found and found["per_second"] is not None:
            low, high = found["interval_per_second"]
            sign = "differences die out" if (high or 0) < 0 else "not distinguishable from 0"
            if (low or 0) > 0:
                sign = f"differences grow, {grows}" if grows else "chaos"
            interval = f", 95 % {_span(f'{low:.3g}', f'{high:.3g}')}" if low is not None else ""
            lines.append(f"Largest Lyapunov exponent, {words}: {found['per_second']:.3g} per second{interval}; {sign}.")
    return lines


def _grows(rest: Mapping[str, Any]) -> str:
    """How far the free run without noise went from its start; empty where it came to rest or stayed near.

    A run that grows without bound has a positive exponent too. Chaos is of runs that stay.
    """
    first, last = rest.get("mean_rate_at_first"), rest["mean_rate"]
    if rest["reached"] or first is None or (last is not None and last <= FAR * first):
        return ""
    to = "beyond all bounds" if last is None else f"from a mean rate of {first:.3g} to {last:.3g}"
    return f"as the free run without noise itself does ({to}): that is an instability, and no chaos"


def _weights(record: Mapping[str, Any]) -> list[str]:
    statistics = record["weights"]["statistics"]
    if not statistics:
        return []
    rank, binned = statistics["rank_correlation_with_counts"], statistics["by_count"]["correlation"]
    text = (
        f"Strengths and synapse counts, connection by connection: rank correlation {_number(rank['after'])} after the "
        f"fit, {_number(rank['before'])} before it; of the change with counts {_number(rank['change'])}. Means over "
        f"bins of counts correlate at {_number(binned)}, which says nothing about single connections."
    )
    moved = (statistics["change_from_start"] or {}).get("moved_by_over_1_percent")
    if moved is not None and moved < 0.5:
        text += f" Only {moved:.0%} of the strengths moved by more than 1 %: the rest is the start."
    return [text]


def _time_constants(record: Mapping[str, Any]) -> list[str]:
    found = record["time_constants"]
    after, before = found["after_s"], found["before_s"]
    middle = after["probabilities"].index(0.5)
    text = f"Time constants: median {after['quantiles'][middle]:.3g} s"
    if before:
        text += f" ({before['quantiles'][middle]:.3g} s before the fit)"
    moved = found["moved_by_over_10_percent"]
    text += f"; {moved:.0%} moved by more than 10 %" if moved is not None else ""
    return [f"{text}, {found['at_bounds_fraction']:.0%} are at a bound, {found['below_step']:,} below one step."]


def _span(low: str, high: str) -> str:
    """A range; one number where both ends are written alike."""
    return low if low == high else f"{low} to {high}"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
