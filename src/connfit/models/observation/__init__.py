"""How recordings see neurons: indicators, innovations, and the noise of what is recorded.

`observe` puts an indicator after any cell: what is left is a cell again, so that every learning rule, rollout and
analysis takes it as any other. An `Indicator` registered in `INDICATORS`, in a module here or in another package
behind an entry point of the group `connfit.indicators`, has a name for `model.observation.indicator`.
"""

from __future__ import annotations

from dataclasses import dataclass

from connfit._registry import Entry, Registry
from connfit.errors import ConfigError
from connfit.models.neuron import Neuron
from connfit.models.parameter import TimeConstant

RISE, DECAY = "indicator_rise", "indicator_decay"
INDICATOR_GROUPS = (RISE, DECAY)
"""Groups of parameters of an indicator, in the order of its filters."""

SHORTEST_RISE = 0.2
"""Steps: a rise that is shorter is over within a step, and has no state of its own."""


@dataclass(frozen=True, kw_only=True)
class Indicator(Entry):
    """An indicator of activity: one leaky filter, or a second one before it that makes it rise slowly.

    Parameters
    ----------
    order
        Number of filters; 0: what cells show is recorded.
    decay_s, rise_s
        Time constants of the filters in seconds; None: they must be given.
    source
        Where time constants are from, and how they were measured.
    """

    order: int
    decay_s: float | None = None
    rise_s: float | None = None
    source: str = ""


INDICATORS: Registry[Indicator] = Registry("indicator", Indicator, room=__name__, group="connfit.indicators")
"""Indicators by name."""


def observe(
    cell: Neuron,
    indicator: str,
    *,
    step_s: float,
    decay_s: float | None = None,
    rise_s: float | None = None,
    bounds: tuple[float, float] = (0.5, 2.0),
    shared: bool = True,
    drift_gain: float = 0.0,
    section: str = "model.observation.",
) -> Neuron:
    """Return a cell as an indicator shows it.

    Parameters
    ----------
    indicator
        Name in `INDICATORS`.
    step_s
        Length of a step in seconds. A rise of less than `SHORTEST_RISE` steps is left out.
    decay_s, rise_s
        Time constants in place of the indicator's own.
    bounds
        Within which factors of them time constants may be learned.
    shared
        Whether all neurons have the same indicator.
    drift_gain
        Share of each innovation by which a slow baseline moves, before it is learned; 0: there is no baseline.
    section
        What errors put before the names of options.

    Raises
    ------
    ConfigError
        If a time constant is missing, or of no use.
    """
    found = INDICATORS.find(indicator, f"{section}indicator")
    given = {RISE: rise_s or found.rise_s, DECAY: decay_s or found.decay_s}
    wanted = INDICATOR_GROUPS[len(INDICATOR_GROUPS) - found.order :]
    for name, asked in ((RISE, rise_s), (DECAY, decay_s)):
        option = f"{section}{name.removeprefix('indicator_')}_s"
        if name not in wanted and asked is not None:
            raise ConfigError(
                f"{option} = {asked:g}, but {section}indicator = {indicator!r} has no "
                f"{name.removeprefix('indicator_')}: leave it out, or take order-1 or order-2"
            )
        if name in wanted and given[name] is None:
            raise ConfigError(f"{section}indicator = {indicator!r} needs {option}, a time in seconds")
        if asked is not None and not 0 < asked < float("inf"):
            raise ConfigError(f"{option} = {asked:g} must be a time in seconds, above 0")
    times = {name: value for name in wanted if (value := given[name]) is not None}
    if RISE in times and times[RISE] < SHORTEST_RISE * step_s:
        del times[RISE]
    if not times and not drift_gain:
        return cell
    low, high = bounds
    filters = tuple(TimeConstant(name, at, low * at, high * at, shared=shared) for name, at in times.items())
    # Imported here because cells of other rooms import this room's names first.
    from connfit.models.observation.observed import Observed

    return Observed(cell=cell, filters=filters, drift=drift_gain, starts=cell.starts)
