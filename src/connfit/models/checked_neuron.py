"""Try a cell that somebody else wrote on a few numbers: what it returns is known before anything is fitted."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from connfit._system.foreign import described, note_foreign, raised_at
from connfit.errors import ConfigError, ConnfitError, DataWarning
from connfit.models.neuron import Jacobian, Neuron, as_states
from connfit.models.parameter import Parameter

_NEURONS, _RUNS, _STEPS = 5, 3, 2
"""Shapes of a trial: no two axes alike, so that none is taken for another."""

_SIZE = f"[{_NEURONS}, {_RUNS}] for {_NEURONS} neurons in {_RUNS} runs"

_FROM_REST = 5
"""Steps in which a cell must stay finite."""

_CLOSE = 1e-3
"""Relative difference of derivatives that rounding of float32 does not make of a few numbers near 1."""


def place_of(neuron: type[Neuron]) -> str:
    """Return where a cell is, for messages: file, or module, and class."""
    path = getattr(sys.modules.get(neuron.__module__), "__file__", None) or neuron.__module__
    return f"{path}:{neuron.__qualname__}"


def source_fingerprint(neuron: Neuron) -> str | None:
    """Return the SHA-256 of the file that a cell is written in; None of connfit's own, and where there is no file."""
    kind = type(getattr(neuron, "cell", neuron))  # behind an indicator
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if not is_foreign(kind) or path is None:
        return None
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def is_foreign(neuron: type[Neuron]) -> bool:
    """Return whether a cell is not connfit's own."""
    return neuron.__module__.partition(".")[0] != "connfit"


def check_methods(neuron: Neuron, step_s: float) -> None:
    """Try the methods of a cell, once for each cell with its options.

    Parameters
    ----------
    step_s
        Length of a step in seconds, for what time constants keep in one.

    Raises
    ------
    ConfigError
        If a method raises, returns another number of arrays, another shape or type, values that are not finite, or
        what depends on other neurons: names it, and what would be right.

    Warns
    -----
    DataWarning
        If `jacobian` is not the derivative of `step`.
    """
    if _was_tried(neuron):
        return
    place = place_of(type(neuron))
    note_foreign(type(neuron).__module__)
    trial = _Trial.of(neuron, place, step_s)
    count, step = len(neuron.states), neuron.step  # one object, of which JAX knows what it has compiled
    after = trial.call("step", step, trial.h, trial.x, states=count)
    trial.check_finite(step)
    trial.same_without_others("step", step, trial.h, trial.x)
    trial.same_in_windows("step", step)
    for name, method in (("output", neuron.output), ("observed", neuron.observed)):
        if getattr(type(neuron), name) is not getattr(Neuron, name):
            trial.call(name, method, trial.h, states=None)
            trial.same_without_others(name, method, trial.h)
    rate = jnp.full((_NEURONS, 1), 0.7, trial.h[0].dtype)
    if type(neuron).balance is not Neuron.balance:
        trial.call("balance", neuron.balance, rate, states=None, shape=(_NEURONS, 1))
    if type(neuron).hold is not Neuron.hold:
        trial.call("hold", neuron.hold, trial.h, after, jnp.broadcast_to(rate, trial.h[0].shape), states=count)
    if type(neuron).jacobian is not Neuron.jacobian:
        _check_jacobian(trial)
    with suppress(TypeError):
        _tried.add((neuron, str(trial.h[0].dtype)))


_tried: set[tuple[Neuron, str]] = set()
"""Cells that passed, in a precision: models are built many times in a fit."""


def _was_tried(neuron: Neuron) -> bool:
    try:
        return (neuron, str(jnp.result_type(float))) in _tried
    except TypeError:  # options that cannot be hashed, as lists
        return False


@dataclass(frozen=True)
class _Trial:
    """Numbers on which a cell is tried."""

    neuron: Neuron
    place: str
    theta: Mapping[str, Array]
    h: tuple[Array, ...]
    x: tuple[Array, ...]

    @classmethod
    def of(cls, neuron: Neuron, place: str, step_s: float) -> _Trial:
        kind, rng = jnp.result_type(float), np.random.default_rng(0)
        starts = dict(neuron.starts)

        def used(parameter: Parameter) -> Array:
            stored = parameter.stored(starts.get(parameter.name, parameter.start))
            return jnp.full((_NEURONS, 1), parameter.used(jnp.asarray(stored, kind), step_s), kind)

        theta = {one.name: used(one) for one in neuron.parameters}
        theta["time_constants"] = jnp.full((_NEURONS, 1), np.exp(-step_s), kind)
        shape = (_NEURONS, _RUNS)
        h = tuple(jnp.asarray(rng.uniform(0.2, 1.2, shape), kind) for _ in neuron.states)
        x = tuple(jnp.asarray(rng.uniform(0.3, 1.5, shape) * (-1) ** k, kind) for k in range(len(neuron.channels)))
        return cls(neuron, place, theta, h, x)

    def wrong(self, method: str, problem: str, right: str) -> ConfigError:
        return ConfigError(f"{self.place}.{method} {problem}: {right}")

    def found(self, name: str, method: Callable[..., Any], *given: Any) -> Any:
        """What a method returns, or its error as one that names it; traced, as every fit does it."""
        right = {"step": "step(theta, h, x) -> the states after a step"}.get(name, f"see Neuron.{name}")
        try:
            return jax.jit(method)(dict(self.theta), *given)
        except ConnfitError:
            raise
        # Whatever a user's method raises.
        except Exception as error:
            raise self.wrong(
                name, f"raises {raised_at(error) or described(error)}", f"it is traced by JAX, as {right}"
            ) from error

    def call(
        self,
        name: str,
        method: Callable[..., Any],
        *given: Any,
        states: int | None,
        shape: tuple[int, ...] | None = None,
    ) -> tuple[Array, ...]:
        """Call a method, and check what it returns: so many states, or one array (None)."""
        shape = shape or self.h[0].shape
        whole = self.found(name, method, *given)
        if isinstance(whole, tuple | list) and states is None:
            raise self.wrong(name, f"returns {len(whole)} arrays", f"it must return one, {_SIZE}")
        returned = whole if isinstance(whole, tuple | list) else (whole,)
        if not all(isinstance(one, jax.Array) for one in returned):
            right = "it must return an array, or a tuple of one for each state"
            raise self.wrong(name, f"returns {type(whole).__name__}", right)
        if states is not None and len(returned) != states:
            names = ", ".join(self.neuron.states)
            raise self.wrong(
                name, f"returns {len(returned)} states", f"it must return {states}, in this order: {names}"
            )
        for k, each in enumerate(returned):
            state = f" of state {self.neuron.states[k]!r}" if states is not None else ""
            if jnp.shape(each) != shape and not (shape[1] == 1 and jnp.shape(each) in ((), (1, 1))):
                raise self.wrong(
                    name, f"returns shape {list(jnp.shape(each))}{state}", f"it must be that of its states, {_SIZE}"
                )
            if each.dtype != self.h[0].dtype:
                raise self.wrong(
                    name, f"returns {each.dtype}{state}", f"it must be that of its states, {self.h[0].dtype}"
                )
        return tuple(returned)

    def check_finite(self, step: Callable[..., Any]) -> None:
        """Check that a few steps from rest stay finite: gates, say, are not defined for every number."""
        h = tuple(jnp.zeros_like(one) for one in self.h)
        for number in range(1, _FROM_REST + 1):
            h = as_states(self.found("step", step, h, self.x))
            for name, each in zip(self.neuron.states, h, strict=True):
                if not np.isfinite(np.asarray(each)).all():
                    raise self.wrong(
                        "step", f"returns values of state {name!r} that are not finite in step {number} from states of "
                        "0, at the starting parameters and inputs of size 0.3 to 1.5", "they must be finite there",
                    )  # fmt: skip

    def same_without_others(self, name: str, method: Callable[..., Any], *groups: tuple[Array, ...]) -> None:
        """Check that what a method returns for the first neuron and run is not changed by the others."""
        alone = [tuple(jnp.where(jnp.zeros(one.shape, bool).at[0, 0].set(True), one, one[::-1, ::-1] + 0.37)
                       for one in group) for group in groups]  # fmt: skip
        before, after = (as_states(self.found(name, method, *given)) for given in (groups, alone))
        for one, two in zip(before, after, strict=True):
            if not np.allclose(one[0, 0], two[0, 0], rtol=1e-4, equal_nan=True):
                raise self.wrong(
                    name, "mixes neurons, or runs", "it must be element-wise, for its derivatives are taken so"
                )

    def same_in_windows(self, name: str, method: Callable[..., Any]) -> None:
        """Check that a method takes all steps of a window at once, [step, neuron, run]."""
        h, x = (tuple(jnp.stack([one, one[::-1]]) for one in group) for group in (self.h, self.x))
        windows = as_states(self.found(name, method, h, x))
        single = as_states(self.found(name, method, self.h, self.x))
        for one, two in zip(windows, single, strict=True):
            if jnp.shape(one) != (_STEPS, *jnp.shape(two)) or not np.allclose(
                one[0], two, rtol=1e-4, atol=1e-6, equal_nan=True
            ):
                raise self.wrong(
                    name, "does not return the same for the steps of a window [step, neuron, run] as for each",
                    "it must be element-wise: count axes from the last one",
                )  # fmt: skip


def _check_jacobian(trial: _Trial) -> None:
    """Compare the derivatives that a cell writes down with those of its step."""
    neuron, count = trial.neuron, len(trial.neuron.states)
    own = trial.found("jacobian", neuron.jacobian, trial.h, trial.x)
    right = (
        f"a Jacobian of {count} rows of {count} states, {count} rows of {len(neuron.channels)} inputs, and parameters"
    )
    if (
        not isinstance(own, Jacobian)
        or not _rows(own.states, count, count)
        or not _rows(own.inputs, count, len(neuron.channels))
        or not isinstance(own.parameters, Mapping)
        or not _rows(own.parameters.values(), len(own.parameters), count)
    ):
        raise trial.wrong("jacobian", "returns another form", f"it must return {right}")
    if unknown := sorted(set(own.parameters) - set(trial.theta)):
        raise trial.wrong("jacobian", f"names the parameter {unknown[0]!r}", f"there are {', '.join(trial.theta)}")
    true = trial.found("step", lambda *at: Neuron.jacobian(neuron, *at), trial.h, trial.x)
    pairs = [
        *((f"state {p} by state {q}", own.states[p][q], true.states[p][q]) for p in range(count) for q in range(count)),
        *((f"state {p} by input {c}", own.inputs[p][c], true.inputs[p][c])
          for p in range(count) for c in range(len(neuron.channels))),
        *((f"state {p} by {name}", own.parameters.get(name, (None,) * count)[p], true.parameters[name][p])
          for name in trial.theta for p in range(count)),
    ]  # fmt: skip
    for what, mine, its in pairs:
        mine, its = (jnp.zeros_like(trial.h[0]) if each is None else jnp.asarray(each) for each in (mine, its))
        try:
            mine = jnp.broadcast_to(mine, trial.h[0].shape)
        except ValueError:
            problem = f"has shape {list(mine.shape)} for {what}"
            raise trial.wrong("jacobian", problem, f"it must be {_SIZE}, or None for 0") from None
        if not np.allclose(mine, its, rtol=_CLOSE, atol=_CLOSE, equal_nan=True):
            worst = np.unravel_index(int(np.abs(mine - its).argmax()), mine.shape)
            owner = next(one for one in type(neuron).__mro__ if "jacobian" in vars(one))
            advice = "Leave jacobian out, unless that is meant"
            if owner is not type(neuron):
                advice = f"It is that of {owner.__name__}, for another step: add jacobian = Neuron.jacobian"
            warnings.warn(
                f"{trial.place}.jacobian differs from the derivatives of its step: {what} is {float(mine[worst]):.4g}, "
                f"forward mode gives {float(its[worst]):.4g}. {advice}",
                DataWarning, stacklevel=4,
            )  # fmt: skip
            return


def _rows(values: Any, rows: int, columns: int) -> bool:
    """Whether it is a table of so many rows and columns."""
    try:
        listed = list(values)
        return len(listed) == rows and all(isinstance(one, tuple | list) and len(one) == columns for one in listed)
    except TypeError:
        return False


def check_declared(neuron: type[Neuron]) -> None:
    """Check what the class of a cell says of itself, before anything is made of it.

    Raises
    ------
    ConfigError
        Names the attribute, and what it must be.
    """
    place = place_of(neuron)
    for name in ("states", "channels"):
        words = getattr(neuron, name)
        if isinstance(words, property):
            continue
        if not _words(words):
            raise ConfigError(f"{place}.{name} is {words!r}: it must be a tuple of different names, as ('rate',)")
    parameters = neuron.parameters
    if isinstance(parameters, property):
        return
    if not isinstance(parameters, tuple | list) or not all(isinstance(one, Parameter) for one in parameters):
        raise ConfigError(f"{place}.parameters is {parameters!r}: it must be a tuple of Parameter and TimeConstant")
    for one in parameters:
        numbers = {"start": one.start, "low": one.low, "high": one.high}
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
                raise ConfigError(f"{place}: {name} of the parameter {one.name!r} is {value!r}: it must be a number")
        if not isinstance(one.name, str):
            raise ConfigError(f"{place}: a parameter is called {one.name!r}: its name must be a word")
        if not one.low < one.high:
            raise ConfigError(f"{place}: the parameter {one.name!r} lies in {one.low:g} to {one.high:g}: swap them")
        if one.key != one.name and not one.low > 0:
            raise ConfigError(f"{place}: low of the time constant {one.name!r} is {one.low:g}: it must be above 0 s")
    if isinstance(neuron.shows, bool) or not isinstance(neuron.shows, int | property):
        raise ConfigError(f"{place}.shows is {neuron.shows!r}: it must be the number of a state, the first is 0")
    if neuron.step is Neuron.step:
        raise ConfigError(f"{place} has no step: define step(self, theta, h, x), which returns the states after a step")


def _words(words: object) -> bool:
    return (
        isinstance(words, tuple | list) and all(isinstance(word, str) and word.strip() for word in words)
        and len(set(words)) == len(words) and bool(words)
    )  # fmt: skip
