"""Parameters of a fit as tables, one row per connection and one row per neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from connfit.connectome import Connectome
from connfit.models.base import Model, Params

if TYPE_CHECKING:
    from connfit.training.problem import Job


def weights_table(connectome: Connectome, model: Model, start: Params, fitted: Params) -> pd.DataFrame:
    """Tabulate connections; see `connfit.training.fitted.Fit.weights_table`."""
    pre, post = connectome.indices, connectome.posts
    ids, types = connectome.ids, connectome.neurons["type"].to_numpy()
    signs = connectome.connection_signs
    return pd.DataFrame(
        {
            "pre_id": ids[pre],
            "post_id": ids[post],
            "pre_type": types[pre],
            "post_type": types[post],
            "kind": pd.Categorical.from_codes(
                connectome.electrical.astype(np.int8), categories=["chemical", "electrical"]
            ),
            connectome.size_column: connectome.counts,
            "sign": signs,
            "weight_start": signs * np.asarray(model.magnitudes(start)),
            "weight_fitted": signs * np.asarray(model.magnitudes(fitted)),
        }
    )


def neurons_table(job: Job, start: Params, fitted: Params) -> pd.DataFrame:
    """Tabulate neurons; see `connfit.training.fitted.Fit.neurons_table`."""
    neurons = job.connectome.neurons
    recorded = np.zeros(job.connectome.n, bool)
    recorded[job.readout.matrix.indices] = True
    table = pd.DataFrame(
        {
            "id": neurons["id"].to_numpy(),
            "type": neurons["type"].to_numpy(),
            "region": neurons["region"].to_numpy(),
            "recorded": recorded,
            "time_constant_start_s": np.exp(np.asarray(start["log_time_constants"])),
            "time_constant_fitted_s": np.exp(np.asarray(fitted["log_time_constants"])),
            "bias_start": np.asarray(start["bias"]),
            "bias_fitted": np.asarray(fitted["bias"]),
        }
    )
    values = job.cohort.recordings[0].value_units
    units = {column: "s" if column.endswith("_s") else values for column in table.columns[4:]}
    for one in job.model.neuron.parameters:
        for when, params in (("start", start), ("fitted", fitted)):
            column = f"{one.name}_{when}" + (f"_{one.unit}" if one.unit else "")
            values_of_all = np.broadcast_to(np.asarray(one.value(params[one.key])), len(table))
            table[column], units[column] = values_of_all, one.unit
    table.attrs["units"] = units
    return table
