"""What models of every cell share: wiring, signs, drive and read-out, and which parameters are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from connfit._display import Displayed
from connfit.connectome import Connectome
from connfit.connectome.anatomy import postsynapses_by_region
from connfit.errors import ConfigError, one_of
from connfit.models import ops
from connfit.models.base import GROUPS, Correction, Params
from connfit.models.maps import DenseMap, GainMap, SparseMap
from connfit.models.readout import Readout, overlap, own_overlap

DRIVES = ("dense", "anatomical", "none")

STATIC: Mapping[str, Any] = {"static": True}
"""Metadata of a field that is no array: a change of it compiles a program anew."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelConditions:
    """What a model is built from, whatever its cell.

    Parameters
    ----------
    connectome
        Wiring and signs.
    readout
        Which neurons each unit reads; see `connfit.models.readout`.
    step_s
        Length of a step in seconds.
    drive
        `"dense"`: every unit may drive every neuron. `"anatomical"`: a region drives only the neurons
        with input synapses in it, where the source counts them (`Connectome.regions`); otherwise a
        unit drives only the neurons that it reads. `"none"`.
    bounds_s
        Smallest and largest time constant in seconds; default 0.2 and 50 steps.
    state_forcing
        Share φ of the way by which states are moved to what was recorded before each step: 0 not at all, 1 until
        the read-out of the state is what was recorded, more (below 2) beyond it. See
        `connfit.models.forward.correct`.

    Raises
    ------
    ConfigError
        If a name or a bound is not valid.
    """

    connectome: Connectome
    readout: Readout
    step_s: float
    drive: str = "dense"
    bounds_s: tuple[float, float] | None = None
    state_forcing: float = 0.0

    def __post_init__(self) -> None:
        one_of("drive", self.drive, DRIVES)
        low, high = self.time_constant_bounds
        if not 0 < low < high or self.step_s <= 0:
            raise ConfigError(
                f"time constants must have bounds 0 < low < high and a positive step, got {(low, high)} s and "
                f"{self.step_s} s"
            )
        if self.readout.neurons != self.connectome.n:
            raise ConfigError(
                f"the read-out is for {self.readout.neurons} neurons, the connectome has {self.connectome.n}"
            )
        if not 0 <= self.state_forcing < 2:
            raise ConfigError(
                f"state_forcing = {self.state_forcing} must be 0 or more and below 2, from where errors grow"
            )
        if self.state_forcing and self.readout.learned:
            raise ConfigError(
                f"state_forcing = {self.state_forcing} moves neurons to what was recorded of them, but which neurons a "
                "unit reads is learned here; set one of the two to its default"
            )

    @property
    def time_constant_bounds(self) -> tuple[float, float]:
        """Smallest and largest time constant in seconds."""
        return self.bounds_s or (0.2 * self.step_s, 50 * self.step_s)


@dataclass(frozen=True, repr=False, kw_only=True)
class ConnectomeModel(Displayed):
    """Neurons on a connectome, all but what one neuron does with its input.

    A cell is a subclass with `activation` and fields of its own, decorated with `jax.tree_util.register_dataclass`;
    fields that are no arrays have the metadata `STATIC`. `wire` makes it.

    Attributes
    ----------
    recurrent
        Map of the magnitudes or gains, from output channels to neurons. Channel j < N is the chemical output
        of neuron j with its sign; with gap junctions, channel N + j is its unsigned electrical output.
    signs
        [N] sign of each neuron's chemical output.
    junctions
        [2, G] the two connections that each gap junction consists of; None without gap junctions.
    step_s
        Length Δt of a step in seconds.
    bounds_s
        Smallest and largest time constant in seconds.
    read_neurons
        [P] the neuron that each unit reads, where each reads one and no two the same; else None.
    correction
        How state forcing moves neurons where units read several.
    state_forcing
        φ of `connfit.models.forward.correct`.
    """

    recurrent: SparseMap | GainMap
    signs: Float[Array, "N"]
    drive: SparseMap | DenseMap | None
    readout: SparseMap | DenseMap
    fixed_readout: Float[Array, "R"] | None
    junctions: Int[Array, "2 G"] | None
    electrical: bool = field(metadata=STATIC)
    step_s: float = field(metadata=STATIC)
    bounds_s: tuple[float, float] = field(metadata=STATIC)
    read_neurons: Int[Array, "P"] | None = None
    correction: Correction | None = None
    state_forcing: float = field(default=0.0, metadata=STATIC)

    @classmethod
    def wire(cls, given: ModelConditions, **own: object) -> Self:
        """Build the model.

        Parameters
        ----------
        **own
            Fields of the cell's own.
        """
        connectome, readout = given.connectome, given.readout
        read_neurons = _read_neurons(readout)
        electrical = bool(connectome.electrical.any())
        n = connectome.n
        columns = connectome.indices
        if electrical:
            columns = columns + np.where(connectome.electrical, np.int32(n), np.int32(0))
        recurrent = SparseMap(ops.Pattern.of(connectome.indptr, columns, (1 + electrical) * n))
        by_unit = readout.matrix
        if given.drive == "dense":
            drive_map: SparseMap | DenseMap | None = DenseMap(n, readout.units)
        elif given.drive == "anatomical":
            by_neuron = _driven_neurons(connectome, readout)
            drive_map = SparseMap(ops.Pattern.of(by_neuron.indptr, by_neuron.indices, readout.units))
        else:
            drive_map = None
        if readout.learned:
            readout_map: SparseMap | DenseMap = DenseMap(readout.units, n)
            fixed = None
        else:
            readout_map = SparseMap(ops.Pattern.of(by_unit.indptr, by_unit.indices, n))
            fixed = jnp.asarray(by_unit.data, jnp.result_type(float))
        correction = None
        if given.state_forcing and read_neurons is None and isinstance(readout_map, SparseMap) and fixed is not None:
            diagonal = own_overlap(readout)
            shared = overlap(readout) if diagonal is None else diagonal
            correction = Correction(readout_map, fixed, jnp.asarray(shared, fixed.dtype))
        low, high = given.time_constant_bounds
        return cls(
            recurrent=recurrent,
            signs=jnp.asarray(connectome.signs, jnp.result_type(float)),
            drive=drive_map,
            readout=readout_map,
            fixed_readout=fixed,
            junctions=jnp.asarray(_junctions(connectome)) if electrical else None,
            electrical=electrical,
            step_s=float(given.step_s),
            bounds_s=(float(low), float(high)),
            read_neurons=None if read_neurons is None else jnp.asarray(read_neurons, jnp.int32),
            correction=correction,
            state_forcing=float(given.state_forcing),
            **own,
        )

    def _display(self) -> tuple[str, Mapping[str, str]]:
        drive = "none" if self.drive is None else "dense" if isinstance(self.drive, DenseMap) else "anatomical"
        shared = {field.name for field in fields(ConnectomeModel)}
        own = [field.name for field in fields(self) if field.name not in shared and field.metadata == STATIC]
        return type(self).__name__, {
            "neurons": f"{self.neurons:,}",
            "connections": f"{self.connections:,}",
            "units": str(self.units),
            "learned": ", ".join(self.groups),
            "drive": drive,
            **{name.replace("_", " "): str(getattr(self, name)) for name in own},
            "step": f"{self.step_s:.4g} s",
            "state forcing": f"{self.state_forcing:g}",
        }

    @property
    def neurons(self) -> int:
        """Number of neurons N."""
        return self.signs.shape[0]

    @property
    def connections(self) -> int:
        """Number of connections M."""
        return self.recurrent.connections

    @property
    def recurrent_group(self) -> str:
        """Group of the recurrent weights: `"weights"`, one per connection, or `"gains"`, which connections share."""
        return "gains" if isinstance(self.recurrent, GainMap) else "weights"

    @property
    def units(self) -> int:
        """Number of recorded units P."""
        return self.readout.rows if isinstance(self.readout, DenseMap) else self.readout.pattern.rows

    @property
    def groups(self) -> tuple[str, ...]:
        """Parameter groups that this model has."""
        absent = {"weights", "gains"} - {self.recurrent_group}
        if self.drive is None:
            absent.add("drive")
        if self.fixed_readout is not None:
            absent.add("readout")
        return tuple(group for group in GROUPS if group not in absent)

    def decay(self, params: Params) -> Float[Array, "N"]:
        """Return α = exp(-Δt/τ) of each neuron."""
        return jnp.exp(-self.step_s / jnp.exp(params["log_time_constants"]))

    def decay_slope(self, params: Params) -> Float[Array, "N"]:
        """Return dα / d log τ = α Δt/τ."""
        tau = jnp.exp(params["log_time_constants"])
        return self.decay(params) * self.step_s / tau

    def outputs(self, r: Float[Array, "N B"]) -> Float[Array, "C B"]:
        """Return the signed chemical output of each neuron, then its electrical output if there are gap junctions."""
        chemical = self.signs[:, None] * r
        return jnp.concatenate([chemical, r]) if self.electrical else chemical

    def outputs_adjoint(self, v: Float[Array, "C B"]) -> Float[Array, "N B"]:
        """Apply the adjoint of `outputs`."""
        n = self.neurons
        chemical = self.signs[:, None] * v[:n]
        return chemical + v[n:] if self.electrical else chemical

    def recurrent_strengths(self, params: Params) -> Array:
        """Return what `recurrent` takes: magnitudes [M] or gains [G]."""
        return params[self.recurrent_group]

    def magnitudes(self, params: Params) -> Float[Array, "M"]:
        """Return |w| of every connection in the connectome's order, however weights are parametrised."""
        return self.recurrent.connection_strengths(self.recurrent_strengths(params))

    def readout_strengths(self, params: Params) -> Array:
        """Return C: the anatomical fractions, or the learned matrix."""
        return params["readout"] if self.fixed_readout is None else self.fixed_readout

    def with_recurrent(self, recurrent: SparseMap | GainMap) -> Self:
        """Return the same model with other recurrent connections."""
        return replace(self, recurrent=recurrent)

    def project(self, params: Params) -> Params:
        """Return the nearest allowed parameters.

        Magnitudes and gains are ≥ 0, so that no sign can flip; a gap junction is as strong in one direction as in
        the other; time constants lie within their bounds.
        """
        projected = dict(params)
        if "gains" in params:
            projected["gains"] = jnp.maximum(params["gains"], 0)
        if "weights" in params:
            weights = jnp.maximum(params["weights"], 0)
            if self.junctions is not None:
                weights = weights.at[self.junctions].set(weights[self.junctions].mean(axis=0))
            projected["weights"] = weights
        if "log_time_constants" in params:
            low, high = self.bounds_s
            projected["log_time_constants"] = jnp.clip(params["log_time_constants"], jnp.log(low), jnp.log(high))
        return projected


def _junctions(connectome: Connectome) -> Int[np.ndarray, "2 G"]:
    """Positions of the connections i → j and j → i of every gap junction (twice the same within one neuron)."""
    where = np.flatnonzero(connectome.electrical)
    post, pre = connectome.posts[where].astype(np.int64), connectome.indices[where].astype(np.int64)
    forward, backward = np.argsort(post * connectome.n + pre), np.argsort(pre * connectome.n + post)
    once = post[forward] <= pre[forward]
    return np.stack([where[forward], where[backward]])[:, once]


def reads_several(readout: Readout) -> bool:
    """Return whether units read several neurons, or share one, so that state forcing moves neurons together."""
    return _read_neurons(readout) is None


def _read_neurons(readout: Readout) -> Int[np.ndarray, "P"] | None:
    """The one neuron that each unit reads; None if a unit reads several or two units read the same."""
    neurons = readout.matrix.indices
    single = np.diff(readout.matrix.indptr) == 1
    return neurons if single.all() and len(np.unique(neurons)) == len(neurons) else None


def _driven_neurons(connectome: Connectome, readout: Readout) -> sp.csr_array:
    """[N, P] pattern of an anatomical drive."""
    dendrites = postsynapses_by_region(connectome)
    if dendrites is None or not set(readout.unit_names) <= set(dendrites[0]):
        return sp.csr_array(readout.matrix.T)
    row = {region: k for k, region in enumerate(dendrites[0])}
    driven = sp.csr_array(dendrites[1][[row[unit] for unit in readout.unit_names]].T)
    driven.sort_indices()
    return driven
