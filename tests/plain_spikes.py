"""A small network that spikes, in float64, and what it does: the equations as dense NumPy matrices, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from networks import random_connectome

from connfit.config import InputsConfig
from connfit.connectome import Connectome
from connfit.models import Readout
from connfit.models.cells.adaptive_integrate_fire import AdaptiveLIF
from connfit.models.cells.integrate_fire import LIF
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.forecaster import ModelForecaster
from connfit.models.input_map import input_map
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.inputs import Inputs

CELLS = {"lif": LIF(), "adaptive-lif": AdaptiveLIF()}
NEURONS, UNITS, FRAMES, SUBSTEPS, STEP_S, DELAY = 24, ("a", "b", "c"), 60, 20, 0.005, 2
TIMES = {"membrane": 0.02, "synapse": 0.006, "adaptation": 0.1}


@dataclass(frozen=True, eq=False)
class Spiking:
    """A model, its parameters and a recording with one external input, which drives it."""

    brain: Connectome
    readout: Readout
    model: ConnectomeModel
    params: dict[str, jnp.ndarray]
    cohort: Cohort

    @property
    def forecaster(self) -> ModelForecaster:
        """It as a forecaster."""
        return ModelForecaster(self.model, self.params, self.cohort)


def spiking(cell: str, *, drive: str = "dense") -> Spiking:
    """24 neurons of both signs with spikes at all rates, seen by three units."""
    rng = np.random.default_rng(3)
    brain = random_connectome(rng, NEURONS, 5)
    inputs = Inputs(rng.normal(size=(FRAMES, 1)), ("light",))
    movie = Recording("movie", 10 + 3 * rng.normal(size=(FRAMES, 3)), UNITS, 1 / (STEP_S * SUBSTEPS), inputs=inputs)
    cohort = Cohort.from_recordings(
        [movie.split(train=0.6, validation=0.2)], substeps=SUBSTEPS, inputs=InputsConfig(channels=("light",))
    )
    own = np.arange(NEURONS) % 3
    readout = Readout(sp.csr_array((np.full(NEURONS, 3 / NEURONS), (own, np.arange(NEURONS)))), UNITS)
    outside = input_map(brain, readout, ("light",), 1)
    given = ModelConditions(
        connectome=brain, readout=readout, step_s=STEP_S, drive=drive, delay=DELAY, bounds_s=(0.01, 1.0), inputs=outside
    )
    model = ConnectomeModel.wire(given, CELLS[cell])
    params = {
        "weights": 3 * rng.random(brain.m), "bias": rng.uniform(2, 8, NEURONS),
        "inputs": rng.normal(0, 0.8, (NEURONS, 1)),
        "log_time_constants": np.log(rng.uniform(0.05, 0.2, NEURONS)), "threshold": rng.uniform(6, 8, NEURONS),
        "refractory": np.full(NEURONS, 0.011), "response": rng.uniform(0.5, 1.5, NEURONS),
        "base": rng.uniform(0, 2, NEURONS), "jump": rng.uniform(0.5, 1.5, NEURONS),
        "drive": rng.uniform(0, 0.02, (NEURONS, 3)),
        **{f"log_{name}": np.full(NEURONS, np.log(value)) for name, value in TIMES.items()},
    }  # fmt: skip
    known = {parameter.key for parameter in model.parameters} | {"weights", "bias", "inputs"}
    known |= {"drive"} if model.drive is not None else set()
    return Spiking(
        brain, readout, model, {key: jnp.asarray(value, float) for key, value in params.items() if key in known}, cohort
    )


class PlainSpikes:
    """Steps of it."""

    def __init__(self, of: Spiking) -> None:
        p = {key: np.asarray(value, float) for key, value in of.params.items()}
        kept = {key.removeprefix("log_"): np.exp(-STEP_S / np.exp(p[key])) for key in p if key.startswith("log_")}
        self.p, self.kept = p, kept
        self.w = np.zeros((NEURONS, NEURONS))
        np.add.at(self.w, (of.brain.posts, of.brain.indices), p["weights"] * of.brain.connection_signs)
        self.c = of.readout.matrix.toarray()
        tau_m, tau_s = np.exp(p["log_membrane"]), np.exp(p["log_synapse"])
        self.passed = (kept["synapse"] - kept["membrane"]) / tau_m / (1 / tau_m - 1 / tau_s)
        self.v, self.g, self.left, self.seen, self.a = (np.zeros(NEURONS) for _ in range(5))
        self.sent = [np.zeros(NEURONS) for _ in range(DELAY)]
        self.phase: Mapping[int, list[float]] = {}

    @property
    def spikes(self) -> np.ndarray:
        """Who spikes now."""
        free = self.v > self.p["threshold"] + self.p.get("jump", 0) * self.a
        forced = np.array([k in self.phase and self.phase[k][0] > 1 for k in range(NEURONS)])
        held = np.isin(np.arange(NEURONS), list(self.phase))
        return np.where(held, forced, free).astype(float)

    @property
    def shown(self) -> np.ndarray:
        """What units show."""
        return self.c @ self.seen

    def hold(self, phases: Mapping[int, tuple[float, float]]) -> None:
        """Let neurons spike by a clock from now on: how far each is between two spikes, and spikes per step."""
        self.phase = {k: list(of) for k, of in phases.items()}

    def step(
        self, drive: np.ndarray | None, light: np.ndarray | float = 0.0, current: np.ndarray | float = 0.0
    ) -> None:
        """Take a step; `drive` is what units show, None: nothing drives."""
        p, kept, z = self.p, self.kept, self.spikes
        arriving, self.sent = self.sent[0], [*self.sent[1:], z]
        x = self.w @ arriving + p["bias"] + current + p["inputs"][:, 0] * light
        if drive is not None:
            x += np.maximum(p["drive"] @ drive, 0)
        self.left = np.where(z > 0, p["refractory"] / STEP_S, np.maximum(self.left - 1, 0))
        free, g = self.left < 1.5, self.g * (1 - z)
        self.v = np.where(free, kept["membrane"] * self.v * (1 - z) + self.passed * g, 0)
        self.g = np.where(free, kept["synapse"] * g + x, g)
        gamma = kept["time_constants"]
        self.seen = gamma * self.seen + (1 - gamma) * (p["base"] + p["response"] * z / STEP_S)
        self.a = kept.get("adaptation", 0) * self.a + z
        for k, clock in self.phase.items():
            clock[0] += clock[1] - z[k]

    def run(
        self, steps: int, drive: Callable[[PlainSpikes], np.ndarray | None], **given: np.ndarray | float
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Spikes and what units show after each of so many steps."""
        for _ in range(steps):
            self.step(drive(self), **given)
            yield self.spikes, self.shown
