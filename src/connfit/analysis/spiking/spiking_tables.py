"""Tables of an experiment on a spiking network: rates of read-outs and neurons, times of spikes, a screen."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int

from connfit.analysis.spiking.side_by_side_trials import Outcome
from connfit.analysis.spiking.spiking_experiment import Design
from connfit.analysis.spiking.spiking_results import Screen
from connfit.connectome import Connectome


def role_of(design: Design, neuron: int) -> str:
    """Say what is done to a neuron: `"stimulated"`, `"silenced"`, or nothing."""
    silenced = "silenced" if neuron in design.silent else ""
    return "stimulated" if neuron in design.stimulated else silenced


def readout_rates(design: Design, doses: Outcome) -> pd.DataFrame:
    """Return a row for each read-out, dose and trial."""
    d, trials, q = doses.readouts_hz.shape
    at = np.indices((q, d, trials)).reshape(3, -1)
    columns = {"readout": [design.readouts[k].name for k in at[0]], "dose": at[1]}
    for found, rates in zip(design.sets, design.set_rates_hz, strict=True):
        columns[f"{found.name} (Hz)"] = [rates[k] for k in at[1]]
    return pd.DataFrame({**columns, "trial": at[2], "rate_hz": doses.readouts_hz[at[1], at[2], at[0]]})


def neuron_rates(connectome: Connectome, design: Design, doses: Outcome) -> pd.DataFrame:
    """Return a row for each neuron that spiked at any dose and each dose."""
    assert doses.neurons_hz is not None and doses.neurons_sd_hz is not None
    spiked = np.flatnonzero(doses.neurons_hz.max(axis=0) > 0)
    d = len(doses.neurons_hz)
    neuron, dose = np.repeat(spiked, d), np.tile(np.arange(d), len(spiked))
    table = connectome.neurons.iloc[neuron][["id", "type", "region", "side"]].reset_index(drop=True)
    roles = {int(k): role_of(design, int(k)) for k in spiked}
    return table.assign(
        sign=connectome.signs[neuron], role=[roles[int(k)] for k in neuron], dose=dose,
        rate_hz=doses.neurons_hz[dose, neuron], sd_hz=doses.neurons_sd_hz[dose, neuron],
    )  # fmt: skip


def spike_times(
    connectome: Connectome, design: Design, doses: Outcome, watched: Int[np.ndarray, "W"], step_ms: float
) -> pd.DataFrame:
    """Return a row for each spike of a neuron that is stimulated or read."""
    at = watched[doses.spikes["neuron"].to_numpy()]
    return pd.DataFrame(
        {
            "dose": doses.spikes["condition"], "trial": doses.spikes["trial"],
            "time_s": doses.spikes["step"] * step_ms / 1000, "id": connectome.ids[at],
            "stimulated": np.isin(at, design.stimulated),
        }
    )  # fmt: skip


def screen_rows(screen: Screen) -> pd.DataFrame:
    """Return a row for each silenced group and read-out."""
    return pd.DataFrame(
        [
            {
                "silenced": row.silenced, "type": row.type, "region": row.region, "neurons": row.neurons,
                "own_rate_hz": row.own_rate_hz, "readout": row.readout, "rate_hz": row.rate_hz.mean,
                "change_hz": row.change_hz.mean, "low": row.change_hz.low, "high": row.change_hz.high,
                "low_of_all": row.low_of_all, "high_of_all": row.high_of_all, "changes": row.changes,
            }
            for row in screen.rows
        ]
    )  # fmt: skip
