"""A connectome as a spiking network: signed weights in millivolt, and the sum of what arrives in a step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.models import ops
from connfit.models.ops import Pattern
from connfit.models.spiking.lif import SHIU, LeakyNeuron


class ByPresynaptic(NamedTuple):
    """The same connections by presynaptic neuron: what a spike does lies side by side."""

    indptr: Int[np.ndarray, "N+1"]
    rows: Int[np.ndarray, "M"]
    weights: Float[np.ndarray, "M"]


@dataclass(frozen=True, eq=False)
class SpikingNetwork:
    """Spiking neurons that a connectome connects.

    Parameters
    ----------
    neuron
        Constants that all neurons share.
    pattern
        Connections by postsynaptic neuron.
    weights
        [M] what a spike adds to g of the postsynaptic neuron, mV.
    """

    neuron: LeakyNeuron
    pattern: Pattern
    weights: Float[Array, "M"]

    @property
    def neurons(self) -> int:
        """N, number of neurons."""
        return self.pattern.rows

    @cached_property
    def by_presynaptic(self) -> ByPresynaptic:
        """The connections by presynaptic neuron, sorted when they are first used."""
        parts = (np.asarray(part) for part in (self.weights, self.pattern.indices, self.pattern.indptr))
        made = sp.csr_array(tuple(parts), shape=(self.neurons, self.pattern.columns)).tocsc()
        return ByPresynaptic(made.indptr.astype(np.int32), made.indices.astype(np.int32), made.data)

    @classmethod
    def of(cls, connectome: Connectome, neuron: LeakyNeuron = SHIU, *, dtype: type = np.float32) -> SpikingNetwork:
        """Wire neurons by the chemical connections of a connectome: `synapse_mv` for each synapse, with its sign.

        Gap junctions are left out: the model has none.

        Raises
        ------
        ConfigError
            If the connectome has weights in place of synapse counts.
        """
        if connectome.weighted:
            raise ConfigError(
                f"connectome {connectome.name!r} has real-valued weights, but this model counts synapses: give a table "
                "with synapse counts"
            )
        kept = ~connectome.electrical
        indptr, indices = connectome.indptr, connectome.indices
        signed = connectome.connection_signs * connectome.counts
        if not kept.all():
            indptr = np.concatenate([[0], np.cumsum(kept)])[indptr]
            indices, signed = indices[kept], signed[kept]
        weights = jnp.asarray((neuron.synapse_mv * signed.astype(np.float64)).astype(dtype))
        return cls(neuron, Pattern.of(indptr, indices, connectome.n), weights)


def arriving(pattern: Pattern, weights: Float[Array, "M"], spikes: Float[Array, "N B"]) -> Float[Array, "N B"]:
    """Sum over the spiking neurons' connections what arrives at each neuron, mV.

    Parameters
    ----------
    spikes
        1 where a neuron's spike arrives in this step, else 0.
    """
    return jax.lax.cond(
        jnp.any(spikes != 0),
        lambda: ops.matvec(pattern, weights, spikes, spikes=True),
        lambda: jnp.zeros((pattern.rows, spikes.shape[1]), spikes.dtype),
    )
