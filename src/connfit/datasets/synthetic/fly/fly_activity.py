"""Activity of the fly surrogate: all animals at once, and what a microscope makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from connfit.connectome import Connectome
from connfit.datasets.synthetic.fly.fly_teacher import FlyTeacher
from connfit.datasets.synthetic.teacher import OrnsteinUhlenbeck, measurement_noise
from connfit.models.ops import Pattern, matvec

_LARGEST_RATE = 1e4
"""Rates are of order 1; a unit that exceeds this has run away."""
_ACTIVITY, _MEASUREMENT = 2, 3
_SLOW, _FAST, _PRIVATE = 0, 1, 2


class FlyActivity(NamedTuple):
    """What one run of the teacher gave.

    Attributes
    ----------
    calcium
        [A, T, P] of A animals, read-out of the rates through the indicator, without noise and drift.
    rates
        [A, T, N] rates at every frame, or None if they were not asked for.
    """

    calcium: Float[np.ndarray, "A T P"]
    rates: Float[np.ndarray, "A T N"] | None


class Stimulus(NamedTuple):
    """What an experimenter shows.

    Attributes
    ----------
    loadings
        [N] what one unit of it adds to each neuron's input.
    shown
        [A, T] how much of it each animal is shown before each frame, and after the one before it.
    """

    loadings: Float[np.ndarray, "N"]
    shown: Float[np.ndarray, "A T"]


class _Constants(NamedTuple):
    """Everything that does not change over time, on the device."""

    pattern: Pattern
    weights: Array
    readers: Pattern
    shares: Array
    follow: Array
    bias: Array
    loadings: Array
    region: Array
    regional: Array
    indicator: float
    private: float
    stimulus: Array | None


def simulate_flies(
    teacher: FlyTeacher,
    connectome: Connectome,
    frames: int,
    frame_rate: float,
    animals: Sequence[int],
    *,
    keep_rates: bool = False,
    inputs: Sequence[str] = ("slow", "regional", "private"),
    stimulus: Stimulus | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FlyActivity:
    """Run the same teacher in several animals with independent input and noise.

    All animals share each pass over the connections. What an animal receives depends on the teacher's
    seed and the animal's number alone.

    Parameters
    ----------
    teacher, connectome
        The truth and its wiring.
    frames, frame_rate
        Frames T of each animal, and how many per second.
    animals
        Numbers of the animals, from 0.
    keep_rates
        Keep the rates of all neurons at every frame: 4 bytes for each.
    inputs
        Which inputs vary; leaving some out tells how much of the activity is due to them.
    stimulus
        What is shown to the animals beside them, from the first frame on.
    progress
        Called with the frames done and all frames, burn-in included.

    Raises
    ------
    ConfigError
        If activity grows without bound.
    """
    config, n, batch = teacher.config, connectome.n, len(animals)
    generators = [[_generator(teacher.seed, _ACTIVITY, animal, stream) for animal in animals] for stream in range(3)]
    frame_s = 1 / frame_rate
    slow, fast = (
        OrnsteinUhlenbeck(tau, frame_s, partial(_normal, generators[stream], size))
        for tau, stream, size in (
            (teacher.source_time_constants.astype(np.float64)[:, None], _SLOW, config.sources),
            (config.regional_time_constant_s, _FAST, len(teacher.units)),
        )
    )
    constants = _constants(teacher, connectome, frame_s / config.substeps, inputs, stimulus)

    rates = jnp.asarray(np.repeat(teacher.set_point[:, None], batch, axis=1))
    seen = jnp.asarray(np.repeat(teacher.level.astype(np.float32)[:, None], batch, axis=1))
    burn_in = int(np.ceil(config.burn_in_s * frame_rate))
    calcium = np.empty((batch, frames, len(teacher.units)), np.float32)
    kept = np.empty((batch, frames, n), np.float32) if keep_rates else None
    with ThreadPoolExecutor(max_workers=2) as pool:
        for frame in range(-burn_in, frames):
            # A new array each time: the device may still be reading the last one.
            private = np.empty((batch, n), np.float32)
            list(pool.map(_fill, generators[_PRIVATE], private))
            before = seen
            shared = (process.advance().astype(np.float32) for process in (slow, fast))
            shown = None if stimulus is None else stimulus.shown[:, max(frame, 0)] * (frame >= 0)
            rates, seen = _frame(constants, rates, seen, *shared, private, shown, substeps=config.substeps)
            if frame > 0:
                calcium[:, frame - 1] = np.asarray(before).T
            if kept is not None and frame >= 0:
                kept[:, frame] = np.asarray(rates).T
            if frame % 50 == 0:
                config.check_bounded(float(jnp.max(jnp.abs(before))), _LARGEST_RATE, frame)
            if progress is not None:
                progress(frame + burn_in + 1, burn_in + frames)
    calcium[:, frames - 1] = np.asarray(seen).T
    return FlyActivity(calcium, kept)


def measure(
    teacher: FlyTeacher, calcium: Float[np.ndarray, "T P"], frame_rate: float, animal: int
) -> tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "T P"]]:
    """Record an animal: ΔF/F about each region's level, with bleaching, drift and measurement noise.

    Returns
    -------
    values
        [T, P] float32.
    drift
        [T, P] the part of the values that is bleaching and drift.
    """
    config = teacher.config
    rng = np.random.default_rng((teacher.seed, _MEASUREMENT, animal))
    frames, units = calcium.shape
    seconds = np.arange(frames)[:, None] / frame_rate

    def drawn(bounds: tuple[float, float]) -> Float[np.ndarray, "P"]:
        low, high = np.log(bounds)
        return np.exp(rng.uniform(low, high, units))

    lost, lost_s = drawn(config.bleaching), drawn(config.bleaching_time_s)
    wander, wander_s = drawn(config.drift), drawn(config.drift_time_s)
    clean = config.contrast * (calcium / teacher.level - 1)
    walk = OrnsteinUhlenbeck(frame_rate * wander_s, 1.0, iter(rng.standard_normal((frames, units))).__next__)
    walked = np.stack([walk.state, *(walk.advance() for _ in range(frames - 1))])
    drift = lost * np.expm1(-seconds / lost_s) + wander * walked
    noise = measurement_noise(clean, config.observation_noise, rng)
    return (clean + drift + noise).astype(np.float32), drift.astype(np.float32)


def missing_units(teacher: FlyTeacher, animal: int) -> tuple[str, ...]:
    """Draw the regions that were not recorded in an animal: none up to `most_missing` of them, at random."""
    rng = np.random.default_rng((teacher.seed, _MEASUREMENT, animal, 1))
    count = int(rng.integers(0, round(teacher.config.most_missing * len(teacher.units)), endpoint=True))
    chosen = rng.choice(len(teacher.units), count, replace=False)
    return tuple(teacher.units[k] for k in sorted(chosen))


def _constants(
    teacher: FlyTeacher, connectome: Connectome, step_s: float, inputs: Sequence[str], stimulus: Stimulus | None
) -> _Constants:
    config = teacher.config
    readout = teacher.readout
    return _Constants(
        pattern=Pattern.of(connectome.indptr, connectome.indices, connectome.n),
        weights=jnp.asarray(teacher.weights * connectome.connection_signs, jnp.float32),
        readers=Pattern.of(readout.indptr, readout.indices, connectome.n),
        shares=jnp.asarray(readout.data, jnp.float32),
        follow=jnp.asarray(-np.expm1(-step_s / teacher.time_constants)[:, None], jnp.float32),
        bias=jnp.asarray(teacher.bias[:, None]),
        loadings=jnp.asarray(teacher.source_loadings * np.float32("slow" in inputs)),
        region=jnp.asarray(np.maximum(teacher.region, 0)),
        regional=jnp.asarray(teacher.regional_gain[:, None] * np.float32("regional" in inputs)),
        indicator=float(-np.expm1(-step_s / config.indicator_s)),
        private=config.private_strength * ("private" in inputs),
        stimulus=None if stimulus is None else jnp.asarray(stimulus.loadings[:, None], jnp.float32),
    )


@partial(jax.jit, static_argnames=("substeps",))
def _frame(
    c: _Constants,
    rates: Float[Array, "N B"],
    seen: Float[Array, "P B"],
    slow: Float[Array, "S B"],
    fast: Float[Array, "P B"],
    private: Float[Array, "B N"],
    shown: Float[Array, "B"] | None,
    *,
    substeps: int,
) -> tuple[Float[Array, "N B"], Float[Array, "P B"]]:
    """One frame: the inputs are constant within it."""
    given = c.bias + c.loadings @ slow + c.regional * fast[c.region] + c.private * private.T
    if shown is not None and c.stimulus is not None:
        given = given + c.stimulus * shown
    for _ in range(substeps):
        target = jnp.maximum(matvec(c.pattern, c.weights, rates) + given, 0)
        rates = rates + c.follow * (target - rates)
        seen = seen + c.indicator * (matvec(c.readers, c.shares, rates) - seen)
    return rates, seen


def _normal(generators: Sequence[np.random.Generator], size: int) -> Float[np.ndarray, "k B"]:
    return np.stack([generator.standard_normal(size) for generator in generators], axis=1)


def _generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))


def _fill(generator: np.random.Generator, row: Any) -> None:
    generator.standard_normal(out=row, dtype=np.float32)
