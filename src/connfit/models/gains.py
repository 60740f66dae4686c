"""Weights with few parameters: synapse counts times a gain that connections share.

``|w_ij| = g_k c_ij``, where c is fixed (synapse counts, scaled) and k is the gain of connection ij:

- `gain_per_neuron`: one gain per postsynaptic neuron, the scale of all of its input. It is postsynaptic because such a
  gain needs one eligibility trace per neuron; a presynaptic one would need one per connection, as free strengths do.
- `gain_per_type_pair`: one gain per pair of cell types, as in models of the fly's visual system in which all
  connections between two types have one strength per synapse (Lappalainen et al. 2024, doi 10.1038/s41586-024-07939-3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int

from connfit.connectome import Connectome
from connfit.errors import ConfigError, one_of
from connfit.models import ops
from connfit.models.base import Model
from connfit.models.maps import GainMap

SHARED = ("gain_per_neuron", "gain_per_type_pair")
ModelT = TypeVar("ModelT", bound=Model)

STRENGTHS = ("free", "fixed", *SHARED)


@dataclass(frozen=True, eq=False)
class Sharing:
    """Which connections share a gain.

    Attributes
    ----------
    order
        [M] connections sorted by branch; None where the connectome's own order is sorted so.
    starts
        [Q + 1] connections of branch q, in that order: `starts[q]:starts[q + 1]`.
    neuron_of
        [Q] neuron of each branch, ascending.
    gain_of
        [Q] number of each branch's gain.
    table
        One row per gain: `kind` (`chemical` or `electrical`), `post`, `pre` (id of the neuron, or types; empty for
        all), `connections`, `synapses`.
    """

    order: Int[np.ndarray, "M"] | None
    starts: Int[np.ndarray, "Q+1"]
    neuron_of: Int[np.ndarray, "Q"]
    gain_of: Int[np.ndarray, "Q"]
    table: pd.DataFrame

    @property
    def gains(self) -> int:
        """Number of gains G."""
        return len(self.table)


def share_gains(connectome: Connectome, strengths: str, *, type_column: str = "type") -> Sharing:
    """Group the connections of a connectome by the gain that they share.

    Gap junctions have gains of their own, for one is as strong in one direction as in the other: one for all of them
    (`gain_per_neuron`), or one for each pair of types in either order. Neurons without a type form one type of their
    own, the empty one. Only gains that have a connection exist.

    Parameters
    ----------
    strengths
        `"gain_per_neuron"` or `"gain_per_type_pair"`.
    type_column
        Column of the neuron table that says the type: cell types, or what stands in for them.

    Raises
    ------
    ConfigError
        If types are needed and there is no such column, or no neuron has one.
    """
    one_of("strengths", strengths, SHARED)
    post, pre = connectome.posts.astype(np.int64), connectome.indices.astype(np.int64)
    electrical = connectome.electrical.astype(np.int64)
    if strengths == "gain_per_neuron":
        names = np.append(connectome.neurons["id"].astype(str).to_numpy(object), "")
        everyone = len(names) - 1
        source = np.zeros_like(pre)
        target_kind = np.where(electrical, everyone, post)
        source_kind = np.full_like(pre, everyone)
    else:
        types, names = pd.factorize(_types(connectome, type_column), sort=True)
        source = types[pre]
        target_kind, source_kind = types[post], types[pre]
        swapped = (electrical == 1) & (target_kind > source_kind)
        target_kind, source_kind = (
            np.where(swapped, source_kind, target_kind),
            np.where(swapped, target_kind, source_kind),
        )
    branch = (post * 2 + electrical) * len(names) + source
    order = None if (np.diff(branch) >= 0).all() else np.argsort(branch, kind="stable")
    gain = (electrical * len(names) + target_kind) * len(names) + source_kind
    if order is not None:
        branch, gain = branch[order], gain[order]
    first = np.flatnonzero(np.diff(branch, prepend=-1))
    starts = np.append(first, len(branch))
    found, gain_of = np.unique(gain[first], return_inverse=True)
    counts = connectome.counts if order is None else connectome.counts[order]
    size = np.float64 if connectome.weighted else np.int64
    synapses = np.add.reduceat(counts.astype(size), first) if len(first) else np.zeros(0, size)
    is_electrical, pair = np.divmod(found, len(names) ** 2)
    table = pd.DataFrame(
        {
            "kind": np.where(is_electrical == 1, "electrical", "chemical"),
            "post": np.asarray(names, object)[pair // len(names)],
            "pre": np.asarray(names, object)[pair % len(names)],
            "connections": np.bincount(gain_of, np.diff(starts), len(found)).astype(np.int64),
            "synapses": np.bincount(gain_of, synapses, len(found)).astype(size),
        }
    )
    neuron_of = branch[first] // len(names) // 2
    return Sharing(order, starts, neuron_of, gain_of, table)


def untyped_neurons(connectome: Connectome, type_column: str = "type") -> int:
    """Count the neurons that are of no type."""
    return int(np.count_nonzero(_types(connectome, type_column) == ""))


def _types(connectome: Connectome, column: str) -> np.ndarray:
    """[N] type of each neuron, empty where it has none."""
    table = connectome.neurons
    one_of("type_column", column, [str(name) for name in table.columns if table[name].dtype.kind != "f"])
    types = table[column].fillna("").astype(str).to_numpy(object)
    if (types == "").all():
        raise ConfigError(
            f"strengths = 'gain_per_type_pair' needs types, and no neuron of connectome {connectome.name!r} has one in "
            f"column {column!r}: name another column of its neuron table as model.type_column (of tables of your own, "
            "data.connectome.type names the column of types), or choose 'gain_per_neuron'"
        )
    return types


def tie_weights(
    model: ModelT, connectome: Connectome, strengths: str, magnitudes: Float[Array, "M"], *, type_column: str = "type"
) -> ModelT:
    """Replace the free weights of a model by fixed magnitudes times gains that connections share.

    Its parameters have `gains` [G] where those of the given model have `weights` [M]; with all gains 1 both are the
    same model. Gains have no scale of their own: give magnitudes at the scale at which gains of 1 are to be.

    Parameters
    ----------
    model
        A model with free magnitudes, of this connectome.
    strengths, type_column
        Which connections share a gain; see `share_gains`.
    magnitudes
        What gains multiply, ≥ 0, for example of `connfit.models.start_magnitudes`.

    Raises
    ------
    ConfigError
        If types are needed and not there, or the model has gains already.
    """
    if isinstance(model.recurrent, GainMap):
        raise ConfigError("the model has gains already: give it as it was built")
    sharing = share_gains(connectome, strengths, type_column=type_column)
    fixed = model.project({"weights": jnp.asarray(magnitudes)})["weights"]
    columns = np.asarray(model.recurrent.pattern.indices)
    if sharing.order is not None:
        fixed, columns = fixed[sharing.order], columns[sharing.order]
    branches_of = np.searchsorted(sharing.neuron_of, np.arange(connectome.n + 1))
    recurrent = GainMap(
        inputs=ops.prepare(ops.Pattern.of(sharing.starts, columns, model.recurrent.pattern.columns)),
        magnitudes=fixed,
        branches=ops.prepare(ops.Pattern.of(branches_of, np.arange(len(sharing.gain_of)), len(sharing.gain_of))),
        gain_of=jnp.asarray(sharing.gain_of, jnp.int32),
        order=None if sharing.order is None else jnp.asarray(sharing.order, jnp.int32),
        gains=sharing.gains,
    )
    return model.with_recurrent(recurrent)
