"""What a fitted brain does when neurons are stimulated or silenced, beside what it does when they are not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from connfit._system.paths import user_path
from connfit.connectome import Connectome
from connfit.errors import ConfigError, DataError, DivergedError, first_ten, one_of, unreadable
from connfit.models.base import Model, Neurons, Params
from connfit.models.frame_loop import CHUNK
from connfit.models.parameter import TimeConstant
from connfit.models.rest import Settled, settle, started
from connfit.models.rollout import Held, Shown, State, Stepped, hold_from, rollout

SETTLE = 256
"""Steps before the onset, at least: five times the longest time constant that a fit allows by default, in frames."""

LONGEST = 5
"""Times its longest time constant that a model is given to settle."""

GOLDEN = 0.6180339887498949
"""Of its interval, by which each neuron that is held at a rate is ahead of the one before: so they spread evenly."""

DRIVES = {"own": "the model's own predictions", "mean": "the training mean, held", "none": "no background drive"}
"""What units show the background drive during a simulation."""


def parse_neuron_set(text: str, connectome: Connectome, *, option: str = "set") -> Int[np.ndarray, "k"]:
    """Find the positions of the neurons that a text names, ascending, each once.

    Parameters
    ----------
    text
        `KIND:NAME`. KIND is a column of the neuron table (`id`, `type`, `region`, `side`, a column of classes), NAME a
        value of it, or several with commas between; or `file:PATH`, a text file of ids with white space or commas
        between them, where `#` begins a comment. Ids are compared as text, so that those above 2^53 are safe.
    option
        What messages call the set.

    Raises
    ------
    ConfigError
        If the kind is unknown, a name is not in the connectome (names the nearest), or no neuron is named.
    DataError
        If a file cannot be read, is empty, or names an unknown id.
    """
    kind, colon, name = text.partition(":")
    table = connectome.neurons
    columns = [str(column) for column in table.columns if table[column].dtype.kind != "f"]
    if not colon or not kind:
        raise ConfigError(f"{option} {text!r} must be KIND:NAME, where KIND is one of {', '.join([*columns, 'file'])}")
    one_of(f"{option} {text!r}: its kind", kind, [*columns, "file"])
    if not name.strip():
        raise ConfigError(f"{option} {text!r} is empty: give a name after the colon, as in type:LB3 or file:ids.txt")
    values = table["id" if kind == "file" else kind]
    values = values.astype(object).where(~values.isna().to_numpy(), "").map(str).to_numpy(str)
    if kind == "file":
        return _find(values, _ids_of(user_path(name)), f"{option} {text!r}", connectome.name, "id", user_path(name))
    # A name may hold commas itself, as types of the fly do.
    names = [name] if (values == name).any() else [part.strip() for part in name.split(",") if part.strip()]
    return _find(values, names, f"{option} {text!r}", connectome.name, kind)


def _ids_of(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(error, "cannot be read", path=path, fix="Give a text file of neuron ids") from error
    ids = [part for line in lines for part in re.split(r"[\s,]+", line.partition("#")[0]) if part]
    if not ids:
        raise DataError("holds no ids", path=path, fix="Write one neuron id per line")
    return ids


def _find(
    values: np.ndarray, names: Sequence[str], what: str, brain: str, kind: str, path: Path | None = None
) -> Int[np.ndarray, "k"]:
    """Positions of the entries of `values` [N] that are among the names, each of which must be there."""
    unknown = sorted(set(names) - set(values.tolist()))
    if unknown or not names:
        problem = f"{what}: connectome {brain!r} has no {kind} {first_ten(map(repr, unknown)) or 'of no name'}"
        near = _nearest(unknown[0], values) if unknown else []
        problem += f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ConfigError(problem) if path is None else DataError(problem, path=path)
    return np.flatnonzero(np.isin(values, list(names)))


def _nearest(name: str, values: np.ndarray) -> list[str]:
    """Up to three values that are like a name: that differ in case only, begin with it, or are spelt alike."""
    choices = [value for value in np.unique(values).tolist() if value]
    begin = [value for value in choices if value.lower().startswith(name.lower())]
    # Ids share most of their digits: of many, only the best match is worth showing.
    return begin[:3] or get_close_matches(name, choices, n=3, cutoff=0.6 if len(choices) < 20_000 else 0.9)


@dataclass(frozen=True, eq=False)
class HeldNeurons:
    """Neurons whose rate is held from the onset on, whatever their input.

    Parameters
    ----------
    neurons
        [k] positions of the neurons, each once.
    rates
        [k] rate at which each is held, 0 or more: in the units of the recording, of cells that spike in Hz. For
        silenced neurons see `connfit.models.held_rates.silent_rates`: at 0 a neuron has no output, chemical or
        electrical.

    Raises
    ------
    ConfigError
        If a neuron is given twice, or a rate is negative or not finite.
    """

    neurons: Int[np.ndarray, "k"] = field(default_factory=lambda: np.zeros(0, np.int64))
    rates: Float[np.ndarray, "k"] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        neurons, rates = np.asarray(self.neurons, np.int64), np.asarray(self.rates, np.float64)
        if neurons.ndim != 1 or neurons.shape != rates.shape:
            raise ConfigError(f"a perturbation has {neurons.shape} neurons, but {rates.shape} rates")
        if len(np.unique(neurons)) != len(neurons):
            raise ConfigError("a perturbation holds the same neuron twice")
        if not (np.isfinite(rates) & (rates >= 0)).all():
            raise ConfigError("rates at which neurons are held must be finite and 0 or more: 0 silences")
        object.__setattr__(self, "neurons", neurons)
        object.__setattr__(self, "rates", rates)

    @classmethod
    def of(
        cls,
        stimulated: Mapping[str, tuple[np.ndarray, float]],
        silenced: Mapping[str, np.ndarray] | None = None,
        *,
        silent: Float[np.ndarray, "N"] | None = None,
    ) -> HeldNeurons:
        """Combine sets of neurons.

        Parameters
        ----------
        stimulated
            Name of each set to its neurons' positions and the rate at which they are held.
        silenced
            Name of each set to its neurons' positions.
        silent
            [N] rate at which each neuron is held where it is silenced; default 0.

        Raises
        ------
        ConfigError
            If two sets hold the same neuron at different rates.
        """
        sets: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, (neurons, rate) in stimulated.items():
            if not (np.isfinite(rate) and rate >= 0):
                raise ConfigError(f"stimulated {name}: its rate is {rate:g}, but must be finite and 0 or more")
            sets[f"stimulated {name}"] = np.asarray(neurons, np.int64), np.full(len(neurons), float(rate))
        for name, neurons in (silenced or {}).items():
            where = np.asarray(neurons, np.int64)
            sets[f"silenced {name}"] = where, np.zeros(len(where)) if silent is None else np.asarray(silent)[where]
        held: dict[int, tuple[float, str]] = {}
        for name, (neurons, rates) in sets.items():
            for neuron, rate in zip(neurons.tolist(), rates.tolist(), strict=True):
                before, other = held.setdefault(neuron, (rate, name))
                if before != rate:
                    raise ConfigError(f"{other} and {name} share neurons: one is held at {before:g}, one at {rate:g}")
        order = sorted(held)
        return cls(np.array(order, np.int64), np.array([held[neuron][0] for neuron in order]))


@dataclass(frozen=True, eq=False)
class Responses:
    """A simulation with a perturbation and, from the same start, without.

    Attributes
    ----------
    baseline, perturbed
        [T, P] read-out of each unit after each frame, without and with the perturbation, in the units of the recording.
    set_baseline, set_perturbed
        [T, Q] mean rate of each watched set of neurons; of cells that spike in Hz, over the steps up to this one.
    neuron_baseline, neuron_perturbed
        [N] mean rate of each neuron over the last half of the time; of cells that spike in Hz, over all steps.
    held
        What was held.
    """

    baseline: Float[np.ndarray, "T P"]
    perturbed: Float[np.ndarray, "T P"]
    set_baseline: Float[np.ndarray, "T Q"]
    set_perturbed: Float[np.ndarray, "T Q"]
    neuron_baseline: Float[np.ndarray, "N"]
    neuron_perturbed: Float[np.ndarray, "N"]
    held: HeldNeurons

    @property
    def change(self) -> Float[np.ndarray, "N"]:
        """Change of each neuron's mean rate over the last half."""
        return self.neuron_perturbed - self.neuron_baseline

    @property
    def ranked(self) -> Int[np.ndarray, "N-k"]:
        """Neurons that were not held themselves, the most changed first, ties by position."""
        order = np.argsort(-np.abs(self.change), kind="stable")
        return order[~np.isin(order, self.held.neurons)]


def settled(
    model: Model, params: Params, mean: Float[np.ndarray, "P"], *, drive: str = "own", steps: int | None = None
) -> Settled:
    """Return the states after the units have shown their mean for long (with `drive="none"`: nothing), from silence.

    Parameters
    ----------
    mean
        Training mean of each unit, in the units of the recording.
    drive
        One of `DRIVES`.
    steps
        Default: `LONGEST` of the longest time constant, and at least `SETTLE`.
    """
    one_of("drive", drive, DRIVES)
    steps = settling_steps(model, params) if steps is None else steps
    shown = np.zeros_like(mean) if drive == "none" else mean
    return settle(model, params, inputs=shown, steps=steps, tolerance=0.0)


def settling_steps(model: Model, params: Params) -> int:
    """Return the steps that a model needs to settle: `LONGEST` of its longest time constant, and at least `SETTLE`."""
    timed = (one for one in model.parameters if isinstance(one, TimeConstant))
    longest_s = max(float(jnp.max(one.value(params[one.key]))) for one in timed)
    return max(SETTLE, int(np.ceil(LONGEST * longest_s / model.step_s)))


def per_rate(model: Model) -> float:
    """Return what a neuron sends of a rate of 1: of cells that spike, spikes per step of 1 Hz."""
    return model.step_s if model.neuron.spikes else 1.0


def simulate_perturbed(
    model: Model,
    params: Params,
    perturbation: HeldNeurons,
    steps: int,
    start: Neurons | Float[np.ndarray, "N"],
    *,
    mean: Float[np.ndarray, "P"] | None = None,
    drive: str = "own",
    current: Float[np.ndarray, "N"] | None = None,
    watched: Sequence[Int[np.ndarray, "q"]] = (),
    substeps: int = 1,
) -> Responses:
    """Run the model freely and without noise, with and without a perturbation, side by side.

    What is held in memory is a few numbers per neuron, and the read-outs of each frame. Neurons of cells that spike are
    held at a rate by spikes at equal intervals, those of a set one after the other (`GOLDEN`).

    Parameters
    ----------
    steps
        Model steps from the onset on: whole frames, at least 2.
    start
        Where both runs start: the states before the onset, see `settled`; of cells with one state, rates [N].
    mean
        [P] what units show with `drive="mean"`.
    drive
        `"own"`: the model sees its own predictions, and a perturbation acts through them too. `"mean"`: units show
        their mean throughout, so that it acts through connections alone. `"none"`: no background drive.
    current
        [N] injected into neurons in the perturbed run: added to their input at each step, in its units.
    watched
        Sets of neurons, by position, whose mean rate is returned over time.
    substeps
        Model steps of a frame.

    Raises
    ------
    ConfigError
        If an option or a neuron is out of range.
    DivergedError
        If activity grows without bound.
    """
    one_of("drive", drive, DRIVES)
    if steps < 2 * substeps or steps % substeps:
        whole = f" in frames of {substeps}" if substeps > 1 else ""
        raise ConfigError(f"a simulation must have {2 * substeps} or more model steps{whole}, not {steps}")
    if drive == "mean" and mean is None:
        raise ConfigError("drive = 'mean' needs the mean of each unit")
    for name, neurons in [("perturbation", perturbation.neurons), *(("watched set", neurons) for neurons in watched)]:
        if len(neurons) and not 0 <= neurons.min() <= neurons.max() < model.neurons:
            raise ConfigError(f"neurons of the {name} must lie in 0..{model.neurons - 1}")
    unit, highest = per_rate(model), perturbation.rates.max(initial=0.0)
    if model.neuron.spikes and highest * unit > 1:
        raise ConfigError(
            f"neurons cannot be held at {highest:g} Hz: they spike once in a step at most, and one of "
            f"{1000 * model.step_s:.4g} ms allows {1 / model.step_s:.6g} Hz"
        )
    real = jnp.result_type(float)
    neurons, value = np.zeros((model.neurons, 2), bool), np.zeros((model.neurons, 1))
    neurons[perturbation.neurons, 1], value[perturbation.neurons, 0] = True, perturbation.rates * unit
    held = Held(jnp.asarray(neurons), jnp.asarray(value, real)) if len(perturbation.neurons) else None
    injected = None if current is None else jnp.asarray(np.stack([0 * current, current], axis=1), real)
    given = np.zeros(model.units) if mean is None or drive != "mean" else np.asarray(mean, real)
    group = np.repeat(np.arange(len(watched)), [len(members) for members in watched])
    begin_at = jax.tree.map(lambda one: jnp.repeat(one, 2, axis=-1), started(model, params, start))
    if held is not None:
        phase = np.zeros((model.neurons, 1))
        phase[perturbation.neurons, 0] = (0.5 + GOLDEN * np.arange(len(perturbation.neurons))) % 1
        begin_at = hold_from(model, params, begin_at, held, jnp.asarray(phase, real))
    state = State.of(model, begin_at)
    frames, block = steps // substeps, max(1, CHUNK // substeps)
    total, units, sets = np.zeros((model.neurons, 2)), [], []
    for begin in range(0, frames, block):
        counted = np.arange(begin, min(begin + block, frames)) >= frames // 2
        shown = Shown.nothing(model, len(counted), 2) if drive == "own" else Shown.constant(given, len(counted), 2)
        watching = _Watching(
            jnp.zeros((model.neurons, 2), real),
            jnp.asarray(np.concatenate([np.zeros(0, np.int64), *watched]), jnp.int32), jnp.asarray(group, jnp.int32),
            jnp.asarray([1 / len(members) for members in watched], real),
        )  # fmt: skip
        # What units show is a background: it acts through the drive alone.
        run = rollout(
            model, params, state, shown, _watch, watching, jnp.asarray(counted, real),
            held=held, current=injected, forcing=False, substeps=substeps,
        )  # fmt: skip
        state, (y, means) = run.state, run.each
        units.append(np.asarray(y))
        sets.append(np.asarray(means))
        total += np.asarray(run.kept.total, np.float64)
        if not (np.isfinite(units[-1]).all() and np.isfinite(total).all()):
            raise DivergedError(
                f"activity grew without bound within {(begin + len(counted)) * substeps} model steps: simulate a "
                "shorter time, or use drive = 'mean', which cuts the loop through the model's own predictions"
            )
    total /= (frames - frames // 2) * unit
    y, means = np.concatenate(units), np.concatenate(sets) / real.type(unit)
    return Responses(y[..., 0], y[..., 1], means[..., 0], means[..., 1], total[:, 0], total[:, 1], perturbation)


class _Watching(NamedTuple):
    """Sum of rates over the counted frames, and watched neurons with the set that each is in."""

    total: Float[Array, "N 2"]
    members: Int[Array, "m"]
    group: Int[Array, "m"]
    share: Float[Array, "Q"]


def _watch(
    model: Model, params: Params, kept: _Watching, now: Stepped, counted: Float[Array, ""]
) -> tuple[_Watching, tuple[Float[Array, "P 2"], Float[Array, "Q 2"]]]:
    """Keep read-outs and means of sets, and add rates up over the counted frames."""
    sums = jax.ops.segment_sum(now.rates[kept.members], kept.group, num_segments=len(kept.share))
    return kept._replace(total=kept.total + counted * now.rates), (now.reading, sums * kept.share[:, None])
