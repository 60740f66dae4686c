"""Training of recurrent baselines by backpropagation through time, every choice made on the validation part.

Windows of consecutive frames are drawn from the training part; in each the network sees the recorded frames
(teacher forcing), its first predictions, which come from a state at rest, are not scored, and the error goes back
through the whole window. Some hundred steps on one animal are enough to overfit, so that of every setting
that is tried the parameters are those of least error on validation, and the setting that is kept is the best of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.choosing import tuning_blocks
from connfit.evaluation.baselines.recurrent import CHUNK, Cell, Network, forced
from connfit.evaluation.baselines.unit_scaling import Scaling, added
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks

WINDOW = 40
"""Frames through which the error goes back."""

SETTLE = 8
"""Frames at the start of a window that are not scored."""

BATCH = 16
"""Windows per step of the optimiser."""

CHECK = 10
"""Steps between two looks at the tuning part."""

PATIENCE = 8
"""Looks without progress that end the training of one setting."""

MAX_STEPS = 800
"""Steps that a setting is given at most."""

TRIALS = 6
"""Settings that are tried at most."""


@dataclass(frozen=True)
class Setting:
    """What is tried.

    Parameters
    ----------
    learning_rate
        Of Adam.
    decay
        Pull of the parameters towards their anchor, per unit of learning rate and apart from the gradient's
        moments (Loshchilov & Hutter 2019, arXiv:1711.05101). The anchor is 0, and for the drive of rate units
        the identity: what is left then is persistence.
    dropout
        Share of hidden units that are left out of a window (Srivastava et al. 2014, J. Mach. Learn. Res. 15:1929).
    noise
        Standard deviation of noise on the inputs, in those of the units (Bishop 1995, Neural Comput. 7:108).
    carried
        1: the change from the last frame is predicted; 0: the value. Rate units have no such choice.
    """

    learning_rate: float
    decay: float
    dropout: float
    noise: float
    carried: float = 1.0


Windows = tuple[Float[Array, "*n W1 P"], Bool[Array, "*n W1 P"], Float[Array, "*n W1 P"]]


@dataclass(frozen=True, eq=False)
class Task:
    """What a network is trained and tuned on.

    Parameters
    ----------
    weight
        [P] of squared errors: the variance of the unit over the mean variance, so that the loss is the pooled MSE of
        the scores.
    span
        First frame of the training block and the one after the last.
    tune
        The block of frames on which settings are compared.
    """

    recording: Recording
    weight: Float[np.ndarray, "P"]
    scaling: Scaling
    span: tuple[int, int]
    tune: tuple[int, int]
    tuned_on: str

    @classmethod
    def of(cls, recording: Recording, positive: bool) -> Task:
        """Cut and scale one recording, if wanted so that the values are positive."""
        (train,), (tune,), tuned_on = tuning_blocks([recording])
        values, mask = recording.values[slice(*train)], recording.mask[slice(*train)]
        if len(values) < 2 * WINDOW:
            raise DataError(
                f"recording {recording.name!r}: {len(values)} training frames are too few for a recurrent network, "
                f"which learns from windows of {WINDOW} frames: {2 * WINDOW} are needed"
            )
        if not recording.mask[slice(*tune)].any():
            raise DataError(f"recording {recording.name!r}: nothing was observed on which a network could be tuned")
        scaling = Scaling.of(values, mask)
        known, scale = scaling.known, scaling.stds
        if positive:
            # Rates are positive, and the values are to stay so: one standard deviation above zero at the least.
            lowest = np.full(len(scale), np.inf)
            for at in frame_blocks(0, *values.shape):
                lowest = np.minimum(lowest, np.where(mask[at], values[at], np.inf).min(axis=0))
            scaling = Scaling(np.where(known, lowest - scale, np.nan), scale)
        return cls(recording, scale**2 / np.mean(scale[known] ** 2), scaling, train, tune, tuned_on)

    @property
    def units(self) -> int:
        """P."""
        return len(self.weight)

    def mean_activity(self) -> Float[np.ndarray, "P"]:
        """Return the mean of the standardised training frames."""
        total, count = None, 0
        for at in frame_blocks(*self.span, self.units):
            z, seen = self.scaling.standardise(self.recording.values[at], self.recording.mask[at])
            total, count = added(total, z.astype(np.float32)), count + seen.sum(axis=0)
        return np.asarray(total / np.maximum(count, 1))

    def windows(self, starts: Int[np.ndarray, "*n"]) -> Windows:
        """Return standardised training frames from each start on, which were observed, and weights of their errors."""
        frames = starts[..., None] + np.arange(WINDOW + 1)
        values, mask = self.recording.values[frames], self.recording.mask[frames]
        z, seen = self.scaling.standardise(values, mask)
        weight = np.where(mask & self.scaling.known, self.weight, 0.0).astype(np.float32)
        return jnp.asarray(z.astype(np.float32)), jnp.asarray(seen), jnp.asarray(weight)

    def error(self, cell: Cell) -> float:
        """Return the one-step MSE on the tuning block, in squared units of the recording; infinite for NaN."""
        start, stop = self.tune
        first = max(0, start - CHUNK)
        values, mask = self.recording.values[first:stop], self.recording.mask[first:stop]
        until = self.recording.frames_only(slice(first, stop))
        predicted = Network(cell, self.scaling).one_step(until)[start - first :]
        values, mask = values[start - first :], mask[start - first :]
        scored = mask & self.scaling.known & (np.arange(start, stop) > first)[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            error = float(np.mean((values[scored] - predicted[scored]) ** 2)) if scored.any() else np.inf
        return error if np.isfinite(error) else np.inf


@dataclass(frozen=True, eq=False)
class Trained:
    """The best parameters of one setting."""

    setting: Setting
    cell: Cell
    error: float
    steps: int


MakeCell = Callable[[Task, Setting, PRNGKeyArray], Cell]


def fit_network(
    name: str,
    recording: Recording,
    config: EvaluateConfig,
    *,
    make: MakeCell,
    starts: Sequence[Setting],
    grid: Mapping[str, Sequence[float]],
    positive: bool = False,
) -> Network:
    """Train a network on the training part; `config.baseline_seed` decides its start and the order of windows.

    Parameters
    ----------
    make
        Draws an untrained cell.
    starts, grid
        Settings that are tried first, and values among which the tuning moves.
    positive
        Whether the network's values, and so the recording's, are positive; such a network predicts no changes, and
        what was `carried` is not recorded.

    Raises
    ------
    DataError
        If the training part is too short, nothing was observed to tune on, or every setting diverged.
    """
    task = Task.of(recording, positive)

    def attempt(setting: Setting) -> Trained:
        return _train(make, task, setting, config.baseline_seed)

    best, tried = climb(attempt, starts, grid, TRIALS)
    if not np.isfinite(best.error):
        raise DataError(f"recording {recording.name!r}: {name!r} diverged with each of {len(tried)} settings")
    at_edge = [key for key in grid if getattr(best.setting, key) in _open_ends(grid[key])]
    setting = {key: value for key, value in asdict(best.setting).items() if key != "carried" or not positive}
    chosen = {
        **setting,
        "steps": best.steps,
        "steps_at_edge": best.steps >= MAX_STEPS,
        "at_edge": at_edge,
        "tuned_on": task.tuned_on,
        "tuning_mse": best.error,
        "settings_tried": len(tried),
        "seed": config.baseline_seed,
    }
    return Network(best.cell, task.scaling, name, config.baseline_seed, chosen)


def _open_ends(values: Sequence[float]) -> tuple[float, ...]:
    """Ends of a grid beyond which there would be more; 0 is no such end."""
    return tuple(value for value in (values[0], values[-1]) if value != 0)


def climb(
    attempt: Callable[[Setting], Trained],
    starts: Sequence[Setting],
    grid: Mapping[str, Sequence[float]],
    trials: int,
) -> tuple[Trained, list[Trained]]:
    """Search uphill, one option at a time; return the best setting and all that were tried.

    Goes on in a direction for as long as the error falls, then takes the next option; ends where no
    neighbour is better, or after `trials` settings.
    """
    tried = [attempt(setting) for setting in starts]
    best = min(tried, key=lambda trained: trained.error)

    def better(name: str, direction: int) -> bool:
        nonlocal best
        values = grid[name]
        place = values.index(getattr(best.setting, name)) + direction
        if not 0 <= place < len(values) or len(tried) >= trials:
            return False
        setting = replace(best.setting, **{name: values[place]})
        if any(trained.setting == setting for trained in tried):
            return False
        tried.append(attempt(setting))
        if tried[-1].error >= best.error:
            return False
        best = tried[-1]
        return True

    moved = True
    while moved and len(tried) < trials:
        moved = False
        for name in grid:
            for direction in (1, -1):
                went = False
                while better(name, direction):
                    went = moved = True
                if went:
                    break
    return best, tried


def _train(make: MakeCell, task: Task, setting: Setting, seed: int) -> Trained:
    start, order = jax.random.split(jax.random.key(seed))
    cell = make(task, setting, start)
    anchor = cell.anchor()
    moments_of_adam = _optimiser().init(eqx.filter(cell, eqx.is_array))
    dials = {key: jnp.float32(value) for key, value in asdict(setting).items() if key != "carried"}
    span = jnp.asarray(task.span)
    best = Trained(setting, cell, task.error(cell), 0)
    for steps in range(CHECK, MAX_STEPS + 1, CHECK):
        order, now = jax.random.split(order)
        keys, starts = _draw(now, span)
        cell, moments_of_adam = _steps(cell, anchor, moments_of_adam, task.windows(np.asarray(starts)), dials, keys)
        error = task.error(cell)
        if error < best.error:
            best = Trained(setting, cell, error, steps)
        elif steps - best.steps >= CHECK * PATIENCE:
            break
    return best


def _optimiser() -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())


@jax.jit
def _draw(key: PRNGKeyArray, span: Array) -> tuple[PRNGKeyArray, Int[Array, "steps B"]]:
    """Keys of `CHECK` steps, and the starts of their windows."""
    keys = jax.random.split(key, CHECK)

    def starts(key: PRNGKeyArray) -> Array:
        return jax.random.randint(jax.random.split(key, 3)[0], (BATCH,), span[0], span[1] - WINDOW)

    return keys, jax.vmap(starts)(keys)


@eqx.filter_jit
def _steps(
    cell: Cell, anchor: Cell, state: optax.OptState, data: Windows, dials: Mapping[str, Array], keys: PRNGKeyArray
) -> tuple[Cell, optax.OptState]:
    """`CHECK` steps of the optimiser."""
    arrays, rest = eqx.partition(cell, eqx.is_array)
    towards = eqx.filter(anchor, eqx.is_array)

    def step(
        carry: tuple[Cell, optax.OptState], now: tuple[PRNGKeyArray, Windows]
    ) -> tuple[tuple[Cell, optax.OptState], None]:
        (arrays, state), (key, data) = carry, now
        gradient = jax.grad(lambda trained: _loss(eqx.combine(trained, rest), data, dials, key))(arrays)
        update, state = _optimiser().update(gradient, state)
        arrays = jax.tree.map(
            lambda p, u, a: p - dials["learning_rate"] * (u + dials["decay"] * (p - a)), arrays, update, towards
        )
        return (arrays, state), None

    (arrays, state), _ = jax.lax.scan(step, (arrays, state), (keys, data))
    return eqx.combine(arrays, rest), state


def _loss(cell: Cell, data: Windows, dials: Mapping[str, Array], key: PRNGKeyArray) -> Float[Array, ""]:
    """Weighted mean squared error of one-step predictions in windows of the training block."""
    values, seen, weight = data
    _, left_out, jitter = jax.random.split(key, 3)
    inputs = values[:, :-1] + dials["noise"] * jax.random.normal(jitter, values[:, :-1].shape)
    rest = cell.start()
    kept = jax.random.bernoulli(left_out, 1 - dials["dropout"], (BATCH, len(rest))) / (1 - dials["dropout"])
    first = jnp.where(seen[:, 0], values[:, 0], 0.0)

    def window(inputs: Array, seen: Array, first: Array, keep: Array) -> Array:
        return forced(cell, rest, first, inputs, seen, keep)[3]

    predicted = jax.vmap(window)(inputs, seen[:, :-1], first, kept)
    scored = weight[:, 1 + SETTLE :]
    error = scored * (predicted[:, SETTLE:] - values[:, 1 + SETTLE :]) ** 2
    return error.sum() / jnp.maximum(scored.sum(), 1e-6)
