"""Means over trials with intervals, and what silencing changes trial by trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from connfit.analysis.spiking.side_by_side_trials import Outcome
from connfit.analysis.spiking.spiking_results import OverTrials, Screened
from connfit.connectome import Connectome

LEVEL = 0.95


def over_trials(values: Float[np.ndarray, "trials"]) -> OverTrials:
    """Return mean, standard deviation and interval."""
    low, high = t_interval(values, LEVEL)
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return OverTrials(float(np.mean(values)), sd, low, high)


def t_interval(values: Float[np.ndarray, "trials"], level: float) -> tuple[float | None, float | None]:
    """Return the interval of a mean by Student's t; None of one value, which has no spread."""
    if len(values) < 2:
        return None, None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = float(stats.t.ppf(0.5 + level / 2, len(values) - 1)) * error
    return mean - half, mean + half


def compare_silenced(
    connectome: Connectome,
    groups: Sequence[tuple[str, Int[np.ndarray, "s"]]],
    readouts: Sequence[str],
    control: Outcome,
    silenced: Outcome,
) -> tuple[Screened, ...]:
    """Compare trials with each group silent with the same trials without, the largest change of a read-out first.

    Parameters
    ----------
    control
        Of one condition.
    silenced
        Of one condition for each group.
    """
    rows = len(groups) * len(readouts)
    own = control.neurons_hz
    found: list[Screened] = []
    for q, readout in enumerate(readouts):
        before = control.readouts_hz[0, :, q]
        of_readout = []
        for g, (name, neurons) in enumerate(groups):
            after = silenced.readouts_hz[g, :, q]
            low, high = t_interval(after - before, 1 - (1 - LEVEL) / rows)
            alone = connectome.neurons.iloc[int(neurons[0])] if len(neurons) == 1 else None
            of_readout.append(
                Screened(
                    name,
                    "" if alone is None else str(alone["type"]),
                    "" if alone is None else str(alone["region"]),
                    len(neurons),
                    0.0 if own is None else float(own[0, neurons].mean()),
                    readout,
                    over_trials(after),
                    over_trials(after - before),
                    low,
                    high,
                )
            )
        found += sorted(of_readout, key=lambda row: -abs(row.change_hz.mean))
    return tuple(found)
