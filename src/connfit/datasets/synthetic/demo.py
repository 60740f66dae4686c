"""Surrogate brains: generated wiring, a hidden teacher in the part of the brain, and recordings of what it does.

A surrogate has the statistics of a real brain and known parameters. It is never a measurement, and
says so in the notes of every object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import scipy.sparse as sp

from connfit.connectome import Connectome
from connfit.connectome.anatomy import presynapses_by_region
from connfit.datasets.registry import DATASETS, Dataset
from connfit.datasets.synthetic.demo_teacher import DemoTeacher, DemoTeacherConfig
from connfit.datasets.synthetic.demo_wiring import WiringConfig, make_wiring
from connfit.errors import ConfigError, one_of
from connfit.recordings import Recording

_WIRING, _TEACHER, _ANIMAL = 0, 1, 2


@dataclass(frozen=True)
class SurrogateConfig:
    """Size and statistics of a surrogate brain.

    Parameters
    ----------
    wiring
        Neurons, regions, degrees, signs; see `connfit.datasets.synthetic.demo_wiring.WiringConfig`.
    teacher
        Parameters and noise; see `connfit.datasets.synthetic.demo_teacher.DemoTeacherConfig`.
    frames
        Frames T of each recording.
    frame_rate
        Frames per second (Hz).
    animals
        Recordings: the same teacher under independent inputs and noise.
    name
        Name of the connectome; recordings are called `name/1`, `name/2`, ...
    """

    wiring: WiringConfig = field(default_factory=WiringConfig)
    teacher: DemoTeacherConfig = field(default_factory=DemoTeacherConfig)
    frames: int = 1800
    frame_rate: float = 1.2
    animals: int = 1
    name: str = "surrogate"

    def __post_init__(self) -> None:
        if self.frames < 2 or self.animals < 1 or not self.frame_rate > 0:
            raise ConfigError(
                f"frames = {self.frames}, animals = {self.animals} and frame_rate = {self.frame_rate} Hz "
                "must be at least 2, at least 1 and positive"
            )


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A surrogate brain; what a fit may see is `connectome` and `recordings` only.

    Attributes
    ----------
    connectome
        The wiring.
    recordings
        One per animal, units are regions.
    teacher
        The hidden truth.
    presynapses
        [P, N] output synapses of each neuron in each region, which the connectome determines.
    config, seed
        What `make_surrogate` was called with.
    """

    connectome: Connectome
    recordings: tuple[Recording, ...]
    teacher: DemoTeacher
    presynapses: sp.csr_array
    config: SurrogateConfig
    seed: int


def make_surrogate(config: SurrogateConfig | None = None, seed: int = 0) -> Surrogate:
    """Generate a surrogate brain; the same configuration and seed give the same numbers.

    Parameters
    ----------
    config
        Default: the demo's size, 2,000 neurons and 20 regions.
    seed
        Not negative. Wiring, teacher and each animal draw from streams of their own, so that
        another number of animals or frames leaves the brain as it is.
    """
    config = config or SurrogateConfig()
    if seed < 0:
        raise ConfigError(f"seed = {seed} must not be negative")
    connectome = make_wiring(config.wiring, np.random.default_rng((seed, _WIRING)), name=config.name)
    teacher = DemoTeacher.draw(connectome, config.teacher, np.random.default_rng((seed, _TEACHER)))
    recordings = tuple(_record(config, teacher, seed, animal) for animal in range(config.animals))
    return Surrogate(connectome, recordings, teacher, presynapses_by_region(connectome)[1], config, seed)


def animal_seed(seed: int, animal: int) -> tuple[int, int, int]:
    """Return the seed of `DemoTeacher.simulate` for the recording of animal 0, 1, ... of the surrogate `seed`."""
    return (seed, _ANIMAL, animal)


def make_demo(seed: int = 0) -> tuple[Connectome, tuple[Recording, ...]]:
    """Generate the demo's brain and recordings: 2,000 neurons, 20 regions, 4 animals, 8 minutes each."""
    surrogate = make_surrogate(SurrogateConfig(name="demo", frames=600, animals=4), seed)
    return surrogate.connectome, surrogate.recordings


@lru_cache(maxsize=1)
def _demo(seed: int) -> tuple[Connectome, tuple[Recording, ...]]:
    return make_demo(seed)


def load_demo_connectome(*, seed: int = 0) -> Connectome:
    """Generate the demo's connectome."""
    return _demo(seed)[0]


def load_demo_recording(uid: str, *, seed: int = 0) -> Recording:
    """Generate the demo's recording `uid`: "1" to "4"."""
    recordings = {recording.name.removeprefix("demo/"): recording for recording in _demo(seed)[1]}
    return recordings[one_of("recording", uid, recordings)]


def _record(config: SurrogateConfig, teacher: DemoTeacher, seed: int, animal: int) -> Recording:
    simulation = teacher.simulate(config.frames, config.frame_rate, animal_seed(seed, animal))
    return Recording(
        name=f"{config.name}/{animal + 1}",
        values=simulation.values.astype(np.float32),
        units=teacher.units,
        frame_rate=config.frame_rate,
        kind="rate" if config.teacher.indicator_s is None else "dff",
        value_units="arbitrary",
        notes={
            "surrogate": True,
            "source": "generated by a hidden teacher, not measured",
            "seed": seed,
            "animal": animal + 1,
        },
    )


DATASETS.register(
    Dataset(
        name="demo",
        label="SURROGATE: a generated brain with a hidden teacher, for demonstrations and tests",
        place=2,
        organism="none (generated)",
        licence="Apache-2.0",
        citation="connfit",
        source="generated from a seed; no measured data",
        sizes=MappingProxyType(
            {"neurons": 2000, "regions": 20, "recordings": 4, "frames": 600, "frame rate (Hz)": 1.2}
        ),
        connectome=load_demo_connectome,
        recording=load_demo_recording,
        recordings=("1", "2", "3", "4"),
    )
)
