"""The hidden teacher of the fly surrogate: known parameters on its wiring, near criticality, with regions that differ.

Strengths follow the synapse counts, as a share of what the postsynaptic neuron receives. Alone, such a network is
ruled by a handful of neurons that excite each other; so each neuron regulates its gain until no neuron's
recurrent input varies more than another's by much. What is left are many slow modes that span regions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from connfit._system.hdf5_guard import check_written, opened
from connfit._system.hdf5_writing import created
from connfit.connectome import Connectome
from connfit.connectome.anatomy import presynapses_by_region
from connfit.datasets.fly_regions import RECORDED_73
from connfit.datasets.synthetic.teacher import Inputs, Teacher, TeacherConfig, spectral_radius
from connfit.errors import DataError, unreadable

_PARAMETERS, _GAINS = 0, 1
_ARRAYS = (
    "weights", "time_constants", "bias", "set_point", "gain", "source_loadings", "source_time_constants", "region",
    "regional_gain",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FlyTeacherConfig(TeacherConfig):
    """How the teacher is drawn, driven and recorded; rates are in units of the median neuron's mean.

    Every neuron is active at its set point, so the spectral radius is that of the active network. Private noise is
    drawn anew in every frame.

    Parameters
    ----------
    half_input
        Synapses onto a neuron at which a synapse has half the strength that it would have if it were the only one.
        Without it a neuron with a single input follows that input fully.
    inhibition
        Strength of an inhibitory synapse relative to an excitatory one. At 1 excitation and inhibition nearly cancel in
        the mean of a region, and regions hardly see each other.
    largest_gain, recurrent_variance
        Largest gain of a neuron, and the variance that its recurrent input may have in units of the noise that every
        neuron receives, while gains are found.
    set_point_spread
        Standard deviation of the natural log of the neurons' rates without varying input, whose median is 1.
    contrast
        Share of a region's fluorescence that follows its activity.
    bleaching, bleaching_time_s
        Range of the fraction of a unit's level that is lost to bleaching, and of its time constant in seconds; each
        unit of each fly draws its own, uniformly in the logarithm.
    drift, drift_time_s
        The same for the standard deviation and time constant of a slow Ornstein-Uhlenbeck drift.
    least_neurons, least_synapses
        A region is recorded if as many neurons have as many output synapses in it.
    most_missing
        Largest fraction of the recorded regions that a fly lacks: 6 of 73.
    """

    weight_spread: float = 0.5
    half_input: float = 100.0
    inhibition: float = 0.5
    largest_gain: float = 4.0
    recurrent_variance: float = 1.0
    spectral_radius: float = 0.96
    set_point_spread: float = 0.3
    source_strength: float = 0.035
    regional_strength: float = 0.2
    private_strength: float = 0.5
    indicator_s: float = 1.0
    contrast: float = 0.15
    observation_noise: float = 0.1
    bleaching: tuple[float, float] = (0.03, 0.3)
    bleaching_time_s: tuple[float, float] = (200.0, 1200.0)
    drift: tuple[float, float] = (0.01, 0.04)
    drift_time_s: tuple[float, float] = (100.0, 400.0)
    substeps: int = 2
    least_neurons: int = 3
    least_synapses: int = 200
    most_missing: float = 6 / 73

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("bleaching", "bleaching_time_s", "drift", "drift_time_s"):
            self.check_range(name)


@dataclass(frozen=True, eq=False, kw_only=True)
class FlyTeacher(Teacher):
    """True parameters of the fly surrogate, stored apart from what a fit sees.

    The bias is negative where recurrent input would exceed the set point. A neuron's region is that in which it has
    most of its output, -1 if it is not recorded.

    Parameters
    ----------
    seed
        Of parameters and animals.
    set_point
        [N] rates without varying input.
    gain
        [N] factor on all inputs of a neuron, part of `weights`.
    """

    config: FlyTeacherConfig
    seed: int
    set_point: Float[np.ndarray, "N"]
    gain: Float[np.ndarray, "N"]

    @property
    def level(self) -> Float[np.ndarray, "P"]:
        """[P] read-out at the set point, in which recordings are measured."""
        return np.asarray(self.readout @ self.set_point)

    def save(self, path: Path) -> None:
        """Write one HDF5 file."""
        with created(path) as file:
            file.attrs["connfit_fly_teacher"] = 1
            file.attrs["drawn"] = json.dumps({"seed": self.seed, "config": asdict(self.config)})
            file.create_dataset("units", data=list(self.units), dtype=h5py.string_dtype())
            for name in _ARRAYS:
                file.create_dataset(name, data=getattr(self, name))
            for name in ("data", "indices", "indptr"):
                file.create_dataset(f"readout/{name}", data=getattr(self.readout, name))

    @classmethod
    def load(cls, path: Path) -> FlyTeacher:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If the file is not a teacher or is damaged.
        """
        try:
            with opened(path) as file:
                drawn: dict[str, Any] = json.loads(str(file.attrs["drawn"]))
                options: dict[str, Any] = {
                    key: tuple(value) if isinstance(value, list) else value for key, value in drawn["config"].items()
                }
                config = FlyTeacherConfig(**options)
                arrays = {name: _stored(file, name, path) for name in _ARRAYS}
                units = tuple(unit.decode() for unit in _stored(file, "units", path))
                parts = tuple(_stored(file, f"readout/{name}", path) for name in ("data", "indices", "indptr"))
                readout = sp.csr_array(parts, shape=(len(units), len(arrays["bias"])))
                readout.check_format(full_check=True)
                return cls(config=config, seed=drawn["seed"], units=units, readout=readout, **arrays)
        # What damaged files make h5py, NumPy and SciPy raise.
        except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise unreadable(error, "not a stored teacher of the fly surrogate", path=path) from error


def _stored(file: h5py.File, key: str, path: Path) -> np.ndarray:
    data = file[key]
    if not isinstance(data, h5py.Dataset):
        raise KeyError(f"{key} is not a dataset")
    return np.asarray(check_written(data, path)[()])


def draw_teacher(
    connectome: Connectome,
    config: FlyTeacherConfig | None = None,
    seed: int = 0,
    *,
    regions: Sequence[str] = RECORDED_73,
) -> FlyTeacher:
    """Draw the hidden truth for a connectome; the same arguments give the same numbers.

    Parameters
    ----------
    connectome
        The wiring; its signs and counts are taken as they are.
    regions
        Those that may be recorded; the ones among them that have enough neurons and synapses are.

    Raises
    ------
    DataError
        If fewer than two regions can be recorded, or no loop of connections is there to be near critical.
    """
    config = config or FlyTeacherConfig()
    rng = np.random.default_rng((seed, _PARAMETERS))
    n = connectome.n
    units, region, readout = _recorded(connectome, regions, config)

    posts = connectome.posts
    received = np.bincount(posts, connectome.counts, n)
    base = connectome.counts * rng.lognormal(0.0, config.weight_spread, connectome.m)
    base *= np.where(connectome.connection_signs < 0, config.inhibition, 1.0)
    base = (base / (received[posts] + config.half_input)).astype(np.float32)
    gain = _regulated_gain(connectome, base, config, np.random.default_rng((seed, _GAINS)))
    weights = base * gain[posts]
    radius = _radius(connectome.matrix(weights))
    if radius < 1e-6:
        raise DataError(f"connectome {connectome.name!r} has no loop of connections: its activity cannot be critical")
    scale = config.spectral_radius / radius
    weights, gain = (weights * np.float32(scale)).astype(np.float32), gain * scale

    set_point = rng.lognormal(0.0, config.set_point_spread, n)
    bias = set_point - connectome.matrix(weights) @ set_point
    inputs = Inputs.draw(config, region, len(units), rng)
    real = np.float32
    return FlyTeacher(
        config=config,
        seed=seed,
        weights=weights,
        time_constants=inputs.time_constants.astype(real),
        bias=bias.astype(real),
        set_point=set_point.astype(real),
        gain=gain.astype(real),
        source_loadings=inputs.source_loadings.astype(real),
        source_time_constants=inputs.source_time_constants.astype(real),
        region=region.astype(np.int32),
        regional_gain=inputs.regional_gain.astype(real),
        units=units,
        readout=readout,
    )


def _recorded(
    connectome: Connectome, regions: Sequence[str], config: FlyTeacherConfig
) -> tuple[tuple[str, ...], Int[np.ndarray, "N"], sp.csr_array]:
    """Regions that can be recorded, each neuron's region among them (-1: none), and the read-out."""
    names, presynapses = presynapses_by_region(connectome)
    presynapses = sp.csr_array(presynapses)
    neurons = np.diff(presynapses.indptr)
    synapses = np.asarray(presynapses.sum(axis=1)).ravel()
    wanted = set(regions)
    kept = [
        k
        for k, name in enumerate(names)
        if name in wanted and neurons[k] >= config.least_neurons and synapses[k] >= config.least_synapses
    ]
    if len(kept) < 2:
        raise DataError(
            f"connectome {connectome.name!r} has {len(kept)} regions with at least {config.least_neurons} neurons and "
            f"{config.least_synapses} synapses to record from; a recording needs 2"
        )
    by_neuron = sp.csc_array(presynapses)
    owner = np.full(connectome.n, -1, np.int64)
    column = np.repeat(np.arange(connectome.n), np.diff(by_neuron.indptr))
    # The last entry of each column in this order is its largest, the first region among equals.
    order = np.lexsort([-by_neuron.indices, by_neuron.data, column])
    owner[column[order]] = by_neuron.indices[order]
    position = np.full(len(names) + 1, -1, np.int64)
    position[kept] = np.arange(len(kept))
    shares = sp.diags_array(1 / synapses[kept]) @ presynapses[kept]
    return tuple(names[k] for k in kept), position[owner], sp.csr_array(shares)


def _regulated_gain(
    connectome: Connectome,
    base: Float[np.ndarray, "M"],
    config: FlyTeacherConfig,
    rng: np.random.Generator,
    *,
    sweeps: int = 150,
    columns: int = 16,
) -> Float[np.ndarray, "N"]:
    """[N] gains at which no neuron's recurrent input varies more than allowed, in the linear network driven by noise.

    A loop of neurons that would grow by itself makes its own input vary, and is turned down; where input
    varies little, gains stay at their largest.
    """
    import jax

    from connfit.models.ops import Pattern, matvec

    pattern = Pattern.of(connectome.indptr, connectome.indices, connectome.n)
    signed = jax.numpy.asarray(base * connectome.connection_signs)
    step = jax.jit(matvec)
    gain = np.full(connectome.n, config.largest_gain, np.float32)
    activity = rng.standard_normal((connectome.n, columns), np.float32)
    for sweep in range(sweeps):
        recurrent = np.asarray(step(pattern, signed, activity)) * gain[:, None]
        variance = np.einsum("nb,nb->n", recurrent, recurrent) / columns
        # Smaller steps towards the end, so that the last noise drawn decides little.
        rate = 0.1 if sweep < 2 * sweeps // 3 else 0.03
        gain *= (config.recurrent_variance / np.maximum(variance, 1e-9)) ** rate
        np.minimum(gain, config.largest_gain, out=gain)
        activity = recurrent + rng.standard_normal(recurrent.shape, np.float32)
    return gain


def _radius(matrix: sp.csr_array) -> float:
    if len(matrix.indptr) <= 500:
        return float(np.abs(np.linalg.eigvals(matrix.toarray())).max(initial=0.0))
    return spectral_radius(matrix, digits=4, tol=1e-4)
